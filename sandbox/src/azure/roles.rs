//! Role definitions: what a role may do, and the built-in ones a broker meets.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

/// The ids of built-in roles, the same in every tenant.
pub mod builtin {
    use super::{Uuid, uuid};

    /// `Owner`
    pub const OWNER: Uuid = uuid!("8e3af657-a8ff-443c-a75c-2fe8c4bcb635");
    /// `Contributor`
    pub const CONTRIBUTOR: Uuid = uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c");
    /// `Reader`
    pub const READER: Uuid = uuid!("acdd72a7-3385-48ef-bd42-f606fba81ae7");
    /// `User Access Administrator`
    pub const USER_ACCESS_ADMINISTRATOR: Uuid = uuid!("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9");
    /// `Role Based Access Control Administrator`
    pub const RBAC_ADMINISTRATOR: Uuid = uuid!("f58310d9-a9f6-439a-9e8d-f62e7b41a168");
    /// `Storage Blob Data Reader`
    pub const BLOB_DATA_READER: Uuid = uuid!("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1");
    /// `Storage Blob Data Contributor`
    pub const BLOB_DATA_CONTRIBUTOR: Uuid = uuid!("ba92f5b4-2d11-453d-a403-e96b0029c9fe");
    /// `Storage Blob Data Owner`
    pub const BLOB_DATA_OWNER: Uuid = uuid!("b7e6dc6d-f1e8-4753-8033-0f276bb0955b");
    /// `Key Vault Secrets User`
    pub const KEY_VAULT_SECRETS_USER: Uuid = uuid!("4633458b-17de-408a-b874-0445c86b69e6");
    /// `Key Vault Crypto User`
    pub const KEY_VAULT_CRYPTO_USER: Uuid = uuid!("12338af0-0e69-4776-bea7-57ae8d297424");
    /// `AcrPull`
    pub const ACR_PULL: Uuid = uuid!("7f951dda-4ed3-4680-a7ca-43fe172d538d");
    /// `AcrPush`
    pub const ACR_PUSH: Uuid = uuid!("8311e382-0749-4cb8-b61a-304f252e45ec");
}

/// What is allowed: `actions` without `notActions`, `dataActions` without `notDataActions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Permission {
    /// Operations of the control plane; `*` stands for anything.
    pub actions: Vec<String>,
    /// What is taken out of them.
    pub not_actions: Vec<String>,
    /// Operations on data.
    pub data_actions: Vec<String>,
    /// What is taken out of them.
    pub not_data_actions: Vec<String>,
}

/// An operation that somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    /// On the control plane.
    Control(&'a str),
    /// On data.
    Data(&'a str),
}

impl<'a> Operation<'a> {
    pub(crate) fn name(self) -> &'a str {
        match self {
            Operation::Control(name) | Operation::Data(name) => name,
        }
    }
}

impl Permission {
    pub(crate) fn allows(&self, operation: Operation<'_>) -> bool {
        let (given, taken) = match operation {
            Operation::Control(_) => (&self.actions, &self.not_actions),
            Operation::Data(_) => (&self.data_actions, &self.not_data_actions),
        };
        let is_in = |patterns: &[String]| {
            patterns
                .iter()
                .any(|pattern| matches_pattern(pattern, operation.name()))
        };
        is_in(given) && !is_in(taken)
    }

    /// Whether it names nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Permission::default()
    }
}

/// `*` stands for any characters, also slashes. Case does not count.
pub(crate) fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleDefinition {
    /// Its name in ids.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What it allows; any of them is enough.
    pub permissions: Vec<Permission>,
    /// Made by the estate, not by Azure.
    #[serde(default = "yes")]
    pub custom: bool,
}

fn yes() -> bool {
    true
}

impl RoleDefinition {
    /// A role of the estate's own.
    pub fn custom(id: Uuid, name: &str, permission: Permission) -> RoleDefinition {
        RoleDefinition {
            id,
            name: name.to_owned(),
            permissions: vec![permission],
            custom: true,
        }
    }

    pub(crate) fn allows(&self, operation: Operation<'_>) -> bool {
        self.permissions
            .iter()
            .any(|permission| permission.allows(operation))
    }

