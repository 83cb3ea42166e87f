//! Reads a whole ledger. As its broker: while another has it open it is refused, because what that
//! one would write afterwards would be in no other ledger.

use std::path::Path;
use std::thread;

use async_trait::async_trait;
use jitney_core::adapter::Epoch;
use jitney_core::audit::Frontier;
use jitney_core::dump::{Export, Record};
use jitney_core::id::LeaseId;
use jitney_core::ledger::{CannotRead, Claim, Fence};
use jitney_core::time::Timestamp;
use rusqlite::{Connection, Row};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::columns::{self, select_rows};
use crate::failure;
use crate::open::{self, CannotOpen, Opened};
use crate::options::SqliteOptions;

/// How many records are given at a time.
const PAGE: usize = 500;
/// How many pages may wait to be taken.
const PAGES_AHEAD: usize = 4;

/// A part of the ledger: the question, and how its answers are read.
type Part = (
    &'static str,
    fn(&Row<'_>) -> Result<Record, rusqlite::Error>,
);

/// In the order in which they are moved.
const PARTS: [Part; 9] = [
    (select_rows!("ORDER BY kind, id"), |stored| {
        columns::row(stored).map(Record::Row)
    }),
    (
        "SELECT key, bound_to, asked, request, remember_until FROM once ORDER BY key",
        |stored| columns::once_use(stored).map(Record::Once),
    ),
    ("SELECT name, lease FROM claims ORDER BY name", |stored| {
        let lease = LeaseId::from_uuid(Uuid::from_bytes(stored.get(1)?));
        let name = stored.get(0)?;
        Ok(Record::Claim(Claim { name, lease }))
    }),
    (
        "SELECT target, lane, held, lease, until, issued_by FROM holds ORDER BY target, lane, held",
        |stored| columns::hold(stored).map(Record::Hold),
    ),
    (
        "SELECT target, lane, epoch FROM lanes ORDER BY target, lane",
        |stored| {
            let epoch = Epoch(columns::number(stored, 2)?);
            let lane = columns::lane(stored, 0)?;
            Ok(Record::Epoch(Fence { lane, epoch }))
        },
    ),
    (
        "SELECT target, lane, at FROM looks ORDER BY target, lane",
        |stored| {
            let at = Timestamp::from_micros(stored.get(2)?);
            let lane = columns::lane(stored, 0)?;
            Ok(Record::Look { lane, at })
        },
    ),
    (
        "SELECT name, version, body FROM sheets ORDER BY name",
        |stored| columns::sheet(stored).map(Record::Sheet),
    ),
    ("SELECT bytes FROM entries ORDER BY idx", |stored| {
        stored.get(0).map(Record::Entry)
    }),
    (
        "SELECT size, note FROM checkpoints ORDER BY place",
        |stored| {
            let size = columns::number(stored, 0)?;
            let note = stored.get(1)?;
            Ok(Record::Checkpoint { size, note })
        },
    ),
];

type Page = Result<Vec<Record>, CannotRead>;

/// A ledger that is being read as a whole.
pub struct SqliteExport {
    frontier: Frontier,
    pages: mpsc::Receiver<Page>,
}

impl SqliteExport {
    /// Begins to read the ledger in a file that is there.
    ///
    /// # Errors
    /// When it is not there, cannot be opened, or a broker has it open.
    pub fn begin(path: &Path) -> Result<Self, CannotOpen> {
        if !path.is_file() {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(CannotOpen::refused(path, &missing));
        }
        let opened = open::open(&SqliteOptions::at(path))?;
        let frontier = opened.head.frontier.clone();
        let (pages, taken) = mpsc::channel(PAGES_AHEAD);
        thread::Builder::new()
            .name("ledger-export".to_owned())
            .spawn(move || serve(&opened, &pages))
            .map_err(|reason| CannotOpen::refused(path, &reason))?;
        Ok(Self {
            frontier,
            pages: taken,
        })
    }
}

/// Nobody else writes: the lock of the file is ours until this returns.
fn serve(opened: &Opened, pages: &mpsc::Sender<Page>) {
    if let Err(error) = read(&opened.connection, pages) {
        let _ = pages.blocking_send(Err(CannotRead(failure::words(&error))));
    }
}

fn read(connection: &Connection, pages: &mpsc::Sender<Page>) -> Result<(), rusqlite::Error> {
    for (question, record) in PARTS {
        let mut statement = connection.prepare(question)?;
        let mut answers = statement.query([])?;
        let mut page = Vec::with_capacity(PAGE);
        while let Some(stored) = answers.next()? {
            page.push(record(stored)?);
            if page.len() == PAGE && pages.blocking_send(Ok(std::mem::take(&mut page))).is_err() {
                return Ok(());
            }
        }
        if !page.is_empty() && pages.blocking_send(Ok(page)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[async_trait]
impl Export for SqliteExport {
    fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    async fn next(&mut self) -> Result<Vec<Record>, CannotRead> {
        self.pages.recv().await.unwrap_or_else(|| Ok(Vec::new()))
    }
}
