//! What a role definition allows beyond what it is used for. An operator's role is one file away
//! from allowing more than anybody who reviews a scope can see, so it is looked at before it is
//! assigned, each time.

use serde::Deserialize;

/// What a role on blobs may allow beside data actions: both do nothing to blobs, and the second
/// works on an account only, where such a role is never assigned.
const HARMLESS: [&str; 2] = [
    "Microsoft.Storage/storageAccounts/blobServices/containers/read",
    "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
];

/// With any of these a job could give itself, or anybody, what no revocation finds.
const GIVES_ROLES: [&str; 4] = [
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.Authorization/roleAssignmentScheduleRequests/write",
    "Microsoft.Authorization/roleDefinitions/write",
    "Microsoft.Authorization/elevateAccess/action",
];

/// What Azure says that a role allows: any of its permissions is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Definition {
    #[serde(default)]
    pub(crate) role_name: String,
    /// `BuiltInRole` or `CustomRole`.
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) permissions: Vec<Permission>,
}

/// `actions` without `notActions`, `dataActions` without `notDataActions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Permission {
    actions: Vec<String>,
    not_actions: Vec<String>,
    data_actions: Vec<String>,
}

impl Definition {
    /// What the role allows beyond these data actions on blobs. What is taken out again by
    /// `notActions` counts all the same: a role that is used here names what it allows.
    pub(crate) fn beyond(&self, wanted: &[&str]) -> Vec<String> {
        let is_one_of = |names: &[&str], action: &str| {
            names.iter().any(|name| name.eq_ignore_ascii_case(action))
        };
        let of = |permission: &Permission| {
            let actions = permission.actions.iter();
            let actions = actions.filter(|action| !is_one_of(&HARMLESS, action));
            let data = permission.data_actions.iter();
            let data = data.filter(|action| !is_one_of(wanted, action));
            actions.chain(data).cloned().collect::<Vec<_>>()
        };
        self.permissions.iter().flat_map(of).collect()
    }

    /// What is wanted and what the role does not allow.
    pub(crate) fn lacks<'a>(&self, wanted: &[&'a str]) -> Vec<&'a str> {
        let has = |name: &&&str| {
            let mut data = self.permissions.iter().flat_map(|p| &p.data_actions);
            !data.any(|action| matches(action, name))
        };
        wanted.iter().filter(has).copied().collect()
    }

    /// The way in which the role can give roles, if it can.
    pub(crate) fn gives_roles(&self) -> Option<&'static str> {
        GIVES_ROLES.into_iter().find(|name| self.allows(name))
    }

    /// Whether the role allows an action.
    pub(crate) fn allows(&self, name: &str) -> bool {
        self.permissions.iter().any(|permission| {
            permission.actions.iter().any(|a| matches(a, name))
                && !permission.not_actions.iter().any(|a| matches(a, name))
        })
    }
}

/// Whether a pattern, in which `*` stands for any characters, covers a name. Case does not count.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    const READ: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
    const WRITE: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write";

    fn definition(permission: &Value) -> Definition {
        serde_json::from_value(json!({ "roleName": "r", "permissions": [permission] })).unwrap()
    }

    #[test]
    fn a_blob_role_that_allows_more_is_found() {
        let reader = definition(&json!({ "actions": HARMLESS, "dataActions": [READ] }));
        assert!(reader.beyond(&[READ]).is_empty());
        assert_eq!(reader.beyond(&[WRITE]), [READ]);
        assert_eq!(reader.lacks(&[READ, WRITE]), [WRITE]);
        // As Storage Blob Data Contributor has it: whoever writes blobs could delete the container.
        let delete = "Microsoft.Storage/storageAccounts/blobServices/containers/delete";
        for (actions, data) in [
            (json!([delete]), json!([READ])),
            (json!(["*/read"]), json!([READ])),
            (json!([]), json!(["*"])),
            (json!([]), json!([READ, WRITE])),
        ] {
            let wide = definition(&json!({ "actions": actions, "dataActions": data }));
            assert_eq!(wide.beyond(&[READ]).len(), 1, "{wide:?}");
        }
    }

    #[test]
    fn a_role_that_gives_roles_is_found() {
        for (actions, not_actions, gives) in [
            (json!(["*"]), json!([]), true),
            (
                json!(["*"]),
                json!(["Microsoft.Authorization/*/Write"]),
                true,
            ),
            (
                json!(["*"]),
                json!([
                    "Microsoft.Authorization/*/Write",
                    "Microsoft.Authorization/elevateAccess/Action"
                ]),
                false,
            ),
            (json!(["*/read"]), json!([]), false),
            (json!(["*/write"]), json!([]), true),
            (
                json!(["microsoft.authorization/roleassignments/*"]),
                json!([]),
                true,
            ),
            (json!(["Microsoft.Compute/*"]), json!([]), false),
        ] {
            let role = json!({ "actions": actions, "notActions": not_actions });
            assert_eq!(definition(&role).gives_roles().is_some(), gives, "{role}");
        }
    }
}
