//! Watches every commit as it happens, past everything that brokers believe.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Mutex;

use jitney_core::adapter::Epoch;
use jitney_core::audit::{Entry, Event};
use jitney_core::books::{FoundLease, found_lease};
use jitney_core::evidence::{Held, Hold};
use jitney_core::id::LeaseId;
use jitney_core::lease::End;
use jitney_core::ledger::{Row, RowId, Transaction};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;

use super::cloud::SKEW;
use super::executor::lock;
use super::fault::Fault;
use super::ledger::Tables;
use super::process::Scene;
use crate::fixtures::SILENCE;

/// Brokers look at their lanes every 20 s, and a lane whose cloud is away rests for a minute.
const SILENCE_NOTICED_WITHIN: Duration = Duration::from_secs(300);

/// Something that must never happen and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The sentence that was broken.
    pub rule: &'static str,
    /// How.
    pub how: String,
}

/// What a world came to, in numbers: a world in which nothing happens proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Intents recorded.
    pub intents: u64,
    /// Leases that became active.
    pub grants: u64,
    /// Renewals recorded.
    pub renewals: u64,
    /// Leases that ended, revoked.
    pub revoked: u64,
    /// Credentials that reached a job.
    pub handed_out: u64,
    /// Lanes taken over by another hand.
    pub takeovers: u64,
    /// Lives of brokers.
    pub lives: u64,
    /// Halts because the ledger was found to have gone back in time.
    pub halts: u64,
    /// Recoveries that came to their end.
    pub recoveries: u64,
    /// Holds replaced by one watermark.
    pub compactions: u64,
    /// What a stranger undid and the log told of.
    pub undone: u64,
    /// Ends that were noted in a spool.
    pub noted: u64,
    /// Times at which a spool was merged into the ledger.
    pub merges: u64,
    /// Entries that are left in lists for nothing.
    pub litter: u64,
}

impl Tally {
    /// Adds what another world came to.
    pub const fn add(&mut self, other: &Self) {
        self.intents += other.intents;
        self.grants += other.grants;
        self.renewals += other.renewals;
        self.revoked += other.revoked;
        self.handed_out += other.handed_out;
        self.takeovers += other.takeovers;
        self.lives += other.lives;
        self.halts += other.halts;
        self.recoveries += other.recoveries;
        self.compactions += other.compactions;
        self.undone += other.undone;
        self.noted += other.noted;
        self.merges += other.merges;
        self.litter += other.litter;
    }
}

#[derive(Default)]
struct Notes {
    names: BTreeMap<LeaseId, usize>,
    states: BTreeMap<LeaseId, String>,
    ended_at: BTreeMap<LeaseId, Timestamp>,
    owners: BTreeMap<LaneId, (Epoch, String)>,
    told_ended: BTreeMap<LeaseId, Timestamp>,
    heard_at: BTreeMap<LeaseId, Timestamp>,
    began_at: Timestamp,
    restored_at: Option<Timestamp>,
    recovered_at: Option<Timestamp>,
    violations: Vec<Violation>,
    tally: Tally,
}

/// Who watches.
#[derive(Default)]
pub struct Notary(Mutex<Notes>);

