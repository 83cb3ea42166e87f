//! Requests of any state, as the ledger stores them.

use serde::{Deserialize, Serialize, Serializer};

use super::{Closed, Granted, Granting, Pending, Terms};
use crate::time::Timestamp;

/// Any state, as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Request {
    /// See [`Pending`].
    Pending(Pending),
    /// See [`Granting`].
    Granting(Granting),
    /// See [`Granted`].
    Granted(Granted),
    /// See [`Closed`].
    Closed(Closed),
}

/// Any state, as it is written: without a copy of it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(crate) enum Written<'a> {
    Pending(&'a Pending),
    Granting(&'a Granting),
    Granted(&'a Granted),
    Closed(&'a Closed),
}

impl Request {
    const fn written(&self) -> Written<'_> {
        match self {
            Self::Pending(state) => Written::Pending(state),
            Self::Granting(state) => Written::Granting(state),
            Self::Granted(state) => Written::Granted(state),
            Self::Closed(state) => Written::Closed(state),
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

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written().serialize(serializer)
    }
}

impl<'a> Written<'a> {
    /// What never changes about it.
    pub(crate) const fn terms(self) -> &'a Terms {
        match self {
            Self::Pending(state) => &state.terms,
            Self::Granting(state) => &state.terms,
            Self::Granted(state) => &state.terms,
            Self::Closed(state) => &state.terms,
        }
    }

    /// The state's name.
    pub(crate) const fn state(self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Granting(_) => "granting",
            Self::Granted(_) => "granted",
            Self::Closed(_) => "closed",
        }
    }

    /// When somebody must look at it again; never, once it is closed.
    pub(crate) const fn due_at(self) -> Option<Timestamp> {
        match self {
            Self::Pending(state) => Some(state.quorum.answer_by),
            Self::Granting(state) => Some(state.answer_by),
            Self::Granted(state) => Some(state.look_again),
            Self::Closed(_) => None,
        }
    }
}
