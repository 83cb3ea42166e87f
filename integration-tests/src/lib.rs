//! Jitney.

pub mod ledger_laws;
