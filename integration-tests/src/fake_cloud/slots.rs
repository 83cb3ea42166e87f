//! What a cloud knows that gives rights to identities of ours: which identity was given which
//! right, and since when it has not. A credential is one of its identity, and does whatever its
//! identity may do at the moment it is used.

use core::time::Duration;

use jitney_core::adapter::Mark;
use jitney_core::evidence::Held;
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;

use super::Session;

/// How long a credential of an identity lives. Nothing ends it sooner.
pub const TOKEN_LIFE: Duration = Duration::from_secs(3_600);
/// How long a right that was given cannot be taken away, unless told otherwise.
pub const FLOOR: Duration = Duration::from_secs(300);
/// How long a right that was given is said not to exist by whoever would take it away.
pub const UNSEEN: Duration = Duration::from_secs(60);
/// How long a right that was taken away still works.
pub const SLOT_LAG: Duration = Duration::from_secs(600);
/// How long the adapter waits after it has taken a right away.
pub const SLOT_SETTLE: Duration = Duration::from_secs(660);

/// A right that an identity was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The name we gave it.
    pub handle: Handle,
    /// The identity.
    pub slot: LaneId,
    /// The lease it was given for, as the call said.
    pub lease: LeaseId,
    /// What it is a right to.
    pub resource: String,
    /// How far the ledger was that led to it.
    pub mark: Mark,
    /// From when it is there. In the future for a call that lands late.
    pub given_at: Timestamp,
    /// When it was taken away.
    pub removed_at: Option<Timestamp>,
}

impl Given {
    fn is_listed(&self, now: Timestamp) -> bool {
        self.given_at <= now && self.removed_at.is_none()
    }

    fn is_in_force(&self, now: Timestamp) -> bool {
        let removed = self.removed_at.map(|at| at.plus(SLOT_LAG));
        self.given_at <= now && removed.is_none_or(|in_force| now < in_force)
    }

    /// Whether it is what a hold keeps ended.
    pub(super) fn is_covered(&self, held: &Held) -> bool {
        match held {
            Held::Grant(handle) => self.handle == *handle,
            Held::IssuedBefore(moment) => self.given_at < *moment,
        }
    }
}

/// What taking a right away came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    Done,
    TooEarly { until: Timestamp },
    DoesNotExist,
}

/// The rights of all identities, also those that are over.
#[derive(Debug)]
pub(super) struct SlotBooks {
    rights: Vec<Given>,
    pub(super) floor: Duration,
}

impl Default for SlotBooks {
    fn default() -> Self {
        Self {
            rights: Vec::new(),
            floor: FLOOR,
        }
    }
}

impl SlotBooks {
    pub(super) fn give(&mut self, right: Given) {
        self.rights.push(right);
    }

    /// The rights that a listing shows.
    pub(super) fn listed(&self, now: Timestamp) -> impl Iterator<Item = &Given> {
        self.rights.iter().filter(move |right| right.is_listed(now))
    }

    pub(super) fn in_force(&self, slot: &LaneId, now: Timestamp) -> impl Iterator<Item = &Given> {
        let works = move |right: &&Given| right.slot == *slot && right.is_in_force(now);
        self.rights.iter().filter(works)
    }

    /// The rights in force on a session's identity that were given for other leases.
    pub(super) fn of_others(&self, session: &Session, now: Timestamp) -> Vec<Given> {
        let rights = self.in_force(&session.lane, now);
        let others = rights.filter(|right| right.lease != session.lease);
        others.cloned().collect()
    }

    pub(super) fn remove(&mut self, handle: &Handle, now: Timestamp) -> Removal {
        let mut rights = self.rights.iter_mut();
        let Some(right) = rights.find(|it| it.handle == *handle && it.is_listed(now)) else {
            return Removal::DoesNotExist;
        };
        if now < right.given_at.plus(UNSEEN.min(self.floor)) {
            return Removal::DoesNotExist;
        }
        let until = right.given_at.plus(self.floor);
        if now < until {
            return Removal::TooEarly { until };
        }
        right.removed_at = Some(now);
        Removal::Done
    }

    /// Gives an identity what was last taken from it, as it was.
    pub(super) fn give_back(&mut self, slot: &LaneId, now: Timestamp) {
        let of_slot = self.rights.iter().filter(|right| right.slot == *slot);
        let taken = of_slot.filter(|right| right.removed_at.is_some());
        if let Some(last) = taken.max_by_key(|right| right.removed_at).cloned() {
            self.rights.push(Given {
                given_at: now,
                removed_at: None,
                ..last
            });
        }
    }
}
