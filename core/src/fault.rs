//! How a cloud call failed, said as what we must now believe.
//!
//! There are four answers and no fifth. A timeout is not a failure, and an error nobody has
//! classified is not a failure either: both are [`FaultKind::Ambiguous`], and what may be there is
//! taken back.

use core::time::Duration;

use crate::adapter::Mark;

/// What must be believed after a call that did not succeed. Matched in full, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing happened; the same call may succeed later.
    Retryable {
        /// How long the provider asked us to wait, when it did.
        after: Option<Duration>,
    },
    /// It may have happened. Unclassified errors are this.
    Ambiguous,
    /// Nothing happened, and repeating the call will not change that.
    Permanent,
    /// Nothing happened, and nothing must: what was to be given bears the mark of a ledger that had
    /// come further than the one that asks. Core stops elevations, unless the ledger has come so far
    /// by now.
    LedgerBehind {
        /// The mark that it bears.
        bears: Mark,
    },
}

/// A failed call: the belief, a text for the job and one for the operator's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What must be believed.
    pub kind: FaultKind,
    /// A stable code, e.g. `aws_access_denied`.
    pub code: &'static str,
    /// What the job may read: no ids of the operator's estate beyond those it asked for.
    pub told: String,
    /// What the log says: the provider's code, message and request id.
    pub logged: String,
}

impl Fault {
    /// Proof that nothing was sent or granted, if this fault is one.
    ///
    /// # Errors
    /// Gives the fault back when it is ambiguous.
    pub fn nothing_happened(self) -> Result<NothingHappened, Self> {
        match self.kind {
            FaultKind::Retryable { .. } | FaultKind::Permanent | FaultKind::LedgerBehind { .. } => {
                Ok(NothingHappened(self))
            }
            FaultKind::Ambiguous => Err(self),
        }
    }
}

/// A fault that proves that the cloud did nothing. Only such a fault lets a lease end without
/// having been revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NothingHappened(Fault);

impl NothingHappened {
    /// The fault.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind) -> Fault {
        Fault {
            kind,
            code: "test",
            told: String::new(),
            logged: String::new(),
        }
    }

    #[test]
    fn an_ambiguous_fault_proves_nothing() {
        assert!(fault(FaultKind::Permanent).nothing_happened().is_ok());
        assert!(
            fault(FaultKind::Retryable { after: None })
                .nothing_happened()
                .is_ok()
        );
        assert!(fault(FaultKind::Ambiguous).nothing_happened().is_err());
    }
}
