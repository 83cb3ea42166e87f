//! Deny assignments (2026-09-01): what one principal may not do, whatever its roles.
//!
//! What a caller may write is what Microsoft's own clients say of "user-assigned" ones: one user or service
//! principal, no group; actions that write, delete or act, and none that read; no data actions, unless
//! [`Settings::deny_data_actions`](super::Settings); child scopes always; nothing that would keep a deny
//! assignment from being taken away. Denials of everyone are not here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::arm::Incoming;
use super::authority::Wish;
use super::body::{Fields, read_properties};
use super::book::later;
use super::errors::ArmError;
use super::estate::PrincipalType;
use super::filters::{Filter, Seen};
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
    exclude_principals: Option<Vec<Named>>,
    #[serde(default)]
    do_not_apply_to_child_scopes: bool,
    #[serde(default)]
    deny_assignment_effect: Effect,
}

/// Whether it stops anybody or is only written down.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Effect {
    #[default]
    Enforced,
    Audit,
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
    ("denyAssignmentEffect", Fields::Any),
]);

/// Nobody may keep others from taking a deny assignment away.
const NEVER_DENIED: [&str; 2] = [
    "microsoft.authorization/denyassignments/write",
    "microsoft.authorization/denyassignments/delete",
];

impl Asked {
    fn check(&self, takes_data: bool) -> Result<(), ArmError> {
        let content = |why: &str| Err(ArmError::content(why));
        match self.principals.as_slice() {
            [one]
                if matches!(
                    one.kind,
                    PrincipalType::User | PrincipalType::ServicePrincipal
                ) => {}
            [_] => return content("a deny assignment is about a user or a service principal"),
            _ => return content("a deny assignment is about one principal"),
        }
        if self.exclude_principals.as_ref().is_some_and(Vec::is_empty) {
            return content("`properties.excludePrincipals` is empty");
        }
        if self.do_not_apply_to_child_scopes {
            return content("`properties.doNotApplyToChildScopes` is not supported");
        }
        let denied = |list: fn(&Permission) -> &Vec<String>| self.permissions.iter().flat_map(list);
        let mut data = denied(|it| &it.data_actions).chain(denied(|it| &it.not_data_actions));
        if data.next().is_some() && !takes_data {
            return Err(not_deniable("data actions are not supported"));
        }
        let mut control = denied(|it| &it.actions).chain(denied(|it| &it.not_actions));
        match control.find(|action| !is_deniable(action)) {
            Some(action) => Err(not_deniable(&format!("'{action}' is not permitted"))),
            None if self.permissions.iter().all(Permission::is_empty) => {
                content("a deny assignment needs permissions")
            }
            None => Ok(()),
        }
    }

    fn exclude_principals(&self) -> &[Named] {
        self.exclude_principals.as_deref().unwrap_or_default()
    }
}

/// Whether an action is one that a caller may deny: not one that reads, nor all of them.
fn is_deniable(action: &str) -> bool {
    let action = action.to_lowercase();
    let verb = action.rsplit('/').next().unwrap_or_default();
    !matches!(verb, "read" | "*") && !NEVER_DENIED.contains(&action.as_str())
}

