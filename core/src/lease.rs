//! Leases: the durable life of one elevation on one target, one type per state.
//!
//! ```text
//! Elevating ─ nothing happened ──► Ended(NeverGranted)
//!     │    └─ ambiguous, peer failed ─► Revoking
//!     │  (loaded after a restart: Doubtful ─ doubted ─► Revoking, its only edge)
//!     ▼ granted
//! Active ─ ending ─► Revoking ─ evidence ─► Ended(Revoked) + hold
//!     └─ renewing ─► Active      └─ not yet: looked again, for ever
//!                                └─ a named person ─► Ended(WrittenOff) + hold
//! ```
//!
//! Edges are methods of [`Recorded`] states and consume them. An edge that is not drawn is not
//! written, so it does not compile. No state is called failed or gave-up.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::audit::{Entry, Event};
use crate::books::{Recorded, Step};
use crate::credential::Elevation;
use crate::evidence::{Evidence, Hold, Revocation};
use crate::fault::{Fault, NothingHappened};
use crate::guarantee::Recall;
use crate::handle::Handle;
use crate::id::{LeaseId, RequestId};
use crate::ledger::Owner;
use crate::plan::Plan;
use crate::principal::KeyThumbprint;
use crate::scope::Scope;
use crate::time::Timestamp;

/// The first pause after a revocation that did not go through.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause between two looks at a lease under revocation. There is no last one.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What never changes about a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Which lease.
    pub id: LeaseId,
    /// The request it belongs to.
    pub request: RequestId,
    /// The name by which the cloud will know the grant.
    pub handle: Handle,
    /// Whose budgets it counts against; `owner.job` is the job it is bound to.
    pub owner: Owner,
    /// The client's proof key.
    pub key: KeyThumbprint,
    /// What was asked of this target.
    pub scopes: Vec<Scope>,
    /// What will be asked of the cloud.
    pub plan: Plan,
    /// How long it lives from one grant or renewal to the next end, in seconds.
    pub ttl_seconds: u32,
    /// When the intent was made.
    pub intended_at: Timestamp,
    /// When our own waiting for the cloud's answer ends.
    pub answer_by: Timestamp,
    /// The end that no renewal passes.
    pub absolute_end: Timestamp,
}

impl Terms {
    /// The last moment at which a call made at `called_at` may still land in the cloud.
    fn lands_by(&self, called_at: Timestamp) -> Timestamp {
        called_at.plus(seconds(self.plan.lands_within_seconds))
    }

    /// The last moment at which a credential from a call made at `called_at` may still work.
    fn exposed_until(&self, called_at: Timestamp) -> Timestamp {
        self.lands_by(called_at)
            .plus(seconds(self.plan.lives_seconds))
    }

    fn entry(&self, at: Timestamp, event: Event) -> Entry {
        Entry::new(at, event)
            .request(self.request)
            .lease(self.id)
            .field("handle", &self.handle)
            .field("lane", &self.plan.lane)
    }

    fn hold(&self, until: Timestamp) -> Hold {
        Hold {
            lane: self.plan.lane.clone(),
            handle: self.handle.clone(),
            lease: self.id,
            until,
        }
    }
}

const fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds as u64)
}

/// A recorded plan: we are about to call. The intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elevating {
    pub(crate) terms: Terms,
    pub(crate) lands_by: Timestamp,
    pub(crate) exposed_until: Timestamp,
}

/// An intent found in the ledger by somebody who did not make it. Whether the cloud was called is
/// not known, so the only edge is to be doubted: a restart cannot mint twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubtful(pub(crate) Elevating);

/// The privilege is in the job's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    pub(crate) terms: Terms,
    pub(crate) granted_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    /// The last moment at which any credential of this lease may still work.
    pub(crate) exposed_until: Timestamp,
    /// The last sign of life that was written down.
    pub(crate) alive_at: Timestamp,
    /// How many times the cloud was asked to mint.
    pub(crate) mints: u32,
    /// When the latest mint was recorded, and until when it may land.
    pub(crate) lands_by: Timestamp,
}

/// Why a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The job gave it back.
    Released,
    /// The job went silent.
    Silent,
    /// Its time was up.
    Expired,
    /// The CI said that the job is over.
    JobEnded,
    /// An operator ended it.
    Killed,
    /// Another lease of the same request could not be granted.
    PeerFailed,
    /// The credential could not be handed to whoever asked.
    Undelivered,
    /// Nobody can say whether the cloud granted it.
    Doubted,
}

impl End {
    /// Its name in the audit log and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Silent => "silent",
            Self::Expired => "expired",
            Self::JobEnded => "job-ended",
            Self::Killed => "killed",
            Self::PeerFailed => "peer-failed",
            Self::Undelivered => "undelivered",
            Self::Doubted => "doubted",
        }
    }
}

/// Being taken back, for as long as it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoking {
    pub(crate) terms: Terms,
    pub(crate) why: End,
    pub(crate) since: Timestamp,
    pub(crate) lands_by: Timestamp,
    pub(crate) exposed_until: Timestamp,
    pub(crate) told_exposed_until: Timestamp,
    pub(crate) written_at: Option<Timestamp>,
    pub(crate) look_again: Timestamp,
    pub(crate) attempts: u32,
}

/// How a lease ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Outcome {
    /// The cloud was never asked, or it refused: there was nothing to take back.
    NeverGranted {
        /// The fault's code.
        code: String,
    },
    /// It was taken back.
    Revoked {
        /// Why it ended.
        why: End,
        /// What shows that nothing is left.
        evidence: Evidence,
    },
    /// A person declared it over without evidence. Its hold stays.
    WrittenOff {
        /// Who.
        person: String,
        /// Why.
        reason: String,
    },
}

