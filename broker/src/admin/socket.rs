//! The operators' socket: a file of mode 0600. Whoever can open it may do everything, so it is
//! never there with any other mode, not even for a moment.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::{UnixListener, UnixStream};

use crate::listener::CannotStart;

/// Whose process is at the other end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// What the kernel says (`SO_PEERCRED`).
    pub(crate) uid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred();
        Self {
            uid: credentials.ok().map(|known| known.uid()),
        }
    }
}

/// A bound socket, not yet served. Its file goes away with it.
pub(crate) struct AdminDoor {
    listener: UnixListener,
    _file: SocketFile,
}

struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // What is left over is replaced by the next broker.
        drop(fs::remove_file(&self.0));
    }
}

impl AdminDoor {
    /// Binds the socket. One that a dead broker left is replaced.
    pub(crate) async fn open(path: PathBuf) -> Result<Self, CannotStart> {
        let listener = bind(&path).await;
        let listener = listener.map_err(|cause| CannotStart::Socket {
            path: path.clone(),
            cause,
        })?;
        Ok(Self {
            listener,
            _file: SocketFile(path),
        })
    }

    pub(crate) async fn serve(self, api: Router) {
        let service = api.into_make_service_with_connect_info::<Peer>();
        if let Err(error) = axum::serve(self.listener, service).await {
            tracing::error!(%error, "operators can no longer come in");
        }
    }
}

async fn bind(path: &Path) -> io::Result<UnixListener> {
    // Nobody could connect to a socket whose name is longer than what the system takes.
    SocketAddr::from_pathname(path)?;
    make_way(path).await?;
    // Made where nobody else can look, and moved once its mode is right.
    let folder = path.with_file_name(format!(".jitney-{}", std::process::id()));
    let inside = folder.join("s");
    // Left by a process of this number that died in between.
    drop(fs::remove_file(&inside));
    drop(fs::remove_dir(&folder));
    DirBuilder::new().mode(0o700).create(&folder)?;
    let bound = bind_in(&folder).and_then(|listener| {
        fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    });
    drop(fs::remove_file(&inside));
    drop(fs::remove_dir(&folder));
    bound
}

/// Binds the socket `s` of a folder. Named through the open folder where that can be done: the
/// folder's own path may be too long for a socket although the path it is moved to is not.
fn bind_in(folder: &Path) -> io::Result<UnixListener> {
    let opened = fs::File::open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    let folder = if short.is_dir() { &short } else { folder };
    UnixListener::bind(folder.join("s"))
}

/// Only a socket that nobody listens at may be replaced.
async fn make_way(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        let told = "there is a file of this name that is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, told));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another broker listens there",
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[tokio::test]
    async fn the_socket_is_for_its_owner_and_replaces_only_what_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jitney.sock");
        let first = AdminDoor::open(path.clone()).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let second = AdminDoor::open(path.clone()).await;
        let told = second.err().unwrap().to_string();
        assert!(told.contains("another broker listens there"), "{told}");
        assert!(path.exists(), "a refused broker takes nobody's socket away");
        // A killed broker removes nothing.
        std::mem::forget(first._file);
        drop(first.listener);
        assert!(path.exists());
        drop(AdminDoor::open(path.clone()).await.unwrap());
        assert!(!path.exists());
        fs::write(&path, "a ledger, perhaps").unwrap();
        let third = AdminDoor::open(path.clone()).await;
        assert_eq!(third.err().unwrap().code(), "cannot_listen");
        assert_eq!(fs::read(&path).unwrap(), b"a ledger, perhaps");
    }

    #[tokio::test]
    async fn a_path_that_a_socket_may_just_have_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        // The longest that Linux takes, without the byte that ends it.
        let left = 107 - folder.path().as_os_str().len() - "/".len() - "/s".len();
        let deep = folder.path().join("d".repeat(left));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("s");
        assert_eq!(path.as_os_str().len(), 107);
        let door = AdminDoor::open(path.clone()).await.unwrap();
        UnixStream::connect(&path).await.unwrap();
        drop(door);
        let longer = AdminDoor::open(deep.join("so")).await;
        assert_eq!(longer.err().unwrap().code(), "cannot_listen");
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
    }
}
