//! Leases on AWS: a session of a role, narrowed by a session policy, and cut by a Deny on the tag
//! it carries.
//!
//! [`AwsAdapter`] is one AWS account behind core's `Elevate` and `Revoke`. It knows core and AWS's
//! SDK, reads no ledger and keeps no credential. `README.md` beside this crate says what an
//! operator sets up and what AWS cannot promise.

mod adapter;
mod arn;
mod capability;
mod classify;
mod cloud_clock;
mod config;
mod connect;
mod deny_list;
mod elevate;
mod examine;
mod judge;
pub mod limits;
mod list_name;
mod pen;
mod plan;
mod policy_document;
mod probe;
mod questions;
mod revoke;
mod role_policies;
mod session_policy;
mod sweep;
mod writing;

pub use adapter::{AwsAdapter, CLOUD};
pub use arn::{BadArn, RoleArn};
pub use config::{
    AmbientEndpoint, AwsTarget, BadTarget, CredentialSource, DenyList, refuse_ambient_endpoints,
};
pub use connect::Identities;
pub use elevate::{
    ACCESS_KEY_ID, ACCOUNT_ID, CREDENTIAL_KIND, REGION, SECRET_ACCESS_KEY, SESSION_TOKEN,
};
pub use examine::{Examination, examine};

/// How the lists of ended sessions are written, for the simulation to let everything go wrong
/// around it.
#[doc(hidden)]
pub mod simulated {
    pub use crate::deny_list::{Denied, List};
    pub use crate::list_name::ListName;
    pub use crate::pen::Pen;
    pub use crate::writing::{RoleLists, Times, pass};
}
