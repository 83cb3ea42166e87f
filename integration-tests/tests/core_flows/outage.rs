//! A ledger that can be read and not written: revocations go on, elevations stop, and what was
//! noted meanwhile is merged before anything else.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use jitney_broker::MeasuredLedger;
use jitney_core::adapter::Adapter;
use jitney_core::audit::{Entry, Event};
use jitney_core::evidence::Held;
use jitney_core::id::{LeaseId, TargetName};
use jitney_core::lease::{End, Outcome};
use jitney_core::ledger::{CommitError, Ledger, Transaction};
use jitney_core::usecase::{Ask, Core};
use jitney_integration_tests::fake_cloud::{LAG, SESSION_LIFE, SETTLE, Style};
use jitney_integration_tests::fixtures::{PROD, PROD_SCOPE, START, World, ask, proof};
use jitney_ledger_spool::{BYTES_MIN, SpoolFile, Spooled};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use tempfile::TempDir;

use crate::ports::{Around, ledger_with};
use crate::{events, outcome, refused, seconds, submit, wish, world};

/// How a ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It takes what it is given.
    Well,
    /// It takes nothing.
    Full,
    /// It takes nothing, and does not say so.
    AnswersLost,
    /// It takes everything, and does not say so.
    TakesAndSaysNothing,
    /// It never answers a commit.
    Silent,
}

/// A ledger's health, as a test sets it.
pub struct Illness(Mutex<Health>);

impl Illness {
    pub fn set(&self, health: Health) {
        *self.0.lock().unwrap() = health;
    }

    pub fn health(&self) -> Health {
        *self.0.lock().unwrap()
    }
}

#[async_trait]
impl Around for Illness {
    async fn before_commit(&self) {
        if self.health() == Health::Silent {
            pending::<()>().await;
        }
    }

    fn instead_of_commit(&self, _commit: &Transaction) -> Option<(CommitError, bool)> {
        match self.health() {
            Health::Well | Health::Silent => None,
            Health::Full => Some((CommitError::Unavailable("full".to_owned()), false)),
            Health::AnswersLost => Some((CommitError::Unknown("lost".to_owned()), false)),
            Health::TakesAndSaysNothing => Some((CommitError::Unknown("lost".to_owned()), true)),
        }
    }

    fn instead_of_claim(&self) -> Option<CommitError> {
        (self.health() != Health::Well).then(|| CommitError::Unavailable("full".to_owned()))
    }
}

/// Where a broker's spool lies, and how its ledger is.
pub struct Spool {
    pub illness: Arc<Illness>,
    pub folder: TempDir,
}

impl Spool {
    pub fn new() -> Self {
        Self {
            illness: Arc::new(Illness(Mutex::new(Health::Well))),
            folder: TempDir::new().unwrap(),
        }
    }

    /// A broker with this spool. One at a time has it.
    pub fn broker(&self, world: &World, hand: &str) -> Core {
        let around: Arc<dyn Around> = self.illness.clone();
        let spooled = self.before(world, ledger_with(&world.ledger, &around));
        let clouds = world.clouds.iter();
        let adapters: BTreeMap<TargetName, Arc<dyn Adapter>> = clouds
            .map(|(name, cloud)| (name.clone(), cloud.clone() as Arc<dyn Adapter>))
            .collect();
        world.broker_over(hand, Arc::new(spooled), adapters)
    }

    fn before(&self, world: &World, ledger: Arc<dyn Ledger>) -> Spooled {
        let path = self.folder.path().join("spool");
        Spooled::open(ledger, world.clock.clone(), &path, "acme", BYTES_MIN).unwrap()
    }
}

fn another(number: &str) -> Ask {
    ask(number, number, &format!("key-{number}"), &[PROD_SCOPE])
}

/// What a deny list says of a lease.
async fn grant_of(world: &World, lease: LeaseId) -> Held {
    Held::Grant(world.lease(lease).await.terms().handle.clone())
}

/// The entries of the log from the first of `event` on.
async fn since(world: &World, event: Event) -> Vec<Event> {
    let all = events(world).await;
    all.into_iter().skip_while(|it| *it != event).collect()
}

