//! The file, and the right to be its only broker.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::open::CannotOpen;

/// Readable and writable by the owner, by nobody else.
const OWNER_ONLY: u32 = 0o600;
/// The permissions that [`OWNER_ONLY`] takes away from everybody else.
const OTHERS: u32 = 0o077;

/// A ledger's file while this process is its broker. The lock goes with the value.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    _lock: File,
}

impl Place {
    /// Makes the file if it is not there, and takes its lock.
    pub(crate) fn take(path: &Path) -> Result<Self, CannotOpen> {
        let refused = |reason: io::Error| CannotOpen::refused(path, &reason);
        make(path).map_err(refused)?;
        // The lock is named after the file itself: through a symbolic link two brokers would
        // otherwise hold two locks on one ledger.
        let real = fs::canonicalize(path).map_err(refused)?;
        let lock = owner_only(OpenOptions::new().create(true))
            .open(beside(&real, "lock"))
            .map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: real,
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(CannotOpen::InUse { path: real }),
            Err(TryLockError::Error(reason)) => Err(refused(reason)),
        }
    }

    /// Takes from everybody else what they may do with the file and with what belongs to it.
    pub(crate) fn close_to_others(&self) -> io::Result<()> {
        let path = &self.path;
        [path.clone(), beside(path, "wal"), beside(path, "shm")]
            .iter()
            .try_for_each(|file| close_to_others(file))
    }

    /// The file, without symbolic links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file and its write-ahead log are at this moment.
    pub(crate) fn files(&self) -> io::Result<Files> {
        let identity = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino()));
        Ok(Files {
            ledger: identity(&self.path)?,
            log: identity(&beside(&self.path, "wal"))?,
        })
    }
}

/// Which files stand under the ledger's names: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Files {
    ledger: (u64, u64),
    log: (u64, u64),
}

/// The file that SQLite, or we, keep beside the ledger: its name, a dash, a suffix.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-");
    name.push(suffix);
    name.into()
}

fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    options.read(true).write(true).mode(OWNER_ONLY)
}

fn make(path: &Path) -> io::Result<()> {
    match owner_only(OpenOptions::new().create_new(true)).open(path) {
        Ok(_) => {
            // A file whose name is not on disk yet is gone after a loss of power, with every
            // commit that was acknowledged in it.
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn close_to_others(path: &Path) -> io::Result<()> {
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if mode & OTHERS == 0 {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "the ledger was open to other users; it no longer is");
    fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY))
}
