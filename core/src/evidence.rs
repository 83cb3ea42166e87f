//! What convinces us that nothing is left of a grant, and what must stay in force afterwards.

use serde::{Deserialize, Serialize};

use crate::handle::Handle;
use crate::id::LeaseId;
use crate::plan::LaneId;
use crate::time::Timestamp;

/// What convinced us that nothing is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Evidence {
    /// The cloud's own time is past the last possible credential.
    Expired {
        /// When the last credential had ended by the cloud's clock.
        at: Timestamp,
    },
    /// The credential was tried and refused by the cloud.
    Probed {
        /// When.
        at: Timestamp,
    },
    /// The enforcing object was read back, and the time its effect takes has passed.
    Settled {
        /// When it was first read back as written.
        written_at: Timestamp,
        /// The settle time, in seconds.
        settle_seconds: u32,
    },
    /// The grant was looked for and is not there. Counts only after the last moment at which a
    /// call we made could still land.
    Absent {
        /// When it was looked for.
        at: Timestamp,
    },
}

impl Evidence {
    /// Its name in the audit log and in answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::Probed { .. } => "probed",
            Self::Settled { .. } => "settled",
            Self::Absent { .. } => "absent",
        }
    }
}

/// What an adapter found when it revoked one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// Nothing is left.
    Evident {
        /// What shows it.
        evidence: Evidence,
        /// Until when something must stay in force so that it remains so; absent when nothing
        /// need be.
        hold_until: Option<Timestamp>,
    },
    /// Something may still work.
    NotYet {
        /// Whether what ends the grant is written in the cloud and was read back.
        written: bool,
        /// When to look again.
        look_again: Timestamp,
        /// The last moment at which something may still work if no one comes back.
        exposed_until: Timestamp,
    },
}

/// What must stay in force after a lease ended: a Deny entry until the session is dead, a slot in
/// quarantine. Holds outlive leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The lane that enforces it.
    pub lane: LaneId,
    /// The grant it is about.
    pub handle: Handle,
    /// The lease it comes from.
    pub lease: LeaseId,
    /// When it may be dropped.
    pub until: Timestamp,
}
