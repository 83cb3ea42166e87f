//! The ledger on PostgreSQL, judged on a real server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod alike;
mod beats;
mod brokers;
mod cancelled;
mod commits;
mod laws;
mod moving;
mod opening;
mod proxy;
mod questions;
mod sample;
mod slots;
