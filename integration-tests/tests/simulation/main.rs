//! Worlds in which everything goes wrong, and mutants that show that a world would tell.
//!
//! ```text
//! cargo nextest run --release --workspace --test simulation --no-capture        2000 worlds
//! JITNEY_WORLDS=100000 JITNEY_SEED=1 cargo nextest run --profile night …         a night of them
//! JITNEY_SEED=863 JITNEY_WORLDS=1 …                                             one world again
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod account_mutants;
mod bent;
mod mutants;
mod slot_mutants;
mod spool_mutants;
mod tools;
mod worlds;
