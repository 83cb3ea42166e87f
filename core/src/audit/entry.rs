//! One entry of the audit log and its canonical bytes.
//!
//! ```text
//! entry   = version(1) at(8) event request lease count(2) *field
//! event   = length(2) name
//! request = lease = 0x00 / 0x01 uuid(16)
//! field   = length(2) key length(2) value       ; keys strictly ascending
//! ```
//!
//! Numbers are big-endian; `at` is in microseconds since 1970 and signed. Every part is framed by
//! its length and every entry has one spelling only, so two entries never share their bytes, and
//! what a verifier hashes is what an auditor reads.
//!
//! An entry is never lost because a part of it is too big: a long value is cut and says so, and
//! fields that do not fit are counted in [`FIELDS_LEFT_OUT`].

mod codec;

use core::fmt;
use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeStruct, Serializer};

pub use self::codec::DecodeError;
use super::event::Event;
use crate::id::{LeaseId, RequestId};
use crate::time::Timestamp;

/// The most bytes an encoded entry may have.
pub const ENTRY_LENGTH_MAX: usize = 64 * 1024;
/// The most fields an entry may have.
pub const FIELDS_MAX: usize = 64;
/// The most bytes a field's key may have.
pub const KEY_LENGTH_MAX: usize = 64;
/// The most bytes a field's value may have; a longer one is cut.
pub const VALUE_LENGTH_MAX: usize = 4096;
/// The field that counts the fields an entry had no room for.
pub const FIELDS_LEFT_OUT: &str = "fields_left_out";

/// Room kept free for [`FIELDS_LEFT_OUT`] and its number.
const LEFT_OUT_RESERVE: usize = 64;
/// Room kept free for the words that say that a value was cut.
const CUT_MARKER_RESERVE: usize = 64;

/// Something that happened: when, what, to which request and lease, and the details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    at: Timestamp,
    event: Event,
    request: Option<RequestId>,
    lease: Option<LeaseId>,
    fields: BTreeMap<String, String>,
}

impl Entry {
    /// An entry without details.
    #[must_use]
    pub const fn new(at: Timestamp, event: Event) -> Self {
        Self {
            at,
            event,
            request: None,
            lease: None,
            fields: BTreeMap::new(),
        }
    }

    /// The request it is about.
    #[must_use]
    pub const fn request(mut self, id: RequestId) -> Self {
        self.request = Some(id);
        self
    }

    /// The lease it is about.
    #[must_use]
    pub const fn lease(mut self, id: LeaseId) -> Self {
        self.lease = Some(id);
        self
    }

    /// Adds a detail. In the key everything but `a-z`, `0-9`, `_`, `.` and `-` becomes `_`.
    ///
    /// A key that is there already keeps its value: what a caller adds late, from claims or
    /// reasons, cannot replace what was said first. Such a field, and one that no longer fits, is
    /// counted in [`FIELDS_LEFT_OUT`].
    #[must_use]
    pub fn field(mut self, key: &str, value: impl fmt::Display) -> Self {
        let key = plain_key(key);
        let value = cut(value.to_string());
        let length = self.encoded_length() + codec::field_length(&key, &value) + LEFT_OUT_RESERVE;
        let fits = self.fields.len() < FIELDS_MAX - 1 && length <= ENTRY_LENGTH_MAX;
        if fits && key != FIELDS_LEFT_OUT && !self.fields.contains_key(&key) {
            self.fields.insert(key, value);
        } else {
            let before = self.fields.get(FIELDS_LEFT_OUT);
            let count = before.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            let count = count.saturating_add(1).to_string();
            self.fields.insert(FIELDS_LEFT_OUT.to_owned(), count);
        }
        self
    }

    /// Adds a detail if there is one.
    #[must_use]
    pub fn field_if_known(self, key: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    /// When it happened, by the clock of whoever wrote it.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// What happened.
    #[must_use]
    pub const fn event(&self) -> Event {
        self.event
    }

    /// The request it is about, if it is about one.
    #[must_use]
    pub const fn request_id(&self) -> Option<RequestId> {
        self.request
    }

    /// The lease it is about, if it is about one.
    #[must_use]
    pub const fn lease_id(&self) -> Option<LeaseId> {
        self.lease
    }

    /// The details, by key.
    #[must_use]
    pub const fn fields(&self) -> &BTreeMap<String, String> {
        &self.fields
    }
}

/// The key with everything outside its alphabet replaced.
fn plain_key(key: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if codec::is_key_character(c) => c,
        _ => '_',
    };
    let key: String = key.chars().take(KEY_LENGTH_MAX).map(plain).collect();
    if key.is_empty() { "_".to_owned() } else { key }
}

/// The value, or its beginning and a note of how long it was.
fn cut(mut value: String) -> String {
    let length = value.len();
    if length > VALUE_LENGTH_MAX {
        value.truncate(value.floor_char_boundary(VALUE_LENGTH_MAX - CUT_MARKER_RESERVE));
        value.push_str(&format!("… (cut, {length} bytes in full)"));
    }
    value
}

