//! Reads a whole ledger, as it is at one moment, while brokers may write it.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use jitney_core::audit::Frontier;
use jitney_core::dump::{Export, Record};
use jitney_core::id::LeaseId;
use jitney_core::ledger::{CannotRead, Claim, Fence};
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::mpsc;

use crate::columns::{self, Read, hold_columns, plain, row_columns, string};
use crate::failure;
use crate::open::{CannotOpen, Server};
use crate::options::PostgresOptions;
use crate::schema::{self, STEPS};

/// How many records are given at a time.
const PAGE: usize = 500;
/// How many pages may wait to be taken.
const PAGES_AHEAD: usize = 4;

/// Nobody waits for a ledger that is being read, so it may take its time.
const READY: &str = "
    SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
    BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
const FRONTIER: &str = "SELECT frontier FROM log";

/// A part of the ledger: the question, and how its answers are read.
type Part = (&'static str, fn(&PgRow) -> Read<Record>);

/// In the order in which they are moved.
const PARTS: [Part; 9] = [
    (
        concat!("SELECT ", row_columns!(), " FROM rows ORDER BY kind, id"),
        |stored| columns::row(stored).map(Record::Row),
    ),
    (
        "SELECT key, bound_to, asked, request, remember_until FROM once ORDER BY key",
        |stored| columns::once_use(stored).map(Record::Once),
    ),
    ("SELECT name, lease FROM claims ORDER BY name", |stored| {
        let lease = LeaseId::from_uuid(plain(stored, 1)?);
        let name = string(stored, 0)?;
        Ok(Record::Claim(Claim { name, lease }))
    }),
    (
        concat!(
            "SELECT ",
            hold_columns!(),
            " FROM holds ORDER BY target, lane, held"
        ),
        |stored| columns::hold(stored, 0).map(Record::Hold),
    ),
    (
        "SELECT target, lane, epoch FROM lanes ORDER BY target, lane",
        |stored| {
            let epoch = columns::epoch(stored, 2)?;
            let lane = columns::lane(stored, 0)?;
            Ok(Record::Epoch(Fence { lane, epoch }))
        },
    ),
    (
        "SELECT target, lane, at FROM looks ORDER BY target, lane",
        |stored| {
            let at = jitney_core::time::Timestamp::from_micros(plain(stored, 2)?);
            let lane = columns::lane(stored, 0)?;
            Ok(Record::Look { lane, at })
        },
    ),
    (
        "SELECT name, version, body FROM sheets ORDER BY name",
        |stored| columns::sheet(stored).map(Record::Sheet),
    ),
    ("SELECT bytes FROM entries ORDER BY idx", |stored| {
        plain(stored, 0).map(Record::Entry)
    }),
    (
        "SELECT size, note FROM checkpoints ORDER BY place",
        |stored| {
            let size = columns::number(stored, 0)?;
            let note = string(stored, 1)?;
            Ok(Record::Checkpoint { size, note })
        },
    ),
];

type Page = Result<Vec<Record>, CannotRead>;

/// A ledger that is being read as a whole.
pub struct PostgresExport {
    frontier: Frontier,
    pages: mpsc::Receiver<Page>,
}

impl PostgresExport {
    /// Begins to read the ledger as it is now.
    ///
    /// # Errors
    /// When there is none, or it is not one that this version can read.
    pub async fn begin(options: &PostgresOptions) -> Result<Self, CannotOpen> {
        let server = Server::of(options)?;
        let mut connection = server.enter(&server.access.reading).await?;
        let failed = |error: sqlx::Error| CannotOpen::failed(&server.name, &error);
        let found = schema::recognise(&mut connection, &server.schema, STEPS).await;
        server.ready(found.map_err(failed)?)?;
        let frontier = snapshot(&mut connection).await.map_err(failed)?;
        let (pages, taken) = mpsc::channel(PAGES_AHEAD);
        tokio::spawn(async move {
            if let Err(error) = read(&mut connection, &pages).await {
                let words = failure::words(&error);
                let _ = pages.send(Err(CannotRead(words))).await;
            }
            let _ = connection.close().await;
        });
        Ok(Self {
            frontier,
            pages: taken,
        })
    }
}

/// Everything that is asked from here on is of the moment at which the frontier is read.
async fn snapshot(connection: &mut PgConnection) -> Read<Frontier> {
    sqlx::raw_sql(READY).execute(&mut *connection).await?;
    let stored = sqlx::query(FRONTIER).fetch_one(connection).await?;
    columns::frontier(&stored, 0)
}

async fn read(connection: &mut PgConnection, pages: &mpsc::Sender<Page>) -> Read<()> {
    for (question, record) in PARTS {
        let mut answers = sqlx::query(question).fetch(&mut *connection);
        let mut page = Vec::with_capacity(PAGE);
        while let Some(stored) = answers.try_next().await? {
            page.push(record(&stored)?);
            if page.len() == PAGE && pages.send(Ok(std::mem::take(&mut page))).await.is_err() {
                return Ok(());
            }
        }
        if !page.is_empty() && pages.send(Ok(page)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[async_trait]
impl Export for PostgresExport {
    fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    async fn next(&mut self) -> Result<Vec<Record>, CannotRead> {
        self.pages.recv().await.unwrap_or_else(|| Ok(Vec::new()))
    }
}
