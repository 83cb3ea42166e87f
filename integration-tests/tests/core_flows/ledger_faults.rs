//! A ledger that refuses a commit, loses its answer, or both, at every commit of a lease's life.

use std::sync::Arc;

use jitney_core::ledger::CommitError;
use jitney_core::usecase::{Ask, Submission};
use jitney_integration_tests::fixtures::{BACKUP_SCOPE, PROD_SCOPE, World, ask, proof};

use crate::ports::{Around, BadCommit, broker_with};
use crate::{granted, seconds, world};

fn both() -> Ask {
    Ask {
        ttl_seconds: Some(1000),
        ..ask("1", "1", "key", &[PROD_SCOPE, BACKUP_SCOPE])
    }
}

/// Asks, renews, releases and lives out, whatever the ledger does. A credential is taken only
/// after a look at the ledger, past what the broker believes.
async fn life(world: &World, around: Arc<dyn Around>) {
    let core = broker_with(world, "a", &around);
    let submission = core.submit(both()).await;
    if let Ok(submission @ Submission::Granted { .. }) = submission {
        for (lease, _secret) in granted(submission).leases {
            assert_eq!(world.lease(lease).await.state(), "active");
            world.clock.pass(seconds(10));
            if core.renew(lease, &proof("key")).await.is_ok() {
                assert_eq!(world.lease(lease).await.state(), "active");
            }
            // A release that the ledger does not take is left to the lease's silence.
            let released = core.release(lease, &proof("key")).await;
            assert!(released.is_ok() || world.lease(lease).await.state() != "ended");
        }
    }
    world.live_out(&core).await;
}

#[tokio::test]
async fn whichever_commit_goes_wrong_nothing_leaves_unrecorded_and_nothing_is_left() {
    let commits = {
        let (world, _folder) = world();
        let counter = BadCommit::counting();
        life(&world, counter.clone()).await;
        counter.commits()
    };
    // Intent, grant, two renewals, two ends, and what the reconciler writes.
    assert!(commits >= 10, "{commits}");
    for at in 0..commits {
        for (outcome, applied) in [
            (
                CommitError::Unavailable("the disk is full".to_owned()),
                false,
            ),
            (CommitError::Unknown("the answer is lost".to_owned()), false),
            (CommitError::Unknown("the answer is lost".to_owned()), true),
        ] {
            let (world, _folder) = world();
            life(&world, BadCommit::new(at, outcome, applied)).await;
        }
    }
}
