//! Requests: one principal's wish for 1 to 16 scopes, decided once, yielding one lease per target.
//!
//! ```text
//! Submitted ─ denied ──► Closed(Denied)
//!     ├─ pending ──► Pending ─ refused, timed out ──► Closed
//!     │                 └─ quorum ─┐
//!     └─ allowed ──────────────────┴► Granting ─ granted ──► Granted ─ all ended ──► Closed(Done)
//!                                         └─ one failed ──► Closed(NotGranted)
//! ```

mod stored;
#[cfg(test)]
mod tests;

use core::time::Duration;

use serde::{Deserialize, Serialize};

pub use stored::Request;
pub(crate) use stored::Written;

use crate::audit::{Entry, Event};
use crate::books::{Recorded, Step};
use crate::decision::{Decision, Verdict};
use crate::id::{LeaseId, RequestId};
use crate::ledger::Owner;
use crate::principal::Principal;
use crate::scope::Scope;
use crate::time::Timestamp;

/// What never changes about a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Which request.
    pub id: RequestId,
    /// Who asks.
    pub principal: Principal,
    /// Whose budgets it counts against.
    pub owner: Owner,
    /// For what.
    pub scopes: Vec<Scope>,
    /// For how long, in seconds.
    pub ttl_seconds: u32,
    /// Why, in the job's own words.
    pub reason: String,
    /// When.
    pub submitted_at: Timestamp,
    /// What the policy said.
    pub decision: Decision,
}

impl Terms {
    fn entry(&self, at: Timestamp, event: Event) -> Entry {
        Entry::new(at, event).request(self.id)
    }

    /// The two entries with which every request begins: who asked for what, and what was decided
    /// by which rule. They carry every claim that the decision could have used.
    fn opening(&self) -> (Entry, Entry) {
        let job = &self.principal.job;
        let asked = self
            .entry(self.submitted_at, Event::RequestSubmitted)
            .field(
                "scopes",
                self.scopes
                    .iter()
                    .map(Scope::to_string)
                    .collect::<Vec<_>>()
                    .join(" "),
            )
            .field("ttl_seconds", self.ttl_seconds)
            .field("reason", &self.reason)
            .field("provider", job.provider)
            .field("issuer", &job.issuer)
            .field("repository", &job.repository.path)
            .field("repository_id", &job.repository.id)
            .field("owner_id", &job.repository.owner_id)
            .field("ref", &job.git_ref.full)
            .field("sha", &job.sha)
            .field("workflow", &job.workflow.top_ref)
            .field("job_workflow", &job.workflow.job_ref)
            .field_if_known("environment", job.environment.as_ref())
            .field("event", &job.event)
            .field("actor", &job.actor.login)
            .field("actor_id", &job.actor.id)
            .field("run_id", &job.run_id)
            .field("run_attempt", &job.run_attempt)
            .field_if_known("job_id", job.job_id.as_ref())
            .field_if_known("runner", job.runner.as_ref())
            .field("token", &self.principal.token.once.0)
            .field("key", &self.principal.key);
        let decided = self
            .entry(self.submitted_at, Event::RequestDecided)
            .field("verdict", verdict_name(self.decision.verdict))
            .field("rules", self.decision.rules.join(" "))
            .field("reasons", self.decision.reasons.join("; "))
            .field("notes", self.decision.notes.join("; "))
            .field("policy", &self.decision.policy.0);
        (asked, decided)
    }
}

const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::NeedsApproval => "needs-approval",
    }
}

/// Who may be asked and how many must say yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// How many distinct people, at least 1.
    pub people: u32,
    /// Until when they may answer.
    pub answer_by: Timestamp,
}

/// A person's yes. The id is the forge's or the identity provider's, never a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub person_id: String,
    /// When.
    pub at: Timestamp,
}

/// Waiting for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    terms: Terms,
    quorum: Quorum,
    approvals: Vec<Approval>,
}

/// Decided and recorded; its leases are being elevated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granting {
    terms: Terms,
    leases: Vec<LeaseId>,
    answer_by: Timestamp,
    absolute_end: Timestamp,
}

