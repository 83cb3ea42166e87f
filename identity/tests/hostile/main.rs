//! Hostile tokens, keys and servers. Each test begins with a token that is accepted, changes exactly
//! one thing, and demands the exact refusal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod assertions;
mod beats;
mod fetching;
mod gitlab;
mod hooks;
mod issuer;
mod jobs;
mod kept_keys;
mod mint;
mod proofs;
mod properties;
mod sandbox;
mod tokens;
