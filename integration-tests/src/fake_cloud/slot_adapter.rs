//! What the adapter of a cloud with slots does: gives a right to the identity that the plan names,
//! takes it away, and keeps a slot empty while something is held in it.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_core::adapter::{Hand, Mark, Pass};
use jitney_core::books::Recorded;
use jitney_core::evidence::{Evidence, Held, Hold, Revocation};
use jitney_core::handle::Handle;
use jitney_core::lease::{Revoking, Terms};
use jitney_core::plan::LaneId;
use jitney_core::time::{SKEW_MAX, Timestamp};

use super::slots::{Given, Removal, SLOT_SETTLE, SlotBooks};

/// How soon the adapter tries again what the cloud does not let happen yet.
const AGAIN: Duration = Duration::from_secs(60);

/// What is wrong with an adapter, for those who judge adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotVice {
    /// It holds nothing, whatever may still be alive.
    LetsGoAtOnce,
    /// It takes what it has taken away for being out of force.
    DoesNotWait,
    /// It holds nothing and does not wait either.
    IsDoneAtOnce,
    /// It takes what the cloud does not see yet for gone.
    BelievesEarlyAbsence,
    /// It does not look after what is held.
    ForgetsHolds,
    /// It gives to a slot that still gives something.
    GivesAnyway,
    /// Its slots have room for two.
    HasRoomForTwo,
}

/// What the adapter of one target knows and remembers.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) books: SlotBooks,
    pub(super) pool: u32,
    pub(super) vice: Option<SlotVice>,
    /// What this process has seen to be gone.
    seen_gone: BTreeSet<(LaneId, Held)>,
}

impl Slots {
    pub(super) fn pool_of(pool: u32) -> Self {
        Self {
            books: SlotBooks::default(),
            pool,
            vice: None,
            seen_gone: BTreeSet::new(),
        }
    }

    pub(super) fn has(&self, vice: SlotVice) -> bool {
        self.vice == Some(vice)
    }

    /// Whether a slot still gives something, of whomever.
    pub(super) fn is_in_use(&self, slot: &LaneId, now: Timestamp) -> bool {
        let used = self.books.listed(now).any(|right| right.slot == *slot);
        used && !self.has(SlotVice::GivesAnyway)
    }

    pub(super) fn give(&mut self, terms: &Terms, mark: Mark, at: Timestamp) {
        let resources = terms.scopes.iter().map(|scope| scope.resource.to_string());
        for resource in resources {
            self.books.give(Given {
                handle: terms.handle.clone(),
                slot: terms.plan.lane.clone(),
                lease: terms.id,
                resource,
                mark,
                given_at: at,
                removed_at: None,
            });
        }
    }

    pub(super) fn pass(
        &mut self,
        (lane, hand): (&LaneId, Hand),
        due: &[Recorded<Revoking>],
        holds: &[Hold],
        now: Timestamp,
    ) -> Pass {
        let here = self.books.listed(now).filter(|right| right.slot == *lane);
        let mut pass = Pass {
            mark_seen: here.map(|right| right.mark).max(),
            ..Pass::default()
        };
        if pass.took_nothing_away(hand) {
            return pass;
        }
        for lease in due {
            let found = self.end(lease, now);
            pass.leases.insert(lease.terms().id, Ok(found));
        }
        if !self.has(SlotVice::ForgetsHolds) {
            for hold in holds {
                self.keep_ended(lane, &hold.held, &mut pass, now);
            }
        }
        pass
    }

    fn end(&mut self, lease: &Recorded<Revoking>, now: Timestamp) -> Revocation {
        let handle = &lease.terms().handle;
        let is_there = self.books.listed(now).any(|it| it.handle == *handle);
        if !is_there {
            return self.absent(lease, now);
        }
        match self.books.remove(handle, now) {
            Removal::Done if self.has(SlotVice::DoesNotWait) => self.evident(lease, now, now),
            Removal::Done if self.has(SlotVice::IsDoneAtOnce) => self.evident(lease, now, now),
            Removal::Done if lease.written_at().is_none() => settling(now),
            // A stranger had given it back. It was taken away again just now.
            Removal::Done => not_yet(lease, now.plus(Duration::from_secs(1))),
            Removal::TooEarly { until } => not_yet(lease, until),
            Removal::DoesNotExist if self.has(SlotVice::BelievesEarlyAbsence) => {
                self.evident(lease, now, now)
            }
            // The listing shows it: it is only not seen yet where it is taken away.
            Removal::DoesNotExist => not_yet(lease, now.plus(AGAIN)),
        }
    }

    fn absent(&self, lease: &Recorded<Revoking>, now: Timestamp) -> Revocation {
        match lease.written_at() {
            Some(written_at) if now >= written_at.plus(SLOT_SETTLE) => {
                self.evident(lease, written_at, now)
            }
            Some(written_at) => settling(written_at),
            // A call we hung up on may still land.
            None if now < lease.lands_by() => not_yet(lease, lease.lands_by()),
            None => settling(now),
        }
    }

    fn evident(
        &self,
        lease: &Recorded<Revoking>,
        written_at: Timestamp,
        now: Timestamp,
    ) -> Revocation {
        let lets_go = self.has(SlotVice::LetsGoAtOnce) || self.has(SlotVice::IsDoneAtOnce);
        let until = lease.exposed_until().plus(SKEW_MAX);
        Revocation::Evident {
            evidence: Evidence::Settled {
                written_at,
                settle_seconds: u32::try_from(SLOT_SETTLE.as_secs()).unwrap_or(u32::MAX),
            },
            hold_until: Some(until).filter(|until| *until > now && !lets_go),
        }
    }

    /// Takes away what is held to be gone.
    fn keep_ended(&mut self, lane: &LaneId, held: &Held, pass: &mut Pass, now: Timestamp) {
        let listed = self.books.listed(now);
        let back = listed.filter(|right| right.slot == *lane && right.is_covered(held));
        let back: BTreeSet<Handle> = back.map(|right| right.handle.clone()).collect();
        let what = (lane.clone(), held.clone());
        let was_gone = self.seen_gone.contains(&what);
        for handle in &back {
            // What was given in several parts goes part by part.
            while self.books.remove(handle, now) == Removal::Done {}
        }
        let mut left = self.books.listed(now);
        if left.any(|right| right.slot == *lane && back.contains(&right.handle)) {
            pass.unreached = true;
            return;
        }
        if !back.is_empty() && was_gone {
            pass.undone.push(held.clone());
        }
        self.seen_gone.insert(what);
    }
}

fn not_yet(lease: &Recorded<Revoking>, look_again: Timestamp) -> Revocation {
    Revocation::NotYet {
        written: false,
        look_again,
        exposed_until: lease.exposed_until(),
    }
}

fn settling(written_at: Timestamp) -> Revocation {
    let settled = written_at.plus(SLOT_SETTLE);
    Revocation::NotYet {
        written: true,
        look_again: settled,
        exposed_until: settled,
    }
}
