//! Reading a dump. Nothing of it is believed before the last line agrees with all the others.

use std::io::{self, BufRead, Read as _};

use super::line::{Closing, Counts, FORMAT, LINE_LENGTH_MAX, Line, Read};
use super::write::Seen;
use super::{Part, Record};
use crate::audit::Frontier;

/// Why something is not a whole dump of a ledger.
#[derive(Debug, thiserror::Error)]
pub enum BadDump {
    /// It cannot be read.
    #[error("the dump cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is something else, or of a later version.
    #[error(
        "this is not a dump that this version can read: expected `{{\"jitney-ledger\":{FORMAT}}}`"
    )]
    NotADump,
    /// A line is not one of a dump.
    #[error("line {line} of the dump is damaged: {why}")]
    Damaged {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It ends before its last line.
    #[error("the dump is cut off: its last line is missing")]
    CutOff,
    /// The last line tells of something else than what came.
    #[error("the dump was changed: its last line does not agree with what is before it")]
    Changed,
    /// Something comes after its last line.
    #[error("the dump goes on after its last line")]
    GoesOn,
}

impl BadDump {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "dump_unreadable",
            Self::NotADump => "dump_not_a_dump",
            Self::Damaged { .. } => "dump_damaged",
            Self::CutOff => "dump_cut_off",
            Self::Changed => "dump_changed",
            Self::GoesOn => "dump_goes_on",
        }
    }
}

/// Reads a dump.
pub struct DumpReader<R> {
    input: R,
    lines: u64,
    seen: Seen,
    part: Part,
    end: Option<Closing>,
}

impl<R: BufRead> DumpReader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// When it is not a dump.
    pub fn begin(input: R) -> Result<Self, BadDump> {
        let mut reader = Self {
            input,
            lines: 0,
            seen: Seen::default(),
            part: Part::Requests,
            end: None,
        };
        let (bytes, line) = reader.line().map_err(|bad| match bad {
            BadDump::Unreadable(error) => BadDump::Unreadable(error),
            _ => BadDump::NotADump,
        })?;
        reader.seen.bytes(&bytes);
        match line {
            Read::Begin(FORMAT) => Ok(reader),
            Read::Begin(_) | Read::Record(_) | Read::End(_) => Err(BadDump::NotADump),
        }
    }

    /// The next record; nothing once the last line was read and agrees with all before it.
    ///
    /// # Errors
    /// When the dump is not whole.
    pub fn record(&mut self) -> Result<Option<Record>, BadDump> {
        if self.end.is_some() {
            return Ok(None);
        }
        let (bytes, line) = self.line()?;
        match line {
            Read::Record(record) if record.part() >= self.part => {
                self.part = record.part();
                self.seen.bytes(&bytes);
                self.seen.record(&record);
                Ok(Some(*record))
            }
            Read::Record(_) => Err(self.damaged("it does not come in its order")),
            Read::Begin(_) => Err(self.damaged("it begins anew")),
            Read::End(closing) if closing == self.seen.closing() => {
                if !self.input.fill_buf()?.is_empty() {
                    return Err(BadDump::GoesOn);
                }
                self.end = Some(closing);
                Ok(None)
            }
            Read::End(_) => Err(BadDump::Changed),
        }
    }

    /// What was read, once all of it was.
    #[must_use]
    pub fn counts(&self) -> Option<Counts> {
        self.end.as_ref().map(|closing| closing.counts)
    }

    /// The peaks of the tree over the entries that were read.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.seen.frontier
    }

    fn line(&mut self) -> Result<(Vec<u8>, Read), BadDump> {
        let mut bytes = Vec::new();
        let most = LINE_LENGTH_MAX as u64;
        let mut some = self.input.by_ref().take(most);
        let _ = some.read_until(b'\n', &mut bytes)?;
        self.lines = self.lines.saturating_add(1);
        match bytes.last() {
            Some(b'\n') => {}
            Some(_) if bytes.len() == LINE_LENGTH_MAX => {
                return Err(self.damaged("it is longer than any line"));
            }
            Some(_) | None => return Err(BadDump::CutOff),
        }
        let line: Line = serde_json::from_slice(&bytes)
            // Where, and never what: the message would repeat what was read.
            .map_err(|error| self.damaged(&format!("column {}", error.column())))?;
        let line = Read::try_from(line).map_err(|_| self.damaged("its base64"))?;
        Ok((bytes, line))
    }

    fn damaged(&self, why: &str) -> BadDump {
        BadDump::Damaged {
            line: self.lines,
            why: why.to_owned(),
        }
    }
}
