//! Clients that hang up: the use case reaches its commit, and what nobody took is taken back.

use std::time::Duration;

use jitney_core::books::{FoundLease, found_lease};
use jitney_core::ledger::LeaseFilter;
use serde_json::json;

use crate::cloud::CANARY;
use crate::wire::send_and_hang_up;
use crate::world::{SCOPE, World};

/// Waits until every lease in the ledger has ended, and gives why.
async fn all_ended(world: &World) -> Vec<String> {
    for _ in 0..200 {
        let ledger = world.broker.as_ref().unwrap().core().books.ledger();
        let filter = LeaseFilter {
            ended_too: true,
            limit: 100,
            ..LeaseFilter::default()
        };
        let rows = ledger.leases(filter).await.unwrap();
        let found: Vec<_> = rows.iter().map(|row| found_lease(row).unwrap()).collect();
        let over = |lease: &FoundLease| matches!(lease, FoundLease::Ended(_));
        if !found.is_empty() && found.iter().all(over) {
            let why = |lease| jitney_broker::view::lease(lease, "fake").why.unwrap();
            return found.iter().map(why).collect();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a lease did not end");
}

#[tokio::test]
async fn a_client_that_hangs_up_mid_elevation_leaves_a_record_and_no_grant() {
    let world = World::start().await;
    world.cloud.shut_gate();
    let body = json!({ "scopes": [SCOPE] });
    send_and_hang_up(&world, &body, Duration::from_millis(300)).await;
    // The intent is in the ledger, the cloud is still being asked, nobody listens any more.
    let ledger = world.broker.as_ref().unwrap().core().books.ledger();
    let filter = LeaseFilter {
        ended_too: true,
        limit: 10,
        ..LeaseFilter::default()
    };
    assert_eq!(ledger.leases(filter).await.unwrap().len(), 1);
    assert_eq!(world.cloud.minted(), 0);
    world.cloud.gate.add_permits(1000);
    assert_eq!(all_ended(&world).await, ["undelivered"]);
    assert_eq!((world.cloud.minted(), world.cloud.sessions_alive()), (1, 0));
}

#[tokio::test]
async fn a_client_that_stays_is_not_mistaken_for_one_that_left() {
    let world = World::start().await;
    let granted = world.submit(SCOPE).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let path = format!("/v1/leases/{}", granted.lease());
    let shown = world.call("GET", &path, None, None).await;
    assert_eq!(shown.body["state"], "active");
}

#[tokio::test]
async fn no_byte_of_a_credential_reaches_the_disk() {
    let mut world = World::start().await;
    let lease = world.submit(SCOPE).await.lease();
    let renew = format!("/v1/leases/{lease}/renew");
    assert_eq!(world.call("POST", &renew, None, None).await.status, 200);
    world.broker.take().unwrap().shutdown().await;
    let disk = world.disk();
    let holds = |needle: &str| {
        disk.windows(needle.len())
            .any(|bytes| bytes == needle.as_bytes())
    };
    assert!(!holds(CANARY));
    // The control: the search finds what is there.
    assert!(holds(&lease) && holds("ASIAFAKE"));
}
