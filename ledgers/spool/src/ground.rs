//! What a spool stands on: where its notes are kept, and how it waits.
//!
//! A broker has a file and its runtime, see [`Disk`]. A simulation has its own, so that chance can
//! decide what becomes of a note and when.

use core::time::Duration;
use std::io;

use jitney_core::ledger::CommitError;

use crate::file::{CannotNote, SpoolFile};

/// Where notes are kept, one behind the other.
pub trait Records: Send + 'static {
    /// Notes something, so that it is found after a crash. `reserved` is what must stay free, in
    /// bytes.
    ///
    /// # Errors
    /// When there is no room, or it is not done. Nothing is noted then.
    fn append(&mut self, payload: &[u8], reserved: u64) -> Result<(), CannotNote>;

    /// How much there is room for in all, in bytes.
    fn room(&self) -> u64;

    /// Forgets all that is noted.
    ///
    /// # Errors
    /// When it is not done. Then what was noted may be found again.
    fn clear(&mut self) -> io::Result<()>;
}

impl Records for SpoolFile {
    fn append(&mut self, payload: &[u8], reserved: u64) -> Result<(), CannotNote> {
        Self::append(self, payload, reserved)
    }

    fn room(&self) -> u64 {
        Self::room(self)
    }

    fn clear(&mut self) -> io::Result<()> {
        Self::clear(self)
    }
}

/// How a spool waits, for the ledger and for its own disk.
pub trait Ground: Send + Sync + 'static {
    /// Where its notes are kept.
    type Records: Records;

    /// Waits for something, but not for ever: nothing when it takes longer than `most`.
    fn in_time<T: Send>(
        &self,
        most: Duration,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Option<T>> + Send;

    /// Does work that may wait for a disk.
    ///
    /// # Errors
    /// When it came to no end.
    fn at_the_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, CommitError>> + Send;
}

/// A file, and tokio's clock and threads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Ground for Disk {
    type Records = SpoolFile;

    async fn in_time<T: Send>(
        &self,
        most: Duration,
        work: impl Future<Output = T> + Send,
    ) -> Option<T> {
        tokio::time::timeout(most, work).await.ok()
    }

    async fn at_the_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CommitError> {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| {
            CommitError::Unavailable(format!("the spool was not written: {error}"))
        })
    }
}
