//! Which operation a call to Resource Manager is.

use http::Method;

use crate::azure::errors::ArmError;
use crate::azure::limits::Kind;
use crate::azure::scope::{self, Scope};
use crate::call::percent_decoded;

const AUTHORIZATION: &str = "/providers/microsoft.authorization/";

/// The operations there are, by the names of the OpenAPI documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    RoleAssignmentsCreate,
    RoleAssignmentsGet,
    RoleAssignmentsDelete,
    RoleAssignmentsList,
    RoleDefinitionsGet,
    RoleDefinitionsList,
    DenyAssignmentsCreate,
    DenyAssignmentsGet,
    DenyAssignmentsDelete,
    DenyAssignmentsList,
    ScheduleRequestsCreate,
    ScheduleRequestsGet,
    ScheduleRequestsList,
    ScheduleRequestsCancel,
    ScheduleRequestsValidate,
    SchedulesGet,
    SchedulesList,
    InstancesGet,
    InstancesList,
    PolicyAssignmentsGet,
    PolicyAssignmentsList,
    PoliciesGet,
    PoliciesList,
    PoliciesUpdate,
    TenantsList,
    SubscriptionsList,
    SubscriptionsGet,
    ResourceGroupsList,
    ResourceGroupsGet,
    ResourcesGet,
}

const RBAC: &[&str] = &["2022-04-01"];
const ROLES: &[&str] = &["2022-04-01", "2022-05-01-preview"];
const PIM: &[&str] = &["2020-10-01"];
const DENIES: &[&str] = &["2022-04-01", "2026-09-01"];
const WRITTEN_DENIES: &[&str] = &["2026-09-01"];
const PLACES: &[&str] = &[
    "2016-06-01",
    "2019-11-01",
    "2020-01-01",
    "2021-04-01",
    "2022-12-01",
];
const STORAGE: &[&str] = &["2023-01-01", "2023-05-01", "2024-01-01"];

impl Operation {
    /// As faults and the journal name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::RoleAssignmentsCreate => "RoleAssignments_Create",
            Operation::RoleAssignmentsGet => "RoleAssignments_Get",
            Operation::RoleAssignmentsDelete => "RoleAssignments_Delete",
            Operation::RoleAssignmentsList => "RoleAssignments_ListForScope",
            Operation::RoleDefinitionsGet => "RoleDefinitions_Get",
            Operation::RoleDefinitionsList => "RoleDefinitions_List",
            Operation::DenyAssignmentsCreate => "DenyAssignments_CreateOrUpdate",
            Operation::DenyAssignmentsGet => "DenyAssignments_Get",
            Operation::DenyAssignmentsDelete => "DenyAssignments_Delete",
            Operation::DenyAssignmentsList => "DenyAssignments_ListForScope",
            Operation::ScheduleRequestsCreate => "RoleAssignmentScheduleRequests_Create",
            Operation::ScheduleRequestsGet => "RoleAssignmentScheduleRequests_Get",
            Operation::ScheduleRequestsList => "RoleAssignmentScheduleRequests_ListForScope",
            Operation::ScheduleRequestsCancel => "RoleAssignmentScheduleRequests_Cancel",
            Operation::ScheduleRequestsValidate => "RoleAssignmentScheduleRequests_Validate",
            Operation::SchedulesGet => "RoleAssignmentSchedules_Get",
            Operation::SchedulesList => "RoleAssignmentSchedules_ListForScope",
            Operation::InstancesGet => "RoleAssignmentScheduleInstances_Get",
            Operation::InstancesList => "RoleAssignmentScheduleInstances_ListForScope",
            Operation::PolicyAssignmentsGet => "RoleManagementPolicyAssignments_Get",
            Operation::PolicyAssignmentsList => "RoleManagementPolicyAssignments_ListForScope",
            Operation::PoliciesGet => "RoleManagementPolicies_Get",
            Operation::PoliciesList => "RoleManagementPolicies_ListForScope",
            Operation::PoliciesUpdate => "RoleManagementPolicies_Update",
            Operation::TenantsList => "Tenants_List",
            Operation::SubscriptionsList => "Subscriptions_List",
            Operation::SubscriptionsGet => "Subscriptions_Get",
            Operation::ResourceGroupsList => "ResourceGroups_List",
            Operation::ResourceGroupsGet => "ResourceGroups_Get",
            Operation::ResourcesGet => "Resources_GetById",
        }
    }

    /// What it counts as for the rates.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Operation::RoleAssignmentsCreate
            | Operation::DenyAssignmentsCreate
            | Operation::ScheduleRequestsCreate
            | Operation::ScheduleRequestsCancel
            | Operation::ScheduleRequestsValidate
            | Operation::PoliciesUpdate => Kind::Write,
            Operation::RoleAssignmentsDelete | Operation::DenyAssignmentsDelete => Kind::Delete,
            _ => Kind::Read,
        }
    }

    /// The versions of the API that have it.
    pub(crate) fn versions(self) -> &'static [&'static str] {
        match self {
            Operation::RoleAssignmentsCreate
            | Operation::RoleAssignmentsGet
            | Operation::RoleAssignmentsDelete
            | Operation::RoleAssignmentsList => RBAC,
            Operation::RoleDefinitionsGet | Operation::RoleDefinitionsList => ROLES,
            Operation::DenyAssignmentsCreate | Operation::DenyAssignmentsDelete => WRITTEN_DENIES,
            Operation::DenyAssignmentsGet | Operation::DenyAssignmentsList => DENIES,
            Operation::TenantsList
            | Operation::SubscriptionsList
            | Operation::SubscriptionsGet
            | Operation::ResourceGroupsList
            | Operation::ResourceGroupsGet => PLACES,
            Operation::ResourcesGet => STORAGE,
            _ => PIM,
        }
    }
}

