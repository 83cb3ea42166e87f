//! Writing a dump.
//!
//! ```text
//! {"jitney-ledger":1}
//! {"request":{…}}
//! {"lease":{…}}
//! …
//! {"entry":"<base64 of the canonical bytes>"}
//! {"end":{"counts":{…},"root":"…","sha256":"…"}}
//! ```

use std::io::{self, Write};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Record;
use super::line::{Closing, Counts, FORMAT, LINE_LENGTH_MAX, Line};
use crate::audit::{Frontier, LeafHash};

/// Writes a dump, one write for each line.
pub struct DumpWriter<W> {
    out: W,
    seen: Seen,
}

impl<W: Write> DumpWriter<W> {
    /// Begins a dump.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn begin(out: W) -> io::Result<Self> {
        let mut writer = Self {
            out,
            seen: Seen::default(),
        };
        writer.line(&Line::JitneyLedger(FORMAT))?;
        Ok(writer)
    }

    /// Writes one record.
    ///
    /// # Errors
    /// When `out` cannot be written to, or the record is longer than any line may be.
    pub fn record(&mut self, record: Record) -> io::Result<()> {
        self.seen.record(&record);
        self.line(&record.into())
    }

    /// Writes the last line, without which a dump is not complete. Gives what it says.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn finish(mut self) -> io::Result<Counts> {
        let closing = self.seen.closing();
        let counts = closing.counts;
        self.line(&Line::End(closing))?;
        self.out.flush()?;
        Ok(counts)
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        let bytes = line.bytes()?;
        if bytes.len() > LINE_LENGTH_MAX {
            let words = format!("a line of {} bytes", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        self.seen.bytes(&bytes);
        self.out.write_all(&bytes)
    }
}

/// What was written or read so far, as the last line must tell it.
pub(super) struct Seen {
    counts: Counts,
    pub(super) frontier: Frontier,
    digest: Context,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            frontier: Frontier::new(),
            digest: Context::new(&SHA256),
        }
    }
}

impl Seen {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    pub(super) fn record(&mut self, record: &Record) {
        self.counts.add(record.part());
        if let Record::Entry(bytes) = record {
            self.frontier.append(LeafHash::of(bytes));
        }
    }

    pub(super) fn closing(&self) -> Closing {
        Closing {
            counts: self.counts,
            root: STANDARD.encode(self.frontier.root().as_bytes()),
            sha256: STANDARD.encode(self.digest.clone().finish()),
        }
    }
}
