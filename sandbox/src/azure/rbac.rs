//! Role assignments (2022-04-01): put, get, list, delete.
//!
//! No expiry and no floor: what is put stays until it is deleted. Rights follow after the effect lag.

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::call::Answer;

use super::arm::Incoming;
use super::body::{Fields, read_properties};
use super::book::{EndedBy, Grant, Origin, Tuple, later};
use super::conditions::{Attribute, Condition};
use super::errors::ArmError;
use super::estate::PrincipalType;
use super::filters::{Filter, Seen};
use super::roles::{role_id, role_in_id};
use super::scope::Scope;
use super::settings::PimDeletion;

const WRITABLE: Fields = Fields::Only(&[
    ("roleDefinitionId", Fields::Any),
    ("principalId", Fields::Any),
    ("principalType", Fields::Any),
    ("description", Fields::Any),
    ("condition", Fields::Any),
    ("conditionVersion", Fields::Any),
    ("delegatedManagedIdentityResourceId", Fields::Any),
]);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    role_definition_id: Option<String>,
    principal_id: Option<String>,
    principal_type: Option<PrincipalType>,
    description: Option<String>,
    condition: Option<String>,
    condition_version: Option<String>,
    delegated_managed_identity_resource_id: Option<String>,
}

/// A name in a path, which must be a GUID.
pub(super) fn guid_name(name: &str) -> Result<Uuid, ArmError> {
    name.parse().map_err(|_| {
        ArmError::bad_request(
            "InvalidRoleAssignmentId",
            format!("The name '{name}' is not valid. The name must be a GUID."),
        )
    })
}

/// `RoleAssignments_Create`, by scope and by id.
pub(super) fn create(incoming: &mut Incoming<'_>, name: &str) -> Result<Answer, ArmError> {
    let name = guid_name(name)?;
    let asked: Asked = read_properties(
        &incoming.call.body,
        incoming.settings.strict_bodies,
        &WRITABLE,
    )?;
    let tuple = Tuple {
        scope: incoming.scope.clone(),
        role: known_role(incoming, asked.role_definition_id.as_deref())?,
        principal: required_guid("principalId", asked.principal_id.as_deref())?,
    };
    let principal_type = principal_type(incoming, tuple.principal, asked.principal_type)?;
    let attributes = vec![
        (Attribute::NewRole, tuple.role.to_string()),
        (Attribute::NewPrincipal, tuple.principal.to_string()),
        (
            Attribute::NewPrincipalType,
            principal_type.name().to_owned(),
        ),
    ];
    incoming.authorise_with("Microsoft.Authorization/roleAssignments/write", attributes)?;
    let condition = condition(
        incoming,
        tuple.role,
        asked.condition.as_deref(),
        asked.condition_version.as_deref(),
    )?;
    let present = incoming.world.book.named(name).cloned();
    check_room(incoming, &tuple, present.as_ref())?;
    let grant = Grant {
        name,
        principal_type,
        description: asked.description,
        delegated_identity: asked.delegated_managed_identity_resource_id,
        condition,
        origin: Origin::Rbac,
        created: present.as_ref().map_or(incoming.now, |grant| grant.created),
        created_by: present
            .as_ref()
            .map_or(Some(incoming.caller.object_id), |grant| grant.created_by),
        written: incoming.now,
        enforced_from: later(incoming.now, incoming.settings.effect_lag()),
        end: None,
        tuple,
    };
    let Some(present) = present else {
        let answer = Answer::json(201, &shown(&grant));
        incoming.world.book.write(grant);
        return Ok(answer);
    };
    // The same again changes nothing, not even when it begins to be enforced.
    if present.condition == grant.condition && present.description == grant.description {
        return Ok(Answer::json(200, &shown(&present)));
    }
    let answer = Answer::json(200, &shown(&grant));
    let lag = incoming.settings.effect_lag();
    let book = &mut incoming.world.book;
    book.end(name, incoming.now, lag, EndedBy::Change);
    book.write(grant);
    Ok(answer)
}

