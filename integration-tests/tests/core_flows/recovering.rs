//! A ledger that went back in time: it is noticed, loosens nothing, and elevates nothing before
//! everything is cut that it may have forgotten.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jitney_core::adapter::Adapter;
use jitney_core::audit::Event;
use jitney_core::id::LeaseId;
use jitney_core::ledger::{CommitError, Ledger, Transaction};
use jitney_core::standing::Seen;
use jitney_core::usecase::{Core, Signed};
use jitney_integration_tests::fake_cloud::{LANDS_WITHIN, SETTLE};
use jitney_integration_tests::fixtures::{
    BACKUP, BACKUP_SCOPE, PROD, PROD_SCOPE, World, ask, proof,
};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use tempfile::TempDir;

use crate::ports::{Around, ledger_with};
use crate::{refused, seconds, submit, world};

pub fn signed() -> Signed {
    Signed {
        person: "ada@example.org".to_owned(),
        reason: "the disk was restored from last night".to_owned(),
    }
}

/// A copy of the ledger as it is now, while nobody writes.
pub fn backup(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = file.file_name();
        // The index of the write-ahead log is made anew from the log itself.
        if !name.to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), copy.path().join(name)).unwrap();
        }
    }
    copy
}

pub fn restored(world: &World, copy: &TempDir, hand: &str) -> (Core, Arc<dyn Ledger>) {
    let options = SqliteOptions::at(copy.path().join("ledger.db"));
    let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(&options).unwrap());
    let adapters = world.clouds.iter().map(|(name, cloud)| {
        let adapter: Arc<dyn Adapter> = cloud.clone();
        (name.clone(), adapter)
    });
    let core = world.broker_over(hand, Arc::clone(&ledger), adapters.collect());
    (core, ledger)
}

async fn ended(world: &World, core: &Core, job: &str) -> (LeaseId, String) {
    let (lease, secret) = submit(core, ask(job, job, job, &[PROD_SCOPE]))
        .await
        .leases
        .remove(0);
    core.release(lease, &proof(job)).await.unwrap();
    world.live(core, SETTLE + seconds(2)).await;
    (lease, secret)
}

/// One turn of a broker on the restored ledger. The world's own ledger is the lost one.
pub async fn turn(world: &World, core: &Core) {
    core.turn(world.now(), 16).await;
}

