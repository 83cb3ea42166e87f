//! Where the writing is done: what waits is applied, each transaction in a savepoint of its own,
//! and committed once.
//!
//! What each caller hears follows from what became of the common commit, and from that alone:
//!
//! ```text
//! COMMIT returned               ► each its own answer
//! it did not, and the file
//!   shows the old state, over
//!   which we wrote anew         ► not applied: unavailable
//!   shows anything else, or
//!   cannot be asked             ► unknown
//! ```

use jitney_core::ledger::CommitError;
use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::apply::{Stop, Writing};
use crate::copier::Copier;
use crate::failure;
use crate::head::Head;
use crate::open::{CannotOpen, Opened};
use crate::place::{Files, Place};
use crate::writer::Write;

/// The most transactions that share one commit. It bounds how long the first of them waits.
const BATCH_MAX: usize = 256;

/// What became of a batch as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is on disk.
    Committed,
    /// None of it is there, nor will be.
    NotApplied(String),
    /// It may be there, or come back.
    Unknown(String),
}

impl Fate {
    /// What a commit that failed came to. `shown` is the batch that the file showed afterwards,
    /// once something else had been written where the failed commit may have left its pages:
    /// until then a crash could still bring them back.
    pub(crate) fn of_failed_commit(why: String, before: i64, shown: Result<i64, String>) -> Self {
        match shown {
            Ok(batch) if batch == before => Self::NotApplied(why),
            Ok(_) => Self::Unknown(format!("{why}, yet it shows the change")),
            Err(then) => Self::Unknown(format!("{why}; then {then}")),
        }
    }
}

/// Where the writing is done. Fields are dropped in order: the lock goes last.
pub(crate) struct Desk {
    connection: Connection,
    /// Nothing after something failed: it is read again before it is built upon.
    head: Option<Head>,
    /// Whether a commit may still come back after a crash. Nothing is tried before that is over:
    /// what was not tried is certain, and on a full disk that is most of what is asked.
    in_doubt: bool,
    files: Files,
    place: Place,
}

impl Desk {
    pub(crate) fn set_up(opened: Opened) -> Result<Self, CannotOpen> {
        let place = opened.place;
        let files = place
            .files()
            .map_err(|reason| CannotOpen::refused(place.path(), &reason))?;
        Ok(Self {
            connection: opened.connection,
            head: Some(opened.head),
            in_doubt: false,
            files,
            place,
        })
    }

