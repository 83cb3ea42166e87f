//! How a failed call to Azure is to be understood. The provider's own sentence stands above each
//! arm, with where it is from; what stands in no arm is ambiguous.
//!
//! What an unclear answer means depends on what was asked. A call that gives may have given. A
//! call that reads has changed nothing, however it failed.

use core::time::Duration;

use jitney_core::fault::{Fault, FaultKind};

use crate::arm::{NoAnswer, Refusal};

/// The longest text of Azure's that goes into the log.
const MESSAGE_CHARACTERS_MAX: usize = 600;

/// The assignment is there already, or was until a moment ago.
pub(crate) const EXISTS: &str = "RoleAssignmentExists";
/// PIM does not see the assignment, which does not prove that it is gone.
pub(crate) const DOES_NOT_EXIST: &str = "RoleAssignmentDoesNotExist";
/// PIM's floor.
pub(crate) const TOO_SHORT: &str = "ActiveDurationTooShort";
/// The tenant has no licence for PIM, or none any more: then PIM answers nobody.
pub(crate) const NO_LICENCE: &str = "AadPremiumLicenseRequired";
/// Whoever asks may not.
pub(crate) const NOT_AUTHORIZED: &str = "AuthorizationFailed";
/// PIM has had a request of this name.
pub(crate) const REQUEST_EXISTS: [&str; 2] = [
    "RoleAssignmentRequestExists",
    "RoleAssignmentScheduleRequestExists",
];

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// It gives a role, or hands out a credential.
    Gives,
    /// It takes a role away.
    Takes,
    /// It only looks.
    Reads,
}

