//! Role management policies: what PIM demands, per role and scope. Nothing is inherited.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::azure::arm::Incoming;
use crate::azure::body::{Fields, read_properties};
use crate::azure::errors::ArmError;
use crate::azure::estate::{EnabledRule, Estate, PolicyRules};
use crate::azure::filters::Filter;
use crate::azure::rbac::role_definition_id;
use crate::azure::scope::Scope;
use crate::azure::tenant::{EstateError, Tenant};
use crate::call::Answer;

use super::duration;

const ADMIN_ENABLEMENT: &str = "Enablement_Admin_Assignment";
const ADMIN_EXPIRATION: &str = "Expiration_Admin_Assignment";

/// The policies that differ from the default.
#[derive(Debug, Default)]
pub(super) struct Policies {
    changed: HashMap<(Scope, Uuid), Changed>,
}

#[derive(Debug)]
struct Changed {
    rules: Vec<Value>,
    /// When and by whom; the estate's are nobody's.
    at: Option<(Timestamp, Uuid)>,
}

/// What a request for an active assignment is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Demands {
    pub(super) required: Vec<EnabledRule>,
    pub(super) expiration_required: bool,
    pub(super) maximum: SignedDuration,
}

impl Policies {
    pub(super) fn found(estate: &Estate, tenant: &Tenant) -> Result<Policies, EstateError> {
        let mut policies = Policies::default();
        for policy in &estate.management_policies {
            let scope = Scope::parse(&policy.scope)
                .filter(|scope| tenant.exists(scope))
                .ok_or_else(|| EstateError::Scope(policy.scope.clone()))?;
            if !tenant.roles.contains_key(&policy.role) {
                return Err(EstateError::Role(policy.role));
            }
            let longest = &policy.rules.maximum_duration;
            duration::read(longest).ok_or_else(|| EstateError::Duration(longest.clone()))?;
            let changed = Changed {
                rules: rules(&policy.rules),
                at: None,
            };
            policies.changed.insert((scope, policy.role), changed);
        }
        Ok(policies)
    }

    fn rules(&self, scope: &Scope, role: Uuid) -> Vec<Value> {
        match self.changed.get(&(scope.clone(), role)) {
            Some(changed) => changed.rules.clone(),
            None => rules(&PolicyRules::default()),
        }
    }

    pub(super) fn demands(&self, scope: &Scope, role: Uuid) -> Demands {
        let rules = self.rules(scope, role);
        let rule = |id: &str| rules.iter().find(|rule| rule.get("id") == Some(&json!(id)));
        let enabled = rule(ADMIN_ENABLEMENT).and_then(|rule| rule.get("enabledRules"));
        let expiration = rule(ADMIN_EXPIRATION);
        let is_required = expiration.and_then(|rule| rule.get("isExpirationRequired"));
        let longest = expiration.and_then(|rule| rule.get("maximumDuration"));
        Demands {
            required: enabled
                .and_then(|rules| serde_json::from_value(rules.clone()).ok())
                .unwrap_or_default(),
            expiration_required: is_required.and_then(Value::as_bool).unwrap_or_default(),
            maximum: longest
                .and_then(Value::as_str)
                .and_then(duration::read)
                .unwrap_or(SignedDuration::MAX),
        }
    }

    fn shown(&self, tenant: &Tenant, scope: &Scope, role: Uuid) -> Value {
        let name = policy_name(scope, role);
        let rules = self.rules(scope, role);
        let touched = self
            .changed
            .get(&(scope.clone(), role))
            .and_then(|changed| changed.at);
        json!({
            "properties": {
                "scope": scope.to_string(),
                "displayName": null,
                "description": null,
                "isOrganizationDefault": false,
                "lastModifiedDateTime": touched.map(|(at, _)| at.to_string()),
                "lastModifiedBy": {
                    "id": touched.map(|(_, by)| by),
                    "displayName": "Admin",
                    "type": null,
                    "email": null,
                },
                "rules": rules,
                "effectiveRules": rules,
                "policyProperties": { "scope": expanded_scope(tenant, scope) },
            },
            "name": name.to_string(),
            "id": scope.authorization_id("roleManagementPolicies", name),
            "type": "Microsoft.Authorization/RoleManagementPolicies",
        })
    }

