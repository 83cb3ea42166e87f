//! The condition keys of a request. Keys are compared without regard to case; an absent key is not an empty one.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Condition keys and their values. A key with several values is multi-valued (`aws:TagKeys`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Context {
    keys: BTreeMap<String, Vec<String>>,
}

impl Context {
    /// No keys at all.
    pub fn new() -> Context {
        Context::default()
    }

    /// Sets a single-valued key, replacing what was there.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.keys.insert(key.to_lowercase(), vec![value.into()]);
    }

    /// Sets a multi-valued key, replacing what was there.
    pub fn set_all(&mut self, key: &str, values: Vec<String>) {
        self.keys.insert(key.to_lowercase(), values);
    }

    /// The same context with one more single-valued key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Context {
        self.set(key, value);
        self
    }

    /// The values of a key that is already in lower case; `None` when the key is absent.
    pub(crate) fn values(&self, lower_case_key: &str) -> Option<&[String]> {
        self.keys.get(lower_case_key).map(Vec::as_slice)
    }

    /// The value of a single-valued key. A policy variable over a multi-valued key has no one value.
    pub(crate) fn single(&self, lower_case_key: &str) -> Option<&str> {
        match self.values(lower_case_key) {
            Some([value]) => Some(value),
            _ => None,
        }
    }
}

/// A key's value as files may write it: one string, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Context, D::Error> {
        let written = BTreeMap::<String, OneOrMany>::deserialize(deserializer)?;
        let mut context = Context::new();
        for (key, value) in written {
            match value {
                OneOrMany::One(value) => context.set(&key, value),
                OneOrMany::Many(values) => context.set_all(&key, values),
            }
        }
        Ok(context)
    }
}
