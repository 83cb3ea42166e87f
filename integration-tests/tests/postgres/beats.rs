//! Beats on one database with two brokers: whichever hears a job, the other one knows in time, and
//! both notice when it falls silent.

use std::time::Duration;

use jitney_core::id::LeaseId;
use jitney_core::ledger::RowId;
use jitney_core::usecase::{Core, Submission};
use jitney_integration_tests::fixtures::{PROD_SCOPE, SILENCE, World, ask, proof};

use super::slots::two_brokers;

const JOBS: u32 = 8;
const BEAT_SECONDS: u32 = 15;

async fn granted(core: &Core, job: u32) -> LeaseId {
    let job = job.to_string();
    match core.submit(ask(&job, &job, &job, &[PROD_SCOPE])).await {
        Ok(Submission::Granted { leases, .. }) => leases[0].0.terms().id,
        other => panic!("{other:?}"),
    }
}

/// One second of both brokers.
async fn second(world: &World, brokers: &[Core]) {
    for core in brokers {
        world.turn(core).await;
    }
    world.clock.pass(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beat_reaches_the_broker_that_it_was_not_sent_to() {
    let Some((world, brokers)) = two_brokers("beats of two brokers", JOBS).await else {
        return;
    };
    let mut leases = Vec::new();
    for job in 0..JOBS {
        leases.push(granted(&brokers[job as usize % 2], job).await);
    }
    let heard_for = 180;
    for number in 1..=heard_for {
        second(&world, &brokers).await;
        if number % BEAT_SECONDS == 0 {
            for (job, lease) in (0..).zip(&leases) {
                // Half of the jobs always reach the same broker, the others each in turn.
                let to = if job < JOBS / 2 {
                    0
                } else {
                    number / BEAT_SECONDS % 2
                };
                let proof = proof(&job.to_string());
                let heard = brokers[to as usize].beat(*lease, &proof).await;
                assert_eq!(heard.unwrap().state, "active");
            }
        }
    }
    // Not each beat was written: the intent, the grant, and one of two beats.
    let written = u64::from(2 + heard_for / BEAT_SECONDS / 2);
    let ids: Vec<RowId> = leases.iter().copied().map(RowId::Lease).collect();
    let rows = brokers[0].books.ledger().rows(&ids).await.unwrap();
    assert_eq!(rows.len(), leases.len());
    assert!(rows.iter().all(|row| row.version <= written), "{rows:#?}");
    // They all fall silent, and the one that heard half of them alone is gone.
    for _ in 0..=SILENCE.as_secs() + 5 {
        second(&world, &brokers[1..]).await;
    }
    for lease in leases {
        assert_ne!(world.lease(lease).await.state(), "active");
    }
    world.live_out(&brokers[1]).await;
}
