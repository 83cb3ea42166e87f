//! Leases: the durable life of one elevation on one target, one type per state.
//!
//! ```text
//! Elevating ─ nothing happened ──► Ended(NeverGranted)
//!     │    └─ ambiguous, peer failed ─► Revoking
//!     │  (loaded after a restart: Doubtful ─ doubted ─► Revoking, its only edge)
//!     ▼ granted
//! Active ─ ending ─► Revoking ─ evidence ─► Ended(Revoked) + hold
//!     └─ renewing ─► Active      └─ not yet: looked again, for ever
//!                                └─ a named person ─► Ended(WrittenOff) + hold
//! ```
//!
//! Edges are methods of [`Recorded`](crate::books::Recorded) states and consume them. An edge that is not drawn is not
//! written, so it does not compile. No state is called failed or gave-up.

mod edges;
mod stored;
#[cfg(test)]
mod tests;

use core::time::Duration;

use serde::{Deserialize, Serialize};

pub use edges::{CannotRenew, Life, Looked, UNPROVED_SECONDS, intend};
pub use stored::Lease;
pub(crate) use stored::Written;

use crate::audit::{Entry, Event};
use crate::evidence::{Evidence, Held, Hold};
use crate::guarantee::Recall;
use crate::handle::Handle;
use crate::id::{LeaseId, RequestId};
use crate::ledger::Owner;
use crate::plan::Plan;
use crate::principal::KeyThumbprint;
use crate::scope::Scope;
use crate::time::Timestamp;

/// What never changes about a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Which lease.
    pub id: LeaseId,
    /// The request it belongs to.
    pub request: RequestId,
    /// The name by which the cloud will know the grant.
    pub handle: Handle,
    /// Whose budgets it counts against; `owner.job` is the job it is bound to.
    pub owner: Owner,
    /// The client's proof key.
    pub key: KeyThumbprint,
    /// What was asked of this target.
    pub scopes: Vec<Scope>,
    /// What will be asked of the cloud.
    pub plan: Plan,
    /// How long it lives from one grant or renewal to the next end, in seconds.
    pub ttl_seconds: u32,
    /// When the intent was made.
    pub intended_at: Timestamp,
    /// When our own waiting for the cloud's answer ends.
    pub answer_by: Timestamp,
    /// The end that no renewal passes.
    pub absolute_end: Timestamp,
}

impl Terms {
    /// The last moment at which a call made at `called_at` may still land in the cloud.
    fn lands_by(&self, called_at: Timestamp) -> Timestamp {
        called_at.plus(seconds(self.plan.lands_within_seconds))
    }

    /// The last moment at which a credential from a call made at `called_at` may still work.
    fn exposed_until(&self, called_at: Timestamp) -> Timestamp {
        self.lands_by(called_at)
            .plus(seconds(self.plan.lives_seconds))
    }

    fn entry(&self, at: Timestamp, event: Event) -> Entry {
        Entry::new(at, event)
            .request(self.request)
            .lease(self.id)
            .field("handle", &self.handle)
            .field("lane", &self.plan.lane)
    }

    /// What must stay in force when this lease has ended. A watermark may take its place once
    /// everything it covers was issued before; not when something derived outlives the
    /// credential, because that bears an issue time of its own.
    fn hold(&self, until: Timestamp, issued_by: Timestamp) -> Hold {
        Hold {
            lane: self.plan.lane.clone(),
            held: Held::Grant(self.handle.clone()),
            lease: Some(self.id),
            until,
            issued_by: (self.plan.derived_seconds == 0).then_some(issued_by),
        }
    }
}

const fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds as u64)
}

/// A recorded plan: we are about to call. The intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elevating {
    pub(crate) terms: Terms,
    pub(crate) lands_by: Timestamp,
    pub(crate) exposed_until: Timestamp,
}

/// An intent found in the ledger by somebody who did not make it. Whether the cloud was called is
/// not known, so the only edge is to be doubted: a restart cannot mint twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubtful(pub(crate) Elevating);

/// The privilege is in the job's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    pub(crate) terms: Terms,
    pub(crate) granted_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    /// The last moment at which any credential of this lease may still work.
    pub(crate) exposed_until: Timestamp,
    /// The last sign of life that was written down.
    pub(crate) alive_at: Timestamp,
    /// How many times the cloud was asked to mint.
    pub(crate) mints: u32,
    /// Until when the latest call may land.
    pub(crate) lands_by: Timestamp,
    /// The last moment at which any credential of this lease can have been issued: that of the
    /// answer, or `lands_by` while an answer is out.
    pub(crate) issued_by: Timestamp,
}

