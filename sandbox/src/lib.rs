//! Jitney.

pub mod ci;
