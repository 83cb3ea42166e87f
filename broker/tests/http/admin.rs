//! What operators do to a running broker through its socket.

use std::time::Duration;

use jitney_core::audit::{Entry, Event};
use jitney_sandbox::ci::GithubJob;
use serde_json::json;

use crate::cloud::Mood;
use crate::world::{Key, SCOPE, World, read};

/// The last entry of this kind in the audit log.
async fn entry(world: &World, event: Event) -> Entry {
    let ledger = world.broker.as_ref().unwrap().core().books.ledger();
    let stored = ledger.entries(0, 10_000).await.unwrap();
    let mut entries = stored
        .iter()
        .map(|stored| Entry::decode(&stored.bytes).unwrap());
    entries.rfind(|entry| entry.event() == event).unwrap()
}

#[tokio::test]
async fn a_lease_is_written_off_by_a_person_whose_user_the_kernel_knows() {
    let world = World::start().await;
    let lease = world.submit(SCOPE).await.lease();
    world.cloud.set(Mood::Away);
    world
        .call("POST", &format!("/v1/leases/{lease}/release"), None, None)
        .await;
    let path = format!("/v1/leases/{lease}/write-off");
    let body = json!({"person": "Ada Lovelace", "reason": "the account was closed"});
    let over = world.operate("POST", &path, &body).await;
    assert_eq!(
        (over.status, &over.body["state"]),
        (200, &json!("ended")),
        "{over:?}"
    );
    let entry = entry(&world, Event::LeaseWrittenOff).await;
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(world.socket()).unwrap());
    assert_eq!(
        entry.fields().get("person").map(String::as_str),
        Some(&*format!("Ada Lovelace (uid {uid})"))
    );
    assert_eq!(
        entry.fields().get("reason").map(String::as_str),
        Some("the account was closed")
    );
    let again = world.operate("POST", &path, &body).await;
    assert_eq!(
        (again.status, again.body["code"].as_str()),
        (400, Some("bad_request"))
    );
}

#[tokio::test]
async fn what_operators_say_is_checked_and_what_they_may_others_may_not() {
    let world = World::start().await;
    let lease = world.submit(SCOPE).await.lease();
    world.cloud.set(Mood::Away);
    world
        .call("POST", &format!("/v1/leases/{lease}/release"), None, None)
        .await;
    let path = format!("/v1/leases/{lease}/write-off");
    for body in [
        json!({"person": "", "reason": "x"}),
        json!({"person": "  ", "reason": "x"}),
        json!({"person": "a\nb", "reason": "x"}),
        json!({"person": "ada", "reason": ""}),
        json!({"person": "a".repeat(129), "reason": "x"}),
        json!({"person": "ada", "reason": "x".repeat(5000)}),
        json!({"person": "ada"}),
        json!({"person": "ada", "reason": "x", "force": true}),
    ] {
        let refused = world.operate("POST", &path, &body).await;
        assert_eq!(
            (refused.status, refused.body["code"].as_str()),
            (400, Some("bad_request"))
        );
    }
    let body = json!({"person": "ada", "reason": "x"});
    for (path, code) in [
        ("/v1/leases/nothing/write-off", "bad_request"),
        (
            "/v1/leases/lease_00000000000000000000000000000000/write-off",
            "not_found",
        ),
        ("/v1/requests", "not_found"),
    ] {
        let refused = world.operate("POST", path, &body).await;
        assert_eq!(refused.body["code"], code, "{path}");
    }
    // Not by the way that jobs come in.
    let stranger = read(world.raw("POST", &path).json(&body)).await;
    assert_eq!((stranger.status, stranger.problem()), (404, "not_found"));
    let view = world
        .call("GET", &format!("/v1/leases/{lease}"), None, None)
        .await;
    assert_eq!(view.body["state"], "revoking");
}

