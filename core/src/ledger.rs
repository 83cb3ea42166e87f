//! The ledger port: a durable store in which one call is one transaction.
//!
//! # Contract
//!
//! - [`Ledger::commit`] applies all of a [`Transaction`] or nothing. When it returns `Ok`, the
//!   transaction survives the loss of the process and of the machine's power.
//! - Every refusal names its reason; *unknown* is a reason of its own. A ledger never reports a
//!   commit as failed when it may have happened.
//! - Entries of the audit log become leaves of one Merkle tree, in the same transaction.
//! - A ledger knows rows, not leases: what a state means is core's business.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::adapter::Epoch;
use crate::audit::{Entry, Frontier};
use crate::evidence::Hold;
use crate::id::{LeaseId, RequestId};
use crate::plan::LaneId;
use crate::principal::{KeyThumbprint, OnceKey};
use crate::time::Timestamp;

/// Whose budgets something counts against. Ids, never names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The job's key.
    pub job: String,
    /// Issuer and repository id.
    pub repository: String,
    /// Issuer and tenant id.
    pub tenant: String,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowId {
    /// A request.
    Request(RequestId),
    /// A lease.
    Lease(LeaseId),
}

/// A row as the ledger stores it. The columns beside `body` are there to be found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which row.
    pub id: RowId,
    /// Grows by one with every write; the first is 1.
    pub version: u64,
    /// The state's name.
    pub state: String,
    /// Whether nothing leads out of the state. A final row counts against no budget.
    pub is_final: bool,
    /// The request a lease belongs to; of a request, itself.
    pub request: RequestId,
    /// The lane of a lease.
    pub lane: Option<LaneId>,
    /// Whose budgets it counts against.
    pub owner: Owner,
    /// When somebody must look at it again.
    pub due_at: Option<Timestamp>,
    /// The state, as JSON. Holds no secret.
    pub body: String,
}

/// One use of something that may be used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnceUse {
    /// What was used.
    pub key: OnceKey,
    /// The client key it is bound to from now on.
    pub bound_to: KeyThumbprint,
    /// A digest over what was asked with it, idempotency key included.
    pub asked: String,
    /// The request it led to.
    pub request: RequestId,
    /// Until when it must be remembered.
    pub remember_until: Timestamp,
}

/// What a budget limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// One job.
    Job(String),
    /// One repository.
    Repository(String),
    /// One tenant.
    Tenant(String),
    /// One lane: the room of a deny list, a pool.
    Lane(LaneId),
}

/// A limit that a transaction must not exceed once it is applied. Counted are leases that have
/// not ended, and holds: request-and-release must not burn a lane's room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// What is limited.
    pub share: Share,
    /// The most leases and holds it may have.
    pub leases_max: u32,
}

/// A name that one lease at a time may have: a slot of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The name.
    pub name: String,
    /// The lease that claims it.
    pub lease: LeaseId,
}

/// Asserts that the committing hand still owns a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The lane.
    pub lane: LaneId,
    /// The epoch under which the hand claimed it.
    pub epoch: Epoch,
}

/// A sheet: something that holds for the whole installation, under a name. The standing orders are
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// Its name.
    pub name: String,
    /// Grows by one with every write; the first is 1.
    pub version: u64,
    /// What it says, as JSON. Holds no secret.
    pub body: String,
}

/// Asserts that a sheet still says what the committing hand has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SheetAt {
    /// The sheet.
    pub name: String,
    /// The version that was read; 0 when there was no such sheet.
    pub version: u64,
}

/// When a lane must be looked at although nothing in it is due: while it holds something, a
/// stranger may undo it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The lane. It has one look at most; a new one replaces it.
    pub lane: LaneId,
    /// When; absent when it need not be looked at any more.
    pub at: Option<Timestamp>,
}

/// Everything that happens together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Rows to write. Each is refused unless the stored version is exactly one lower.
    pub rows: Vec<Row>,
    /// Things used up.
    pub once: Vec<OnceUse>,
    /// Names claimed.
    pub claims: Vec<Claim>,
    /// Names given back.
    pub claims_released: Vec<Claim>,
    /// Holds placed. A hold of the same thing in the same lane is prolonged, never shortened; it
    /// covers what was issued until the later of both moments, or until nobody knows when.
    pub holds_placed: Vec<Hold>,
    /// Holds dropped.
    pub holds_dropped: Vec<Hold>,
    /// Limits that must hold afterwards.
    pub budgets: Vec<Budget>,
    /// Lanes that must still be ours.
    pub fences: Vec<Fence>,
    /// Sheets to write. Each is refused unless the stored version is exactly one lower.
    pub sheets: Vec<Sheet>,
    /// Sheets that must still say what was read.
    pub sheets_unchanged: Vec<SheetAt>,
    /// When lanes are to be looked at again.
    pub looks: Vec<Look>,
    /// Lanes whose epoch is at least this from now on. Whoever owned one has lost it, and who
    /// claims it next gets a higher epoch still.
    pub epochs_raised: Vec<Fence>,
    /// What the audit log says of all this.
    pub entries: Vec<Entry>,
}

