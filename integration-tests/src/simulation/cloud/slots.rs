//! Rights that identities of ours were given. A session is one of its identity, and does whatever
//! its identity may do at the moment: also because of a later lease, or still of an earlier one.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use jitney_core::adapter::Mark;
use jitney_core::evidence::Held;
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;

use super::Session;

/// How long a session of an identity lives. Nothing ends it sooner.
pub const TOKEN_LIFE: Duration = Duration::from_secs(1_800);
/// How long a right that was given cannot be taken away.
pub const FLOOR: Duration = Duration::from_secs(300);
/// How long a right that was given is said not to exist by whoever would take it away.
pub const UNSEEN: Duration = Duration::from_secs(60);
/// The longest that a right works after it was taken away.
pub const SLOT_LAG_MAX: Duration = Duration::from_secs(600);
/// How long an adapter waits, after it saw a right gone, until it calls it settled.
pub const SLOT_SETTLE: Duration = Duration::from_secs(660);

/// A right that an identity was given.
#[derive(Debug, Clone)]
pub struct Right {
    handle: Handle,
    slot: LaneId,
    lease: LeaseId,
    asked_at: Timestamp,
    given_at: Timestamp,
    is_listed: bool,
    /// Until when it is in force, once it was taken away.
    in_force_until: Option<Timestamp>,
    by_stranger: bool,
}

impl Right {
    fn is_in_force(&self, now: Timestamp) -> bool {
        self.given_at <= now && self.in_force_until.is_none_or(|until| now < until)
    }

    fn is_doomed(&self, handles: &BTreeSet<Handle>, issued_before: Option<Timestamp>) -> bool {
        let is_old = issued_before.is_some_and(|moment| self.given_at < moment);
        self.is_listed && (is_old || handles.contains(&self.handle))
    }
}

/// What became of a right that was to be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, and works for a while longer.
    Done,
    /// It cannot be taken away yet.
    TooEarly,
    /// It is said not to exist, and is listed.
    Unseen,
}

/// What a look at a slot came to.
#[derive(Debug, Clone, Default)]
pub struct Cleared {
    /// The mark that the slot bore before.
    pub mark: Option<Mark>,
    /// What was to be taken away and was there: whose it was, since when, and what became of it.
    pub found: Vec<(Handle, Timestamp, Removal)>,
}

/// All rights that there ever were.
#[derive(Default)]
pub struct Rights {
    rights: Vec<Right>,
    /// How far the ledger was by which a slot was last written. A slot bears it at rest as well.
    marks: BTreeMap<LaneId, Mark>,
}

impl Rights {
    /// Gives a right to the identity of a session.
    pub(super) fn give(&mut self, session: &Session) {
        self.mark(&session.lane, session.mark);
        self.rights.push(Right {
            handle: session.handle.clone(),
            slot: session.lane.clone(),
            lease: session.lease,
            asked_at: session.asked_at,
            given_at: session.minted_at,
            is_listed: true,
            in_force_until: None,
            by_stranger: false,
        });
    }

    fn mark(&mut self, slot: &LaneId, mark: Mark) {
        let known = self.marks.entry(slot.clone()).or_default();
        *known = mark.max(*known);
    }

    /// Whether a slot gives something, and the mark that it bears.
    pub(super) fn state(&self, slot: &LaneId) -> (bool, Option<Mark>) {
        let gives = self.listed().any(|right| right.slot == *slot);
        (gives, self.marks.get(slot).copied())
    }

    fn listed(&self) -> impl Iterator<Item = &Right> {
        self.rights.iter().filter(|right| right.is_listed)
    }

    /// What bears a stamp: what gives, and the mark of every slot that was ever written.
    pub(super) fn stamped(&self) -> Vec<(LaneId, Held, Option<Mark>)> {
        let mark = |slot: &LaneId| self.marks.get(slot).copied();
        let grants = self.listed().map(|right| {
            let held = Held::Grant(right.handle.clone());
            (right.slot.clone(), held, mark(&right.slot))
        });
        let nothing = Held::IssuedBefore(Timestamp::default());
        let marks = self.marks.iter();
        let marks = marks.map(|(slot, mark)| (slot.clone(), nothing.clone(), Some(*mark)));
        grants.chain(marks).collect()
    }