#[tokio::test]
async fn while_the_ledger_takes_nothing_releases_revoke_and_nothing_is_granted() {
    for health in [Health::Full, Health::AnswersLost] {
        let ((world, _folder), spool) = (world(), Spool::new());
        let core = spool.broker(&world, "a");
        let grant = submit(&core, wish()).await;
        let (lease, secret) = grant.only();
        let lane = world.lease(lease).await.terms().plan.lane.clone();
        let mints = world.cloud(PROD).mint_calls();

        spool.illness.set(health);
        let released = core.release(lease, &proof("key")).await.unwrap();
        assert_eq!(released.state(), "revoking");
        world.turn(&core).await;
        let denied = world.cloud(PROD).denied(&lane);
        assert_eq!(denied, [grant_of(&world, lease).await]);
        world.clock.pass(LAG);
        assert!(!world.cloud(PROD).would_allow(secret));
        refused(&core, another("2")).await;
        assert!(core.renew(lease, &proof("key")).await.is_err());
        assert_eq!(world.cloud(PROD).mint_calls(), mints);
        // Minutes later it is still not over, and not given up.
        world.live(&core, seconds(600)).await;
        assert_eq!(world.lease(lease).await.state(), "active");
        assert!(!world.cloud(PROD).would_allow(secret));

        let back = world.now();
        spool.illness.set(Health::Well);
        world.live_out(&core).await;
        let ended = world.lease(lease).await;
        let why = |it: &Outcome| {
            matches!(
                it,
                Outcome::Revoked {
                    why: End::Released,
                    ..
                }
            )
        };
        assert!(outcome(&ended).is_some_and(why), "{ended:?}");
        let told = since(&world, Event::LeaseEnding).await;
        let expected = [Event::LeaseEnding, Event::LeaseWritten, Event::SpoolMerged];
        assert_eq!(told[..3], expected);
        assert!(!told.contains(&Event::SpoolPassedOver));
        // What was noted keeps its own time.
        let entries = world.entries().await;
        let at = |event| {
            entries
                .iter()
                .find(|entry| entry.event() == event)
                .unwrap()
                .at()
        };
        assert_eq!(at(Event::LeaseEnding), START);
        assert!(at(Event::SpoolMerged) >= back);
    }
}

#[tokio::test]
async fn an_end_that_was_taken_without_a_word_is_not_noted_again() {
    let ((world, _folder), spool) = (world(), Spool::new());
    let core = spool.broker(&world, "a");
    let lease = submit(&core, wish()).await.only().0;
    spool.illness.set(Health::TakesAndSaysNothing);
    core.release(lease, &proof("key")).await.unwrap();
    world.turn(&core).await;
    assert_eq!(world.lease(lease).await.state(), "revoking");
    spool.illness.set(Health::Well);
    world.live_out(&core).await;
    let all = events(&world).await;
    assert!(!all.contains(&Event::SpoolMerged), "{all:?}");
    let ends = all.iter().filter(|event| **event == Event::LeaseEnding);
    assert_eq!(ends.count(), 1);
}

#[tokio::test]
async fn the_next_process_merges_before_it_does_anything_else() {
    let ((world, _folder), spool) = (world(), Spool::new());
    let core = spool.broker(&world, "a");
    let lease = submit(&core, wish()).await.only().0;
    spool.illness.set(Health::Full);
    core.release(lease, &proof("key")).await.unwrap();
    drop(core);
    assert_eq!(world.lease(lease).await.state(), "active");

    // Still full: it is known all the same.
    let core = spool.broker(&world, "b");
    let seen = core.lease(lease, &proof("key")).await.unwrap();
    assert_eq!(seen.state(), "revoking");
    refused(&core, another("2")).await;
    drop(core);

    spool.illness.set(Health::Well);
    let core = spool.broker(&world, "c");
    let second = submit(&core, another("3")).await.only().0;
    assert_eq!(world.lease(lease).await.state(), "revoking");
    let told = since(&world, Event::LeaseEnding).await;
    assert_eq!(told[..2], [Event::LeaseEnding, Event::SpoolMerged]);
    core.release(second, &proof("key-3")).await.unwrap();
    world.live_out(&core).await;
    drop(core);
    // It is not merged twice.
    world.live_out(&spool.broker(&world, "d")).await;
    let all = events(&world).await;
    let merges = all.iter().filter(|event| **event == Event::SpoolMerged);
    assert_eq!(merges.count(), 1);
}

