//! Slots on one database with two brokers: the database lets one lease into each, whoever asks, and
//! none while a hold stands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jitney_core::adapter::Adapter;
use jitney_core::ledger::Ledger;
use jitney_core::usecase::{Ask, Core, Submission};
use jitney_integration_tests::fake_cloud::{FLOOR, SLOT_SETTLE, Style};
use jitney_integration_tests::fixtures::{PROD, PROD_SCOPE, World, ask, proof};
use jitney_ledger_postgres::{ClaimClock, PostgresOptions};

use super::sample::{brokers, server};

const POOL: u32 = 16;

pub async fn two_brokers(what: &str, pool: u32) -> Option<(World, [Core; 2])> {
    let options = PostgresOptions {
        // The world's time is made up.
        claims_by: ClaimClock::Caller,
        ..server(what).await?.fresh().unwrap()
    };
    let ledgers = brokers::<2>(&options).await;
    let world = World::on(ledgers[0].clone(), Style::Slots);
    world.cloud(PROD).set_pool(pool);
    let mut hand = 0;
    let cores = ledgers.map(|ledger| {
        hand += 1;
        let ledger: Arc<dyn Ledger> = ledger;
        let adapters = world.clouds.iter().map(|(name, cloud)| {
            let adapter: Arc<dyn Adapter> = cloud.clone();
            (name.clone(), adapter)
        });
        world.broker_over(&hand.to_string(), ledger, adapters.collect())
    });
    Some((world, cores))
}

fn asks(job: u32) -> Ask {
    let job = job.to_string();
    ask(&job, &job, &job, &[PROD_SCOPE])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_brokers_neither_gives_a_slot_that_the_other_has_given() {
    let Some((world, cores)) = two_brokers("slots of two brokers", POOL).await else {
        return;
    };
    // Twice as many as there is room for, half of them at each broker.
    let submissions = (0..2 * POOL).map(|job| cores[job as usize % 2].submit(asks(job)));
    let (mut slots, mut refused) = (BTreeSet::new(), 0);
    for submission in join_all(submissions).await {
        match submission {
            Ok(Submission::Granted { leases, .. }) => {
                let lane = &leases[0].0.terms().plan.lane;
                assert!(slots.insert(lane.clone()), "`{lane}` carries two leases");
            }
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => {
                assert_eq!(refusal.code, "try_again", "{refusal:?}");
                refused += 1;
            }
        }
    }
    assert_eq!((slots.len(), refused), (POOL as usize, POOL as usize));
    world.must_keep_promises().await;
    world.live_out(&cores[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_brokers_neither_uses_a_slot_that_the_other_holds() {
    let Some((world, [one, other])) = two_brokers("a quarantine of two brokers", 1).await else {
        return;
    };
    let Ok(Submission::Granted { mut leases, .. }) = one.submit(asks(1)).await else {
        panic!("nothing is granted");
    };
    let (lease, credential) = leases.remove(0);
    let kept = credential.reveal_to_job()["secret"].to_string();
    one.release(lease.terms().id, &proof("1")).await.unwrap();
    world
        .live(&one, FLOOR + SLOT_SETTLE + Duration::from_secs(60))
        .await;
    let hold = world.holds(PROD, "slot-00").await.remove(0);
    for minutes in 0.. {
        // Until the last moment, nobody; and both at once when it is over.
        let both = [
            one.submit(asks(10 + minutes)),
            other.submit(asks(5_000 + minutes)),
        ];
        let granted = join_all(both)
            .await
            .into_iter()
            .filter(Result::is_ok)
            .count();
        if world.now() < hold.until {
            assert_eq!(
                granted, 0,
                "the slot is used {minutes} minutes into its quarantine"
            );
        } else if granted > 0 {
            assert_eq!(granted, 1);
            break;
        }
        world.live(&other, Duration::from_secs(60)).await;
    }
    assert!(!world.cloud(PROD).would_allow(&kept));
    world.live_out(&other).await;
}