/// Why a transaction was not applied, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A row is not in the version that was expected. Nothing was applied.
    #[error("a row was changed by someone else in the meantime")]
    Conflict(RowId),
    /// A name is claimed by another lease. Nothing was applied.
    #[error("`{}` is claimed by another lease", .0.name)]
    Taken(Claim),
    /// A once-key was used before. Nothing was applied.
    #[error("this was used before")]
    Replayed(OnceUse),
    /// A budget would be exceeded. Nothing was applied.
    #[error("a limit on open leases is reached")]
    OverBudget(Budget),
    /// Another hand owns the lane. Nothing was applied.
    #[error("lane `{}` is driven by another broker", .0.lane)]
    Fenced(Fence),
    /// A sheet says something else by now. Nothing was applied.
    #[error("the sheet `{0}` was changed in the meantime")]
    Moved(String),
    /// It may have been applied.
    #[error("the ledger does not know whether it committed: {0}")]
    Unknown(String),
    /// It was not applied; the ledger cannot be written at present.
    #[error("the ledger cannot be written: {0}")]
    Unavailable(String),
}

/// Why the ledger could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger cannot be read: {0}")]
pub struct CannotRead(pub String);

/// A lane with everything in it that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneRows {
    /// Its leases under revocation, and those of its other leases that are due.
    pub rows: Vec<Row>,
    /// Its holds.
    pub holds: Vec<Hold>,
}

/// What to look for among leases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseFilter {
    /// Also those that have ended.
    pub ended_too: bool,
    /// Only those of one job.
    pub job: Option<String>,
    /// Only those in the state of this name.
    pub state: Option<String>,
    /// Only those with an id lower than this: the next page.
    pub older_than: Option<LeaseId>,
    /// At most so many, newest first.
    pub limit: u32,
}

/// What is stored of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its place, from 0.
    pub index: u64,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
}

/// The durable store.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Applies all of a transaction, durably, or nothing. Gives the number of audit entries that
    /// the ledger then holds: its sequence.
    ///
    /// # Errors
    /// The first thing that stood against it, or that it is unknown or unavailable.
    async fn commit(&self, transaction: Transaction) -> Result<u64, CommitError>;

    /// Whether other brokers may be writing it too. Then what only this process knows, such as
    /// signs of life, must reach the ledger in time for them.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether it took what it was last given. While it takes nothing, what other brokers heard of
    /// jobs does not reach it either.
    fn is_there(&self) -> bool {
        true
    }

    /// One row.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead>;

    /// Those of the rows that are there, in any order. A ledger that can find many at once does
    /// better than this, which asks for one after the other.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn rows(&self, ids: &[RowId]) -> Result<Vec<Row>, CannotRead> {
        let mut rows = Vec::new();
        for id in ids {
            rows.extend(self.row(*id).await?);
        }
        Ok(rows)
    }

    /// The leases of a request.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn leases_of(&self, request: RequestId) -> Result<Vec<Row>, CannotRead>;

    /// Leases by what they are.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead>;

    /// The sheet of that name.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn sheet(&self, name: &str) -> Result<Option<Sheet>, CannotRead>;

    /// The sheets whose names begin with `prefix`, by name.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn sheets(&self, prefix: &str) -> Result<Vec<Sheet>, CannotRead>;

    /// How many leases have not ended, by the state's name. A ledger that can count does better
    /// than this, which reads them all.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn count_open(&self) -> Result<BTreeMap<String, u64>, CannotRead> {
        let (mut counts, mut older_than) = (BTreeMap::new(), None);
        loop {
            let page = self.leases(LeaseFilter {
                older_than,
                limit: 1000,
                ..LeaseFilter::default()
            });
            let page = page.await?;
            for row in &page {
                let count = counts.entry(row.state.clone()).or_insert(0_u64);
                *count = count.saturating_add(1);
            }
            older_than = page.iter().rev().find_map(|row| match row.id {
                RowId::Lease(id) => Some(id),
                RowId::Request(_) => None,
            });
            if older_than.is_none() {
                return Ok(counts);
            }
        }
    }

    /// What a once-key was used for, if it was and is still remembered.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn once(&self, key: &OnceKey) -> Result<Option<OnceUse>, CannotRead>;

    /// At most `limit` lanes in which a lease or a hold is due at `now`, or which must be looked at,
    /// the longest due first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, CannotRead>;

    /// At most `limit` requests that are due at `now`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn due_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<Row>, CannotRead>;

    /// When the next thing is due; nothing when nothing ever will be.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn next_due(&self) -> Result<Option<Timestamp>, CannotRead>;

    /// What is in a lane: every lease under revocation, every other lease due at `now`, and every
    /// hold.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<LaneRows, CannotRead>;

    /// Claims a lane for a hand until `until`. Gives the epoch: the same one when `hand` was the
    /// last to own the lane, even if its claim has run out, so that a hand nobody relieved goes on
    /// where it was; a higher one when another hand's claim has run out; nothing while another
    /// hand's claim runs.
    /// Durable before it returns.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    async fn claim_lane(
        &self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Epoch>, CommitError>;

    /// Entries of the audit log from `from` on, at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead>;

    /// The peaks of the audit log's tree.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn frontier(&self) -> Result<Frontier, CannotRead>;

    /// Stores a signed checkpoint of the tree at `size`.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    async fn store_checkpoint(&self, size: u64, note: String) -> Result<(), CommitError>;

    /// The signed checkpoints, oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead>;
}
