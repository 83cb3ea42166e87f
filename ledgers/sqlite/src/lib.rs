//! The embedded ledger: one SQLite file, one writer, every commit on disk before it is answered.
//!
//! ```text
//! callers ─► bounded queue ─► writer thread:  BEGIN IMMEDIATE
//!                                             SAVEPOINT · transaction · RELEASE   (for each)
//!                                             COMMIT, on disk ─► answers to all
//! copier  ─► a thread that copies the write-ahead log into the file meanwhile
//! readers ─► threads with read-only connections of their own, one snapshot per question
//! ```
//!
//! One disk flush is shared by everyone who was waiting for it, so the ledger gets faster per
//! transaction the busier it is. A transaction that is refused takes back only its own savepoint.
//! An answer is given only after the flush, refusals included: what a refusal rests on could
//! otherwise still be undone.
//!
//! A second broker cannot open the same file: see [`CannotOpen::InUse`]. Budgets are counted by
//! triggers beside the rows, in the same transaction, and looked up in one step.

#![deny(missing_docs)]

mod apply;
mod columns;
mod copier;
mod desk;
mod export;
mod failure;
mod head;
mod import;
mod ledger;
mod open;
mod options;
mod place;
mod read;
mod reader;
mod readers;
mod schema;
mod writer;

pub use export::SqliteExport;
pub use import::SqliteImport;
pub use ledger::SqliteLedger;
pub use open::{CannotOpen, SQLITE_VERSION_MIN};
pub use options::{
    QUEUE_LENGTH_DEFAULT, QUEUE_LENGTH_MAX, READERS_DEFAULT, READERS_MAX, SIZE_MIB_MIN,
    SqliteOptions,
};
pub use reader::SqliteReader;