/// An operation, where, and on what.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) operation: Operation,
    pub(crate) scope: Scope,
    /// The thing's own name, when it is about one thing.
    pub(crate) name: Option<String>,
}

impl Route {
    /// Finds the operation of a path; `Err` says that there is none.
    pub(crate) fn of(method: &Method, path: &str) -> Result<Route, ArmError> {
        let path = percent_decoded(path);
        let route = match split_authorization(&path) {
            Some((scope, rest)) => authorization(method, scope, rest),
            None => place(method, &path),
        };
        route.ok_or_else(|| {
            ArmError::not_found(
                "InvalidResourceType",
                format!("There is no operation {method} on '{path}'."),
            )
        })
    }
}

/// The scope, and what follows the last `/providers/Microsoft.Authorization/`.
fn split_authorization(path: &str) -> Option<(&str, &str)> {
    // Lower case keeps the length of ASCII, and other paths are of no interest.
    let at = path
        .is_ascii()
        .then(|| path.to_lowercase().rfind(AUTHORIZATION))??;
    Some((path.get(..at)?, path.get(at + AUTHORIZATION.len()..)?))
}

fn authorization(method: &Method, scope: &str, rest: &str) -> Option<Route> {
    let scope = Scope::parse(scope)?;
    let segments: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
    let (kind, name, verb) = match segments.as_slice() {
        [kind] => (*kind, None, None),
        [kind, name] => (*kind, Some(*name), None),
        [kind, name, verb] => (*kind, Some(*name), Some(*verb)),
        _ => return None,
    };
    let verb = verb.map(str::to_lowercase);
    let operation = operation(
        method,
        &kind.to_lowercase(),
        name.is_some(),
        verb.as_deref(),
    )?;
    let name = name.map(str::to_owned);
    Some(Route {
        operation,
        scope,
        name,
    })
}

