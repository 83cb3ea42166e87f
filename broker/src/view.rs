//! Core's states as the API's words.

use jitney_api::{
    CredentialView, DecisionView, LeaseState, LeaseView, RecallKind, RecallView, RequestOutcome,
    RequestState, RequestView, Secret,
};
use jitney_core::books::{FoundLease, FoundRequest};
use jitney_core::credential::Credential;
use jitney_core::decision::{Decision, Verdict};
use jitney_core::guarantee::Recall;
use jitney_core::id::LeaseId;
use jitney_core::lease::{Outcome as LeaseOutcome, Terms};
use jitney_core::request::Outcome;

/// A lease as its job sees it. `cloud` names its target's cloud, or is empty when the target is
/// not set up any more.
#[must_use]
pub fn lease(lease: &FoundLease, cloud: &str) -> LeaseView {
    let begun = intended(lease.terms(), cloud);
    match lease {
        FoundLease::Doubtful(_) => begun,
        FoundLease::Active(active) => LeaseView {
            state: LeaseState::Active,
            granted_at: Some(active.granted_at().to_string()),
            ends_at: Some(active.ends_at().to_string()),
            exposed_until: Some(active.exposed_until().to_string()),
            ..begun
        },
        FoundLease::Revoking(revoking) => LeaseView {
            state: LeaseState::Revoking,
            exposed_until: Some(revoking.told_exposed_until().to_string()),
            why: Some(revoking.why().as_str().to_owned()),
            ..begun
        },
        FoundLease::Ended(ended) => {
            let (why, evidence) = match ended.outcome() {
                LeaseOutcome::NeverGranted { .. } => ("never-granted", None),
                LeaseOutcome::Revoked { why, evidence } => (why.as_str(), Some(evidence.as_str())),
                LeaseOutcome::WrittenOff { .. } => ("written-off", None),
            };
            LeaseView {
                state: LeaseState::Ended,
                ends_at: Some(ended.at().to_string()),
                why: Some(why.to_owned()),
                evidence: evidence.map(str::to_owned),
                ..begun
            }
        }
    }
}

fn intended(terms: &Terms, cloud: &str) -> LeaseView {
    LeaseView {
        id: terms.id.to_string(),
        request: terms.request.to_string(),
        target: terms.plan.lane.target.to_string(),
        cloud: cloud.to_owned(),
        state: LeaseState::Elevating,
        scopes: terms.scopes.iter().map(ToString::to_string).collect(),
        handle: terms.handle.to_string(),
        granted_at: None,
        ends_at: None,
        absolute_end: terms.absolute_end.to_string(),
        exposed_until: None,
        recall: recall(terms.recall()),
        why: None,
        evidence: None,
        plan_summary: terms.plan.summary.clone(),
    }
}

pub(crate) const fn recall(recall: Recall) -> RecallView {
    match recall {
        Recall::Severs { within_seconds } => RecallView {
            kind: RecallKind::Severs,
            within_seconds,
        },
        Recall::Lapses { within_seconds } => RecallView {
            kind: RecallKind::Lapses,
            within_seconds,
        },
    }
}

/// What was decided.
#[must_use]
pub fn decision(decision: &Decision) -> DecisionView {
    let verdict = match decision.verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::NeedsApproval => "needs-approval",
    };
    DecisionView {
        verdict: verdict.to_owned(),
        rules: decision.rules.clone(),
        reasons: decision.reasons.clone(),
    }
}

/// A request as its job sees it, without credentials: they are in no ledger.
#[must_use]
pub fn request(request: &FoundRequest, leases: Vec<LeaseView>) -> RequestView {
    let terms = request.terms();
    let (state, outcome) = match request {
        FoundRequest::Pending(_) => (RequestState::Pending, None),
        FoundRequest::Granting(_) => (RequestState::Granting, None),
        FoundRequest::Granted(_) => (RequestState::Granted, None),
        FoundRequest::Closed(closed) => {
            let outcome = match closed.outcome() {
                Outcome::Denied => RequestOutcome::Denied,
                Outcome::Refused { .. } => RequestOutcome::Refused,
                Outcome::TimedOut => RequestOutcome::TimedOut,
                Outcome::NotGranted { .. } => RequestOutcome::NotGranted,
                Outcome::Done => RequestOutcome::Done,
            };
            (RequestState::Closed, Some(outcome))
        }
    };
    RequestView {
        id: terms.id.to_string(),
        state,
        outcome,
        scopes: terms.scopes.iter().map(ToString::to_string).collect(),
        reason: terms.reason.clone(),
        ttl_seconds: terms.ttl_seconds,
        decision: decision(&terms.decision),
        leases,
        credentials: Vec::new(),
    }
}

/// What a cloud handed out for a lease. The secret parts are moved, never copied; what a cloud's
/// protocol calls a setting is put beside them.
pub(crate) fn credential(lease: LeaseId, credential: Credential) -> CredentialView {
    let kind = credential.kind().to_owned();
    let expires_at = credential.expires_at().to_string();
    let settings = credential.settings().iter();
    let settings = settings.map(|(name, value)| ((*name).to_owned(), value.clone()));
    let settings = settings.collect();
    let fields = credential.reveal_to_job().into_iter();
    let fields = fields.map(|(name, value)| (name.to_owned(), Secret::from(value)));
    let fields = fields.collect();
    CredentialView {
        lease: lease.to_string(),
        kind,
        expires_at,
        fields,
        settings,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use jitney_api::aws_session;
    use jitney_core::time::Timestamp;

    const CANARY: &str = "canary-51ab";

    #[test]
    fn only_settings_leave_the_secret_part() {
        let handed_out = Credential::new(
            aws_session::KIND,
            [
                (aws_session::SECRET_ACCESS_KEY, CANARY.to_owned()),
                ("something_new", CANARY.to_owned()),
            ],
            Timestamp::from_seconds(1),
        )
        .with_settings([(aws_session::REGION, "eu-west-1".to_owned())]);
        let view = credential(LeaseId::fresh(), handed_out);
        assert_eq!(view.settings.len(), 1);
        assert_eq!(view.settings.get(aws_session::REGION).unwrap(), "eu-west-1");
        assert_eq!(view.fields.len(), 2);
        assert!(!format!("{view:?}").contains(CANARY));
        // The control: the wire carries it.
        assert!(serde_json::to_string(&view).unwrap().contains(CANARY));
    }
}
