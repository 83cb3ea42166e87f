//! Leases on Google Cloud, against our own strict sandbox: the laws, what Google alone has, and the
//! ways of carrying a lease beside the usual one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod accounts;
mod asking;
mod estate;
mod examine;
mod grants;
mod hands;
mod job;
mod laws;
mod managed;
mod pools;
mod races;
mod rehearsing;
mod stage;
mod steps;
