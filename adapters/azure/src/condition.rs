//! Conditions on role assignments (Azure ABAC, version 2.0): which blobs of a container a role is
//! for.
//!
//! A condition bounds the actions it names and lets every other one pass that the role has. So a
//! condition alone is no fence: the role must have no data action that is not named here, which is
//! looked at before anything is given (see [`crate::role`]).

use core::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The version that Azure takes.
pub(crate) const VERSION: &str = "2.0";

/// The data action that reads blobs, and lists them when it comes as [`LIST`].
pub(crate) const READ: &str =
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
/// The kind of a read that lists.
const LIST: &str = "Blob.List";

const CONTAINER: &str = "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name]";
const PATH: &str =
    "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:path]";
const PREFIX: &str =
    "@Request[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:prefix]";

/// Some of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// What begins so.
    Beneath(String),
    /// One blob.
    Exactly(String),
}

/// A text that cannot stand in a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unquotable(pub(crate) String);

/// The condition under which `actions` may be done to parts of a container. Without parts there is
/// nothing to narrow.
pub(crate) fn narrowed(
    actions: &[&str],
    container: &str,
    parts: &[Part],
) -> Result<String, Unquotable> {
    let container = quoted(container)?;
    let mut clauses = Vec::new();
    let others: Vec<&str> = actions.iter().copied().filter(|a| *a != READ).collect();
    if !others.is_empty() {
        let named: Vec<String> = others.iter().map(|action| matches(action)).collect();
        clauses.push(format!(
            "(({}) OR ({CONTAINER} StringEquals {container} AND ({})))",
            named.join(" AND "),
            paths(parts)?
        ));
    }
    if actions.contains(&READ) {
        clauses.push(format!(
            "((!(ActionMatches{{'{READ}'}} AND NOT SubOperationMatches{{'{LIST}'}})) OR \
             ({CONTAINER} StringEquals {container} AND ({})))",
            paths(parts)?
        ));
        clauses.push(listing(&container, parts)?);
    }
    Ok(clauses.join(" AND "))
}

fn matches(action: &str) -> String {
    format!("!(ActionMatches{{'{action}'}})")
}

fn paths(parts: &[Part]) -> Result<String, Unquotable> {
    any(parts.iter().map(|part| {
        Ok(match part {
            Part::Beneath(prefix) => format!("{PATH} StringStartsWith {}", quoted(prefix)?),
            Part::Exactly(path) => format!("{PATH} StringEquals {}", quoted(path)?),
        })
    }))
}

/// Lists only what lies beneath a prefix. One blob is never listed: its name as a prefix would also
/// list what begins like it.
fn listing(container: &str, parts: &[Part]) -> Result<String, Unquotable> {
    let lists = format!("!(ActionMatches{{'{READ}'}} AND SubOperationMatches{{'{LIST}'}})");
    let prefixes = parts.iter().filter_map(|part| match part {
        Part::Beneath(prefix) => {
            Some(quoted(prefix).map(|prefix| format!("{PREFIX} StringStartsWith {prefix}")))
        }
        Part::Exactly(_) => None,
    });
    let prefixes = any(prefixes)?;
    Ok(if prefixes.is_empty() {
        format!("({lists})")
    } else {
        format!("(({lists}) OR ({CONTAINER} StringEquals {container} AND ({prefixes})))")
    })
}

fn any(clauses: impl Iterator<Item = Result<String, Unquotable>>) -> Result<String, Unquotable> {
    let mut text = String::new();
    for clause in clauses {
        let or = if text.is_empty() { "" } else { " OR " };
        // Writing into a string does not fail.
        let _ = write!(text, "{or}{}", clause?);
    }
    Ok(text)
}

/// A text as a literal. The language has quotes, escapes, wildcards and `$` for attributes; none of
/// them is in the alphabet of scopes, and what is not in that alphabet does not get here.
fn quoted(text: &str) -> Result<String, Unquotable> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-=+".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(format!("'{text}'"))
    } else {
        Err(Unquotable(text.escape_default().to_string()))
    }
}

#[cfg(test)]
mod tests;
