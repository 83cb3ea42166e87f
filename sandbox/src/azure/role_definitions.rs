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
    let wanted = Wanted::read(&incoming.call.query_value("$filter").unwrap_or_default())?;
    let all: Vec<Value> = roles
        .values()
        .filter(|role| wanted.is(role))
        .map(|role| role.shown(subscription))
        .collect();
    incoming.page(all)
}

/// Which roles are asked for.
enum Wanted {
    All,
    /// In lower case.
    Named(String),
    Custom(bool),
}

impl Wanted {
    /// `roleName eq '…'`, `type eq '…'` and `atScopeAndBelow()`, alone.
    fn read(filter: &str) -> Result<Wanted, ArmError> {
        let lower = filter.to_lowercase();
        let quoted = |name: &str| {
            let value = lower.strip_prefix(name)?.strip_prefix(" eq '")?;
            value.strip_suffix('\'')
        };
        match (quoted("rolename"), quoted("type"), lower.as_str()) {
            (_, _, "" | "atscopeandbelow()") => Ok(Wanted::All),
            (Some(name), ..) => Ok(Wanted::Named(name.to_owned())),
            (_, Some("builtinrole"), _) => Ok(Wanted::Custom(false)),
            (_, Some("customrole"), _) => Ok(Wanted::Custom(true)),
            _ => Err(ArmError::bad_request(
                "UnsupportedQuery",
                format!("The filter '{filter}' is not supported."),
            )),
        }
    }

    fn is(&self, role: &RoleDefinition) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Named(name) => role.name.to_lowercase() == *name,
            Wanted::Custom(custom) => role.custom == *custom,
        }
    }
}
