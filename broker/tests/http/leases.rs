//! What a job does with a lease, and what nobody else can do with it.

use jitney_sandbox::ci::GithubJob;
use serde_json::json;

use crate::cloud::CANARY;
use crate::world::{AUDIENCE, Answer, BEATS, Key, SCOPE, World, read};

#[tokio::test]
async fn a_lease_is_shown_beaten_renewed_and_given_back() {
    let world = World::start().await;
    let lease = world.submit(SCOPE).await.lease();
    let path = |what: &str| format!("/v1/leases/{lease}{what}");
    let shown = world.call("GET", &path(""), None, None).await;
    assert_eq!(
        (shown.status, &shown.body["state"]),
        (200, &json!("active"))
    );
    assert_eq!(
        shown.body["recall"],
        json!({"kind": "severs", "within_seconds": 5})
    );

    // What was handed out may work for as long as it may have been minted late, and then lives.
    let instant = |name: &str| shown.body[name].as_str().unwrap();
    assert!(instant("exposed_until") > instant("ends_at"), "{shown:?}");

    let beat = world.call("POST", &path("/heartbeat"), None, None).await;
    assert_eq!(beat.body["state"], "active");
    assert_eq!(beat.body["next_within_seconds"], 45);

    let renewed = world.call("POST", &path("/renew"), None, None).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    assert!(renewed.body["credential"].to_string().contains(CANARY));
    assert_eq!(world.cloud.minted(), 2);

    let released = world.call("POST", &path("/release"), None, None).await;
    assert_eq!(released.status, 202);
    assert_ne!(released.body["state"], "active");
    let ended = world.ended(&lease).await;
    assert_eq!(ended["why"], "released");
    assert_eq!(world.cloud.sessions_alive(), 0);

    let late = world.call("POST", &path("/renew"), None, None).await;
    assert_eq!((late.status, late.problem()), (410, "lease_ended"));
    let beat = world.call("POST", &path("/heartbeat"), None, None).await;
    assert_eq!(beat.body["state"], "ended");
}

#[tokio::test]
async fn a_credential_is_probed_for_whoever_has_the_lease_and_is_not_repeated() {
    let mut world = World::start().await;
    let granted = world.submit(SCOPE).await;
    let lease = granted.lease();
    let path = format!("/v1/leases/{lease}/probe");
    let fields = json!({"fields": granted.body["credentials"][0]["fields"]});
    let probed = world.call("POST", &path, None, Some(fields.clone())).await;
    assert_eq!(
        (probed.status, &probed.body["answer"]),
        (200, &json!("accepted"))
    );
    assert_eq!(probed.body["in_force_within_seconds"], 2);
    let wrong = json!({"fields": {"secret_access_key": "another"}});
    let probed = world.call("POST", &path, None, Some(wrong)).await;
    assert_eq!(
        (probed.status, &probed.body["answer"]),
        (200, &json!("refused"))
    );
    for malformed in [
        json!({"fields": CANARY}),
        json!({"fields": {"secret_access_key": [CANARY]}}),
        json!({"fields": {}, CANARY: 1}),
    ] {
        let refused = world.call("POST", &path, None, Some(malformed)).await;
        assert_eq!(refused.problem(), "bad_request");
        assert!(!refused.body.to_string().contains(CANARY), "{refused:?}");
    }
    let key = std::mem::replace(&mut world.key, Key::fresh());
    let other = world.call("POST", &path, None, Some(fields.clone())).await;
    assert_eq!(other.problem(), "not_found");
    world.key = key;
    let release = format!("/v1/leases/{lease}/release");
    world.call("POST", &release, None, None).await;
    let over = world.call("POST", &path, None, Some(fields)).await;
    assert_eq!((over.status, over.problem()), (410, "lease_ended"));
}

#[tokio::test]
async fn another_key_finds_nothing() {
    let mut world = World::start().await;
    let granted = world.submit(SCOPE).await;
    let (lease, request) = (granted.lease(), granted.request());
    world.key = Key::fresh();
    for (method, path) in [
        ("GET", format!("/v1/leases/{lease}")),
        ("POST", format!("/v1/leases/{lease}/heartbeat")),
        ("POST", format!("/v1/leases/{lease}/renew")),
        ("POST", format!("/v1/leases/{lease}/release")),
        ("GET", format!("/v1/requests/{request}")),
        ("POST", format!("/v1/requests/{request}/release")),
        (
            "GET",
            "/v1/leases/lease_00000000000000000000000000000000".to_owned(),
        ),
        ("GET", "/v1/leases/..".to_owned()),
        ("GET", "/v1/leases/%00".to_owned()),
    ] {
        let refused = world.call(method, &path, None, None).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (404, "not_found"),
            "{path}"
        );
    }
    assert_eq!(world.cloud.sessions_alive(), 1);
}

#[tokio::test]
async fn a_post_step_gives_back_with_a_fresh_token_of_its_job_and_does_no_more() {
    let world = World::start().await;
    let lease = world.submit(SCOPE).await.lease();
    let bearer = async |what: &str, token: String| {
        let path = format!("/v1/leases/{lease}{what}");
        let method = if what.is_empty() { "GET" } else { "POST" };
        read(world.raw(method, &path).bearer_auth(token)).await
    };
    let other = world.ci.job(GithubJob::push_to_main());
    let foreign = bearer("/release", other.token(AUDIENCE).unwrap()).await;
    assert_eq!((foreign.status, foreign.problem()), (404, "not_found"));
    for what in ["", "/renew", "/heartbeat"] {
        let keyless = bearer(what, world.token()).await;
        assert_eq!(
            (keyless.status, keyless.problem()),
            (401, "missing_proof"),
            "{what}"
        );
    }
    assert_eq!(world.cloud.sessions_alive(), 1);
    let released = bearer("/release", world.token()).await;
    assert_eq!(released.status, 202, "{released:?}");
    assert_eq!(world.ended(&lease).await["why"], "released");
}

