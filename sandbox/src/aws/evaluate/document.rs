//! JSON as a policy needs it: an object with the same key twice is refused.
//!
//! An ordinary JSON reader keeps the last of two equal keys. A policy read that way could hide a statement from
//! whoever reads the text, so AWS refuses such documents and so does this reader.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A JSON value whose objects keep their order and have no duplicate keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Document {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, kept as it would be printed.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Document>),
    /// An object.
    Object(Vec<(String, Document)>),
}

impl Document {
    /// Reads a whole text; anything after the value is an error.
    pub(crate) fn read(text: &str) -> Result<Document, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// A scalar as the text conditions compare: strings as they are, numbers and booleans as printed.
    pub(crate) fn scalar(&self) -> Option<String> {
        match self {
            Document::Text(text) | Document::Number(text) => Some(text.clone()),
            Document::Bool(value) => Some(value.to_string()),
            Document::Null | Document::List(_) | Document::Object(_) => None,
        }
    }

    /// One value or a list of values, as the policy language writes almost everything.
    pub(crate) fn one_or_many(&self) -> &[Document] {
        match self {
            Document::List(items) => items,
            single => std::slice::from_ref(single),
        }
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Document, E> {
        Ok(Document::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Document, E> {
        Ok(Document::Number(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Document, E> {
        Ok(Document::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Document, E> {
        Ok(Document::Number(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Document, E> {
        Ok(Document::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Document, E> {
        Ok(Document::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Document, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Document::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Document, A::Error> {
        let mut members: Vec<(String, Document)> = Vec::new();
        while let Some((key, value)) = access.next_entry::<String, Document>()? {
            if members.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom(format!("the key `{key}` appears twice")));
            }
            members.push((key, value));
        }
        Ok(Document::Object(members))
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}
