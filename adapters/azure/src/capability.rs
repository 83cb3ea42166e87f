//! What a capability means on Azure: the catalogue's terms, read strictly. A catalogue is the
//! operator's file, so it is checked here like any other input: an action with a wildcard in it
//! would grant what no reviewer of a scope can see.

use core::fmt;

use serde::{Deserialize, Serialize};

/// How every data action of a blob begins.
const BLOB_ACTIONS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/";
/// The longest name of a role.
const ROLE_NAME_LENGTH_MAX: usize = 64;

/// The terms of one capability's Azure column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Terms {
    /// Data actions on the blobs of a container, narrowed to the scope's path.
    Blobs {
        /// The role that carries them and no other data action.
        role: RoleName,
        /// The data actions.
        data_actions: Vec<BlobAction>,
    },
    /// Everything a role allows; the resource is a scope, and its `via` the role.
    Role {},
}

/// What a slot is for. What a job can leave behind with a whole role, such as keys that sign for a
/// slot, sleeps while the slot has no rights, and must not wake when it is given blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Carries {
    /// Leases on blobs.
    Blobs,
    /// Leases of whole roles.
    Role,
}

impl fmt::Display for Carries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blobs => "blobs",
            Self::Role => "role",
        })
    }
}

/// A role definition's GUID, or the name under which a target's `roles` has one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct RoleName(String);

impl RoleName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RoleName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_role_name(&text) {
            Ok(Self(text))
        } else {
            Err(format!(
                "`{}` is not the name or the GUID of a role",
                shown(&text)
            ))
        }
    }
}

/// `a-z`, `0-9` and `-`, as in names of the configuration; a GUID is one too.
pub(crate) fn is_role_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= ROLE_NAME_LENGTH_MAX
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// One data action on blobs and no pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct BlobAction(String);

impl BlobAction {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<BlobAction> for String {
    fn from(action: BlobAction) -> Self {
        action.0
    }
}

impl TryFrom<String> for BlobAction {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_action = text.strip_prefix(BLOB_ACTIONS).is_some_and(|verb| {
            !verb.is_empty()
                && verb.len() <= 64
                && verb.bytes().all(|b| b.is_ascii_alphabetic() || b == b'/')
        });
        if is_action {
            Ok(Self(text))
        } else {
            let seen = shown(&text);
            Err(format!(
                "`{seen}` is not one data action on blobs, as in `{BLOB_ACTIONS}read`, without \
                 wildcards"
            ))
        }
    }
}

fn shown(text: &str) -> String {
    text.chars()
        .take(120)
        .flat_map(char::escape_default)
        .collect()
}

impl Terms {
    /// Reads the terms of a column.
    pub(crate) fn read(terms: &serde_json::Value) -> Result<Self, String> {
        let terms: Self = Self::deserialize(terms).map_err(|error| error.to_string())?;
        match &terms {
            Self::Blobs { data_actions, .. } if data_actions.is_empty() => {
                Err("it allows no action at all".to_owned())
            }
            Self::Blobs { .. } | Self::Role {} => Ok(terms),
        }
    }

    /// Which slots can carry it.
    pub(crate) const fn carried_by(&self) -> Carries {
        match self {
            Self::Blobs { .. } => Carries::Blobs,
            Self::Role {} => Carries::Role,
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
        let good = json!({
            "kind": "blobs", "role": "blob-writer", "data_actions": [format!("{BLOB_ACTIONS}write")],
        });
        assert_eq!(Terms::read(&good).unwrap().carried_by(), Carries::Blobs);
        let role = Terms::read(&json!({ "kind": "role" })).unwrap();
        assert_eq!(role.carried_by(), Carries::Role);
        for (key, value) in [
            ("kind", json!("queues")),
            ("role", json!("")),
            ("role", json!("Blob Writer")),
            ("role", json!("a/b")),
            ("data_actions", json!([])),
            ("data_actions", json!(["*"])),
            ("data_actions", json!([format!("{BLOB_ACTIONS}*")])),
            ("data_actions", json!([BLOB_ACTIONS])),
            ("data_actions", json!([format!("{BLOB_ACTIONS}read'")])),
            (
                "data_actions",
                json!(["Microsoft.Storage/storageAccounts/listKeys/action"]),
            ),
            ("actions", json!([])),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(Terms::read(&bad).is_err(), "{bad}");
        }
        assert!(Terms::read(&json!({ "kind": "role", "role": "x" })).is_err());
    }
}
