//! Conditions on role assignments (ABAC, version 2.0): a subset, read in full or refused.
//!
//! What is here: `AND OR NOT` in both spellings, `ActionMatches`, `SubOperationMatches`, `Exists`, string and GUID
//! comparisons with their quantifiers, and the attributes of storage accounts, containers, blobs and role
//! assignments. A condition with anything else in it is refused when it is written: a condition that is half
//! understood would hold nothing back.

mod evaluate;
mod lexer;
mod parse;
#[cfg(test)]
mod tests;

pub(crate) use evaluate::Asked;

use super::errors::ArmError;

/// The only version of the language that Azure still takes.
pub(crate) const VERSION: &str = "2.0";

/// A condition as it was written, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) text: String,
    meaning: Clause,
}

impl Condition {
    /// Reads a condition; `Err` is Azure's refusal.
    pub(crate) fn read(text: &str, version: Option<&str>) -> Result<Condition, ArmError> {
        if version != Some(VERSION) {
            let seen = version.unwrap_or("none");
            return Err(invalid(&format!(
                "its version is `{seen}`, not `{VERSION}`"
            )));
        }
        let meaning = parse::parse(text).map_err(|reason| invalid(&reason))?;
        Ok(Condition {
            text: text.to_owned(),
            meaning,
        })
    }

    pub(crate) fn holds(&self, asked: &Asked<'_>) -> bool {
        evaluate::holds(&self.meaning, asked)
    }
}

/// Azure documents the sentence and no code for it.
fn invalid(reason: &str) -> ArmError {
    ArmError::bad_request(
        "InvalidCondition",
        format!("The given role assignment condition is invalid. ({reason})"),
    )
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Clause {
    Any(Vec<Clause>),
    All(Vec<Clause>),
    Not(Box<Clause>),
    ActionMatches(String),
    SubOperationMatches(String),
    Exists(Attribute),
    Compare(Comparison),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    attribute: Attribute,
    attribute_quantifier: Quantifier,
    value_quantifier: Quantifier,
    operator: Operator,
    values: Vec<Text>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    Any,
    All,
}

/// The characters of a literal; one that was escaped is never a wildcard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Text(Vec<(char, bool)>);

impl Text {
    fn plain(&self) -> String {
        self.0.iter().map(|(char, _)| *char).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operator {
    how: How,
    negated: bool,
    ignores_case: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Equals,
    StartsWith,
    Like,
    Guid,
}

/// What a condition can ask about, with the source it is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    AccountName,
    ContainerName,
    BlobPath,
    ListPrefix,
    NewRole,
    NewPrincipal,
    NewPrincipalType,
    PresentRole,
    PresentPrincipal,
    PresentPrincipalType,
}

const CONTAINERS: &str = "microsoft.storage/storageaccounts/blobservices/containers";
const ASSIGNMENTS: &str = "microsoft.authorization/roleassignments:";

impl Attribute {
    /// `@Source[name]`, without regard to case; `None` for what the subset does not have.
    fn named(source: &str, name: &str) -> Option<Attribute> {
        let name = name.to_lowercase();
        let of_assignment = |fields: [Attribute; 3]| {
            let [role, principal, kind] = fields;
            match name.strip_prefix(ASSIGNMENTS)? {
                "roledefinitionid" => Some(role),
                "principalid" => Some(principal),
                "principaltype" => Some(kind),
                _ => None,
            }
        };
        match source.to_lowercase().as_str() {
            "resource" if name == "microsoft.storage/storageaccounts:name" => {
                Some(Attribute::AccountName)
            }
            "resource" if name == format!("{CONTAINERS}:name") => Some(Attribute::ContainerName),
            "resource" if name == format!("{CONTAINERS}/blobs:path") => Some(Attribute::BlobPath),
            "resource" => of_assignment([
                Attribute::PresentRole,
                Attribute::PresentPrincipal,
                Attribute::PresentPrincipalType,
            ]),
            "request" if name == format!("{CONTAINERS}/blobs:prefix") => {
                Some(Attribute::ListPrefix)
            }
            "request" => of_assignment([
                Attribute::NewRole,
                Attribute::NewPrincipal,
                Attribute::NewPrincipalType,
            ]),
            _ => None,
        }
    }
}