/// The name and the tuple must be free, or both be those of the same assignment.
fn check_room(
    incoming: &Incoming<'_>,
    tuple: &Tuple,
    present: Option<&Grant>,
) -> Result<(), ArmError> {
    if let Some(present) = present {
        if present.tuple == *tuple {
            return Ok(());
        }
        return Err(ArmError::new(
            409,
            "RoleAssignmentUpdateNotPermitted",
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
        ));
    }
    if let Some(other) = incoming.world.book.of_tuple(tuple) {
        return Err(ArmError::new(
            409,
            "RoleAssignmentExists",
            format!(
                "The role assignment already exists. The ID of the existing role assignment is {}.",
                other.name.simple()
            ),
        ));
    }
    let most = incoming.cloud.estate.role_assignments_max;
    match tuple.scope.subscription_id() {
        Some(subscription) if incoming.world.book.count_in(subscription) >= most => {
            Err(ArmError::bad_request(
                "RoleAssignmentLimitExceeded",
                format!(
                    "The maximum of {most} role assignments for the subscription has been exceeded."
                ),
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn required_guid(field: &str, text: Option<&str>) -> Result<Uuid, ArmError> {
    let text =
        text.ok_or_else(|| ArmError::content(format!("`properties.{field}` is required")))?;
    text.parse()
        .map_err(|_| ArmError::content(format!("`properties.{field}` is no GUID: `{text}`")))
}

fn known_role(incoming: &Incoming<'_>, id: Option<&str>) -> Result<Uuid, ArmError> {
    let id = id.ok_or_else(|| ArmError::content("`properties.roleDefinitionId` is required"))?;
    let role = role_in_id(id).ok_or_else(|| {
        ArmError::bad_request(
            "InvalidRoleDefinitionId",
            format!("The role definition ID '{id}' is not valid."),
        )
    })?;
    if incoming.cloud.tenant.roles.contains_key(&role) {
        return Ok(role);
    }
    Err(ArmError::not_found(
        "RoleDefinitionDoesNotExist",
        format!(
            "The specified role definition with ID '{}' does not exist.",
            role.simple()
        ),
    ))
}

/// A principal that the directory does not know may only be named together with its type: it may be too new.
fn principal_type(
    incoming: &Incoming<'_>,
    principal: Uuid,
    asked: Option<PrincipalType>,
) -> Result<PrincipalType, ArmError> {
    match (incoming.cloud.tenant.principal(principal), asked) {
        (Some(known), Some(asked)) if known.kind != asked => Err(ArmError::bad_request(
            "UnmatchedPrincipalType",
            format!(
                "The PrincipalId '{}' has type '{}', which is different from specified PrinciaplType '{}'.",
                principal.simple(),
                known.kind.name(),
                asked.name()
            ),
        )),
        (Some(known), _) => Ok(known.kind),
        (None, Some(asked)) => Ok(asked),
        (None, None) => Err(ArmError::bad_request(
            "PrincipalNotFound",
            format!(
                "Principal {} does not exist in the directory {}.",
                principal.simple(),
                incoming.cloud.tenant.id
            ),
        )),
    }
}

/// A condition that is understood, on a role that conditions are for.
pub(super) fn condition(
    incoming: &Incoming<'_>,
    role: Uuid,
    text: Option<&str>,
    version: Option<&str>,
) -> Result<Option<Condition>, ArmError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let respaced = incoming.settings.conditions_respaced;
    let spaced = respaced.then(|| format!("\n{text}\n"));
    let condition = Condition::read(spaced.as_deref().unwrap_or(text), version)?;
    match incoming.cloud.tenant.roles.get(&role) {
        Some(role) if role.may_be_conditioned() => Ok(Some(condition)),
        _ => Err(ArmError::bad_request(
            "InvalidCondition",
            "The given role assignment condition is invalid. (the role has no action that a condition may limit)",
        )),
    }
}

/// `RoleAssignments_Get`, by scope and by id.
pub(super) fn get(incoming: &mut Incoming<'_>, name: &str) -> Result<Answer, ArmError> {
    let name = guid_name(name)?;
    incoming.authorise("Microsoft.Authorization/roleAssignments/read")?;
    let found = incoming
        .world
        .book
        .named(name)
        .filter(|grant| grant.tuple.scope == incoming.scope);
    let found = found.ok_or_else(|| {
        ArmError::not_found(
            "RoleAssignmentNotFound",
            format!("The role assignment '{name}' is not found."),
        )
    })?;
    Ok(Answer::json(200, &shown(found)))
}

/// `RoleAssignments_ListForScope`
pub(super) fn list(incoming: &mut Incoming<'_>) -> Result<Answer, ArmError> {
    let filter = Filter::of(incoming)?;
    incoming.authorise("Microsoft.Authorization/roleAssignments/read")?;
    let is_shown = |grant: &&Grant| {
        let seen = Seen {
            scope: &grant.tuple.scope,
            principal: grant.tuple.principal,
            role: grant.tuple.role,
            requestor: None,
        };
        filter.shows(incoming, &seen)
    };
    let all = incoming
        .world
        .book
        .listed()
        .filter(is_shown)
        .map(shown)
        .collect();
    incoming.page(all)
}

/// `RoleAssignments_Delete`, by scope and by id. What is not there is answered with 204.
///
/// Whether Azure lets go of an assignment that PIM made is not known: [`PimDeletion`] says what happens here.
pub(super) fn delete(incoming: &mut Incoming<'_>, name: &str) -> Result<Answer, ArmError> {
    let name = guid_name(name)?;
    let found = incoming
        .world
        .book
        .named(name)
        .filter(|grant| grant.tuple.scope == incoming.scope)
        .cloned();
    let attributes = found.as_ref().map_or_else(Vec::new, |grant| {
        vec![
            (Attribute::PresentRole, grant.tuple.role.to_string()),
            (
                Attribute::PresentPrincipal,
                grant.tuple.principal.to_string(),
            ),
            (
                Attribute::PresentPrincipalType,
                grant.principal_type.name().to_owned(),
            ),
        ]
    });
    let action = "Microsoft.Authorization/roleAssignments/delete";
    let Some(grant) = found else {
        // Conditions are about an assignment; whoever may delete some learns that this one is not there.
        incoming.authorise("Microsoft.Authorization/roleAssignments/read")?;
        return Ok(Answer::empty(204));
    };
    incoming.authorise_with(action, attributes)?;
    let by_pim = grant.origin == Origin::Pim;
    let deletion = incoming.settings.pim_deletion;
    if by_pim && deletion == PimDeletion::Refused {
        return Err(ArmError::bad_request(
            "RoleAssignmentManagedByPim",
            "The role assignment is managed by Privileged Identity Management and cannot be deleted.",
        ));
    }
    let lag = incoming.settings.effect_lag();
    incoming
        .world
        .book
        .end(name, incoming.now, lag, EndedBy::Removal);
    if !by_pim || deletion == PimDeletion::Taken {
        incoming.world.pim.lost(&grant.tuple);
    }
    Ok(Answer::json(200, &shown(&grant)))
}

fn shown(grant: &Grant) -> Value {
    let scope = &grant.tuple.scope;
    json!({
        "properties": {
            "roleDefinitionId": role_definition_id(scope, grant.tuple.role),
            "principalId": grant.tuple.principal,
            "principalType": grant.principal_type.name(),
            "scope": scope.to_string(),
            "description": grant.description,
            "condition": grant.condition.as_ref().map(|condition| &condition.text),
            "conditionVersion": grant.condition.as_ref().map(|_| super::conditions::VERSION),
            "createdOn": grant.created.to_string(),
            "updatedOn": grant.written.to_string(),
            "createdBy": grant.created_by,
            "updatedBy": grant.created_by,
            "delegatedManagedIdentityResourceId": grant.delegated_identity,
        },
        "id": scope.authorization_id("roleAssignments", grant.name),
        "type": "Microsoft.Authorization/roleAssignments",
        "name": grant.name.to_string(),
    })
}

/// A role's id as an answer at this scope has it.
pub(super) fn role_definition_id(scope: &Scope, role: Uuid) -> String {
    match scope.subscription_id() {
        Some(subscription) => role_id(subscription, role),
        None => format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"),
    }
}