#[tokio::test]
async fn a_restored_ledger_is_noticed_loosens_nothing_and_recovers() {
    let (world, folder) = world();
    let lost = world.broker("a");
    ended(&world, &lost, "1").await;
    let copy = backup(folder.path());
    // After the backup: one lease that ended, and one that lives on without anybody knowing.
    let (_, forgotten) = ended(&world, &lost, "2").await;
    submit(&lost, ask("3", "3", "3", &[BACKUP_SCOPE, PROD_SCOPE])).await;
    drop(lost);
    assert_eq!(world.cloud(PROD).working().len(), 1);
    let (core, ledger) = restored(&world, &copy, "b");
    world.clock.pass(seconds(61));
    turn(&world, &core).await;
    let works = |secret: &str| world.cloud(PROD).would_allow(secret);
    assert!(!works(&forgotten), "what had ended is alive again");
    // Nothing is elevated, on this broker or on any other.
    let other = restored_beside(&world, &ledger, "c");
    for core in [&core, &other] {
        let refusal = refused(core, ask("4", "4", "4", &[BACKUP_SCOPE])).await;
        assert_eq!(refusal.code, "halted", "{refusal:?}");
        assert!(
            refusal.logged.contains("jitney recover"),
            "{}",
            refusal.logged
        );
    }
    let standing = core.books.standing().await.unwrap().says;
    assert!(matches!(standing.halt.unwrap().seen, Seen::Mark(_)));

    let planned = core.would_recover().await.unwrap();
    let ordered = core.recover(&signed()).await.unwrap();
    assert_eq!(planned.lanes, ordered.lanes);
    assert_eq!(
        refused(&core, ask("4", "4", "4", &[BACKUP_SCOPE]))
            .await
            .code,
        "halted"
    );
    // The first turns find hands of the lost ledger in the lanes, and outgrow them.
    for _ in 0..3 {
        turn(&world, &core).await;
        world.clock.pass(seconds(2));
    }
    world.clock.pass(SETTLE);
    // Whoever was elevated by the lost ledger is cut, everywhere.
    for cloud in world.clouds.values() {
        assert_eq!(cloud.working(), Vec::new());
    }
    // What the lost ledger had asked for can still land, and would be issued only then.
    world.clock.pass(LANDS_WITHIN);
    turn(&world, &core).await;
    let mut early = ask("7", "7", "7", &[BACKUP_SCOPE]);
    early.principal.token.issued_at = world.now();
    assert_eq!(refused(&core, early).await.code, "try_again");
    // A token from before the recovery may have been used: the ledger would not know.
    world.clock.pass(seconds(180));
    turn(&world, &core).await;
    let mut late = ask("5", "5", "5", &[BACKUP_SCOPE]);
    late.principal.token.issued_at = world.now().minus(seconds(1_000));
    assert_eq!(refused(&core, late).await.code, "token_too_old");
    let mut fresh = ask("6", "6", "6", &[PROD_SCOPE]);
    fresh.principal.token.issued_at = world.now();
    let (_, secret) = submit(&core, fresh).await.leases.remove(0);
    assert!(works(&secret));
    let entries = ledger.entries(0, 10_000).await.unwrap();
    let told = |event| {
        let of = |bytes| jitney_core::audit::Entry::decode(bytes).unwrap().event();
        entries
            .iter()
            .filter(|entry| of(&entry.bytes) == event)
            .count()
    };
    for event in [Event::Halted, Event::RecoveryOrdered, Event::Recovered] {
        assert_eq!(told(event), 1, "{event}");
    }
    // What the new ledger writes is not taken for the lost one's.
    for _ in 0..3 {
        world.clock.pass(seconds(61));
        turn(&world, &core).await;
    }
    assert!(core.books.standing().await.unwrap().says.halt.is_none());
}

fn restored_beside(world: &World, ledger: &Arc<dyn Ledger>, hand: &str) -> Core {
    let adapters = world.clouds.iter().map(|(name, cloud)| {
        let adapter: Arc<dyn Adapter> = cloud.clone();
        (name.clone(), adapter)
    });
    world.broker_over(hand, Arc::clone(ledger), adapters.collect())
}

#[tokio::test]
async fn a_lane_in_a_higher_epoch_than_the_ledger_knows_of_is_noticed() {
    let (world, folder) = world();
    let lost = world.broker("a");
    ended(&world, &lost, "1").await;
    let copy = backup(folder.path());
    // Other hands drive the lane, whose ledger is lost before they write anything new.
    for hand in ["b", "c", "d"] {
        world.clock.pass(seconds(61));
        world.turn(&world.broker(hand)).await;
    }
    let (core, _ledger) = restored(&world, &copy, "e");
    world.clock.pass(seconds(61));
    turn(&world, &core).await;
    let halt = core.books.standing().await.unwrap().says.halt.unwrap();
    assert!(matches!(halt.seen, Seen::Epoch(_)) || matches!(halt.seen, Seen::Mark(_)));
    core.recover(&signed()).await.unwrap();
    for _ in 0..4 {
        turn(&world, &core).await;
        world.clock.pass(seconds(61));
    }
    world.clock.pass(LANDS_WITHIN);
    assert!(core.books.standing().await.unwrap().says.halt.is_none());
    let mut fresh = ask("6", "6", "6", &[PROD_SCOPE]);
    fresh.principal.token.issued_at = world.now();
    submit(&core, fresh).await;
}

#[tokio::test]
async fn brokers_that_take_turns_are_not_taken_for_a_restored_ledger() {
    let (world, _folder) = world();
    let (one, other) = (world.broker("a"), world.broker("b"));
    ended(&world, &one, "1").await;
    for core in [&other, &one, &other, &one] {
        world.clock.pass(seconds(61));
        ended(&world, core, &world.now().as_seconds().to_string()).await;
    }
    assert!(one.books.standing().await.unwrap().says.halt.is_none());
    world.live_out(&one).await;
}

