//! Proves who asks. A CI job shows a signed token; this crate says which job that is, or why the
//! token is not believed, and checks the proof that the caller holds the key it is bound to.
//!
//! - [`Issuers`]: whose tokens are taken, a table fixed by configuration.
//! - [`Verifier`]: from an unverified token to a [`Verified`] job. It keeps the issuers' keys.
//! - [`hooks`]: what a CI system says by webhook of jobs that are over.
//! - [`dpop`]: that the caller holds the key which a request or lease is bound to.
//! - [`assertions`]: tokens of the broker's own, by which clouds know its slots.
//! - [`Refusal`]: a stable code, a text for the job, a text for the log.
//!
//! Nothing here grants anything. Published keys and recent proofs are remembered, tokens are not:
//! that a token is used once is for the ledger to hold, in the transaction that grants.

mod addresses;
mod algorithm;
pub mod assertions;
mod claims;
mod compact;
pub mod dpop;
pub mod fetch;
mod github;
mod gitlab;
pub mod hooks;
mod issuers;
pub mod keyring;
mod keys;
mod once;
mod refusal;
mod replay;
mod verifier;

pub use algorithm::Algorithm;
pub use fetch::NoClient;
pub use github::GithubClaims;
pub use gitlab::GitlabClaims;
pub use issuers::{
    BadIssuer, GITLAB_TOKEN_SECONDS_MAX, ISSUERS_MAX, IssuerConfig, Issuers, LEEWAY_SECONDS_MAX,
    LEEWAY_SECONDS_MIN, TOKEN_SECONDS_MAX, default_beat_audience,
};
pub use keyring::IssuerStatus;
pub use refusal::{Refusal, RefusalCode};
pub use verifier::{ProvedLife, ProviderClaims, TOKEN_BYTES_MAX, Verified, Verifier};
