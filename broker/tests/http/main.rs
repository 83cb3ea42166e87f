//! The broker over a real socket on loopback, with the real ledger, a CI issuer and a cloud that
//! behaves. Each case says what the caller sees, what the ledger holds and what the cloud enforces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod admin;
mod alarms;
mod bounds;
mod cloud;
mod disconnects;
mod gitlab;
mod hooks;
mod hostile;
mod issuer;
mod leases;
mod ledger;
mod lives;
mod logs;
mod looking_back;
mod metrics;
mod rehearsals;
mod requests;
mod tls;
mod wire;
mod world;
