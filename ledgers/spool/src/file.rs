//! The file: as large as it will ever be from the day it is made, so that a disk that fills up
//! later cannot stop it. Records are appended to it, each on disk before it counts.
//!
//! ```text
//! file   = header(4096) *record zeros
//! header = magic length(2) installation zeros
//! record = length(4) run(16) digest(32) payload      ; SHA-256 over run and payload
//! ```
//!
//! Emptying it writes a length of zero over the first record. What follows is still there, and is
//! told from later records by the run: a number drawn anew whenever the file was emptied.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use uuid::Uuid;

const MAGIC: &[u8] = b"jitney spool 1\n";
const HEADER_LENGTH: u64 = 4096;
const LENGTH_LENGTH: usize = 4;
const RUN_LENGTH: usize = 16;
const DIGEST_LENGTH: usize = 32;
const FRAME_LENGTH: usize = LENGTH_LENGTH + RUN_LENGTH + DIGEST_LENGTH;
/// The least that a spool may have room for, in bytes: the ends of a busy broker's leases.
pub const BYTES_MIN: u64 = 1024 * 1024;
/// How much is written at a time when the file is made.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Why a spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CannotOpen {
    /// Another process has it.
    #[error(
        "the spool `{}` is used by another process: every broker needs one of its own", .0.display()
    )]
    InUse(PathBuf),
    /// The file is something else.
    #[error("`{}` is not a spool: name a file that is not there yet", .0.display())]
    NotASpool(PathBuf),
    /// It belongs to another installation.
    #[error(
        "the spool `{}` belongs to installation `{seen}`, expected `{expected}`: what is noted in \
         it must be merged there", .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        seen: String,
        /// Whose it should be.
        expected: String,
    },
    /// The operating system did not do what it was asked.
    #[error("the spool `{}` cannot be opened: {reason}", .path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
}

/// Why something could not be noted.
#[derive(Debug, thiserror::Error)]
pub enum CannotNote {
    /// There is no room left.
    #[error("the spool is full")]
    Full,
    /// It could not be written.
    #[error("the spool cannot be written: {0}")]
    Failed(#[from] io::Error),
}

/// What was found in a spool.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What was noted, oldest first.
    pub payloads: Vec<Vec<u8>>,
    /// How many records cannot be read. One at the end was never acknowledged: the process, or
    /// the machine, stopped while it was written.
    pub unreadable: u32,
}

/// How many records wait in the spool at `path` to be merged; none where there is no spool.
///
/// # Errors
/// When it cannot be looked into: a broker has it open, or it is something else.
pub fn waiting(path: &Path, installation: &str) -> Result<usize, CannotOpen> {
    match path.try_exists() {
        Ok(false) => Ok(0),
        Ok(true) | Err(_) => {
            let (_, found) = SpoolFile::open(path, installation, 0)?;
            Ok(found.payloads.len())
        }
    }
}

/// A file for records, of a fixed size.
#[derive(Debug)]
pub struct SpoolFile {
    file: File,
    size: u64,
    /// Where the next record goes.
    end: u64,
    run: [u8; RUN_LENGTH],
}

