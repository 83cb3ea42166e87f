//! Ends that come from elsewhere than the job: its CI says that it is over.

use std::sync::Arc;

use jitney_core::lease::{End, Outcome};
use jitney_core::ledger::{CommitError, RowId};
use jitney_core::usecase::Signed;
use jitney_integration_tests::fake_cloud::SETTLE;
use jitney_integration_tests::fixtures::{BACKUP_SCOPE, PROD, PROD_SCOPE, ask, proof};

use crate::ports::{Around, BadCommit, broker_with};
use crate::{outcome, seconds, submit, world};

#[tokio::test]
async fn the_end_of_a_job_ends_its_leases_and_no_other_jobs() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let both = &[PROD_SCOPE, BACKUP_SCOPE];
    let first = ask("1", "1", "key", both);
    let job = first.principal.job.key.clone();
    let ended = submit(&core, first).await;
    let again = submit(&core, ask("1", "2", "other-key", &[PROD_SCOPE])).await;
    // The same repository, the same everything but the job.
    let sibling = submit(&core, ask("2", "3", "key", both)).await;
    assert_eq!(core.job_ended(&job).await.unwrap(), 3);
    for (lease, _) in ended.leases.iter().chain(&again.leases) {
        assert_eq!(world.lease(*lease).await.state(), "revoking");
    }
    for (lease, _) in &sibling.leases {
        assert_eq!(world.lease(*lease).await.state(), "active");
    }
    assert_eq!(core.job_ended(&job).await.unwrap(), 0, "told twice");
    world.live(&core, SETTLE + seconds(1)).await;
    let (lease, _) = ended.leases[0];
    let over = world.lease(lease).await;
    let Some(Outcome::Revoked { why, .. }) = outcome(&over) else {
        panic!("{over:?}");
    };
    assert_eq!(*why, End::JobEnded);
    assert_eq!(core.job_ended(&job).await.unwrap(), 0, "told long after");
    for (lease, _) in &sibling.leases {
        core.release(*lease, &proof("key")).await.unwrap();
    }
    world.live_out(&core).await;
}

#[tokio::test]
async fn the_end_of_a_job_is_not_lost_to_somebody_who_was_faster_or_to_one_bad_commit() {
    let (world, _folder) = world();
    let both = &[PROD_SCOPE, BACKUP_SCOPE];
    let first = ask("1", "1", "key", both);
    let job = first.principal.job.key.clone();
    // Commits 0 and 1 are the intents and the grants.
    let conflict = CommitError::Conflict(RowId::Lease(jitney_core::id::LeaseId::fresh()));
    let around: Arc<dyn Around> = BadCommit::new(2, conflict, false);
    let core = broker_with(&world, "a", &around);
    submit(&core, first).await;
    assert_eq!(core.job_ended(&job).await.unwrap(), 2);
    world.live_out(&core).await;

    let (world, _folder) = crate::world();
    let full = CommitError::Unavailable("full".to_owned());
    let around: Arc<dyn Around> = BadCommit::new(2, full, false);
    let core = broker_with(&world, "a", &around);
    let grant = submit(&core, ask("1", "1", "key", both)).await;
    let refusal = core.job_ended(&job).await.unwrap_err();
    assert_eq!(refusal.code, "ledger_unavailable");
    let mut states = Vec::new();
    for (lease, _) in &grant.leases {
        states.push(world.lease(*lease).await.state());
    }
    states.sort_unstable();
    assert_eq!(
        states,
        ["active", "revoking"],
        "one failed, the other did not wait"
    );
    assert_eq!(core.job_ended(&job).await.unwrap(), 1, "delivered again");
    world.live_out(&core).await;
}

#[tokio::test]
async fn what_is_written_off_before_it_was_denied_is_denied_all_the_same() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, ask("1", "1", "key", &[PROD_SCOPE])).await;
    let (lease, secret) = grant.only();
    core.release(lease, &proof("key")).await.unwrap();
    let signed = Signed {
        person: "ada".to_owned(),
        reason: "it cannot be reached".to_owned(),
    };
    core.write_off(lease, &signed).await.unwrap();
    assert!(
        world.cloud(PROD).would_allow(secret),
        "nobody was there yet"
    );
    world.turn(&core).await;
    // A cloud takes a moment to enforce what is written.
    world.clock.pass(SETTLE);
    assert!(!world.cloud(PROD).would_allow(secret));
    world.live_out(&core).await;
}
