//! Errors as Azure Resource Manager words them.

use std::borrow::Cow;

use serde_json::json;

use crate::call::Answer;

/// An error answer: HTTP status, code and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArmError {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
    pub(crate) retry_after_seconds: Option<u64>,
    /// Where to get a token, when there was none.
    pub(crate) challenge: Option<String>,
}

impl ArmError {
    pub(crate) fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> ArmError {
        ArmError {
            status,
            code: code.into(),
            message: message.into(),
            retry_after_seconds: None,
            challenge: None,
        }
    }

    pub(crate) fn bad_request(
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> ArmError {
        ArmError::new(400, code, message)
    }

    pub(crate) fn not_found(
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> ArmError {
        ArmError::new(404, code, message)
    }

    /// A body that is not what the operation takes.
    pub(crate) fn content(message: impl Into<String>) -> ArmError {
        ArmError::bad_request("InvalidRequestContent", message)
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u64) -> ArmError {
        self.retry_after_seconds = Some(seconds);
        self
    }

    pub(crate) fn as_answer(&self) -> Answer {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut answer = Answer::json(self.status, &body);
        if let Some(seconds) = self.retry_after_seconds {
            answer = answer.with("retry-after", seconds.to_string());
        }
        match &self.challenge {
            Some(challenge) => answer.with("www-authenticate", challenge.clone()),
            None => answer,
        }
    }
}
