//! How a call can fail, told apart by what the caller may do next.

use core::time::Duration;

use jitney_api::{BadBody, Problem, ProblemCode};

use crate::key::NoKey;
use crate::token::NoToken;

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing was sent.
    #[error("the broker `{broker}` cannot be reached: {why}")]
    Unreachable {
        /// Its address.
        broker: String,
        /// What the system said.
        why: String,
    },
    /// It may have been heard; there is no answer to rely on.
    #[error("the broker `{broker}` did not answer: {why}")]
    NoAnswer {
        /// Its address.
        broker: String,
        /// What came instead.
        why: String,
    },
    /// What answers there does not speak this API.
    #[error("what answers at `{broker}` is not a broker of this version: {why}")]
    NotABroker {
        /// Its address.
        broker: String,
        /// What it said, without its contents.
        why: String,
    },
    /// The broker said no.
    #[error("{}", told(.0))]
    Refused(Box<Problem>),
    /// There is no CI token to show.
    #[error(transparent)]
    Token(#[from] NoToken),
    /// The request passes a limit.
    #[error("{0}")]
    Body(#[from] BadBody),
    /// No key.
    #[error(transparent)]
    Key(#[from] NoKey),
}

/// A problem in one line: its own detail, or its code's meaning where it has none.
fn told(problem: &Problem) -> &str {
    if problem.detail.is_empty() {
        &problem.title
    } else {
        &problem.detail
    }
}

impl CallError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Unreachable { .. } => "broker_unreachable",
            Self::NoAnswer { .. } => "broker_silent",
            Self::NotABroker { .. } => "not_a_broker",
            Self::Refused(problem) => &problem.code,
            Self::Token(refusal) => refusal.code(),
            Self::Body(_) => "bad_request",
            Self::Key(_) => "no_key",
        }
    }

    /// The broker's code, if it gave one that this version knows.
    #[must_use]
    pub fn problem(&self) -> Option<ProblemCode> {
        match self {
            Self::Refused(problem) => problem.known(),
            _ => None,
        }
    }

    /// Whether the same call may succeed a little later without anyone changing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } => true,
            Self::Refused(problem) => problem.known().is_some_and(ProblemCode::worth_retrying),
            Self::Token(refusal) => refusal.may_pass(),
            Self::NotABroker { .. } | Self::Body(_) | Self::Key(_) => false,
        }
    }

    /// How long the broker asked to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(problem) => problem
                .retry_after_seconds
                .map(|seconds| Duration::from_secs(u64::from(seconds))),
            _ => None,
        }
    }

    /// Whether it is about a request that the broker has written down, and which is over.
    pub(crate) fn names_a_request(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.request.is_some())
    }

    /// Whether this answer says that the lease is no more.
    pub(crate) fn says_it_is_over(&self) -> bool {
        matches!(
            self.problem(),
            Some(ProblemCode::LeaseEnded | ProblemCode::NotFound)
        )
    }
}