fn operation(method: &Method, kind: &str, named: bool, verb: Option<&str>) -> Option<Operation> {
    use Operation as Op;
    let operation = match (method.as_str(), kind, named, verb) {
        ("PUT", "roleassignments", true, None) => Op::RoleAssignmentsCreate,
        ("GET", "roleassignments", true, None) => Op::RoleAssignmentsGet,
        ("DELETE", "roleassignments", true, None) => Op::RoleAssignmentsDelete,
        ("GET", "roleassignments", false, None) => Op::RoleAssignmentsList,
        ("GET", "roledefinitions", true, None) => Op::RoleDefinitionsGet,
        ("GET", "roledefinitions", false, None) => Op::RoleDefinitionsList,
        ("PUT", "denyassignments", true, None) => Op::DenyAssignmentsCreate,
        ("GET", "denyassignments", true, None) => Op::DenyAssignmentsGet,
        ("DELETE", "denyassignments", true, None) => Op::DenyAssignmentsDelete,
        ("GET", "denyassignments", false, None) => Op::DenyAssignmentsList,
        ("PUT", "roleassignmentschedulerequests", true, None) => Op::ScheduleRequestsCreate,
        ("GET", "roleassignmentschedulerequests", true, None) => Op::ScheduleRequestsGet,
        ("GET", "roleassignmentschedulerequests", false, None) => Op::ScheduleRequestsList,
        ("POST", "roleassignmentschedulerequests", true, Some("cancel")) => {
            Op::ScheduleRequestsCancel
        }
        ("POST", "roleassignmentschedulerequests", true, Some("validate")) => {
            Op::ScheduleRequestsValidate
        }
        ("GET", "roleassignmentschedules", true, None) => Op::SchedulesGet,
        ("GET", "roleassignmentschedules", false, None) => Op::SchedulesList,
        ("GET", "roleassignmentscheduleinstances", true, None) => Op::InstancesGet,
        ("GET", "roleassignmentscheduleinstances", false, None) => Op::InstancesList,
        ("GET", "rolemanagementpolicyassignments", true, None) => Op::PolicyAssignmentsGet,
        ("GET", "rolemanagementpolicyassignments", false, None) => Op::PolicyAssignmentsList,
        ("GET", "rolemanagementpolicies", true, None) => Op::PoliciesGet,
        ("GET", "rolemanagementpolicies", false, None) => Op::PoliciesList,
        ("PATCH", "rolemanagementpolicies", true, None) => Op::PoliciesUpdate,
        _ => return None,
    };
    Some(operation)
}

/// Subscriptions, groups and resources themselves, which are only read here.
fn place(method: &Method, path: &str) -> Option<Route> {
    if method != Method::GET {
        return None;
    }
    let trimmed = path.trim_end_matches('/');
    let lower = trimmed.to_lowercase();
    let (operation, scope) = if lower == "/tenants" {
        (Operation::TenantsList, Scope::tenant())
    } else if lower == "/subscriptions" {
        (Operation::SubscriptionsList, Scope::tenant())
    } else if lower.ends_with("/resourcegroups") {
        let (subscription, _) = trimmed.rsplit_once('/')?;
        (Operation::ResourceGroupsList, Scope::parse(subscription)?)
    } else {
        let scope = Scope::parse(trimmed)?;
        let operation = match scope.kind() {
            scope::Kind::Subscription => Operation::SubscriptionsGet,
            scope::Kind::ResourceGroup => Operation::ResourceGroupsGet,
            scope::Kind::Resource => Operation::ResourcesGet,
            scope::Kind::Tenant | scope::Kind::ManagementGroup => return None,
        };
        (operation, scope)
    };
    Some(Route {
        operation,
        scope,
        name: None,
    })
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

    const GROUP: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/g";

    fn route(method: Method, rest: &str) -> Option<(Operation, String, Option<String>)> {
        let route = Route::of(&method, &format!("{GROUP}{rest}")).ok()?;
        Some((route.operation, route.scope.to_string(), route.name))
    }

    #[test]
    fn the_scope_ends_before_the_last_authorization_provider() {
        let (operation, scope, name) = route(
            Method::PUT,
            "/providers/microsoft.authorization/RoleAssignments/x",
        )
        .unwrap();
        assert_eq!(operation, Operation::RoleAssignmentsCreate);
        assert_eq!(scope, GROUP);
        assert_eq!(name.as_deref(), Some("x"));
        let cancel = route(
            Method::POST,
            "/providers/A.B/c/d/providers/Microsoft.Authorization/roleAssignmentScheduleRequests/x/cancel",
        );
        assert_eq!(cancel.unwrap().1, format!("{GROUP}/providers/A.B/c/d"));
    }

    #[test]
    fn what_is_not_an_operation_is_not_found() {
        assert!(
            route(
                Method::POST,
                "/providers/Microsoft.Authorization/roleAssignments/x"
            )
            .is_none()
        );
        assert!(
            route(
                Method::PUT,
                "/providers/Microsoft.Authorization/roleAssignments"
            )
            .is_none()
        );
        assert!(route(Method::GET, "/providers/Microsoft.Authorization/secrets").is_none());
        assert!(route(Method::PUT, "").is_none());
        assert!(Route::of(&Method::GET, "/elsewhere").is_err());
    }
}
