//! A ledger in front of another: while that one cannot be written, elevations stop and
//! revocations go on, noted in a file that was made large enough beforehand.
//!
//! ```text
//! core ─► Spooled ─ commit ─► the ledger ─ unavailable, unknown, silent ─┐
//!            │                                                          ▼
//!            │        does it only end leases?   no ─► as the ledger said: elevations stop
//!            ├─ read ─► the ledger, then what is noted over it   yes ─► SpoolFile, then taken
//!            └─ merge ─► what is noted, before the ledger is given anything else
//! ```
//!
//! Core knows nothing of it. What may be noted, and what becomes of it, is core's business all
//! the same: [`jitney_core::spool`].

#![deny(missing_docs)]

mod file;
mod ground;
mod merging;
mod noted;
mod overlay;
mod spooled;

pub use file::{BYTES_MIN, CannotNote, CannotOpen, Found, SpoolFile, waiting};
pub use ground::{Disk, Ground, Records};
pub use spooled::Spooled;
