//! What is believed after each kind of answer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

const CALLS: [Call; 3] = [Call::Gives, Call::Takes, Call::Reads];

fn refusal(status: u16, code: &str, message: &str) -> NoAnswer {
    NoAnswer::Refused(Refusal {
        status,
        code: Some(code.to_owned()),
        message: message.to_owned(),
        ..Refusal::default()
    })
}

fn kind(call: Call, error: &NoAnswer) -> FaultKind {
    fault(call, "PUT x", error).kind
}

#[test]
fn an_answer_nobody_has_classified_is_ambiguous_wherever_something_could_have_happened() {
    for error in [
        refusal(400, "SomethingNew", ""),
        refusal(403, "SomethingNew", ""),
        refusal(404, "", ""),
        refusal(409, "Conflict", ""),
        refusal(500, "InternalServerError", ""),
        refusal(503, "ServiceUnavailable", ""),
        refusal(504, "GatewayTimeout", ""),
        refusal(400, "BadRequest", "no"),
        NoAnswer::Refused(Refusal::default()),
        NoAnswer::Lost("cut".to_owned()),
    ] {
        assert_eq!(kind(Call::Gives, &error), FaultKind::Ambiguous, "{error:?}");
        assert_eq!(kind(Call::Takes, &error), FaultKind::Ambiguous, "{error:?}");
        assert_ne!(kind(Call::Reads, &error), FaultKind::Ambiguous, "{error:?}");
    }
}

#[test]
fn a_throttled_call_did_nothing_and_waits_as_long_as_it_is_told() {
    let after = Some(Duration::from_secs(7));
    let error = NoAnswer::Refused(Refusal {
        status: 429,
        after,
        ..Refusal::default()
    });
    for call in CALLS {
        assert_eq!(kind(call, &error), FaultKind::Retryable { after });
    }
}

#[test]
fn what_never_left_us_did_nothing() {
    for error in [
        NoAnswer::NeverSent("refused".to_owned()),
        NoAnswer::NoCredentials("no file".to_owned()),
    ] {
        for call in CALLS {
            assert_eq!(kind(call, &error), FaultKind::Retryable { after: None });
        }
    }
}

#[test]
fn what_will_not_change_is_permanent() {
    for (status, code) in [
        (403, "AuthorizationFailed"),
        (400, "RoleAssignmentRequestPolicyValidationFailed"),
        (404, "RoleDefinitionDoesNotExist"),
        (409, "ScopeLocked"),
        (400, "RoleAssignmentLimitExceeded"),
        (400, "InvalidRequestContent"),
    ] {
        for call in CALLS {
            assert_eq!(
                kind(call, &refusal(status, code, "")),
                FaultKind::Permanent,
                "{code}"
            );
        }
    }
}

#[test]
fn what_passes_is_retryable() {
    for (status, code) in [
        (409, EXISTS),
        (400, TOO_SHORT),
        (400, DOES_NOT_EXIST),
        (400, "PendingRoleAssignmentRequest"),
        (400, "SubjectNotFound"),
        (400, "PrincipalNotFound"),
        (401, "ExpiredAuthenticationToken"),
    ] {
        let kind = kind(Call::Gives, &refusal(status, code, ""));
        assert!(matches!(kind, FaultKind::Retryable { .. }), "{code}");
    }
    // Some tenants say it in words only.
    let worded = refusal(400, "BadRequest", "The Role assignment already exists.");
    assert!(matches!(
        kind(Call::Gives, &worded),
        FaultKind::Retryable { .. }
    ));
}

#[test]
fn a_failed_rule_is_named_with_what_to_change() {
    let message = r#"The following policy rules failed: ["MfaRule","ExpirationRule","Evil`Rule"]"#;
    let code = "RoleAssignmentRequestPolicyValidationFailed";
    let told = fault(Call::Gives, "PUT x", &refusal(400, code, message)).told;
    assert!(
        told.contains("`MfaRule`: `Enablement_Admin_Assignment`"),
        "{told}"
    );
    assert!(told.contains("`Expiration_Admin_Assignment`"), "{told}");
    assert!(!told.contains("Evil"), "{told}");
}

#[test]
fn a_login_that_may_work_later_is_tried_later() {
    for (codes, is_retryable) in [
        ("70021", true),
        ("700213", true),
        ("90033", true),
        ("700016", false),
        ("7000112", false),
        ("700024", false),
        ("", false),
    ] {
        let kind = login("token", codes, "AADSTS").kind;
        assert_eq!(
            matches!(kind, FaultKind::Retryable { .. }),
            is_retryable,
            "{codes}"
        );
    }
}

#[test]
fn the_job_never_reads_what_azure_wrote() {
    for error in [
        refusal(403, "AuthorizationFailed", "object id 1234"),
        refusal(400, "\u{1b}[31m", "x"),
    ] {
        let fault = fault(Call::Gives, "PUT x", &error);
        assert!(!fault.told.contains("1234") && !fault.told.contains('\u{1b}'));
        assert!(!fault.logged.contains('\u{1b}'));
    }
    assert_eq!(printable(&"x".repeat(5_000)).len(), MESSAGE_CHARACTERS_MAX);
}

#[test]
fn what_azure_does_not_deny_it_will_not_deny() {
    let error = refusal(400, "InvalidActionOrNotAction", "'x' is not permitted");
    let fault = fault(Call::Takes, "PUT x", &error);
    assert_eq!(
        (fault.kind, fault.code),
        (FaultKind::Permanent, "azure_not_deniable")
    );
}
