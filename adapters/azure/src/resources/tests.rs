//! Bodies with every field that Microsoft's documents name, and words that they do not: nothing that
//! is gone by is lost, and what is new to us is unknown and no failure.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::*;
use crate::arm::{Failed, List};
use crate::role::Definition;
use crate::scope::{role, shown};

const SUBSCRIPTION: &str = "/subscriptions/aaaaaaaa-0000-4000-8000-000000000001";
const ROLE: &str = "dddddddd-0000-4000-8000-000000000001";
const WHO: &str = "eeeeeeee-0000-4000-8000-000000000001";
const CONDITION: &str = "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] \
                         StringEquals 'artifacts'";
const AT: &str = "2026-09-09T21:35:27.91Z";

fn role_id() -> String {
    format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{ROLE}")
}

/// A resource as it is listed: its properties, with what all of PIM's have and these beside.
fn body(kind: &str, more: &Value) -> Value {
    let mut properties = json!({
        "scope": SUBSCRIPTION, "roleDefinitionId": role_id(), "principalId": WHO,
        "principalType": "ServicePrincipal", "condition": CONDITION, "conditionVersion": "2.0",
        "createdOn": AT,
        "expandedProperties": {
            "scope": { "id": SUBSCRIPTION, "displayName": "prod", "type": "subscription" },
            "roleDefinition": { "id": role_id(), "displayName": "Blob Writer", "type": "CustomRole" },
            "principal": { "id": WHO, "displayName": "slot", "email": null, "type": "ServicePrincipal" },
        },
    });
    for (name, value) in more.as_object().unwrap() {
        properties[name] = value.clone();
    }
    let name = "bbbbbbbb-0000-4000-8000-000000000001";
    json!({
        "properties": properties, "name": name, "type": format!("Microsoft.Authorization/{kind}"),
        "id": format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/{kind}/{name}"),
    })
}

fn read<P: serde::de::DeserializeOwned>(body: &Value) -> P {
    let list =
        json!({ "value": [body], "nextLink": "https://management.azure.com/x?$skiptoken=y" });
    let list: List<Resource<P>> = serde_json::from_value(list).unwrap();
    assert!(list.next.is_some());
    let found = list.value.into_iter().next().unwrap();
    assert_eq!(
        (&body["id"], &body["name"]),
        (&json!(found.id), &json!(found.name))
    );
    found.properties
}

fn assignment() -> Value {
    let mut body = body(
        "roleAssignments",
        &json!({
            "description": "jitney", "updatedOn": AT, "createdBy": WHO, "updatedBy": WHO,
            "delegatedManagedIdentityResourceId": null,
        }),
    );
    body["properties"]
        .as_object_mut()
        .unwrap()
        .remove("expandedProperties");
    body
}

fn request(status: &str) -> Value {
    body(
        "RoleAssignmentScheduleRequests",
        &json!({
            "targetRoleAssignmentScheduleId": ROLE, "targetRoleAssignmentScheduleInstanceId": null,
            "requestType": "AdminAssign", "status": status, "approvalId": null,
            "scheduleInfo": { "startDateTime": AT, "expiration": {
                "type": "AfterDuration", "endDateTime": null, "duration": "PT8H",
            } },
            "ticketInfo": { "ticketNumber": null, "ticketSystem": null },
            "linkedRoleEligibilityScheduleId": null, "justification": "jitney", "requestorId": WHO,
        }),
    )
}

fn instance() -> Value {
    body(
        "RoleAssignmentScheduleInstances",
        &json!({
            "roleAssignmentScheduleId": ROLE, "originRoleAssignmentId": "/x", "status": "Accepted",
            "startDateTime": AT, "endDateTime": AT, "linkedRoleEligibilityScheduleId": null,
            "linkedRoleEligibilityScheduleInstanceId": null, "assignmentType": "Assigned",
            "memberType": "Direct",
        }),
    )
}

#[test]
fn a_role_assignment_is_read_whole() {
    let found: Assignment = read(&assignment());
    assert_eq!(role(&found.role_definition_id).unwrap().to_string(), ROLE);
    assert_eq!(
        (found.principal_id.as_str(), found.scope.as_str()),
        (WHO, SUBSCRIPTION)
    );
    assert_eq!(found.description.as_deref(), Some("jitney"));
    assert_eq!(found.condition.as_deref(), Some(CONDITION));
}

#[test]
fn a_request_of_pim_is_read_whole() {
    let found: Request = read(&request("Provisioned"));
    assert_eq!(role(&found.role_definition_id).unwrap().to_string(), ROLE);
    assert_eq!(
        (found.principal_id.as_str(), found.scope.as_str()),
        (WHO, SUBSCRIPTION)
    );
    assert_eq!(
        (found.justification.as_deref(), found.gives()),
        (Some("jitney"), true)
    );
    assert!(time(found.created_on.as_deref()).is_some());
}