/// Why a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The job gave it back.
    Released,
    /// The job went silent.
    Silent,
    /// Its time was up.
    Expired,
    /// The CI said that the job is over.
    JobEnded,
    /// An operator ended it.
    Killed,
    /// Another lease of the same request could not be granted.
    PeerFailed,
    /// The credential could not be handed to whoever asked.
    Undelivered,
    /// Nobody can say whether the cloud granted it.
    Doubted,
    /// Everything that was issued in its lane was cut at once.
    Cut,
}

impl End {
    /// Its name in the audit log and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Silent => "silent",
            Self::Expired => "expired",
            Self::JobEnded => "job-ended",
            Self::Killed => "killed",
            Self::PeerFailed => "peer-failed",
            Self::Undelivered => "undelivered",
            Self::Doubted => "doubted",
            Self::Cut => "cut",
        }
    }
}

/// Being taken back, for as long as it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoking {
    pub(crate) terms: Terms,
    pub(crate) why: End,
    pub(crate) since: Timestamp,
    pub(crate) lands_by: Timestamp,
    pub(crate) issued_by: Timestamp,
    pub(crate) exposed_until: Timestamp,
    pub(crate) told_exposed_until: Timestamp,
    pub(crate) written_at: Option<Timestamp>,
    pub(crate) look_again: Timestamp,
    pub(crate) attempts: u32,
}

/// How a lease ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Outcome {
    /// The cloud was never asked, or it refused: there was nothing to take back.
    NeverGranted {
        /// The fault's code.
        code: String,
    },
    /// It was taken back.
    Revoked {
        /// Why it ended.
        why: End,
        /// What shows that nothing is left.
        evidence: Evidence,
    },
    /// A person declared it over without evidence. Its hold stays.
    WrittenOff {
        /// Who.
        person: String,
        /// Why.
        reason: String,
    },
}

/// Over. Nothing leads out of here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub(crate) terms: Terms,
    pub(crate) outcome: Outcome,
    pub(crate) at: Timestamp,
}

impl Elevating {
    /// What never changes about the lease.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }
}

impl Doubtful {
    /// What never changes about the lease.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.0.terms
    }

    /// The last moment at which a credential may work that somebody may have asked for.
    #[must_use]
    pub const fn exposed_until(&self) -> Timestamp {
        self.0.exposed_until
    }
}

impl Active {
    /// What never changes about the lease.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// When it ends unless it is renewed.
    #[must_use]
    pub const fn ends_at(&self) -> Timestamp {
        self.ends_at
    }

    /// When it was granted.
    #[must_use]
    pub const fn granted_at(&self) -> Timestamp {
        self.granted_at
    }

    /// The last moment at which any credential of this lease may still work.
    #[must_use]
    pub const fn exposed_until(&self) -> Timestamp {
        self.exposed_until
    }

    /// How many times the cloud was asked to mint.
    #[must_use]
    pub const fn mints(&self) -> u32 {
        self.mints
    }

    /// The last moment at which the latest mint may be asked for. A broker that stood still since
    /// it was recorded does not ask any more: by then the lease may have ended, and its hold too.
    #[must_use]
    pub fn answer_by(&self) -> Timestamp {
        self.lands_by
            .minus(seconds(self.terms.plan.lands_within_seconds))
    }

    /// The last sign of life that was written down.
    #[must_use]
    pub const fn alive_at(&self) -> Timestamp {
        self.alive_at
    }
}

impl Revoking {
    /// What never changes about the lease.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Why it ends.
    #[must_use]
    pub const fn why(&self) -> End {
        self.why
    }

    /// Since when it is being revoked.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// The last moment at which a call made for it may still land: absence before that proves
    /// nothing.
    #[must_use]
    pub const fn lands_by(&self) -> Timestamp {
        self.lands_by
    }

    /// The last moment at which any credential of this lease may still work.
    #[must_use]
    pub const fn exposed_until(&self) -> Timestamp {
        self.exposed_until
    }

    /// The last moment at which something may still work, as the adapter last told: sooner than
    /// [`exposed_until`](Self::exposed_until) once what ends it is written.
    #[must_use]
    pub const fn told_exposed_until(&self) -> Timestamp {
        self.told_exposed_until
    }

    /// When what ends it was first read back from the cloud.
    #[must_use]
    pub const fn written_at(&self) -> Option<Timestamp> {
        self.written_at
    }

    /// When it is to be looked at again.
    #[must_use]
    pub const fn look_again(&self) -> Timestamp {
        self.look_again
    }

    /// How many times it was tried without coming to an end.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }
}

impl Ended {
    /// What never changed about the lease.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How it ended.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// When.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

impl Terms {
    /// The longest time from the lease's end until nothing works any more, and whether that is
    /// because it is severed or because it lapses.
    #[must_use]
    pub const fn recall(&self) -> Recall {
        self.plan.guarantees.recall
    }
}
