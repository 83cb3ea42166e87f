//! IAM's policy language as far as Jitney writes it, and the encoder every value goes through on
//! its way into a policy.
//!
//! Inside a policy `*` and `?` match and `${…}` is replaced. A value that has one of these
//! characters is written as the variable that stands for it, so that it can only ever mean itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version whose variables [`literal`] relies on.
const LANGUAGE: &str = "2012-10-17";

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Document {
    version: String,
    pub(crate) statement: Vec<Statement>,
}

impl Document {
    pub(crate) fn new(statement: Vec<Statement>) -> Self {
        Self {
            version: LANGUAGE.to_owned(),
            statement,
        }
    }

    /// The policy without a space too much: AWS counts characters.
    pub(crate) fn compact(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Statement {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    #[serde(default, skip_serializing_if = "OneOrMany::is_absent")]
    pub(crate) action: OneOrMany,
    #[serde(default, skip_serializing_if = "OneOrMany::is_absent")]
    pub(crate) not_action: OneOrMany,
    #[serde(default, skip_serializing_if = "OneOrMany::is_absent")]
    pub(crate) resource: OneOrMany,
    #[serde(default, skip_serializing_if = "OneOrMany::is_absent")]
    pub(crate) not_resource: OneOrMany,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) condition: BTreeMap<String, BTreeMap<String, OneOrMany>>,
}

impl Statement {
    fn empty(effect: Effect) -> Self {
        Self {
            sid: None,
            effect,
            action: OneOrMany::default(),
            not_action: OneOrMany::default(),
            resource: OneOrMany::default(),
            not_resource: OneOrMany::default(),
            condition: BTreeMap::new(),
        }
    }

    /// Allows actions on resources.
    pub(crate) fn allow(action: impl Into<OneOrMany>, resource: impl Into<OneOrMany>) -> Self {
        Self {
            action: action.into(),
            resource: resource.into(),
            ..Self::empty(Effect::Allow)
        }
    }

    /// Denies actions on resources.
    pub(crate) fn deny(action: impl Into<OneOrMany>, resource: impl Into<OneOrMany>) -> Self {
        Self {
            action: action.into(),
            resource: resource.into(),
            ..Self::empty(Effect::Deny)
        }
    }

    /// Denies every action but these, everywhere.
    pub(crate) fn deny_all_but(not_action: impl Into<OneOrMany>) -> Self {
        Self {
            not_action: not_action.into(),
            resource: "*".into(),
            ..Self::empty(Effect::Deny)
        }
    }

    /// Denies actions everywhere but on these resources.
    pub(crate) fn deny_outside(
        action: impl Into<OneOrMany>,
        not_resource: impl Into<OneOrMany>,
    ) -> Self {
        Self {
            action: action.into(),
            not_resource: not_resource.into(),
            ..Self::empty(Effect::Deny)
        }
    }

    /// The same, only when a key of the request compares so.
    pub(crate) fn when(mut self, operator: &str, key: &str, values: impl Into<OneOrMany>) -> Self {
        let keys = self.condition.entry(operator.to_owned()).or_default();
        keys.insert(key.to_owned(), values.into());
        self
    }
}

/// One text, or a list: the language writes a list of one without its brackets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub(crate) struct OneOrMany(pub(crate) Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    const fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Written> for OneOrMany {
    fn from(written: Written) -> Self {
        match written {
            Written::One(text) => Self(vec![text]),
            Written::Many(texts) => Self(texts),
        }
    }
}

impl From<OneOrMany> for Written {
    fn from(mut texts: OneOrMany) -> Self {
        match (texts.0.len(), texts.0.pop()) {
            (1, Some(only)) => Self::One(only),
            (_, Some(last)) => {
                texts.0.push(last);
                Self::Many(texts.0)
            }
            (_, None) => Self::Many(texts.0),
        }
    }
}

impl From<&str> for OneOrMany {
    fn from(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }
}

impl From<String> for OneOrMany {
    fn from(text: String) -> Self {
        Self(vec![text])
    }
}

impl<T: Into<String>> FromIterator<T> for OneOrMany {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        Self(texts.into_iter().map(Into::into).collect())
    }
}

/// Writes a value so that it matches itself alone.
pub(crate) fn literal(value: &str) -> String {
    let mut written = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '*' | '?' | '$' => {
                written.push_str("${");
                written.push(character);
                written.push('}');
            }
            plain => written.push(plain),
        }
    }
    written
}

/// Writes a prefix so that it matches everything beneath itself and nothing else.
pub(crate) fn beneath(prefix: &str) -> String {
    literal(prefix) + "*"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    /// How AWS reads a pattern: variables for special characters first, then wildcards.
    fn means(pattern: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            let variable = ["${*}", "${?}", "${$}"]
                .iter()
                .find(|variable| rest.starts_with(*variable));
            let (piece, length) = match (variable, first) {
                (Some(variable), _) => (Piece::Literal(variable.chars().nth(2).unwrap()), 4),
                (None, '*' | '?') => (Piece::Wildcard(first), 1),
                (None, '$') if rest.starts_with("${") => (Piece::Variable, 2),
                (None, plain) => (Piece::Literal(plain), plain.len_utf8()),
            };
            pieces.push(piece);
            rest = rest.get(length..).unwrap();
        }
        pieces
    }

    #[derive(Debug, PartialEq, Clone)]
    enum Piece {
        Literal(char),
        Wildcard(char),
        Variable,
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back_as_itself(value in "[a-z*?${}\\\\\"/:é]{0,24}") {
            let expected: Vec<Piece> = value.chars().map(Piece::Literal).collect();
            prop_assert_eq!(means(&literal(&value)), expected.clone());

            let document = Document::new(vec![Statement::allow("s3:GetObject", literal(&value))]);
            let text = document.compact().unwrap();
            let read: Document = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &document);

            let mut whole = expected;
            whole.push(Piece::Wildcard('*'));
            prop_assert_eq!(means(&beneath(&value)), whole);
        }
    }

    #[test]
    fn the_reader_of_these_tests_sees_what_is_not_encoded() {
        assert_eq!(means("${aws:userid}").first(), Some(&Piece::Variable));
        assert_eq!(means("a*").last(), Some(&Piece::Wildcard('*')));
    }

    #[test]
    fn a_document_is_compact_and_strict() {
        let deny = Statement::deny("*", "*").when("StringEquals", "aws:PrincipalTag/x", "1");
        let text = Document::new(vec![deny]).compact().unwrap();
        assert_eq!(
            text,
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/x":"1"}}}]}"#
        );
        // What we do not write we do not understand, and must not take for ours.
        let foreign = text.replace("\"Effect\"", "\"Principal\":\"*\",\"Effect\"");
        assert!(serde_json::from_str::<Document>(&foreign).is_err());
    }
}
