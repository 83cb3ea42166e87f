//! The ledger port, put together from the writer and the readers.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use jitney_core::adapter::Epoch;
use jitney_core::audit::Frontier;
use jitney_core::id::RequestId;
use jitney_core::ledger::{
    CannotRead, CommitError, LaneRows, LeaseFilter, Ledger, OnceUse, Row, RowId, Sheet,
    StoredEntry, Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::principal::OnceKey;
use jitney_core::time::Timestamp;
use uuid::Uuid;

use crate::decide::{Checkpoint, ClaimTime, LaneClaim};
use crate::open::{CannotOpen, Server};
use crate::options::{ClaimClock, PostgresOptions};
use crate::read::DrivenBy;
use crate::reader::PostgresReader;
use crate::writer::Writer;

/// A ledger in one schema of a PostgreSQL database, which other brokers may work on as well.
///
/// Dropping it lets what waits be written. That takes as long as one commit.
pub struct PostgresLedger {
    server: String,
    claims_by: ClaimClock,
    broker: Uuid,
    reader: PostgresReader,
    writer: Writer,
}

impl fmt::Debug for PostgresLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLedger")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl PostgresLedger {
    /// Opens a ledger, and makes its schema if it is not there.
    ///
    /// # Errors
    /// When anything about the server or the schema speaks against writing to it. Nothing was
    /// changed then.
    pub async fn open(options: &PostgresOptions) -> Result<Self, CannotOpen> {
        let server = Server::of(options)?;
        let broker = Uuid::now_v7();
        let writer = Writer::start(server.clone(), broker, options.queue_length).await?;
        let reader = PostgresReader::of(&server, options.connections);
        Ok(Self {
            server: server.name,
            claims_by: options.claims_by,
            broker,
            reader,
            writer,
        })
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn commit(&self, transaction: Transaction) -> Result<u64, CommitError> {
        self.writer.write(transaction).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        self.reader.row(id).await
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<Row>, CannotRead> {
        self.reader.rows(ids).await
    }

    async fn count_open(&self) -> Result<BTreeMap<String, u64>, CannotRead> {
        self.reader.count_open().await
    }

    async fn leases_of(&self, request: RequestId) -> Result<Vec<Row>, CannotRead> {
        self.reader.leases_of(request).await
    }

    async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        self.reader.leases(filter).await
    }

    async fn sheet(&self, name: &str) -> Result<Option<Sheet>, CannotRead> {
        self.reader.sheet(name).await
    }

    async fn sheets(&self, prefix: &str) -> Result<Vec<Sheet>, CannotRead> {
        self.reader.sheets(prefix).await
    }

    async fn once(&self, key: &OnceKey) -> Result<Option<OnceUse>, CannotRead> {
        self.reader.once(key).await
    }

    /// Lanes that another broker drives at this moment are left out: it will do what is due, and
    /// brokers that all saw the same lanes would spend their time losing claims to each other.
    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, CannotRead> {
        let driven = DrivenBy {
            broker: self.broker,
            now: match self.claims_by {
                ClaimClock::Server => None,
                ClaimClock::Caller => Some(now),
            },
        };
        self.reader.due_lanes(now, limit, driven).await
    }

    async fn due_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<Row>, CannotRead> {
        self.reader.due_requests(now, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, CannotRead> {
        self.reader.next_due().await
    }

    async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<LaneRows, CannotRead> {
        self.reader.lane(lane, now).await
    }

    async fn claim_lane(
        &self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Epoch>, CommitError> {
        let time = match self.claims_by {
            ClaimClock::Server => ClaimTime::Lasting(until.since(now)),
            ClaimClock::Caller => ClaimTime::AsGiven { now, until },
        };
        let claim = LaneClaim {
            lane: lane.clone(),
            hand: hand.to_owned(),
            time,
        };
        self.writer.write(claim).await
    }

    async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        self.reader.entries(from, limit).await
    }

    async fn frontier(&self) -> Result<Frontier, CannotRead> {
        self.reader.frontier().await
    }

    async fn store_checkpoint(&self, size: u64, note: String) -> Result<(), CommitError> {
        self.writer.write(Checkpoint { size, note }).await
    }

    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        self.reader.checkpoints().await
    }
}
