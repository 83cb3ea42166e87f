//! Submitting, repeating, looking at and giving back requests.

use std::time::{Duration, Instant};

use jitney_core::fault::FaultKind;
use serde_json::json;

use crate::cloud::{CANARY, Mood};
use crate::world::{AUDIENCE, Key, SCOPE, World, read};

#[tokio::test]
async fn a_job_gets_a_lease_and_its_credential_once() {
    let world = World::start().await;
    let granted = world.submit(SCOPE).await;
    assert_eq!(granted.status, 201, "{granted:?}");
    assert_eq!(granted.headers["cache-control"], "no-store");
    assert_eq!(granted.body["state"], "granted");
    assert_eq!(granted.body["decision"]["rules"][0], "allow");
    assert_eq!(granted.body["leases"][0]["cloud"], "fake");
    let credential = &granted.body["credentials"][0];
    assert_eq!(credential["lease"], granted.body["leases"][0]["id"]);
    assert!(
        credential["fields"]["secret_access_key"]
            .as_str()
            .unwrap()
            .starts_with(CANARY)
    );
    assert_eq!(credential["settings"]["region"], "eu-central-1");
    let path = format!("/v1/requests/{}", granted.request());
    let looked = world.call("GET", &path, None, None).await;
    assert_eq!(looked.status, 200);
    assert!(!looked.body.to_string().contains(CANARY));
    assert_eq!(world.cloud.sessions_alive(), 1);
}

#[tokio::test]
async fn the_same_wish_is_the_same_request_and_holds_no_credential() {
    let world = World::start().await;
    let submit = async |token: &str, wish: &str| {
        let url = format!("{}/v1/requests", world.url);
        let proof = world.key.proof("POST", &url, Some(token));
        let call = world.raw("POST", "/v1/requests").bearer_auth(token);
        let call = call.header("dpop", proof).header("idempotency-key", wish);
        read(call.json(&json!({ "scopes": [SCOPE] }))).await
    };
    let token = world.token();
    let first = submit(&token, "wish-1").await;
    assert_eq!(first.status, 201);
    // The same token, and a fresh one of the same job.
    for token in [token, world.token()] {
        let again = submit(&token, "wish-1").await;
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!(again.request(), first.request());
        assert!(!again.body.to_string().contains(CANARY));
    }
    assert_eq!(world.cloud.minted(), 1);
}

#[tokio::test]
async fn a_token_that_was_used_by_another_key_is_a_replay() {
    let mut world = World::start().await;
    let token = world.token();
    let body = json!({ "scopes": [SCOPE] });
    let first = world
        .call("POST", "/v1/requests", Some(&token), Some(body.clone()))
        .await;
    assert_eq!(first.status, 201);
    world.key = Key::fresh();
    let stolen = world
        .call("POST", "/v1/requests", Some(&token), Some(body))
        .await;
    assert_eq!((stolen.status, stolen.problem()), (401, "token_replayed"));
    assert_eq!(world.cloud.minted(), 1);
}

#[tokio::test]
async fn a_denial_says_why_and_is_on_record() {
    let world = World::start().await;
    let denied = world
        .submit("object-storage:write@artifacts/forbidden/")
        .await;
    assert_eq!((denied.status, denied.problem()), (403, "denied"));
    assert_eq!(denied.body["rules"][0], "no-forbidden");
    assert_eq!(denied.body["reasons"][0], "as the rule says");
    let path = format!("/v1/requests/{}", denied.body["request"].as_str().unwrap());
    let looked = world.call("GET", &path, None, None).await;
    assert_eq!(looked.body["outcome"], "denied");
    assert_eq!(world.cloud.minted(), 0);
}

#[tokio::test]
async fn what_cannot_be_granted_comes_with_its_own_code() {
    let world = World::start().await;
    for (scope, status, code) in [
        ("nonsense", 400, "bad_scope"),
        ("object-storage:write@artifacts/../x", 400, "bad_scope"),
        ("object-storage:write@nowhere", 422, "unknown_resource"),
        ("object-storage:burn@artifacts", 422, "unknown_capability"),
        (
            "object-storage:write@artifacts/unplannable/",
            422,
            "cannot_plan",
        ),
    ] {
        let refused = world.submit(scope).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (status, code),
            "{scope}"
        );
        // The adapter's own word stands beside the API's, where it was the adapter who refused.
        let cause = (code == "cannot_plan").then_some("plan_too_large");
        assert_eq!(refused.body["cause"].as_str(), cause, "{scope}");
    }
    assert_eq!(world.cloud.minted(), 0);
}

