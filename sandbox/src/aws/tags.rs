//! Tags: keys that differ only in case are the same key.

use std::collections::BTreeMap;

use super::errors::AwsError;
use super::query_protocol::Params;

/// The most tags one thing or one session may carry.
pub(crate) const TAGS_MAX: usize = 50;
const KEY_CHARACTERS_MAX: usize = 128;
const VALUE_CHARACTERS_MAX: usize = 256;

/// Tags by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    /// The lower-case key, then the key as given and its value.
    by_folded_key: BTreeMap<String, (String, String)>,
}

impl Tags {
    pub(crate) fn from_map(map: &BTreeMap<String, String>) -> Tags {
        let mut tags = Tags::default();
        for (key, value) in map {
            tags.set(key, value);
        }
        tags
    }

    /// Sets a tag, replacing one whose key differs only in case.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.by_folded_key
            .insert(key.to_lowercase(), (key.to_owned(), value.to_owned()));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.by_folded_key.remove(&key.to_lowercase());
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.by_folded_key.contains_key(&key.to_lowercase())
    }

    pub(crate) fn len(&self) -> usize {
        self.by_folded_key.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_folded_key.is_empty()
    }

    /// Keys as given, and values, in the order of keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_folded_key
            .values()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.iter().map(|(key, _)| key.to_owned()).collect()
    }

    pub(crate) fn to_map(&self) -> BTreeMap<String, String> {
        self.iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// Reads `Tags.member.N.Key` and `.Value`, with every limit AWS puts on them.
    pub(crate) fn read(params: &Params) -> Result<Tags, AwsError> {
        let mut tags = Tags::default();
        for member in params.members("Tags") {
            let key = member.required("Key")?;
            let value = member.required("Value")?;
            check_length("tags.member.key", key, 1, KEY_CHARACTERS_MAX)?;
            check_length("tags.member.value", value, 0, VALUE_CHARACTERS_MAX)?;
            if !key.chars().all(is_tag_char) || key.to_lowercase().starts_with("aws:") {
                let pattern =
                    r"Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+";
                return Err(AwsError::constraint("tags.member.key", pattern));
            }
            if !value.chars().all(is_tag_char) {
                let pattern =
                    r"Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*";
                return Err(AwsError::constraint("tags.member.value", pattern));
            }
            if tags.contains(key) {
                return Err(AwsError::new(
                    400,
                    "InvalidInput",
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
                ));
            }
            tags.set(key, value);
        }
        if tags.len() > TAGS_MAX {
            return Err(AwsError::constraint(
                "tags",
                "Member must have length less than or equal to 50",
            ));
        }
        Ok(tags)
    }
}

fn is_tag_char(char: char) -> bool {
    char.is_alphanumeric() || char == ' ' || "_.:/=+-@".contains(char)
}

fn check_length(member: &str, text: &str, least: usize, most: usize) -> Result<(), AwsError> {
    let length = text.chars().count();
    if length < least {
        return Err(AwsError::constraint(
            member,
            &format!("Member must have length greater than or equal to {least}"),
        ));
    }
    if length > most {
        return Err(AwsError::constraint(
            member,
            &format!("Member must have length less than or equal to {most}"),
        ));
    }
    Ok(())
}
