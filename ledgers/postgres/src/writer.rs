//! The one thread that writes, the queue in front of it, and the answers that come back.
//!
//! It has a runtime of its own. A caller can give up waiting, and a runtime full of callers can be
//! slow, but neither stops a transaction half way or leaves one open on the server: no caller's
//! future is ever inside `BEGIN` or `COMMIT`.

use std::thread::{self, JoinHandle};

use jitney_core::ledger::CommitError;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::book::Book;
use crate::decide::Work;
use crate::desk::{Desk, Fate};
use crate::open::{CannotOpen, Server};
use crate::touched::Touched;

/// One thing that waits to be written.
pub(crate) trait Write: Send {
    /// Says what must be read for it.
    fn touch(&self, touched: &mut Touched);
    /// Decides it on the book. A batch that failed before its COMMIT is decided anew.
    fn decide(&mut self, book: &mut Book);
    /// Tells whoever waits for it what came of it, its batch having come to `fate`.
    fn answer(self: Box<Self>, fate: &Fate);
}

struct Waiting<W: Work> {
    work: W,
    outcome: Option<Result<W::Done, CommitError>>,
    reply: Option<oneshot::Sender<Result<W::Done, CommitError>>>,
}

impl<W: Work> Write for Waiting<W> {
    fn touch(&self, touched: &mut Touched) {
        self.work.touch(touched);
    }

    fn decide(&mut self, book: &mut Book) {
        let outcome = self.work.decide(book);
        book.settle(outcome.is_ok());
        self.outcome = Some(outcome);
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

impl<W: Work> Drop for Waiting<W> {
    /// Reached unanswered only when the writer dies. Nobody waits for ever.
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        let words = STOPPED.to_owned();
        let _ = reply.send(Err(match self.outcome {
            None => CommitError::Unavailable(words),
            Some(_) => CommitError::Unknown(words),
        }));
    }
}

impl std::fmt::Debug for dyn Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Write")
    }
}

/// The way to the writing thread.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Write>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, which opens the ledger.
    pub(crate) async fn start(
        server: Server,
        broker: Uuid,
        queue_length: u16,
    ) -> Result<Self, CannotOpen> {
        let name = server.name.clone();
        let failed = |reason: String| CannotOpen::Failed {
            server: name.clone(),
            reason,
        };
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let (queue, waiting) = mpsc::channel(queue_length.into());
        let (opened, is_open) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    match Desk::set_up(server, broker).await {
                        Ok(desk) => {
                            let _ = opened.send(Ok(()));
                            desk.serve(waiting).await;
                        }
                        Err(error) => {
                            let _ = opened.send(Err(error));
                        }
                    }
                });
            })
            .map_err(|error| failed(error.to_string()))?;
        let writer = Self {
            queue: Some(queue),
            thread: Some(thread),
        };
        let answer = is_open.await;
        answer.unwrap_or_else(|_| Err(failed(STOPPED.to_owned())))?;
        Ok(writer)
    }

    /// Has `work` decided and waits until it is durable. Given up while it waits for a place in
    /// the queue, it was not applied; later, it will be.
    pub(crate) async fn write<W>(&self, work: W) -> Result<W::Done, CommitError>
    where
        W: Work + 'static,
    {
        let stopped = || CommitError::Unavailable(STOPPED.to_owned());
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        let place = queue.reserve().await.map_err(|_| stopped())?;
        let (reply, answer) = oneshot::channel();
        place.send(Box::new(Waiting {
            work,
            outcome: None,
            reply: Some(reply),
        }));
        answer
            .await
            .unwrap_or_else(|_| Err(CommitError::Unknown(STOPPED.to_owned())))
    }
}

impl Drop for Writer {
    /// Lets the thread finish what waits.
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
    #![allow(clippy::unwrap_used)]
    use jitney_core::id::LeaseId;
    use jitney_core::ledger::{RowId, Transaction};

    use super::*;

    fn waiting(
        outcome: Option<Result<u64, CommitError>>,
    ) -> (
        Box<Waiting<Transaction>>,
        oneshot::Receiver<Result<u64, CommitError>>,
    ) {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            work: Transaction::default(),
            outcome,
            reply: Some(reply),
        };
        (Box::new(waiting), answer)
    }

    #[test]
    fn each_caller_hears_what_is_certain_and_no_more() {
        let refusal = || CommitError::Conflict(RowId::Lease(id()));
        let why = || "why".to_owned();
        let heard = |outcome, fate: &Fate| {
            let (waiting, mut answer) = waiting(Some(outcome));
            waiting.answer(fate);
            answer.try_recv().unwrap()
        };
        let (not_applied, doubt) = (Fate::NotApplied(why()), Fate::Unknown(why()));
        assert_eq!(heard(Ok(3), &Fate::Committed), Ok(3));
        assert_eq!(heard(Err(refusal()), &Fate::Committed), Err(refusal()));
        let unavailable = || Err(CommitError::Unavailable(why()));
        assert_eq!(heard(Ok(3), &not_applied), unavailable());
        assert_eq!(heard(Ok(3), &doubt), Err(CommitError::Unknown(why())));
        // A refusal is not repeated when what it rests on was not applied, or may not have been.
        assert_eq!(heard(Err(refusal()), &not_applied), unavailable());
        assert_eq!(heard(Err(refusal()), &doubt), unavailable());
    }

    #[test]
    fn when_the_writer_dies_nobody_waits_for_ever() {
        let (undecided, mut answer) = waiting(None);
        drop(undecided);
        let heard = answer.try_recv().unwrap();
        assert!(matches!(heard, Err(CommitError::Unavailable(_))));
        // Decided, it may have been committed.
        let (decided, mut answer) = waiting(Some(Ok(3)));
        drop(decided);
        let heard = answer.try_recv().unwrap();
        assert!(matches!(heard, Err(CommitError::Unknown(_))));
    }

    fn id() -> LeaseId {
        LeaseId::from_uuid(Uuid::nil())
    }
}
