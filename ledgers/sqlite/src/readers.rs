//! The threads that read. Each has a connection of its own that cannot write, and sees one
//! snapshot per question, so that reading never waits for writing and never sees half of it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use jitney_core::ledger::CannotRead;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::failure;

/// How many questions may wait for each thread.
const QUEUE_LENGTH_PER_READER: usize = 64;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// The way to the reading threads.
pub(crate) struct Readers {
    queue: Option<mpsc::Sender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts one thread for each connection.
    pub(crate) fn start(connections: Vec<Connection>) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(connections.len() * QUEUE_LENGTH_PER_READER);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut readers = Self {
            queue: Some(queue),
            threads: Vec::new(),
        };
        for connection in connections {
            let waiting = Arc::clone(&waiting);
            let thread = thread::Builder::new()
                .name("ledger-reader".to_owned())
                .spawn(move || serve(connection, &waiting))?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Asks something of one snapshot.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, CannotRead> {
        let stopped = || CannotRead("its readers have stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |connection| {
            // Whoever asked may be gone.
            let _ = reply.send(in_one_snapshot(connection, ask));
        });
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(question).await.map_err(|_| stopped())?;
        let answer = answer.await.map_err(|_| stopped())?;
        answer.map_err(|error| CannotRead(failure::words(&error)))
    }
}

/// Both ends of the snapshot are prepared once and not for each question.
fn in_one_snapshot<T>(
    connection: &Connection,
    ask: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
) -> Result<T, rusqlite::Error> {
    let execute = |sql| connection.prepare_cached(sql)?.execute([]).map(drop);
    execute("BEGIN")?;
    let found = ask(connection);
    // After some errors SQLite has let it go by itself.
    if !connection.is_autocommit() {
        execute("COMMIT")?;
    }
    found
}

fn serve(connection: Connection, waiting: &Mutex<mpsc::Receiver<Question>>) {
    loop {
        // One idle thread waits for the next question, the others wait for it to have one.
        let question = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        match question {
            Some(question) => question(&connection),
            None => return,
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
