//! The log in a file that anybody can verify: one JSON object per line.
//!
//! ```text
//! {"key":"jitney.example/audit+1234abcd+AR…"}
//! {"index":0,"entry":"<base64 of the canonical bytes>"}
//! {"index":1,"entry":"…"}
//! {"checkpoint":"<the note>"}
//! ```
//!
//! A checkpoint stands right after the last entry it covers, and the last line is one that covers
//! everything: an export that was cut anywhere else is not complete and is refused. The key in the
//! first line is for convenience. Whoever verifies brings the key along, and the two must agree.

use std::borrow::Cow;
use std::io::{self, BufRead, Read as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::entry::ENTRY_LENGTH_MAX;
use super::key::VerifierKey;
use super::note::{NOTE_LENGTH_MAX, Note};
use super::verify::{Verified, Verifier, VerifyError};

/// The most bytes a line may have. The longest entry and the longest note both fit.
pub const LINE_LENGTH_MAX: usize = 512 * 1024;

/// Room for the names, quotes and braces of a line.
const LINE_FRAME: usize = 100;
// Base64 makes four bytes of three. In a note's JSON, line feeds, quotes and backslashes take two.
const _: () = assert!(ENTRY_LENGTH_MAX.div_ceil(3) * 4 + LINE_FRAME < LINE_LENGTH_MAX);
const _: () = assert!(NOTE_LENGTH_MAX * 2 + LINE_FRAME < LINE_LENGTH_MAX);

/// One line. Which fields are there says what it is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Cow<'a, str>>,
}

/// Writes an export, one write for each line.
#[derive(Debug)]
pub struct ExportWriter<W> {
    out: W,
    size: u64,
}

impl<W: Write> ExportWriter<W> {
    /// Begins an export with the key's line.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn begin(out: W, key: &VerifierKey) -> io::Result<Self> {
        let mut writer = Self { out, size: 0 };
        writer.line(&Line {
            key: Some(key.to_string().into()),
            ..Line::default()
        })?;
        Ok(writer)
    }

    /// Writes the next entry's canonical bytes.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn entry(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.line(&Line {
            index: Some(self.size),
            entry: Some(STANDARD.encode(bytes).into()),
            ..Line::default()
        })?;
        self.size += 1;
        Ok(())
    }

    /// Writes a checkpoint that covers exactly the entries written so far.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn checkpoint(&mut self, note: &Note) -> io::Result<()> {
        self.line(&Line {
            checkpoint: Some(note.to_string().into()),
            ..Line::default()
        })
    }

    /// Ends the export and gives `out` back.
    ///
    /// # Errors
    /// When `out` cannot be flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.out.write_all(&bytes)
    }
}

/// Why an export is not a whole log as it was signed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It could not be read.
    #[error("the export could not be read at line {line}: {reason}")]
    Unreadable {
        /// Counted from 1.
        line: u64,
        /// What the system says.
        reason: io::Error,
    },
    /// A line is too long to be looked at.
    #[error("line {line} of the export is longer than {LINE_LENGTH_MAX} bytes")]
    LineTooLong {
        /// Counted from 1.
        line: u64,
    },
    /// A line is none of those an export has.
    #[error(
        "line {line} of the export is not an entry with its index, a checkpoint, or, at the \
         beginning, a key"
    )]
    LineUnclear {
        /// Counted from 1.
        line: u64,
    },
    /// The export is of another log than the key.
    #[error("the export states the key `{seen}`, but is verified with `{expected}`")]
    OtherKey {
        /// What it states, shortened and escaped.
        seen: String,
        /// The key that was brought along.
        expected: String,
    },
    /// An entry is missing, added or moved.
    #[error("line {line} of the export has entry {seen}, expected entry {expected}")]
    OutOfOrder {
        /// Counted from 1.
        line: u64,
        /// The index it states.
        seen: u64,
        /// The index that comes next.
        expected: u64,
    },
    /// The end is missing.
    #[error("the export ends with {uncovered} entries after its last checkpoint")]
    EndMissing {
        /// How many.
        uncovered: u64,
    },
    /// The log itself is not as it was signed.
    #[error("line {line} of the export: {reason}")]
    NotAsSigned {
        /// Counted from 1; the last line plus one when the end tells.
        line: u64,
        /// What is wrong.
        reason: VerifyError,
    },
}

impl ExportError {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "export_unreadable",
            Self::LineTooLong { .. } => "export_line_too_long",
            Self::LineUnclear { .. } => "export_line_unclear",
            Self::OtherKey { .. } => "export_of_other_key",
            Self::OutOfOrder { .. } => "export_out_of_order",
            Self::EndMissing { .. } => "export_end_missing",
            Self::NotAsSigned { reason, .. } => reason.code(),
        }
    }
}

/// Verifies a whole export with a verifier that holds the key, and the witnessed checkpoints if
/// there are any.
///
/// # Errors
/// At the first line that is not as it should be.
pub fn verify_export(
    mut input: impl BufRead,
    mut verifier: Verifier,
) -> Result<Verified, ExportError> {
    let mut line = 0;
    let mut text = Vec::new();
    loop {
        line += 1;
        text.clear();
        // One byte more than allowed shows that there is more.
        let read = (&mut input)
            .take(LINE_LENGTH_MAX as u64 + 1)
            .read_until(b'\n', &mut text)
            .map_err(|reason| ExportError::Unreadable { line, reason })?;
        if read == 0 {
            break;
        }
        if read > LINE_LENGTH_MAX {
            return Err(ExportError::LineTooLong { line });
        }
        take_line(&text, line, &mut verifier)?;
    }
    let verified = verifier.finish();
    let verified = verified.map_err(|reason| ExportError::NotAsSigned { line, reason })?;
    match verified.uncovered() {
        0 => Ok(verified),
        uncovered => Err(ExportError::EndMissing { uncovered }),
    }
}

fn take_line(text: &[u8], line: u64, verifier: &mut Verifier) -> Result<(), ExportError> {
    let unclear = || ExportError::LineUnclear { line };
    let read: Line<'_> = serde_json::from_slice(text).map_err(|_| unclear())?;
    match (read.key, read.index, read.entry, read.checkpoint) {
        (Some(key), None, None, None) if line == 1 => must_be_key(&key, verifier.key()),
        (None, Some(index), Some(entry), None) => {
            let expected = verifier.size();
            if index != expected {
                let seen = index;
                return Err(ExportError::OutOfOrder {
                    line,
                    seen,
                    expected,
                });
            }
            let bytes = STANDARD.decode(entry.as_bytes()).map_err(|_| unclear())?;
            let outcome = verifier.entry(&bytes).map(drop);
            outcome.map_err(|reason| ExportError::NotAsSigned { line, reason })
        }
        (None, None, None, Some(note)) => verifier
            .checkpoint(&note)
            .map_err(|reason| ExportError::NotAsSigned { line, reason }),
        _ => Err(unclear()),
    }
}

fn must_be_key(seen: &str, key: &VerifierKey) -> Result<(), ExportError> {
    let expected = key.to_string();
    if seen == expected {
        return Ok(());
    }
    let seen = seen.chars().take(400).flat_map(char::escape_default);
    Err(ExportError::OtherKey {
        seen: seen.collect(),
        expected,
    })
}