#[tokio::test]
async fn without_a_halt_there_is_nothing_to_recover_from() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let refusal = core.recover(&signed()).await.unwrap_err();
    assert_eq!(refusal.code, "bad_request");
}

#[tokio::test]
async fn a_recovery_comes_to_its_end_although_a_cloud_was_away_for_a_day() {
    let (world, folder) = world();
    let lost = world.broker("a");
    ended(&world, &lost, "1").await;
    let copy = backup(folder.path());
    ended(&world, &lost, "2").await;
    drop(lost);
    let (core, _ledger) = restored(&world, &copy, "b");
    world.clock.pass(seconds(61));
    turn(&world, &core).await;
    core.recover(&signed()).await.unwrap();
    world.cloud(BACKUP).set_revoking_down(true);
    let halted = || async { core.books.standing().await.unwrap().says.halt.is_some() };
    for _ in 0..10 {
        turn(&world, &core).await;
        world.clock.pass(seconds(60));
    }
    assert!(halted().await, "something may be left that is not cut");
    // Longer than anything can live that was issued before the cut.
    for _ in 0..24 {
        turn(&world, &core).await;
        world.clock.pass(seconds(3_600));
    }
    assert!(!halted().await);
    world.cloud(BACKUP).set_revoking_down(false);
    turn(&world, &core).await;
    assert!(!halted().await);
}

/// The backup is older than anything in the lane: nothing in the ledger would ever lead there.
#[tokio::test]
async fn a_ledger_that_knows_nothing_of_a_lane_is_noticed_by_looking_back() {
    let (world, folder) = world();
    let copy = backup(folder.path());
    let lost = world.broker("a");
    ended(&world, &lost, "1").await;
    assert!(lost.look_back().await.is_empty());
    assert!(lost.books.standing().await.unwrap().says.halt.is_none());
    drop(lost);
    let (core, _ledger) = restored(&world, &copy, "b");
    for _ in 0..3 {
        world.clock.pass(seconds(61));
        turn(&world, &core).await;
    }
    assert!(core.books.standing().await.unwrap().says.halt.is_none());
    assert!(core.look_back().await.is_empty());
    let halt = core.books.standing().await.unwrap().says.halt.unwrap();
    assert!(matches!(halt.seen, Seen::Mark(_)));
}

/// Changes the standing orders at the very moment at which they are to say that nothing is
/// elevated.
#[derive(Default)]
struct MovesOnce(AtomicBool);

impl Around for MovesOnce {
    fn instead_of_commit(&self, commit: &Transaction) -> Option<(CommitError, bool)> {
        let halts = commit
            .entries
            .iter()
            .any(|entry| entry.event() == Event::Halted);
        let moves = halts && !self.0.swap(true, Ordering::SeqCst);
        moves.then(|| (CommitError::Moved("standing".to_owned()), false))
    }
}

#[tokio::test]
async fn a_halt_is_not_lost_to_another_order_that_came_first() {
    let (world, folder) = world();
    let lost = world.broker("a");
    ended(&world, &lost, "1").await;
    let copy = backup(folder.path());
    ended(&world, &lost, "2").await;
    drop(lost);
    let (_, ledger) = restored(&world, &copy, "b");
    let moves = Arc::new(MovesOnce::default());
    let around: Arc<dyn Around> = moves.clone();
    let adapters = world.clouds.iter().map(|(name, cloud)| {
        let adapter: Arc<dyn Adapter> = cloud.clone();
        (name.clone(), adapter)
    });
    let core = world.broker_over("c", ledger_with(&ledger, &around), adapters.collect());
    world.clock.pass(seconds(61));
    turn(&world, &core).await;
    assert!(moves.0.load(Ordering::SeqCst), "it was never to be halted");
    assert!(core.books.standing().await.unwrap().says.halt.is_some());
}