#[tokio::test]
async fn an_order_ends_what_it_is_about_durably_and_tells_how_far_it_is() {
    let mut world = World::start().await;
    let lease = world.submit(SCOPE).await.lease();
    let repository = world.job.claims(None)["repository_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let signed = json!({"person": "ada", "reason": "a token was seen in a log"});
    let about = |repository: &str, dry_run: bool| json!({"aim": {"repository": repository}, "dry_run": dry_run, "signed": signed});
    let tried = world
        .operate("POST", "/v1/orders", &about(&repository, true))
        .await;
    assert_eq!((tried.status, &tried.body["leases"]), (200, &json!(1)));
    assert_eq!(tried.body["lanes"], json!(["acme-prod/role/deploy"]));
    let none = world.operate("POST", "/v1/orders", &about("1", true)).await;
    assert_eq!(none.body["leases"], 0);
    assert_eq!(world.cloud.sessions_alive(), 1, "a dry run ends nothing");
    assert_eq!(
        world.operate("GET", "/v1/orders", &json!(null)).await.body,
        json!([])
    );

    let given = world
        .operate("POST", "/v1/orders", &about(&repository, false))
        .await;
    assert_eq!(given.status, 202, "{given:?}");
    assert_eq!(world.ended(&lease).await["why"], "killed");
    let order = given.body["order"].as_str().unwrap().to_owned();
    let path = format!("/v1/orders/{order}");
    let mut shown = world.operate("GET", &path, &json!(null)).await;
    for _ in 0..100 {
        if shown.body["done_at"].is_string() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        shown = world.operate("GET", &path, &json!(null)).await;
    }
    assert_eq!(
        (&shown.body["ended"], &shown.body["revoking"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(shown.body["eta_seconds"], 0);
    assert!(
        shown.body["signed"]["person"]
            .as_str()
            .unwrap()
            .starts_with("ada (uid ")
    );
    let all = world.operate("GET", "/v1/orders", &json!(null)).await;
    assert_eq!(all.body[0]["id"], json!(order));
    // Once it is carried out, the next job is granted again.
    world.job = world.ci.job(GithubJob::push_to_main());
    world.key = Key::fresh();
    assert_eq!(world.submit(SCOPE).await.status, 201);
}

#[tokio::test]
async fn an_order_about_everything_or_about_nonsense_is_refused() {
    let world = World::start().await;
    world.submit(SCOPE).await.lease();
    let signed = json!({"person": "ada", "reason": "x"});
    for aim in [
        json!({}),
        json!({"lease": "lease_1"}),
        json!({"since": "yesterday"}),
        json!({"target": "No Target"}),
        json!({"branch": "main"}),
    ] {
        let body = json!({"aim": aim, "signed": signed});
        let refused = world.operate("POST", "/v1/orders", &body).await;
        assert_eq!(
            (refused.status, refused.body["code"].as_str()),
            (400, Some("bad_request")),
            "{aim}"
        );
    }
    let unknown = format!("/v1/orders/order_{}", "0".repeat(32));
    let unknown = world.operate("GET", &unknown, &json!(null)).await;
    assert_eq!(unknown.body["code"], "not_found");
    assert_eq!(world.cloud.sessions_alive(), 1);
}

#[tokio::test]
async fn a_recovery_without_a_reason_to_and_a_sweep_of_nowhere_are_refused() {
    let world = World::start().await;
    let signed = json!({"person": "ada", "reason": "x"});
    let dry = json!({"dry_run": true, "signed": signed});
    let tried = world.operate("POST", "/v1/recover", &dry).await;
    assert_eq!(
        (tried.status, &tried.body["ordered"]),
        (200, &json!(false)),
        "{tried:?}"
    );
    let recover = world
        .operate("POST", "/v1/recover", &json!({"signed": signed}))
        .await;
    assert_eq!(
        (recover.status, recover.body["code"].as_str()),
        (400, Some("bad_request"))
    );
    let sweep = |target: &str| json!({"target": target, "cap": 1, "signed": signed});
    let swept = world
        .operate("POST", "/v1/sweeps", &sweep("acme-prod"))
        .await;
    assert_eq!(
        (swept.status, &swept.body["strays"]),
        (200, &json!([])),
        "{swept:?}"
    );
    let nowhere = world
        .operate("POST", "/v1/sweeps", &sweep("acme-test"))
        .await;
    assert_eq!(nowhere.status, 422);
    // What jobs are not told, operators are.
    let told = nowhere.body["detail"].as_str().unwrap();
    assert!(
        told.contains("add it to the configuration's `targets`"),
        "{told}"
    );
}

#[tokio::test]
async fn the_status_tells_of_leases_and_of_what_is_overdue() {
    let world = World::start().await;
    world.submit(SCOPE).await.lease();
    let status = world.operate("GET", "/v1/status", &json!(null)).await;
    assert_eq!(status.body["leases"], json!({"active": 1}));
    assert_eq!(
        (&status.body["stuck_count"], &status.body["halted"]),
        (&json!(0), &json!(null))
    );
}
