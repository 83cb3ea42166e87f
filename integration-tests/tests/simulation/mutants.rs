//! Cores that do one thing wrong. Each is caught, or the worlds prove nothing about that thing.
//!
//! Core's types forbid most of these mistakes, so they are made around it: a ledger that pretends,
//! forgets or misreports is, in effect, another core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jitney_core::adapter::{Adapter, Elevate, Epoch, Hand, Page, Pass, Reach, Revoke};
use jitney_core::audit::Event;
use jitney_core::books::Recorded;
use jitney_core::catalogue::{Resource, Wanted};
use jitney_core::credential::{Elevation, Shown};
use jitney_core::evidence::{Evidence, Hold, Revocation};
use jitney_core::fault::Fault;
use jitney_core::id::{CloudName, TargetName};
use jitney_core::lease::{Active, Elevating, Revoking, Terms};
use jitney_core::ledger::{Ledger, Row, RowId, Transaction};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::probe::{InForce, Probe, Probed};
use jitney_core::question::Inquire;
use jitney_core::usecase::LookedBack;
use jitney_integration_tests::fixtures::SILENCE;
use jitney_integration_tests::simulation::cloud::SKEW;
use jitney_integration_tests::simulation::mutant::Mutant;
use jitney_integration_tests::simulation::process::Process;
use jitney_integration_tests::simulation::world::{Script, play};

use crate::bent::{Bend, BentLedger, read_number, rewrite};
use crate::slot_mutants::OF_ONE_LEASE;

/// How many worlds a mutant may live through before it is called uncaught.
const WORLDS_MAX: u64 = 1_200;

const RECORDED: &str = "every grant in a cloud has an intent in the ledger, recorded first";
pub const NOTHING_LEFT: &str = "no ended lease has a grant left behind it";
const ENDS: &str = "what is to end ends, however long it takes";
const OWNED: &str = "only the hand that owns a lane ends what is in it";
const HANDED_OUT: &str = "no credential leaves before its lease is durably active";
const HEARD: &str = "a job that is heard is not silent";
const NOTICED: &str = "a silent job loses its lease";
const TOLD: &str = "the audit log tells what the ledger holds";

/// That a mutant breaks one of `rules` in some world, before any other.
pub fn caught(mutant: impl Mutant + 'static, rules: &[&str]) {
    let mutant: Arc<dyn Mutant> = Arc::new(mutant);
    for seed in 1..=WORLDS_MAX {
        let outcome = play(&Script::of(seed), Arc::clone(&mutant));
        if let Some(first) = outcome.violations.first() {
            assert!(rules.contains(&first.rule), "seed {seed}: {first:?}");
            println!("caught in world {seed}: {}: {}", first.rule, first.how);
            return;
        }
    }
    panic!("{WORLDS_MAX} worlds, and nothing was noticed");
}

/// A mutant that is a bent ledger.
pub struct Bending<B>(pub Arc<B>);

impl<B: Bend + 'static> Mutant for Bending<B> {
    fn ledger(&self, real: Arc<dyn Ledger>, process: &Arc<Process>) -> Arc<dyn Ledger> {
        Arc::new(BentLedger {
            real,
            process: Arc::clone(process),
            bend: self.0.clone(),
        })
    }
}

pub fn bending<B: Bend + 'static>(bend: B) -> Bending<B> {
    Bending(Arc::new(bend))
}

/// Calls the cloud before the intent is durable.
pub struct MintsBeforeRecording;

impl Bend for MintsBeforeRecording {
    fn later(&self, transaction: &Transaction) -> Option<Duration> {
        let intends = transaction.rows.iter().any(|row| row.state == "elevating");
        intends.then_some(Duration::from_secs(2))
    }
}

#[test]
fn a_mint_before_its_record_is_caught() {
    caught(bending(MintsBeforeRecording), &[RECORDED]);
}

/// Answers the job before the lease is durably active.
struct AnswersBeforeRecording;

impl Bend for AnswersBeforeRecording {
    fn later(&self, transaction: &Transaction) -> Option<Duration> {
        let rows = &transaction.rows;
        let grants = rows
            .iter()
            .any(|row| row.state == "active" && row.version == 2);
        grants.then_some(Duration::from_secs(2))
    }
}

#[test]
fn a_credential_handed_out_before_its_record_is_caught() {
    caught(bending(AnswersBeforeRecording), &[HANDED_OUT]);
}

/// Takes absence for evidence while a call can still land.
struct TrustsAbsence;

impl Bend for TrustsAbsence {
    fn read(&self, row: &mut Row) -> bool {
        if row.state == "revoking" {
            rewrite(row, |body| {
                drop(body.insert("lands_by".to_owned(), 0.into()))
            });
        }
        true
    }
}

