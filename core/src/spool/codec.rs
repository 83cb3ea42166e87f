//! How notes are written down.
//!
//! ```text
//! notes = *note
//! note  = version(8) length(4) body count(4) *entry     ; the body is the row's, to the byte
//! entry = length(4) canonical-bytes
//! ```
//!
//! The row's columns follow from its body and are not written.

use super::Note;
use crate::audit::Entry;

/// Why bytes are no notes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotANote {
    /// They stop in the middle.
    #[error("the notes end in the middle")]
    EndsEarly,
    /// What was written is no lease under revocation.
    #[error("a note is not about a lease under revocation")]
    NotRevoking,
    /// An entry of the audit log is not one.
    #[error("a note holds an audit entry that cannot be read: {0}")]
    NotAnEntry(String),
}

impl Note {
    /// Appends the note's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.row.version.to_be_bytes());
        put(out, self.row.body.as_bytes());
        put_length(out, self.entries.len());
        for entry in &self.entries {
            put(out, &entry.encode());
        }
    }

    /// Reads notes.
    ///
    /// # Errors
    /// When the bytes are anything else.
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, NotANote> {
        let mut rest = Rest(bytes);
        let mut notes = Vec::new();
        while !rest.0.is_empty() {
            notes.push(rest.note()?);
        }
        Ok(notes)
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    // Never cut: a ledger's row and a transaction are far smaller.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn note(&mut self) -> Result<Note, NotANote> {
        let version = u64::from_be_bytes(self.take()?);
        let body = core::str::from_utf8(self.framed()?).map_err(|_| NotANote::NotRevoking)?;
        let count = self.length()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            let entry = Entry::decode(self.framed()?);
            entries.push(entry.map_err(|error| NotANote::NotAnEntry(error.to_string()))?);
        }
        Note::of(version, body, entries).ok_or(NotANote::NotRevoking)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], NotANote> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(NotANote::EndsEarly)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn length(&mut self) -> Result<usize, NotANote> {
        let length = u32::from_be_bytes(self.take()?);
        usize::try_from(length).map_err(|_| NotANote::EndsEarly)
    }

    fn framed(&mut self) -> Result<&'a [u8], NotANote> {
        let length = self.length()?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NotANote::EndsEarly)?;
        self.0 = rest;
        Ok(taken)
    }
}
