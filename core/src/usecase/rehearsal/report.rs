//! What a rehearsal has shown, and what follows from it.

use core::time::Duration;

use super::Rehearsal;
use crate::evidence::Evidence;
use crate::guarantee::Recall;
use crate::id::{CloudName, LeaseId, TargetName};
use crate::lease::{End, Outcome};
use crate::probe::InForce;
use crate::question::{Answer, Answered, Finding};
use crate::scope::Scope;
use crate::time::Timestamp;

/// What is proposed above what was measured: half of it again, and no less than this.
const MARGIN_MIN: Duration = Duration::from_secs(5);

/// How far a rehearsal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The credential is there; it is not yet seen to be accepted.
    ComingIntoForce,
    /// The lease is ended; the cloud is watched.
    Ending,
    /// There is nothing more to see.
    Over,
}

impl Stage {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ComingIntoForce => "coming-into-force",
            Self::Ending => "ending",
            Self::Over => "over",
        }
    }
}

/// What a rehearsal comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// The lease was in force, and what was promised of its end was kept.
    Kept,
    /// It was not, in these ways.
    Broken(Vec<String>),
    /// It cannot be told, for these reasons.
    CannotTell(Vec<String>),
}

/// What a rehearsal has shown so far. Times after the end count from the moment at which the lease
/// was durably ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The lease.
    pub lease: LeaseId,
    /// What was asked for.
    pub scope: Option<Scope>,
    /// Where.
    pub target: TargetName,
    /// In which cloud.
    pub cloud: CloudName,
    /// What was promised of the end.
    pub recall: Recall,
    /// The settle time that is configured.
    pub settles: Duration,
    /// What the provider says of how soon a grant is in force.
    pub in_force: InForce,
    /// How far it is.
    pub stage: Stage,
    /// From asking to having the credential.
    pub granted_after: Duration,
    /// From having it to the first time that it was accepted.
    pub accepted_after: Option<Duration>,
    /// From the end to reading back what ends the grant.
    pub removed_after: Option<Duration>,
    /// From the end to the last time that it was accepted all the same.
    pub last_accepted_after: Option<Duration>,
    /// From the end to the first refusal that stayed one.
    pub refused_after: Option<Duration>,
    /// From the end to the evidence.
    pub evident_after: Option<Duration>,
    /// The evidence's name.
    pub evidence: Option<&'static str>,
    /// The latest look that came to nothing, and why.
    pub unknown: Option<String>,
    /// What it comes to, once it is over.
    pub conclusion: Option<Conclusion>,
    /// The settle time that the measurement supports, in whole seconds. A person sets it.
    pub proposed_settle_seconds: Option<u32>,
    /// The adapter's open questions, and what was found of each so far.
    pub questions: Vec<Answered>,
}

