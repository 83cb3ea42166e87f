//! A ledger that counts how often it is asked what is due, and can be made to give no answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
use jitney_ledger_sqlite::SqliteLedger;

/// What the world keeps of a ledger that the broker owns.
#[derive(Default)]
pub struct Watch {
    looks: AtomicU64,
    stuck: AtomicBool,
}

impl Watch {
    /// How often somebody looked at what is due.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::SeqCst)
    }

    /// From now on whoever looks at what is due waits for ever.
    pub fn stick(&self) {
        self.stuck.store(true, Ordering::SeqCst);
    }
}

pub struct Watched {
    pub ledger: SqliteLedger,
    pub watch: Arc<Watch>,
}

#[async_trait]
impl Ledger for Watched {
    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, CannotRead> {
        self.watch.looks.fetch_add(1, Ordering::SeqCst);
        if self.watch.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.ledger.due_lanes(now, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<u64, CommitError> {
        self.ledger.commit(transaction).await
    }

    async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        self.ledger.row(id).await
    }

    async fn leases_of(&self, request: RequestId) -> Result<Vec<Row>, CannotRead> {
        self.ledger.leases_of(request).await
    }

    async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        self.ledger.leases(filter).await
    }

    async fn once(&self, key: &OnceKey) -> Result<Option<OnceUse>, CannotRead> {
        self.ledger.once(key).await
    }

    async fn due_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<Row>, CannotRead> {
        self.ledger.due_requests(now, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, CannotRead> {
        self.ledger.next_due().await
    }

    async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<LaneRows, CannotRead> {
        self.ledger.lane(lane, now).await
    }

    async fn claim_lane(
        &self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Epoch>, CommitError> {
        self.ledger.claim_lane(lane, hand, now, until).await
    }

    async fn sheet(&self, name: &str) -> Result<Option<Sheet>, CannotRead> {
        self.ledger.sheet(name).await
    }

    async fn sheets(&self, prefix: &str) -> Result<Vec<Sheet>, CannotRead> {
        self.ledger.sheets(prefix).await
    }

    async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        self.ledger.entries(from, limit).await
    }

    async fn frontier(&self) -> Result<Frontier, CannotRead> {
        self.ledger.frontier().await
    }

    async fn store_checkpoint(&self, size: u64, note: String) -> Result<(), CommitError> {
        self.ledger.store_checkpoint(size, note).await
    }

    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        self.ledger.checkpoints().await
    }
}
