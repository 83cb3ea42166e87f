//! A policy that allows everything but what a job was told it would be denied.

use std::collections::BTreeSet;
use std::sync::Mutex;

use jitney_core::decision::{Decide, Decision, PolicyDigest, Question, Verdict};

use super::executor::lock;

/// The reason of a request that is denied.
pub const DENY_ME: &str = "deny me";
/// The reason of a request that a person must approve.
pub const ASK_A_PERSON: &str = "ask a person";

/// The policy of one world.
pub struct Policy {
    digest: PolicyDigest,
    /// Jobs whose leases are no longer allowed.
    no_longer: Mutex<BTreeSet<String>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            digest: PolicyDigest("00".repeat(32)),
            no_longer: Mutex::default(),
        }
    }
}

impl Policy {
    /// From now on nothing of this job is allowed.
    pub fn no_longer(&self, job: &str) {
        lock(&self.no_longer).insert(job.to_owned());
    }
}

impl Decide for Policy {
    fn decide(&self, question: &Question<'_>) -> Decision {
        let job = question.principal.job.job_id.as_deref().unwrap_or_default();
        let verdict = match question.reason {
            _ if lock(&self.no_longer).contains(job) => Verdict::Deny,
            DENY_ME => Verdict::Deny,
            ASK_A_PERSON => Verdict::NeedsApproval,
            _ => Verdict::Allow,
        };
        Decision {
            verdict,
            rules: vec!["simulated".to_owned()],
            reasons: vec!["the simulated policy says so".to_owned()],
            notes: Vec::new(),
            policy: self.digest.clone(),
        }
    }

    fn digest(&self) -> &PolicyDigest {
        &self.digest
    }
}