#[test]
fn an_active_assignment_of_pim_is_read_whole() {
    let found: Instance = read(&instance());
    assert_eq!(role(&found.role_definition_id).unwrap().to_string(), ROLE);
    assert_eq!(
        (found.principal_id.as_str(), found.scope.as_str()),
        (WHO, SUBSCRIPTION)
    );
    assert_eq!(found.origin_role_assignment_id.as_deref(), Some("/x"));
    assert_eq!(found.condition.as_deref(), Some(CONDITION));
    assert!(time(found.start_date_time.as_deref()).is_some());
}

#[test]
fn a_subscription_by_its_second_name_is_the_same_place() {
    // As PIM's documents show it.
    let second = format!("/providers/Microsoft.Subscription{SUBSCRIPTION}");
    for text in [
        second.clone(),
        second.to_ascii_lowercase(),
        SUBSCRIPTION.to_owned(),
    ] {
        assert_eq!(
            shown(&text).unwrap(),
            SUBSCRIPTION.parse().unwrap(),
            "{text}"
        );
    }
    for other in [
        "/providers/Microsoft.Subscription",
        "/",
        "/providers/Microsoft.Management/managementGroups/g",
    ] {
        assert!(shown(other).is_err(), "{other}");
    }
    // It is one name, and not the operator's to choose.
    assert!(second.parse::<crate::scope::Scope>().is_err());
}

#[test]
fn every_word_that_pim_has_for_a_status_is_one_of_three_things() {
    // The documents' whole list, and words that are in none.
    let done = ["Provisioned", "Revoked"];
    let never = [
        "Denied",
        "Canceled",
        "Failed",
        "AdminDenied",
        "TimedOut",
        "Invalid",
        "FailedAsResourceIsLocked",
    ];
    let open = [
        "Accepted",
        "PendingEvaluation",
        "Granted",
        "PendingProvisioning",
        "PendingRevocation",
        "PendingApproval",
        "ProvisioningStarted",
        "PendingApprovalProvisioning",
        "PendingExternalProvisioning",
        "PendingScheduleCreation",
        "ScheduleCreated",
        "AdminApproved",
        "PendingAdminDecision",
        "Teleported",
        "",
        "provisioned",
    ];
    let progress = |status: &str| read::<Request>(&request(status)).progress();
    assert!(done.iter().all(|status| progress(status) == Progress::Done));
    assert!(
        never
            .iter()
            .all(|status| progress(status) == Progress::Never)
    );
    assert!(open.iter().all(|status| progress(status) == Progress::Open));
}

#[test]
fn words_and_fields_that_are_new_to_us_are_no_failure() {
    let new = json!({
        "principalType": "AgentServicePrincipal", "memberType": "Quantum", "assignmentType": "Lent",
        "requestType": "AdminLend", "status": "Teleported", "colour": { "red": [1, null] },
    });
    for mut body in [assignment(), instance(), request("Granted")] {
        for (name, value) in new.as_object().unwrap() {
            body["properties"][name] = value.clone();
        }
        body["systemData"] = json!({ "createdByType": "Robot" });
        read::<Assignment>(&body);
        read::<Instance>(&body);
    }
    let mut body = request("Granted");
    body["properties"]["requestType"] = json!("AdminLend");
    assert!(!read::<Request>(&body).gives());
}

#[test]
fn a_role_definition_is_read_whole() {
    let permission = json!({
        "actions": ["a/read"], "notActions": [], "dataActions": ["b/write"], "notDataActions": ["c"],
        "condition": null, "conditionVersion": null,
    });
    let found: Definition = read(&body(
        "roleDefinitions",
        &json!({
            "roleName": "Blob Writer", "type": "CustomRole", "description": "writes",
            "assignableScopes": [SUBSCRIPTION], "permissions": [permission], "updatedOn": AT,
            "createdBy": WHO, "updatedBy": WHO,
        }),
    ));
    assert_eq!(found.role_name, "Blob Writer");
    assert_eq!(found.beyond(&[]), ["a/read", "b/write"]);
    assert!(found.lacks(&["b/write"]).is_empty());
}

