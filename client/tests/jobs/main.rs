//! Jobs as a CI system runs them: real processes and real signals, against a broker that behaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod azure;
mod broker;
mod calls;
mod clouds;
mod effective;
mod endpoint;
mod environment;
mod google;
mod keeping;
mod leaving;
mod proofs;
mod signals;
mod world;
mod wrapper;
