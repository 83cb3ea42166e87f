//! How a failed call to Google is to be understood. The provider's own sentence stands above each
//! arm, with where it is from; what stands in no arm is ambiguous.
//!
//! What an unclear answer means depends on what was asked. A call that gives may have given. A
//! call that reads has changed nothing, however it failed.

use core::time::Duration;

use jitney_core::fault::{Fault, FaultKind};
use serde_json::Value;

/// The longest text of Google's that goes into the log.
const MESSAGE_CHARACTERS_MAX: usize = 400;

/// The code of a call that Google does not let the broker make.
pub(crate) const ACCESS_DENIED: &str = "gcp_access_denied";

/// The code of a mint that was refused because its account is not, or not everywhere, enabled.
pub(crate) const NOT_YET: &str = "gcp_not_yet_effective";

/// The code of a call whose caller Google does not know, or does not know yet.
pub(crate) const NOT_RECOGNISED: &str = "gcp_broker_not_recognised";

/// The code of a change that Google refused for what its object is like at the moment.
pub(crate) const PRECONDITION: &str = "gcp_precondition_failed";

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// It hands out a token of an account.
    Mints,
    /// It changes an account or a policy.
    Changes,
    /// It only looks.
    Reads,
}

/// What came back, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// The call never left us.
    NeverSent,
    /// There is no credential to send with it; it never left us either.
    NoCredentials,
    /// It left, and nothing intelligible came back.
    Lost,
    /// Google refused it.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error's name: of `google.rpc.Code`, of the storage API's reasons, or of OAuth.
        name: Option<&'a str>,
        /// How long Google asks us to wait.
        after: Option<Duration>,
    },
}

/// What is believed, with the fault's own code and what the job is told.
pub(crate) type Belief = (FaultKind, &'static str, &'static str);

const TOLD_BUSY: &str = "Google is busy; try again shortly";
const TOLD_REFUSED: &str = "Google does not let the broker do this; the platform team must look";
const TOLD_BROKER: &str =
    "the broker's own access to Google does not work; the platform team must look";
const TOLD_NOT_YET: &str =
    "the account that was to carry the lease is not yet effective everywhere; try again";
pub(crate) const TOLD_UNKNOWN: &str =
    "Google gave no clear answer; whatever it may have granted is taken back";

/// The one place that decides.
pub(crate) fn classify(call: Call, answer: Answer<'_>) -> Belief {
    let retryable = FaultKind::Retryable { after: None };
    match answer {
        Answer::NeverSent => (
            retryable,
            "gcp_unreachable",
            "Google cannot be reached from the broker",
        ),
        Answer::NoCredentials => (retryable, "gcp_no_credentials", TOLD_BROKER),
        Answer::Lost => unclear(call, "gcp_no_answer"),
        Answer::Refused {
            status,
            name,
            after,
        } => refused(call, status, name, after).unwrap_or_else(|| match status {
            // "Internal server error", "Bad gateway", "Service unavailable": it may have been done
            // before.
            500..=599 => unclear(call, "gcp_server_error"),
            _ => unclear(call, "gcp_unclassified"),
        }),
    }
}

/// Nobody can say whether it was done; unless it only looked.
fn unclear(call: Call, code: &'static str) -> Belief {
    match call {
        Call::Mints | Call::Changes => (FaultKind::Ambiguous, code, TOLD_UNKNOWN),
        Call::Reads => (FaultKind::Retryable { after: None }, code, TOLD_BUSY),
    }
}

