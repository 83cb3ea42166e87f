//! An entry's canonical bytes: written one way, read strictly.

use uuid::Uuid;

use super::{ENTRY_LENGTH_MAX, Entry, FIELDS_MAX, KEY_LENGTH_MAX, VALUE_LENGTH_MAX};
use crate::audit::event::Event;
use crate::id::{LeaseId, RequestId};
use crate::time::Timestamp;

/// The first byte of every entry. Another layout gets another number.
const VERSION: u8 = 1;
const ABSENT: u8 = 0;
const PRESENT: u8 = 1;
const UUID_LENGTH: usize = 16;
/// Bytes of a big-endian length in front of a name, a key or a value.
const FRAME_LENGTH: usize = size_of::<u16>();

/// Why bytes are not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There are more bytes than any entry may have.
    #[error("the entry is {seen} bytes long, at most {ENTRY_LENGTH_MAX} are allowed")]
    TooLong {
        /// How many bytes there are.
        seen: usize,
    },
    /// The layout is not one this version knows.
    #[error("the entry has layout `{seen}`, expected `1`")]
    UnknownVersion {
        /// The first byte.
        seen: u8,
    },
    /// The bytes stop in the middle.
    #[error("the entry ends in the middle of {part}")]
    EndsEarly {
        /// What was being read.
        part: &'static str,
    },
    /// Bytes are left over.
    #[error("{count} bytes follow the end of the entry")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// The event is not in the table.
    #[error("the entry's event is `{seen}`, which this version does not know")]
    UnknownEvent {
        /// Its name, shortened and escaped.
        seen: String,
    },
    /// A byte that says whether an id follows says neither.
    #[error("the byte before the {part} id is `{seen}`, expected `0` or `1`")]
    UnclearPresence {
        /// Which id.
        part: &'static str,
        /// The byte.
        seen: u8,
    },
    /// There are more fields than an entry may have.
    #[error("the entry has {seen} fields, at most {FIELDS_MAX} are allowed")]
    TooManyFields {
        /// How many it states.
        seen: usize,
    },
    /// A key is empty, too long, or has characters outside the alphabet.
    #[error("field {position} has a key outside `a-z 0-9 _ . -`, 1 to {KEY_LENGTH_MAX} long")]
    BadKey {
        /// Counted from 0.
        position: usize,
    },
    /// Keys are repeated or not in order.
    #[error("the key `{key}` is repeated or out of order")]
    KeyOutOfOrder {
        /// The second of the two.
        key: String,
    },
    /// A value is too long.
    #[error("the value of `{key}` is {seen} bytes long, at most {VALUE_LENGTH_MAX} are allowed")]
    ValueTooLong {
        /// The field's key.
        key: String,
        /// How long.
        seen: usize,
    },
    /// A value is not text.
    #[error("the value of `{key}` is not UTF-8")]
    NotText {
        /// The field's key.
        key: String,
    },
}

impl DecodeError {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "entry_too_long",
            Self::UnknownVersion { .. } => "entry_version_unknown",
            Self::EndsEarly { .. } => "entry_ends_early",
            Self::TrailingBytes { .. } => "entry_trailing_bytes",
            Self::UnknownEvent { .. } => "entry_event_unknown",
            Self::UnclearPresence { .. } => "entry_presence_unclear",
            Self::TooManyFields { .. } => "entry_too_many_fields",
            Self::BadKey { .. } => "entry_key_bad",
            Self::KeyOutOfOrder { .. } => "entry_key_out_of_order",
            Self::ValueTooLong { .. } => "entry_value_too_long",
            Self::NotText { .. } => "entry_value_not_text",
        }
    }
}

/// Whether a key may contain `c`.
pub(super) const fn is_key_character(c: char) -> bool {
    matches!(c, 'a'..='z' | '0'..='9' | '_' | '.' | '-')
}

/// How many bytes a field adds to an entry.
pub(super) const fn field_length(key: &str, value: &str) -> usize {
    2 * FRAME_LENGTH + key.len() + value.len()
}

impl Entry {
    /// How many bytes [`Entry::encode`] will give.
    pub(super) fn encoded_length(&self) -> usize {
        let id_length = |present: bool| 1 + if present { UUID_LENGTH } else { 0 };
        let fields = self
            .fields
            .iter()
            .map(|(key, value)| field_length(key, value));
        1 + size_of::<i64>()
            + FRAME_LENGTH
            + self.event.as_str().len()
            + id_length(self.request.is_some())
            + id_length(self.lease.is_some())
            + FRAME_LENGTH
            + fields.sum::<usize>()
    }

