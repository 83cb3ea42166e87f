//! Deny assignments (2026-09-01): what nobody in them may do, whatever their roles.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::arm::Incoming;
use super::authority::Wish;
use super::body::{Fields, read_properties};
use super::book::later;
use super::errors::ArmError;
use super::estate::PrincipalType;
use super::rbac::guid_name;
use super::roles::Permission;
use super::scope::{Hierarchy, Scope};
use crate::call::Answer;

pub(crate) struct DenyAssignment {
    name: Uuid,
    scope: Scope,
    asked: Asked,
    created: Timestamp,
    created_by: Uuid,
    enforced_from: Timestamp,
    /// Since when no list shows it, and until when it is enforced.
    removed: Option<(Timestamp, Timestamp)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    deny_assignment_name: String,
    #[serde(default)]
    description: Option<String>,
    permissions: Vec<Permission>,
    principals: Vec<Named>,
    #[serde(default)]
    exclude_principals: Vec<Named>,
    #[serde(default)]
    do_not_apply_to_child_scopes: bool,
}

#[derive(Deserialize)]
struct Named {
    id: Uuid,
    #[serde(rename = "type")]
    kind: PrincipalType,
}

const PERMISSION: Fields = Fields::Only(&[
    ("actions", Fields::Any),
    ("notActions", Fields::Any),
    ("dataActions", Fields::Any),
    ("notDataActions", Fields::Any),
]);
const NAMED: Fields = Fields::Only(&[("id", Fields::Any), ("type", Fields::Any)]);
const WRITABLE: Fields = Fields::Only(&[
    ("denyAssignmentName", Fields::Any),
    ("description", Fields::Any),
    ("permissions", Fields::Each(&PERMISSION)),
    ("principals", Fields::Each(&NAMED)),
    ("excludePrincipals", Fields::Each(&NAMED)),
    ("doNotApplyToChildScopes", Fields::Any),
]);

impl DenyAssignment {
    pub(crate) fn forbids(
        &self,
        tree: &Hierarchy,
        principal: Uuid,
        wish: &Wish<'_>,
        now: Timestamp,
    ) -> bool {
        let is_enforced =
            self.enforced_from <= now && self.removed.is_none_or(|(_, until)| now < until);
        let reaches = if self.asked.do_not_apply_to_child_scopes {
            self.scope == *wish.scope
        } else {
            tree.covers(&self.scope, wish.scope)
        };
        let names = |list: &[Named]| list.iter().any(|named| named.id == principal);
        is_enforced
            && reaches
            && names(&self.asked.principals)
            && !names(&self.asked.exclude_principals)
            && self
                .asked
                .permissions
                .iter()
                .any(|permission| permission.allows(wish.operation))
    }

    /// Removed, and not even enforced any more.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.removed.is_some_and(|(_, until)| until <= now)
    }

    fn shown(&self) -> Value {
        let named = |list: &[Named]| -> Vec<Value> {
            list.iter()
                .map(|named| json!({ "id": named.id, "type": named.kind.name() }))
                .collect()
        };
        json!({
            "properties": {
                "denyAssignmentName": self.asked.deny_assignment_name,
                "description": self.asked.description,
                "permissions": self.asked.permissions,
                "principals": named(&self.asked.principals),
                "excludePrincipals": named(&self.asked.exclude_principals),
                "doNotApplyToChildScopes": self.asked.do_not_apply_to_child_scopes,
                "isSystemProtected": false,
                "scope": self.scope.to_string(),
                "createdOn": self.created.to_string(),
                "updatedOn": self.created.to_string(),
                "createdBy": self.created_by,
                "updatedBy": self.created_by,
            },
            "id": self.scope.authorization_id("denyAssignments", self.name),
            "type": "Microsoft.Authorization/denyAssignments",
            "name": self.name.to_string(),
        })
    }
}

/// `DenyAssignments_Create`
pub(super) fn create(incoming: &mut Incoming<'_>, name: &str) -> Result<Answer, ArmError> {
    let name = guid_name(name)?;
    let asked: Asked = read_properties(
        &incoming.call.body,
        incoming.settings.strict_bodies,
        &WRITABLE,
    )?;
    if asked.principals.is_empty() || asked.permissions.is_empty() {
        return Err(ArmError::content(
            "a deny assignment needs principals and permissions",
        ));
    }
    incoming.authorise("Microsoft.Authorization/denyAssignments/write")?;
    let deny = DenyAssignment {
        name,
        scope: incoming.scope.clone(),
        asked,
        created: incoming.now,
        created_by: incoming.caller.object_id,
        enforced_from: later(incoming.now, incoming.settings.effect_lag()),
        removed: None,
    };
    let shown = deny.shown();
    let is_new = incoming
        .world
        .denies
        .iter()
        .all(|known| known.name != name || known.removed.is_some());
    let (now, lag) = (incoming.now, incoming.settings.effect_lag());
    end(&mut incoming.world.denies, name, now, later(now, lag));
    incoming.world.denies.push(deny);
    Ok(Answer::json(if is_new { 201 } else { 200 }, &shown))
}

/// `DenyAssignments_Delete`
pub(super) fn delete(incoming: &mut Incoming<'_>, name: &str) -> Result<Answer, ArmError> {
    let name = guid_name(name)?;
    incoming.authorise("Microsoft.Authorization/denyAssignments/delete")?;
    let until = later(incoming.now, incoming.settings.effect_lag());
    Ok(
        match end(&mut incoming.world.denies, name, incoming.now, until) {
            Some(shown) => Answer::json(200, &shown),
            None => Answer::empty(204),
        },
    )
}

fn end(
    denies: &mut [DenyAssignment],
    name: Uuid,
    now: Timestamp,
    until: Timestamp,
) -> Option<Value> {
    let deny = denies
        .iter_mut()
        .find(|deny| deny.name == name && deny.removed.is_none())?;
    deny.removed = Some((now, until));
    Some(deny.shown())
}

/// `DenyAssignments_Get` and `DenyAssignments_ListForScope`
pub(super) fn read(incoming: &mut Incoming<'_>, name: Option<&str>) -> Result<Answer, ArmError> {
    incoming.authorise("Microsoft.Authorization/denyAssignments/read")?;
    let listed = incoming
        .world
        .denies
        .iter()
        .filter(|deny| deny.removed.is_none());
    let Some(name) = name else {
        let tree = &incoming.cloud.tenant.hierarchy;
        let scope = &incoming.scope;
        let near = |deny: &&DenyAssignment| {
            tree.covers(&deny.scope, scope) || tree.covers(scope, &deny.scope)
        };
        return incoming.page(listed.filter(near).map(DenyAssignment::shown).collect());
    };
    let name = guid_name(name)?;
    match listed.into_iter().find(|deny| deny.name == name) {
        Some(deny) => Ok(Answer::json(200, &deny.shown())),
        None => Err(ArmError::not_found(
            "DenyAssignmentNotFound",
            format!("The deny assignment '{name}' is not found."),
        )),
    }
}
