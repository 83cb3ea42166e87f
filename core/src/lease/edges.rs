//! The lawful edges between the states of a lease.
//!
//! Each consumes a [`Recorded`] state and gives a [`Step`]: the next state with what the audit log
//! says of it.

use core::time::Duration;

use super::{Active, Doubtful, Elevating, End, Ended, Outcome, Revoking, Terms, seconds};
use crate::audit::Event;
use crate::books::{Recorded, Step};
use crate::credential::Elevation;
use crate::evidence::{Evidence, Revocation};
use crate::fault::{Fault, NothingHappened};
use crate::scope::Scope;
use crate::time::{SKEW_MAX, Timestamp};

/// The first pause after a revocation that did not go through.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause between two looks at a lease under revocation. There is no last one.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The first step of every lease: its intent. The way back is laid here, before any call: who
/// finds this record can end whatever the call may make.
pub fn intend(terms: Terms) -> Step<Elevating> {
    let now = terms.intended_at;
    let entry = terms
        .entry(now, Event::LeaseIntended)
        .field("target", &terms.plan.lane.target)
        .field("scopes", join(&terms.scopes))
        .field("ttl_seconds", terms.ttl_seconds);
    let lands_by = terms.lands_by(terms.answer_by);
    let exposed_until = terms.exposed_until(terms.answer_by);
    Step::first(
        Elevating {
            terms,
            lands_by,
            exposed_until,
        },
        entry,
    )
}

fn join(scopes: &[Scope]) -> String {
    scopes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

impl Elevating {
    fn revoking(self, why: End, now: Timestamp) -> Revoking {
        Revoking {
            terms: self.terms,
            why,
            since: now,
            lands_by: self.lands_by,
            issued_by: self.lands_by,
            exposed_until: self.exposed_until,
            told_exposed_until: self.exposed_until,
            written_at: None,
            look_again: now,
            attempts: 0,
        }
    }
}

impl Recorded<Elevating> {
    /// The cloud granted it.
    pub fn granted(self, elevation: &Elevation, now: Timestamp) -> Step<Active> {
        let expires_at = elevation.credential.expires_at();
        let entry = self
            .terms
            .entry(now, Event::LeaseGranted)
            .field("fingerprint", &elevation.fingerprint)
            .field("credential_expires_at", expires_at)
            .field_if_known("provider_request", elevation.provider_request.as_ref());
        self.step(entry, |state| {
            let ends_at = now
                .plus(seconds(state.terms.ttl_seconds))
                .min(state.terms.absolute_end);
            Active {
                granted_at: now,
                // The lease's end comes from the cloud's word where that is earlier: a lease
                // that outlives its credential would promise what does not work.
                ends_at: ends_at.min(expires_at),
                exposed_until: expires_at,
                alive_at: now,
                mints: 1,
                lands_by: state.lands_by,
                issued_by: now,
                terms: state.terms,
            }
        })
    }

    /// Nothing was sent, or the cloud refused. There is nothing to take back.
    pub fn never_granted(self, proof: &NothingHappened, now: Timestamp) -> Step<Ended> {
        let fault = proof.fault();
        let entry = self
            .terms
            .entry(now, Event::LeaseNeverGranted)
            .field("code", fault.code)
            .field("fault", &fault.logged);
        let outcome = Outcome::NeverGranted {
            code: fault.code.to_owned(),
        };
        self.step(entry, |state| Ended {
            terms: state.terms,
            outcome,
            at: now,
        })
    }

    /// Nobody can say whether the cloud granted it.
    pub fn doubted(self, fault: &Fault, now: Timestamp) -> Step<Revoking> {
        let entry = self
            .terms
            .entry(now, Event::LeaseDoubted)
            .field("code", fault.code)
            .field("fault", &fault.logged);
        self.step(entry, |state| state.revoking(End::Doubted, now))
    }

    /// The cloud granted it, but it cannot be used: another lease of the request failed, or
    /// nobody is there to take the credential.
    pub fn unusable(self, elevation: &Elevation, why: End, now: Timestamp) -> Step<Revoking> {
        let expires_at = elevation.credential.expires_at();
        let entry = self
            .terms
            .entry(now, Event::LeaseEnding)
            .field("why", why.as_str())
            .field("fingerprint", &elevation.fingerprint)
            .field("credential_expires_at", expires_at);
        self.step(entry, |state| Revoking {
            exposed_until: expires_at,
            told_exposed_until: expires_at,
            issued_by: now,
            ..state.revoking(why, now)
        })
    }
}

impl Recorded<Doubtful> {
    /// Take back whatever may be there.
    pub fn doubted(self, now: Timestamp) -> Step<Revoking> {
        let entry = self
            .terms()
            .entry(now, Event::LeaseDoubted)
            .field("code", "intent_without_answer")
            .field(
                "fault",
                "an intent was found in the ledger with no word of what became of it",
            );
        self.step(entry, |state| state.0.revoking(End::Doubted, now))
    }
}

/// How long after its grant a lease lives at most whose job is known by its beats alone, in
/// seconds. Whoever took the key away can beat after the job is over.
pub const UNPROVED_SECONDS: u32 = 900;

/// What is known of the job when its lease is to be prolonged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Its CI minted a token for it just now, which it does for no job that is over.
    Proved,
    /// Whoever holds the key beats, and nothing more.
    Unproved,
}

