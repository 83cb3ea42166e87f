//! Slots: one carries one lease, stays empty through its quarantine, and the one that was idle for
//! longest comes first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use jitney_core::id::LeaseId;
use jitney_core::usecase::{Ask, Core, Submission};
use jitney_integration_tests::fake_cloud::{FLOOR, MintMishap, SLOT_SETTLE, Style, TOKEN_LIFE};
use jitney_integration_tests::fixtures::{
    BACKUP, BACKUP_SCOPE, PROD, PROD_SCOPE, World, ask, proof,
};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use tempfile::TempDir;

use crate::ports::{Around, broker_with};
use crate::{granted, refused, seconds, secret, submit, world_that};

fn world_of(pool: u32) -> (World, TempDir) {
    let (world, folder) = world_that(Style::Slots);
    world.cloud(PROD).set_pool(pool);
    (world, folder)
}

/// What the job of this number asks for.
fn asks(job: u32) -> Ask {
    let job = job.to_string();
    ask(&job, &job, &job, &[PROD_SCOPE])
}

async fn slot_of(world: &World, lease: LeaseId) -> String {
    let lease = world.lease(lease).await;
    lease.terms().plan.lane.name.clone()
}

/// The slot that the job of this number is granted.
async fn slot_for(world: &World, core: &Core, job: u32) -> String {
    let lease = submit(core, asks(job)).await.only().0;
    slot_of(world, lease).await
}