/// All its leases were granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    terms: Terms,
    leases: Vec<LeaseId>,
    look_again: Timestamp,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Outcome {
    /// The policy refused it.
    Denied,
    /// A person refused it.
    Refused {
        /// Who.
        person_id: String,
    },
    /// Nobody answered in time.
    TimedOut,
    /// A cloud did not grant it; whatever the others had granted is being taken back.
    NotGranted {
        /// The code of the fault that stopped it.
        code: String,
    },
    /// All its leases have ended.
    Done,
}

impl Outcome {
    /// Its name in the audit log and in answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Refused { .. } => "refused",
            Self::TimedOut => "timed-out",
            Self::NotGranted { .. } => "not-granted",
            Self::Done => "done",
        }
    }
}

/// Over. Nothing leads out of here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    terms: Terms,
    leases: Vec<LeaseId>,
    outcome: Outcome,
    at: Timestamp,
}

/// A request that has been decided and is not yet in the ledger. Each edge is its first step.
#[derive(Debug, Clone)]
pub struct Submitted(Terms);

impl Submitted {
    /// A request with its decision.
    #[must_use]
    pub const fn new(terms: Terms) -> Self {
        Self(terms)
    }

    /// The policy refused it.
    pub fn denied(self) -> Step<Closed> {
        let (asked, decided) = self.0.opening();
        let at = self.0.submitted_at;
        let closed = closing(&self.0, &Outcome::Denied, at);
        let next = Closed {
            terms: self.0,
            leases: Vec::new(),
            outcome: Outcome::Denied,
            at,
        };
        Step::first(next, asked).telling(decided).telling(closed)
    }

    /// A person must say yes first.
    pub fn pending(self, quorum: Quorum) -> Step<Pending> {
        let (asked, decided) = self.0.opening();
        let waiting = self
            .0
            .entry(self.0.submitted_at, Event::RequestPending)
            .field("people", quorum.people)
            .field("answer_by", quorum.answer_by);
        let next = Pending {
            terms: self.0,
            quorum,
            approvals: Vec::new(),
        };
        Step::first(next, asked).telling(decided).telling(waiting)
    }

    /// The policy allowed it.
    pub fn allowed(
        self,
        leases: Vec<LeaseId>,
        answer_by: Timestamp,
        end: Timestamp,
    ) -> Step<Granting> {
        let (asked, decided) = self.0.opening();
        let next = Granting {
            terms: self.0,
            leases,
            answer_by,
            absolute_end: end,
        };
        Step::first(next, asked).telling(decided)
    }
}

fn closing(terms: &Terms, outcome: &Outcome, at: Timestamp) -> Entry {
    terms
        .entry(at, Event::RequestClosed)
        .field("outcome", outcome.as_str())
}

/// Why a person's answer does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotApprove {
    /// Nobody approves themselves.
    #[error("the request was started by this person: somebody else must approve it")]
    OwnRequest,
    /// One person is one yes.
    #[error("this person has approved already: another must")]
    Already,
    /// Too late.
    #[error("the time to approve was over at {0}")]
    TooLate(Timestamp),
}

/// Why a pending request may not be granted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotYetGranted {
    /// Too few people said yes.
    #[error("{have} of {need} approvals are there")]
    Quorum {
        /// How many distinct people approved.
        have: u32,
        /// How many must.
        need: u32,
    },
    /// Asked again at mint, the policy no longer agrees.
    #[error("the policy refuses the request as it is now")]
    PolicyRefuses,
}

impl Pending {
    /// What never changes about the request.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The approvals so far, one per person.
    #[must_use]
    pub fn approvals(&self) -> &[Approval] {
        &self.approvals
    }
}

