//! Role definitions: read only, the built-in ones and the estate's.

use serde_json::Value;

use crate::call::Answer;

use super::arm::Incoming;
use super::errors::ArmError;
use super::rbac::guid_name;
use super::roles::RoleDefinition;

/// `RoleDefinitions_Get` and `RoleDefinitions_List`
pub(super) fn read(incoming: &mut Incoming<'_>, name: Option<&str>) -> Result<Answer, ArmError> {
    incoming.authorise("Microsoft.Authorization/roleDefinitions/read")?;
    let roles = &incoming.cloud.tenant.roles;
    let subscription = incoming.scope.subscription_id();
    if let Some(name) = name {
        let id = guid_name(name)?;
        return match roles.get(&id) {
            Some(role) => Ok(Answer::json(200, &role.shown(subscription))),
            None => Err(ArmError::not_found(
                "RoleDefinitionDoesNotExist",
                format!(
                    "The specified role definition with ID '{}' does not exist.",
                    id.simple()
                ),
            )),
        };
    }
    let is_asked = filter(&incoming.call.query_value("$filter").unwrap_or_default())?;
    let all: Vec<Value> = roles
        .values()
        .filter(|role| is_asked(role))
        .map(|role| role.shown(subscription))
        .collect();
    incoming.page(all)
}

/// `roleName eq '…'`, `type eq '…'` and `atScopeAndBelow()`, alone.
fn filter(text: &str) -> Result<Box<dyn Fn(&RoleDefinition) -> bool>, ArmError> {
    let quoted = |rest: &str| {
        rest.strip_prefix('\'')?
            .strip_suffix('\'')
            .map(str::to_owned)
    };
    let lower = text.to_lowercase();
    if lower.is_empty() || lower == "atscopeandbelow()" {
        return Ok(Box::new(|_| true));
    }
    if let Some(name) = lower.strip_prefix("rolename eq ").and_then(quoted) {
        return Ok(Box::new(move |role| role.name.to_lowercase() == name));
    }
    match lower.strip_prefix("type eq ").and_then(quoted).as_deref() {
        Some("builtinrole") => Ok(Box::new(|role| !role.custom)),
        Some("customrole") => Ok(Box::new(|role| role.custom)),
        _ => Err(ArmError::bad_request(
            "UnsupportedQuery",
            format!("The filter '{text}' is not supported."),
        )),
    }
}
