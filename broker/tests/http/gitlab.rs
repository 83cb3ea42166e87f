//! Jobs of GitLab, which have one token for all their time: it gets a lease, the key keeps it, and
//! GitLab's webhook ends it.

use jitney_broker::SystemClock;
use jitney_core::time::Clock as _;
use jitney_sandbox::ci::{CiIssuer, CiOptions, SignWith};
use serde_json::{Value, json};

use crate::world::{AUDIENCE, Answer, HOOK_SECRET, Key, SCOPE, World, read};

/// Projects and jobs that are told apart by one of their ids.
const PROJECT: u64 = 2020;
const JOB: u64 = 302;

async fn lab() -> CiIssuer {
    CiIssuer::start(CiOptions::default()).await.unwrap()
}

/// The token that GitLab gave a job when it began, ten minutes ago.
fn token(lab: &CiIssuer, project: u64, job: u64) -> String {
    let began = SystemClock.now().as_seconds() - 600;
    let commit = "714a629c0b401fdce83e847fc9589983fc6f46bc";
    let claims = json!({
        "jti": uuid::Uuid::new_v4().to_string(), "iss": lab.url(), "aud": AUDIENCE,
        "iat": began, "nbf": began - 5, "exp": began + 3600,
        "sub": "project_path:acme/shop:ref_type:branch:ref:main",
        "namespace_id": "72", "namespace_path": "acme",
        "project_id": project.to_string(), "project_path": "acme/shop",
        "job_project_id": project.to_string(), "job_project_path": "acme/shop",
        "user_id": "31337", "user_login": "lab-dev", "runner_id": 1,
        "pipeline_id": "574", "pipeline_source": "push", "job_id": job.to_string(),
        "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
        "ref_protected": "true", "runner_environment": "self-hosted", "sha": commit,
        "ci_config_ref_uri": "gitlab.test/acme/shop//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": commit,
    });
    lab.mint(&claims, &lab.header(), SignWith::Current).unwrap()
}

async fn submit(world: &World, token: &str) -> Answer {
    let body = json!({ "scopes": [SCOPE], "ttl_seconds": 300 });
    world
        .call("POST", "/v1/requests", Some(token), Some(body))
        .await
}

/// A job with a key of its own, and its lease.
async fn lease(world: &mut World, token: &str) -> (Key, String) {
    world.key = Key::fresh();
    let lease = submit(world, token).await.lease();
    (std::mem::replace(&mut world.key, Key::fresh()), lease)
}

/// Delivers an event, and says how many leases it ended.
async fn finished(world: &World, project: u64, job: u64) -> Value {
    let call = world
        .raw("POST", "/v1/webhooks/gitlab")
        .header("x-gitlab-token", std::str::from_utf8(HOOK_SECRET).unwrap())
        .header("x-gitlab-event", "Job Hook")
        .json(
            &json!({"object_kind": "build", "build_id": job, "build_status": "failed",
                      "project_id": project, "pipeline_id": 574}),
        );
    let answer = read(call).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.body["leases_ended"].clone()
}

#[tokio::test]
async fn when_gitlab_says_that_a_job_is_over_its_leases_end_and_no_others() {
    let mut world = World::start_beside(vec![lab().await, lab().await]).await;
    let (own, elsewhere) = (world.labs[0].url(), world.labs[1].url());
    assert_ne!(own, elsewhere);
    let tokens = [
        token(&world.labs[0], PROJECT, JOB),
        token(&world.labs[0], PROJECT, JOB + 1),
        token(&world.labs[0], PROJECT + 1, JOB),
        token(&world.labs[1], PROJECT, JOB),
    ];
    let mut leases = Vec::new();
    for token in &tokens {
        leases.push(lease(&mut world, token).await);
    }
    assert_eq!(world.cloud.sessions_alive(), 4);
    // Near misses.
    for (project, job) in [(PROJECT + 2, JOB), (PROJECT, JOB + 2), (JOB, PROJECT)] {
        assert_eq!(finished(&world, project, job).await, 0);
    }
    assert_eq!(world.cloud.sessions_alive(), 4);
    assert_eq!(finished(&world, PROJECT, JOB).await, 1);
    let mut leases = leases.into_iter();
    let (key, lease) = leases.next().unwrap();
    world.key = key;
    assert_eq!(world.ended(&lease).await["why"], "job-ended");
    // Another job, another project, another GitLab.
    for (key, lease) in leases {
        world.key = key;
        let path = format!("/v1/leases/{lease}");
        let alive = world.call("GET", &path, None, None).await;
        assert_eq!(alive.body["state"], "active", "{alive:?}");
    }
    assert_eq!(world.cloud.sessions_alive(), 3);
}

#[tokio::test]
async fn the_one_token_of_a_job_gets_one_request_and_its_key_keeps_the_lease() {
    let mut world = World::start_beside(vec![lab().await]).await;
    let token = token(&world.labs[0], PROJECT, JOB);
    let lease = submit(&world, &token).await.lease();
    let path = format!("/v1/leases/{lease}/heartbeat");
    let beat = world.call("POST", &path, None, None).await;
    assert_eq!(beat.status, 200, "{beat:?}");
    // The token again is no sign of life, and gets nothing more, whoever shows it.
    let shown = world.call("POST", &path, Some(&token), None).await;
    assert_eq!((shown.status, shown.problem()), (401, "bad_audience"));
    let again = submit(&world, &token).await;
    assert_eq!((again.status, again.problem()), (401, "token_replayed"));
    world.key = Key::fresh();
    let stolen = submit(&world, &token).await;
    assert_eq!((stolen.status, stolen.problem()), (401, "token_replayed"));
    assert_eq!(world.cloud.minted(), 1);
}
