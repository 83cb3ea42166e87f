//! A ledger in memory: the port with its exact semantics, and a past that can be brought back.
//!
//! It keeps the same laws as every ledger; a test judges it by them. What a disk, a network or a
//! second process do to a ledger is put around it, by whoever owns the world.

mod apply;
mod questions;
mod tables;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

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

pub use tables::{Owned, Tables};

use super::executor::lock;

/// The ledger. Clones are the same ledger, as seen by another process.
#[derive(Clone, Default)]
pub struct MemoryLedger(Arc<Mutex<Tables>>, Arc<AtomicU32>);

impl MemoryLedger {
    /// Looks at everything that it holds.
    pub fn look<T>(&self, at: impl FnOnce(&Tables) -> T) -> T {
        at(&lock(&self.0))
    }

    /// Everything that it holds, to be brought back later.
    #[must_use]
    pub fn copy(&self) -> Tables {
        lock(&self.0).clone()
    }

    /// Goes back to a copy. What was committed since is forgotten, and nobody is told.
    pub fn restore(&self, copy: Tables) {
        *lock(&self.0) = copy;
        self.1.fetch_add(1, Ordering::SeqCst);
    }

    /// How often it went back. A commit that was on its way then is lost with what was forgotten.
    #[must_use]
    pub fn restored(&self) -> u32 {
        self.1.load(Ordering::SeqCst)
    }

    /// Applies all of a transaction or nothing.
    ///
    /// # Errors
    /// The first thing that stood against it.
    pub fn apply(&self, transaction: &Transaction) -> Result<u64, CommitError> {
        let mut tables = lock(&self.0);
        let mut next = tables.clone();
        let sequence = next.apply(transaction)?;
        *tables = next;
        Ok(sequence)
    }

    /// See [`Ledger::claim_lane`].
    #[must_use]
    pub fn claim(
        &self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<Epoch> {
        lock(&self.0).claim_lane(lane, hand, now, until)
    }

    /// Stores a checkpoint.
    ///
    /// # Errors
    /// When the log has not grown to it.
    pub fn checkpoint(&self, size: u64, note: String) -> Result<(), CommitError> {
        lock(&self.0).checkpoint(size, note)
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn commit(&self, transaction: Transaction) -> Result<u64, CommitError> {
        self.apply(&transaction)
    }

    async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        Ok(self.look(|tables| tables.row(id)))
    }

    async fn leases_of(&self, request: RequestId) -> Result<Vec<Row>, CannotRead> {
        Ok(self.look(|tables| tables.leases_of(request)))
    }

    async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        Ok(self.look(|tables| tables.leases(&filter)))
    }

    async fn sheet(&self, name: &str) -> Result<Option<Sheet>, CannotRead> {
        Ok(self.look(|tables| tables.sheet(name)))
    }

    async fn sheets(&self, prefix: &str) -> Result<Vec<Sheet>, CannotRead> {
        Ok(self.look(|tables| tables.sheets(prefix)))
    }

    async fn once(&self, key: &OnceKey) -> Result<Option<OnceUse>, CannotRead> {
        Ok(self.look(|tables| tables.once(key)))
    }

    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, CannotRead> {
        Ok(self.look(|tables| tables.due_lanes(now, limit)))
    }

    async fn due_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<Row>, CannotRead> {
        Ok(self.look(|tables| tables.due_requests(now, limit)))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, CannotRead> {
        Ok(self.look(Tables::next_due))
    }

    async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<LaneRows, CannotRead> {
        Ok(self.look(|tables| tables.lane(lane, now)))
    }

    async fn claim_lane(
        &self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Epoch>, CommitError> {
        Ok(self.claim(lane, hand, now, until))
    }

    async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        Ok(self.look(|tables| tables.entries(from, limit)))
    }

    async fn frontier(&self) -> Result<Frontier, CannotRead> {
        Ok(self.look(Tables::frontier))
    }

    async fn store_checkpoint(&self, size: u64, note: String) -> Result<(), CommitError> {
        self.checkpoint(size, note)
    }

    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        Ok(self.look(Tables::checkpoints))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger_laws::{Broken, LAWS, Store, Stores, judge};

    struct InMemory;

    #[async_trait]
    impl Store for MemoryLedger {
        async fn open(&self) -> Result<Arc<dyn Ledger>, Broken> {
            Ok(Arc::new(self.clone()))
        }
    }

    #[async_trait]
    impl Stores for InMemory {
        async fn empty(&self) -> Result<Box<dyn Store>, Broken> {
            Ok(Box::new(MemoryLedger::default()))
        }
    }

    /// The worlds are only as true as their ledger: it is judged like any other.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_ledger_of_the_worlds_keeps_every_law() {
        let broken = judge(&InMemory, LAWS).await;
        assert!(broken.is_empty(), "{broken:#?}");
    }
}
