//! Jitney's core: what an elevation is, what must be written down before one is made, and how it
//! ends. Pure: no cloud, no HTTP, no clock and no runtime. Two promises carry everything:
//!
//! 1. **Every grant that exists in a cloud has an intent in the ledger.**
//! 2. **Every ended lease has no grant left behind it.**

#![deny(missing_docs)]

pub mod adapter;
pub mod audit;
pub mod books;
pub mod catalogue;
pub mod cloud_clock;
pub mod credential;
pub mod decision;
pub mod dump;
pub mod evidence;
pub mod fault;
pub mod guarantee;
pub mod handle;
pub mod id;
pub mod lease;
pub mod ledger;
pub mod order;
pub mod plan;
pub mod principal;
pub mod probe;
pub mod pulse;
pub mod question;
pub mod quota;
pub mod reconcile;
pub mod refusal;
pub mod request;
pub mod scope;
pub mod spool;
pub mod standing;
pub mod time;
pub mod usecase;

#[cfg(doctest)]
mod unlawful;
