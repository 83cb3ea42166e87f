//! What a capability means on Google Cloud: the catalogue's terms, read strictly. A catalogue is
//! the operator's file, so it is checked here like any other input.

use serde::{Deserialize, Serialize};

use crate::names::{BadName, RoleName};

/// The terms of one capability's Google column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Terms {
    /// A role on a bucket, narrowed to the objects beneath the scope's path.
    Objects {
        /// The role.
        role: Role,
        /// What a role of the operator's own holds, no more and no less.
        #[serde(default)]
        permissions: Vec<String>,
        /// Whether the role lists objects: then it may list those beneath the path.
        lists: bool,
        /// The token's own limit.
        token_scope: TokenScope,
    },
    /// Roles on the resource as a whole.
    Roles {
        /// The roles, at least one.
        roles: Vec<RoleName>,
        /// The token's own limit.
        token_scope: TokenScope,
    },
    /// A role that a project made, on that project; the resource is the role itself.
    OwnRole {},
}

/// The role that carries a capability.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Role {
    /// By its name at Google.
    Known(RoleName),
    /// By the name under which a target's `roles` has one.
    Named(String),
}

impl TryFrom<String> for Role {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        match is_role_name(&text) {
            true => Ok(Self::Named(text)),
            false => text.parse().map(Self::Known),
        }
    }
}

/// The alphabet and the length of the names that a target's `roles` has.
pub(crate) fn is_role_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The OAuth scope of a token: what it may be shown for, whatever its account may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct TokenScope(String);

impl TokenScope {
    const PREFIX: &'static str = "https://www.googleapis.com/auth/";

    /// Everything; the roles alone decide.
    pub(crate) fn everything() -> Self {
        Self(format!("{}cloud-platform", Self::PREFIX))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TokenScope {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_scope = text.strip_prefix(Self::PREFIX).is_some_and(|name| {
            (1..=64).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        });
        if is_scope {
            Ok(Self(text))
        } else {
            let seen: String = text
                .chars()
                .take(80)
                .flat_map(char::escape_default)
                .collect();
            Err(format!(
                "`{seen}` is not one OAuth scope, as in `{}devstorage.read_only`",
                Self::PREFIX
            ))
        }
    }
}

impl From<TokenScope> for String {
    fn from(scope: TokenScope) -> Self {
        scope.0
    }
}

impl Terms {
    /// Reads the terms of a column.
    pub(crate) fn read(terms: &serde_json::Value) -> Result<Self, String> {
        let terms = Self::deserialize(terms).map_err(|error| error.to_string())?;
        match &terms {
            Self::Roles { roles, .. } if roles.is_empty() => {
                Err("it names no role at all".to_owned())
            }
            Self::Objects {
                role: Role::Named(name),
                permissions,
                ..
            } if permissions.is_empty() => Err(format!(
                "it does not say by `permissions` what the role `{name}` holds"
            )),
            Self::Roles { .. } | Self::Objects { .. } | Self::OwnRole {} => Ok(terms),
        }
    }

    pub(crate) fn token_scope(&self) -> TokenScope {
        match self {
            Self::Objects { token_scope, .. } | Self::Roles { token_scope, .. } => {
                token_scope.clone()
            }
            Self::OwnRole {} => TokenScope::everything(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    #[test]
    fn terms_are_read_strictly() {
        let scope = "https://www.googleapis.com/auth/devstorage.read_only";
        let good = json!({ "kind": "objects", "role": "roles/storage.objectViewer", "lists": true,
                           "token_scope": scope });
        assert!(Terms::read(&good).is_ok());
        let own = Terms::read(&json!({ "kind": "own-role" })).unwrap();
        assert_eq!(own.token_scope(), TokenScope::everything());
        for (key, value) in [
            ("kind", json!("queue")),
            ("role", json!("roles/owner")),
            ("role", json!("roles/storage.*")),
            ("role", json!("roles/a.b\", role: \"roles/c.d")),
            ("lists", json!("yes")),
            ("token_scope", json!("devstorage.read_only")),
            (
                "token_scope",
                json!(format!("{scope} https://www.googleapis.com/auth/iam")),
            ),
            ("token_scope", json!("https://evil.example/auth/x")),
            ("roles", json!([])),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(Terms::read(&bad).is_err(), "{bad}");
        }
        // A role of the operator's own, and what it must hold.
        let mut named = good.clone();
        named["role"] = json!("object-deleter");
        assert!(Terms::read(&named).unwrap_err().contains("`permissions`"));
        named["permissions"] = json!(["storage.objects.delete"]);
        assert!(Terms::read(&named).is_ok());
        let roles = |roles| json!({ "kind": "roles", "roles": roles, "token_scope": scope });
        assert!(Terms::read(&roles(json!(["roles/run.developer"]))).is_ok());
        assert!(Terms::read(&roles(json!([]))).is_err());
        assert!(Terms::read(&json!({ "kind": "own-role", "role": "x" })).is_err());
    }
}