    /// Writes what comes, until nobody can send any more.
    pub(crate) fn serve(mut self, mut waiting: mpsc::Receiver<Box<dyn Write>>, copier: Copier) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while waiting.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            let fate = self.batch(&mut batch);
            match &fate {
                Fate::Committed => copier.nudge(),
                Fate::NotApplied(why) | Fate::Unknown(why) => {
                    let count = batch.len();
                    tracing::error!(why, count, ?fate, "the ledger did not take a batch");
                }
            }
            for write in batch.drain(..) {
                write.answer(&fate);
            }
        }
        drop(copier);
        if let Err(error) = self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)") {
            // No commit is lost by it: the next start finds them in the write-ahead log.
            tracing::warn!(%error, "the ledger's write-ahead log was not copied at the end");
        }
    }

    fn batch(&mut self, batch: &mut [Box<dyn Write>]) -> Fate {
        // Commits into a file that somebody moved away or replaced would be lost at the next
        // start without a word.
        match self.place.files() {
            Ok(files) if files == self.files => {}
            Ok(_) => return Fate::NotApplied(MOVED.to_owned()),
            Err(error) => return Fate::NotApplied(format!("{MOVED} ({error})")),
        }
        if self.in_doubt
            && let Err(error) = self.settle()
        {
            return Fate::NotApplied(failure::words(&error));
        }
        match self.apply(batch) {
            Ok(Some((before, head))) => match self.execute("COMMIT") {
                Ok(()) => {
                    self.head = Some(head);
                    Fate::Committed
                }
                Err(error) => self.after_failed_commit(before, failure::words(&error)),
            },
            Ok(None) => {
                self.roll_back();
                Fate::Committed
            }
            Err(error) => {
                self.roll_back();
                Fate::NotApplied(failure::words(&error))
            }
        }
    }

    /// Applies what can be applied. Gives the batch that was built upon and the new head; nothing
    /// when there is nothing to commit.
    fn apply(
        &mut self,
        batch: &mut [Box<dyn Write>],
    ) -> Result<Option<(i64, Head)>, rusqlite::Error> {
        if !self.connection.is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        self.execute("BEGIN IMMEDIATE")?;
        let before = match self.head.take() {
            Some(head) => head,
            None => Head::read_again(&self.connection)?,
        };
        let mut writing = Writing::new(&self.connection, before.frontier.clone());
        let mut applied = 0;
        for write in batch {
            if apply_one(&mut writing, write.as_mut())? {
                applied += 1;
            }
        }
        let frontier = writing.frontier;
        if applied == 0 {
            self.head = Some(before);
            return Ok(None);
        }
        let head = Head {
            batch: before.batch.saturating_add(1),
            frontier,
        };
        if head.write(&self.connection, before.batch)? {
            Ok(Some((before.batch, head)))
        } else {
            let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            Err(rusqlite::Error::SqliteFailure(busy, None))
        }
    }

    /// Finds out what a commit that failed left behind.
    fn after_failed_commit(&mut self, before: i64, why: String) -> Fate {
        self.roll_back();
        let shown = self.settle().map_err(|error| failure::words(&error));
        Fate::of_failed_commit(why, before, shown)
    }

    /// Ends the doubt about a commit that failed, and gives the batch that was found. A commit
    /// that failed late may have left whole, valid pages behind the end of the write-ahead log. A
    /// crash would take them for committed; another commit is written over them and ends that.
    fn settle(&mut self) -> Result<i64, rusqlite::Error> {
        let found = self.overwrite();
        self.in_doubt = found.is_err();
        if self.in_doubt {
            self.roll_back();
        }
        found
    }

    fn overwrite(&self) -> Result<i64, rusqlite::Error> {
        // On a full disk this makes room: once the log is copied it is written from its start.
        if let Err(error) = self.checkpoint("PRAGMA wal_checkpoint(RESTART)") {
            tracing::warn!(%error, "the ledger's write-ahead log could not be copied");
        }
        self.execute("BEGIN IMMEDIATE")?;
        let found = Head::read_again(&self.connection)?;
        let next = Head {
            batch: found.batch.saturating_add(1),
            ..found.clone()
        };
        next.write(&self.connection, found.batch)?;
        self.execute("COMMIT")?;
        Ok(found.batch)
    }

    fn checkpoint(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.connection.query_row(sql, [], |_| Ok(()))
    }

    fn execute(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    fn roll_back(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.execute("ROLLBACK") {
            // The next batch tries it again before it begins.
            tracing::error!(%error, "the ledger could not take back a batch");
        }
    }
}

const MOVED: &str = "its file was moved, removed or replaced while in use: put it back, or stop \
                     the broker before exchanging it";

/// Applies one transaction in a savepoint of its own. False when it was refused, or failed alone;
/// an error when the whole batch is lost with it.
fn apply_one(writing: &mut Writing<'_>, write: &mut dyn Write) -> Result<bool, rusqlite::Error> {
    let connection = writing.connection;
    let execute = |sql| connection.prepare_cached(sql)?.execute([]);
    let frontier = writing.frontier.clone();
    execute("SAVEPOINT one")?;
    let why = match write.apply(writing) {
        Ok(()) => {
            execute("RELEASE one")?;
            return Ok(true);
        }
        Err(Stop::Refused(why)) => why,
        // SQLite takes back everything by itself after some errors: a full disk, a failed read.
        Err(Stop::Failed(error)) if connection.is_autocommit() => return Err(error),
        Err(Stop::Failed(error)) => CommitError::Unavailable(failure::words(&error)),
    };
    write.refuse(why);
    writing.frontier = frontier;
    execute("ROLLBACK TO one")?;
    execute("RELEASE one")?;
    Ok(false)
}
