//! Several brokers on one ledger.

use std::sync::Arc;

use jitney_core::lease::{End, Outcome};
use jitney_core::ledger::{CommitError, RowId};
use jitney_core::reconcile::{CLAIM, Stumble};
use jitney_integration_tests::fake_cloud::SETTLE;
use jitney_integration_tests::fixtures::{PROD, PROD_SCOPE, ask, proof};

use crate::ports::{Around, BadCommit, Gate, broker_with};
use crate::{outcome, seconds, submit, wish, world};

#[tokio::test]
async fn a_lane_is_driven_by_one_hand_and_taken_over_when_that_hand_is_gone() {
    let (world, _folder) = world();
    let (a, b) = (world.broker("a"), world.broker("b"));
    let grant = submit(&a, wish()).await;
    let (lease, _) = grant.only();
    a.release(lease, &proof("key")).await.unwrap();
    world.turn(&a).await;
    let calls = world.cloud(PROD).revoke_calls();
    world.clock.pass(SETTLE);
    world.turn(&b).await;
    assert_eq!(world.cloud(PROD).revoke_calls(), calls);
    assert_eq!(world.lease(lease).await.state(), "revoking");
    // `a` is never heard of again.
    world.clock.pass(seconds(60));
    world.turn(&b).await;
    assert_eq!(world.lease(lease).await.state(), "ended");
    world.live_out(&b).await;
}

#[tokio::test]
async fn a_hand_that_was_superseded_in_the_middle_of_a_call_writes_nothing() {
    let (world, _folder) = world();
    let gate = Arc::new(Gate::default());
    let around: Arc<dyn Around> = gate.clone();
    let (a, b) = (broker_with(&world, "a", &around), world.broker("b"));
    let first = submit(&b, wish()).await.only().0;
    b.release(first, &proof("key")).await.unwrap();
    let lane = world.lease(first).await.terms().plan.lane.clone();

    let rival = async {
        // `a` has read the lane and is about to write what it read.
        gate.reached.notified().await;
        world.clock.pass(seconds(61));
        let second = submit(&b, ask("2", "2", "key-2", &[PROD_SCOPE])).await;
        let second = second.only().0;
        b.release(second, &proof("key-2")).await.unwrap();
        world.turn(&b).await;
        world.clock.pass(SETTLE);
        world.turn(&b).await;
        assert_eq!(world.lease(second).await.state(), "ended");
        let before = world.ledger.row(RowId::Lease(first)).await.unwrap();
        let denied = world.cloud(PROD).denied(&lane);
        gate.open.notify_one();
        (before, denied, world.entries().await.len())
    };
    let (driven, (row, denied, entries)) = tokio::join!(a.drive(&lane), rival);
    let Err(Stumble::Commit(CommitError::Fenced(fence))) = driven else {
        panic!("{driven:?}");
    };
    assert_eq!(fence.lane, lane);
    let after = world.ledger.row(RowId::Lease(first)).await.unwrap();
    assert_eq!(after, row);
    assert_eq!(world.entries().await.len(), entries);
    // In the cloud the newer list stands: it names the second lease, of which `a` never knew.
    assert_eq!(world.cloud(PROD).denied(&lane), denied);
    assert_eq!(denied.len(), 2);
    world.live_out(&b).await;
}

#[tokio::test]
async fn an_end_that_meets_another_change_is_not_lost() {
    let (world, _folder) = world();
    // Commits 0 and 1 are the intent and the grant. At the third a renewal was faster.
    let somebody = CommitError::Conflict(RowId::Lease(jitney_core::id::LeaseId::fresh()));
    let around: Arc<dyn Around> = BadCommit::new(2, somebody, false);
    let core = broker_with(&world, "a", &around);
    let grant = submit(&core, wish()).await;
    core.end_request(grant.request, End::Killed).await.unwrap();
    let lease = grant.only().0;
    assert_eq!(world.lease(lease).await.state(), "revoking");
    world.live_out(&core).await;
    let ended = world.lease(lease).await;
    let Some(Outcome::Revoked { why, .. }) = outcome(&ended) else {
        panic!("{ended:?}");
    };
    assert_eq!(*why, End::Killed);
}

#[tokio::test]
async fn a_release_while_the_cloud_is_still_asked_leaves_nothing_with_anybody() {
    let (world, _folder) = world();
    let (a, b) = (world.broker("a"), world.broker("b"));
    // The intent is in the ledger and the call on its way when somebody ends the request.
    let submitting = a.submit(wish());
    let ending = async {
        loop {
            if let Some(lease) = world.leases().await.first() {
                let request = lease.terms().request;
                break b.end_request(request, End::Killed).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let (submitted, ()) = tokio::join!(submitting, ending);
    // Whoever was first: a credential that was handed out belongs to a lease that now ends.
    drop(submitted);
    for lease in world.leases().await {
        assert_eq!(lease.state(), "revoking");
    }
    world.live_out(&b).await;
}

#[tokio::test]
async fn a_lane_that_is_driven_for_long_is_kept_and_one_that_is_not_kept_is_lost() {
    for keeps in [true, false] {
        let (world, _folder) = world();
        let gate = Arc::new(Gate::default());
        let around: Arc<dyn Around> = gate.clone();
        let (a, b) = (broker_with(&world, "a", &around), world.broker("b"));
        let lease = submit(&b, wish()).await.only().0;
        b.release(lease, &proof("key")).await.unwrap();
        let lane = world.lease(lease).await.terms().plan.lane.clone();
        let rival = async {
            gate.reached.notified().await;
            for _ in 0..6 {
                world.clock.pass(CLAIM / 3);
                if keeps {
                    a.prolong(&lane).await.unwrap();
                }
            }
            b.drive(&lane).await.unwrap();
            gate.open.notify_one();
        };
        let (driven, ()) = tokio::join!(a.drive(&lane), rival);
        assert_eq!(driven.is_ok(), keeps, "{driven:?}");
        world.live_out(&b).await;
    }
}
