//! Leases on Google Cloud: a short-lived token of a service account that carries one lease at a
//! time, bound for that lease alone, and cut by disabling the account.
//!
//! [`GcpAdapter`] is one target behind core's `Elevate` and `Revoke`. It knows core and Google's
//! APIs, reads no ledger and keeps no credential. `README.md` beside this crate says what an
//! operator sets up and what Google cannot promise.

mod account_slot;
mod adapter;
mod boundary;
mod capability;
mod classify;
mod condition;
mod config;
mod connect;
mod elevate;
mod entitlement;
mod entitling;
mod examine;
mod examine_entitlements;
mod exchange;
mod grant;
#[cfg(test)]
mod histories;
mod judge;
mod lane_name;
mod lending;
pub mod limits;
mod names;
mod notes;
mod pam;
mod plan;
mod policy;
mod policy_lane;
mod policy_store;
mod probe;
mod promise;
mod questions;
mod rest;
mod revoke;
mod sharing;
#[doc(hidden)]
pub mod simulated;
mod slot;
mod stamp;
mod sweep;
mod taking;
mod terms;
mod upload;
mod way;

pub use adapter::{CLOUD, GcpAdapter, NoAdapter};
pub use config::{BadTarget, CredentialSource, GcpTarget};
pub use connect::{Identities, Identity, NoIdentity};
pub use elevate::{ACCESS_TOKEN, CREDENTIAL_KIND, PROJECT_ID, SERVICE_ACCOUNT};
pub use examine::Examination;
pub use names::{AccountEmail, BadName, BucketName, PolicyName, ProjectId, RoleName};
