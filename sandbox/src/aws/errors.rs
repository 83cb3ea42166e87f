//! Errors as AWS words them, and as each protocol writes them.

use std::borrow::Cow;

use super::xml::Xml;
use crate::call::Answer;

/// An error answer: HTTP status, code and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AwsError {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
}

impl AwsError {
    pub(crate) fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> AwsError {
        AwsError {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    /// A parameter that breaks its constraint, in STS's and IAM's words.
    pub(crate) fn constraint(member: &str, constraint: &str) -> AwsError {
        AwsError::new(
            400,
            "ValidationError",
            format!(
                "1 validation error detected: Value at '{member}' failed to satisfy constraint: {constraint}"
            ),
        )
    }

    /// A parameter that is wrong in some other way.
    pub(crate) fn validation(message: impl Into<String>) -> AwsError {
        AwsError::new(400, "ValidationError", message)
    }

    pub(crate) fn access_denied(message: impl Into<String>) -> AwsError {
        AwsError::new(403, "AccessDenied", message)
    }

    pub(crate) fn malformed_policy(message: impl Into<String>) -> AwsError {
        AwsError::new(400, "MalformedPolicyDocument", message)
    }

    pub(crate) fn no_such_entity(message: impl Into<String>) -> AwsError {
        AwsError::new(404, "NoSuchEntity", message)
    }

    pub(crate) fn limit_exceeded(message: impl Into<String>) -> AwsError {
        AwsError::new(409, "LimitExceeded", message)
    }

    /// As the query protocol writes it.
    pub(crate) fn as_query_answer(&self, namespace: &str, request_id: &str) -> Answer {
        let mut xml = Xml::new();
        xml.root("ErrorResponse", namespace, |xml| {
            xml.element("Error", |xml| {
                xml.leaf(
                    "Type",
                    if self.status < 500 {
                        "Sender"
                    } else {
                        "Receiver"
                    },
                );
                xml.leaf("Code", &self.code);
                xml.leaf("Message", &self.message);
            });
            xml.leaf("RequestId", request_id);
        });
        Answer::xml(self.status, "text/xml", xml.into_text())
    }

    /// As S3 writes it.
    pub(crate) fn as_s3_answer(&self, resource: &str, request_id: &str) -> Answer {
        let mut xml = Xml::declared();
        xml.element("Error", |xml| {
            xml.leaf("Code", &self.code);
            xml.leaf("Message", &self.message);
            xml.leaf("Resource", resource);
            xml.leaf("RequestId", request_id);
            xml.leaf("HostId", "sandbox");
        });
        Answer::xml(self.status, "application/xml", xml.into_text())
    }
}
