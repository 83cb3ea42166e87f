//! What is counted, and where it is shown.

use jitney_core::fault::FaultKind;
use serde_json::json;

use crate::cloud::Mood;
use crate::world::{SCOPE, World};

async fn scraped(world: &World) -> String {
    let answer = world.raw("GET", "/metrics").send().await.unwrap();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    answer.text().await.unwrap()
}

#[tokio::test]
async fn refusals_are_counted_by_code_and_name_nobody() {
    let world = World::start().await;
    world
        .submit("object-storage:write@artifacts/forbidden/")
        .await;
    world.submit("object-storage:write@nowhere").await;
    world.call("GET", "/v1/requests/nothing", None, None).await;
    let lease = world.submit(SCOPE).await.lease();
    world
        .call("POST", &format!("/v1/leases/{lease}/release"), None, None)
        .await;
    assert_eq!(world.ended(&lease).await["why"], json!("released"));
    let text = scraped(&world).await;
    for line in [
        "jitney_refusals_total{code=\"denied\"} 1",
        "jitney_refusals_total{code=\"unknown_resource\"} 1",
        "jitney_refusals_total{code=\"not_found\"} 1",
        "jitney_call_seconds_count{route=\"/v1/requests\"} 3",
        "# TYPE jitney_jwks_age_seconds gauge",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\nin\n{text}");
    }
    assert!(text.contains("jitney_jwks_age_seconds{issuer=\"ci\"}"));
    let claims = world.job.claims(None);
    for name in ["repository", "actor", "repository_id", "run_id", "sha"] {
        let value = claims[name].as_str().unwrap();
        assert!(!text.contains(value), "{name} is a label");
    }
}

#[tokio::test]
async fn what_the_ledger_took_in_is_what_is_counted() {
    let world = World::start().await;
    world.cloud.set(Mood::Faulty(FaultKind::Ambiguous));
    world.submit(SCOPE).await;
    world.cloud.set(Mood::Obliging);
    let lease = world.submit(SCOPE).await.lease();
    world
        .call("POST", &format!("/v1/leases/{lease}/renew"), None, None)
        .await;
    world
        .call("POST", &format!("/v1/leases/{lease}/release"), None, None)
        .await;
    assert_eq!(world.ended(&lease).await["why"], json!("released"));
    let text = scraped(&world).await;
    for line in [
        "jitney_mints_total{result=\"granted\"} 1",
        "jitney_mints_total{result=\"renewing\"} 1",
        "jitney_mints_total{result=\"doubted\"} 1",
        "jitney_ends_total{why=\"released\"} 1",
        "# TYPE jitney_ledger_commit_seconds histogram",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\nin\n{text}");
    }
    let ended = "jitney_revoke_lag_seconds_count{until=\"ended\"}";
    assert!(text.contains(ended), "{text}");
    assert!(text.contains("jitney_ledger_commit_seconds_count{result=\"ok\"}"));
}
