//! Webhooks: the end of a job ends its leases, whoever else tries to say so ends nothing.

use aws_lc_rs::hmac;
use jitney_sandbox::ci::{GithubJob, RunningJob};
use serde_json::{Value, json};

use crate::world::{AUDIENCE, Answer, HOOK_SECRET, Key, SCOPE, World, read};

/// What GitHub says when this job is over.
fn completed(job: &RunningJob) -> Value {
    let claims = job.claims(None);
    let number = |name: &str| claims[name].as_str().unwrap().parse::<u64>().unwrap();
    let check_run = number("check_run_id");
    json!({
        "action": "completed",
        "workflow_job": {
            "id": check_run, "run_id": number("run_id"), "run_attempt": number("run_attempt"),
            "check_run_url": format!("https://api.github.com/repos/a/b/check-runs/{check_run}"),
        },
        "repository": { "id": number("repository_id") },
    })
}

async fn deliver_raw(world: &World, secret: &[u8], event: &str, body: Vec<u8>) -> Answer {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &body);
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let call = world
        .raw("POST", "/v1/webhooks/github")
        .header("content-type", "application/json")
        .header("x-github-event", event)
        .header("x-github-delivery", uuid::Uuid::new_v4().to_string())
        .header("x-hub-signature-256", format!("sha256={hex}"));
    read(call.body(body)).await
}

async fn deliver(world: &World, event: &Value) -> Answer {
    deliver_raw(
        world,
        HOOK_SECRET,
        "workflow_job",
        event.to_string().into_bytes(),
    )
    .await
}

#[tokio::test]
async fn when_a_job_is_over_its_leases_end_and_its_siblings_go_on() {
    let mut world = World::start().await;
    let lease = world.submit(SCOPE).await.lease();
    // Another job of the same run, in the same repository.
    let job = std::mem::replace(&mut world.job, world.ci.job(GithubJob::push_to_main()));
    let key = std::mem::replace(&mut world.key, Key::fresh());
    let sibling = world.submit(SCOPE).await.lease();
    let told = deliver(&world, &completed(&job)).await;
    assert_eq!(
        (told.status, &told.body),
        (202, &json!({"leases_ended": 1}))
    );
    let sibling_key = std::mem::replace(&mut world.key, key);
    assert_eq!(world.ended(&lease).await["why"], "job-ended");
    world.key = sibling_key;
    let path = format!("/v1/leases/{sibling}");
    let alive = world.call("GET", &path, None, None).await;
    assert_eq!(alive.body["state"], "active");
    assert_eq!(world.cloud.sessions_alive(), 1);
}

#[tokio::test]
async fn what_was_delivered_before_is_known_whatever_its_delivery_is_called() {
    let mut world = World::start().await;
    let lease = world.submit(SCOPE).await.lease();
    let event = completed(&world.job);
    assert_eq!(deliver(&world, &event).await.body["leases_ended"], 1);
    world.ended(&lease).await;
    // The job cannot have another lease; were there one, an old call must not end it.
    world.key = Key::fresh();
    world.submit(SCOPE).await.lease();
    let again = deliver(&world, &event).await;
    assert_eq!(
        (again.status, &again.body["leases_ended"]),
        (202, &json!(0))
    );
    assert_eq!(world.cloud.sessions_alive(), 1);
}

#[tokio::test]
async fn a_call_without_the_secret_ends_nothing_and_writes_nothing() {
    let world = World::start().await;
    world.submit(SCOPE).await.lease();
    let ledger = world.broker.as_ref().unwrap().core().books.ledger();
    let before = ledger.frontier().await.unwrap().size();
    let body = completed(&world.job).to_string().into_bytes();
    let forged = deliver_raw(
        &world,
        b"a guess that is as long",
        "workflow_job",
        body.clone(),
    )
    .await;
    assert_eq!((forged.status, forged.problem()), (401, "bad_signature"));
    let bare = read(world.raw("POST", "/v1/webhooks/github").body(body)).await;
    assert_eq!((bare.status, bare.problem()), (401, "bad_signature"));
    let token = world
        .raw("POST", "/v1/webhooks/gitlab")
        .header("x-gitlab-token", "a guess");
    let token = read(token.body("{}")).await;
    assert_eq!((token.status, token.problem()), (401, "bad_signature"));
    assert_eq!(world.cloud.sessions_alive(), 1);
    assert_eq!(ledger.frontier().await.unwrap().size(), before);
    let metrics = world.raw("GET", "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let counted = "jitney_webhooks_total{forge=\"github\",result=\"bad_signature\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn other_events_are_heard_and_do_nothing_and_bodies_have_a_limit() {
    let world = World::start().await;
    world.submit(SCOPE).await.lease();
    let body = completed(&world.job).to_string().into_bytes();
    for event in ["ping", "workflow_run", "check_run"] {
        let other = deliver_raw(&world, HOOK_SECRET, event, body.clone()).await;
        assert_eq!(other.status, 204, "{event}");
    }
    let mut running = completed(&world.job);
    running["action"] = json!("in_progress");
    assert_eq!(deliver(&world, &running).await.status, 204);
    let nonsense = deliver_raw(&world, HOOK_SECRET, "workflow_job", b"{".to_vec()).await;
    assert_eq!((nonsense.status, nonsense.problem()), (400, "bad_request"));
    let large = deliver_raw(&world, HOOK_SECRET, "ping", vec![b' '; 256 * 1024 + 1]).await;
    assert_eq!((large.status, large.problem()), (413, "too_large"));
    let gitlab = world
        .raw("POST", "/v1/webhooks/gitlab")
        .header("x-gitlab-token", std::str::from_utf8(HOOK_SECRET).unwrap())
        .header("x-gitlab-event", "Job Hook")
        .json(&json!({"build_id": 302, "build_status": "success", "project_id": 20}));
    let gitlab = read(gitlab).await;
    assert_eq!(
        (gitlab.status, &gitlab.body),
        (202, &json!({"leases_ended": 0}))
    );
    assert_eq!(world.cloud.sessions_alive(), 1);
}

#[tokio::test]
async fn a_hook_that_is_not_configured_does_not_exist() {
    let mut world = World::start().await;
    world.broker.take().unwrap().shutdown().await;
    world.hears_hooks = false;
    world.restart().await;
    for path in ["/v1/webhooks/github", "/v1/webhooks/gitlab"] {
        let nothing = read(world.raw("POST", path).body("{}")).await;
        assert_eq!((nothing.status, nothing.problem()), (404, "not_found"));
    }
    assert!(world.job.token(AUDIENCE).is_ok());
}