impl Rehearsal {
    /// What was shown so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let after_end = |at: Timestamp| Some(at.since(self.seen.ending?.0));
        let evidence = self.evidence();
        let stage = match (self.seen.ending, self.seen.done_at) {
            (_, Some(_)) => Stage::Over,
            (Some(_), None) => Stage::Ending,
            (None, None) => Stage::ComingIntoForce,
        };
        let is_over = self.seen.done_at.is_some();
        Report {
            lease: self.terms.id,
            scope: self.terms.scopes.first().cloned(),
            target: self.terms.plan.lane.target.clone(),
            cloud: self.cloud.clone(),
            recall: self.terms.recall(),
            settles: self.settles,
            in_force: self.in_force,
            stage,
            granted_after: self.granted_at.since(self.asked_at),
            accepted_after: self.seen.first_accepted.map(|at| at.since(self.granted_at)),
            removed_after: self.removed_at().and_then(after_end),
            last_accepted_after: self.seen.last_accepted.and_then(after_end),
            refused_after: self.seen.refused_since.and_then(after_end),
            evident_after: self.seen.over.as_ref().and_then(|(at, _)| after_end(*at)),
            evidence: evidence.map(|evidence| evidence.as_str()),
            unknown: self.seen.unknown.clone(),
            conclusion: is_over.then(|| self.conclusion()),
            proposed_settle_seconds: is_over.then(|| self.proposed()).flatten(),
            questions: self.asking.answered(&self.by_times()),
        }
    }

    /// How soon what ends a grant is in force: from reading it back to the refusal.
    fn by_times(&self) -> Finding {
        let accepted = self.seen.first_accepted.or(self.seen.last_accepted);
        let removed = self.removed_at();
        let Some((refused, removed)) = accepted.and(self.seen.refused_since).zip(removed) else {
            return Finding::unanswered(
                "no refusal was seen that the removal brought, or no removal was read back",
            );
        };
        let measured = refused.since(removed);
        let found = Finding::of(
            Answer::Measured(measured),
            "from the removal being read back to the first refusal that stayed one",
        );
        match self.proposed() {
            Some(proposed) if Duration::from_secs(proposed.into()) > self.settles => {
                found.set(format!("`settle_seconds`: {proposed} or more"))
            }
            Some(_) | None => found,
        }
    }

    fn evidence(&self) -> Option<Evidence> {
        match &self.seen.over.as_ref()?.1 {
            Outcome::Revoked { evidence, .. } => Some(*evidence),
            Outcome::NeverGranted { .. } | Outcome::WrittenOff { .. } => None,
        }
    }

    /// When what ends the grant was first read back: from then the settle time counts.
    fn removed_at(&self) -> Option<Timestamp> {
        match self.evidence()? {
            Evidence::Settled { written_at, .. } => Some(written_at),
            Evidence::Expired { .. } | Evidence::Probed { .. } | Evidence::Absent { .. } => None,
        }
    }

    /// What was measured, and a margin. Nothing when no refusal was seen that the removal brought.
    fn proposed(&self) -> Option<u32> {
        // What was never seen to be accepted is refused from the first moment on.
        let accepted = self.seen.first_accepted.or(self.seen.last_accepted);
        let refused = accepted.and(self.seen.refused_since)?;
        let measured = refused.since(self.removed_at()?);
        let margin = (measured / 2).max(MARGIN_MIN);
        let proposed = measured.saturating_add(margin).as_millis().div_ceil(1_000);
        u32::try_from(proposed).ok()
    }

    fn conclusion(&self) -> Conclusion {
        let unclear = self.unclear();
        // What was seen to go wrong has gone wrong, whatever else is not known.
        let broken = self.broken();
        match (broken.is_empty(), unclear.is_empty()) {
            (false, _) => Conclusion::Broken(broken),
            (true, false) => Conclusion::CannotTell(unclear),
            (true, true) => Conclusion::Kept,
        }
    }

    fn broken(&self) -> Vec<String> {
        let seen = &self.seen;
        let mut broken = Vec::new();
        let Some((ending, _)) = seen.ending else {
            return broken;
        };
        let is_asked = seen.cannot_tell.is_none() && !seen.stopped;
        let never = seen.first_accepted.is_none() && seen.refused_at_first;
        if is_asked && never && self.was_ours() {
            let waited = ending.since(self.granted_at).as_secs();
            broken.push(format!(
                "the credential was not accepted within {waited} s of the grant: either the grant \
                 does not reach what its scope says, or it takes longer than this"
            ));
        }
        let over = seen.over.as_ref().map(|(at, _)| *at);
        if let (Some(over), Some(accepted)) = (over, seen.last_accepted)
            && accepted > over
        {
            let late = accepted.since(over).as_secs();
            broken.push(format!(
                "the credential was accepted {late} s after the ledger said that the lease was \
                 over: `settle_seconds` is too short, or what ends a grant does not end it"
            ));
        }
        let severs = matches!(self.terms.recall(), Recall::Severs { .. });
        let watched = seen
            .done_at
            .map_or(ending, |done| done.min(self.expires_at));
        let watched = watched.since(ending).as_secs();
        if severs && is_asked && seen.refused_since.is_none() && seen.last_accepted.is_some() {
            broken.push(format!(
                "the credential was never refused in the {watched} s that it was watched after \
                 its end: the removal did not take effect"
            ));
        }
        if severs && !seen.stopped && over.is_none() {
            broken.push(format!(
                "there was no evidence of the end within {watched} s; the broker goes on"
            ));
        }
        broken
    }

    fn unclear(&self) -> Vec<String> {
        let seen = &self.seen;
        let mut unclear = Vec::new();
        if seen.stopped {
            unclear.push("it was stopped; the lease is being ended".to_owned());
            return unclear;
        }
        if let Some(why) = &seen.cannot_tell {
            unclear.push(format!("whether the credential works was not asked: {why}"));
        }
        if seen.first_accepted.is_none() && seen.cannot_tell.is_none() && !seen.refused_at_first {
            let why = seen.unknown.as_deref().unwrap_or("it was not asked");
            unclear.push(format!(
                "whether the lease was in force is not known: {why}"
            ));
        }
        if !self.was_ours() {
            let why = seen.ending.map_or("unknown", |(_, why)| why.as_str());
            unclear.push(format!("the lease was ended by somebody else ({why})"));
        }
        let lapses = matches!(self.terms.recall(), Recall::Lapses { .. });
        if lapses && seen.over.is_none() {
            unclear.push(
                "the lease is to lapse, and has not yet; the broker goes on, and the credential \
                 is not watched any longer"
                    .to_owned(),
            );
        }
        let stayed = seen.refused_since.zip(seen.done_at);
        let stayed = stayed.is_some_and(|(since, done)| done >= since.plus(self.stays_refused()));
        let lapsed = lapses && self.evidence().is_some_and(|it| it.as_str() == "expired");
        if seen.cannot_tell.is_none() && seen.over.is_some() && !stayed && !lapsed {
            let why = seen.unknown.as_deref().unwrap_or("there was no time left");
            unclear.push(format!(
                "the credential was not seen to be refused for {} s: {why}",
                self.stays_refused().as_secs()
            ));
        }
        unclear
    }

    /// Whether it was this rehearsal that ended the lease.
    fn was_ours(&self) -> bool {
        matches!(self.seen.ending, Some((_, End::Released)))
    }
}