#[tokio::test]
async fn a_beat_with_another_jobs_token_is_no_sign_of_life() {
    let world = World::start().await;
    let lease = world.submit(SCOPE).await.lease();
    let path = format!("/v1/leases/{lease}/heartbeat");
    let other = world.ci.job(GithubJob::push_to_main());
    let other = other.token(BEATS).unwrap();
    let foreign = world.call("POST", &path, Some(&other), None).await;
    assert_eq!((foreign.status, foreign.problem()), (404, "not_found"));
    let own = world.job.token(BEATS).unwrap();
    let own = world.call("POST", &path, Some(&own), None).await;
    assert_eq!(own.status, 200);
}

#[tokio::test]
async fn a_token_for_beats_and_one_for_requests_are_not_taken_for_each_other() {
    let world = World::start().await;
    let beat = world.job.token(BEATS).unwrap();
    let body = json!({ "scopes": [SCOPE], "ttl_seconds": 300 });
    let asked = world.call("POST", "/v1/requests", Some(&beat), Some(body));
    let refused = asked.await;
    assert_eq!((refused.status, refused.problem()), (401, "bad_audience"));
    assert_eq!(world.cloud.minted(), 0);

    let lease = world.submit(SCOPE).await.lease();
    for what in ["heartbeat", "renew"] {
        let path = format!("/v1/leases/{lease}/{what}");
        let refused = world.call("POST", &path, Some(&world.token()), None).await;
        assert_eq!((refused.status, refused.problem()), (401, "bad_audience"));
        let taken = world.call("POST", &path, Some(&beat), None).await;
        assert_eq!(taken.status, 200, "{taken:?}");
    }
    let path = format!("/v1/leases/{lease}/release");
    let bearer = read(world.raw("POST", &path).bearer_auth(&beat)).await;
    assert_eq!((bearer.status, bearer.problem()), (401, "bad_audience"));
    assert_eq!(world.cloud.sessions_alive(), 1);
}

#[tokio::test]
async fn a_renewal_with_a_fresh_token_of_its_job_gives_more_than_one_without() {
    let world = World::start().await;
    let lease = world.submit_for(SCOPE, 3600).await.lease();
    let path = format!("/v1/leases/{lease}/renew");
    let ends_at = |answer: &Answer| -> String {
        answer.body["lease"]["ends_at"].as_str().unwrap().to_owned()
    };
    let first = world.call("POST", &path, None, None).await;
    let without = world.call("POST", &path, None, None).await;
    assert_eq!(ends_at(&first), ends_at(&without), "bounded by its grant");
    let token = world.job.token(BEATS).unwrap();
    let with = world.call("POST", &path, Some(&token), None).await;
    assert!(ends_at(&with) > ends_at(&without), "{with:?}");
}

#[test]
fn job_and_broker_agree_on_the_audience_of_beats() {
    for audience in [AUDIENCE, "https://jitney.test/", "https://h.test/a/b"] {
        assert_eq!(
            jitney_api::beat_audience(audience),
            jitney_identity::default_beat_audience(audience)
        );
    }
}

#[tokio::test]
async fn a_proof_is_good_for_one_call_to_one_address() {
    let world = World::start().await;
    let lease = world.submit(SCOPE).await.lease();
    let path = format!("/v1/leases/{lease}/heartbeat");
    let url = format!("{}{path}", world.url);
    let beat = async |proof: &str| read(world.raw("POST", &path).header("dpop", proof)).await;
    let proof = world.key.proof("POST", &url, None);
    assert_eq!(beat(&proof).await.status, 200);
    assert_eq!(beat(&proof).await.problem(), "proof_replayed");
    let elsewhere = world
        .key
        .proof("POST", &format!("{}/release", world.url), None);
    assert_eq!(beat(&elsewhere).await.problem(), "proof_mismatch");
    let method = world.key.proof("GET", &url, None);
    assert_eq!(beat(&method).await.problem(), "proof_mismatch");
    assert_eq!(beat("not a proof").await.problem(), "bad_proof");
}

/// A broker that was just started remembers no proofs, as another one on the same ledger. A client
/// whose clock is ahead makes proofs that it cannot tell from fresh ones.
#[tokio::test]
async fn a_renewal_that_was_captured_gives_nothing_at_another_broker() {
    let mut world = World::start().await;
    let lease = world.submit(SCOPE).await.lease();
    let path = format!("/v1/leases/{lease}/renew");
    let proof = world
        .key
        .proof_ahead("POST", &format!("{}{path}", world.url), None, 50);
    let renew = async |world: &World| {
        let call = world.raw("POST", &path).header("dpop", &proof);
        read(call).await
    };
    assert_eq!(renew(&world).await.status, 200);
    let here = renew(&world).await;
    assert_eq!((here.status, here.problem()), (401, "proof_replayed"));
    let address = world.url.strip_prefix("http://").unwrap();
    world.listen = address.parse().unwrap();
    world.broker.take().unwrap().shutdown().await;
    world.restart().await;
    let elsewhere = renew(&world).await;
    assert_eq!(
        (elsewhere.status, elsewhere.problem()),
        (401, "proof_replayed")
    );
    assert_eq!(world.cloud.minted(), 2);
    assert_eq!(world.call("POST", &path, None, None).await.status, 200);
}
