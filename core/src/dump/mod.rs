//! A whole ledger on its way to another: from SQLite to PostgreSQL and back, or through a file.
//!
//! What is moved is everything that a ledger must not forget: requests and leases, once-keys,
//! names, holds, epochs, looks, sheets, and the audit log with its checkpoints. Who drives a lane
//! at this moment is not: whoever it was wrote to the old ledger, and the next one has a higher
//! epoch.
//!
//! # Contract
//!
//! - An [`Export`] gives one moment of its ledger, part after part in the order of [`Part`].
//! - An [`Import`] goes into an empty ledger, in one transaction: until [`Import::finish`] returns,
//!   the ledger is as empty as before.
//! - The tree over the entries that came must be the tree that the ledger they came from had.

mod line;
mod read;
mod write;

use async_trait::async_trait;

use crate::audit::Frontier;
use crate::evidence::Hold;
use crate::ledger::{CannotRead, Claim, Fence, OnceUse, Row, RowId, Sheet};
use crate::plan::LaneId;
use crate::time::Timestamp;

pub use line::{Counts, LINE_LENGTH_MAX};
pub use read::{BadDump, DumpReader};
pub use write::DumpWriter;

/// One thing in a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A request or a lease.
    Row(Row),
    /// A use of a once-key.
    Once(OnceUse),
    /// A name that a lease has.
    Claim(Claim),
    /// A hold. It counts against whoever its lease counts against.
    Hold(Hold),
    /// The epoch that a lane has come to.
    Epoch(Fence),
    /// When a lane must be looked at.
    Look {
        /// The lane.
        lane: LaneId,
        /// When.
        at: Timestamp,
    },
    /// A sheet.
    Sheet(Sheet),
    /// The canonical bytes of the audit log's next entry.
    Entry(Vec<u8>),
    /// A signed checkpoint.
    Checkpoint {
        /// The tree's size.
        size: u64,
        /// The note.
        note: String,
    },
}

/// The parts of a ledger, in the order in which they are moved. A hold comes after its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Requests.
    Requests,
    /// Leases.
    Leases,
    /// Once-keys.
    Once,
    /// Names.
    Claims,
    /// Holds.
    Holds,
    /// Epochs of lanes.
    Epochs,
    /// Looks.
    Looks,
    /// Sheets.
    Sheets,
    /// The audit log's entries.
    Entries,
    /// Its checkpoints.
    Checkpoints,
}

impl Record {
    /// The part it is of.
    #[must_use]
    pub const fn part(&self) -> Part {
        match self {
            Self::Row(row) => match row.id {
                RowId::Request(_) => Part::Requests,
                RowId::Lease(_) => Part::Leases,
            },
            Self::Once(_) => Part::Once,
            Self::Claim(_) => Part::Claims,
            Self::Hold(_) => Part::Holds,
            Self::Epoch(_) => Part::Epochs,
            Self::Look { .. } => Part::Looks,
            Self::Sheet(_) => Part::Sheets,
            Self::Entry(_) => Part::Entries,
            Self::Checkpoint { .. } => Part::Checkpoints,
        }
    }
}

/// A ledger that is being read as a whole.
#[async_trait]
pub trait Export: Send {
    /// The peaks of its audit log's tree, at the moment that is read.
    fn frontier(&self) -> &Frontier;

    /// The next records; none when all were given.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn next(&mut self) -> Result<Vec<Record>, CannotRead>;
}

/// Why a ledger was not filled. It is as empty as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotImport {
    /// The audit log that came is not the one that was there.
    #[error("the audit log that came is not the one that was exported: {0}")]
    OtherLog(String),
    /// The ledger did not take it.
    #[error("the ledger cannot be filled: {0}")]
    Failed(String),
}

/// An empty ledger that is being filled.
#[async_trait]
pub trait Import: Send {
    /// Takes the next records.
    ///
    /// # Errors
    /// When the ledger does not take them. Nothing stays of what it took before.
    async fn take(&mut self, records: Vec<Record>) -> Result<(), CannotImport>;

    /// Makes durable all that was taken, if its audit log is the one of `frontier`.
    ///
    /// # Errors
    /// When it is not, or the ledger does not do it. Nothing stays of what it took.
    async fn finish(self: Box<Self>, frontier: &Frontier) -> Result<(), CannotImport>;
}
