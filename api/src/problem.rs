//! Problem details (RFC 9457): every answer that is not a success, with a code that stays the same
//! from version to version.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// The media type of every [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// What every problem's type begins with.
const TYPE_PREFIX: &str = "urn:jitney:problem:";

macro_rules! codes {
    ($($variant:ident = $text:literal, $status:literal, $meaning:literal;)*) => {
        /// What went wrong, as a word for programs. The list is closed: a broker says nothing else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $(#[doc = $meaning] $variant,)*
        }

        impl ProblemCode {
            /// Every code, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The HTTP status it comes with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// What it means, in one line.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    BadRequest = "bad_request", 400, "the call is malformed";
    BadScope = "bad_scope", 400, "a scope is not `capability@resource[/path]`";
    MissingToken = "missing_token", 401, "the call shows no CI token";
    MissingProof = "missing_proof", 401, "the call shows no proof of possession";
    BadAlg = "bad_alg", 401, "the signature algorithm may not be used";
    BadHeader = "bad_header", 401, "the token's header asks for something that is never honoured";
    UnknownIssuer = "unknown_issuer", 401, "the token's issuer is not configured";
    UnknownKey = "unknown_key", 401, "the issuer publishes no such key";
    BadSignature = "bad_signature", 401, "the signature does not fit";
    BadAudience = "bad_audience", 401, "the token is meant for someone else, or for several";
    TokenExpired = "token_expired", 401, "the token is past its end";
    TokenNotYetValid = "token_not_yet_valid", 401, "the token is from the future";
    TokenTooOld = "token_too_old", 401, "the token was issued too long ago";
    TokenLifetimeTooLong = "token_lifetime_too_long", 401, "the token lives longer than is allowed";
    MissingClaim = "missing_claim", 401, "a required claim is absent";
    BadClaim = "bad_claim", 401, "a claim has the wrong type or shape";
    BadToken = "bad_token", 401, "this is not a signed token";
    TokenTooLong = "token_too_long", 401, "the token is longer than any real one";
    TokenReplayed = "token_replayed", 401, "the token was used before, with another key or for something else";
    BadProof = "bad_proof", 401, "the proof of possession is malformed";
    ProofTooLong = "proof_too_long", 401, "the proof is longer than any real one";
    ProofMismatch = "proof_mismatch", 401, "the proof was made for another method, address or token";
    ProofKeyMismatch = "proof_key_mismatch", 401, "the proof was made by another key";
    ProofTooOld = "proof_too_old", 401, "the proof was made too long ago";
    ProofNotYetValid = "proof_not_yet_valid", 401, "the proof is from the future";
    ProofReplayed = "proof_replayed", 401, "the proof was used before";
    Denied = "denied", 403, "the policy refuses the request";
    NotFound = "not_found", 404, "there is no such thing, or it belongs to another key and job";
    MethodNotAllowed = "method_not_allowed", 405, "this path is not called with this method";
    IdempotencyConflict = "idempotency_conflict", 409, "the idempotency key was used for another request";
    AtAbsoluteEnd = "at_absolute_end", 409, "the lease may not be prolonged any further";
    NeedsProofOfLife = "needs_proof_of_life", 409, "the lease is prolonged only for a job that shows a fresh CI token";
    LeaseEnded = "lease_ended", 410, "the lease is over";
    TooLarge = "too_large", 413, "the body is too large";
    UnsupportedMediaType = "unsupported_media_type", 415, "the body is not `application/json`";
    UnknownResource = "unknown_resource", 422, "no inventory entry has this name";
    UnknownCapability = "unknown_capability", 422, "the catalogue has no such capability for this resource";
    CannotPlan = "cannot_plan", 422, "the request cannot be expressed exactly in the cloud's own terms";
    OverBudget = "over_budget", 429, "a limit on open leases is reached";
    Internal = "internal", 500, "the broker made a mistake; its log says which";
    NotGranted = "not_granted", 502, "the cloud did not grant it; what may be there is being taken back";
    TryAgain = "try_again", 503, "the same call may succeed a little later";
    Stopped = "stopped", 503, "an operator is ending leases like this one";
    Halted = "halted", 503, "the broker grants nothing until its operators have looked";
    LedgerUnavailable = "ledger_unavailable", 503, "the ledger cannot be written: nothing is granted";
    IssuerUnreachable = "issuer_unreachable", 503, "the issuer's keys cannot be had";
    TooManyProofs = "too_many_proofs", 503, "more proofs arrived than can be remembered";
    Timeout = "timeout", 504, "the answer did not come in time; what may be there is being taken back";
}

impl ProblemCode {
    /// Whether the same call, proved afresh, may succeed a little later without anyone changing
    /// anything.
    #[must_use]
    pub const fn worth_retrying(self) -> bool {
        self.status() == 503
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no code of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownCode;

impl FromStr for ProblemCode {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let known = Self::ALL.iter().find(|code| code.as_str() == text);
        known.copied().ok_or(UnknownCode)
    }
}

/// An answer that is not a success. Every text is for the job that asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:jitney:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's meaning.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The code. A text, because a client may be older than its broker.
    pub code: String,
    /// What was seen, what was expected, where to change it.
    #[serde(default)]
    pub detail: String,
    /// The adapter's or the verifier's own stable code, when it says more than `code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Why, in plain words, when a policy decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The policies that decided, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The request it is about, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// When the same call may be tried again, in seconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

impl Problem {
    /// A problem with its code's own type, title and status.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{code}"),
            title: code.meaning().to_owned(),
            status: code.status(),
            code: code.as_str().to_owned(),
            detail: detail.into(),
            cause: None,
            reasons: Vec::new(),
            rules: Vec::new(),
            request: None,
            retry_after_seconds: None,
        }
    }

    /// The code, if this version knows it.
    #[must_use]
    pub fn known(&self) -> Option<ProblemCode> {
        self.code.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn codes_are_distinct_snake_case_and_come_with_an_error_status() {
        let mut words: Vec<_> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
        for code in ProblemCode::ALL {
            let word = code.as_str();
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!((400..600).contains(&code.status()), "{word}");
            assert!(!code.meaning().ends_with('.'), "{word}");
            assert_eq!(word.parse(), Ok(*code));
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ProblemCode::ALL.len());
    }

    #[test]
    fn only_what_may_pass_by_itself_is_worth_retrying() {
        assert!(ProblemCode::TryAgain.worth_retrying());
        assert!(ProblemCode::LedgerUnavailable.worth_retrying());
        // A second try would be a second elevation, not a better answer.
        assert!(!ProblemCode::NotGranted.worth_retrying());
        assert!(!ProblemCode::Timeout.worth_retrying());
        assert!(!ProblemCode::Denied.worth_retrying());
    }

    #[test]
    fn the_wire_follows_rfc_9457() {
        let problem = Problem::new(ProblemCode::Denied, "no rule allows it");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "urn:jitney:problem:denied");
        assert_eq!(json["status"], 403);
        assert_eq!(json["code"], "denied");
        assert_eq!(json["title"], ProblemCode::Denied.meaning());
    }

    #[test]
    fn a_code_from_a_newer_broker_is_kept_as_text() {
        let text = r#"{"type":"urn:x","title":"t","status":418,"code":"teapot","extra":1}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!(problem.known(), None);
        assert_eq!(problem.code, "teapot");
    }
}
