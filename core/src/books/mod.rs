//! The books: the ledger's typed face, and the only maker of [`Recorded`].
//!
//! A [`Step`] is a lawful edge that has been taken but not written down: the next state, and what
//! the audit log says of it. Committing it gives a `Recorded` of that state. Whoever holds one
//! knows that the ledger does too; that is what makes it a permission to call the cloud.

mod found;
mod posted;
mod record;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;

pub use found::{FoundLease, FoundRequest, OpenLane, found_lease, found_request};
pub use posted::Posted;
pub use record::{Record, Recorded, Seal, State, Step};

use crate::adapter::Mark;
use crate::audit::{Checkpoint, SigningKey};
use crate::id::{LeaseId, RequestId};
use crate::ledger::{CannotRead, CommitError, LeaseFilter, Ledger, RowId, Transaction};
use crate::plan::LaneId;
use crate::standing::{self, Standing};
use crate::time::Timestamp;
pub(crate) use found::read_lease;

/// By which part of itself a silence is longer where several brokers hear: 3 s of 45.
const PATIENCE_PART: u32 = 15;

/// The ledger's typed face.
#[derive(Clone)]
pub struct Books {
    ledger: Arc<dyn Ledger>,
    silence: Duration,
    patience: Duration,
    mark: Arc<Mutex<Mark>>,
    known: Arc<Mutex<Option<Posted<Standing>>>>,
    sealed: Arc<Mutex<Option<Checkpoint>>>,
}

