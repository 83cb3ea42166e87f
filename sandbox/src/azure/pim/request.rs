//! Schedule requests: what is asked, whether it may be, and what comes of it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::azure::arm::Incoming;
use crate::azure::body::{Fields, read_properties};
use crate::azure::book::{Tuple, later};
use crate::azure::conditions::Condition;
use crate::azure::errors::ArmError;
use crate::azure::estate::{EnabledRule, PrincipalType};
use crate::azure::rbac::{condition, required_guid};
use crate::azure::roles::role_in_id;
use crate::azure::settings::PimConditions;

use super::duration;

/// The least an active assignment lasts.
const SHORTEST: SignedDuration = SignedDuration::from_mins(5);

/// A name in a path, which must be a GUID.
pub(super) fn request_name(name: &str) -> Result<Uuid, ArmError> {
    name.parse().map_err(|_| {
        ArmError::bad_request(
            "InvalidRoleAssignmentScheduleRequestId",
            format!("The name '{name}' must be a GUID."),
        )
    })
}

pub(super) fn no_request(name: Uuid) -> ArmError {
    ArmError::not_found(
        "RoleAssignmentRequestNotFound",
        format!("The role assignment request '{name}' is not found."),
    )
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum RequestType {
    AdminAssign,
    AdminRemove,
    AdminUpdate,
    AdminExtend,
    AdminRenew,
    SelfActivate,
    SelfDeactivate,
    SelfExtend,
    SelfRenew,
}

/// How far a request has come; a few of the many words that Azure has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Status {
    Granted,
    PendingProvisioning,
    Provisioned,
    PendingRevocation,
    Revoked,
    Canceled,
}

/// A request that was taken.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) name: Uuid,
    pub(super) tuple: Tuple,
    pub(super) principal_type: PrincipalType,
    pub(super) kind: RequestType,
    pub(super) status: Status,
    pub(super) schedule_info: Option<ScheduleInfo>,
    pub(super) justification: Option<String>,
    pub(super) ticket: TicketInfo,
    pub(super) condition: Option<Condition>,
    pub(super) linked: Linked,
    pub(super) created: Timestamp,
    pub(super) requestor: Uuid,
    pub(super) schedule: Option<Uuid>,
}

/// What a request names beside: kept as it was written, since nothing is eligible here and an administrator's
/// request is found by what it is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Linked {
    pub(super) linked_role_eligibility_schedule_id: Option<String>,
    pub(super) target_role_assignment_schedule_id: Option<String>,
    pub(super) target_role_assignment_schedule_instance_id: Option<String>,
}