fn not_deniable(why: &str) -> ArmError {
    ArmError::bad_request(
        "InvalidActionOrNotAction",
        format!("{why} in user assigned deny assignments."),
    )
}

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
        let reaches = tree.covers(&self.scope, wish.scope);
        let names = |list: &[Named]| list.iter().any(|named| named.id == principal);
        is_enforced
            && self.asked.deny_assignment_effect == Effect::Enforced
            && reaches
            && names(&self.asked.principals)
            && !names(self.asked.exclude_principals())
            && self
                .asked
                .permissions
                .iter()
                .any(|permission| permission.allows(wish.operation))
    }

    /// Whether a list shows it.
    fn is_listed(&self) -> bool {
        self.removed.is_none()
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
                "excludePrincipals": named(self.asked.exclude_principals()),
                "doNotApplyToChildScopes": self.asked.do_not_apply_to_child_scopes,
                "denyAssignmentEffect": self.asked.deny_assignment_effect,
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

/// `DenyAssignments_CreateOrUpdate`
pub(super) fn create(incoming: &mut Incoming<'_>, name: &str) -> Result<Answer, ArmError> {
    let name = guid_name(name)?;
    let asked: Asked = read_properties(
        &incoming.call.body,
        incoming.settings.strict_bodies,
        &WRITABLE,
    )?;
    incoming.authorise("Microsoft.Authorization/denyAssignments/write")?;
    asked.check(incoming.settings.deny_data_actions)?;
    let scope = incoming.scope.clone();
    let is_taken = incoming.world.denies.iter().any(|other| {
        let is_other = other.is_listed() && other.scope == scope && other.name != name;
        is_other && other.asked.deny_assignment_name == asked.deny_assignment_name
    });
    if is_taken {
        let told = "a deny assignment of this display name is there at the scope";
        return Err(ArmError::new(409, "DenyAssignmentNameExists", told));
    }
    let (now, lag) = (incoming.now, incoming.settings.effect_lag());
    let deny = DenyAssignment {
        name,
        scope,
        asked,
        created: now,
        created_by: incoming.caller.object_id,
        enforced_from: later(now, lag),
        removed: None,
    };
    let shown = deny.shown();
    let was_there = end(incoming, name, later(now, lag));
    incoming.world.denies.push(deny);
    Ok(Answer::json(if was_there { 200 } else { 201 }, &shown))
}

/// `DenyAssignments_Delete`
pub(super) fn delete(incoming: &mut Incoming<'_>, name: &str) -> Result<Answer, ArmError> {
    let name = guid_name(name)?;
    incoming.authorise("Microsoft.Authorization/denyAssignments/delete")?;
    let until = later(incoming.now, incoming.settings.effect_lag());
    let was_there = end(incoming, name, until);
    Ok(Answer::empty(if was_there { 200 } else { 204 }))
}

/// Takes the one of this name and scope out of the lists. Whether it was there.
fn end(incoming: &mut Incoming<'_>, name: Uuid, until: Timestamp) -> bool {
    let (now, scope) = (incoming.now, &incoming.scope);
    let mut denies = incoming.world.denies.iter_mut();
    let found = denies.find(|deny| deny.is_listed() && deny.name == name && deny.scope == *scope);
    match found {
        Some(deny) => {
            deny.removed = Some((now, until));
            true
        }
        None => false,
    }
}

/// `DenyAssignments_Get` and `DenyAssignments_ListForScope`
pub(super) fn read(incoming: &mut Incoming<'_>, name: Option<&str>) -> Result<Answer, ArmError> {
    let filter = Filter::of(incoming)?;
    incoming.authorise("Microsoft.Authorization/denyAssignments/read")?;
    let denies = incoming.world.denies.iter();
    let mut listed = denies.filter(|deny| deny.is_listed());
    let Some(name) = name else {
        let is_shown = |deny: &&DenyAssignment| {
            let about = deny.asked.principals.iter();
            about.map(|named| named.id).any(|principal| {
                let seen = Seen {
                    scope: &deny.scope,
                    principal,
                    role: Uuid::nil(),
                    requestor: None,
                };
                filter.shows(incoming, &seen)
            })
        };
        let all = listed.filter(is_shown).map(DenyAssignment::shown).collect();
        return incoming.page(all);
    };
    let name = guid_name(name)?;
    match listed.find(|deny| deny.name == name && deny.scope == incoming.scope) {
        Some(deny) => Ok(Answer::json(200, &deny.shown())),
        None => Err(ArmError::not_found(
            "DenyAssignmentNotFound",
            format!("The deny assignment '{name}' is not found."),
        )),
    }
}
