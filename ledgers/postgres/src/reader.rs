//! The connections that read: for a ledger, and for looking at one while brokers write it. They
//! cannot write, and hold no lock.
//!
//! Each question is one statement and so sees one snapshot. None opens a transaction, and each is
//! asked by a task of its own: a caller that gives up waiting, wherever it stands, leaves neither a
//! transaction open nor an answer half read on a connection that the next one gets.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jitney_core::audit::Frontier;
use jitney_core::id::RequestId;
use jitney_core::ledger::{
    CannotRead, LaneRows, LeaseFilter, OnceUse, Row, RowId, Sheet, StoredEntry,
};
use jitney_core::plan::LaneId;
use jitney_core::principal::OnceKey;
use jitney_core::time::Timestamp;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::sleep;

use crate::columns::Read;
use crate::failure;
use crate::open::{CannotOpen, Server};
use crate::options::PostgresOptions;
use crate::read::{self, DrivenBy};
use crate::schema::{self, STEPS};

/// How long a question waits for a free connection.
const FREE_WITHIN: Duration = Duration::from_secs(10);
/// How often a question is put while connections turn out to be lost.
const ASKED_MAX: u32 = 3;
/// The pause before it is put again.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// Reads a ledger.
#[derive(Debug, Clone)]
pub struct PostgresReader {
    pool: PgPool,
}

impl PostgresReader {
    /// Opens a ledger that is there, also on a standby.
    ///
    /// # Errors
    /// When there is none, or it is not one that this version can read.
    pub async fn open(options: &PostgresOptions) -> Result<Self, CannotOpen> {
        let server = Server::of(options)?;
        let mut connection = server.enter(&server.access.reading).await?;
        let found = schema::recognise(&mut connection, &server.schema, STEPS).await;
        server.ready(found.map_err(|error| CannotOpen::failed(&server.name, &error))?)?;
        Ok(Self::of(&server, options.connections))
    }

    pub(crate) fn of(server: &Server, connections: u16) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(connections.into())
            .acquire_timeout(FREE_WITHIN)
            .connect_lazy_with(server.access.reading.clone());
        Self { pool }
    }

    /// Puts a question, and once more on another connection when the first turned out to be lost.
    async fn ask<T, F>(
        &self,
        question: impl Fn(PgPool) -> F + Send + 'static,
    ) -> Result<T, CannotRead>
    where
        T: Send + 'static,
        F: Future<Output = Read<T>> + Send,
    {
        let pool = self.pool.clone();
        let asking = tokio::spawn(async move {
            let mut asked = 1;
            loop {
                match question(pool.clone()).await {
                    Err(error) if failure::may_pass(&error) && asked < ASKED_MAX => asked += 1,
                    answer => return answer,
                }
                sleep(ASK_PAUSE).await;
            }
        });
        match asking.await {
            Ok(answer) => answer.map_err(|error| CannotRead(failure::words(&error))),
            Err(stopped) => Err(CannotRead(format!("whoever read it stopped: {stopped}"))),
        }
    }

    /// One row.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        self.ask(move |pool| async move { read::row(&pool, id).await })
            .await
    }

    pub(crate) async fn rows(&self, ids: &[RowId]) -> Result<Vec<Row>, CannotRead> {
        let ids: Arc<[RowId]> = ids.into();
        self.ask(move |pool| {
            let ids = Arc::clone(&ids);
            async move { read::rows(&pool, &ids).await }
        })
        .await
    }

    pub(crate) async fn count_open(&self) -> Result<BTreeMap<String, u64>, CannotRead> {
        self.ask(|pool| async move { read::count_open(&pool).await })
            .await
    }

    pub(crate) async fn leases_of(&self, request: RequestId) -> Result<Vec<Row>, CannotRead> {
        self.ask(move |pool| async move { read::leases_of(&pool, request).await })
            .await
    }

    /// Leases by what they are.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        let filter = Arc::new(filter);
        self.ask(move |pool| {
            let filter = Arc::clone(&filter);
            async move { read::leases(&pool, &filter).await }
        })
        .await
    }

    /// The sheet of that name.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn sheet(&self, name: &str) -> Result<Option<Sheet>, CannotRead> {
        let name: Arc<str> = name.into();
        self.ask(move |pool| {
            let name = Arc::clone(&name);
            async move { read::sheet(&pool, &name).await }
        })
        .await
    }

    /// The sheets whose names begin with `prefix`, by name.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn sheets(&self, prefix: &str) -> Result<Vec<Sheet>, CannotRead> {
        let prefix: Arc<str> = prefix.into();
        self.ask(move |pool| {
            let prefix = Arc::clone(&prefix);
            async move { read::sheets(&pool, &prefix).await }
        })
        .await
    }

    pub(crate) async fn once(&self, key: &OnceKey) -> Result<Option<OnceUse>, CannotRead> {
        let key = Arc::new(key.clone());
        self.ask(move |pool| {
            let key = Arc::clone(&key);
            async move { read::once(&pool, &key).await }
        })
        .await
    }

    pub(crate) async fn due_requests(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Row>, CannotRead> {
        self.ask(move |pool| async move { read::due_requests(&pool, now, limit).await })
            .await
    }

    pub(crate) async fn next_due(&self) -> Result<Option<Timestamp>, CannotRead> {
        self.ask(|pool| async move { read::next_due(&pool).await })
            .await
    }

    pub(crate) async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<LaneRows, CannotRead> {
        let lane = Arc::new(lane.clone());
        self.ask(move |pool| {
            let lane = Arc::clone(&lane);
            async move { read::lane(&pool, &lane, now).await }
        })
        .await
    }

    /// Entries of the audit log from `from` on, at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        self.ask(move |pool| async move { read::entries(&pool, from, limit).await })
            .await
    }

    /// The peaks of the audit log's tree.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn frontier(&self) -> Result<Frontier, CannotRead> {
        self.ask(|pool| async move { read::frontier(&pool).await })
            .await
    }

    /// The signed checkpoints, oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        self.ask(|pool| async move { read::checkpoints(&pool).await })
            .await
    }

    /// The lanes in which something is due, but none that another broker drives.
    pub(crate) async fn due_lanes(
        &self,
        now: Timestamp,
        limit: u32,
        driven: DrivenBy,
    ) -> Result<Vec<LaneId>, CannotRead> {
        self.ask(move |pool| async move { read::due_lanes(&pool, now, limit, driven).await })
            .await
    }
}