/// What is believed, with the fault's own code and what the job is told.
type Belief = (FaultKind, &'static str, String);

const TOLD_BUSY: &str = "Azure is busy; try again shortly";
const TOLD_REFUSED: &str = "Azure does not let the broker do this; the platform team must look";
const TOLD_BROKER: &str =
    "the broker's own access to Azure does not work; the platform team must look";
const TOLD_SLOT: &str =
    "the identity that was to carry this lease cannot be used just now; try again";
const TOLD_LOGIN: &str =
    "Entra does not know the identity that was to carry this lease; the platform team must look";
pub(crate) const TOLD_UNKNOWN: &str =
    "Azure gave no clear answer; whatever it may have granted is taken back";

/// The fault that a failed call comes to. `operation` is Azure's name for it.
pub(crate) fn fault(call: Call, operation: &str, error: &NoAnswer) -> Fault {
    let (kind, code, told) = classify(call, error);
    Fault {
        kind,
        code,
        told,
        logged: format!("{operation}: {}", described(error)),
    }
}

/// The one place that decides.
fn classify(call: Call, error: &NoAnswer) -> Belief {
    let retryable = FaultKind::Retryable { after: None };
    match error {
        NoAnswer::NeverSent(_) => {
            let told = "Azure cannot be reached from the broker".to_owned();
            (retryable, "azure_unreachable", told)
        }
        NoAnswer::NoCredentials(_) => (retryable, "azure_no_credentials", TOLD_BROKER.to_owned()),
        NoAnswer::Lost(_) => unclear(call, "azure_no_answer"),
        NoAnswer::Refused(refusal) => refused(call, refusal),
    }
}

/// Nobody can say whether it was done; unless it only looked.
fn unclear(call: Call, code: &'static str) -> Belief {
    match call {
        Call::Gives | Call::Takes => (FaultKind::Ambiguous, code, TOLD_UNKNOWN.to_owned()),
        Call::Reads => (
            FaultKind::Retryable { after: None },
            code,
            TOLD_BUSY.to_owned(),
        ),
    }
}

fn refused(call: Call, refusal: &Refusal) -> Belief {
    let told = |told: &str| told.to_owned();
    match refusal.status {
        // "When you reach the limit, you receive the HTTP status code 429 Too many requests."
        // (Resource Manager, throttling). Refused before it was looked at.
        429 => {
            let kind = FaultKind::Retryable {
                after: refusal.after,
            };
            (kind, "azure_throttled", told(TOLD_BUSY))
        }
        // "The access token … is expired", "… is from the wrong issuer", "… is invalid" (Resource
        // Manager, authentication). A fresh token was tried already.
        401 => {
            let kind = FaultKind::Retryable { after: None };
            (kind, "azure_broker_not_recognised", told(TOLD_BROKER))
        }
        status => {
            let code = refusal.code.as_deref().unwrap_or_default();
            by_code(code, &refusal.message).unwrap_or_else(|| match status {
                // "InternalServerError", "ServiceUnavailable": it may have been done before.
                500..=599 => unclear(call, "azure_server_error"),
                _ => unclear(call, "azure_unclassified"),
            })
        }
    }
}

fn by_code(code: &str, message: &str) -> Option<Belief> {
    let retryable = FaultKind::Retryable { after: None };
    let soon = FaultKind::Retryable {
        after: Some(Duration::from_secs(120)),
    };
    let permanent = FaultKind::Permanent;
    let belief = |kind, code, told: &str| Some((kind, code, told.to_owned()));
    match code {
        // "The client '…' with object id '…' does not have authorization to perform action '…' over
        // scope '…' or the scope is invalid." (Resource Manager). On a removal it is no sign that
        // nothing is there.
        NOT_AUTHORIZED | "LinkedAuthorizationFailed" | "InsufficientPermissions" => {
            belief(permanent, "azure_access_denied", TOLD_REFUSED)
        }

        // "The Role assignment already exists." (PIM, RBAC). Seen for two minutes after a removal
        // too. What there is was not made by this call.
        EXISTS => belief(soon, "azure_assignment_exists", TOLD_SLOT),

        // "There is already an existing pending Role assignment request." (PIM)
        "PendingRoleAssignmentRequest" => belief(soon, "azure_assignment_pending", TOLD_SLOT),

        // "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        // (RBAC): the name stands for another assignment, which was left as it is.
        "RoleAssignmentUpdateNotPermitted" => belief(permanent, "azure_name_taken", TOLD_REFUSED),

        // "The following policy rules failed: […]" (PIM)
        "RoleAssignmentRequestPolicyValidationFailed" => Some((
            permanent,
            "azure_policy_rule",
            format!(
                "the role's settings in PIM do not let the broker assign it; the platform team \
                 must change them: {}",
                rules(message)
            ),
        )),

        // An authentication context is demanded, which no workload can satisfy (PIM).
        "RoleAssignmentRequestAcrsValidationFailed" => {
            belief(permanent, "azure_policy_rule", TOLD_REFUSED)
        }

        // "The subject is not found." (PIM). "Principal … does not exist in the directory …"
        // (RBAC): "if you create a new service principal … and immediately try to assign a role …
        // replication delay".
        "SubjectNotFound" | "PrincipalNotFound" => {
            belief(retryable, "azure_slot_unknown", TOLD_SLOT)
        }

        // "The role is not found." (PIM). "The specified role definition with ID '…' does not
        // exist." (RBAC)
        "RoleNotFound" | "RoleDefinitionDoesNotExist" => {
            belief(permanent, "azure_no_such_role", TOLD_REFUSED)
        }

        // "The resource could not be found" and its relatives (Resource Manager).
        "ResourceNotFound"
        | "ResourceGroupNotFound"
        | "SubscriptionNotFound"
        | "ParentResourceNotFound" => belief(permanent, "azure_no_such_scope", TOLD_REFUSED),

        // "The resource is locked" (PIM). "The scope '…' cannot perform delete operation because
        // following scope(s) are locked" (Resource Manager).
        "ResourceIsLocked" | "ScopeLocked" => belief(permanent, "azure_scope_locked", TOLD_REFUSED),

        // "No more role assignments can be created." (RBAC): 4000 in a subscription, for good.
        "RoleAssignmentLimitExceeded" => {
            belief(permanent, "azure_too_many_assignments", TOLD_REFUSED)
        }

        // "The Active duration is too short. Miniumum Required is 5 minutes." (PIM)
        TOO_SHORT => belief(retryable, "azure_floor", TOLD_BUSY),

        // "The Role assignment does not exist." (PIM), which it also says of one that it does not
        // see yet.
        DOES_NOT_EXIST => belief(retryable, "azure_not_visible", TOLD_BUSY),

        // "The request content was invalid", "… the api-version … is invalid", "… condition …" and
        // their relatives. Nothing was done with it.
        "InvalidRequestContent"
        | "InvalidApiVersionParameter"
        | "MissingApiVersionParameter"
        | "InvalidCondition"
        | "InvalidConditionVersion"
        | "InvalidPolicy"
        | "InvalidResourceType"
        | "InvalidPrincipalId"
        | "InvalidRoleDefinitionId" => belief(permanent, "azure_request_invalid", TOLD_REFUSED),

        // "'…' is not permitted in user assigned deny assignments." (RBAC)
        "InvalidActionOrNotAction" => belief(permanent, "azure_not_deniable", TOLD_REFUSED),

        // "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance
        // license." (PIM)
        NO_LICENCE => belief(permanent, "azure_no_licence", TOLD_REFUSED),

        // "A role assignment request with Id: … already exists" in tenants that say no more than
        // that the request is bad. The same as above, by its text.
        "BadRequest" if message.contains("already exists") => {
            belief(soon, "azure_assignment_exists", TOLD_SLOT)
        }

        _ => None,
    }
}

/// Which of PIM's rules failed, and what to change. Only rules that we know are repeated: the
/// message is Azure's.
fn rules(message: &str) -> String {
    const KNOWN: [(&str, &str); 5] = [
        (
            "ExpirationRule",
            "`Expiration_Admin_Assignment` allows less time, or the lease is too short",
        ),
        (
            "JustificationRule",
            "`Enablement_Admin_Assignment` takes no such justification",
        ),
        (
            "MfaRule",
            "`Enablement_Admin_Assignment` demands `MultiFactorAuthentication`, which no broker has",
        ),
        (
            "TicketingRule",
            "`Enablement_Admin_Assignment` takes no such ticket",
        ),
        (
            "EligibilityRule",
            "only those who are eligible may have it, and a workload cannot be",
        ),
    ];
    let failed: Vec<String> = KNOWN
        .iter()
        .filter(|(rule, _)| message.contains(rule))
        .map(|(rule, change)| format!("`{rule}`: {change}"))
        .collect();
    if failed.is_empty() {
        "an unknown rule".to_owned()
    } else {
        failed.join("; ")
    }
}

/// How Entra's refusal of a login is to be understood. `codes` are its `AADSTS` numbers. No token
/// was handed out; what matters is whether asking again may help.
pub(crate) fn login(operation: &str, codes: &str, logged: &str) -> Fault {
    let retryable = FaultKind::Retryable { after: None };
    let is = |numbers: &[&str]| codes.split(',').any(|code| numbers.contains(&code.trim()));
    let (kind, code, told) = if is(&["70021", "700213", "700211", "700212"]) {
        // "No matching federated identity record found for presented assertion" (AADSTS70021,
        // 700213), which Entra also says for minutes after the record was made. 700211 and 700212
        // name the issuer or the audience that did not match.
        (retryable, "azure_no_federated_credential", TOLD_LOGIN)
    } else if is(&["50196", "90033", "90072", "50097"]) {
        // "A transient error has occurred. Please try again." (AADSTS90033); "The server
        // terminated an operation because it encountered a client request loop" (AADSTS50196).
        (retryable, "azure_login_transient", TOLD_BUSY)
    } else {
        // "Application with identifier '…' was not found in the directory" (AADSTS700016), "The
        // service principal … is disabled" (AADSTS7000112), "Client assertion failed signature
        // validation" (AADSTS700027), "Client assertion is not within its valid time range"
        // (AADSTS700024), and everything else that says no.
        (FaultKind::Permanent, "azure_login_refused", TOLD_LOGIN)
    };
    Fault {
        kind,
        code,
        told: told.to_owned(),
        logged: format!("{operation}: {}", printable(logged)),
    }
}

/// What the log says: Azure's code, message and request id, or what the connection said. Escaped
/// and cut: a log reader's terminal is no place for what a server sends.
pub(crate) fn described(error: &NoAnswer) -> String {
    let text = match error {
        NoAnswer::NeverSent(why) | NoAnswer::NoCredentials(why) | NoAnswer::Lost(why) => {
            why.clone()
        }
        NoAnswer::Refused(refusal) => {
            let code = refusal.code.as_deref().unwrap_or("-");
            let request = refusal.request.as_deref().unwrap_or("-");
            let (status, message) = (refusal.status, &refusal.message);
            format!("{status} {code}: {message} (request {request})")
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
mod tests;