    /// Whether conditions of the 2.0 language may stand on an assignment of it: it has data actions on blobs, or
    /// it assigns roles.
    pub(crate) fn may_be_conditioned(&self) -> bool {
        let patterns = |permission: &Permission| {
            let blobs = permission.data_actions.iter().any(|action| {
                action
                    .to_lowercase()
                    .starts_with("microsoft.storage/storageaccounts/blobservices/")
            });
            blobs
                || permission.allows(Operation::Control(
                    "Microsoft.Authorization/roleAssignments/write",
                ))
        };
        self.permissions.iter().any(patterns)
    }

    /// As the REST API shows it.
    pub(crate) fn shown(&self, subscription: Option<Uuid>) -> Value {
        let id = match subscription {
            Some(subscription) => role_id(subscription, self.id),
            None => format!("{ROLE_DEFINITIONS}{}", self.id),
        };
        let (kind, assignable) = if self.custom {
            let scope = subscription.map(|id| format!("/subscriptions/{id}"));
            ("CustomRole", scope.unwrap_or_else(|| "/".to_owned()))
        } else {
            ("BuiltInRole", "/".to_owned())
        };
        json!({
            "properties": {
                "roleName": self.name,
                "type": kind,
                "description": self.name,
                "assignableScopes": [assignable],
                "permissions": self.permissions,
                "createdOn": "2015-02-02T21:55:09.8806423Z",
                "updatedOn": "2015-02-02T21:55:09.8806423Z",
                "createdBy": null,
                "updatedBy": null,
            },
            "id": id,
            "type": "Microsoft.Authorization/roleDefinitions",
            "name": self.id.to_string(),
        })
    }
}

const ROLE_DEFINITIONS: &str = "/providers/Microsoft.Authorization/roleDefinitions/";

/// A role's id as a subscription names it.
pub(crate) fn role_id(subscription: Uuid, role: Uuid) -> String {
    format!("/subscriptions/{subscription}{ROLE_DEFINITIONS}{role}")
}

/// The role that an id names, with or without a scope in front.
pub(crate) fn role_in_id(id: &str) -> Option<Uuid> {
    let lower = id.to_lowercase();
    let marker = ROLE_DEFINITIONS.to_lowercase();
    let (_, name) = lower.rsplit_once(&marker)?;
    name.parse().ok()
}

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn role(
    id: Uuid,
    name: &str,
    actions: &[&str],
    not_actions: &[&str],
    data: &[&str],
) -> RoleDefinition {
    RoleDefinition {
        id,
        name: name.to_owned(),
        permissions: vec![Permission {
            actions: list(actions),
            not_actions: list(not_actions),
            data_actions: list(data),
            not_data_actions: Vec::new(),
        }],
        custom: false,
    }
}

