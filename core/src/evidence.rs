//! What convinces us that nothing is left of a grant, and what must stay in force afterwards.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::handle::Handle;
use crate::id::{BadId, LeaseId};
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

/// What a hold keeps ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Held {
    /// One grant.
    Grant(Handle),
    /// Everything that was issued in the lane before this moment, whoever it was issued to.
    IssuedBefore(Timestamp),
}

impl Held {
    /// Whether it is one grant.
    #[must_use]
    pub const fn is_grant(&self) -> bool {
        matches!(self, Self::Grant(_))
    }
}

/// How a watermark begins as text. No handle has a colon.
const WATERMARK: &str = "before:";

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant(handle) => handle.fmt(f),
            Self::IssuedBefore(moment) => write!(f, "{WATERMARK}{}", moment.as_micros()),
        }
    }
}

impl From<Held> for String {
    fn from(held: Held) -> Self {
        held.to_string()
    }
}

impl TryFrom<String> for Held {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        let Some(micros) = text.strip_prefix(WATERMARK) else {
            return Handle::try_from(text).map(Self::Grant);
        };
        let moment = micros.parse().map(Timestamp::from_micros);
        moment
            .map(Self::IssuedBefore)
            .map_err(|_| BadId::new("hold", "a handle or `before:` and microseconds", &text))
    }
}

/// What must stay in force after a lease ended: a Deny entry until the session is dead, a slot in
/// quarantine. Holds outlive leases. In one lane, a thing is held once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The lane that enforces it.
    pub lane: LaneId,
    /// What is kept ended.
    pub held: Held,
    /// The lease it comes from; absent for a watermark and for what a sweep found.
    pub lease: Option<LeaseId>,
    /// When it may be dropped.
    pub until: Timestamp,
    /// The last moment at which anything it covers can have been issued. Absent when that is not
    /// known, or when a watermark would not cover everything: then no watermark replaces it.
    pub issued_by: Option<Timestamp>,
}

impl Hold {
    /// The grant it is about, when it is about one.
    #[must_use]
    pub const fn grant(&self) -> Option<&Handle> {
        match &self.held {
            Held::Grant(handle) => Some(handle),
            Held::IssuedBefore(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_held_reads_back_and_nothing_else_does() {
        let handle = Handle::try_from("0123456789abcdefghj".to_owned()).unwrap();
        for held in [
            Held::Grant(handle),
            Held::IssuedBefore(Timestamp::from_seconds(1_795_392_000)),
        ] {
            assert_eq!(Held::try_from(held.to_string()).unwrap(), held);
        }
        for bad in ["", "before:", "before:x", "after:1", "short"] {
            assert!(Held::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