/// When an assignment begins and ends, as it was written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ScheduleInfo {
    start_date_time: Option<String>,
    expiration: Option<Expiration>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Expiration {
    #[serde(rename = "type")]
    kind: Option<String>,
    end_date_time: Option<String>,
    duration: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TicketInfo {
    ticket_number: Option<String>,
    ticket_system: Option<String>,
}

impl TicketInfo {
    fn is_given(&self) -> bool {
        let says =
            |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        says(&self.ticket_number) && says(&self.ticket_system)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    principal_id: Option<String>,
    role_definition_id: Option<String>,
    request_type: Option<RequestType>,
    schedule_info: Option<ScheduleInfo>,
    justification: Option<String>,
    ticket_info: Option<TicketInfo>,
    condition: Option<String>,
    condition_version: Option<String>,
    #[serde(flatten)]
    linked: Linked,
}

const WRITABLE: Fields = Fields::Only(&[
    ("principalId", Fields::Any),
    ("roleDefinitionId", Fields::Any),
    ("requestType", Fields::Any),
    (
        "scheduleInfo",
        Fields::Only(&[
            ("startDateTime", Fields::Any),
            (
                "expiration",
                Fields::Only(&[
                    ("type", Fields::Any),
                    ("endDateTime", Fields::Any),
                    ("duration", Fields::Any),
                ]),
            ),
        ]),
    ),
    ("linkedRoleEligibilityScheduleId", Fields::Any),
    ("justification", Fields::Any),
    (
        "ticketInfo",
        Fields::Only(&[("ticketNumber", Fields::Any), ("ticketSystem", Fields::Any)]),
    ),
    ("condition", Fields::Any),
    ("conditionVersion", Fields::Any),
    ("targetRoleAssignmentScheduleId", Fields::Any),
    ("targetRoleAssignmentScheduleInstanceId", Fields::Any),
]);

/// From when to when an assignment is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) begins: Timestamp,
    /// Never, when it is to be permanent.
    pub(super) ends: Option<Timestamp>,
}

/// A request that is well formed, whose caller may make it, and that no policy forbids. What the timeline says to
/// it is the next question.
pub(super) struct Lawful {
    pub(super) request: Request,
    pub(super) window: Window,
}

/// Reads and judges a request. Nothing is changed.
pub(super) fn judge(incoming: &Incoming<'_>, name: Uuid) -> Result<Lawful, ArmError> {
    let asked: Asked = read_properties(
        &incoming.call.body,
        incoming.settings.strict_bodies,
        &WRITABLE,
    )?;
    let kind = asked
        .request_type
        .ok_or_else(|| ArmError::content("`properties.requestType` is required"))?;
    let principal = required_guid("principalId", asked.principal_id.as_deref())?;
    let tuple = Tuple {
        scope: incoming.scope.clone(),
        role: known_role(incoming, asked.role_definition_id.as_deref())?,
        principal,
    };
    incoming.authorise("Microsoft.Authorization/roleAssignmentScheduleRequests/write")?;
    check_licence(incoming)?;
    let principal_type = incoming
        .cloud
        .tenant
        .principal(principal)
        .map(|known| known.kind)
        .ok_or_else(|| ArmError::bad_request("SubjectNotFound", "The subject is not found."))?;
    let window = window(asked.schedule_info.as_ref(), incoming.now)?;
    let ticket = asked.ticket_info.unwrap_or_default();
    let failed = failed_rules(
        incoming,
        kind,
        &tuple,
        window,
        asked.justification.as_deref(),
        &ticket,
    );
    if !failed.is_empty() {
        return Err(policy_failed(&failed));
    }
    let condition = kept_condition(
        incoming,
        tuple.role,
        asked.condition.as_deref(),
        asked.condition_version.as_deref(),
    )?;
    Ok(Lawful {
        window,
        request: Request {
            name,
            tuple,
            principal_type,
            kind,
            status: Status::Granted,
            schedule_info: asked.schedule_info,
            justification: asked.justification,
            ticket,
            condition,
            linked: asked.linked,
            created: incoming.now,
            requestor: incoming.caller.object_id,
            schedule: None,
        },
    })
}

/// What PIM keeps of a condition.
fn kept_condition(
    incoming: &Incoming<'_>,
    role: Uuid,
    text: Option<&str>,
    version: Option<&str>,
) -> Result<Option<Condition>, ArmError> {
    let condition = condition(incoming, role, text, version)?;
    match (incoming.settings.pim_conditions, &condition) {
        (PimConditions::Kept, _) | (_, None) => Ok(condition),
        (PimConditions::Dropped, Some(_)) => Ok(None),
        (PimConditions::Refused, Some(_)) => Err(ArmError::bad_request(
            "InvalidCondition",
            "The given role assignment condition is invalid. (the role takes none here)",
        )),
    }
}

fn known_role(incoming: &Incoming<'_>, id: Option<&str>) -> Result<Uuid, ArmError> {
    let id = id.ok_or_else(|| ArmError::content("`properties.roleDefinitionId` is required"))?;
    role_in_id(id)
        .filter(|role| incoming.cloud.tenant.roles.contains_key(role))
        .ok_or_else(|| {
            ArmError::bad_request("RoleNotFound", format!("The role '{id}' is not found."))
        })
}

/// PIM refuses everybody once the tenant's licence is gone.
pub(super) fn check_licence(incoming: &Incoming<'_>) -> Result<(), ArmError> {
    if !incoming.settings.licence_lapsed {
        return Ok(());
    }
    Err(ArmError::bad_request(
        "AadPremiumLicenseRequired",
        "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance license.",
    ))
}

fn policy_failed(rules: &[&str]) -> ArmError {
    let rules: Vec<String> = rules.iter().map(|rule| format!("\"{rule}\"")).collect();
    ArmError::bad_request(
        "RoleAssignmentRequestPolicyValidationFailed",
        format!("The following policy rules failed: [{}]", rules.join(",")),
    )
}

fn failed_rules(
    incoming: &Incoming<'_>,
    kind: RequestType,
    tuple: &Tuple,
    window: Window,
    justification: Option<&str>,
    ticket: &TicketInfo,
) -> Vec<&'static str> {
    match kind {
        // Only who is eligible activates, and no application is.
        RequestType::SelfActivate
        | RequestType::SelfDeactivate
        | RequestType::SelfExtend
        | RequestType::SelfRenew => return vec!["EligibilityRule"],
        // Policies are about what is given.
        RequestType::AdminRemove => return Vec::new(),
        RequestType::AdminAssign
        | RequestType::AdminUpdate
        | RequestType::AdminExtend
        | RequestType::AdminRenew => {}
    }
    let demands = incoming
        .world
        .pim
        .policies
        .demands(&tuple.scope, tuple.role);
    let mut failed = Vec::new();
    let is_of_lawful_length = match window.ends {
        None => !demands.expiration_required,
        Some(ends) => {
            let lasts = ends.duration_since(window.begins);
            SHORTEST <= lasts && lasts <= demands.maximum
        }
    };
    if !is_of_lawful_length {
        failed.push("ExpirationRule");
    }
    let requires = |rule| demands.required.contains(&rule);
    let says_why = justification.is_some_and(|text| !text.trim().is_empty());
    if requires(EnabledRule::Justification) && !says_why {
        failed.push("JustificationRule");
    }
    if requires(EnabledRule::MultiFactorAuthentication) && !incoming.settings.mfa_spares_apps {
        failed.push("MfaRule");
    }
    if requires(EnabledRule::Ticketing) && !ticket.is_given() {
        failed.push("TicketingRule");
    }
    failed
}

