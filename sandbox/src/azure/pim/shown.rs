//! Requests, schedules and instances as the REST API shows them.

use serde_json::{Value, json};

use crate::azure::book::Tuple;
use crate::azure::conditions;
use crate::azure::rbac::role_definition_id;
use crate::azure::tenant::Tenant;

use super::policy::expanded_scope;
use super::request::Request;
use super::timeline::Schedule;

pub(super) fn request(tenant: &Tenant, request: &Request) -> Value {
    let (scope, linked) = (&request.tuple.scope, &request.linked);
    // What came of it, or else what it was written to be about.
    let schedule = request.schedule.map(|id| id.to_string());
    let schedule = schedule.or_else(|| linked.target_role_assignment_schedule_id.clone());
    json!({
        "properties": {
            "targetRoleAssignmentScheduleId": schedule,
            "targetRoleAssignmentScheduleInstanceId": linked.target_role_assignment_schedule_instance_id,
            "scope": scope.to_string(),
            "roleDefinitionId": role_definition_id(scope, request.tuple.role),
            "principalId": request.tuple.principal,
            "principalType": request.principal_type.name(),
            "requestType": request.kind,
            "status": request.status,
            "approvalId": null,
            "scheduleInfo": request.schedule_info,
            "ticketInfo": request.ticket,
            "justification": request.justification,
            "requestorId": request.requestor,
            "createdOn": request.created.to_string(),
            "condition": request.condition.as_ref().map(|condition| &condition.text),
            "conditionVersion": request.condition.as_ref().map(|_| conditions::VERSION),
            "linkedRoleEligibilityScheduleId": linked.linked_role_eligibility_schedule_id,
            "expandedProperties": expanded(tenant, &request.tuple),
        },
        "name": request.name.to_string(),
        "id": scope.authorization_id("RoleAssignmentScheduleRequests", request.name),
        "type": "Microsoft.Authorization/RoleAssignmentScheduleRequests",
    })
}

pub(super) fn schedule(tenant: &Tenant, tuple: &Tuple, schedule: &Schedule) -> Value {
    let mut properties = common(tenant, tuple, schedule);
    let request = tuple
        .scope
        .authorization_id("RoleAssignmentScheduleRequests", schedule.request);
    extend(
        &mut properties,
        json!({
            "status": "Provisioned",
            "roleAssignmentScheduleRequestId": request,
            "updatedOn": schedule.updated.to_string(),
        }),
    );
    json!({
        "properties": properties,
        "name": schedule.id.to_string(),
        "id": tuple.scope.authorization_id("RoleAssignmentSchedules", schedule.id),
        "type": "Microsoft.Authorization/RoleAssignmentSchedules",
    })
}

pub(super) fn instance(tenant: &Tenant, tuple: &Tuple, schedule: &Schedule) -> Value {
    let mut properties = common(tenant, tuple, schedule);
    extend(
        &mut properties,
        json!({
            "status": "Accepted",
            "originRoleAssignmentId": tuple.scope.authorization_id("roleAssignments", schedule.assignment),
            "roleAssignmentScheduleId": tuple.scope.authorization_id("RoleAssignmentSchedules", schedule.id),
            "linkedRoleEligibilityScheduleInstanceId": null,
        }),
    );
    json!({
        "properties": properties,
        "name": schedule.assignment.to_string(),
        "id": tuple.scope.authorization_id("RoleAssignmentScheduleInstances", schedule.assignment),
        "type": "Microsoft.Authorization/RoleAssignmentScheduleInstances",
    })
}

fn common(tenant: &Tenant, tuple: &Tuple, schedule: &Schedule) -> Value {
    json!({
        "scope": tuple.scope.to_string(),
        "roleDefinitionId": role_definition_id(&tuple.scope, tuple.role),
        "principalId": tuple.principal,
        "principalType": schedule.principal_type.name(),
        "linkedRoleEligibilityScheduleId": null,
        "assignmentType": "Assigned",
        "memberType": "Direct",
        "startDateTime": schedule.begins.to_string(),
        "endDateTime": schedule.ends.map(|ends| ends.to_string()),
        "createdOn": schedule.created.to_string(),
        "condition": schedule.condition.as_ref().map(|condition| &condition.text),
        "conditionVersion": schedule.condition.as_ref().map(|_| conditions::VERSION),
        "expandedProperties": expanded(tenant, tuple),
    })
}

fn extend(properties: &mut Value, more: Value) {
    if let (Some(members), Value::Object(more)) = (properties.as_object_mut(), more) {
        members.extend(more);
    }
}

fn expanded(tenant: &Tenant, tuple: &Tuple) -> Value {
    let role = tenant.roles.get(&tuple.role);
    let principal = tenant.principal(tuple.principal);
    json!({
        "scope": expanded_scope(tenant, &tuple.scope),
        "roleDefinition": {
            "id": role_definition_id(&tuple.scope, tuple.role),
            "displayName": role.map(|role| role.name.as_str()),
            "type": role.map(|role| if role.custom { "CustomRole" } else { "BuiltInRole" }),
        },
        "principal": {
            "id": tuple.principal,
            "displayName": principal.map(|principal| principal.name.as_str()),
            "email": null,
            "type": principal.map(|principal| principal.kind.name()),
        },
    })
}