    /// Takes what is named, and what was given before a moment, from a slot.
    pub(super) fn clear(
        &mut self,
        slot: &LaneId,
        (handles, issued_before): (&BTreeSet<Handle>, Option<Timestamp>),
        mark: Mark,
        (now, lag): (Timestamp, Duration),
    ) -> Cleared {
        let before = self.marks.get(slot).copied();
        let mut found = Vec::new();
        let here = self.rights.iter_mut().filter(|right| right.slot == *slot);
        for right in here.filter(|right| right.is_doomed(handles, issued_before)) {
            let removal = if now < right.given_at.plus(UNSEEN) {
                Removal::Unseen
            } else if now < right.given_at.plus(FLOOR) {
                Removal::TooEarly
            } else {
                right.is_listed = false;
                right.in_force_until = Some(now.plus(lag));
                Removal::Done
            };
            found.push((right.handle.clone(), right.given_at, removal));
        }
        if found
            .iter()
            .any(|(_, _, removal)| *removal == Removal::Done)
        {
            self.mark(slot, mark);
        }
        Cleared {
            mark: before,
            found,
        }
    }

    /// A stranger gives every slot at rest what was last taken from it.
    pub(super) fn give_back(&mut self, now: Timestamp) -> BTreeSet<Held> {
        let mut last: BTreeMap<LaneId, Right> = BTreeMap::new();
        for right in self.rights.iter().filter(|right| !right.is_listed) {
            last.insert(right.slot.clone(), right.clone());
        }
        last.retain(|slot, _| !self.state(slot).0);
        let back = last.into_values().map(|right| Right {
            given_at: now,
            is_listed: true,
            in_force_until: None,
            by_stranger: true,
            ..right
        });
        let back: Vec<Right> = back.collect();
        let held = back.iter().map(|right| Held::Grant(right.handle.clone()));
        let held = held.collect();
        self.rights.extend(back);
        held
    }

    /// Whether a slot's identity may do something. That a stranger gave it back does not count
    /// before `excused_until`.
    pub(super) fn gives(&self, slot: &LaneId, now: Timestamp, excused_until: Timestamp) -> bool {
        let of_slot = self.rights.iter().filter(|right| right.slot == *slot);
        let mut counting = of_slot.filter(|right| !right.by_stranger || now >= excused_until);
        counting.any(|right| right.is_in_force(now))
    }

    /// The moments at which a slot's identity was given something.
    pub(super) fn moments(&self, slot: &LaneId) -> impl Iterator<Item = Timestamp> {
        let of_slot = self.rights.iter().filter(move |right| right.slot == *slot);
        of_slot.map(|right| right.given_at)
    }

    /// The first moment at which a session does what another lease may, and that lease. What was
    /// asked for before the ledger went back in time, and landed after it, is nobody's any more.
    pub(super) fn of_another(
        &self,
        session: &Session,
        restored_at: Option<Timestamp>,
    ) -> Option<(Timestamp, LeaseId)> {
        let landed_after = |asked: Timestamp, landed: Timestamp| {
            restored_at.is_some_and(|at| asked < at && at <= landed)
        };
        if landed_after(session.asked_at, session.minted_at) {
            return None;
        }
        let others = self.rights.iter().filter(|right| {
            right.slot == session.lane
                && right.lease != session.lease
                && !right.by_stranger
                && !landed_after(right.asked_at, right.given_at)
        });
        let mut met = others.filter_map(|right| {
            let from = right.given_at.max(session.minted_at);
            let meets = from < session.expires_at && right.is_in_force(from);
            meets.then_some((from, right.lease))
        });
        met.next()
    }
}
