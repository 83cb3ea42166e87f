//! Jitney.
