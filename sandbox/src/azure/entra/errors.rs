//! Errors as Entra's token endpoint words them: an OAuth error and an `AADSTS` code.

use jiff::Timestamp;
use serde_json::json;

use crate::azure::cloud::Cloud;
use crate::call::Answer;

/// An error of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntraError {
    pub(crate) status: u16,
    /// OAuth's word for it.
    pub(super) error: &'static str,
    pub(crate) code: u32,
    pub(super) message: String,
}

impl EntraError {
    fn new(status: u16, error: &'static str, code: u32, message: impl Into<String>) -> EntraError {
        EntraError {
            status,
            error,
            code,
            message: message.into(),
        }
    }

    pub(super) fn request(code: u32, message: impl Into<String>) -> EntraError {
        EntraError::new(400, "invalid_request", code, message)
    }

    pub(super) fn client(code: u32, message: impl Into<String>) -> EntraError {
        EntraError::new(401, "invalid_client", code, message)
    }

    pub(super) fn unauthorized(code: u32, message: impl Into<String>) -> EntraError {
        EntraError::new(400, "unauthorized_client", code, message)
    }

    pub(super) fn grant(code: u32, message: impl Into<String>) -> EntraError {
        EntraError::new(400, "unsupported_grant_type", code, message)
    }

    pub(super) fn scope(code: u32, message: impl Into<String>) -> EntraError {
        EntraError::new(400, "invalid_scope", code, message)
    }

    pub(super) fn resource(code: u32, message: impl Into<String>) -> EntraError {
        EntraError::new(400, "invalid_resource", code, message)
    }

    /// A parameter that must be there.
    pub(super) fn missing(parameter: &str) -> EntraError {
        EntraError::request(
            900_144,
            format!("The request body must contain the following parameter: '{parameter}'."),
        )
    }

    /// What Entra says when it cannot go on for reasons of its own.
    pub(crate) fn unavailable(status: u16) -> EntraError {
        EntraError::new(
            status,
            "temporarily_unavailable",
            90_033,
            "A transient error has occurred. Please try again.",
        )
    }

    pub(crate) fn throttled() -> EntraError {
        EntraError::new(429, "invalid_request", 90_055, "Tenant is throttled.")
    }

    /// A refusal with the code that somebody else chose, as `AADSTS70021`.
    pub(crate) fn chosen(status: u16, code: &str) -> EntraError {
        let number = code.trim_start_matches("AADSTS").parse().unwrap_or(90_033);
        EntraError::new(
            status,
            "invalid_request",
            number,
            "The sandbox was told to refuse this call.",
        )
    }

    pub(crate) fn as_answer(&self, cloud: &Cloud, request_id: &str) -> Answer {
        let now: Timestamp = cloud.clock.wire_now();
        let timestamp = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let correlation = cloud.identifiers.guid();
        let description = format!(
            "AADSTS{}: {} Trace ID: {request_id} Correlation ID: {correlation} Timestamp: {timestamp}",
            self.code, self.message
        );
        let body = json!({
            "error": self.error,
            "error_description": description,
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": request_id,
            "correlation_id": correlation,
        });
        let answer = Answer::json(self.status, &body);
        if self.status == 429 {
            return answer.with("retry-after", "1");
        }
        answer
    }
}