/// Why a lease cannot be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotRenew {
    /// It is at the request's absolute end.
    #[error("the lease ends at {0} and may not be prolonged: the request's time is used up")]
    AtAbsoluteEnd(Timestamp),
    /// It lived as long as a lease may whose job shows no fresh token.
    #[error(
        "the lease was granted more than {} minutes ago, and its job has shown no fresh CI token \
         for a minute: beat or renew with one that was asked for under the broker's beat audience \
         (`jitney run` does where the CI mints tokens while a job runs), or ask for another lease",
        UNPROVED_SECONDS / 60
    )]
    NeedsProofOfLife,
}

impl CannotRenew {
    /// A stable name for the reason.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::AtAbsoluteEnd(_) => "at_absolute_end",
            Self::NeedsProofOfLife => "needs_proof_of_life",
        }
    }
}

impl Recorded<Active> {
    /// Raises the end, before the cloud is asked to mint again. The exposure is raised to the
    /// last moment at which the new credential could work, should its answer be lost. Without a
    /// proof of life the end does not pass [`UNPROVED_SECONDS`] after the grant, and what an
    /// earlier proof gave stays given.
    ///
    /// # Errors
    /// When the request's absolute end is reached, or the end of what may be had without a proof.
    pub fn renewing(
        self,
        answer_by: Timestamp,
        life: Life,
        now: Timestamp,
    ) -> Result<Step<Active>, (Box<Self>, CannotRenew)> {
        let bound = match life {
            Life::Proved => self.terms.absolute_end,
            Life::Unproved => self.granted_at.plus(seconds(UNPROVED_SECONDS)),
        };
        if now >= self.terms.absolute_end {
            let end = self.terms.absolute_end;
            return Err((Box::new(self), CannotRenew::AtAbsoluteEnd(end)));
        }
        if now >= bound {
            return Err((Box::new(self), CannotRenew::NeedsProofOfLife));
        }
        let ends_at = now
            .plus(seconds(self.terms.ttl_seconds))
            .min(bound)
            .max(self.ends_at)
            .min(self.terms.absolute_end);
        let exposed_until = self.exposed_until.max(self.terms.exposed_until(answer_by));
        let lands_by = self.lands_by.max(self.terms.lands_by(answer_by));
        let entry = self
            .terms
            .entry(now, Event::LeaseRenewed)
            .field("ends_at", ends_at)
            .field("exposed_until", exposed_until);
        Ok(self.step(entry, |state| Active {
            ends_at,
            exposed_until,
            alive_at: now,
            mints: state.mints.saturating_add(1),
            lands_by,
            issued_by: lands_by,
            ..state
        }))
    }

    /// A renewal brought a credential that outlives what the ledger knew of. It is dropped, and the
    /// lease ends, exposed until that credential does: forgotten, it would be alive after the hold.
    pub fn outlived(self, expires_at: Timestamp, now: Timestamp) -> Step<Revoking> {
        let exposed_until = self.exposed_until.max(expires_at);
        self.ending(End::Undelivered, now).exposed(exposed_until)
    }

    /// The job was heard: the ledger learns of it before it would ask, and not at every beat.
    pub fn alive(self, heard_at: Timestamp) -> Step<Active> {
        self.quiet_step(|state| Active {
            alive_at: state.alive_at.max(heard_at),
            ..state
        })
    }

    /// It ends now.
    pub fn ending(self, why: End, now: Timestamp) -> Step<Revoking> {
        let entry = self
            .terms
            .entry(now, Event::LeaseEnding)
            .field("why", why.as_str());
        self.step(entry, |state| Revoking {
            why,
            since: now,
            lands_by: state.lands_by,
            issued_by: state.issued_by,
            exposed_until: state.exposed_until,
            told_exposed_until: state.exposed_until,
            written_at: None,
            look_again: now,
            attempts: 0,
            terms: state.terms,
        })
    }
}

impl Revoking {
    /// The evidence that this lease accepts. An adapter that says too much is not believed.
    fn accepts(&self, evidence: &Evidence) -> bool {
        match evidence {
            Evidence::Expired { at } => *at >= self.exposed_until,
            // Refused before the end began, it was refused for another reason.
            Evidence::Probed { at } => *at >= self.since,
            Evidence::Settled { written_at, .. } => *written_at >= self.since,
            // A call we hung up on can still land. Before `lands_by`, "not there" only means
            // "not there yet". See `absence_before_lands_by_is_not_evidence`.
            Evidence::Absent { at } => *at >= self.lands_by,
        }
    }

