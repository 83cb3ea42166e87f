//! The ledger on PostgreSQL: several brokers, one book.
//!
//! ```text
//! callers ─► bounded queue ─► writer thread:  BEGIN
//!                                             lock the one row of `log`
//!                                             read what the batch touches
//!                                             decide each transaction, in memory
//!                                             write what they came to
//!                                             COMMIT, durable ─► answers to all
//! readers ─► a pool of connections that only read, one statement per question
//! ```
//!
//! **One lock.** Every commit appends to one audit log, so brokers take turns in any case. The turn
//! begins before anything is read: what a transaction rests on (versions, once-keys, names, counts,
//! epochs, sheets) stays true until it commits, with nothing asked of the isolation level and no
//! two locks to be taken in two orders. Keys, checks and the versions written over hold all the
//! same, should somebody write past the lock. One broker's turn costs a fixed number of statements
//! however many callers share it, so the busier the ledger is, the faster it gets per transaction.
//!
//! **A broker that stands still** in its turn is disconnected by the server after five seconds
//! (`idle_in_transaction_session_timeout`); what it had not committed did not happen.
//!
//! **A commit without an answer** is looked up: every broker counts its commits in a row of its
//! own, which the lost commit held until its end. Only when that row cannot be had is the outcome
//! unknown.
//!
//! **Whose time.** Due times are core's and are compared with the time core gives. Claims of lanes
//! run by the server's clock, see [`ClaimClock`].

#![deny(missing_docs)]

mod book;
mod cells;
mod columns;
mod connect;
mod decide;
mod desk;
mod export;
mod failure;
mod import;
mod ledger;
mod load;
mod open;
mod options;
mod posture;
mod read;
mod reader;
mod save;
mod schema;
mod statement;
mod text;
mod touched;
mod url;
mod writer;

pub use crate::url::{BadUrl, ServerUrl};
pub use export::PostgresExport;
pub use import::PostgresImport;
pub use ledger::PostgresLedger;
pub use open::{CannotOpen, SERVER_VERSION_MIN};
pub use options::{
    CONNECTIONS_DEFAULT, CONNECTIONS_MAX, ClaimClock, PostgresOptions, QUEUE_LENGTH_DEFAULT,
    QUEUE_LENGTH_MAX, SCHEMA_DEFAULT,
};
pub use posture::{Posture, is_in_use, posture};
pub use reader::PostgresReader;
