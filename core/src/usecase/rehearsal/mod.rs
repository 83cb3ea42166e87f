//! Rehearsals: a real lease on a real target, taken to be ended, and what the cloud said of its
//! credential meanwhile. What is measured here is what an operator sets a settle time by.
//!
//! ```text
//! begin ─► accepted? ─► ended by us ─► evidence, refused?, stays refused? ─► report
//!              └─ the adapter's open questions are asked all along ─┘
//! ```
//!
//! A rehearsal is a lease like any other: its intent is recorded first, it falls silent when nobody
//! asks after it, and the reconciler ends it whatever becomes of this process. Only the credential
//! is kept, in memory, to be shown to the cloud again and again. No policy is asked: nobody gets
//! the credential, and who can order a rehearsal can already do all that the broker can.

mod asking;
mod report;

use core::time::Duration;

pub use report::{Conclusion, Report, Stage};

use asking::Asking;

use super::Core;
use super::operator::Signed;
use super::submit::{Ask, Submission};
use crate::books::FoundLease;
use crate::credential::Shown;
use crate::decision::{Decision, Verdict};
use crate::id::{CloudName, LeaseId, RequestId, TargetName};
use crate::lease::{End, Outcome, Terms};
use crate::principal::Principal;
use crate::probe::{InForce, Probed};
use crate::question::Moment;
use crate::refusal::Refusal;
use crate::scope::{Path, Scope};
use crate::time::Timestamp;

/// For so long a credential must be refused without a break, once its lease is over: for as long as
/// a change takes to go round, within these.
const STAYS_REFUSED_MIN: Duration = Duration::from_secs(10);
const STAYS_REFUSED_MAX: Duration = Duration::from_secs(60);
/// How long after its end a credential is watched: this, or twice what was promised and this.
const WATCHED_MIN: Duration = Duration::from_secs(120);
/// The longest that it is watched. What is promised in weeks is not waited for.
const WATCHED_MAX: Duration = Duration::from_secs(30 * 60);
/// The verb of the capabilities that are rehearsed with when nobody names one.
const HARMLESS_VERB: &str = "read";

/// A rehearsal that goes on.
#[derive(Debug)]
pub struct Rehearsal {
    terms: Terms,
    cloud: CloudName,
    shown: Shown,
    in_force: InForce,
    settles: Duration,
    asked_at: Timestamp,
    granted_at: Timestamp,
    ends_at: Timestamp,
    /// When the credential stops working by itself. What is refused then shows nothing.
    expires_at: Timestamp,
    seen: Seen,
    asking: Asking,
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    first_accepted: Option<Timestamp>,
    /// Whether it was clearly refused before its end.
    refused_at_first: bool,
    ending: Option<(Timestamp, End)>,
    over: Option<(Timestamp, Outcome)>,
    /// The last time that it was accepted after its end.
    last_accepted: Option<Timestamp>,
    /// Since when it is refused, without having been accepted again.
    refused_since: Option<Timestamp>,
    /// The latest look that came to nothing.
    unknown: Option<String>,
    cannot_tell: Option<String>,
    stopped: bool,
    done_at: Option<Timestamp>,
}

impl Core {
    /// Takes a lease to rehearse with: of `scope`, or of the first thing in the target that can be
    /// read.
    ///
    /// # Errors
    /// As submitting a request; `bad_request` when the scope lies in another target, or when there
    /// is nothing to read.
    pub async fn begin_rehearsal(
        &self,
        target: &TargetName,
        scope: Option<&Scope>,
        signed: &Signed,
    ) -> Result<Rehearsal, Refusal> {
        signed.check()?;
        let asked_at = self.clock.now();
        let ask = self.rehearsal_of(target, scope, signed).await?;
        let submission = self.submit_decided(ask, self.rehearsed()).await?;
        let Submission::Granted { leases, .. } = submission else {
            return Err(Refusal::new("internal", "the rehearsal was not granted"));
        };
        let Some((lease, credential)) = leases.into_iter().next() else {
            return Err(Refusal::new("internal", "the rehearsal has no lease"));
        };
        let adapter = self.adapter(target)?;
        let asking = Asking::begin(adapter, lease.terms(), &self.wanted(lease.terms())?);
        Ok(Rehearsal {
            terms: lease.terms().clone(),
            cloud: adapter.cloud().clone(),
            in_force: adapter.in_force(&lease.terms().plan),
            settles: adapter.reach().settles,
            asked_at,
            granted_at: lease.granted_at(),
            ends_at: lease.ends_at(),
            expires_at: credential.expires_at(),
            shown: credential.kept(),
            seen: Seen::default(),
            asking,
        })
    }

