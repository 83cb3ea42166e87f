//! The one thread that writes, the queue in front of it, and the answers that come back.

use std::thread::{self, JoinHandle};

use jitney_core::ledger::CommitError;
use tokio::sync::{mpsc, oneshot};

use crate::apply::{Stop, Writing};
use crate::copier::Copier;
use crate::desk::{Desk, Fate};
use crate::open::{self, CannotOpen, Opened};

/// One thing that waits to be written.
pub(crate) trait Write: Send {
    /// Does it, once. Whether it stays done is the batch's fate.
    fn apply(&mut self, ledger: &mut Writing<'_>) -> Result<(), Stop>;
    /// It was taken back, alone.
    fn refuse(&mut self, why: CommitError);
    /// Tells whoever waits for it.
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
        let refused = |reason| CannotOpen::refused(&path, &reason);
        let copier = Copier::start(open::open_copier(&path)?).map_err(refused)?;
        let desk = Desk::set_up(opened)?;
        let (queue, waiting) = mpsc::channel(queue_length.into());
        let thread = thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || desk.serve(waiting, copier))
            .map_err(refused)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::SqliteOptions;

    fn writer(folder: &tempfile::TempDir) -> Arc<Writer> {
        let options = SqliteOptions::at(folder.path().join("ledger.db"));
        let opened = crate::open::open(&options).unwrap();
        Arc::new(Writer::start(opened, options.queue_length).unwrap())
    }

    #[test]
    fn only_what_was_written_over_is_called_not_applied() {
        let fate = |shown| Fate::of_failed_commit("why".to_owned(), 7, shown);
        assert_eq!(fate(Ok(7)), Fate::NotApplied("why".to_owned()));
        assert!(matches!(fate(Ok(8)), Fate::Unknown(_)));
        assert!(matches!(fate(Ok(6)), Fate::Unknown(_)));
        assert!(matches!(
            fate(Err("still full".to_owned())),
            Fate::Unknown(_)
        ));
    }

    /// What one caller hears, given its own outcome and the fate of its batch.
    fn heard(outcome: Result<u64, CommitError>, fate: &Fate) -> Result<u64, CommitError> {
        let (reply, mut answer) = oneshot::channel();
        let waiting = Waiting {
            work: None::<fn(&mut Writing<'_>) -> Result<u64, Stop>>,
            outcome: Some(outcome),
            reply: Some(reply),
        };
        Box::new(waiting).answer(fate);
        answer.try_recv().unwrap()
    }

    #[test]
    fn each_caller_hears_what_is_certain_and_no_more() {
        let row = crate::apply::tests::some_row();
        let refusal = || CommitError::Conflict(row);
        let why = || "why".to_owned();
        let (unavailable, unknown) = (CommitError::Unavailable, CommitError::Unknown);
        let (not_applied, doubt) = (Fate::NotApplied(why()), Fate::Unknown(why()));
        assert_eq!(heard(Ok(3), &Fate::Committed), Ok(3));
        assert_eq!(heard(Err(refusal()), &Fate::Committed), Err(refusal()));
        assert_eq!(heard(Ok(3), &not_applied), Err(unavailable(why())));
        assert_eq!(heard(Ok(3), &doubt), Err(unknown(why())));
        // A refusal is not repeated when what it rests on was not applied, or may not have been.
        assert_eq!(heard(Err(refusal()), &not_applied), Err(unavailable(why())));
        assert_eq!(heard(Err(refusal()), &doubt), Err(unavailable(why())));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn when_the_writer_dies_nobody_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        let (began, has_begun) = channel();
        let (let_die, may_die) = channel::<()>();
        let dying = tokio::spawn({
            let writer = Arc::clone(&writer);
            async move {
                let work = move |_: &mut Writing<'_>| -> Result<u64, Stop> {
                    began.send(()).unwrap();
                    may_die.recv().unwrap();
                    panic!("the writer dies here, as this test wants it");
                };
                writer.write(work).await
            }
        });
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap())
            .await
            .unwrap();
        let behind: Vec<_> = (0..5)
            .map(|number| {
                let writer = Arc::clone(&writer);
                tokio::spawn(async move { writer.write(move |_| Ok(number)).await })
            })
            .collect();
        // Until all five stand in the queue.
        while writer.queue.as_ref().unwrap().max_capacity()
            - writer.queue.as_ref().unwrap().capacity()
            < 5
        {
            tokio::task::yield_now().await;
        }
        let_die.send(()).unwrap();
        assert!(matches!(dying.await.unwrap(), Err(CommitError::Unknown(_))));
        for one in behind {
            assert!(matches!(
                one.await.unwrap(),
                Err(CommitError::Unavailable(_))
            ));
        }
        let after = writer.write(|_| Ok(1)).await;
        assert!(matches!(after, Err(CommitError::Unavailable(_))));
        // The lock went with the writer: a broker that starts anew can have the ledger.
        drop(writer);
        assert_eq!(self::writer(&folder).write(|_| Ok(2)).await, Ok(2));
    }

    #[tokio::test]
    async fn one_that_fails_alone_fails_alone() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        let broken = writer.write(|ledger| -> Result<u64, Stop> {
            ledger
                .connection
                .execute("INSERT INTO claims VALUES ('a', zeroblob(16))", [])?;
            ledger
                .connection
                .execute("INSERT INTO claims VALUES ('b', zeroblob(17))", [])?;
            Ok(1)
        });
        let sound = writer.write(|ledger| {
            let sql = "SELECT count(*) FROM claims";
            Ok(ledger
                .connection
                .query_row(sql, [], |row| row.get::<_, i64>(0))?)
        });
        let (broken, sound) = tokio::join!(broken, sound);
        assert!(
            matches!(broken, Err(CommitError::Unavailable(_))),
            "{broken:?}"
        );
        assert_eq!(sound, Ok(0));
    }

    #[tokio::test]
    async fn when_sqlite_takes_back_everything_the_next_one_starts_afresh() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        let left = writer.write(|ledger| -> Result<u64, Stop> {
            // As after an error by which SQLite takes back everything by itself.
            ledger
                .connection
                .execute_batch("ROLLBACK; SELECT * FROM nowhere")?;
            Ok(1)
        });
        let left = left.await;
        assert!(matches!(left, Err(CommitError::Unavailable(_))), "{left:?}");
        assert_eq!(
            writer.write(|ledger| Ok(ledger.frontier.size())).await,
            Ok(0)
        );
    }
}