    fn shown_assignment(&self, tenant: &Tenant, scope: &Scope, role: Uuid) -> Value {
        let policy = policy_name(scope, role);
        let name = format!("{policy}_{role}");
        let role_name = tenant.roles.get(&role).map(|role| role.name.as_str());
        json!({
            "properties": {
                "scope": scope.to_string(),
                "roleDefinitionId": role_definition_id(scope, role),
                "policyId": scope.authorization_id("roleManagementPolicies", policy),
                "effectiveRules": self.rules(scope, role),
                "policyAssignmentProperties": {
                    "scope": expanded_scope(tenant, scope),
                    "roleDefinition": {
                        "id": role_definition_id(scope, role),
                        "displayName": role_name,
                        "type": "BuiltInRole",
                    },
                    "policy": { "id": policy, "lastModifiedBy": null, "lastModifiedDateTime": null },
                },
            },
            "name": name,
            "id": scope.authorization_id("roleManagementPolicyAssignments", &name),
            "type": "Microsoft.Authorization/RoleManagementPolicyAssignment",
        })
    }
}

/// A policy's name follows from where it stands, so that nothing has to be stored for the defaults.
fn policy_name(scope: &Scope, role: Uuid) -> Uuid {
    let place = format!("{}#{role}", scope.to_string().to_lowercase());
    Uuid::new_v5(&Uuid::NAMESPACE_URL, place.as_bytes())
}

pub(super) fn expanded_scope(tenant: &Tenant, scope: &Scope) -> Value {
    json!({
        "id": scope.to_string(),
        "displayName": tenant.display_name(scope),
        "type": scope.kind().name(),
    })
}

/// The rules of a policy: those for an administrator's active assignments as they are asked for, the others as
/// they are by default.
fn rules(asked: &PolicyRules) -> Vec<Value> {
    let mut all = Vec::new();
    for (caller, level) in [
        ("Admin", "Eligibility"),
        ("Admin", "Assignment"),
        ("EndUser", "Assignment"),
    ] {
        let target = json!({
            "caller": caller,
            "operations": ["All"],
            "level": level,
            "targetObjects": null,
            "inheritableSettings": null,
            "enforcedSettings": null,
        });
        let place = format!("{caller}_{level}");
        let is_ours = format!("Enablement_{place}") == ADMIN_ENABLEMENT;
        let (enabled, expires, longest) = if is_ours {
            (
                asked.required.clone(),
                asked.expiration_required,
                asked.maximum_duration.as_str(),
            )
        } else if caller == "EndUser" {
            (
                vec![
                    EnabledRule::MultiFactorAuthentication,
                    EnabledRule::Justification,
                ],
                true,
                "PT8H",
            )
        } else {
            (Vec::new(), true, "P365D")
        };
        all.push(json!({
            "enabledRules": enabled,
            "id": format!("Enablement_{place}"),
            "ruleType": "RoleManagementPolicyEnablementRule",
            "target": target,
        }));
        all.push(json!({
            "isExpirationRequired": expires,
            "maximumDuration": longest,
            "id": format!("Expiration_{place}"),
            "ruleType": "RoleManagementPolicyExpirationRule",
            "target": target,
        }));
        for recipient in ["Admin", "Requestor", "Approver"] {
            all.push(json!({
                "notificationType": "Email",
                "recipientType": recipient,
                "isDefaultRecipientsEnabled": true,
                "notificationLevel": "All",
                "notificationRecipients": [],
                "id": format!("Notification_{recipient}_{place}"),
                "ruleType": "RoleManagementPolicyNotificationRule",
                "target": target,
            }));
        }
    }
    all
}

#[derive(Deserialize)]
struct AskedRules {
    rules: Vec<Map<String, Value>>,
}

const WRITABLE: Fields = Fields::Only(&[
    ("rules", Fields::Any),
    ("displayName", Fields::Any),
    ("description", Fields::Any),
    ("isOrganizationDefault", Fields::Any),
]);

