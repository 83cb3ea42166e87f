//! Refusals on their way out: problem details (RFC 9457) for the caller, one line for the log.

use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jitney_api::{PROBLEM_MEDIA_TYPE, Problem, ProblemCode};
use jitney_core::refusal::Refusal;
use jitney_identity::Refusal as NotBelieved;

/// What a caller without a proof is told about how to make one (RFC 9449, section 7.1).
const CHALLENGE_PROOF: &str = "DPoP algs=\"ES256 EdDSA\"";
/// What a caller without a token is told.
const CHALLENGE_TOKEN: &str = "Bearer";

/// A call that is not answered as asked.
#[derive(Debug)]
pub(crate) struct Declined {
    problem: Problem,
    code: ProblemCode,
    logged: String,
}

/// What the log should say of a refusal. Travels beside the answer, never in it.
#[derive(Debug, Clone)]
pub(crate) struct Logged(pub(crate) String);

/// The code of a refusal, for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code(pub(crate) ProblemCode);

impl Declined {
    /// A refusal whose text is the same for both readers.
    pub(crate) fn new(code: ProblemCode, told: impl Into<String>) -> Self {
        let told = told.into();
        Self {
            problem: Problem::new(code, told.clone()),
            code,
            logged: told,
        }
    }

    /// The broker's own mistake: the caller learns that it was one, the log which.
    pub(crate) fn internal(logged: impl Into<String>) -> Self {
        Self {
            logged: logged.into(),
            ..Self::new(
                ProblemCode::Internal,
                "the broker could not finish this call; what it may have begun is being taken back",
            )
        }
    }

    /// The code that the caller is told.
    pub(crate) const fn code(&self) -> ProblemCode {
        self.code
    }

    /// Says when the same call may be tried again.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.problem.retry_after_seconds = Some(seconds);
        self
    }
}

impl From<Refusal> for Declined {
    fn from(refusal: Refusal) -> Self {
        let Ok(code) = refusal.code.parse::<ProblemCode>() else {
            return Self::internal(format!(
                "`{}` is not a code of the API: {}",
                refusal.code, refusal.logged
            ));
        };
        let mut problem = Problem::new(code, refusal.told);
        problem.cause = refusal.cause.map(str::to_owned);
        problem.reasons = refusal.reasons;
        problem.rules = refusal.rules;
        problem.request = refusal.request.map(|id| id.to_string());
        problem.retry_after_seconds = refusal
            .retry_after
            .map(|after| u32::try_from(after.as_secs().max(1)).unwrap_or(u32::MAX));
        Self {
            problem,
            code,
            logged: refusal.logged,
        }
    }
}

impl From<NotBelieved> for Declined {
    fn from(refusal: NotBelieved) -> Self {
        let word = refusal.code.as_str();
        let Ok(code) = word.parse::<ProblemCode>() else {
            return Self::internal(format!(
                "`{word}` is not a code of the API: {}",
                refusal.log_text
            ));
        };
        let mut problem = Problem::new(code, refusal.job_text);
        if refusal.code.worth_retrying() {
            problem.retry_after_seconds = Some(5);
        }
        Self {
            problem,
            code,
            logged: refusal.log_text,
        }
    }
}

impl IntoResponse for Declined {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            let challenge = match self.code {
                ProblemCode::MissingToken => CHALLENGE_TOKEN,
                _ => CHALLENGE_PROOF,
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.problem.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        let mut response = (status, headers, json).into_response();
        response.extensions_mut().insert(Logged(self.logged));
        response.extensions_mut().insert(Code(self.code));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitney_identity::RefusalCode;

    /// Every code that core's refusals carry.
    const CORE_CODES: &[&str] = &[
        "at_absolute_end",
        "bad_request",
        "bad_scope",
        "cannot_plan",
        "denied",
        "idempotency_conflict",
        "lease_ended",
        "ledger_unavailable",
        "needs_proof_of_life",
        "not_found",
        "not_granted",
        "halted",
        "stopped",
        "token_too_old",
        "over_budget",
        "token_replayed",
        "proof_replayed",
        "try_again",
        "unknown_capability",
        "unknown_resource",
    ];

    /// The codes that stand in core's sources, so that a new one cannot be forgotten here.
    fn codes_in(source: &str) -> Vec<&str> {
        source
            .split("::new(")
            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
            .filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            .collect()
    }

    #[test]
    fn no_code_of_core_is_missing_from_the_list() {
        let sources = [
            include_str!("../../core/src/refusal.rs"),
            include_str!("../../core/src/usecase/ends.rs"),
            include_str!("../../core/src/usecase/mod.rs"),
            include_str!("../../core/src/standing.rs"),
            include_str!("../../core/src/usecase/operator.rs"),
            include_str!("../../core/src/usecase/recovery.rs"),
            include_str!("../../core/src/usecase/submit.rs"),
            include_str!("../../core/src/usecase/sweep.rs"),
            include_str!("../../core/src/usecase/lease_calls.rs"),
        ];
        let found: Vec<_> = sources.into_iter().flat_map(codes_in).collect();
        assert!(found.len() > 10, "the search finds nothing: {found:?}");
        for code in found {
            assert!(CORE_CODES.contains(&code), "{code}");
        }
    }

    #[test]
    fn every_refusal_of_core_has_its_status() {
        for code in CORE_CODES {
            let response = Declined::from(Refusal::new(code, "x")).into_response();
            assert_ne!(
                response.status(),
                StatusCode::INTERNAL_SERVER_ERROR,
                "{code}"
            );
            assert_eq!(
                response.headers().get(CONTENT_TYPE).map(|v| v.as_bytes()),
                Some(PROBLEM_MEDIA_TYPE.as_bytes())
            );
        }
    }

    #[test]
    fn every_refusal_of_identity_has_its_status() {
        for code in RefusalCode::ALL {
            let refusal = NotBelieved {
                code: *code,
                job_text: "x".to_owned(),
                log_text: "y".to_owned(),
            };
            let status = Declined::from(refusal).into_response().status();
            let expected = if code.worth_retrying() { 503 } else { 401 };
            assert_eq!(status.as_u16(), expected, "{code}");
        }
    }

    #[test]
    fn a_code_nobody_knows_is_our_mistake_and_its_text_stays_inside() {
        let declined = Declined::from(Refusal::new("no_such_code", "secret of the estate"));
        assert_eq!(declined.code, ProblemCode::Internal);
        assert!(!declined.problem.detail.contains("estate"));
        assert!(declined.logged.contains("estate"));
    }
}
