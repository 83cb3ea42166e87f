//! A ledger whose commits are measured. What a transaction writes into the audit log is what
//! happened, so what is counted is read from there, and only once it is durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jitney_core::adapter::Epoch;
use jitney_core::audit::{Entry, Event, Frontier};
use jitney_core::id::RequestId;
use jitney_core::ledger::{
    CannotRead, CommitError, LaneRows, LeaseFilter, Ledger, OnceUse, Row, RowId, Sheet,
    StoredEntry, Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::principal::OnceKey;
use jitney_core::time::Timestamp;

use super::{Metrics, names};

/// Another ledger, measured.
pub struct MeasuredLedger {
    inner: Arc<dyn Ledger>,
    metrics: Arc<Metrics>,
}

impl MeasuredLedger {
    /// Measures `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Ledger>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }

    fn happened(&self, entry: &Entry) {
        let mint = |result| self.metrics.count(names::MINTS, &[("result", result)]);
        let lag = |until| {
            let text = entry.fields().get("after_milliseconds");
            if let Some(milliseconds) = text.and_then(|text| text.parse().ok()) {
                let lag = Duration::from_millis(milliseconds);
                self.metrics
                    .took(names::REVOKE_LAG, &[("until", until)], lag);
            }
        };
        match entry.event() {
            Event::LeaseGranted => mint("granted"),
            Event::LeaseRenewed => mint("renewing"),
            Event::LeaseNeverGranted => mint("never_granted"),
            Event::LeaseDoubted => mint("doubted"),
            Event::LeaseEnding => {
                let why = entry.fields().get("why").map_or("unknown", String::as_str);
                self.metrics.count(names::ENDS, &[("why", why)]);
            }
            Event::LeaseWritten => lag("written"),
            Event::LeaseEnded => lag("ended"),
            _ => {}
        }
    }
}

const fn result(outcome: &Result<u64, CommitError>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(CommitError::Unknown(_)) => "unknown",
        Err(CommitError::Unavailable(_)) => "unavailable",
        // Somebody was faster, or a limit stood against it.
        Err(_) => "refused",
    }
}

#[async_trait]
impl Ledger for MeasuredLedger {
    async fn commit(&self, transaction: Transaction) -> Result<u64, CommitError> {
        let entries = transaction.entries.clone();
        let since = Instant::now();
        let outcome = self.inner.commit(transaction).await;
        let labels = [("result", result(&outcome))];
        self.metrics
            .took(names::LEDGER_COMMIT, &labels, since.elapsed());
        if outcome.is_ok() {
            entries.iter().for_each(|entry| self.happened(entry));
        }
        outcome
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn is_there(&self) -> bool {
        self.inner.is_there()
    }

    async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        self.inner.row(id).await
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<Row>, CannotRead> {
        self.inner.rows(ids).await
    }

    async fn leases_of(&self, request: RequestId) -> Result<Vec<Row>, CannotRead> {
        self.inner.leases_of(request).await
    }

    async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        self.inner.leases(filter).await
    }

    async fn count_open(&self) -> Result<BTreeMap<String, u64>, CannotRead> {
        self.inner.count_open().await
    }

    async fn sheet(&self, name: &str) -> Result<Option<Sheet>, CannotRead> {
        self.inner.sheet(name).await
    }

    async fn sheets(&self, prefix: &str) -> Result<Vec<Sheet>, CannotRead> {
        self.inner.sheets(prefix).await
    }

    async fn once(&self, key: &OnceKey) -> Result<Option<OnceUse>, CannotRead> {
        self.inner.once(key).await
    }

    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, CannotRead> {
        self.inner.due_lanes(now, limit).await
    }

    async fn due_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<Row>, CannotRead> {
        self.inner.due_requests(now, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, CannotRead> {
        self.inner.next_due().await
    }

    async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<LaneRows, CannotRead> {
        self.inner.lane(lane, now).await
    }

    async fn claim_lane(
        &self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Epoch>, CommitError> {
        self.inner.claim_lane(lane, hand, now, until).await
    }

    async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        self.inner.entries(from, limit).await
    }

    async fn frontier(&self) -> Result<Frontier, CannotRead> {
        self.inner.frontier().await
    }

    async fn store_checkpoint(&self, size: u64, note: String) -> Result<(), CommitError> {
        self.inner.store_checkpoint(size, note).await
    }

    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        self.inner.checkpoints().await
    }
}
