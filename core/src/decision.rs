//! The decision port: a policy says allow, deny, or needs a person, and why.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalogue::Wanted;
use crate::guarantee::Guarantees;
use crate::principal::Principal;

/// Identifies the active policy: a SHA-256 over all its files, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyDigest(pub String);

/// What a policy says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Granted as asked.
    Allow,
    /// Refused.
    Deny,
    /// A person must say yes first.
    NeedsApproval,
}

/// A verdict with what made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The verdict over all scopes of the request: the strictest of them.
    pub verdict: Verdict,
    /// The policies that made it, by id.
    pub rules: Vec<String>,
    /// Why, for the job: what was seen, what was expected, where to change it. Says nothing of
    /// policies that are not about this job.
    pub reasons: Vec<String>,
    /// Why, for the operator's log: everything that is known.
    pub notes: Vec<String>,
    /// The policy that was asked.
    pub policy: PolicyDigest,
}

/// What a policy is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// For what.
    pub wanted: &'a [Wanted],
    /// For how long.
    pub ttl: Duration,
    /// Why, in the job's own words.
    pub reason: &'a str,
    /// What the adapters can promise, weakest over all plans; absent when a plan is not possible.
    pub guarantees: Option<&'a Guarantees>,
}

/// A policy. Evaluating has no effect and needs nothing but the question.
pub trait Decide: Send + Sync {
    /// The decision. An error inside a policy is a denial that says so.
    fn decide(&self, question: &Question<'_>) -> Decision;

    /// Which policy this is.
    fn digest(&self) -> &PolicyDigest;
}
