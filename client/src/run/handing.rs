//! What is being handed to a command: variables, files of its own, and doors of the endpoint.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::export::CannotExport;
use super::held::{Held, Serving, Standing};
use super::loopback::{Door, Protocol};

/// Variables for a command.
#[derive(Default)]
pub(crate) struct Handed {
    /// Those that are taken away.
    pub unset: Vec<&'static str>,
    /// Those that are set.
    pub set: Vec<(&'static str, OsString)>,
}

/// Leases on their way to a command.
pub(crate) struct Handing {
    handed: Handed,
    origin: String,
    doors: Vec<Door>,
    kept: Kept,
}

/// A door of the endpoint, as its SDK must know it.
pub(crate) struct Opened {
    pub url: String,
    pub secret: Zeroizing<String>,
}

impl Handing {
    /// Makes a folder for a command's files, for its user alone.
    pub(crate) fn begin(address: SocketAddr) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("jitney-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        Ok(Self {
            handed: Handed::default(),
            origin: format!("http://{address}"),
            doors: Vec::new(),
            kept: Kept {
                files: Vec::new(),
                folder,
            },
        })
    }

    /// What came of it.
    pub(crate) fn end(self) -> (Handed, Vec<Door>, Kept) {
        (self.handed, self.doors, self.kept)
    }

    /// Takes variables away.
    pub(crate) fn unset(&mut self, names: &[&'static str]) {
        self.handed.unset.extend(names);
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.handed.set.push((name, value.into()));
    }

    /// Sets a variable where there is a value for it.
    pub(crate) fn set_known(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// A file with this content.
    pub(crate) fn file(&self, name: &str, content: &str) -> io::Result<PathBuf> {
        let path = self.kept.folder.path().join(name);
        write_new(&path, content)?;
        Ok(path)
    }

    /// An empty folder.
    pub(crate) fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.kept.folder.path().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }

    /// A file that holds what the lease gives, is written anew whenever that changes, and is gone
    /// once the lease is over.
    pub(crate) fn follow(
        &mut self,
        name: &str,
        lease: &Arc<Held>,
        content: fn(&Serving) -> Option<&str>,
    ) -> Result<PathBuf, CannotExport> {
        // Watched from before the first look: no change falls between.
        let mut standing = lease.watch();
        let serving = lease.serving();
        let text = serving.as_deref().and_then(content);
        let text = text.ok_or_else(|| CannotExport::Incomplete(lease.target.clone()))?;
        let path = self.file(name, text)?;
        let file = Arc::new(Mutex::new(Some(path.clone())));
        let followed = Arc::clone(&file);
        let task = tokio::spawn(async move {
            while standing.changed().await.is_ok() {
                let standing = standing.borrow_and_update().clone();
                let path = followed.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(path) = path.as_deref() else {
                    return;
                };
                if let Err(error) = now_holds(path, &standing, content) {
                    tracing::error!(%error, "a credential's file cannot be brought up to date");
                }
            }
        });
        self.kept.files.push(Followed { file, task });
        Ok(path)
    }

    /// Opens a door of the endpoint to a lease.
    pub(crate) fn open(
        &mut self,
        protocol: Protocol,
        name: &str,
        lease: &Arc<Held>,
    ) -> Result<Opened, CannotExport> {
        let path = format!("/{name}/{}", lease.id);
        let door = Door::new(path.clone(), protocol, Arc::clone(lease))?;
        let opened = Opened {
            url: format!("{}{path}", self.origin),
            secret: Zeroizing::new(door.secret().to_owned()),
        };
        self.doors.push(door);
        Ok(opened)
    }
}

/// A command's files, and whoever keeps them. Gone when this value is dropped.
pub(crate) struct Kept {
    // Order matters: nobody writes any more when the folder is removed.
    files: Vec<Followed>,
    folder: TempDir,
}

/// A file that follows a lease, until this value is dropped.
struct Followed {
    /// Where it is, while it may be written.
    file: Arc<Mutex<Option<PathBuf>>>,
    task: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        // Waits for a write that is under way: it would come back into a folder that is removed.
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.task.abort();
    }
}

fn now_holds(
    path: &Path,
    standing: &Standing,
    content: fn(&Serving) -> Option<&str>,
) -> io::Result<()> {
    let text = match standing {
        Standing::Served(serving) => content(serving),
        Standing::Over(_) => None,
    };
    let Some(text) = text else {
        return std::fs::remove_file(path);
    };
    // Beside it and then in its place: a reader finds the one or the other, never half of it.
    let beside = path.with_extension("next");
    write_new(&beside, text)?;
    std::fs::rename(beside, path)
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)?.write_all(content.as_bytes())
}