    async fn rehearsal_of(
        &self,
        target: &TargetName,
        scope: Option<&Scope>,
        signed: &Signed,
    ) -> Result<Ask, Refusal> {
        let limits = &self.limits;
        let ttl = limits.window_seconds.min(limits.ttl_seconds_max);
        let ask = |scope: Scope| {
            let id = RequestId::fresh();
            Ask {
                principal: Principal::operator(&signed.person, &id.to_string(), self.clock.now()),
                scopes: vec![scope],
                ttl_seconds: Some(ttl.max(limits.ttl_seconds_min)),
                reason: signed.reason.clone(),
                idempotency_key: id.to_string(),
            }
        };
        if let Some(scope) = scope {
            let resource = self.inventory.get(&scope.resource);
            if resource.is_some_and(|resource| resource.target != *target) {
                let told = format!("`{scope}` does not lie in target `{target}`");
                return Err(Refusal::new("bad_request", told));
            }
            return Ok(ask(scope.clone()));
        }
        for scope in self.readable(target)? {
            let ask = ask(scope);
            let draft = self.draft(&ask, ttl).await?;
            if draft.leases.iter().all(|lease| lease.plan.is_ok()) {
                return Ok(ask);
            }
        }
        Err(Refusal::new(
            "bad_request",
            format!("nothing in target `{target}` can be rehearsed with unasked: name a scope"),
        ))
    }

    /// What can be read in a target, by the inventory and the catalogue.
    fn readable(&self, target: &TargetName) -> Result<Vec<Scope>, Refusal> {
        let cloud = self.adapter(target)?.cloud();
        let here = self.inventory.iter();
        let here = here.filter(|(_, resource)| resource.target == *target);
        let rows = self.catalogue.0.iter().filter(|(capability, meaning)| {
            capability.verb() == HARMLESS_VERB && meaning.clouds.contains_key(cloud)
        });
        let rows: Vec<_> = rows.map(|(capability, _)| capability).collect();
        let scopes = here.flat_map(|(resource, _)| {
            rows.iter().map(|capability| Scope {
                capability: (*capability).clone(),
                resource: resource.clone(),
                path: Path::Whole,
            })
        });
        Ok(scopes.collect())
    }

    /// What stands in the place of a policy's decision.
    fn rehearsed(&self) -> Decision {
        Decision {
            verdict: Verdict::Allow,
            rules: vec!["rehearsal".to_owned()],
            reasons: vec!["an operator rehearses, and nobody is given the credential".to_owned()],
            notes: Vec::new(),
            policy: self.policy.digest().clone(),
        }
    }
}

impl Rehearsal {
    /// The lease it takes.
    #[must_use]
    pub const fn lease(&self) -> LeaseId {
        self.terms.id
    }

