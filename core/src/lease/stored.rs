//! Leases of any state, as the ledger stores them.

use core::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::{Active, Elevating, Ended, Revoking, Terms};
use crate::time::Timestamp;

/// Any state, as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Lease {
    /// See [`Elevating`].
    Elevating(Elevating),
    /// See [`Active`].
    Active(Active),
    /// See [`Revoking`].
    Revoking(Revoking),
    /// See [`Ended`].
    Ended(Ended),
}

/// Any state, as it is written: without a copy of it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(crate) enum Written<'a> {
    Elevating(&'a Elevating),
    Active(&'a Active),
    Revoking(&'a Revoking),
    Ended(&'a Ended),
}

impl Lease {
    pub(crate) const fn written(&self) -> Written<'_> {
        match self {
            Self::Elevating(state) => Written::Elevating(state),
            Self::Active(state) => Written::Active(state),
            Self::Revoking(state) => Written::Revoking(state),
            Self::Ended(state) => Written::Ended(state),
        }
    }

    /// What never changes about it.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        self.written().terms()
    }

    /// The state's name.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        self.written().state()
    }
}

impl Serialize for Lease {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written().serialize(serializer)
    }
}

impl<'a> Written<'a> {
    /// What never changes about it.
    pub(crate) const fn terms(self) -> &'a Terms {
        match self {
            Self::Elevating(state) => &state.terms,
            Self::Active(state) => &state.terms,
            Self::Revoking(state) => &state.terms,
            Self::Ended(state) => &state.terms,
        }
    }

    /// The state's name.
    pub(crate) const fn state(self) -> &'static str {
        match self {
            Self::Elevating(_) => "elevating",
            Self::Active(_) => "active",
            Self::Revoking(_) => "revoking",
            Self::Ended(_) => "ended",
        }
    }

    /// When somebody must look at it again; never, once it has ended.
    pub(crate) fn due_at(self, silence: Duration) -> Option<Timestamp> {
        match self {
            Self::Elevating(state) => Some(state.terms.answer_by),
            Self::Active(state) => Some(state.ends_at.min(state.alive_at.plus(silence))),
            Self::Revoking(state) => Some(state.look_again),
            Self::Ended(_) => None,
        }
    }
}
