//! Requests on the wire.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::credential::CredentialView;
use crate::lease::LeaseView;

/// The most scopes one request may name.
pub const SCOPES_MAX: usize = 16;
/// The longest scope, in bytes.
pub const SCOPE_BYTES_MAX: usize = 768;
/// The longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 1024;

/// What a job asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestBody {
    /// For what: 1 to 16 scopes, `capability@resource[/path]`.
    pub scopes: Vec<String>,
    /// For how long at a time, in seconds; absent means as long as the rule that allows it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
    /// Why, in the job's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl RequestBody {
    /// Checks the limits that need no knowledge of scopes.
    ///
    /// # Errors
    /// The first limit that is passed.
    pub fn check(&self) -> Result<(), BadBody> {
        let count = self.scopes.len();
        if count == 0 || count > SCOPES_MAX {
            return Err(BadBody::ScopeCount(count));
        }
        if let Some(long) = self.scopes.iter().find(|s| s.len() > SCOPE_BYTES_MAX) {
            return Err(BadBody::ScopeTooLong(long.len()));
        }
        if self.ttl_seconds == Some(0) {
            return Err(BadBody::NoTime);
        }
        match self.reason.as_ref().map(String::len) {
            Some(length) if length > REASON_BYTES_MAX => Err(BadBody::ReasonTooLong(length)),
            _ => Ok(()),
        }
    }
}

/// Which limit a body passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadBody {
    /// No scope, or too many.
    ScopeCount(usize),
    /// A scope of this many bytes.
    ScopeTooLong(usize),
    /// A lease of no length.
    NoTime,
    /// A reason of this many bytes.
    ReasonTooLong(usize),
}

impl fmt::Display for BadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ScopeCount(seen) => {
                write!(
                    f,
                    "the request names {seen} scopes: expected 1 to {SCOPES_MAX}"
                )
            }
            Self::ScopeTooLong(seen) => write!(
                f,
                "a scope has {seen} bytes: expected at most {SCOPE_BYTES_MAX}"
            ),
            Self::NoTime => f.write_str("`ttl_seconds` is 0: expected at least 1"),
            Self::ReasonTooLong(seen) => write!(
                f,
                "`reason` has {seen} bytes: expected at most {REASON_BYTES_MAX}"
            ),
        }
    }
}

impl core::error::Error for BadBody {}

/// The state of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// Waiting for people.
    Pending,
    /// Its leases are being elevated.
    Granting,
    /// All its leases were granted.
    Granted,
    /// Over; [`RequestView::outcome`] says how.
    Closed,
    /// A word this version does not know.
    #[serde(other)]
    Unknown,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestOutcome {
    /// The policy refused it.
    Denied,
    /// A person refused it.
    Refused,
    /// Nobody answered in time.
    TimedOut,
    /// A cloud did not grant it.
    NotGranted,
    /// All its leases have ended.
    Done,
    /// A word this version does not know.
    #[serde(other)]
    Unknown,
}

/// What was decided, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionView {
    /// `allow`, `deny` or `needs-approval`.
    pub verdict: String,
    /// The policies that made it, by id.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Why, in plain words.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// A request as its job sees it. Not to be cloned: it may hold credentials.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestView {
    /// Its id, `req_…`.
    pub id: String,
    /// Where it is.
    pub state: RequestState,
    /// How it ended; absent while it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RequestOutcome>,
    /// What was asked for.
    pub scopes: Vec<String>,
    /// Why; empty when the job did not say.
    #[serde(default)]
    pub reason: String,
    /// How long a lease lives from one grant or renewal to the next end, in seconds.
    pub ttl_seconds: u32,
    /// What was decided.
    pub decision: DecisionView,
    /// One lease per target.
    #[serde(default)]
    pub leases: Vec<LeaseView>,
    /// One per lease, in the first answer only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialView>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn body(scopes: usize) -> RequestBody {
        RequestBody {
            scopes: vec!["object-storage:read@a".to_owned(); scopes],
            ttl_seconds: None,
            reason: None,
        }
    }

    #[test]
    fn a_body_is_bounded_at_both_ends() {
        assert_eq!(body(0).check(), Err(BadBody::ScopeCount(0)));
        assert_eq!(body(1).check(), Ok(()));
        assert_eq!(body(SCOPES_MAX).check(), Ok(()));
        assert_eq!(body(17).check(), Err(BadBody::ScopeCount(17)));

        let mut long = body(1);
        long.scopes = vec!["x".repeat(SCOPE_BYTES_MAX)];
        assert_eq!(long.check(), Ok(()));
        long.scopes = vec!["x".repeat(SCOPE_BYTES_MAX + 1)];
        assert_eq!(long.check(), Err(BadBody::ScopeTooLong(769)));

        let mut timeless = body(1);
        timeless.ttl_seconds = Some(0);
        assert_eq!(timeless.check(), Err(BadBody::NoTime));

        let mut chatty = body(1);
        chatty.reason = Some("y".repeat(REASON_BYTES_MAX));
        assert_eq!(chatty.check(), Ok(()));
        chatty.reason = Some("y".repeat(REASON_BYTES_MAX + 1));
        assert_eq!(chatty.check(), Err(BadBody::ReasonTooLong(1025)));
    }

    #[test]
    fn a_body_with_a_field_nobody_knows_is_refused() {
        let known = r#"{"scopes":["a"],"ttl_seconds":60,"reason":"r"}"#;
        assert!(serde_json::from_str::<RequestBody>(known).is_ok());
        // A misspelt `ttl_seconds` must not become the longest lease there is.
        let misspelt = r#"{"scopes":["a"],"ttl":60}"#;
        assert!(serde_json::from_str::<RequestBody>(misspelt).is_err());
    }

    #[test]
    fn an_answer_may_say_more_than_this_version_knows() {
        let answer = r#"{
            "id":"req_1","state":"parked","outcome":"mislaid","scopes":[],"ttl_seconds":1,
            "decision":{"verdict":"allow","mood":"good"},"later":{"nested":[1]}
        }"#;
        let view: RequestView = serde_json::from_str(answer).unwrap();
        assert_eq!(view.state, RequestState::Unknown);
        assert_eq!(view.outcome, Some(RequestOutcome::Unknown));
        assert!(view.leases.is_empty() && view.credentials.is_empty());
    }
}