    /// Whether a look that came before its time tells nothing new. All leases of a lane are looked
    /// at whenever one of them is due, and those that only settle need not be written each time.
    pub(crate) fn is_as_told(&self, found: &Revocation, now: Timestamp) -> bool {
        match found {
            Revocation::Evident { .. } => false,
            Revocation::NotYet {
                written,
                look_again,
                exposed_until,
            } => {
                now < self.look_again
                    && *look_again >= self.look_again
                    && *written
                    && self.written_at.is_some()
                    && *exposed_until == self.told_exposed_until
            }
        }
    }

    fn pause(&self) -> Duration {
        let doubled =
            PAUSE_MIN.saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        doubled.min(PAUSE_MAX)
    }
}

impl Step<Revoking> {
    fn exposed(self, until: Timestamp) -> Self {
        self.map(|state| Revoking {
            exposed_until: until,
            told_exposed_until: until,
            ..state
        })
    }
}

/// Where a look at a lease under revocation led.
#[derive(Debug)]
pub enum Looked {
    /// It is over.
    Over(Step<Ended>),
    /// Not yet.
    Again(Step<Revoking>),
}

impl Recorded<Revoking> {
    /// What the adapter found.
    #[must_use]
    pub fn looked(self, found: Revocation, now: Timestamp) -> Looked {
        match found {
            Revocation::Evident {
                evidence,
                hold_until,
            } if self.accepts(&evidence) => Looked::Over(self.over(evidence, hold_until, now)),
            Revocation::Evident { .. } => {
                let again = self.lands_by.max(now.plus(PAUSE_MIN));
                Looked::Again(self.quiet_step(|state| Revoking {
                    look_again: again,
                    attempts: state.attempts.saturating_add(1),
                    ..state
                }))
            }
            Revocation::NotYet {
                written,
                look_again,
                exposed_until,
            } => Looked::Again(self.not_yet(written, look_again, exposed_until, now)),
        }
    }

    fn over(
        self,
        evidence: Evidence,
        hold_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Step<Ended> {
        let why = self.why;
        let entry = self
            .terms
            .entry(now, Event::LeaseEnded)
            .field("why", why.as_str())
            .field("evidence", evidence.as_str())
            .field("attempts", self.attempts)
            .field("after_milliseconds", now.since(self.since).as_millis())
            .field_if_known("hold_until", hold_until);
        let hold = hold_until.map(|until| self.terms.hold(until, self.issued_by));
        let outcome = Outcome::Revoked { why, evidence };
        self.step(entry, |state| Ended {
            terms: state.terms,
            outcome,
            at: now,
        })
        .holding(hold)
    }

    fn not_yet(
        self,
        written: bool,
        look_again: Timestamp,
        exposed_until: Timestamp,
        now: Timestamp,
    ) -> Step<Revoking> {
        let first_written = written && self.written_at.is_none();
        let entry = first_written.then(|| {
            self.terms
                .entry(now, Event::LeaseWritten)
                .field("after_milliseconds", now.since(self.since).as_millis())
                .field("exposed_until", exposed_until)
        });
        let next = |state: Revoking| Revoking {
            // Undone by a stranger: what was written is no longer there, so it has not settled.
            written_at: if written {
                state.written_at.or(Some(now))
            } else {
                None
            },
            look_again: look_again.max(now),
            // Only told, never believed: should a stranger undo what was written, the
            // credential's own end is the exposure again.
            told_exposed_until: exposed_until,
            attempts: state.attempts.saturating_add(1),
            ..state
        };
        match entry {
            Some(entry) => self.step(entry, next),
            None => self.quiet_step(next),
        }
    }

    /// The cloud did not do it. It is tried again, and there is no last time.
    pub fn stumbled(self, retry_after: Option<Duration>, now: Timestamp) -> Step<Revoking> {
        let pause = retry_after
            .unwrap_or(Duration::ZERO)
            .max(self.pause())
            .min(PAUSE_MAX);
        self.quiet_step(|state| Revoking {
            look_again: now.plus(pause),
            attempts: state.attempts.saturating_add(1),
            ..state
        })
    }

    /// A named person declares it over without evidence. What must stay in force stays until
    /// nothing can be left by itself.
    pub fn written_off(self, person: String, reason: String, now: Timestamp) -> Step<Ended> {
        let entry = self
            .terms
            .entry(now, Event::LeaseWrittenOff)
            .field("person", &person)
            .field("reason", &reason)
            .field("exposed_until", self.exposed_until);
        let derived = seconds(self.terms.plan.derived_seconds);
        let hold = self.terms.hold(
            self.exposed_until.plus(derived).plus(SKEW_MAX),
            self.issued_by,
        );
        let outcome = Outcome::WrittenOff { person, reason };
        self.step(entry, |state| Ended {
            terms: state.terms,
            outcome,
            at: now,
        })
        .holding(Some(hold))
    }
}