/// `RoleManagementPolicies_Update`: the rules that are named replace those of the same id.
pub(crate) fn update_policy(incoming: &mut Incoming<'_>, name: &str) -> Result<Answer, ArmError> {
    let role = role_of(incoming, name)?;
    let asked: AskedRules = read_properties(
        &incoming.call.body,
        incoming.settings.strict_bodies,
        &WRITABLE,
    )?;
    incoming.authorise("Microsoft.Authorization/roleManagementPolicies/write")?;
    let scope = incoming.scope.clone();
    let mut rules = incoming.world.pim.policies.rules(&scope, role);
    for asked in asked.rules {
        let id = asked.get("id").cloned().unwrap_or_default();
        let known = rules.iter_mut().find(|rule| rule.get("id") == Some(&id));
        let known = known.ok_or_else(|| {
            ArmError::bad_request("InvalidPolicyRule", format!("There is no rule {id}."))
        })?;
        check_rule(&asked)?;
        if let Some(members) = known.as_object_mut() {
            members.extend(asked);
        }
    }
    let changed = Changed {
        rules,
        at: Some((incoming.now, incoming.caller.object_id)),
    };
    let policies = &mut incoming.world.pim.policies;
    policies.changed.insert((scope.clone(), role), changed);
    Ok(Answer::json(
        200,
        &policies.shown(&incoming.cloud.tenant, &scope, role),
    ))
}

/// A rule that could not be enforced is not taken.
fn check_rule(rule: &Map<String, Value>) -> Result<(), ArmError> {
    let invalid = |what: &Value| {
        ArmError::bad_request("InvalidPolicyRule", format!("{what} is not valid here."))
    };
    if let Some(enabled) = rule.get("enabledRules") {
        serde_json::from_value::<Vec<EnabledRule>>(enabled.clone())
            .map_err(|_| invalid(enabled))?;
    }
    match rule.get("maximumDuration") {
        Some(longest) if longest.as_str().and_then(duration::read).is_none() => {
            Err(invalid(longest))
        }
        _ => Ok(()),
    }
}

/// The role whose policy at the scope of the call bears this name.
fn role_of(incoming: &Incoming<'_>, name: &str) -> Result<Uuid, ArmError> {
    let mut roles = incoming.cloud.tenant.roles.keys().copied();
    roles
        .find(|role| {
            policy_name(&incoming.scope, *role)
                .to_string()
                .eq_ignore_ascii_case(name)
        })
        .ok_or_else(|| {
            ArmError::not_found(
                "RoleManagementPolicyNotFound",
                format!("The role management policy '{name}' is not found."),
            )
        })
}

/// `RoleManagementPolicies_Get` and `RoleManagementPolicies_ListForScope`
pub(crate) fn read_policies(
    incoming: &mut Incoming<'_>,
    name: Option<&str>,
) -> Result<Answer, ArmError> {
    incoming.authorise("Microsoft.Authorization/roleManagementPolicies/read")?;
    let (tenant, policies) = (&incoming.cloud.tenant, &incoming.world.pim.policies);
    if let Some(name) = name {
        let role = role_of(incoming, name)?;
        return Ok(Answer::json(
            200,
            &policies.shown(tenant, &incoming.scope, role),
        ));
    }
    let roles = tenant.roles.keys();
    let all = roles
        .map(|role| policies.shown(tenant, &incoming.scope, *role))
        .collect();
    incoming.page(all)
}

/// `RoleManagementPolicyAssignments_Get` and `RoleManagementPolicyAssignments_ListForScope`
pub(crate) fn read_policy_assignments(
    incoming: &mut Incoming<'_>,
    name: Option<&str>,
) -> Result<Answer, ArmError> {
    let filter = Filter::of(incoming)?;
    incoming.authorise("Microsoft.Authorization/roleManagementPolicyAssignments/read")?;
    let (tenant, policies) = (&incoming.cloud.tenant, &incoming.world.pim.policies);
    let shown = |role: Uuid| policies.shown_assignment(tenant, &incoming.scope, role);
    if let Some(name) = name {
        // `POLICY_ROLE`
        let policy = name.split('_').next().unwrap_or_default();
        return Ok(Answer::json(200, &shown(role_of(incoming, policy)?)));
    }
    let roles = tenant.roles.keys().copied();
    let asked = roles.filter(|role| filter.role().is_none_or(|asked| asked == *role));
    incoming.page(asked.map(shown).collect())
}