impl Recorded<Pending> {
    /// A person says yes.
    ///
    /// # Errors
    /// Gives the request back when the answer does not count.
    pub fn approved(
        self,
        person_id: String,
        now: Timestamp,
    ) -> Result<Step<Pending>, (Box<Self>, CannotApprove)> {
        if self.terms.principal.job.actor.id == person_id {
            return Err((Box::new(self), CannotApprove::OwnRequest));
        }
        if self
            .approvals
            .iter()
            .any(|approval| approval.person_id == person_id)
        {
            return Err((Box::new(self), CannotApprove::Already));
        }
        if now >= self.quorum.answer_by {
            let end = self.quorum.answer_by;
            return Err((Box::new(self), CannotApprove::TooLate(end)));
        }
        let entry = self
            .terms
            .entry(now, Event::RequestApproved)
            .field("person_id", &person_id);
        Ok(self.step(entry, |mut state| {
            state.approvals.push(Approval { person_id, at: now });
            state
        }))
    }

    /// A person says no. One is enough: a denial beats any number of approvals.
    pub fn refused(self, person_id: String, now: Timestamp) -> Step<Closed> {
        self.closed(Outcome::Refused { person_id }, now)
    }

    /// Nobody answered in time.
    pub fn timed_out(self, now: Timestamp) -> Step<Closed> {
        self.closed(Outcome::TimedOut, now)
    }

    fn closed(self, outcome: Outcome, now: Timestamp) -> Step<Closed> {
        let entry = closing(&self.terms, &outcome, now);
        self.step(entry, |state| Closed {
            terms: state.terms,
            leases: Vec::new(),
            outcome,
            at: now,
        })
    }

    /// Enough people said yes, and the policy was asked again. The clock starts here.
    ///
    /// # Errors
    /// Gives the request back when people are missing or the policy now refuses.
    pub fn granting(
        self,
        again: &Decision,
        leases: Vec<LeaseId>,
        answer_by: Timestamp,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<Step<Granting>, (Box<Self>, NotYetGranted)> {
        let have = u32::try_from(self.approvals.len()).unwrap_or(u32::MAX);
        let need = self.quorum.people.max(1);
        if have < need {
            return Err((Box::new(self), NotYetGranted::Quorum { have, need }));
        }
        if again.verdict == Verdict::Deny {
            return Err((Box::new(self), NotYetGranted::PolicyRefuses));
        }
        let entry = self
            .terms
            .entry(now, Event::RequestDecided)
            .field("verdict", "allow")
            .field("approvals", have)
            .field("policy", &again.policy.0);
        Ok(self.step(entry, |state| Granting {
            terms: state.terms,
            leases,
            answer_by,
            absolute_end: end,
        }))
    }
}

impl Granting {
    /// What never changes about the request.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Its leases.
    #[must_use]
    pub fn leases(&self) -> &[LeaseId] {
        &self.leases
    }
}

impl Recorded<Granting> {
    /// Every lease was granted. The leases' own entries tell of it.
    pub fn granted(self) -> Step<Granted> {
        self.quiet_step(|state| Granted {
            look_again: state.absolute_end,
            terms: state.terms,
            leases: state.leases,
        })
    }

    /// A lease could not be granted.
    pub fn not_granted(self, code: &str, now: Timestamp) -> Step<Closed> {
        let outcome = Outcome::NotGranted {
            code: code.to_owned(),
        };
        let entry = closing(&self.terms, &outcome, now).field("code", code);
        self.step(entry, |state| Closed {
            terms: state.terms,
            leases: state.leases,
            outcome,
            at: now,
        })
    }
}

impl Granted {
    /// What never changes about the request.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Its leases.
    #[must_use]
    pub fn leases(&self) -> &[LeaseId] {
        &self.leases
    }
}

impl Recorded<Granted> {
    /// Every lease has ended.
    pub fn done(self, now: Timestamp) -> Step<Closed> {
        let entry = closing(&self.terms, &Outcome::Done, now);
        self.step(entry, |state| Closed {
            terms: state.terms,
            leases: state.leases,
            outcome: Outcome::Done,
            at: now,
        })
    }

    /// A lease is still being taken back.
    pub fn still_open(self, pause: Duration, now: Timestamp) -> Step<Granted> {
        self.quiet_step(|state| Granted {
            look_again: now.plus(pause),
            ..state
        })
    }
}

impl Closed {
    /// What never changed about the request.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How it ended.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Its leases.
    #[must_use]
    pub fn leases(&self) -> &[LeaseId] {
        &self.leases
    }
}