#[test]
fn absence_taken_for_evidence_too_early_is_caught() {
    caught(bending(TrustsAbsence), &[NOTHING_LEFT]);
}

/// Gives up after six attempts.
struct GivesUp;

const ATTEMPTS_MAX: i64 = 6;

impl Bend for GivesUp {
    fn write(&self, transaction: &mut Transaction) {
        for row in &mut transaction.rows {
            if read_number(row, "attempts") >= Some(ATTEMPTS_MAX) {
                row.due_at = None;
            }
        }
    }

    fn read(&self, row: &mut Row) -> bool {
        read_number(row, "attempts") < Some(ATTEMPTS_MAX)
    }
}

#[test]
fn giving_up_is_caught() {
    caught(bending(GivesUp), &[ENDS]);
}

/// Forgets what must stay in force when a lease ends.
struct DropsHolds;

impl Bend for DropsHolds {
    fn write(&self, transaction: &mut Transaction) {
        transaction.holds_placed.clear();
    }
}

#[test]
fn a_hold_dropped_with_its_lease_is_caught() {
    caught(bending(DropsHolds), &[NOTHING_LEFT, ENDS]);
}

/// Renews without raising what the ledger knows of the exposure.
#[derive(Default)]
struct RenewsUnraised(Mutex<BTreeMap<RowId, (i64, i64)>>);

impl Bend for RenewsUnraised {
    fn write(&self, transaction: &mut Transaction) {
        let renews = |event: Event| event == Event::LeaseRenewed;
        let is_renewal = transaction
            .entries
            .iter()
            .any(|entry| renews(entry.event()));
        let mut known = self.0.lock().unwrap();
        for row in &mut transaction.rows {
            let times = |field| read_number(row, field).unwrap_or(0);
            let now = (times("exposed_until"), times("lands_by"));
            match known.get(&row.id) {
                Some((exposed_until, lands_by)) if is_renewal => rewrite(row, |body| {
                    body.insert("exposed_until".to_owned(), (*exposed_until).into());
                    body.insert("lands_by".to_owned(), (*lands_by).into());
                }),
                _ if row.state == "active" => drop(known.insert(row.id, now)),
                _ => {}
            }
        }
    }
}

#[test]
fn a_renewal_that_raises_nothing_is_caught() {
    caught(
        bending(RenewsUnraised::default()),
        &[RECORDED, NOTHING_LEFT],
    );
}

/// Leaves out of the log what ends a lease.
struct KeepsQuiet;

impl Bend for KeepsQuiet {
    fn write(&self, transaction: &mut Transaction) {
        transaction
            .entries
            .retain(|entry| entry.event() != Event::LeaseEnded);
    }
}

#[test]
fn an_end_that_is_not_in_the_log_is_caught() {
    caught(bending(KeepsQuiet), &[TOLD]);
}

/// A hand that was superseded goes on: neither ledger nor cloud can tell its epoch from a new one.
#[derive(Default)]
struct IgnoresEpochs {
    writes: Arc<AtomicU64>,
}

struct StripsFences;

impl Bend for StripsFences {
    fn write(&self, transaction: &mut Transaction) {
        transaction.fences.clear();
    }
}

impl Mutant for IgnoresEpochs {
    fn ledger(&self, real: Arc<dyn Ledger>, process: &Arc<Process>) -> Arc<dyn Ledger> {
        bending(StripsFences).ledger(real, process)
    }

    fn adapter(&self, real: Arc<dyn Adapter>) -> Arc<dyn Adapter> {
        let writes = Arc::clone(&self.writes);
        let bend = move |_| Epoch(1_000_000 + writes.fetch_add(1, Ordering::SeqCst));
        Arc::new(BentAdapter {
            real,
            epoch: Box::new(bend),
            found: Box::new(|_, found| found),
        })
    }
}

#[test]
fn a_stale_epoch_that_is_accepted_is_caught() {
    caught(IgnoresEpochs::default(), &[OWNED, NOTHING_LEFT]);
}

/// Keeps to itself what it hears: no beat reaches the ledger but those that it notes as the hand of
/// a lane.
struct SharesNothing;

impl Bend for SharesNothing {
    fn write(&self, transaction: &mut Transaction) {
        let rows = &transaction.rows;
        let all_live = rows.iter().all(|row| row.state == "active");
        if all_live && transaction.fences.is_empty() && transaction.entries.is_empty() {
            transaction.rows.clear();
        }
    }
}

#[test]
fn beats_that_are_kept_from_other_brokers_are_caught() {
    caught(bending(SharesNothing), &[HEARD]);
}

/// Writes beats down only once the lease is due.
struct WritesTooLate;

