//! The Azure sandbox over HTTPS and under the Azure SDK for Rust: what is granted works, what is not is refused,
//! and what was taken back is gone when its time has come.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod blob;
mod cloud;
mod conditions;
mod control;
mod denials;
mod documents;
mod entra;
mod faults;
mod front;
mod leases;
mod pim;
mod pim_rules;
mod rbac;
mod sdk;
mod vault;
