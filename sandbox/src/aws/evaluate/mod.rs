//! The policy language and its evaluation: a pure function of a request, the policies that apply to it, and
//! nothing else.
//!
//! [`decide()`] answers what AWS would answer: an explicit Deny in any layer wins; otherwise the identity
//! policies, the permissions boundary and the session policies must all allow, unless a resource policy
//! names the caller in a way that passes them by. Parsing ([`Policy::parse`]) refuses what AWS refuses.
//! No clock, no network, no estate: whatever a condition may look at is in [`Request::context`].
//!
//! Judges: the unit tests below hold the bypass table row by row; a differential test compares [`decide()`] with
//! an independent evaluator, run as a separate process.

mod condition;
mod context;
mod decide;
mod document;
mod operators;
mod pattern;
mod policy;
mod principal;
mod statement;

#[cfg(test)]
mod bypass_tests;
#[cfg(test)]
mod language_tests;

pub use context::Context;
pub use decide::{Decision, Layer, Layers, ResourceSide, Verdict, decide};
pub use policy::{Effect, Malformed, Policy, PolicyKind};
pub use principal::Caller;
pub(crate) use principal::PrincipalName;

use serde::{Deserialize, Serialize};

/// One call to be judged: who, what, on what, and what conditions may look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Who calls.
    pub caller: Caller,
    /// The action as `service:Name`; compared without regard to case.
    pub action: String,
    /// The resource's ARN, or `*` for actions that have no resource.
    pub resource: String,
    /// The condition keys present in the request.
    #[serde(default)]
    pub context: Context,
}