#[tokio::test]
async fn a_clouds_fault_is_told_and_nothing_stays_behind() {
    let world = World::start().await;
    world
        .cloud
        .set(Mood::Faulty(FaultKind::Retryable { after: None }));
    let busy = world.submit(SCOPE).await;
    assert_eq!((busy.status, busy.problem()), (503, "try_again"));
    assert!(busy.headers.contains_key("retry-after"));
    world.cloud.set(Mood::Faulty(FaultKind::Permanent));
    let refused = world.submit(SCOPE).await;
    assert_eq!((refused.status, refused.problem()), (502, "not_granted"));
    assert_eq!(refused.body["cause"], "fake_fault");
    world.cloud.set(Mood::AnswerLost);
    let lost = world.submit(SCOPE).await;
    assert_eq!((lost.status, lost.problem()), (502, "not_granted"));
    // It was given out all the same: the broker takes back what it never saw.
    let path = format!("/v1/requests/{}", lost.body["request"].as_str().unwrap());
    let looked = world.call("GET", &path, None, None).await;
    let ended = world.ended(&looked.lease()).await;
    assert_eq!(ended["why"], "doubted");
    assert_eq!(world.cloud.sessions_alive(), 0);
}

#[tokio::test]
async fn a_panic_in_an_adapter_ends_one_call_and_no_secret_leaves() {
    let world = World::start().await;
    world.cloud.set(Mood::Panicking);
    let broken = world.submit(SCOPE).await;
    assert_eq!((broken.status, broken.problem()), (500, "internal"));
    assert!(!broken.body.to_string().contains(CANARY));
    world.cloud.set(Mood::Obliging);
    assert_eq!(world.submit(SCOPE).await.status, 201);
}

#[tokio::test]
async fn who_waits_is_answered_when_something_changes_and_not_before() {
    let world = World::start().await;
    let granted = world.submit(SCOPE).await;
    let path = format!("/v1/requests/{}?wait_seconds=20", granted.request());
    let release = format!("/v1/leases/{}/release", granted.lease());
    let since = Instant::now();
    let (waited, _) = tokio::join!(world.call("GET", &path, None, None), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        world.call("POST", &release, None, None).await
    });
    assert_eq!(waited.status, 200);
    assert_ne!(waited.body["leases"][0]["state"], "active");
    let waited_for = since.elapsed();
    assert!(waited_for >= Duration::from_millis(400) && waited_for < Duration::from_secs(10));
    let short = format!("/v1/requests/{}?wait_seconds=0", granted.request());
    assert_eq!(world.call("GET", &short, None, None).await.status, 200);
    for bad in ["?wait_seconds=soon", "?wait_seconds=-1", "?wait=1"] {
        let path = format!("/v1/requests/{}{bad}", granted.request());
        let refused = world.call("GET", &path, None, None).await;
        assert_eq!(refused.problem(), "bad_request", "{bad}");
    }
}

#[tokio::test]
async fn giving_a_request_back_ends_all_its_leases() {
    let world = World::start().await;
    let granted = world.submit(SCOPE).await;
    let path = format!("/v1/requests/{}/release", granted.request());
    let released = world.call("POST", &path, None, None).await;
    assert_eq!(released.status, 202);
    let ended = world.ended(&granted.lease()).await;
    assert_eq!(
        (&ended["why"], &ended["evidence"]),
        (&json!("released"), &json!("settled"))
    );
    assert_eq!(world.cloud.sessions_alive(), 0);
    // Again: nothing changes.
    assert_eq!(world.call("POST", &path, None, None).await.status, 202);
}

#[tokio::test]
async fn a_token_for_somebody_else_opens_nothing() {
    let world = World::start().await;
    let token = world.job.token("https://elsewhere.test").unwrap();
    let body = json!({ "scopes": [SCOPE] });
    let refused = world
        .call("POST", "/v1/requests", Some(&token), Some(body))
        .await;
    assert_eq!((refused.status, refused.problem()), (401, "bad_audience"));
    assert!(refused.headers.contains_key("www-authenticate"));
    assert_ne!(AUDIENCE, "https://elsewhere.test");
}