fn refused(call: Call, status: u16, name: Option<&str>, after: Option<Duration>) -> Option<Belief> {
    let permanent = FaultKind::Permanent;
    Some(match (status, name?) {
        // "Some resource has been exhausted, perhaps a per-user quota" (google.rpc.Code,
        // RESOURCE_EXHAUSTED, HTTP 429). "Too many requests" (Cloud Storage, `rateLimitExceeded`,
        // and `userRateLimitExceeded` of older APIs). Refused before it was looked at.
        (429, "RESOURCE_EXHAUSTED" | "rateLimitExceeded" | "userRateLimitExceeded") => {
            (FaultKind::Retryable { after }, "gcp_throttled", TOLD_BUSY)
        }

        // "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not
        // exist)." (IAM Credentials, 403). Right after an account was enabled or the broker was
        // allowed to, Google may not know yet everywhere. Nothing was minted.
        (403, "PERMISSION_DENIED") if call == Call::Mints => (permanent, NOT_YET, TOLD_NOT_YET),

        // "The operation was rejected because the system is not in a state required for the
        // operation's execution" (google.rpc.Code, FAILED_PRECONDITION): a mint for an account
        // that is, or is thought to be, disabled.
        (400, "FAILED_PRECONDITION") if call == Call::Mints => (permanent, NOT_YET, TOLD_NOT_YET),

        // "The caller does not have permission to execute the specified operation"
        // (google.rpc.Code, PERMISSION_DENIED). "The user is not authorized to make the request"
        // (Cloud Storage, `forbidden`). To a call that removes it is not "gone".
        (403, "PERMISSION_DENIED" | "forbidden" | "insufficientPermissions") => {
            (permanent, ACCESS_DENIED, TOLD_REFUSED)
        }

        // "The request does not have valid authentication credentials for the operation"
        // (google.rpc.Code, UNAUTHENTICATED). "Access to a protected resource requires a valid
        // OAuth 2.0 access token" (Cloud Storage, `required`, `authError`). The broker's own token,
        // which the next call renews.
        (401, "UNAUTHENTICATED" | "required" | "authError") => (
            FaultKind::Retryable { after: None },
            NOT_RECOGNISED,
            TOLD_BROKER,
        ),

        // "Some requested entity was not found" (google.rpc.Code, NOT_FOUND); Cloud Storage,
        // `notFound`. What is not there was not changed.
        (404, "NOT_FOUND" | "notFound") => (permanent, "gcp_not_found", TOLD_REFUSED),

        // "There were concurrent policy changes. Please retry the whole read-modify-write with
        // exponential backoff." (Resource Manager, 409 ABORTED). "At least one of the
        // pre-conditions you specified did not hold." (Cloud Storage, 412 `conditionNotMet`).
        // Nothing was written.
        (409, "ABORTED") | (412, "conditionNotMet") => (
            FaultKind::Retryable { after: None },
            "gcp_policy_changed",
            TOLD_BUSY,
        ),

        // "The client specified an invalid argument" (google.rpc.Code, INVALID_ARGUMENT), as "The
        // number of members in the policy (1,503) is larger than the maximum allowed size 1,500.";
        // Cloud Storage, `invalid`, `required`, `badRequest`. "The request is missing a required
        // parameter, includes an unsupported parameter value …, or is otherwise malformed" (RFC
        // 6749, `invalid_request`). Nothing was done with it.
        (400, "INVALID_ARGUMENT" | "invalid" | "badRequest" | "required" | "invalid_request") => {
            (permanent, "gcp_request_invalid", TOLD_REFUSED)
        }

        // "The operation was rejected because the system is not in a state required for the
        // operation's execution" (google.rpc.Code, FAILED_PRECONDITION): as where an organisation
        // policy forbids the change.
        (400, "FAILED_PRECONDITION") => (permanent, PRECONDITION, TOLD_REFUSED),

        // "The provided authorization grant … is invalid, expired, revoked" and "The requested
        // scope is invalid" (RFC 6749): the exchange of a token was refused.
        (400, "invalid_grant" | "invalid_target" | "invalid_scope" | "unauthorized_client")
        | (401 | 403, "invalid_grant" | "unauthorized_client" | "access_denied") => {
            (permanent, "gcp_exchange_refused", TOLD_REFUSED)
        }

        // "The service is currently unavailable" (google.rpc.Code, UNAVAILABLE: "it is not always
        // safe to retry non-idempotent operations"), "Internal errors" (INTERNAL), "The deadline
        // expired before the operation could complete" (DEADLINE_EXCEEDED: "this error may be
        // returned even if the operation has completed successfully"), "Unknown error" (UNKNOWN).
        // None says that nothing was done.
        (
            500..=599,
            "UNAVAILABLE" | "INTERNAL" | "UNKNOWN" | "DEADLINE_EXCEEDED" | "backendError",
        ) => unclear(call, "gcp_server_error"),

        _ => return None,
    })
}

