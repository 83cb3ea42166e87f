//! How a failed call to AWS is to be understood. The provider's own sentence stands above each
//! arm, with where it is from; what stands in no arm is ambiguous.
//!
//! What an unclear answer means depends on what was asked. A call that gives may have given. A
//! call that reads has changed nothing, however it failed.

use core::error::Error;
use core::time::Duration;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jitney_core::fault::{Fault, FaultKind};

/// The longest text of AWS's that goes into the log.
const MESSAGE_CHARACTERS_MAX: usize = 400;

/// The code of a call that AWS does not let the broker make.
pub(crate) const ACCESS_DENIED: &str = "aws_access_denied";

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// It hands out a credential.
    Gives,
    /// It changes a policy.
    Changes,
    /// It only looks.
    Reads,
}

/// What came back, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// The call never left us.
    NeverSent,
    /// There are no credentials to sign it with; it never left us either.
    NoCredentials,
    /// It left, and nothing intelligible came back.
    Lost,
    /// AWS refused it.
    Refused {
        /// The error's code, when there is one.
        code: Option<&'a str>,
        /// The HTTP status.
        status: u16,
        /// How long AWS asks us to wait.
        after: Option<Duration>,
    },
}

/// What is believed, with the fault's own code and what the job is told.
pub(crate) type Belief = (FaultKind, &'static str, &'static str);

const TOLD_BUSY: &str = "AWS is busy; try again shortly";
const TOLD_REFUSED: &str = "AWS does not let the broker do this; the platform team must look";
const TOLD_BROKER: &str =
    "the broker's own access to AWS does not work; the platform team must look";
const TOLD_TOO_LARGE: &str =
    "what is asked for is more than AWS takes in one session; ask for fewer scopes";
const TOLD_UNKNOWN: &str = "AWS gave no clear answer; whatever it may have granted is taken back";

/// The one place that decides.
pub(crate) fn classify(call: Call, answer: Answer<'_>) -> Belief {
    let retryable = FaultKind::Retryable { after: None };
    match answer {
        Answer::NeverSent => (
            retryable,
            "aws_unreachable",
            "AWS cannot be reached from the broker",
        ),
        Answer::NoCredentials => (retryable, "aws_no_credentials", TOLD_BROKER),
        Answer::Lost => unclear(call, "aws_no_answer"),
        Answer::Refused {
            code,
            status,
            after,
        } => {
            refused(call, code, after).unwrap_or_else(|| match status {
                // "Something went wrong on the server": it may have been done before.
                500..=599 => unclear(call, "aws_server_error"),
                _ => unclear(call, "aws_unclassified"),
            })
        }
    }
}

/// Nobody can say whether it was done; unless it only looked.
fn unclear(call: Call, code: &'static str) -> Belief {
    match call {
        Call::Gives | Call::Changes => (FaultKind::Ambiguous, code, TOLD_UNKNOWN),
        Call::Reads => (FaultKind::Retryable { after: None }, code, TOLD_BUSY),
    }
}