#[test]
fn a_policys_rules_are_read_whole_of_whatever_kind_they_are() {
    let target = json!({
        "caller": "Admin", "operations": ["All"], "level": "Assignment", "targetObjects": null,
        "inheritableSettings": null, "enforcedSettings": null,
    });
    let rule = |id: &str, kind: &str, more: Value| {
        let mut rule = json!({ "id": id, "ruleType": kind, "target": target });
        for (name, value) in more.as_object().unwrap() {
            rule[name] = value.clone();
        }
        rule
    };
    let found: PolicyAssignment = read(&body(
        "roleManagementPolicyAssignments",
        &json!({
            "policyId": "/p",
            "policyAssignmentProperties": { "scope": {}, "roleDefinition": {}, "policy": {
                "id": "/p", "lastModifiedBy": { "displayName": "Admin" }, "lastModifiedDateTime": null,
            } },
            "effectiveRules": [
                rule("Expiration_Admin_Assignment", "RoleManagementPolicyExpirationRule",
                     json!({ "isExpirationRequired": true, "maximumDuration": "P90D" })),
                rule("Enablement_Admin_Assignment", "RoleManagementPolicyEnablementRule",
                     json!({ "enabledRules": ["Justification", "Telepathy"] })),
                rule("Notification_Admin_Admin_Assignment", "RoleManagementPolicyNotificationRule", json!({
                    "notificationType": "Email", "recipientType": "Admin", "notificationLevel": "Critical",
                    "isDefaultRecipientsEnabled": false, "notificationRecipients": ["a@b.example"],
                })),
                rule("Approval_EndUser_Assignment", "RoleManagementPolicyApprovalRule", json!({ "setting": {
                    "isApprovalRequired": true, "approvalMode": "SingleStage", "approvalStages": [],
                } })),
                rule("AuthenticationContext_EndUser_Assignment", "RoleManagementPolicyAuthenticationContextRule",
                     json!({ "isEnabled": false, "claimValue": "" })),
                rule("Telepathy_Admin", "RoleManagementPolicyTelepathyRule", json!({ "mind": true })),
            ],
        }),
    ));
    assert_eq!(role(&found.role_definition_id).unwrap().to_string(), ROLE);
    let ids: Vec<_> = found
        .effective_rules
        .iter()
        .map(|rule| rule.id.as_str())
        .collect();
    assert_eq!(ids.len(), 6);
    assert_eq!(
        found.effective_rules[0].maximum_duration.as_deref(),
        Some("P90D")
    );
    let enabled = found.effective_rules[1].enabled_rules.as_deref().unwrap();
    assert_eq!(enabled, ["Justification", "Telepathy"]);
}

#[test]
fn an_error_is_read_whole() {
    let body = json!({ "error": {
        "code": "RoleAssignmentExists", "message": "The Role assignment already exists.",
        "target": "x", "details": [{ "code": "Inner", "message": "m" }],
        "additionalInfo": [{ "type": "PolicyViolation", "info": {} }], "innererror": { "code": "y" },
    } });
    let found: Failed = serde_json::from_value(body).unwrap();
    assert_eq!(found.error.code.as_deref(), Some("RoleAssignmentExists"));
    assert_eq!(found.error.message, "The Role assignment already exists.");
}

/// The fields that the documents let anybody write, and no other: Azure drops what it does not know,
/// and says nothing.
#[test]
fn what_is_asked_for_is_written_in_the_documents_fields() {
    let asked = Asked {
        properties: NewRequest {
            principal_id: WHO.to_owned(),
            role_definition_id: role_id(),
            request_type: "AdminAssign",
            schedule_info: Some(Schedule {
                start_date_time: AT.to_owned(),
                expiration: Expiration {
                    kind: "AfterDuration",
                    duration: "PT8H".to_owned(),
                },
            }),
            justification: "jitney".to_owned(),
            ticket_info: Ticket {
                ticket_number: "1".to_owned(),
                ticket_system: "jitney",
            },
            condition: Some(CONDITION.to_owned()),
            condition_version: Some("2.0"),
        },
    };
    let expected = json!({ "properties": {
        "principalId": WHO, "roleDefinitionId": role_id(), "requestType": "AdminAssign",
        "scheduleInfo": { "startDateTime": AT, "expiration": {
            "type": "AfterDuration", "duration": "PT8H",
        } },
        "justification": "jitney", "ticketInfo": { "ticketNumber": "1", "ticketSystem": "jitney" },
        "condition": CONDITION, "conditionVersion": "2.0",
    } });
    assert_eq!(serde_json::to_value(&asked).unwrap(), expected);
    let asked = Asked {
        properties: NewAssignment {
            role_definition_id: role_id(),
            principal_id: WHO.to_owned(),
            principal_type: "ServicePrincipal",
            description: "jitney".to_owned(),
            condition: None,
            condition_version: None,
        },
    };
    let expected = json!({ "properties": {
        "roleDefinitionId": role_id(), "principalId": WHO, "principalType": "ServicePrincipal",
        "description": "jitney",
    } });
    assert_eq!(serde_json::to_value(&asked).unwrap(), expected);
}