/// A start in the past, or none, is now.
fn window(info: Option<&ScheduleInfo>, now: Timestamp) -> Result<Window, ArmError> {
    let info = info.cloned().unwrap_or_default();
    let invalid =
        |what: &str| ArmError::bad_request("InvalidScheduleInfo", format!("{what} is not valid."));
    let begins = match info.start_date_time {
        None => now,
        Some(text) => {
            let start: Timestamp = text
                .parse()
                .map_err(|_| invalid(&format!("The start '{text}'")))?;
            start.max(now)
        }
    };
    let expiration = info.expiration.unwrap_or_default();
    let ends = match (
        expiration.kind.as_deref(),
        expiration.duration,
        expiration.end_date_time,
    ) {
        (None | Some("NoExpiration"), None, None) => None,
        (Some("AfterDuration"), Some(text), None) => {
            let duration =
                duration::read(&text).ok_or_else(|| invalid(&format!("The duration '{text}'")))?;
            Some(later(begins, duration))
        }
        (Some("AfterDateTime"), None, Some(text)) => {
            let end = text
                .parse()
                .map_err(|_| invalid(&format!("The end '{text}'")))?;
            Some(end)
        }
        _ => return Err(invalid("The expiration")),
    };
    Ok(Window { begins, ends })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn read(info: serde_json::Value) -> Result<Window, ArmError> {
        let info: ScheduleInfo = serde_json::from_value(info).unwrap();
        window(Some(&info), at(1_000))
    }

    #[test]
    fn an_assignment_ends_after_a_duration_or_at_a_time_or_never() {
        let after = json!({ "startDateTime": null, "expiration": { "type": "AfterDuration", "duration": "PT15M" } });
        assert_eq!(
            read(after).unwrap(),
            Window {
                begins: at(1_000),
                ends: Some(at(1_900))
            }
        );
        let until = json!({ "expiration": { "type": "AfterDateTime", "endDateTime": "1970-01-01T01:00:00Z" } });
        assert_eq!(read(until).unwrap().ends, Some(at(3_600)));
        let never = json!({ "expiration": { "type": "NoExpiration", "duration": null } });
        assert_eq!(read(never).unwrap().ends, None);
    }

    #[test]
    fn a_start_in_the_past_is_now() {
        let past = read(json!({ "startDateTime": "1970-01-01T00:00:01Z" })).unwrap();
        assert_eq!(past.begins, at(1_000));
        let future = read(json!({ "startDateTime": "1970-01-01T00:20:00Z" })).unwrap();
        assert_eq!(future.begins, at(1_200));
    }

    #[test]
    fn what_is_half_said_is_refused() {
        for info in [
            json!({ "expiration": { "type": "AfterDuration" } }),
            json!({ "expiration": { "type": "AfterDuration", "duration": "15 minutes" } }),
            json!({ "expiration": { "type": "AfterDuration", "duration": "PT5M", "endDateTime": "1970-01-01T01:00:00Z" } }),
            json!({ "expiration": { "type": "AfterDateTime", "endDateTime": "tomorrow" } }),
            json!({ "expiration": { "type": "Sometime" } }),
            json!({ "startDateTime": "now" }),
        ] {
            assert!(read(info.clone()).is_err(), "{info}");
        }
    }
}