fn refused(call: Call, code: Option<&str>, after: Option<Duration>) -> Option<Belief> {
    let retryable = FaultKind::Retryable { after };
    let permanent = FaultKind::Permanent;
    Some(match code? {
        // "The request was denied due to request throttling." (AWS, common error types). Refused
        // before it was looked at. The first is what STS and IAM send; the others are the names
        // under which AWS's own SDKs know the same refusal (aws-runtime, retry classifiers).
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "LimitExceededException"
        | "SlowDown"
        | "PriorRequestNotComplete"
        | "ProvisionedThroughputExceededException"
        | "TransactionInProgressException"
        | "EC2ThrottledException" => (retryable, "aws_throttled", TOLD_BUSY),

        // "You don't have permission to perform this action." (AWS, common error types).
        // AssumeRole does not model it. Permanent, also right after a role or its trust was made:
        // whoever asks again will find out.
        "AccessDenied" | "AccessDeniedException" | "NotAuthorized" | "UnauthorizedOperation" => {
            (permanent, ACCESS_DENIED, TOLD_REFUSED)
        }

        // "The X.509 certificate or AWS access key ID provided does not exist in our records."
        // "The request signature doesn't conform to AWS standards." "The request must contain
        // either a valid … access key ID or X.509 certificate." "The AWS access key ID needs a
        // subscription for the service." (AWS, common error types). The broker's own keys.
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "OptInRequired" => (permanent, "aws_broker_not_recognised", TOLD_BROKER),

        // "The security token included in the request has expired." (AWS, common error types).
        // The broker's own session; the next call is signed with a fresh one.
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            (retryable, "aws_broker_session_expired", TOLD_BROKER)
        }

        // "The request reached the service more than 15 minutes after the date stamp on the
        // request … or the date stamp on the request is more than 15 minutes in the future."
        // (AWS, common error types). Refused by its stamp; a clock is wrong.
        "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => {
            (retryable, "aws_clock_disagrees", TOLD_BROKER)
        }

        // "The request was rejected because the policy document was malformed." (STS, IAM). A
        // policy of ours that AWS cannot read: it will not learn to.
        "MalformedPolicyDocument" | "MalformedPolicyDocumentException" => {
            (permanent, "aws_policy_malformed", TOLD_REFUSED)
        }

        // "The request was rejected because the total packed size of the session policies and
        // session tags combined was too large. … You could receive this error even though you
        // meet other defined session policy and session tag limits." (STS, AssumeRole).
        "PackedPolicyTooLarge" | "PackedPolicyTooLargeException" => {
            (permanent, "aws_policy_too_large", TOLD_TOO_LARGE)
        }

        // "STS is not activated in the requested region for the account that is being asked to
        // generate credentials." (STS, AssumeRole).
        "RegionDisabledException" | "RegionDisabled" => {
            (permanent, "aws_region_disabled", TOLD_REFUSED)
        }

        // "The input fails to satisfy the constraints specified by an AWS service." (AWS, common
        // error types), and its relatives. Nothing was done with it.
        "ValidationError"
        | "ValidationException"
        | "InvalidInput"
        | "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "InvalidAction"
        | "MissingAction"
        | "MissingParameter"
        | "MalformedQueryString" => (permanent, "aws_request_invalid", TOLD_REFUSED),

        // "The request was rejected because it referenced a resource entity that does not exist."
        // (IAM). To a call that removes this is the end it wanted; see `is_absent`.
        "NoSuchEntity" | "NoSuchEntityException" => (permanent, "aws_no_such_role", TOLD_REFUSED),

        // "The request was rejected because multiple requests to change this object were
        // submitted simultaneously. Wait a few minutes and submit your request again." (IAM)
        "ConcurrentModification" | "ConcurrentModificationException" => {
            (retryable, "aws_concurrent_modification", TOLD_BUSY)
        }

        // "The request was rejected because it referenced an entity that is temporarily
        // unmodifiable, such as a user name that was deleted and then recreated. The error
        // indicates that the request is likely to succeed if you try again after waiting several
        // minutes." (IAM)
        "EntityTemporarilyUnmodifiable" | "EntityTemporarilyUnmodifiableException" => {
            (retryable, "aws_temporarily_unmodifiable", TOLD_BUSY)
        }

        // "The request was rejected because it attempted to create resources beyond the current
        // Amazon Web Services account limits." (IAM). Entries leave the list as sessions end, so
        // the same call may succeed later.
        "LimitExceeded" => (retryable, "aws_deny_list_full", TOLD_BUSY),

        // "The request was rejected because service-linked roles are protected Amazon Web
        // Services resources. Only the service that depends on the service-linked role can modify
        // or delete the role on your behalf." (IAM)
        "UnmodifiableEntity" | "UnmodifiableEntityException" => {
            (permanent, "aws_role_protected", TOLD_REFUSED)
        }

        // "The request processing has failed because of an unknown error, exception or failure."
        // (IAM). "The request can't be processed right now because of an internal server issue."
        // "The request has failed due to a temporary failure of the server." (AWS, common error
        // types). None says that nothing was done.
        "ServiceFailure"
        | "InternalFailure"
        | "InternalError"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "Unavailable" => unclear(call, "aws_server_error"),

        // "The request timed out. The server didn't receive" it whole in time (AWS, common error
        // types); whether a part of it was enough nobody says.
        "RequestTimeout" | "RequestTimeoutException" => unclear(call, "aws_no_answer"),

        _ => return None,
    })
}

/// Whether AWS says that what was named does not exist.
pub(crate) fn is_absent<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(error, SdkError::ServiceError(service)
        if matches!(service.err().code(), Some("NoSuchEntity" | "NoSuchEntityException")))
}

/// The fault that a failed call comes to. `operation` is AWS's name for it.
pub(crate) fn fault<E>(call: Call, operation: &str, error: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (kind, code, told) = classify(call, answer(error));
    Fault {
        kind,
        code,
        told: told.to_owned(),
        logged: format!("{operation}: {}", described(error)),
    }
}

fn answer<E>(error: &SdkError<E, HttpResponse>) -> Answer<'_>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => Answer::Refused {
            code: service.err().code(),
            status: service.raw().status().as_u16(),
            after: retry_after(service.raw()),
        },
        SdkError::ConstructionFailure(_) if has::<CredentialsError>(error, |_| true) => {
            Answer::NoCredentials
        }
        SdkError::DispatchFailure(_) if has::<CredentialsError>(error, |_| true) => {
            Answer::NoCredentials
        }
        SdkError::ConstructionFailure(_) => Answer::NeverSent,
        // Nobody listens at that address. Only this one: a connection that was made and then
        // broke may have carried the whole request.
        SdkError::DispatchFailure(_)
            if has::<io::Error>(error, |e| e.kind() == io::ErrorKind::ConnectionRefused) =>
        {
            Answer::NeverSent
        }
        // Also what a later version of the SDK may add.
        _ => Answer::Lost,
    }
}

