//! Why a use case did not do what it was asked: one text for the job, one for the operator.

use core::time::Duration;

use crate::audit::Entry;
use crate::catalogue::CannotResolve;
use crate::fault::{Fault, FaultKind};
use crate::id::RequestId;
use crate::ledger::{CannotRead, CommitError, Share};
use crate::plan::CannotPlan;

/// A refusal. The code is stable and says what a client may do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A stable code, e.g. `denied`.
    pub code: &'static str,
    /// The adapter's own stable code, where it was the adapter who refused.
    pub cause: Option<&'static str>,
    /// What the job may read.
    pub told: String,
    /// What the operator should read; often the same.
    pub logged: String,
    /// The decision's reasons, when a policy refused.
    pub reasons: Vec<String>,
    /// The policies that refused.
    pub rules: Vec<String>,
    /// The request, when it is in the ledger.
    pub request: Option<RequestId>,
    /// When it may be worth trying again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal whose text is the same for both readers.
    pub fn new(code: &'static str, told: impl Into<String>) -> Self {
        let told = told.into();
        Self {
            code,
            cause: None,
            logged: told.clone(),
            told,
            reasons: Vec::new(),
            rules: Vec::new(),
            request: None,
            retry_after: None,
        }
    }

    /// Gives the operator a text of its own.
    #[must_use]
    pub fn logged(mut self, logged: impl Into<String>) -> Self {
        self.logged = logged.into();
        self
    }

    /// Names the request it is about.
    #[must_use]
    pub const fn about(mut self, request: RequestId) -> Self {
        self.request = Some(request);
        self
    }

    /// Says when it may be worth trying again.
    #[must_use]
    pub const fn retry(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The lease or request does not exist, or is not the asker's. One answer for both, so that
    /// ids cannot be probed.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(
            "not_found",
            "there is no such lease or request, or it belongs to another job",
        )
    }

    /// A fault of a cloud that stopped an elevation.
    #[must_use]
    pub fn of_fault(fault: &Fault) -> Self {
        let (code, after) = match fault.kind {
            FaultKind::Retryable { after } => {
                ("try_again", Some(after.unwrap_or(Duration::from_secs(2))))
            }
            FaultKind::Ambiguous | FaultKind::Permanent | FaultKind::LedgerBehind { .. } => {
                ("not_granted", None)
            }
        };
        let refusal =
            Self::new(code, fault.told.clone()).logged(format!("{}: {}", fault.code, fault.logged));
        Self {
            cause: Some(fault.code),
            retry_after: after,
            ..refusal
        }
    }

    /// Adds what the refusal says to an audit entry.
    #[must_use]
    pub fn describe(&self, entry: Entry) -> Entry {
        entry
            .field("code", self.code)
            .field("told", &self.told)
            .field("logged", &self.logged)
    }
}

impl From<CannotRead> for Refusal {
    fn from(error: CannotRead) -> Self {
        Self::new(
            "ledger_unavailable",
            "the broker cannot read its ledger at present",
        )
        .logged(error.to_string())
        .retry(Duration::from_secs(5))
    }
}

impl From<CannotResolve> for Refusal {
    fn from(error: CannotResolve) -> Self {
        let code = match error {
            CannotResolve::UnknownResource(_) => "unknown_resource",
            CannotResolve::UnknownCapability(_) => "unknown_capability",
            CannotResolve::PathNotAllowed(_) => "bad_scope",
        };
        Self::new(code, error.to_string())
    }
}

impl From<CannotPlan> for Refusal {
    fn from(error: CannotPlan) -> Self {
        let logged = format!("{}: {}", error.code, error.logged);
        Self {
            cause: Some(error.code),
            ..Self::new("cannot_plan", error.told).logged(logged)
        }
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        let logged = error.to_string();
        let busy = Duration::from_secs(5);
        match error {
            CommitError::OverBudget(budget) => match budget.share {
                Share::Lane(lane) => Self::new(
                    "try_again",
                    "no more leases fit into this target at present: earlier ones must expire first",
                )
                .logged(format!("lane `{lane}` has reached its {} leases and holds", budget.leases_max))
                .retry(Duration::from_secs(60)),
                Share::Job(_) => Self::over_budget("this job", budget.leases_max),
                Share::Repository(_) => Self::over_budget("this repository", budget.leases_max),
                Share::Tenant(_) => Self::over_budget("this owner", budget.leases_max),
            },
            CommitError::Replayed(_) => {
                Self::new("token_replayed", "this token was used before: ask the CI for a fresh one")
            }
            CommitError::Conflict(_)
            | CommitError::Taken(_)
            | CommitError::Fenced(_)
            | CommitError::Moved(_) => {
                Self::new("try_again", "somebody else changed this at the same moment").retry(
                    Duration::from_secs(1),
                )
            }
            CommitError::Unknown(_) | CommitError::Unavailable(_) => {
                Self::new("ledger_unavailable", "the broker cannot write its ledger at present")
                    .retry(busy)
            }
        }
        .logged(logged)
    }
}

impl Refusal {
    fn over_budget(who: &str, most: u32) -> Self {
        Self::new(
            "over_budget",
            format!("{who} has {most} leases that are open or still held, and may not have more"),
        )
        .retry(Duration::from_secs(60))
    }
}
