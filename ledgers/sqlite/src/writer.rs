//! The one thread that writes: it takes whoever is waiting, applies each transaction in a
//! savepoint of its own, commits once, and answers all.
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

use std::thread::{self, JoinHandle};

use jitney_core::audit::Frontier;
use jitney_core::ledger::CommitError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::apply::{Stop, Writing};
use crate::failure;
use crate::open::{CannotOpen, Opened};
use crate::place::{Files, Place};

/// The most transactions that share one commit. It bounds how long the first of them waits.
const BATCH_MAX: usize = 256;

/// Where the ledger stands: what the next commit builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// How many commits the writer has made.
    pub(crate) batch: i64,
    /// The peaks of the audit log's tree.
    pub(crate) frontier: Frontier,
}

impl Head {
    /// Reads it, and makes it in a ledger that has none yet.
    pub(crate) fn read(connection: &Connection) -> Result<Self, rusqlite::Error> {
        connection.execute(
            "INSERT INTO log VALUES (1, 0, ?1) ON CONFLICT DO NOTHING",
            [Frontier::new().to_bytes()],
        )?;
        Self::read_again(connection)
    }

    fn read_again(connection: &Connection) -> Result<Self, rusqlite::Error> {
        let mut statement = connection.prepare_cached("SELECT batch, frontier FROM log")?;
        statement.query_row([], |row| {
            Ok(Self {
                batch: row.get(0)?,
                frontier: crate::columns::frontier(row, 1)?,
            })
        })
    }

    /// In what the entries and the tree over them contradict each other, if they do.
    pub(crate) fn contradiction(
        &self,
        connection: &Connection,
    ) -> Result<Option<String>, rusqlite::Error> {
        let sql = "SELECT coalesce(max(idx) + 1, 0) FROM entries";
        let entries: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        let size = self.frontier.size();
        Ok((u64::try_from(entries) != Ok(size))
            .then(|| format!("it holds {entries} audit entries, but a tree over {size}")))
    }

    /// Writes it over the one that `before` counted. False when somebody else wrote meanwhile.
    fn write(&self, connection: &Connection, before: i64) -> Result<bool, rusqlite::Error> {
        let sql = "UPDATE log SET batch = ?1, frontier = ?2 WHERE batch = ?3";
        let frontier = self.frontier.to_bytes();
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.execute((self.batch, frontier, before))? == 1)
    }
}

/// What became of a batch as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Committed,
    NotApplied(String),
    Unknown(String),
}

impl Fate {
    /// What a commit that failed came to. `shown` is the batch that the file showed afterwards,
    /// once something else had been written where the failed commit may have left its pages:
    /// until then a crash could still bring them back.
    fn of_failed_commit(why: String, before: i64, shown: Result<i64, String>) -> Self {
        match shown {
            Ok(batch) if batch == before => Self::NotApplied(why),
            Ok(_) => Self::Unknown(format!("{why}, yet it shows the change")),
            Err(then) => Self::Unknown(format!("{why}; then {then}")),
        }
    }
}