/// Whether an error of this type stands anywhere in the chain.
fn has<T: Error + 'static>(error: &(dyn Error + 'static), is: impl Fn(&T) -> bool) -> bool {
    chain(error).any(|error| error.downcast_ref::<T>().is_some_and(&is))
}

/// An error and what it comes from.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    core::iter::successors(Some(error), |&error| error.source())
}

fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What the log says: AWS's code, message and request id, or what the connection said. Escaped
/// and cut: a log reader's terminal is no place for what a server sends.
fn described<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let text = match error {
        SdkError::ServiceError(service) => {
            let meta = service.err().meta();
            let (code, message) = (meta.code().unwrap_or("-"), meta.message().unwrap_or("-"));
            let request = meta.extra("aws_request_id").unwrap_or("-");
            let status = service.raw().status().as_u16();
            format!("{status} {code}: {message} (request {request})")
        }
        other => {
            let texts: Vec<String> = chain(other).map(ToString::to_string).collect();
            texts.join(": ")
        }
    };
    printable(&text)
}

/// A text for the log: one line, no control characters, not longer than it should be.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .take(MESSAGE_CHARACTERS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const CALLS: [Call; 3] = [Call::Gives, Call::Changes, Call::Reads];

    fn refused_with(code: &str, status: u16) -> Answer<'_> {
        Answer::Refused {
            code: Some(code),
            status,
            after: None,
        }
    }

    fn is_ambiguous(call: Call, answer: Answer<'_>) -> bool {
        classify(call, answer).0 == FaultKind::Ambiguous
    }

    #[test]
    fn an_answer_nobody_has_classified_is_ambiguous_wherever_something_could_have_happened() {
        for answer in [
            refused_with("SomethingNew", 400),
            refused_with("SomethingNew", 403),
            refused_with("SomethingNew", 503),
            Answer::Refused {
                code: None,
                status: 404,
                after: None,
            },
            Answer::Refused {
                code: None,
                status: 500,
                after: None,
            },
            Answer::Refused {
                code: None,
                status: 200,
                after: None,
            },
            refused_with("InternalFailure", 500),
            refused_with("ServiceFailure", 500),
            refused_with("ServiceUnavailable", 503),
            refused_with("RequestTimeout", 408),
            Answer::Lost,
        ] {
            assert!(is_ambiguous(Call::Gives, answer), "{answer:?}");
            assert!(is_ambiguous(Call::Changes, answer), "{answer:?}");
            assert!(!is_ambiguous(Call::Reads, answer), "{answer:?}");
        }
    }

    #[test]
    fn a_throttled_call_did_nothing_and_waits_as_long_as_it_is_told() {
        let after = Some(Duration::from_secs(7));
        for code in [
            "Throttling",
            "ThrottlingException",
            "RequestLimitExceeded",
            "SlowDown",
        ] {
            for call in CALLS {
                // Throttling comes with 400 and with 503; the code decides.
                for status in [400, 503] {
                    let answer = Answer::Refused {
                        code: Some(code),
                        status,
                        after,
                    };
                    let (kind, told, _) = classify(call, answer);
                    assert_eq!(kind, FaultKind::Retryable { after });
                    assert_eq!(told, "aws_throttled");
                }
            }
        }
    }

    #[test]
    fn what_will_not_change_is_permanent() {
        for code in [
            "AccessDenied",
            "InvalidClientTokenId",
            "SignatureDoesNotMatch",
            "MalformedPolicyDocument",
            "PackedPolicyTooLarge",
            "RegionDisabledException",
            "ValidationError",
            "UnmodifiableEntity",
        ] {
            for call in CALLS {
                let (kind, ..) = classify(call, refused_with(code, 400));
                assert_eq!(kind, FaultKind::Permanent, "{code}");
            }
        }
    }

    #[test]
    fn what_passes_is_retryable() {
        for code in [
            "ConcurrentModification",
            "EntityTemporarilyUnmodifiable",
            "LimitExceeded",
            "ExpiredToken",
            "RequestExpired",
        ] {
            let (kind, ..) = classify(Call::Changes, refused_with(code, 409));
            assert_eq!(kind, FaultKind::Retryable { after: None }, "{code}");
        }
        for answer in [Answer::NeverSent, Answer::NoCredentials] {
            for call in CALLS {
                let (kind, ..) = classify(call, answer);
                assert_eq!(kind, FaultKind::Retryable { after: None }, "{answer:?}");
            }
        }
    }

    #[test]
    fn the_job_never_reads_what_aws_wrote() {
        for answer in [
            refused_with("AccessDenied", 403),
            refused_with("\u{1b}[31m", 400),
        ] {
            let (_, _, told) = classify(Call::Gives, answer);
            assert!(
                !told.contains("AccessDenied") && !told.contains('\u{1b}'),
                "{told}"
            );
        }
        assert_eq!(printable("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(printable(&"x".repeat(5_000)).len(), MESSAGE_CHARACTERS_MAX);
    }
}
