//! Leases on the wire.

use serde::{Deserialize, Serialize};

use crate::credential::CredentialView;

/// The state of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseState {
    /// The intent is recorded; the cloud is being asked.
    Elevating,
    /// The privilege is in the job's hands.
    Active,
    /// It is being taken back.
    Revoking,
    /// Nothing is left of it.
    Ended,
    /// A word this version does not know.
    #[serde(other)]
    Unknown,
}

/// How a lease ends once it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecallKind {
    /// Whatever was handed out stops working.
    Severs,
    /// Something goes on working until it ends by itself.
    Lapses,
    /// A word this version does not know. To be read as the weakest.
    #[serde(other)]
    Unknown,
}

/// How soon after its end a lease is without effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecallView {
    /// How the end comes.
    pub kind: RecallKind,
    /// Seconds from the end of the lease until nothing works any more.
    pub within_seconds: u32,
}

/// A lease as its job sees it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// Its id, `lease_…`.
    pub id: String,
    /// The request it belongs to.
    pub request: String,
    /// The operator's name for the account, subscription or project.
    pub target: String,
    /// `aws`, `azure`, `gcp`, or an outside adapter's name.
    pub cloud: String,
    /// Where it is.
    pub state: LeaseState,
    /// What of the request lies in this target.
    pub scopes: Vec<String>,
    /// The name by which the cloud knows the grant.
    pub handle: String,
    /// When it was granted; absent when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<String>,
    /// When it ends unless it is renewed; absent before the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<String>,
    /// The end that no renewal passes.
    pub absolute_end: String,
    /// The last moment at which anything handed out may still work, as far as is known now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_until: Option<String>,
    /// How its end comes.
    pub recall: RecallView,
    /// Why it ends or ended, e.g. `released`, `silent`; absent while it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What shows that nothing is left, e.g. `settled`; absent until something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// What was asked of the cloud, for people, a line each.
    #[serde(default)]
    pub plan_summary: Vec<String>,
}

/// The answer to a sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatView {
    /// Where the lease is. Anything but `active` means that it is over for the job.
    pub state: LeaseState,
    /// When it ends unless it is renewed; absent once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<String>,
    /// The next sign must come within this many seconds.
    pub next_within_seconds: u32,
}

/// The answer to a webhook that said a job is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEndedView {
    /// How many leases of the job were not yet ending, and are now.
    pub leases_ended: u32,
}

/// The answer to a renewal: the lease with its new end, and a fresh credential for it.
#[derive(Debug, Serialize, Deserialize)]
pub struct RenewalView {
    /// The lease.
    pub lease: LeaseView,
    /// The credential.
    pub credential: CredentialView,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn words_are_spelt_as_in_the_ledger() {
        let word = |state| serde_json::to_string(&state).unwrap();
        assert_eq!(word(LeaseState::Elevating), "\"elevating\"");
        assert_eq!(word(LeaseState::Revoking), "\"revoking\"");
        let recall: RecallView =
            serde_json::from_str(r#"{"kind":"severs","within_seconds":12}"#).unwrap();
        assert_eq!(recall.kind, RecallKind::Severs);
    }

    #[test]
    fn a_state_nobody_knows_is_not_taken_for_active() {
        let view: HeartbeatView =
            serde_json::from_str(r#"{"state":"dozing","next_within_seconds":45}"#).unwrap();
        assert_eq!(view.state, LeaseState::Unknown);
    }
}
