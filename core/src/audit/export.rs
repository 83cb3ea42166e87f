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

use super::all_cores::on_all_cores;
use super::entry::ENTRY_LENGTH_MAX;
use super::key::VerifierKey;
use super::note::{NOTE_LENGTH_MAX, Note};
use super::verify::{Seen, Verified, Verifier, VerifyError};

/// The most bytes a line may have. The longest entry and the longest note both fit.
pub const LINE_LENGTH_MAX: usize = 512 * 1024;

/// How many lines are looked at together, and how many bytes of them are enough.
const LINES_TOGETHER: usize = 2_000;
const BYTES_TOGETHER: usize = 4 * 1024 * 1024;

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
    loop {
        let (texts, then) = read_lines(&mut input, line + 1);
        let key = verifier.key();
        for read in on_all_cores(&texts, |text| Read::of(text, key)) {
            line += 1;
            take_line(read, line, &mut verifier)?;
        }
        match then {
            Then::More => {}
            Then::End => break,
            Then::Stop(error) => return Err(error),
        }
    }
    let line = line + 1;
    let verified = verifier.finish();
    let verified = verified.map_err(|reason| ExportError::NotAsSigned { line, reason })?;
    match verified.uncovered() {
        0 => Ok(verified),
        uncovered => Err(ExportError::EndMissing { uncovered }),
    }
}

/// What comes after some lines.
enum Then {
    More,
    End,
    /// A line that cannot be read: those before it are judged first.
    Stop(ExportError),
}

/// Reads some lines, of which the first has this number.
fn read_lines(input: &mut impl BufRead, first: u64) -> (Vec<Vec<u8>>, Then) {
    let (mut texts, mut bytes) = (Vec::new(), 0);
    for line in (first..).take(LINES_TOGETHER) {
        let mut text = Vec::new();
        // One byte more than allowed shows that there is more.
        let mut limited = input.take(LINE_LENGTH_MAX as u64 + 1);
        match limited.read_until(b'\n', &mut text) {
            Ok(0) => return (texts, Then::End),
            Ok(read) if read > LINE_LENGTH_MAX => {
                return (texts, Then::Stop(ExportError::LineTooLong { line }));
            }
            Ok(read) => bytes += read,
            Err(reason) => {
                return (texts, Then::Stop(ExportError::Unreadable { line, reason }));
            }
        }
        texts.push(text);
        if bytes >= BYTES_TOGETHER {
            break;
        }
    }
    (texts, Then::More)
}

/// What a line says, by itself.
enum Read {
    Key(String),
    /// An entry with its index; nothing instead of it when it is not base64.
    Entry(u64, Option<Seen>),
    Checkpoint(Seen),
    Unclear,
}

impl Read {
    fn of(text: &[u8], key: &VerifierKey) -> Self {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(text) else {
            return Self::Unclear;
        };
        match (line.key, line.index, line.entry, line.checkpoint) {
            (Some(key), None, None, None) => Self::Key(key.into_owned()),
            (None, Some(index), Some(entry), None) => {
                let bytes = STANDARD.decode(entry.as_bytes()).ok();
                Self::Entry(index, bytes.map(|bytes| Seen::entry(&bytes)))
            }
            (None, None, None, Some(note)) => Self::Checkpoint(Seen::checkpoint(&note, key)),
            _ => Self::Unclear,
        }
    }
}

fn take_line(read: Read, line: u64, verifier: &mut Verifier) -> Result<(), ExportError> {
    let unclear = || ExportError::LineUnclear { line };
    let seen = match read {
        Read::Key(key) if line == 1 => return must_be_key(&key, verifier.key()),
        Read::Entry(seen, found) => {
            let expected = verifier.size();
            if seen != expected {
                return Err(ExportError::OutOfOrder {
                    line,
                    seen,
                    expected,
                });
            }
            found.ok_or_else(unclear)?
        }
        Read::Checkpoint(seen) => seen,
        Read::Key(_) | Read::Unclear => return Err(unclear()),
    };
    let taken = verifier.take_seen(seen);
    taken.map_err(|reason| ExportError::NotAsSigned { line, reason })
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
