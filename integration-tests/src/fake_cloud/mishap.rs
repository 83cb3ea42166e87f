//! How a call can go wrong, and what the adapter would make of each.

use core::time::Duration;

use jitney_core::adapter::Mark;

use jitney_core::fault::{Fault, FaultKind};

/// What becomes of one call that gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MintMishap {
    /// Turned away, and the same call may succeed later.
    Retryable,
    /// Turned away for good.
    Permanent,
    /// Turned away, because what was asked for bears the mark of a later ledger.
    LedgerBehind(Mark),
    /// The connection broke before the call arrived.
    LostBefore,
    /// The call did its work and the answer was lost.
    LostAfter,
    /// The connection broke, and the call lands so much later.
    LandsLater(Duration),
    /// The session lives so much longer than was asked for.
    LivesLonger(Duration),
}

/// What becomes of one call that takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeMishap {
    /// Turned away, to come again after this long.
    Throttled(Duration),
    /// The call did its work and the answer was lost.
    LostAfter,
    /// The answer says nothing of any lease.
    SaysNothing,
    /// By its time the broker's clock is wrong.
    ClockDisagrees,
}

pub(super) fn fault(kind: FaultKind, code: &'static str) -> Fault {
    Fault {
        kind,
        code,
        told: "the cloud did not do what was asked".to_owned(),
        logged: format!("the fake cloud was told to answer `{code}`"),
    }
}

pub(super) fn lost() -> Fault {
    fault(FaultKind::Ambiguous, "fake_answer_lost")
}
