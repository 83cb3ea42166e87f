//! Rehearsals through the operators' socket: the broker looks after them, whoever goes away.

use std::time::Duration;

use jitney_core::time::Timestamp;
use serde_json::{Value, json};

use crate::cloud::{CANARY, Mood};
use crate::world::{Answer, SCOPE, World};

fn wish() -> Value {
    json!({
        "target": "acme-prod", "scope": SCOPE,
        "signed": {"person": "ada", "reason": "rehearsal"},
    })
}

async fn begin(world: &World) -> String {
    let begun = world.operate("POST", "/v1/rehearsals", &wish()).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    begun.body["id"].as_str().unwrap().to_owned()
}

async fn asked(world: &World, id: &str) -> Answer {
    let path = format!("/v1/rehearsals/{id}");
    world.operate("GET", &path, &Value::Null).await
}

/// Asks until it is so, at most fifteen seconds.
async fn until(world: &World, id: &str, so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..300 {
        let answer = asked(world, id).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        if so(&answer.body) {
            return answer.body;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to that");
}

#[tokio::test]
async fn a_rehearsal_is_carried_out_by_the_broker_and_asked_after() {
    let world = World::start().await;
    let id = begin(&world).await;
    // Two would measure each other.
    let second = world.operate("POST", "/v1/rehearsals", &wish()).await;
    assert_eq!(
        (second.status, &second.body["code"]),
        (503, &json!("try_again"))
    );
    let ended = until(&world, &id, |view| {
        !view["evident_after_milliseconds"].is_null()
    })
    .await;
    assert_eq!(ended["stage"], "ending", "it must stay refused for a while");
    world.clock.pass(15);
    let over = until(&world, &id, |view| view["stage"] == "over").await;
    assert_eq!(over["conclusion"], "kept", "{over}");
    assert_eq!(
        (&over["target"], &over["scope"]),
        (&json!("acme-prod"), &json!(SCOPE))
    );
    assert!(!over.to_string().contains(CANARY));
    assert_eq!(world.cloud.sessions_alive(), 0);
    // The next one may begin, and is the one that is told of.
    let next = begin(&world).await;
    assert_eq!(asked(&world, &id).await.status, 404);
    until(&world, &next, |view| view["stage"] != "coming-into-force").await;
}

#[tokio::test]
async fn a_rehearsal_that_is_stopped_is_over_and_its_lease_is_ended() {
    let world = World::start().await;
    world.cloud.refuse_probes(true);
    let id = begin(&world).await;
    assert_eq!(asked(&world, &id).await.body["stage"], "coming-into-force");
    assert_eq!(world.cloud.sessions_alive(), 1);
    let path = format!("/v1/rehearsals/{id}/stop");
    assert_eq!(world.operate("POST", &path, &Value::Null).await.status, 200);
    let over = until(&world, &id, |view| view["stage"] == "over").await;
    assert_eq!(over["conclusion"], "cannot-tell", "{over}");
    world.until_no_session_is_alive().await;
}

#[tokio::test]
async fn being_asked_after_is_a_rehearsals_sign_of_life() {
    let world = World::start().await;
    world.cloud.refuse_probes(true);
    let id = begin(&world).await;
    let heard = || {
        let core = world.broker.as_ref().unwrap().core();
        core.pulse
            .to_write_down(Duration::ZERO, Timestamp::FAR_FUTURE)
    };
    assert!(heard().is_empty(), "whoever begins may be gone already");
    asked(&world, &id).await;
    let leases: Vec<_> = heard().iter().map(|(lease, _)| lease.to_string()).collect();
    assert_eq!(leases, [id]);
}

#[tokio::test]
async fn a_broker_that_stops_ends_what_it_rehearsed() {
    let mut world = World::start().await;
    world.cloud.refuse_probes(true);
    begin(&world).await;
    world.broker.take().unwrap().shutdown().await;
    // Not left to its silence: the next broker finds it ending.
    world.restart().await;
    world.until_no_session_is_alive().await;
}

#[tokio::test]
async fn what_cannot_be_rehearsed_is_refused_and_leaves_no_turn_taken() {
    let world = World::start().await;
    let change = |key: &str, value: Value| {
        let mut wish = wish();
        wish[key] = value;
        wish
    };
    for wish in [
        change("target", json!("nowhere")),
        change("target", json!("../x")),
        change("scope", json!("no scope")),
        change("scope", Value::Null),
        change("signed", json!({"person": "", "reason": "x"})),
        change("more", json!(1)),
    ] {
        let refused = world.operate("POST", "/v1/rehearsals", &wish).await;
        assert!((400..=422).contains(&refused.status), "{wish}: {refused:?}");
    }
    world.cloud.set(Mood::Panicking);
    let broken = world.operate("POST", "/v1/rehearsals", &wish()).await;
    assert_eq!(broken.status, 500);
    world.cloud.set(Mood::Obliging);
    begin(&world).await;
    // Not by the way that jobs come in.
    let stranger = world
        .call("POST", "/v1/rehearsals", None, Some(wish()))
        .await;
    assert_eq!(stranger.problem(), "not_found");
}