impl fmt::Display for Entry {
    /// One line for a person. Values are quoted, and whatever could move a terminal's cursor,
    /// change its colours, turn text around or start a new line is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.event)?;
        if let Some(request) = self.request {
            write!(f, " {request}")?;
        }
        if let Some(lease) = self.lease {
            write!(f, " {lease}")?;
        }
        for (key, value) in &self.fields {
            write!(f, " {key}=\"{}\"", value.escape_debug())?;
        }
        Ok(())
    }
}

impl Serialize for Entry {
    /// For showing: the time both as people and as programs read it. The canonical form, which is
    /// hashed, is [`Entry::encode`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Entry", 6)?;
        out.serialize_field("at", &self.at.to_string())?;
        out.serialize_field("at_micros", &self.at)?;
        out.serialize_field("event", self.event.as_str())?;
        match &self.request {
            Some(request) => out.serialize_field("request", request)?,
            None => out.skip_field("request")?,
        }
        match &self.lease {
            Some(lease) => out.serialize_field("lease", lease)?,
            None => out.skip_field("lease")?,
        }
        out.serialize_field("fields", &self.fields)?;
        out.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn blank() -> Entry {
        Entry::new(Timestamp::from_seconds(1_795_392_000), Event::LeaseGranted)
    }

    #[test]
    fn a_long_value_is_cut_between_characters_and_says_so() {
        let entry = blank().field("reason", "ü".repeat(VALUE_LENGTH_MAX));
        let value = &entry.fields()["reason"];
        assert!(value.len() <= VALUE_LENGTH_MAX);
        assert!(value.ends_with("… (cut, 8192 bytes in full)"), "{value}");
        let whole = "x".repeat(VALUE_LENGTH_MAX);
        let entry = blank().field("reason", &whole);
        assert_eq!(entry.fields()["reason"], whole);
    }

    #[test]
    fn too_many_fields_are_counted_and_the_entry_stays() {
        let entry = (0..FIELDS_MAX + 10).fold(blank(), |e, i| e.field(&format!("k{i:03}"), i));
        assert_eq!(entry.fields().len(), FIELDS_MAX);
        assert_eq!(entry.fields()[FIELDS_LEFT_OUT], "11");
        assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
    }

    #[test]
    fn an_entry_never_outgrows_its_limit() {
        let big = "x".repeat(VALUE_LENGTH_MAX);
        let entry = (0..FIELDS_MAX).fold(blank(), |e, i| e.field(&format!("k{i}"), &big));
        let bytes = entry.encode();
        assert!(bytes.len() <= ENTRY_LENGTH_MAX && bytes.len() > ENTRY_LENGTH_MAX - 5000);
        assert_eq!(Entry::decode(&bytes).unwrap(), entry);
    }

    #[test]
    fn what_was_said_first_stays() {
        let entry = blank()
            .field("repository", "acme/shop")
            .field("REPOSITORY", "evil/fork")
            .field("repository", "evil/fork");
        assert_eq!(entry.fields()["repository"], "acme/shop");
        assert_eq!(entry.fields()[FIELDS_LEFT_OUT], "2");
    }

    #[test]
    fn the_count_of_left_out_fields_cannot_be_talked_down() {
        let entry = blank()
            .field("a", 1)
            .field("a", 2)
            .field(FIELDS_LEFT_OUT, 0);
        assert_eq!(entry.fields()[FIELDS_LEFT_OUT], "2");
        let entry = blank().field(FIELDS_LEFT_OUT, "none").field("a", 1);
        assert_eq!(entry.fields()[FIELDS_LEFT_OUT], "1");
    }

    #[test]
    fn a_terminal_is_shown_text_and_nothing_else() {
        let hostile = "\u{1b}[2J\u{9b}31m\r\n2026 lease_ended\u{202e}\u{200b}\u{2028}\"\\";
        let line = blank()
            .request(RequestId::fresh())
            .lease(LeaseId::fresh())
            .field("Rea\u{1b}son\n", hostile)
            .to_string();
        assert!(
            line.chars().all(|c| c == ' ' || c.is_ascii_graphic()),
            "{line}"
        );
        assert!(line.contains("rea_son_=\"\\u{1b}[2J"), "{line}");
        assert!(line.starts_with("2026-11-23T00:00:00.000Z lease_granted req_"));
    }

    #[test]
    fn programs_read_json() {
        let lease = LeaseId::fresh();
        let shown = serde_json::to_value(blank().lease(lease).field("slot", 3)).unwrap();
        let expected = serde_json::json!({
            "at": "2026-11-23T00:00:00.000Z",
            "at_micros": 1_795_392_000_000_000_i64,
            "event": "lease_granted",
            "lease": lease.to_string(),
            "fields": {"slot": "3"},
        });
        assert_eq!(shown, expected);
    }
}