    /// Whether there is nothing more to see.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.seen.done_at.is_some()
    }

    /// Ends the lease at the next look, and the rehearsal with it.
    pub const fn stop(&mut self) {
        self.seen.stopped = true;
    }

    /// Looks once: at the lease, at what the cloud says of the credential, and at what nobody
    /// knows of the cloud. What cannot be looked at is looked at again.
    pub async fn look(&mut self, core: &Core) {
        let mut found = self.look_at_lease(core).await;
        if self.seen.cannot_tell.is_none() {
            let asked_at = core.clock.now();
            let probed = core.probed(&self.terms, &self.shown).await;
            let probed = probed.unwrap_or_else(|refusal| Probed::Unknown {
                why: refusal.logged,
            });
            self.heard(probed, asked_at, core.clock.now());
        }
        if self.seen.ending.is_none() && self.shall_end(core.clock.now()) {
            self.ask(found.as_ref()).await;
            found = self.end(core).await;
        }
        self.ask(found.as_ref().filter(|_| self.seen.ending.is_some()))
            .await;
        let now = core.clock.now();
        if self.has_seen_enough(now) {
            self.asking.close().await;
            self.seen.done_at = Some(now);
        }
    }

    /// Lets the adapter's questions be asked, once the lease has been in force.
    async fn ask(&mut self, found: Option<&FoundLease>) {
        let moment = match found.filter(|_| !self.seen.stopped) {
            Some(FoundLease::Active(lease)) => Moment::Active(lease),
            Some(FoundLease::Revoking(lease)) => Moment::Ending(lease),
            Some(FoundLease::Ended(lease)) => Moment::Over(lease),
            Some(FoundLease::Doubtful(_)) | None => return,
        };
        self.asking.look(moment, &self.shown).await;
    }

    async fn look_at_lease(&mut self, core: &Core) -> Option<FoundLease> {
        let found = match core.books.lease(self.terms.id).await {
            Ok(found) => found,
            Err(error) => {
                self.seen.unknown = Some(error.to_string());
                return None;
            }
        };
        match &found {
            Some(FoundLease::Revoking(lease)) => {
                self.seen.ending.get_or_insert((lease.since(), lease.why()));
            }
            Some(FoundLease::Ended(lease)) => {
                if let Outcome::Revoked { why, .. } = lease.outcome() {
                    self.seen.ending.get_or_insert((lease.at(), *why));
                }
                let over = (lease.at(), lease.outcome().clone());
                self.seen.over.get_or_insert(over);
            }
            Some(FoundLease::Active(_) | FoundLease::Doubtful(_)) | None => {}
        }
        found
    }

    /// What is accepted counts from when it was asked; what is refused is refused
    /// from the answer on: so nothing is blamed on the cloud, nor on the ledger, that was not seen.
    fn heard(&mut self, probed: Probed, asked_at: Timestamp, now: Timestamp) {
        let seen = &mut self.seen;
        match probed {
            Probed::Accepted if seen.ending.is_none() => {
                seen.first_accepted.get_or_insert(now);
            }
            Probed::Accepted => {
                seen.last_accepted = Some(asked_at);
                seen.refused_since = None;
            }
            Probed::Refused if seen.ending.is_some() && now < self.expires_at => {
                seen.refused_since.get_or_insert(now);
            }
            Probed::Refused => seen.refused_at_first |= seen.ending.is_none(),
            Probed::Unknown { why } => seen.unknown = Some(why),
            Probed::CannotTell { why } => seen.cannot_tell = Some(why),
        }
    }

    /// Half of the lease's time is for the grant to come into force, and half for its end.
    fn shall_end(&self, now: Timestamp) -> bool {
        let seen = &self.seen;
        let half = self.ends_at.since(self.granted_at) / 2;
        seen.stopped
            || seen.first_accepted.is_some()
            || seen.cannot_tell.is_some()
            || now >= self.granted_at.plus(half)
    }

    async fn end(&mut self, core: &Core) -> Option<FoundLease> {
        let found = core.books.lease(self.terms.id).await.ok().flatten()?;
        match core.end_for_sure(found, End::Released).await {
            Ok(ended) => {
                if let FoundLease::Revoking(lease) = &ended {
                    self.seen.ending = Some((lease.since(), lease.why()));
                }
                Some(ended)
            }
            // It is tried again; and when nobody does, the lease falls silent.
            Err(error) => {
                self.seen.unknown = Some(error.to_string());
                None
            }
        }
    }

    fn has_seen_enough(&self, now: Timestamp) -> bool {
        let seen = &self.seen;
        let Some((ending, _)) = seen.ending else {
            return false;
        };
        let over = seen.over.as_ref().map(|(at, _)| *at);
        let stays = |over: Timestamp| {
            let since = seen.refused_since.map(|since| since.max(over));
            since.is_some_and(|since| now >= since.plus(self.stays_refused()))
        };
        seen.stopped
            || now >= ending.plus(self.watched())
            || over.is_some_and(|over| {
                stays(over) || seen.cannot_tell.is_some() || now >= self.expires_at
            })
    }

    fn stays_refused(&self) -> Duration {
        self.settles.clamp(STAYS_REFUSED_MIN, STAYS_REFUSED_MAX)
    }

    /// How long after its end the credential is watched at most.
    fn watched(&self) -> Duration {
        let promised = self.terms.recall().within();
        let twice = promised.saturating_mul(2).saturating_add(WATCHED_MIN);
        twice.min(WATCHED_MAX)
    }
}