impl Books {
    /// Opens the books on a ledger. `silence` is how long an active lease may go without a sign
    /// of life before somebody must look at it.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, silence: Duration) -> Self {
        let more = if ledger.is_shared() {
            silence / PATIENCE_PART
        } else {
            Duration::ZERO
        };
        Self {
            ledger,
            silence,
            patience: silence + more,
            mark: Arc::default(),
            known: Arc::default(),
            sealed: Arc::default(),
        }
    }

    /// The ledger beneath, for reading.
    #[must_use]
    pub fn ledger(&self) -> &dyn Ledger {
        self.ledger.as_ref()
    }

    /// How long a job may be silent, as it is told.
    #[must_use]
    pub const fn silence(&self) -> Duration {
        self.silence
    }

    /// After how long a silence a lease ends. A little longer than the job is told where several
    /// brokers share the ledger: one of them may have died with the job's last beats in memory, and
    /// then the next one, which another broker hears, must still come in time.
    ///
    /// With beats at 0, 15 and 30 s of 45, a broker that dies at 31 s had either written the last of
    /// them down or leaves 17 s for the one at 45 s.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Commits steps as one transaction.
    ///
    /// # Errors
    /// As the ledger says. Nothing is recorded then, unless the outcome is unknown.
    pub async fn record<R: Record>(&self, record: R) -> Result<R::Recorded, CommitError> {
        self.record_with(record, Transaction::default()).await
    }

    /// Commits steps together with what else must happen at once: once-keys, claims, budgets.
    ///
    /// # Errors
    /// As the ledger says. Nothing is recorded then, unless the outcome is unknown.
    pub async fn record_with<R: Record>(
        &self,
        mut record: R,
        mut also: Transaction,
    ) -> Result<R::Recorded, CommitError> {
        record
            .write(&mut also, self.patience)
            .map_err(|error| CommitError::Unavailable(format!("a state has no JSON: {error}")))?;
        let sequence = self.ledger.commit(also).await?;
        Ok(record.recorded(&Seal(self.came_to(sequence))))
    }

    /// Commits what changes no lease and no request.
    ///
    /// # Errors
    /// As the ledger says.
    pub async fn note(&self, transaction: Transaction) -> Result<(), CommitError> {
        let sequence = self.ledger.commit(transaction).await?;
        self.came_to(sequence);
        Ok(())
    }

    /// Signs the audit log as it stands, unless this process has signed it so before. Signed anew
    /// it gives the same note, which the ledger keeps once: what is stored need not be read.
    ///
    /// # Errors
    /// When the ledger cannot be read or written, or the checkpoint cannot be made.
    pub async fn seal(&self, key: &SigningKey) -> Result<(), CannotSeal> {
        let told = |error: &dyn core::fmt::Display| CannotSeal(error.to_string());
        let frontier = self.ledger.frontier().await.map_err(|e| told(&e))?;
        let checkpoint = Checkpoint::of(&frontier);
        if frontier.size() == 0 || *self.sealed() == Some(checkpoint) {
            return Ok(());
        }
        let note = checkpoint.sign(key).map_err(|e| told(&e))?.to_string();
        let stored = self.ledger.store_checkpoint(frontier.size(), note).await;
        stored.map_err(|e| told(&e))?;
        *self.sealed() = Some(checkpoint);
        Ok(())
    }

    fn sealed(&self) -> MutexGuard<'_, Option<Checkpoint>> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the ledger has come, as far as this process knows. Other brokers may have brought
    /// it further.
    #[must_use]
    pub fn mark(&self) -> Mark {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of how far the ledger has come at least.
    fn came_to(&self, sequence: u64) -> Mark {
        self.raise(|mark| mark.sequence = mark.sequence.max(sequence))
    }

    fn raise(&self, change: impl FnOnce(&mut Mark)) -> Mark {
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut mark);
        *mark
    }

    /// How far the ledger has come, as the ledger itself says now.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn mark_now(&self) -> Result<Mark, CannotRead> {
        let frontier = self.ledger.frontier().await?;
        self.standing().await?;
        Ok(self.came_to(frontier.size()))
    }

    /// The standing orders, as the ledger has them now.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not standing orders.
    pub async fn standing(&self) -> Result<Posted<Standing>, CannotRead> {
        let posted = self.sheet::<Standing>(standing::SHEET).await?;
        self.raise(|mark| mark.era = mark.era.max(posted.says.era));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(posted.clone());
        Ok(posted)
    }

    /// The standing orders as they were last read: whoever acts on them asserts with
    /// [`Posted::at`] that they still stand.
    ///
    /// # Errors
    /// When they were never read, and the ledger cannot be read.
    pub async fn standing_as_known(&self) -> Result<Posted<Standing>, CannotRead> {
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match known {
            Some(posted) => Ok(posted),
            None => self.standing().await,
        }
    }

    /// A sheet, or what an empty one says when there is none.
    ///
    /// # Errors
    /// When the ledger cannot be read, or the sheet says something else than it should.
    pub async fn sheet<T: DeserializeOwned + Default>(
        &self,
        name: &str,
    ) -> Result<Posted<T>, CannotRead> {
        match self.ledger.sheet(name).await? {
            Some(sheet) => Posted::read(&sheet),
            None => Ok(Posted {
                says: T::default(),
                name: name.to_owned(),
                version: 0,
            }),
        }
    }

    /// One lease.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a lease.
    pub async fn lease(&self, id: LeaseId) -> Result<Option<FoundLease>, CannotRead> {
        let row = self.ledger.row(RowId::Lease(id)).await?;
        row.map(|row| found_lease(&row)).transpose()
    }

    /// Those of the leases that are there.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a lease.
    pub async fn leases_by_id(
        &self,
        ids: &[LeaseId],
    ) -> Result<BTreeMap<LeaseId, FoundLease>, CannotRead> {
        let ids: Vec<RowId> = ids.iter().copied().map(RowId::Lease).collect();
        let mut leases = BTreeMap::new();
        for row in self.ledger.rows(&ids).await? {
            let lease = found_lease(&row)?;
            leases.insert(lease.terms().id, lease);
        }
        Ok(leases)
    }

    /// Leases by what they are.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a lease.
    pub async fn leases(&self, filter: LeaseFilter) -> Result<Vec<FoundLease>, CannotRead> {
        let rows = self.ledger.leases(filter).await?;
        rows.iter().map(found_lease).collect()
    }

    /// The leases of a request.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a lease.
    pub async fn leases_of(&self, request: RequestId) -> Result<Vec<FoundLease>, CannotRead> {
        let rows = self.ledger.leases_of(request).await?;
        rows.iter().map(found_lease).collect()
    }

    /// One request.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a request.
    pub async fn request(&self, id: RequestId) -> Result<Option<FoundRequest>, CannotRead> {
        let row = self.ledger.row(RowId::Request(id)).await?;
        row.map(|row| found_request(&row)).transpose()
    }

    /// Requests that are due.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a request.
    pub async fn due_requests(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<FoundRequest>, CannotRead> {
        let rows = self.ledger.due_requests(now, limit).await?;
        rows.iter().map(found_request).collect()
    }

    /// Opens a lane.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a lease.
    pub async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<OpenLane, CannotRead> {
        let found = self.ledger.lane(lane, now).await?;
        let leases = found
            .rows
            .iter()
            .map(found_lease)
            .collect::<Result<_, _>>()?;
        Ok(OpenLane {
            leases,
            holds: found.holds,
        })
    }
}

/// Why the audit log could not be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log could not be sealed: {0}")]
pub struct CannotSeal(String);
