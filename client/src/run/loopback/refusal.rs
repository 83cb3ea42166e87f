//! Why there is no credential in an answer.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A call that is not answered as asked.
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// The caller asks for what this lease has not.
    pub(crate) fn not_this(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// The broker's mistake, not the caller's.
    pub(crate) fn lacks_a_part() -> Self {
        Self::new(
            StatusCode::BAD_GATEWAY,
            "BadCredential",
            "the broker handed out a credential that lacks a part",
        )
    }
}

impl IntoResponse for Refusal {
    /// The same words under the names by which each cloud's SDKs look for them: AWS's first two,
    /// Azure's first three, and OAuth's, which Google's SDKs read.
    fn into_response(self) -> Response {
        let body = json!({
            "code": self.code, "message": self.message, "statusCode": self.status.as_u16(),
            "error": self.code, "error_description": self.message,
        });
        json_response(self.status, body.to_string())
    }
}

pub(super) fn json_response(status: StatusCode, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}