/// Gives a lease back and lets it end. Its slot is then in quarantine.
async fn end(world: &World, core: &Core, lease: LeaseId, key: &str) {
    core.release(lease, &proof(key)).await.unwrap();
    world.live(core, FLOOR + SLOT_SETTLE + seconds(60)).await;
    assert_eq!(world.lease(lease).await.state(), "ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_ask_at_once_each_has_a_slot_of_its_own() {
    const JOBS: u32 = 32;
    let (world, _folder) = world_of(JOBS);
    let core = world.broker("a");
    let submissions = join_all((0..JOBS).map(|job| core.submit(asks(job)))).await;
    let mut slots = BTreeSet::new();
    for submission in submissions {
        let lease = granted(submission.unwrap()).only().0;
        slots.insert(slot_of(&world, lease).await);
    }
    assert_eq!(slots.len(), 32);
    let refusal = refused(&core, asks(JOBS)).await;
    assert_eq!(refusal.cause, Some("pool_exhausted"));
    world.live_out(&core).await;
}

#[tokio::test]
async fn an_exhausted_pool_says_when_to_come_again_and_uses_no_token_up() {
    let (world, _folder) = world_of(1);
    let core = world.broker("a");
    let lease = submit(&core, asks(1)).await.only().0;
    let refusal = refused(&core, asks(2)).await;
    assert_eq!(
        (refusal.code, refusal.cause),
        ("try_again", Some("pool_exhausted"))
    );
    // As far as is known, until the job's credential is over.
    assert_eq!(refusal.retry_after, Some(TOKEN_LIFE));
    end(&world, &core, lease, "1").await;
    // Now for as long as the quarantine lasts, to the second.
    let hold = world.holds(PROD, "slot-00").await.remove(0);
    let refusal = refused(&core, asks(2)).await;
    assert_eq!(refusal.cause, Some("pool_exhausted"));
    assert_eq!(refusal.retry_after, Some(hold.until.since(world.now())));
    world
        .live(&core, refusal.retry_after.unwrap() + seconds(1))
        .await;
    // Nothing was used up: the same token, the same wish.
    submit(&core, asks(2)).await;
    assert_eq!(world.cloud(PROD).mint_calls(), 2);
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_slot_is_not_used_again_before_its_quarantine_is_over() {
    let (world, _folder) = world_of(1);
    let core = world.broker("a");
    let grant = submit(&core, asks(1)).await;
    let (lease, kept) = grant.only();
    core.release(lease, &proof("1")).await.unwrap();
    // Whenever somebody asks: while the lease ends, and while its slot is held.
    let mut refusals = 0;
    let is_over = async || {
        let ended = world.lease(lease).await.state() == "ended";
        ended && world.holds(PROD, "slot-00").await.is_empty()
    };
    while !is_over().await {
        let refusal = refused(&core, asks(2)).await;
        assert_eq!(refusal.cause, Some("pool_exhausted"));
        refusals += 1;
        world.live(&core, seconds(60)).await;
    }
    assert!(refusals > 60, "a quarantine of {refusals} minutes");
    submit(&core, asks(2)).await;
    assert!(!world.cloud(PROD).would_allow(kept));
    world.must_keep_promises().await;
    world.live_out(&core).await;
}

/// More slots rest than are tried before a job is told to come again.
#[tokio::test]
async fn a_broker_that_begins_finds_the_one_slot_that_does_not_rest() {
    const RESTING: u32 = 12;
    let (world, _folder) = world_of(RESTING + 1);
    let core = world.broker("a");
    for job in 0..RESTING {
        let lease = submit(&core, asks(job)).await.only().0;
        core.release(lease, &proof(&job.to_string())).await.unwrap();
    }
    world.live(&core, FLOOR + SLOT_SETTLE + seconds(60)).await;
    for slot in 0..RESTING {
        let holds = world.holds(PROD, &format!("slot-{slot:02}")).await;
        assert_eq!(holds.len(), 1, "slot {slot} rests");
    }
    let begins = world.broker("b");
    assert_eq!(slot_for(&world, &begins, RESTING).await, "slot-12");
    world.live_out(&begins).await;
}

#[tokio::test]
async fn the_slot_that_was_idle_for_longest_comes_first() {
    let (world, _folder) = world_of(3);
    let core = world.broker("a");
    let mut slots = Vec::new();
    for job in 0..6 {
        slots.push(slot_for(&world, &core, job).await);
        world.live_out(&core).await;
    }
    let names = ["slot-00", "slot-01", "slot-02"];
    assert_eq!(slots, [names, names].concat());
    // One that is used out of turn has to wait longest.
    let first = submit(&core, asks(6)).await.only().0;
    let second = submit(&core, asks(7)).await.only().0;
    end(&world, &core, second, "7").await;
    end(&world, &core, first, "6").await;
    world.live_out(&core).await;
    assert_eq!(slot_for(&world, &core, 8).await, "slot-02");
    world.live_out(&core).await;
}

/// Another broker that takes the slot that this one has just chosen, so many times.
struct Faster {
    other: Core,
    first_job: u32,
    times: AtomicU32,
}

#[async_trait]
impl Around for Faster {
    async fn before_commit(&self) {
        let left = self.times.load(Ordering::SeqCst);
        if left > 0 {
            self.times.store(left - 1, Ordering::SeqCst);
            submit(&self.other, asks(self.first_job + left)).await;
        }
    }
}

fn slower_broker(world: &World, first_job: u32, times: u32) -> Core {
    let around: Arc<dyn Around> = Arc::new(Faster {
        other: world.broker("faster"),
        first_job,
        times: AtomicU32::new(times),
    });
    broker_with(world, "slower", &around)
}

#[tokio::test]
async fn where_somebody_was_faster_another_slot_is_chosen() {
    let (world, _folder) = world_of(16);
    for (job, times) in [(1, 1), (2, 8)] {
        let core = slower_broker(&world, job * 100, times);
        let lease = submit(&core, asks(job)).await.only().0;
        assert!(!slot_of(&world, lease).await.is_empty());
        world.must_keep_promises().await;
    }
    // Faster once too often. Nothing is recorded, and nothing is used up.
    let (world, _folder) = world_of(16);
    let core = slower_broker(&world, 100, 9);
    let refusal = refused(&core, asks(1)).await;
    assert_eq!(refusal.code, "try_again");
    assert!(refusal.retry_after.is_some());
    assert_eq!(world.leases().await.len(), 9);
    submit(&core, asks(1)).await;
    world.live_out(&core).await;
}

#[tokio::test]
async fn where_somebody_took_the_last_slot_the_pool_is_exhausted() {
    let (world, _folder) = world_of(1);
    let core = slower_broker(&world, 100, 1);
    let refusal = refused(&core, asks(1)).await;
    assert_eq!(refusal.cause, Some("pool_exhausted"));
    world.live_out(&world.broker("b")).await;
    submit(&core, asks(1)).await;
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_renewal_stays_on_its_slot_and_one_end_ends_both_credentials() {
    let (world, _folder) = world_of(2);
    let core = world.broker("a");
    let long = Ask {
        ttl_seconds: Some(1_000),
        ..asks(1)
    };
    let grant = submit(&core, long).await;
    let (lease, first) = grant.only();
    let slot = slot_of(&world, lease).await;
    world.clock.pass(seconds(30));
    let (_, second) = secret(core.renew(lease, &proof("1")).await.unwrap());
    let cloud = world.cloud(PROD);
    assert!(cloud.would_allow(first) && cloud.would_allow(&second));
    assert_eq!(slot_of(&world, lease).await, slot);
    assert_eq!(cloud.given().len(), 1, "a renewal gave the right again");
    end(&world, &core, lease, "1").await;
    assert!(!cloud.would_allow(first) && !cloud.would_allow(&second));
    // The quarantine is that of the later credential.
    let hold = world.holds(PROD, &slot).await.remove(0);
    let last = cloud
        .sessions()
        .iter()
        .map(|it| it.expires_at)
        .max()
        .unwrap();
    assert!(hold.until >= last);
    world.live_out(&core).await;
}

/// One request over two clouds, of which one goes wrong.
async fn all_or_nothing(styles: [Style; 2], failing: &str, mishap: MintMishap) {
    let folder = TempDir::new().unwrap();
    let options = SqliteOptions::at(folder.path().join("ledger.db"));
    let world = World::of(Arc::new(SqliteLedger::open(&options).unwrap()), styles);
    for cloud in world.clouds.values() {
        cloud.set_pool(1);
    }
    let core = world.broker("a");
    let both = |token: &str| ask("1", token, "1", &[PROD_SCOPE, BACKUP_SCOPE]);
    world.cloud(failing).next_mint(mishap);
    let refusal = refused(&core, both("1")).await;
    assert_ne!(refusal.cause, Some("pool_exhausted"), "{refusal:?}");
    let was_granted = |lease: &jitney_core::books::FoundLease| lease.state() == "active";
    assert!(!world.leases().await.iter().any(was_granted));
    world.live_out(&core).await;
    // Whatever went wrong, no slot is lost by it.
    match core.submit(both("2")).await.unwrap() {
        Submission::Granted { leases, .. } => assert_eq!(leases.len(), 2),
        other => panic!("{other:?}"),
    }
    world.live_out(&core).await;
}

#[tokio::test]
async fn several_clouds_grant_all_or_nothing_wherever_one_with_slots_fails() {
    let mixes = [
        [Style::Slots, Style::Slots],
        [Style::Slots, Style::Denies],
        [Style::Denies, Style::Slots],
    ];
    for styles in mixes {
        for failing in [PROD, BACKUP] {
            for mishap in [
                MintMishap::Permanent,
                MintMishap::Retryable,
                MintMishap::LostBefore,
                MintMishap::LostAfter,
                MintMishap::LandsLater(seconds(100)),
            ] {
                all_or_nothing(styles, failing, mishap).await;
            }
        }
    }
}

#[tokio::test]
async fn where_one_pool_is_exhausted_no_slot_of_the_other_is_taken() {
    let (world, _folder) = world_of(1);
    world.cloud(BACKUP).set_pool(1);
    let core = world.broker("a");
    submit(&core, asks(1)).await;
    let both = ask("2", "2", "2", &[PROD_SCOPE, BACKUP_SCOPE]);
    assert_eq!(refused(&core, both).await.cause, Some("pool_exhausted"));
    assert_eq!(world.cloud(BACKUP).mint_calls(), 0);
    submit(&core, ask("3", "3", "3", &[BACKUP_SCOPE])).await;
    world.live_out(&core).await;
}
