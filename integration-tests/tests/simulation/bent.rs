//! A ledger between core and the real one that bends what is written and read.

use std::sync::Arc;
use std::time::Duration;

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
use jitney_integration_tests::simulation::process::Process;
use serde_json::Value;

/// How a ledger is bent.
pub trait Bend: Send + Sync {
    /// Changes what is written.
    fn write(&self, _transaction: &mut Transaction) {}

    /// After how long it is really written, when the ledger only pretends that it is.
    fn later(&self, _transaction: &Transaction) -> Option<Duration> {
        None
    }

    /// Whether the holds of a lane are hidden from who asks what is in it at that time.
    fn hides_holds(&self, _lane: &LaneId, _at: Timestamp) -> bool {
        false
    }

    /// Changes a lease that is read. False hides it.
    fn read(&self, _row: &mut Row) -> bool {
        true
    }
}

/// Changes what a row's JSON says.
pub fn rewrite(row: &mut Row, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    if let Ok(Value::Object(mut body)) = serde_json::from_str(&row.body) {
        change(&mut body);
        row.body = Value::Object(body).to_string();
    }
}

/// What a number in a row's JSON is.
pub fn read_number(row: &Row, field: &str) -> Option<i64> {
    let body: Value = serde_json::from_str(&row.body).ok()?;
    body.get(field)?.as_i64()
}

/// A bent ledger, as one process sees it.
pub struct BentLedger {
    pub real: Arc<dyn Ledger>,
    pub process: Arc<Process>,
    pub bend: Arc<dyn Bend>,
}

impl BentLedger {
    fn all_seen(&self, rows: Vec<Row>) -> Vec<Row> {
        rows.into_iter().filter_map(|row| self.seen(row)).collect()
    }

    fn seen(&self, mut row: Row) -> Option<Row> {
        self.bend.read(&mut row).then_some(row)
    }
}

#[async_trait]
impl Ledger for BentLedger {
    fn is_shared(&self) -> bool {
        self.real.is_shared()
    }

    fn is_there(&self) -> bool {
        self.real.is_there()
    }

    async fn commit(&self, mut transaction: Transaction) -> Result<u64, CommitError> {
        self.bend.write(&mut transaction);
        let Some(later) = self.bend.later(&transaction) else {
            return self.real.commit(transaction).await;
        };
        let (real, stage) = (Arc::clone(&self.real), self.process.stage().clone());
        self.process
            .stage()
            .spawn(self.process.group(), async move {
                stage.sleep(later).await;
                let _ = real.commit(transaction).await;
            });
        Ok(0)
    }

    async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        Ok(self.real.row(id).await?.and_then(|row| self.seen(row)))
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<Row>, CannotRead> {
        Ok(self.all_seen(self.real.rows(ids).await?))
    }

    async fn leases_of(&self, request: RequestId) -> Result<Vec<Row>, CannotRead> {
        Ok(self.all_seen(self.real.leases_of(request).await?))
    }

    async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        Ok(self.all_seen(self.real.leases(filter).await?))
    }

    async fn sheet(&self, name: &str) -> Result<Option<Sheet>, CannotRead> {
        self.real.sheet(name).await
    }

    async fn sheets(&self, prefix: &str) -> Result<Vec<Sheet>, CannotRead> {
        self.real.sheets(prefix).await
    }

    async fn once(&self, key: &OnceKey) -> Result<Option<OnceUse>, CannotRead> {
        self.real.once(key).await
    }

    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, CannotRead> {
        self.real.due_lanes(now, limit).await
    }

    async fn due_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<Row>, CannotRead> {
        self.real.due_requests(now, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, CannotRead> {
        self.real.next_due().await
    }

    async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<LaneRows, CannotRead> {
        let mut found = self.real.lane(lane, now).await?;
        if self.bend.hides_holds(lane, now) {
            found.holds.clear();
        }
        Ok(LaneRows {
            rows: self.all_seen(found.rows),
            ..found
        })
    }

    async fn claim_lane(
        &self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Epoch>, CommitError> {
        self.real.claim_lane(lane, hand, now, until).await
    }

    async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        self.real.entries(from, limit).await
    }

    async fn frontier(&self) -> Result<Frontier, CannotRead> {
        self.real.frontier().await
    }

    async fn store_checkpoint(&self, size: u64, note: String) -> Result<(), CommitError> {
        self.real.store_checkpoint(size, note).await
    }

    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        self.real.checkpoints().await
    }
}