    /// The entry's canonical bytes: what is stored, hashed and handed out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_length());
        out.push(VERSION);
        out.extend_from_slice(&self.at.as_micros().to_be_bytes());
        put_text(&mut out, self.event.as_str());
        put_id(&mut out, self.request.map(|id| id.as_uuid()));
        put_id(&mut out, self.lease.map(|id| id.as_uuid()));
        put_length(&mut out, self.fields.len());
        for (key, value) in &self.fields {
            put_text(&mut out, key);
            put_text(&mut out, value);
        }
        out
    }

    /// Reads canonical bytes. Anything that [`Entry::encode`] would not have written is refused.
    ///
    /// # Errors
    /// When the bytes are not exactly one entry in its one spelling.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > ENTRY_LENGTH_MAX {
            return Err(DecodeError::TooLong { seen: bytes.len() });
        }
        let mut reader = Reader(bytes);
        let [version] = reader.take("its layout")?;
        if version != VERSION {
            return Err(DecodeError::UnknownVersion { seen: version });
        }
        let at = Timestamp::from_micros(i64::from_be_bytes(reader.take("its time")?));
        let mut entry = Self::new(at, reader.event()?);
        entry.request = reader.id("request")?.map(RequestId::from_uuid);
        entry.lease = reader.id("lease")?.map(LeaseId::from_uuid);
        reader.fields(&mut entry)?;
        if !reader.0.is_empty() {
            let count = reader.0.len();
            return Err(DecodeError::TrailingBytes { count });
        }
        Ok(entry)
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    // Every length that is put is bounded by a limit far below 65 536: see `limits_fit_the_frame`.
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_id(out: &mut Vec<u8>, id: Option<Uuid>) {
    match id {
        Some(id) => {
            out.push(PRESENT);
            out.extend_from_slice(id.as_bytes());
        }
        None => out.push(ABSENT),
    }
}

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], DecodeError> {
        let split = self.0.split_first_chunk();
        let (taken, rest) = split.ok_or(DecodeError::EndsEarly { part })?;
        self.0 = rest;
        Ok(*taken)
    }

    fn length(&mut self, part: &'static str) -> Result<usize, DecodeError> {
        self.take(part).map(u16::from_be_bytes).map(usize::from)
    }

    fn framed(&mut self, part: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.length(part)?;
        let split = self.0.split_at_checked(length);
        let (taken, rest) = split.ok_or(DecodeError::EndsEarly { part })?;
        self.0 = rest;
        Ok(taken)
    }

    fn event(&mut self) -> Result<Event, DecodeError> {
        let name = String::from_utf8_lossy(self.framed("its event")?);
        name.parse().map_err(|_| DecodeError::UnknownEvent {
            seen: name
                .chars()
                .take(64)
                .flat_map(char::escape_default)
                .collect(),
        })
    }

    fn id(&mut self, part: &'static str) -> Result<Option<Uuid>, DecodeError> {
        match self.take(part)? {
            [ABSENT] => Ok(None),
            [PRESENT] => self.take(part).map(Uuid::from_bytes).map(Some),
            [seen] => Err(DecodeError::UnclearPresence { part, seen }),
        }
    }

    fn fields(&mut self, entry: &mut Entry) -> Result<(), DecodeError> {
        let count = self.length("its number of fields")?;
        if count > FIELDS_MAX {
            return Err(DecodeError::TooManyFields { seen: count });
        }
        for position in 0..count {
            let key = self.key(position)?;
            let last = entry.fields.last_key_value();
            if last.is_some_and(|(last, _)| last.as_str() >= key) {
                let key = key.to_owned();
                return Err(DecodeError::KeyOutOfOrder { key });
            }
            let value = self.value(key)?;
            entry.fields.insert(key.to_owned(), value.to_owned());
        }
        Ok(())
    }

    fn key(&mut self, position: usize) -> Result<&'a str, DecodeError> {
        let key = str::from_utf8(self.framed("a key")?).unwrap_or("");
        let sound = !key.is_empty() && key.len() <= KEY_LENGTH_MAX;
        if sound && key.chars().all(is_key_character) {
            Ok(key)
        } else {
            Err(DecodeError::BadKey { position })
        }
    }

    fn value(&mut self, key: &str) -> Result<&'a str, DecodeError> {
        let value = self.framed("a value")?;
        let key = || key.to_owned();
        if value.len() > VALUE_LENGTH_MAX {
            let seen = value.len();
            return Err(DecodeError::ValueTooLong { key: key(), seen });
        }
        str::from_utf8(value).map_err(|_| DecodeError::NotText { key: key() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Entry> {
        let id = || proptest::option::of(any::<u128>());
        let fields = proptest::collection::vec((".{0,6}", ".{0,40}"), 0..8);
        (any::<i64>(), 0..Event::ALL.len(), id(), id(), fields).prop_map(
            |(at, event, request, lease, fields)| {
                let mut entry = Entry::new(Timestamp::from_micros(at), Event::ALL[event]);
                if let Some(id) = request {
                    entry = entry.request(RequestId::from_uuid(Uuid::from_u128(id)));
                }
                if let Some(id) = lease {
                    entry = entry.lease(LeaseId::from_uuid(Uuid::from_u128(id)));
                }
                let add = |entry: Entry, (key, value): (String, String)| entry.field(&key, value);
                fields.into_iter().fold(entry, add)
            },
        )
    }

    /// Entries that are easily confused when the framing is weak: few ids, few letters.
    fn close_entries() -> impl Strategy<Value = Entry> {
        let id = || proptest::option::of(0..2_u128);
        let fields = proptest::collection::vec(("[ab]{1,2}", "[ab]{0,2}"), 0..3);
        (0..2_usize, id(), id(), fields).prop_map(|(event, request, lease, fields)| {
            let mut entry = Entry::new(Timestamp::default(), Event::ALL[event]);
            entry.request = request.map(Uuid::from_u128).map(RequestId::from_uuid);
            entry.lease = lease.map(Uuid::from_u128).map(LeaseId::from_uuid);
            entry.fields = fields.into_iter().collect();
            entry
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn every_entry_reads_back_as_itself(entry in entries()) {
            let bytes = entry.encode();
            prop_assert_eq!(bytes.len(), entry.encoded_length());
            prop_assert_eq!(Entry::decode(&bytes).unwrap(), entry);
        }

        #[test]
        fn distinct_entries_have_distinct_bytes(one in close_entries(), other in close_entries()) {
            prop_assert_eq!(one == other, one.encode() == other.encode());
        }

        #[test]
        fn changed_bytes_are_another_entry_or_none(
            entry in entries(), place in any::<prop::sample::Index>(), bit in 0..8_u8,
        ) {
            let mut bytes = entry.encode();
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            if let Ok(read) = Entry::decode(&bytes) {
                prop_assert_ne!(&read, &entry);
                prop_assert_eq!(read.encode(), bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_never_break_the_reader(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200), sound_start in any::<bool>(),
        ) {
            if sound_start && !bytes.is_empty() {
                bytes[0] = VERSION;
            }
            if let Ok(read) = Entry::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }

    fn sample() -> Entry {
        Entry::new(Timestamp::from_micros(7), Event::LeaseEnded)
            .lease(LeaseId::from_uuid(Uuid::from_u128(9)))
            .field("a", "one")
            .field("b", "two")
    }

    fn code_of(bytes: &[u8]) -> &'static str {
        Entry::decode(bytes).unwrap_err().code()
    }

    #[test]
    fn the_layout_is_written_down() {
        let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 11];
        expected.extend_from_slice(b"lease_ended");
        expected.extend_from_slice(&[0, 1]);
        expected.extend_from_slice(&9_u128.to_be_bytes());
        expected.extend_from_slice(b"\0\x02\0\x01a\0\x03one\0\x01b\0\x03two");
        assert_eq!(sample().encode(), expected);
    }

    #[test]
    fn an_entry_cut_anywhere_is_refused() {
        let bytes = sample().encode();
        for length in 0..bytes.len() {
            assert_eq!(code_of(&bytes[..length]), "entry_ends_early", "{length}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(code_of(&longer), "entry_trailing_bytes");
    }

    #[test]
    fn each_strictness_has_its_refusal() {
        let with = |from: &[u8], to: &[u8]| {
            let bytes = sample().encode();
            let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
            [&bytes[..at], to, &bytes[at + from.len()..]].concat()
        };
        let long_value = [b"\x10\x01".as_slice(), &[b'x'; VALUE_LENGTH_MAX + 1]].concat();
        let long_key = [b"\0\x41".as_slice(), &[b'a'; KEY_LENGTH_MAX + 1]].concat();
        let cases: [(&str, Vec<u8>); 11] = [
            ("entry_version_unknown", with(&[1, 0, 0], &[2, 0, 0])),
            ("entry_event_unknown", with(b"lease_ended", b"lease_eaten")),
            (
                "entry_event_unknown",
                with(b"lease_ended", b"lease_\xffnded"),
            ),
            ("entry_presence_unclear", with(b"ended\0", b"ended\x02")),
            (
                "entry_too_many_fields",
                with(b"\0\x02\0\x01a", b"\0\x41\0\x01a"),
            ),
            ("entry_key_bad", with(b"\x01a", b"\x01A")),
            ("entry_key_bad", with(b"\0\x01a", b"\0\0")),
            ("entry_key_bad", with(b"\0\x01a", &long_key)),
            ("entry_key_out_of_order", with(b"\x01b", b"\x01a")),
            ("entry_value_too_long", with(b"\0\x03two", &long_value)),
            ("entry_value_not_text", with(b"two", b"t\xffo")),
        ];
        for (code, bytes) in cases {
            assert_eq!(code_of(&bytes), code);
        }
        assert_eq!(
            code_of(&with(b"\x01a\0\x03one", b"\x01c\0\x03one")),
            "entry_key_out_of_order"
        );
        assert_eq!(code_of(&vec![1; ENTRY_LENGTH_MAX + 1]), "entry_too_long");
    }

    #[test]
    fn limits_fit_the_frame() {
        let longest = [VALUE_LENGTH_MAX, KEY_LENGTH_MAX, FIELDS_MAX];
        assert!(longest.iter().all(|&limit| limit <= usize::from(u16::MAX)));
        assert!(
            Event::ALL
                .iter()
                .all(|event| event.as_str().len() <= KEY_LENGTH_MAX)
        );
    }
}
