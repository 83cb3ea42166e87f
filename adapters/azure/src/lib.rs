//! Leases on Azure: roles that an identity of a pool has for one lease at a time, given and taken
//! by Privileged Identity Management or as plain role assignments.
//!
//! [`AzureAdapter`] is one Azure subscription behind core's `Elevate` and `Revoke`. It knows core
//! and Azure's SDK, reads no ledger and keeps no credential. `README.md` beside this crate says
//! what an operator sets up, what Azure cannot promise, and what only a real tenant can tell.

mod adapter;
mod arm;
mod assertion;
mod blobs;
mod calm;
mod capability;
mod claims;
mod classify;
mod condition;
mod config;
mod connect;
mod denial;
mod elevate;
mod environment;
mod examine;
mod giving;
mod handing;
mod judge;
pub mod limits;
mod plan;
mod probe;
mod promise;
mod questions;
mod removing;
mod resources;
mod revoke;
mod role;
mod scope;
mod stamp;
mod standing;
mod sweep;
mod terms;
mod vault;
mod watch;

pub use adapter::{AzureAdapter, CLOUD};
pub use assertion::{
    AUDIENCE, Assertion, BROKER_SUBJECT, CannotSign, SLOT_SUBJECT_PREFIX, SignAssertion,
};
pub use config::{
    AzureTarget, BadTarget, CredentialSource, FastStop, HandsOut, Mode, PlatformIdentity, Slot,
};
pub use connect::{CannotConnect, Identities};
pub use environment::Environment;
pub use examine::{Examination, examine};
pub use handing::{
    ACCESS_TOKEN, ASSERTION, ASSERTION_KIND, AUTHORITY_HOST, CLIENT_ID, STORAGE_ACCESS_TOKEN,
    SUBSCRIPTION_ID, TENANT_ID, TOKEN_KIND,
};
pub use scope::{BadResourceId, Scope};
pub use vault::{KeyFault, KeyVault, RsaPublic, VaultKey};
pub use watch::Stopwatch;
