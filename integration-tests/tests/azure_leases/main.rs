//! Leases on Azure, against our own strict sandbox: the laws in both modes, and what Azure alone
//! has: a floor, an answer that proves nothing, and identities that carry one lease after another.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod asking;
mod estate;
mod examining;
mod giving;
mod issuer;
mod job;
mod laws;
mod recovering;
mod rehearsing;
mod removed_slots;
mod sovereign;
mod stage;
mod steps;
mod stopping;
mod surroundings;
mod taking;
mod vault;