/// A call that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The HTTP status, when there was an answer.
    pub(crate) status: Option<u16>,
    pub(crate) fault: Fault,
}

impl Failed {
    /// A call that came to this, with what the log says of it.
    pub(crate) fn new(call: Call, operation: &str, answer: Answer<'_>, said: &str) -> Self {
        let (kind, code, told) = classify(call, answer);
        let status = match answer {
            Answer::Refused { status, .. } => Some(status),
            Answer::NeverSent | Answer::NoCredentials | Answer::Lost => None,
        };
        Self {
            status,
            fault: Fault {
                kind,
                code,
                told: told.to_owned(),
                logged: format!("{operation}: {}", printable(said)),
            },
        }
    }

    /// Whether Google says that what was named does not exist.
    pub(crate) fn is_absent(&self) -> bool {
        self.status == Some(404)
    }

    /// Whether somebody else changed what was to be changed, since it was read.
    pub(crate) fn is_conflict(&self) -> bool {
        self.fault.code == "gcp_policy_changed"
    }
}

impl From<Failed> for Fault {
    fn from(failed: Failed) -> Self {
        failed.fault
    }
}

/// The name of an error in Google's three shapes, and what it says.
pub(crate) fn named(body: &Value) -> (Option<&str>, String) {
    let error = body.get("error");
    // `{"error": "invalid_grant", "error_description": "…"}`, as STS has it.
    if let Some(name) = error.and_then(Value::as_str) {
        let said = body.get("error_description").and_then(Value::as_str);
        return (Some(name), format!("{name}: {}", said.unwrap_or("-")));
    }
    let field = |name: &str| error.and_then(|error| error.get(name));
    let reason = || {
        let first = field("errors")?.get(0)?;
        first.get("reason")?.as_str()
    };
    // `{"error": {"status": "ABORTED", …}}`, or only `errors[0].reason`, as Cloud Storage has it.
    let name = field("status").and_then(Value::as_str).or_else(reason);
    let said = field("message").and_then(Value::as_str).unwrap_or("-");
    let permission = field("details")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find_map(|detail| detail.get("metadata")?.get("permission")?.as_str());
    let said = match permission {
        Some(permission) => format!("{}: {said} ({permission})", name.unwrap_or("-")),
        None => format!("{}: {said}", name.unwrap_or("-")),
    };
    (name, said)
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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    const CALLS: [Call; 3] = [Call::Mints, Call::Changes, Call::Reads];

    const fn refused_with(status: u16, name: &str) -> Answer<'_> {
        Answer::Refused {
            status,
            name: Some(name),
            after: None,
        }
    }

    fn is_ambiguous(call: Call, answer: Answer<'_>) -> bool {
        classify(call, answer).0 == FaultKind::Ambiguous
    }

    #[test]
    fn an_answer_nobody_has_classified_is_ambiguous_wherever_something_could_have_happened() {
        let nameless = |status| Answer::Refused {
            status,
            name: None,
            after: None,
        };
        for answer in [
            refused_with(400, "SOMETHING_NEW"),
            refused_with(403, "SOMETHING_NEW"),
            refused_with(409, "ALREADY_EXISTS"),
            refused_with(499, "CANCELLED"),
            refused_with(500, "INTERNAL"),
            refused_with(503, "UNAVAILABLE"),
            refused_with(504, "DEADLINE_EXCEEDED"),
            // A name with a status that does not go with it.
            refused_with(503, "RESOURCE_EXHAUSTED"),
            refused_with(500, "PERMISSION_DENIED"),
            refused_with(200, "ABORTED"),
            nameless(200),
            nameless(403),
            nameless(404),
            nameless(429),
            nameless(502),
            Answer::Lost,
        ] {
            assert!(is_ambiguous(Call::Mints, answer), "{answer:?}");
            assert!(is_ambiguous(Call::Changes, answer), "{answer:?}");
            assert!(!is_ambiguous(Call::Reads, answer), "{answer:?}");
        }
    }

    #[test]
    fn a_throttled_call_did_nothing_and_waits_as_long_as_it_is_told() {
        let after = Some(Duration::from_secs(7));
        for name in ["RESOURCE_EXHAUSTED", "rateLimitExceeded"] {
            for call in CALLS {
                let answer = Answer::Refused {
                    status: 429,
                    name: Some(name),
                    after,
                };
                let (kind, code, _) = classify(call, answer);
                assert_eq!(
                    (kind, code),
                    (FaultKind::Retryable { after }, "gcp_throttled")
                );
            }
        }
    }

    #[test]
    fn a_refused_removal_is_not_gone_and_a_refused_mint_may_only_be_early() {
        let denied = refused_with(403, "PERMISSION_DENIED");
        let failed = Failed::new(Call::Changes, "setIamPolicy", denied, "no");
        assert!(!failed.is_absent());
        assert_eq!(failed.fault.code, ACCESS_DENIED);
        assert_eq!(failed.fault.kind, FaultKind::Permanent);
        for early in [denied, refused_with(400, "FAILED_PRECONDITION")] {
            let (kind, code, _) = classify(Call::Mints, early);
            assert_eq!((kind, code), (FaultKind::Permanent, NOT_YET));
        }
    }

    #[test]
    fn what_passes_is_retryable_and_what_will_not_change_is_permanent() {
        let retryable = FaultKind::Retryable { after: None };
        for (answer, kind) in [
            (refused_with(409, "ABORTED"), retryable),
            (refused_with(412, "conditionNotMet"), retryable),
            (refused_with(401, "UNAUTHENTICATED"), retryable),
            (Answer::NeverSent, retryable),
            (Answer::NoCredentials, retryable),
            (refused_with(400, "INVALID_ARGUMENT"), FaultKind::Permanent),
            (refused_with(404, "NOT_FOUND"), FaultKind::Permanent),
            (refused_with(404, "notFound"), FaultKind::Permanent),
            (refused_with(400, "invalid_grant"), FaultKind::Permanent),
            (
                refused_with(400, "FAILED_PRECONDITION"),
                FaultKind::Permanent,
            ),
        ] {
            assert_eq!(classify(Call::Changes, answer).0, kind, "{answer:?}");
        }
    }

    #[test]
    fn googles_three_shapes_of_errors_are_read() {
        let rpc = json!({ "error": { "code": 403, "status": "PERMISSION_DENIED", "message": "no",
            "errors": [{ "reason": "forbidden" }],
            "details": [{ "metadata": { "permission": "iam.serviceAccounts.disable" } }] } });
        let (name, said) = named(&rpc);
        assert_eq!(name, Some("PERMISSION_DENIED"));
        assert!(said.contains("iam.serviceAccounts.disable"), "{said}");
        let storage = json!({ "error": { "code": 412, "message": "x",
            "errors": [{ "reason": "conditionNotMet", "domain": "global" }] } });
        assert_eq!(named(&storage).0, Some("conditionNotMet"));
        let oauth = json!({ "error": "invalid_grant", "error_description": "expired" });
        assert_eq!(
            named(&oauth),
            (Some("invalid_grant"), "invalid_grant: expired".to_owned())
        );
        for other in [json!(null), json!([]), json!({ "error": { "errors": [] } })] {
            assert_eq!(named(&other).0, None, "{other}");
        }
    }

    #[test]
    fn the_job_never_reads_what_google_wrote() {
        let answer = refused_with(403, "\u{1b}[31m");
        let failed = Failed::new(Call::Changes, "enable", answer, "\u{1b}[31m\nSECRET");
        assert!(!failed.fault.told.contains('\u{1b}'));
        assert_eq!(failed.fault.logged, "enable:  [31m SECRET");
        assert_eq!(printable(&"x".repeat(5_000)).len(), MESSAGE_CHARACTERS_MAX);
    }
}