/// The built-in roles there are here.
pub(crate) fn built_in() -> Vec<RoleDefinition> {
    const CONTAINERS_READ: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/read";
    const DELEGATION_KEY: &str =
        "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action";
    const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/";
    let blobs = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("{BLOBS}{name}")).collect()
    };
    let mut roles = vec![
        role(builtin::OWNER, "Owner", &["*"], &[], &[]),
        role(
            builtin::CONTRIBUTOR,
            "Contributor",
            &["*"],
            &[
                "Microsoft.Authorization/*/Delete",
                "Microsoft.Authorization/*/Write",
                "Microsoft.Authorization/elevateAccess/Action",
                "Microsoft.Blueprint/blueprintAssignments/write",
                "Microsoft.Blueprint/blueprintAssignments/delete",
                "Microsoft.Compute/galleries/share/action",
            ],
            &[],
        ),
        role(builtin::READER, "Reader", &["*/read"], &[], &[]),
        role(
            builtin::USER_ACCESS_ADMINISTRATOR,
            "User Access Administrator",
            &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
            &[],
            &[],
        ),
        role(
            builtin::RBAC_ADMINISTRATOR,
            "Role Based Access Control Administrator",
            &[
                "Microsoft.Authorization/roleAssignments/write",
                "Microsoft.Authorization/roleAssignments/delete",
                "*/read",
                "Microsoft.Support/*",
            ],
            &[],
            &[],
        ),
        role(
            builtin::KEY_VAULT_SECRETS_USER,
            "Key Vault Secrets User",
            &[],
            &[],
            &[
                "Microsoft.KeyVault/vaults/secrets/getSecret/action",
                "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            ],
        ),
        role(
            builtin::KEY_VAULT_CRYPTO_USER,
            "Key Vault Crypto User",
            &[],
            &[],
            &[
                "Microsoft.KeyVault/vaults/keys/read",
                "Microsoft.KeyVault/vaults/keys/update/action",
                "Microsoft.KeyVault/vaults/keys/backup/action",
                "Microsoft.KeyVault/vaults/keys/encrypt/action",
                "Microsoft.KeyVault/vaults/keys/decrypt/action",
                "Microsoft.KeyVault/vaults/keys/wrap/action",
                "Microsoft.KeyVault/vaults/keys/unwrap/action",
                "Microsoft.KeyVault/vaults/keys/sign/action",
                "Microsoft.KeyVault/vaults/keys/verify/action",
            ],
        ),
        role(
            builtin::ACR_PULL,
            "AcrPull",
            &["Microsoft.ContainerRegistry/registries/pull/read"],
            &[],
            &[],
        ),
        role(
            builtin::ACR_PUSH,
            "AcrPush",
            &[
                "Microsoft.ContainerRegistry/registries/pull/read",
                "Microsoft.ContainerRegistry/registries/push/write",
            ],
            &[],
            &[],
        ),
    ];
    let data_role = |id, name: &str, actions: &[&str], data: Vec<String>| {
        let mut role = role(id, name, actions, &[], &[]);
        for permission in &mut role.permissions {
            permission.data_actions.clone_from(&data);
        }
        role
    };
    roles.push(data_role(
        builtin::BLOB_DATA_READER,
        "Storage Blob Data Reader",
        &[CONTAINERS_READ, DELEGATION_KEY],
        blobs(&["read"]),
    ));
    roles.push(data_role(
        builtin::BLOB_DATA_CONTRIBUTOR,
        "Storage Blob Data Contributor",
        &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
            CONTAINERS_READ,
            "Microsoft.Storage/storageAccounts/blobServices/containers/write",
            DELEGATION_KEY,
        ],
        blobs(&["delete", "read", "write", "move/action", "add/action"]),
    ));
    roles.push(data_role(
        builtin::BLOB_DATA_OWNER,
        "Storage Blob Data Owner",
        &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/*",
            DELEGATION_KEY,
        ],
        blobs(&["*"]),
    ));
    roles
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

    fn named(id: Uuid) -> RoleDefinition {
        built_in().into_iter().find(|role| role.id == id).unwrap()
    }

    #[test]
    fn patterns_are_anchored_on_both_sides() {
        assert!(matches_pattern("*", "a/b/read"));
        assert!(matches_pattern("*/read", "Microsoft.X/a/READ"));
        assert!(matches_pattern(
            "Microsoft.Authorization/*/Write",
            "microsoft.authorization/roleAssignments/write"
        ));
        assert!(!matches_pattern("*/read", "Microsoft.X/a/reader"));
        assert!(!matches_pattern("Microsoft.X/a", "Microsoft.X/a/b"));
        assert!(!matches_pattern("a*b*a", "ab"));
        assert!(matches_pattern("a*a", "aa"));
        assert!(!matches_pattern("a*a", "a"));
    }

    #[test]
    fn a_contributor_assigns_no_roles_and_an_rbac_administrator_makes_no_pim_requests() {
        let write = Operation::Control("Microsoft.Authorization/roleAssignments/write");
        let request =
            Operation::Control("Microsoft.Authorization/roleAssignmentScheduleRequests/write");
        assert!(!named(builtin::CONTRIBUTOR).allows(write));
        assert!(named(builtin::RBAC_ADMINISTRATOR).allows(write));
        assert!(!named(builtin::RBAC_ADMINISTRATOR).allows(request));
        assert!(named(builtin::USER_ACCESS_ADMINISTRATOR).allows(request));
    }

    #[test]
    fn the_control_plane_gives_no_data() {
        let read = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
        assert!(!named(builtin::OWNER).allows(Operation::Data(read)));
        assert!(named(builtin::BLOB_DATA_READER).allows(Operation::Data(read)));
        assert!(!named(builtin::BLOB_DATA_READER).allows(Operation::Control(read)));
    }

    #[test]
    fn a_role_is_found_in_its_id() {
        let id = role_id(
            uuid!("11111111-1111-1111-1111-111111111111"),
            builtin::READER,
        );
        assert_eq!(role_in_id(&id.to_uppercase()), Some(builtin::READER));
        assert_eq!(
            role_in_id(&format!("{ROLE_DEFINITIONS}{}", builtin::READER)),
            Some(builtin::READER)
        );
        assert_eq!(role_in_id("acdd72a7-3385-48ef-bd42-f606fba81ae7"), None);
    }
}
