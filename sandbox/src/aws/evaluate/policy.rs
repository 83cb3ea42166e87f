//! A policy document: read once, refused as AWS refuses it, then shared.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::document::Document;
use super::pattern::Variables;
use super::principal::PrincipalName;
use super::statement::Statement;

/// What a policy is attached to; each kind has elements it must and must not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Attached to a user or role, a boundary, or a session policy: no `Principal`.
    Identity,
    /// Attached to a resource: `Principal` and `Resource`.
    Resource,
    /// A role's trust policy: `Principal`, no `Resource`, only actions of `sts`.
    Trust,
}

/// What a statement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// The request is granted, unless something denies it.
    Allow,
    /// The request is refused, whatever grants it.
    Deny,
}

/// Why a document was refused, in AWS's words where they are known.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Malformed {
    reason: String,
}

impl Malformed {
    pub(crate) fn new(reason: impl Into<String>) -> Malformed {
        Malformed {
            reason: reason.into(),
        }
    }
}

/// A parsed policy. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Policy {
    body: Arc<Body>,
}

#[derive(Debug)]
struct Body {
    source: String,
    kind: PolicyKind,
    statements: Vec<Statement>,
}

impl Policy {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// [`Malformed`] for everything AWS answers with `MalformedPolicyDocument`: bad JSON, a key given twice,
    /// unknown elements, missing or forbidden elements, unknown operators, bad ARNs and principals.
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Policy, Malformed> {
        let document = Document::read(text)
            .map_err(|error| Malformed::new(format!("Syntax errors in policy. {error}")))?;
        let Document::Object(members) = document else {
            return Err(Malformed::new(
                "Syntax errors in policy. The document is not an object",
            ));
        };
        let mut variables = Variables::Literal;
        let mut statements = None;
        for (key, value) in &members {
            match (key.as_str(), value) {
                ("Version", Document::Text(version)) if version == "2012-10-17" => {
                    variables = Variables::Substituted
                }
                ("Version", Document::Text(version)) if version == "2008-10-17" => {}
                ("Version", _) => {
                    return Err(Malformed::new(
                        "Policy document must be version 2012-10-17 or greater.",
                    ));
                }
                ("Id", Document::Text(_)) => {}
                ("Statement", value) => statements = Some(value),
                _ => {
                    return Err(Malformed::new(format!(
                        "Syntax errors in policy. The element `{key}` is not known"
                    )));
                }
            }
        }
        let statements = statements
            .map(Document::one_or_many)
            .filter(|statements| !statements.is_empty())
            .ok_or_else(|| Malformed::new("Syntax errors in policy. There is no statement"))?
            .iter()
            .map(|statement| Statement::read(statement, kind, variables))
            .collect::<Result<Vec<Statement>, Malformed>>()?;
        check_sids(&statements)?;
        Ok(Policy {
            body: Arc::new(Body {
                source: text.to_owned(),
                kind,
                statements,
            }),
        })
    }

    /// An identity policy that says nothing, and so allows nothing.
    pub fn silent() -> Policy {
        let source = r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned();
        Policy {
            body: Arc::new(Body {
                source,
                kind: PolicyKind::Identity,
                statements: Vec::new(),
            }),
        }
    }

    /// The document as it was written.
    pub fn source(&self) -> &str {
        &self.body.source
    }

    /// What it may be attached to.
    pub fn kind(&self) -> PolicyKind {
        self.body.kind
    }

    /// The same policy without its Deny statements: what a cloud that ignores Deny would enforce.
    #[must_use]
    pub fn without_deny(&self) -> Policy {
        let statements = self
            .body
            .statements
            .iter()
            .filter(|statement| statement.effect == Effect::Allow);
        self.with_statements(statements.cloned().collect())
    }

    /// The same policy with each user and role it names bound to the unique id that `id_of` knows for it.
    #[must_use]
    pub(crate) fn bound(&self, id_of: impl Fn(&str) -> Option<String>) -> Policy {
        let mut statements = self.body.statements.clone();
        let principals = statements
            .iter_mut()
            .filter_map(|statement| statement.principals.as_mut());
        for name in principals.flat_map(|principals| principals.names.iter_mut()) {
            if let PrincipalName::Entity { arn, id } = name {
                *id = id_of(arn);
            }
        }
        self.with_statements(statements)
    }

    /// Every principal the policy names.
    pub(crate) fn principals(&self) -> impl Iterator<Item = &PrincipalName> {
        self.statements()
            .iter()
            .filter_map(|statement| statement.principals.as_ref())
            .flat_map(|some| &some.names)
    }

    /// Whether a statement speaks of a resource that is neither this one nor inside it.
    pub(crate) fn speaks_outside(&self, arn: &str) -> bool {
        let is_inside = |text: &String| {
            let rest = text.strip_prefix(arn);
            text == "*" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '*']))
        };
        !self
            .statements()
            .iter()
            .flat_map(Statement::resource_texts)
            .all(is_inside)
    }

    pub(crate) fn statements(&self) -> &[Statement] {
        &self.body.statements
    }

    fn with_statements(&self, statements: Vec<Statement>) -> Policy {
        Policy {
            body: Arc::new(Body {
                source: self.body.source.clone(),
                kind: self.body.kind,
                statements,
            }),
        }
    }
}

fn check_sids(statements: &[Statement]) -> Result<(), Malformed> {
    let mut sids: Vec<&String> = statements
        .iter()
        .filter_map(|statement| statement.sid.as_ref())
        .collect();
    sids.sort();
    let before = sids.len();
    sids.dedup();
    if sids.len() == before {
        Ok(())
    } else {
        Err(Malformed::new(
            "Statement IDs (SID) in a single policy must be unique.",
        ))
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Policy) -> bool {
        self.body.source == other.body.source && self.body.kind == other.body.kind
    }
}

impl Eq for Policy {}

/// Written as the document itself.
impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value =
            serde_json::from_str(&self.body.source).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

/// Read from the document itself; the kind is told by whether it has principals and resources.
impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
        let text = serde_json::Value::deserialize(deserializer)?.to_string();
        [
            PolicyKind::Identity,
            PolicyKind::Resource,
            PolicyKind::Trust,
        ]
        .into_iter()
        .find_map(|kind| Policy::parse(&text, kind).ok())
        .ok_or_else(|| serde::de::Error::custom(refusal(&text)))
    }
}

/// The most helpful of the three refusals: the one of the kind the document seems to be.
fn refusal(text: &str) -> String {
    let kind = if text.contains("Principal\"") {
        PolicyKind::Resource
    } else {
        PolicyKind::Identity
    };
    Policy::parse(text, kind)
        .err()
        .map_or_else(String::new, |malformed| malformed.to_string())
}
