//! Worlds in which everything goes wrong: the real core over a simulated clock, ledger and clouds.
//!
//! ```text
//! seed ─► World ─► brokers (core), jobs, events        Weather: what goes wrong, where
//!           │          │ ports                         Executor: who is polled next, what time it is
//!           │          ▼
//!           │      MemoryLedger, Clouds ─► Notary: objects while it happens
//!           └────────────────────────────► judge:  objects in the end
//! ```
//!
//! A seed decides everything, so a world that fails can be played again, made smaller and told.
//! Only ids are not drawn from the seed: core makes them from the time and the system's
//! randomness. They are created in order, and nothing depends on more than their order.

pub mod archive;
pub mod broker;
pub mod cloud;
pub mod dice;
pub mod executor;
pub mod fault;
pub mod hits;
pub mod job;
pub mod judge;
pub mod ledger;
pub mod mutant;
pub mod notary;
pub mod policy;
pub mod ports;
pub mod process;
pub mod reply;
pub mod shrink;
pub mod spool;
pub mod trace;
pub mod weather;
pub mod world;