#[tokio::test]
async fn a_lane_that_cannot_be_recorded_is_not_asked_for_without_a_pause() {
    let ((world, _folder), spool) = (world(), Spool::new());
    let core = spool.broker(&world, "a");
    let first = submit(&core, wish()).await.only().0;
    let second = submit(&core, another("2")).await.only().0;
    spool.illness.set(Health::Full);
    core.release(first, &proof("key")).await.unwrap();
    // Once it has settled, that it is over is found again and again.
    world.live(&core, SETTLE).await;
    let calls = world.cloud(PROD).revoke_calls();
    for _ in 0..60 {
        world.clock.pass(seconds(1));
        core.beat(second, &proof("key-2")).await.unwrap();
        world.turn(&core).await;
    }
    let asked = world.cloud(PROD).revoke_calls() - calls;
    assert!((6..=13).contains(&asked), "{asked} calls in a minute");
    // What ends meanwhile does not wait for the pause.
    core.release(second, &proof("key-2")).await.unwrap();
    world.turn(&core).await;
    let lane = world.lease(second).await.terms().plan.lane.clone();
    assert_eq!(world.cloud(PROD).denied(&lane).len(), 2);
    spool.illness.set(Health::Well);
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_job_that_lives_does_not_keep_another_from_being_ended() {
    let ((world, _folder), spool) = (world(), Spool::new());
    let core = spool.broker(&world, "a");
    let silent = submit(&core, wish()).await.only().0;
    let alive = submit(&core, another("2")).await.only().0;
    spool.illness.set(Health::Full);
    world.clock.pass(seconds(40));
    core.beat(alive, &proof("key-2")).await.unwrap();
    world.clock.pass(seconds(5));
    // One is heard and one is not, in the same lane at the same moment.
    world.turn(&core).await;
    let seen = core.lease(silent, &proof("key")).await.unwrap();
    assert_eq!(seen.state(), "revoking");
    let lane = world.lease(silent).await.terms().plan.lane.clone();
    let denied = world.cloud(PROD).denied(&lane);
    assert_eq!(denied, [grant_of(&world, silent).await]);
    spool.illness.set(Health::Well);
    world.live_out(&core).await;
}

#[tokio::test]
async fn room_that_cannot_be_made_does_not_keep_a_lease_alive() {
    let ((world, _folder), spool) = (world(), Spool::new());
    let core = spool.broker(&world, "a");
    world.cloud(PROD).set_lane_capacity(100);
    // So many holds that a watermark is to replace them.
    for number in 0..40 {
        let lease = submit(&core, another(&number.to_string())).await.only().0;
        let key = proof(&format!("key-{number}"));
        core.release(lease, &key).await.unwrap();
    }
    world.live(&core, SETTLE + seconds(1)).await;
    world.clock.pass(seconds(200));
    let last = submit(&core, another("last")).await.only().0;
    spool.illness.set(Health::Full);
    core.release(last, &proof("key-last")).await.unwrap();
    world.turn(&core).await;
    let lane = world.lease(last).await.terms().plan.lane.clone();
    let denied = world.cloud(PROD).denied(&lane);
    assert!(denied.contains(&grant_of(&world, last).await));
    world.clock.pass(SESSION_LIFE);
    spool.illness.set(Health::Well);
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_ledger_that_never_answers_is_not_waited_for() {
    let ((world, _folder), spool) = (world(), Spool::new());
    let core = spool.broker(&world, "a");
    let lease = submit(&core, wish()).await.only().0;
    spool.illness.set(Health::Silent);
    let began = Instant::now();
    core.release(lease, &proof("key")).await.unwrap();
    assert!(began.elapsed() < seconds(8), "{:?}", began.elapsed());
    spool.illness.set(Health::Well);
    world.live_out(&core).await;
    let all = events(&world).await;
    assert!(all.contains(&Event::SpoolMerged));
}

#[tokio::test]
async fn two_who_end_a_lease_at_once_are_one_end() {
    let ((world, _folder), spool) = (world(), Spool::new());
    let core = spool.broker(&world, "a");
    let lease = submit(&core, wish()).await.only().0;
    spool.illness.set(Health::Full);
    let key = proof("key");
    let (one, other) = tokio::join!(core.release(lease, &key), core.release(lease, &key));
    assert_eq!(one.unwrap().state(), "revoking");
    assert_eq!(other.unwrap().state(), "revoking");
    spool.illness.set(Health::Well);
    world.live_out(&core).await;
    let all = events(&world).await;
    let ends = all.iter().filter(|event| **event == Event::LeaseEnding);
    assert_eq!(ends.count(), 1);
}

#[tokio::test]
async fn a_full_spool_says_so_and_the_lease_ends_when_there_is_room() {
    let ((world, _folder), spool) = (world(), Spool::new());
    let path = spool.folder.path().join("spool");
    let (mut file, _) = SpoolFile::open(&path, "acme", BYTES_MIN).unwrap();
    for length in [10_000, 100, 1] {
        while file.append(&vec![1; length], 0).is_ok() {}
    }
    drop(file);
    let core = spool.broker(&world, "a");
    let lease = submit(&core, wish()).await.only().0;
    spool.illness.set(Health::Full);
    let refusal = core.release(lease, &proof("key")).await.unwrap_err();
    assert!(refusal.logged.contains("the spool is full"), "{refusal:?}");
    assert_eq!(world.lease(lease).await.state(), "active");
    spool.illness.set(Health::Well);
    world.live_out(&core).await;
}

/// A ledger that others write too.
struct Shared;

impl Around for Shared {
    fn is_shared(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_ledger_that_others_write_too_says_so_through_whatever_stands_before_it() {
    let ((world, _folder), spool) = (world(), Spool::new());
    let around: Arc<dyn Around> = Arc::new(Shared);
    let shared = spool.before(&world, ledger_with(&world.ledger, &around));
    assert!(shared.is_shared());
    drop(shared);
    let measured = MeasuredLedger::new(ledger_with(&world.ledger, &around), Arc::default());
    assert!(measured.is_shared());
    let own = spool.before(&world, Arc::clone(&world.ledger));
    assert!(!own.is_shared());
}

fn saying(length: usize) -> Transaction {
    let entry = Entry::new(START, Event::PolicyActivated);
    Transaction {
        entries: vec![entry.field("long", "x".repeat(length))],
        ..Transaction::default()
    }
}

/// No fake: SQLite at the limit of its file, and the same file with more room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_does_not_keep_a_lease_alive() {
    let (folder, spool) = (TempDir::new().unwrap(), Spool::new());
    let mut options = SqliteOptions::at(folder.path().join("ledger.db"));
    options.size_max_mib = Some(1);
    let world = World::on(
        Arc::new(SqliteLedger::open(&options).unwrap()),
        Style::Denies,
    );
    let core = spool.broker(&world, "a");
    let grant = submit(&core, wish()).await;
    let (lease, secret) = grant.only();
    for length in [3_000, 300, 0] {
        while world.ledger.commit(saying(length)).await.is_ok() {}
    }
    core.release(lease, &proof("key")).await.unwrap();
    world.turn(&core).await;
    world.clock.pass(LAG);
    assert!(!world.cloud(PROD).would_allow(secret));
    refused(&core, another("2")).await;
    assert_eq!(world.lease(lease).await.state(), "active");
    let clock = world.clock.clone();
    drop((core, world));

    options.size_max_mib = Some(2);
    let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(&options).unwrap());
    let path = spool.folder.path().join("spool");
    let spooled = Spooled::open(Arc::clone(&ledger), clock, &path, "acme", BYTES_MIN).unwrap();
    spooled.commit(saying(1)).await.unwrap();
    let world = World::on(ledger, Style::Denies);
    assert_eq!(world.lease(lease).await.state(), "revoking");
    let told = since(&world, Event::LeaseEnding).await;
    assert_eq!(
        told[told.len() - 2..],
        [Event::SpoolMerged, Event::PolicyActivated]
    );
}

/// An ill ledger that other brokers write too.
struct SharedIllness(Arc<Illness>);

#[async_trait]
impl Around for SharedIllness {
    fn is_shared(&self) -> bool {
        true
    }

    async fn before_commit(&self) {
        self.0.before_commit().await;
    }

    fn instead_of_commit(&self, commit: &Transaction) -> Option<(CommitError, bool)> {
        self.0.instead_of_commit(commit)
    }

    fn instead_of_claim(&self) -> Option<CommitError> {
        self.0.instead_of_claim()
    }
}

/// What one broker hears cannot reach the others while nothing can be written: none of them may
/// call its jobs silent.
#[tokio::test]
async fn an_outage_of_a_shared_ledger_silences_no_job() {
    let ((world, _folder), spool) = (world(), Spool::new());
    let hears = world.broker("a");
    let grant = submit(&hears, wish()).await;
    let (lease, secret) = grant.only();
    let around: Arc<dyn Around> = Arc::new(SharedIllness(Arc::clone(&spool.illness)));
    let spooled = spool.before(&world, ledger_with(&world.ledger, &around));
    let adapters = world.clouds.iter();
    let adapters = adapters.map(|(name, it)| (name.clone(), it.clone() as Arc<dyn Adapter>));
    let other = world.broker_over("b", Arc::new(spooled), adapters.collect());
    world.turn(&other).await;
    spool.illness.set(Health::Full);
    for _ in 0..120 {
        world.clock.pass(seconds(1));
        other.turn(world.now(), 16).await;
    }
    assert!(world.cloud(PROD).would_allow(secret));
    assert_eq!(world.lease(lease).await.state(), "active");
    // Back again, there is time to share what was heard; after that silence is silence.
    spool.illness.set(Health::Well);
    for _ in 0..40 {
        world.clock.pass(seconds(1));
        world.turn(&other).await;
    }
    assert!(world.cloud(PROD).would_allow(secret));
    world.live(&other, seconds(30)).await;
    assert_ne!(world.lease(lease).await.state(), "active");
    world.live_out(&other).await;
}

/// Merges a spool whenever a lane was read from the ledger behind it.
struct MergedMeanwhile {
    illness: Arc<Illness>,
    spooled: OnceLock<Arc<Spooled>>,
}

#[async_trait]
impl Around for MergedMeanwhile {
    fn instead_of_commit(&self, commit: &Transaction) -> Option<(CommitError, bool)> {
        self.illness.instead_of_commit(commit)
    }

    async fn after_reading_a_lane(&self) {
        if let Some(spooled) = self.spooled.get() {
            spooled.merge().await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_merged_while_its_lane_is_read_is_still_in_it() {
    let ((world, _folder), spool) = (world(), Spool::new());
    let lease = submit(&world.broker("a"), wish()).await.only().0;
    let lane = world.lease(lease).await.terms().plan.lane.clone();
    let around = Arc::new(MergedMeanwhile {
        illness: spool.illness.clone(),
        spooled: OnceLock::new(),
    });
    let behind = ledger_with(&world.ledger, &(around.clone() as Arc<dyn Around>));
    let spooled = Arc::new(spool.before(&world, behind));
    let core = world.broker_over("b", spooled.clone(), BTreeMap::new());
    spool.illness.set(Health::Full);
    core.release(lease, &proof("key")).await.unwrap();
    spool.illness.set(Health::Well);
    assert!(around.spooled.set(spooled.clone()).is_ok());
    let found = spooled.lane(&lane, world.now()).await.unwrap();
    let states: Vec<_> = found.rows.iter().map(|row| row.state.as_str()).collect();
    assert_eq!(states, ["revoking"]);
    // It was merged: the ledger itself has it now.
    let stored = world.ledger.lane(&lane, world.now()).await.unwrap();
    assert_eq!(stored.rows.len(), 1);
}
