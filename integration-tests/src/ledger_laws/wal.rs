//! Counts durable commits from outside the process: in SQLite's write-ahead log, not by asking
//! the ledger.
//!
//! The log is a header of 32 bytes and frames of 24 bytes and one page each. A frame whose second
//! number is not 0 ends a transaction, and with `synchronous=FULL` each of those is one flush to
//! disk. Frames left over from before the log was last started anew bear other salts.
//! (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>)
//!
//! Count before and after, and compare: the numbers mean something only while the log grows, that
//! is for some thousand pages. [`Commits::since`] says when they no longer do.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Two numbers in the header, which every frame repeats.
const SALT_BYTES: usize = 8;

/// The commits that a write-ahead log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commits {
    count: u64,
    salt: [u8; SALT_BYTES],
}

impl Commits {
    /// Counts the commits in the write-ahead log of the ledger at `ledger`. No log is a log
    /// without commits.
    ///
    /// # Errors
    /// When the log cannot be read or is not one.
    pub fn of(ledger: &Path) -> io::Result<Self> {
        let mut name: OsString = ledger.into();
        name.push("-wal");
        match fs::read(name) {
            Ok(bytes) => count(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::none()),
            Err(error) => Err(error),
        }
    }

    const fn none() -> Self {
        Self {
            count: 0,
            salt: [0; SALT_BYTES],
        }
    }

    /// How many commits there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How many commits came after `earlier`; nothing when the log was started anew in between,
    /// so that nobody can tell.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<u64> {
        let same_log = self.salt == earlier.salt || *earlier == Self::none();
        let more = self.count.checked_sub(earlier.count);
        more.filter(|_| same_log)
    }
}

fn count(log: &[u8]) -> Option<Commits> {
    if log.is_empty() {
        return Some(Commits::none());
    }
    let (header, frames) = log.split_at_checked(HEADER_BYTES)?;
    let page_bytes = usize::try_from(number(header, 8)?).ok()?;
    let salt: [u8; SALT_BYTES] = header.get(16..16 + SALT_BYTES)?.try_into().ok()?;
    let commits = frames
        .chunks_exact(FRAME_HEADER_BYTES + page_bytes)
        .take_while(|frame| frame.get(8..8 + SALT_BYTES) == Some(salt.as_slice()))
        .filter(|frame| number(frame, 4).is_some_and(|pages| pages != 0));
    let count = commits.count() as u64;
    Some(Commits { count, salt })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + size_of::<u32>())?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}
