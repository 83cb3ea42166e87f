//! The thread that copies the write-ahead log into the file, beside the writer.
//!
//! SQLite by itself copies it within a commit: whoever waits for that commit, and everybody behind
//! them, waits for thousands of pages and another flush. Copied in time, little is left when the log
//! is long enough to be started anew, which only the writer can do.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

/// How long commits are left to gather before the log is looked at.
const PAUSE: Duration = Duration::from_millis(20);
/// How many pages are worth copying: a page that is written again meanwhile is copied once.
const PAGES_MIN: i64 = 1_000;

/// The way to the copying thread. Dropping it waits until the thread is over.
pub(crate) struct Copier {
    nudges: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    /// Starts the thread, on a connection of its own.
    pub(crate) fn start(connection: Connection) -> io::Result<Self> {
        let (nudges, nudged) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("ledger-copier".to_owned())
            .spawn(move || serve(&connection, &nudged))?;
        Ok(Self {
            nudges: Some(nudges),
            thread: Some(thread),
        })
    }

    /// The log has grown.
    pub(crate) fn nudge(&self) {
        if let Some(nudges) = &self.nudges {
            // Full, it is nudged already. Without the thread, the writer copies.
            let _ = nudges.try_send(());
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.nudges = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(connection: &Connection, nudged: &Receiver<()>) {
    while nudged.recv().is_ok() {
        thread::sleep(PAUSE);
        if let Err(error) = copy(connection) {
            // No commit is lost by it: they are in the log.
            tracing::warn!(%error, "the ledger's write-ahead log was not copied");
        }
    }
}

/// Copies what no reader still needs, when that is enough to be worth it.
fn copy(connection: &Connection) -> Result<(), rusqlite::Error> {
    if uncopied(connection)? >= PAGES_MIN {
        // The writer, copying itself, may be in the way: then there is nothing left to do.
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    Ok(())
}

/// How many pages of the log are not in the file.
fn uncopied(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
        let (pages, copied): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(pages - copied)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A file whose log grows by a page and more with each row, and is copied by nobody.
    fn growing(folder: &tempfile::TempDir) -> (Connection, Copier) {
        let path = folder.path().join("ledger.db");
        let file = Connection::open(&path).unwrap();
        file.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)",
        )
        .unwrap();
        let copier = Copier::start(crate::open::open_copier(&path).unwrap()).unwrap();
        (file, copier)
    }

    fn grow(file: &Connection, rows: i64) {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                   INSERT INTO t SELECT zeroblob(4000) FROM n";
        file.execute(sql, [rows]).unwrap();
    }

    #[test]
    fn a_long_log_is_copied_beside_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let (file, copier) = growing(&folder);
        grow(&file, PAGES_MIN);
        assert!(uncopied(&file).unwrap() >= PAGES_MIN);
        copier.nudge();
        drop(copier);
        assert_eq!(uncopied(&file).unwrap(), 0);
    }

    #[test]
    fn a_short_one_is_left_to_grow() {
        let folder = tempfile::tempdir().unwrap();
        let (file, copier) = growing(&folder);
        grow(&file, 10);
        copier.nudge();
        drop(copier);
        assert!(uncopied(&file).unwrap() >= 10);
    }

    #[test]
    fn what_a_reader_still_needs_is_not_copied_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, copier) = growing(&folder);
        grow(&file, 5);
        let reader = Connection::open(folder.path().join("ledger.db")).unwrap();
        let rows = || -> i64 {
            let sql = "SELECT count(*) FROM t";
            reader.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        reader.execute_batch("BEGIN").unwrap();
        assert_eq!(rows(), 5);
        grow(&file, PAGES_MIN);
        copier.nudge();
        drop(copier);
        assert_eq!(rows(), 5);
        assert!(uncopied(&file).unwrap() >= PAGES_MIN);
    }
}
