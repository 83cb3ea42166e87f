//! What is overdue is counted, shown and told, once, signed, and again only when it did not arrive.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

use crate::cloud::Mood;
use crate::world::{HOOK_SECRET, SCOPE, World};

/// Somebody who is told alarms. Believes what is signed, and can be out of order.
#[derive(Clone, Default)]
struct Pager {
    told: Arc<Mutex<Vec<Value>>>,
    refused: Arc<Mutex<u32>>,
    broken: Arc<Mutex<bool>>,
}

impl Pager {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/page?token=canary-of-the-pager",
            listener.local_addr().unwrap()
        );
        let router = Router::new()
            .route("/page", post(page))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    /// Waits until `count` alarms arrived, and gives them.
    async fn told(&self, count: usize) -> Vec<Value> {
        for _ in 0..200 {
            if self.told.lock().unwrap().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        self.told.lock().unwrap().clone()
    }
}

async fn page(State(pager): State<Pager>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers["jitney-signature"].to_str().unwrap();
    let (time, tag) = signature.split_once(",v1=").unwrap();
    let signed = [time.strip_prefix("t=").unwrap().as_bytes(), b".", &body].concat();
    let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, HOOK_SECRET), &signed);
    let expected: String = expected
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(tag, expected);
    if *pager.broken.lock().unwrap() {
        *pager.refused.lock().unwrap() += 1;
        return StatusCode::BAD_GATEWAY;
    }
    let alarm = serde_json::from_slice(&body).unwrap();
    pager.told.lock().unwrap().push(alarm);
    StatusCode::NO_CONTENT
}

/// A world in which a lease was given back and its cloud takes nothing back.
async fn with_a_lease_that_does_not_end(pager: &Pager) -> (World, String) {
    let mut world = World::start().await;
    world.alarms_at = Some(pager.start().await);
    let lease = world.submit(SCOPE).await.lease();
    world.cloud.set(Mood::Away);
    world
        .call("POST", &format!("/v1/leases/{lease}/release"), None, None)
        .await;
    (world, lease)
}

/// A broker looks when it starts.
async fn again_after(world: &mut World, seconds: u64) {
    world.broker.take().unwrap().kill().await;
    world.clock.pass(seconds);
    world.restart().await;
}

async fn metrics(world: &World) -> String {
    world
        .raw("GET", "/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_revocation_that_is_overdue_is_told_with_what_is_exposed_until_when() {
    let pager = Pager::default();
    let (mut world, lease) = with_a_lease_that_does_not_end(&pager).await;
    // A minute late, and well before two.
    again_after(&mut world, 61).await;
    let told = pager.told(1).await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["kind"], &told[0]["more"]),
        (&json!("leases_stuck"), &json!(0))
    );
    let stuck = &told[0]["leases"][0];
    assert_eq!(
        (&stuck["lease"], &stuck["why"]),
        (&json!(lease), &json!("released"))
    );
    assert!(stuck["exposed_until"].as_str() > told[0]["at"].as_str());
    let status = world.operate("GET", "/v1/status", &json!(null)).await;
    assert_eq!(status.body["stuck_count"], 1);
    assert_eq!(status.body["stuck"][0]["lease"], stuck["lease"]);
    let text = metrics(&world).await;
    for line in [
        "jitney_revoke_stuck 1",
        "jitney_leases{state=\"revoking\"} 1",
        "jitney_halted 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\nin\n{text}");
    }
    // And it is revoked all the same, once the cloud is back.
    world.cloud.set(Mood::Obliging);
    world.broker.take().unwrap().kill().await;
    world.clock.pass(120);
    world.restart().await;
    for _ in 0..200 {
        if world.cloud.sessions_alive() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the lease did not end");
}

#[tokio::test]
async fn what_is_not_overdue_is_told_to_nobody() {
    let pager = Pager::default();
    let (mut world, _) = with_a_lease_that_does_not_end(&pager).await;
    again_after(&mut world, 30).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(pager.told(0).await.len(), 0);
    assert!(metrics(&world).await.contains("jitney_revoke_stuck 0"));
}

#[tokio::test]
async fn an_alarm_that_does_not_arrive_is_counted_and_stands_in_nobodys_way() {
    let pager = Pager::default();
    *pager.broken.lock().unwrap() = true;
    let (mut world, _) = with_a_lease_that_does_not_end(&pager).await;
    again_after(&mut world, 61).await;
    for _ in 0..200 {
        if *pager.refused.lock().unwrap() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let not_told = "jitney_alarms_total{result=\"not_told\"} 1";
    for _ in 0..100 {
        if metrics(&world).await.contains(not_told) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(metrics(&world).await.contains(not_told));
    assert_eq!(
        world
            .operate("GET", "/v1/status", &json!(null))
            .await
            .status,
        200
    );
}
