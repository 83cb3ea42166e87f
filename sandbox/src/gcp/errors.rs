//! Errors as Google words them, in the three shapes its APIs have: `google.rpc.Status`, Cloud Storage's own, and
//! OAuth's.

use serde_json::{Value, json};

use super::schema::{And, listed};
use crate::call::Answer;

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidArgument,
    FailedPrecondition,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    AlreadyExists,
    /// A policy's etag, or an object's generation, is not the one that was expected.
    Stale,
    Exhausted,
    Gone,
    Internal,
    Unavailable,
}

impl Code {
    /// The HTTP status and the name of the `google.rpc.Code`.
    fn as_rpc(self) -> (u16, &'static str) {
        match self {
            Code::InvalidArgument => (400, "INVALID_ARGUMENT"),
            Code::FailedPrecondition => (400, "FAILED_PRECONDITION"),
            Code::Unauthenticated => (401, "UNAUTHENTICATED"),
            Code::PermissionDenied => (403, "PERMISSION_DENIED"),
            Code::NotFound => (404, "NOT_FOUND"),
            Code::AlreadyExists => (409, "ALREADY_EXISTS"),
            Code::Stale => (409, "ABORTED"),
            Code::Exhausted => (429, "RESOURCE_EXHAUSTED"),
            Code::Gone => (410, "NOT_FOUND"),
            Code::Internal => (500, "INTERNAL"),
            Code::Unavailable => (503, "UNAVAILABLE"),
        }
    }

    /// The HTTP status and the reason in Cloud Storage's words.
    fn as_storage(self) -> (u16, &'static str) {
        match self {
            Code::InvalidArgument => (400, "invalid"),
            Code::FailedPrecondition => (412, "conditionNotMet"),
            Code::Unauthenticated => (401, "authError"),
            Code::PermissionDenied => (403, "forbidden"),
            Code::NotFound => (404, "notFound"),
            Code::AlreadyExists => (409, "conflict"),
            Code::Stale => (412, "conditionNotMet"),
            Code::Exhausted => (429, "rateLimitExceeded"),
            Code::Gone => (410, "gone"),
            Code::Internal => (500, "internalError"),
            Code::Unavailable => (503, "backendError"),
        }
    }
}

/// A refusal, before it is known in which shape it is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) message: String,
    details: Vec<Value>,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> ApiError {
        ApiError {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::InvalidArgument, message)
    }

    /// A field that is not as the API describes it.
    pub(crate) fn bad_field(field: &str, message: impl Into<String>) -> ApiError {
        let message = message.into();
        let violation = if field.is_empty() {
            json!({ "description": message })
        } else {
            json!({ "field": field, "description": message })
        };
        ApiError {
            code: Code::InvalidArgument,
            details: vec![json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [violation],
            })],
            message,
        }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::NotFound, message)
    }

    /// The same error with a machine-readable reason.
    #[must_use]
    pub(crate) fn because(mut self, reason: &str, domain: &str, metadata: Value) -> ApiError {
        self.details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": domain,
            "metadata": metadata,
        }));
        self
    }

    /// What a caller without a permission is told, whether or not the resource is there.
    pub(crate) fn denied(permission: &str, resource: &str) -> ApiError {
        // IAM Credentials does not repeat the resource's name, the other APIs do.
        let named = if resource.is_empty() {
            String::new()
        } else {
            format!(" '{resource}'")
        };
        ApiError::new(
            Code::PermissionDenied,
            format!("Permission '{permission}' denied on resource{named} (or it may not exist)."),
        )
        .because(
            "IAM_PERMISSION_DENIED",
            "iam.googleapis.com",
            json!({ "permission": permission }),
        )
    }

    /// A bearer token that does not count.
    pub(crate) fn unauthenticated(reason: &str, metadata: Value) -> ApiError {
        ApiError::new(
            Code::Unauthenticated,
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other \
             valid authentication credential. See \
             https://developers.google.com/identity/sign-in/web/devconsole-project.",
        )
        .because(reason, "googleapis.com", metadata)
    }

    /// As most APIs write it.
    pub(crate) fn as_rpc(&self) -> Refusal {
        let (status, name) = self.code.as_rpc();
        let error = json!({ "code": status, "message": self.message, "status": name })
            .and("details", listed(self.details.clone()));
        Refusal {
            outcome: name.to_owned(),
            answer: Answer::json(status, &json!({ "error": error })),
        }
    }

    /// As Cloud Storage writes it.
    pub(crate) fn as_storage(&self) -> Refusal {
        let (status, reason) = self.code.as_storage();
        let message = match self.code {
            Code::Unauthenticated if self.details.is_empty() => self.message.clone(),
            Code::Unauthenticated => "Invalid Credentials".to_owned(),
            _ => self.message.clone(),
        };
        let place = |text: &str| (self.code == Code::Unauthenticated).then(|| json!(text));
        let cause = json!({ "message": message, "domain": "global", "reason": reason })
            .and("locationType", place("header"))
            .and("location", place("Authorization"));
        let body = json!({ "error": { "code": status, "message": message, "errors": [cause] } });
        Refusal {
            outcome: reason.to_owned(),
            answer: Answer::json(status, &body),
        }
    }
}

/// A refusal of the token service, which speaks OAuth (RFC 6749, 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OAuthError {
    pub(crate) error: &'static str,
    pub(crate) description: String,
}

impl OAuthError {
    pub(crate) fn new(error: &'static str, description: impl Into<String>) -> OAuthError {
        OAuthError {
            error,
            description: description.into(),
        }
    }
}

/// A refusal in its final shape, with its name for the journal.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) outcome: String,
    pub(crate) answer: Answer,
}

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Refusal {
        let body = json!({ "error": error.error, "error_description": error.description });
        Refusal {
            outcome: error.error.to_owned(),
            answer: Answer::json(400, &body),
        }
    }
}