/// Over. Nothing leads out of here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub(crate) terms: Terms,
    pub(crate) outcome: Outcome,
    pub(crate) at: Timestamp,
}

/// Any state, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Lease {
    /// See [`Elevating`].
    Elevating(Elevating),
    /// See [`Active`].
    Active(Active),
    /// See [`Revoking`].
    Revoking(Revoking),
    /// See [`Ended`].
    Ended(Ended),
}

impl Lease {
    /// What never changes about it.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        match self {
            Self::Elevating(state) => &state.terms,
            Self::Active(state) => &state.terms,
            Self::Revoking(state) => &state.terms,
            Self::Ended(state) => &state.terms,
        }
    }

    /// The state's name.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Elevating(_) => "elevating",
            Self::Active(_) => "active",
            Self::Revoking(_) => "revoking",
            Self::Ended(_) => "ended",
        }
    }

    /// When somebody must look at it again; never, once it has ended.
    pub(crate) fn due_at(&self, silence: Duration) -> Option<Timestamp> {
        match self {
            Self::Elevating(state) => Some(state.terms.answer_by),
            Self::Active(state) => Some(state.ends_at.min(state.alive_at.plus(silence))),
            Self::Revoking(state) => Some(state.look_again),
            Self::Ended(_) => None,
        }
    }
}

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
    /// What never changes about the lease.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    fn revoking(self, why: End, now: Timestamp) -> Revoking {
        Revoking {
            terms: self.terms,
            why,
            since: now,
            lands_by: self.lands_by,
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
            ..state.revoking(why, now)
        })
    }
}

impl Doubtful {
    /// What never changes about the lease.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.0.terms
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

/// Why a lease cannot be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotRenew {
    /// It is at the request's absolute end.
    #[error("the lease ends at {0} and may not be prolonged: the request's time is used up")]
    AtAbsoluteEnd(Timestamp),
}

impl Active {
    /// What never changes about the lease.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// When it ends unless it is renewed.
    #[must_use]
    pub const fn ends_at(&self) -> Timestamp {
        self.ends_at
    }

    /// When it was granted.
    #[must_use]
    pub const fn granted_at(&self) -> Timestamp {
        self.granted_at
    }

    /// How many times the cloud was asked to mint.
    #[must_use]
    pub const fn mints(&self) -> u32 {
        self.mints
    }

    /// The last sign of life that was written down.
    #[must_use]
    pub const fn alive_at(&self) -> Timestamp {
        self.alive_at
    }
}

impl Recorded<Active> {
    /// Raises the end, before the cloud is asked to mint again. The exposure is raised to the
    /// last moment at which the new credential could work, should its answer be lost.
    ///
    /// # Errors
    /// When the lease already reaches to the request's absolute end.
    pub fn renewing(
        self,
        answer_by: Timestamp,
        now: Timestamp,
    ) -> Result<Step<Active>, (Box<Self>, CannotRenew)> {
        if now >= self.terms.absolute_end {
            let end = self.terms.absolute_end;
            return Err((Box::new(self), CannotRenew::AtAbsoluteEnd(end)));
        }
        let ends_at = now
            .plus(seconds(self.terms.ttl_seconds))
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
            ..state
        }))
    }

    /// The job was heard: the ledger learns of it when it asks, and not at every beat.
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
    /// What never changes about the lease.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Why it ends.
    #[must_use]
    pub const fn why(&self) -> End {
        self.why
    }

    /// Since when it is being revoked.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// The last moment at which a call made for it may still land: absence before that proves
    /// nothing.
    #[must_use]
    pub const fn lands_by(&self) -> Timestamp {
        self.lands_by
    }

    /// The last moment at which any credential of this lease may still work.
    #[must_use]
    pub const fn exposed_until(&self) -> Timestamp {
        self.exposed_until
    }

    /// The last moment at which something may still work, as the adapter last told: sooner than
    /// [`exposed_until`](Self::exposed_until) once what ends it is written.
    #[must_use]
    pub const fn told_exposed_until(&self) -> Timestamp {
        self.told_exposed_until
    }

    /// When what ends it was first read back from the cloud.
    #[must_use]
    pub const fn written_at(&self) -> Option<Timestamp> {
        self.written_at
    }

    /// How many times it was tried without coming to an end.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The evidence that this lease accepts. An adapter that says too much is not believed.
    fn accepts(&self, evidence: &Evidence) -> bool {
        match evidence {
            Evidence::Expired { at } => *at >= self.exposed_until,
            Evidence::Probed { .. } => true,
            Evidence::Settled { written_at, .. } => *written_at >= self.since,
            // A call we hung up on can still land. Before `lands_by`, "not there" only means
            // "not there yet". See `absence_before_lands_by_is_not_evidence`.
            Evidence::Absent { at } => *at >= self.lands_by,
        }
    }

    fn pause(&self) -> Duration {
        let doubled =
            PAUSE_MIN.saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        doubled.min(PAUSE_MAX)
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
            .field_if_known("hold_until", hold_until);
        let hold = hold_until.map(|until| self.terms.hold(until));
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
        let hold = self.terms.hold(self.exposed_until.plus(derived));
        let outcome = Outcome::WrittenOff { person, reason };
        self.step(entry, |state| Ended {
            terms: state.terms,
            outcome,
            at: now,
        })
        .holding(Some(hold))
    }
}

impl Ended {
    /// What never changed about the lease.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How it ended.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// When.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

impl Terms {
    /// The longest time from the lease's end until nothing works any more, and whether that is
    /// because it is severed or because it lapses.
    #[must_use]
    pub const fn recall(&self) -> Recall {
        self.plan.guarantees.recall
    }
}
