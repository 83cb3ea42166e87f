//! Why a token or a proof was not believed. A refusal has a stable code for programs, a text for
//! the job that was refused and a text for the operator's log. Neither text ever holds the token.

use core::fmt;

/// Characters of a hostile value that a refusal repeats.
const SEEN_CHARS_MAX: usize = 80;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What was wrong, as a word that stays the same from version to version.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RefusalCode {
            $($(#[$doc])* $variant,)*
        }

        impl RefusalCode {
            /// Every code, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it appears in answers, logs and the audit log.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

codes! {
    /// The signature algorithm is not one that the issuer (or the proof key) may use.
    BadAlg = "bad_alg",
    /// The token's header cannot be read or asks for something that is never honoured.
    BadHeader = "bad_header",
    /// The token's issuer is not configured.
    UnknownIssuer = "unknown_issuer",
    /// The issuer publishes no such key.
    UnknownKey = "unknown_key",
    /// The signature does not fit.
    BadSignature = "bad_signature",
    /// The token is meant for someone else, or for several.
    BadAudience = "bad_audience",
    /// The token is past its `exp`.
    TokenExpired = "token_expired",
    /// The token's `nbf` or `iat` is in the future.
    TokenNotYetValid = "token_not_yet_valid",
    /// The token was issued longer ago than this issuer's tokens may be used.
    TokenTooOld = "token_too_old",
    /// The token lives longer than this issuer's tokens may.
    TokenLifetimeTooLong = "token_lifetime_too_long",
    /// A required claim is absent.
    MissingClaim = "missing_claim",
    /// A claim has the wrong type or shape.
    BadClaim = "bad_claim",
    /// This is not a signed token in compact form.
    BadToken = "bad_token",
    /// The token is longer than any real one.
    TokenTooLong = "token_too_long",
    /// The issuer's keys could not be had, and no usable ones are remembered.
    IssuerUnreachable = "issuer_unreachable",
    /// This is not a proof of possession in the form of RFC 9449.
    BadProof = "bad_proof",
    /// The proof is longer than any real one.
    ProofTooLong = "proof_too_long",
    /// The proof was made for another method, address or token.
    ProofMismatch = "proof_mismatch",
    /// The proof was made by another key than the one that is bound.
    ProofKeyMismatch = "proof_key_mismatch",
    /// The proof was made too long ago.
    ProofTooOld = "proof_too_old",
    /// The proof was made in the future.
    ProofNotYetValid = "proof_not_yet_valid",
    /// The proof was used before.
    ProofReplayed = "proof_replayed",
    /// More proofs arrived than can be remembered.
    TooManyProofs = "too_many_proofs",
}

impl RefusalCode {
    /// Whether the same call, signed afresh, may succeed a little later without anyone changing
    /// anything.
    #[must_use]
    pub const fn worth_retrying(self) -> bool {
        matches!(self, Self::IssuerUnreachable | Self::TooManyProofs)
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token or proof that was not believed. There is deliberately no `Display`: whoever shows a
/// refusal has to choose between the job's text and the log's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: RefusalCode,
    /// For the job: what was seen, what was expected, what to change.
    pub job_text: String,
    /// For the operator's log: the same, and what only an operator may know.
    pub log_text: String,
}

impl Refusal {
    /// A refusal whose two readers need the same words.
    pub(crate) fn new(code: RefusalCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            code,
            job_text: text.clone(),
            log_text: text,
        }
    }

    /// A refusal that tells the log more than the job.
    pub(crate) fn with_log(
        code: RefusalCode,
        job_text: impl Into<String>,
        log_text: impl Into<String>,
    ) -> Self {
        Self {
            code,
            job_text: job_text.into(),
            log_text: log_text.into(),
        }
    }
}

/// A value from outside, cut and escaped: what a token says must not move a terminal's cursor or
/// fill a log.
pub(crate) fn seen(value: &str) -> String {
    let mut text: String = value
        .chars()
        .take(SEEN_CHARS_MAX)
        .flat_map(char::escape_default)
        .collect();
    if value.chars().nth(SEEN_CHARS_MAX).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn codes_are_distinct_snake_case() {
        let mut texts: Vec<_> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();
        for text in &texts {
            assert!(
                text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{text}"
            );
        }
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), RefusalCode::ALL.len());
    }

    #[test]
    fn what_was_seen_is_escaped_and_cut() {
        assert_eq!(seen("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        let long = seen(&"x".repeat(10_000));
        assert_eq!(long.chars().count(), SEEN_CHARS_MAX + 1);
    }
}