impl Notary {
    /// What must never happen and did.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        lock(&self.0).violations.clone()
    }

    /// What the world came to.
    #[must_use]
    pub fn tally(&self) -> Tally {
        lock(&self.0).tally
    }

    /// A name for a lease that a person can read.
    #[must_use]
    pub fn name_of(&self, lease: LeaseId) -> String {
        let mut notes = lock(&self.0);
        let next = notes.names.len() + 1;
        let number = *notes.names.entry(lease).or_insert(next);
        format!("lease {number}")
    }

    /// When a lease ended by the true time, if it did.
    #[must_use]
    pub fn ended_at(&self, lease: LeaseId) -> Option<Timestamp> {
        lock(&self.0).ended_at.get(&lease).copied()
    }

    /// An end was noted in a spool.
    pub fn noted(&self) {
        lock(&self.0).tally.noted += 1;
    }

    /// A job was told that its lease ends, or has ended.
    pub fn told_ended(&self, scene: &Scene, lease: LeaseId) {
        let now = scene.stage.now();
        lock(&self.0).told_ended.entry(lease).or_insert(now);
    }

    /// The leases of which that was told, and when.
    #[must_use]
    pub fn all_told_ended(&self) -> BTreeMap<LeaseId, Timestamp> {
        lock(&self.0).told_ended.clone()
    }

    /// So many entries are left in lists for nothing.
    pub fn litter(&self, entries: usize) {
        lock(&self.0).tally.litter += u64::try_from(entries).unwrap_or(u64::MAX);
    }

    /// A broker begins another life.
    pub fn begins(&self, scene: &Scene) {
        let mut notes = lock(&self.0);
        notes.tally.lives += 1;
        notes.began_at = scene.stage.now();
    }

    /// A broker heard a job.
    pub fn heard(&self, lease: LeaseId, at: Timestamp) {
        let mut notes = lock(&self.0);
        let heard_at = notes.heard_at.entry(lease).or_default();
        *heard_at = at.max(*heard_at);
    }

    /// Since when every broker hears every job in time: nothing goes wrong any more, all clocks are
    /// right, and the last of the brokers had time to begin. Nothing in a world where they are not.
    fn all_hear_since(&self, scene: &Scene) -> Option<Timestamp> {
        let began_at = lock(&self.0).began_at;
        let calm_from = scene.weather.calm_from().max(began_at).plus(SILENCE * 2);
        let is_calm = calm_from <= scene.stage.now()
            && scene.weather.odds(Fault::ClockJump) == 0
            && !scene.outage.stops_writes(calm_from.minus(SILENCE * 2));
        is_calm.then_some(calm_from)
    }

    /// A job that was heard is not silent, whichever broker heard it.
    fn saw_silence(&self, scene: &Scene, hand: &str, transaction: &Transaction) {
        let Some(since) = self.all_hear_since(scene) else {
            return;
        };
        let is_silence = |entry: &&Entry| {
            let why = entry.fields().get("why").map(String::as_str);
            entry.event() == Event::LeaseEnding && why == Some(End::Silent.as_str())
        };
        let now = scene.stage.now();
        for lease in transaction.entries.iter().filter(is_silence) {
            let Some(lease) = lease.lease_id() else {
                continue;
            };
            let heard_at = lock(&self.0).heard_at.get(&lease).copied();
            if let Some(at) = heard_at.filter(|at| *at >= since && now < at.plus(SILENCE)) {
                let how = format!(
                    "{hand} calls {} silent, which was heard at {at}",
                    self.name_of(lease)
                );
                self.object("a job that is heard is not silent", how);
            }
        }
    }

    /// A job that is not heard loses its lease in time, also when the broker that heard it last is
    /// another.
    pub fn must_notice_silence(&self, scene: &Scene) {
        let Some(since) = self.all_hear_since(scene) else {
            return;
        };
        let now = scene.stage.now();
        let active: Vec<Row> = scene.ledger.look(|tables| {
            let rows = tables.rows().filter(|row| row.state == "active");
            rows.cloned().collect()
        });
        for row in active {
            let (RowId::Lease(lease), Ok(FoundLease::Active(known))) = (row.id, found_lease(&row))
            else {
                continue;
            };
            let heard_at = lock(&self.0).heard_at.get(&lease).copied();
            let heard_at = heard_at
                .unwrap_or_default()
                .max(known.granted_at())
                .max(since);
            if now > heard_at.plus(SILENCE_NOTICED_WITHIN) {
                let how = format!("{} was last heard at {heard_at}", self.name_of(lease));
                self.object("a silent job loses its lease", how);
            }
        }
    }

    /// A hand was given a lane.
    pub fn claimed(&self, scene: &Scene, lane: &LaneId, hand: &str, epoch: Epoch) {
        let owner = (epoch, hand.to_owned());
        let before = lock(&self.0).owners.insert(lane.clone(), owner.clone());
        match before {
            Some((earlier, other)) if earlier > epoch || (earlier == epoch && other != hand) => self.object(
                "a lane has one owner at a time, and epochs only grow",
                format!("{hand} was given {lane} with epoch {epoch:?}, which {other} has as {earlier:?}"),
            ),
            Some((_, other)) if other == hand => {}
            Some(_) | None => {
                lock(&self.0).tally.takeovers += 1;
                scene.trace.tell(|| format!("{hand}: takes {lane} with {epoch:?}"));
            }
        }
    }

    /// A commit was applied. `hand` is the broker that made it.
    pub fn saw(&self, scene: &Scene, hand: &str, transaction: &Transaction) {
        self.count(scene, transaction);
        self.saw_silence(scene, hand, transaction);
        let mut ends = false;
        for row in &transaction.rows {
            if let RowId::Lease(lease) = row.id {
                ends |= self.saw_lease(scene, hand, lease, row);
            }
        }
        for hold in &transaction.holds_dropped {
            if scene.stage.now().plus(SKEW) < hold.until && !is_replaced(scene, hold) {
                let how = format!(
                    "{hand} dropped the hold of {} before {}",
                    hold.held, hold.until
                );
                self.object("no hold is dropped before its time", how);
            }
        }
        if ends || !transaction.holds_dropped.is_empty() {
            self.must_own(scene, hand, transaction);
        }
    }

    fn count(&self, scene: &Scene, transaction: &Transaction) {
        let mut notes = lock(&self.0);
        for entry in &transaction.entries {
            match entry.event() {
                Event::LeaseRenewed => notes.tally.renewals += 1,
                Event::Halted => notes.tally.halts += 1,
                Event::HoldsCompacted => notes.tally.compactions += 1,
                Event::HoldUndone => notes.tally.undone += 1,
                Event::SpoolMerged => notes.tally.merges += 1,
                Event::Recovered => {
                    notes.tally.recoveries += 1;
                    notes.recovered_at = Some(scene.stage.now());
                }
                _ => continue,
            }
            scene.trace.tell(|| format!("the log: {}", entry.event()));
        }
    }

    /// The ledger went back to what `tables` hold. What came after that never happened, except in
    /// the clouds.
    pub fn restored(&self, scene: &Scene, tables: &Tables) {
        let leases = tables.rows().filter_map(|row| match row.id {
            RowId::Lease(lease) => Some((lease, row.state.clone())),
            RowId::Request(_) => None,
        });
        let mut notes = lock(&self.0);
        notes.states = leases.collect();
        let states = core::mem::take(&mut notes.states);
        let is_over = |lease: &LeaseId| states.get(lease).is_some_and(|state| state == "ended");
        notes.ended_at.retain(|lease, _| is_over(lease));
        notes.states = states;
        let owners = tables
            .owners()
            .map(|(lane, it)| (lane.clone(), (it.epoch, it.hand.clone())));
        notes.owners = owners.collect();
        notes.restored_at = Some(scene.stage.now());
        notes.recovered_at = None;
    }

    /// When the ledger last went back in time, and when a recovery from that was done.
    #[must_use]
    pub fn went_back(&self) -> Option<(Timestamp, Option<Timestamp>)> {
        let notes = lock(&self.0);
        Some((notes.restored_at?, notes.recovered_at))
    }

    /// A credential is about to leave a broker.
    pub fn hands_out(&self, scene: &Scene, lease: LeaseId) {
        let state = scene.ledger.look(|tables| {
            let row = tables.rows().find(|row| row.id == RowId::Lease(lease));
            row.map(|row| row.state.clone())
        });
        lock(&self.0).tally.handed_out += 1;
        if !matches!(state.as_deref(), Some("active" | "revoking" | "ended")) {
            let how = format!("{} is {state:?} in the ledger", self.name_of(lease));
            self.object(
                "no credential leaves before its lease is durably active",
                how,
            );
        }
    }

    /// Something that must never happen did.
    pub fn object(&self, rule: &'static str, how: String) {
        lock(&self.0).violations.push(Violation { rule, how });
    }

    /// Takes note of a lease's new state. True when it ended by way of a revocation.
    fn saw_lease(&self, scene: &Scene, hand: &str, lease: LeaseId, row: &Row) -> bool {
        let name = self.name_of(lease);
        let before = lock(&self.0).states.insert(lease, row.state.clone());
        if before.as_ref() != Some(&row.state) {
            scene
                .trace
                .tell(|| format!("{hand}: {name} is {} in the ledger", row.state));
        }
        let mut notes = lock(&self.0);
        match (before.as_deref(), row.state.as_str()) {
            (Some("ended"), state) => {
                let how = format!("{name} is {state} after it had ended");
                drop(notes);
                self.object("an end is an end", how);
            }
            (None, "elevating") => notes.tally.intents += 1,
            (Some("elevating"), "active") => notes.tally.grants += 1,
            (before, "ended") => {
                notes.ended_at.insert(lease, scene.stage.now());
                let is_revoked = before == Some("revoking");
                notes.tally.revoked += u64::from(is_revoked);
                return is_revoked;
            }
            _ => {}
        }
        false
    }

    /// Only the owner of a lane may end leases in it or drop its holds.
    fn must_own(&self, scene: &Scene, hand: &str, transaction: &Transaction) {
        let ended = transaction.rows.iter().filter(|row| row.is_final);
        let lanes = ended.filter_map(|row| row.lane.as_ref());
        let dropped = transaction.holds_dropped.iter().map(|hold| &hold.lane);
        for lane in lanes.chain(dropped) {
            let owner = scene.ledger.look(|tables| tables.owner(lane).cloned());
            if owner.as_ref().is_none_or(|owner| owner.hand != hand) {
                let how = format!("{hand} ended something in {lane}, which is owned by {owner:?}");
                self.object("only the hand that owns a lane ends what is in it", how);
                return;
            }
        }
    }
}

/// Whether a watermark stands for a hold.
fn is_replaced(scene: &Scene, hold: &Hold) -> bool {
    let stands = |held: &Hold| {
        let is_watermark = matches!(held.held, Held::IssuedBefore(_));
        is_watermark && held.lane == hold.lane && held.until >= hold.until
    };
    scene.ledger.look(|tables| tables.holds().any(stands))
}