impl Bend for WritesTooLate {
    fn write(&self, transaction: &mut Transaction) {
        let is_quiet = transaction.fences.is_empty() && transaction.entries.is_empty();
        let is_early = |row: &Row| row.state == "active" && is_quiet;
        for row in transaction.rows.iter_mut().filter(|row| is_early(row)) {
            let Some(alive_at) = read_number(row, "alive_at") else {
                continue;
            };
            let earlier = alive_at - i64::try_from(SILENCE.as_micros()).unwrap_or(0);
            row.due_at = row.due_at.map(|due| due.minus(SILENCE));
            rewrite(row, |body| {
                drop(body.insert("alive_at".to_owned(), earlier.into()));
            });
        }
    }
}

#[test]
fn beats_that_are_written_down_too_late_are_caught() {
    caught(bending(WritesTooLate), &[HEARD]);
}

/// Takes whatever it finds active for alive.
struct HearsEverybody;

impl Bend for HearsEverybody {
    fn read(&self, row: &mut Row) -> bool {
        if row.state == "active" {
            rewrite(row, |body| {
                drop(body.insert("alive_at".to_owned(), i64::MAX.into()));
            });
        }
        true
    }
}

#[test]
fn a_silence_that_nobody_notices_is_caught() {
    caught(bending(HearsEverybody), &[NOTICED]);
}

/// Calls settled what was only just written.
struct DoesNotWait;

impl Mutant for DoesNotWait {
    fn adapter(&self, real: Arc<dyn Adapter>) -> Arc<dyn Adapter> {
        Arc::new(BentAdapter {
            real,
            epoch: Box::new(|epoch| epoch),
            found: Box::new(|lease, found| match found {
                Revocation::NotYet {
                    written: true,
                    look_again,
                    ..
                } => Revocation::Evident {
                    evidence: Evidence::Settled {
                        written_at: look_again,
                        settle_seconds: 0,
                    },
                    hold_until: Some(lease.exposed_until().plus(SKEW)),
                },
                found => found,
            }),
        })
    }
}

#[test]
fn a_deny_that_has_not_settled_is_caught() {
    caught(DoesNotWait, &[NOTHING_LEFT]);
}

/// Gives before it has looked for the traces of a later ledger.
struct DoesNotLookBack;

impl Mutant for DoesNotLookBack {
    fn looked_back(&self, targets: &[TargetName]) -> LookedBack {
        LookedBack::at(targets)
    }
}

#[test]
fn a_mint_before_the_look_back_is_caught() {
    caught(DoesNotLookBack, &[OF_ONE_LEASE]);
}

pub type BendFound = dyn Fn(&Revoking, Revocation) -> Revocation + Send + Sync;

/// An adapter that bends which hand it writes as, and what it found.
pub struct BentAdapter {
    pub real: Arc<dyn Adapter>,
    pub epoch: Box<dyn Fn(Epoch) -> Epoch + Send + Sync>,
    pub found: Box<BendFound>,
}

#[async_trait]
impl Elevate for BentAdapter {
    fn cloud(&self) -> &CloudName {
        self.real.cloud()
    }

    fn slots(&self, wanted: &[Wanted]) -> Vec<LaneId> {
        self.real.slots(wanted)
    }

    fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        self.real.plan(order)
    }

    fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        self.real.lanes(resources)
    }

    fn reach(&self) -> Reach {
        self.real.reach()
    }

    async fn elevate(&self, intent: &Recorded<Elevating>) -> Result<Elevation, Fault> {
        self.real.elevate(intent).await
    }

    async fn renew(&self, lease: &Recorded<Active>) -> Result<Elevation, Fault> {
        self.real.renew(lease).await
    }
}

#[async_trait]
impl Revoke for BentAdapter {
    async fn revoke(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Fault> {
        let hand = Hand {
            epoch: (self.epoch)(hand.epoch),
            ..hand
        };
        let mut pass = self.real.revoke(lane, hand, due, holds).await?;
        for lease in due {
            if let Some(Ok(found)) = pass.leases.get_mut(&lease.terms().id) {
                *found = (self.found)(lease, *found);
            }
        }
        Ok(pass)
    }

    async fn sweep(&self, after: Option<String>) -> Result<Page, Fault> {
        self.real.sweep(after).await
    }
}

#[async_trait]
impl Probe for BentAdapter {
    fn in_force(&self, plan: &Plan) -> InForce {
        self.real.in_force(plan)
    }

    async fn probe(&self, lease: &Terms, wanted: &Wanted, shown: &Shown) -> Probed {
        self.real.probe(lease, wanted, shown).await
    }
}

impl Inquire for BentAdapter {}