impl SpoolFile {
    /// Opens a spool, made at least `bytes` large, and reads what is noted in it.
    ///
    /// # Errors
    /// When it is another's, something else, or cannot be made that large.
    pub fn open(path: &Path, installation: &str, bytes: u64) -> Result<(Self, Found), CannotOpen> {
        let failed = |reason| CannotOpen::Failed {
            path: path.to_owned(),
            reason,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CannotOpen::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        match owner(&file).map_err(failed)? {
            Owner::Nobody => {}
            Owner::SomethingElse => return Err(CannotOpen::NotASpool(path.to_owned())),
            Owner::Installation(seen) if seen == installation => {}
            Owner::Installation(seen) => {
                return Err(CannotOpen::Foreign {
                    path: path.to_owned(),
                    seen,
                    expected: installation.to_owned(),
                });
            }
        }
        let size = grow(&file, bytes.max(BYTES_MIN)).map_err(failed)?;
        lay_down(&file, path, installation).map_err(failed)?;
        let mut spool = Self {
            file,
            size,
            end: HEADER_LENGTH,
            run: Uuid::new_v4().into_bytes(),
        };
        let found = spool.read().map_err(failed)?;
        Ok((spool, found))
    }

    /// Notes something, on disk before it returns. `reserved` is what must stay free, in bytes.
    ///
    /// # Errors
    /// When there is no room, or the disk does not do it. Nothing is noted then.
    pub fn append(&mut self, payload: &[u8], reserved: u64) -> Result<(), CannotNote> {
        let length = u32::try_from(payload.len()).map_err(|_| CannotNote::Full)?;
        let taken = FRAME_LENGTH as u64 + u64::from(length);
        let end = self.end.saturating_add(taken);
        if end.saturating_add(reserved) > self.size {
            return Err(CannotNote::Full);
        }
        let mut record = Vec::with_capacity(FRAME_LENGTH.saturating_add(payload.len()));
        record.extend_from_slice(&length.to_be_bytes());
        record.extend_from_slice(&self.run);
        record.extend_from_slice(&digest(&self.run, payload));
        record.extend_from_slice(payload);
        self.file.write_all_at(&record, self.end)?;
        self.file.sync_data()?;
        self.end = end;
        Ok(())
    }

    /// How much there is room for, in bytes.
    #[must_use]
    pub const fn room(&self) -> u64 {
        self.size.saturating_sub(HEADER_LENGTH)
    }

    /// Empties it. The file stays as large as it is.
    ///
    /// # Errors
    /// When the disk does not do it. Then what was noted may be found again.
    pub fn clear(&mut self) -> io::Result<()> {
        // Whether or not the disk does it: what is noted next goes to where it will be looked for.
        self.end = HEADER_LENGTH;
        self.run = Uuid::new_v4().into_bytes();
        self.file.write_all_at(&[0; LENGTH_LENGTH], HEADER_LENGTH)?;
        self.file.sync_data()
    }

    fn read(&mut self) -> io::Result<Found> {
        let mut found = Found::default();
        let mut place = HEADER_LENGTH;
        let mut run = None;
        while let Some(record) = self.record(place)? {
            // A record of an earlier run: what comes from here on was emptied.
            if *run.get_or_insert(record.run) != record.run {
                break;
            }
            place = record.end;
            match record.payload {
                Some(payload) => {
                    self.end = record.end;
                    found.payloads.push(payload);
                }
                None => found.unreadable = found.unreadable.saturating_add(1),
            }
        }
        // What is noted next belongs to the same run, or it would not be found behind this.
        self.run = run.unwrap_or(self.run);
        Ok(found)
    }

    /// The record at a place, if there is one. What is as long as a record, but is not what was
    /// written, is one without its payload.
    fn record(&self, place: u64) -> io::Result<Option<Record>> {
        if place.saturating_add(FRAME_LENGTH as u64) > self.size {
            return Ok(None);
        }
        let length = u32::from_be_bytes(self.bytes(place)?);
        let run: [u8; RUN_LENGTH] = self.bytes(place.saturating_add(LENGTH_LENGTH as u64))?;
        let at = place.saturating_add((LENGTH_LENGTH + RUN_LENGTH) as u64);
        let expected: [u8; DIGEST_LENGTH] = self.bytes(at)?;
        let at = place.saturating_add(FRAME_LENGTH as u64);
        let end = at.saturating_add(u64::from(length));
        if length == 0 {
            return Ok(None);
        }
        if end > self.size {
            let end = self.size;
            return Ok(Some(Record {
                run,
                end,
                payload: None,
            }));
        }
        let mut payload = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut payload, at)?;
        let payload = (digest(&run, &payload) == expected).then_some(payload);
        Ok(Some(Record { run, end, payload }))
    }

    fn bytes<const N: usize>(&self, place: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, place)?;
        Ok(bytes)
    }
}

struct Record {
    run: [u8; RUN_LENGTH],
    end: u64,
    payload: Option<Vec<u8>>,
}

fn digest(run: &[u8], payload: &[u8]) -> [u8; DIGEST_LENGTH] {
    let mut context = Context::new(&SHA256);
    context.update(run);
    context.update(payload);
    let mut digest = [0; DIGEST_LENGTH];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

enum Owner {
    /// New, or its making was interrupted.
    Nobody,
    Installation(String),
    SomethingElse,
}

fn owner(file: &File) -> io::Result<Owner> {
    let length = file.metadata()?.len().min(HEADER_LENGTH);
    let mut header = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut header, 0)?;
    if header.iter().all(|byte| *byte == 0) {
        return Ok(Owner::Nobody);
    }
    let name = header.strip_prefix(MAGIC).and_then(|rest| {
        let (length, rest) = rest.split_first_chunk()?;
        rest.get(..usize::from(u16::from_be_bytes(*length)))
    });
    Ok(match name.map(core::str::from_utf8) {
        Some(Ok(name)) => Owner::Installation(name.to_owned()),
        Some(Err(_)) | None => Owner::SomethingElse,
    })
}

/// Makes the file as large as it must be. Zeros are written, not only reserved: where a file
/// system must still note which of its blocks were written, a full disk could stop that.
fn grow(file: &File, bytes: u64) -> io::Result<u64> {
    let mut size = file.metadata()?.len();
    while size < bytes {
        let more = bytes.saturating_sub(size).min(ZEROS.len() as u64);
        let zeros = ZEROS.get(..usize::try_from(more).unwrap_or(0));
        file.write_all_at(zeros.unwrap_or_default(), size)?;
        size = size.saturating_add(more);
    }
    file.sync_all()?;
    Ok(size)
}

/// Writes the header, last of all: a file without one is made anew.
fn lay_down(file: &File, path: &Path, installation: &str) -> io::Result<()> {
    let mut header = MAGIC.to_vec();
    let length = u16::try_from(installation.len()).unwrap_or(u16::MAX);
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(installation.as_bytes());
    file.write_all_at(&header, 0)?;
    file.sync_all()?;
    // The name must survive as well.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