/// One thing that waits to be written.
trait Write: Send {
    fn apply(&mut self, ledger: &mut Writing<'_>) -> Result<(), Stop>;
    fn refuse(&mut self, why: CommitError);
    fn answer(self: Box<Self>, fate: &Fate);
}

struct Waiting<T, W> {
    work: Option<W>,
    outcome: Option<Result<T, CommitError>>,
    reply: Option<oneshot::Sender<Result<T, CommitError>>>,
}

impl<T, W> Write for Waiting<T, W>
where
    T: Send,
    W: FnOnce(&mut Writing<'_>) -> Result<T, Stop> + Send,
{
    fn apply(&mut self, ledger: &mut Writing<'_>) -> Result<(), Stop> {
        // From here on the outcome is unknown until it is known: see `Drop`.
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        self.outcome = Some(Ok(work(ledger)?));
        Ok(())
    }

    fn refuse(&mut self, why: CommitError) {
        self.outcome = Some(Err(why));
    }

    fn answer(mut self: Box<Self>, fate: &Fate) {
        let outcome = self.outcome.take();
        let answer = match (fate, outcome) {
            (Fate::Committed, Some(outcome)) => outcome,
            // A refusal may rest on what another transaction of the batch did; as that was not
            // applied, the refusal is not true either.
            (Fate::NotApplied(why), _) | (Fate::Unknown(why), Some(Err(_)) | None) => {
                Err(CommitError::Unavailable(why.clone()))
            }
            (Fate::Unknown(why), Some(Ok(_))) => Err(CommitError::Unknown(why.clone())),
            (Fate::Committed, None) => Err(CommitError::Unavailable(STOPPED.to_owned())),
        };
        if let Some(reply) = self.reply.take() {
            // Whoever asked may be gone. That changes nothing here.
            let _ = reply.send(answer);
        }
    }
}

const STOPPED: &str = "its writer has stopped: see the log, and start the broker again";

impl<T, W> Drop for Waiting<T, W> {
    /// Reached unanswered only when the writer dies. Nobody waits for ever.
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        let words = STOPPED.to_owned();
        let _ = reply.send(Err(match self.work {
            Some(_) => CommitError::Unavailable(words),
            None => CommitError::Unknown(words),
        }));
    }
}

/// The way to the writing thread.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Write>>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for dyn Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Write")
    }
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(opened: Opened, queue_length: u16) -> Result<Self, CannotOpen> {
        let path = opened.place.path().to_owned();
        let files = opened.place.files();
        let failed = |reason: std::io::Error| CannotOpen::Failed {
            path: path.clone(),
            reason: reason.to_string(),
        };
        let desk = Desk {
            files: files.map_err(failed)?,
            place: opened.place,
            connection: opened.connection,
            head: Some(opened.head),
        };
        let (queue, waiting) = mpsc::channel(queue_length.into());
        let thread = thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || desk.serve(waiting))
            .map_err(failed)?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Has `work` applied and waits until it is on disk. Given up while it waits for a place in
    /// the queue, it was not applied; later, it will be.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, CommitError> {
        let stopped = || CommitError::Unavailable(STOPPED.to_owned());
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        let place = queue.reserve().await.map_err(|_| stopped())?;
        let (reply, answer) = oneshot::channel();
        place.send(Box::new(Waiting {
            work: Some(work),
            outcome: None,
            reply: Some(reply),
        }));
        answer
            .await
            .unwrap_or_else(|_| Err(CommitError::Unknown(STOPPED.to_owned())))
    }
}

impl Drop for Writer {
    /// Lets the thread finish what waits, copy the write-ahead log into the file and let go of
    /// the lock: whoever opens the ledger next finds it closed.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic was told where it happened; callers were answered by `Waiting`.
            let _ = thread.join();
        }
    }
}

/// Where the writing is done. Fields are dropped in order: the lock goes last.
struct Desk {
    connection: Connection,
    /// Nothing after something failed: it is read again before it is built upon.
    head: Option<Head>,
    files: Files,
    place: Place,
}

impl Desk {
    fn serve(mut self, mut waiting: mpsc::Receiver<Box<dyn Write>>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while waiting.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            let fate = self.batch(&mut batch);
            if let Fate::NotApplied(why) | Fate::Unknown(why) = &fate {
                let count = batch.len();
                tracing::error!(why, count, ?fate, "the ledger did not take a batch");
            }
            for write in batch.drain(..) {
                write.answer(&fate);
            }
        }
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        if let Err(error) = self.connection.query_row(checkpoint, [], |_| Ok(())) {
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
        let shown = self.overwrite().map_err(|error| failure::words(&error));
        Fate::of_failed_commit(why, before, shown)
    }

    /// Writes something new and gives the batch that was found before. A commit that failed late
    /// may have left whole, valid pages behind the end of the write-ahead log. A crash would take
    /// them for committed; another commit is written over them and ends that.
    fn overwrite(&mut self) -> Result<i64, rusqlite::Error> {
        self.execute("BEGIN IMMEDIATE")?;
        let found = Head::read_again(&self.connection)?;
        let next = Head {
            batch: found.batch.saturating_add(1),
            ..found.clone()
        };
        next.write(&self.connection, found.batch)?;
        self.execute("COMMIT").inspect_err(|_| self.roll_back())?;
        Ok(found.batch)
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
