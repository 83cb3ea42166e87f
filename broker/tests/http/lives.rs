//! Starting, stopping in order, and being killed.

use std::time::Duration;

use jitney_core::ledger::{LeaseFilter, Ledger as _};
use serde_json::json;

use crate::wire::send_and_hang_up;
use crate::world::{SCOPE, World, read};

#[tokio::test]
async fn a_broker_says_that_it_is_ready() {
    let world = World::start().await;
    for path in ["/healthz", "/readyz"] {
        let well = read(world.raw("GET", path)).await;
        assert_eq!((well.status, &well.body), (200, &json!({ "status": "ok" })));
    }
}

#[tokio::test]
async fn a_broker_that_stops_in_order_lets_calls_end_and_seals_its_log() {
    let mut world = World::start().await;
    world.cloud.shut_gate();
    let broker = world.broker.take().unwrap();
    let (granted, ()) = tokio::join!(world.submit(SCOPE), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let opened = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            world.cloud.gate.add_permits(1000);
        };
        tokio::join!(broker.shutdown(), opened);
    });
    assert_eq!(granted.status, 201, "{granted:?}");
    let ledger = world.open_ledger();
    let size = ledger.frontier().await.unwrap().size();
    let sealed = ledger.checkpoints().await.unwrap();
    assert!(size > 0);
    assert_eq!(sealed.last().map(|(size, _)| *size), Some(size));
    let closed = world.raw("GET", "/healthz").send().await;
    assert!(closed.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_a_killed_broker_began_is_ended_by_the_next() {
    let mut world = World::start().await;
    world.cloud.shut_gate();
    let body = json!({ "scopes": [SCOPE] });
    let submitted = send_and_hang_up(&world, &body, Duration::from_millis(300));
    submitted.await;
    world.broker.take().unwrap().kill().await;
    // Nothing was taken back, and nothing was sealed.
    let filter = || LeaseFilter {
        ended_too: true,
        limit: 10,
        ..LeaseFilter::default()
    };
    let state = {
        let ledger = world.open_ledger();
        let rows = ledger.leases(filter()).await.unwrap();
        rows[0].state.clone()
    };
    assert_eq!(state, "elevating");
    world.cloud.gate.add_permits(1000);
    world.restart().await;
    for _ in 0..200 {
        let ledger = world.broker.as_ref().unwrap().core().books.ledger();
        let rows = ledger.leases(filter()).await.unwrap();
        if rows[0].state == "ended" {
            assert_eq!(world.cloud.sessions_alive(), 0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the intent of the killed broker was not ended");
}
