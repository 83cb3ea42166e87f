//! The standing orders: what holds for the whole installation, whichever broker is asked. One
//! sheet of the ledger; every mint asserts that it still says what the minting broker has read, so
//! an order holds from the moment at which it is committed, for every broker.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::adapter::{Epoch, Mark};
use crate::id::{LeaseId, OrderId, ResourceName, TargetName};
use crate::plan::{LaneId, Plan};
use crate::principal::Principal;
use crate::refusal::Refusal;
use crate::scope::Scope;
use crate::time::Timestamp;

/// The name of the sheet.
pub const SHEET: &str = "standing";

/// What the sheet says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Grows with every recovery; stamps in the clouds carry it.
    pub era: u32,
    /// Why nothing may be elevated, when nothing may.
    pub halt: Option<Halt>,
    /// The kill orders that are not yet carried out.
    pub kills: BTreeMap<OrderId, Aim>,
    /// Lanes in which nothing may be elevated before a moment: a watermark cuts there what is
    /// issued until then.
    pub shut: Vec<Shut>,
    /// Tokens issued before this are not exchanged: the ledger may have forgotten their use.
    pub tokens_since: Option<Timestamp>,
}

/// A lane in which nothing may be elevated yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shut {
    /// The lane.
    pub lane: LaneId,
    /// Until when.
    pub until: Timestamp,
}

/// Why elevations stopped: a cloud bears a stamp that this ledger cannot have written yet, so it
/// has gone back in time and has forgotten leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Halt {
    /// When it was noticed.
    pub since: Timestamp,
    /// Where.
    pub lane: LaneId,
    /// What the cloud bore.
    pub seen: Seen,
    /// How far the ledger had come.
    pub ledger: Mark,
    /// The recovery that is under way.
    pub recovery: Option<Recovery>,
}

/// A trace of a later ledger than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// A stamp with this mark.
    Mark(Mark),
    /// A hand of this epoch in a lane that the ledger says is ours in a lower one.
    Epoch(Epoch),
}

/// A recovery: everything that could have been issued before a moment is cut, lane by lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Who ordered it.
    pub person: String,
    /// Why.
    pub reason: String,
    /// When.
    pub began_at: Timestamp,
    /// What was issued before this is cut. Nothing is elevated before it.
    pub cut_before: Timestamp,
    /// When all of that has ended by itself, in whatever lane could not be cut.
    pub over_at: Timestamp,
    /// The lanes in which that was not read back yet.
    pub lanes: BTreeSet<LaneId>,
}

/// What a kill order is about. What is absent does not narrow it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aim {
    /// Leases of this issuer's jobs.
    pub issuer: Option<String>,
    /// Leases of this repository's jobs: its id, or its path as the CI last told it.
    pub repository: Option<String>,
    /// Leases on this target.
    pub target: Option<TargetName>,
    /// Leases on this resource, whatever name they were asked for under.
    pub resource: Option<ResourceName>,
    /// This lease.
    pub lease: Option<LeaseId>,
    /// Leases intended at this moment or later.
    pub since: Option<Timestamp>,
}

impl Aim {
    /// Whether it would be about every lease there is.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is about what `principal` has or wants in `target`. `is_named` tells whether a
    /// scope is on the resource of that name, by the thing itself.
    #[must_use]
    pub fn covers(
        &self,
        principal: &Principal,
        target: &TargetName,
        scopes: &[Scope],
        is_named: impl Fn(&Scope, &ResourceName) -> bool,
    ) -> bool {
        let job = &principal.job;
        let is_repository =
            |wanted: &String| *wanted == job.repository.id || *wanted == job.repository.path;
        self.issuer
            .as_ref()
            .is_none_or(|issuer| *issuer == job.issuer)
            && self.repository.as_ref().is_none_or(is_repository)
            && self.target.as_ref().is_none_or(|wanted| wanted == target)
            && self
                .resource
                .as_ref()
                .is_none_or(|name| scopes.iter().any(|scope| is_named(scope, name)))
    }
}

impl Standing {
    /// Whether a plan may be carried out for a principal, as far as the standing orders go.
    ///
    /// # Errors
    /// `halted`, `stopped` or `try_again`, with what the operator must do.
    pub fn permits(
        &self,
        principal: &Principal,
        plan: &Plan,
        scopes: &[Scope],
        is_named: impl Fn(&Scope, &ResourceName) -> bool,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.permits_elevating()?;
        let lane = &plan.lane;
        let covers = |aim: &Aim| {
            // An order about one lease or about the past is not about what comes.
            aim.lease.is_none() && aim.covers(principal, &lane.target, scopes, &is_named)
        };
        if let Some((order, _)) = self.kills.iter().find(|(_, aim)| covers(aim)) {
            let told =
                "an operator is ending leases like this one; new ones wait until that is done";
            return Err(Refusal::new("stopped", told)
                .logged(format!(
                    "{order} is being carried out: `jitney order show {order}`"
                ))
                .retry(core::time::Duration::from_secs(30)));
        }
        self.permits_in(lane, now)?;
        if self
            .tokens_since
            .is_some_and(|since| principal.token.issued_at < since)
        {
            let told = "this token is older than the broker's memory: ask the CI for a fresh one";
            return Err(Refusal::new("token_too_old", told));
        }
        Ok(())
    }

    /// Whether anything may be elevated at all.
    ///
    /// # Errors
    /// `halted`, with what the operator must do.
    pub fn permits_elevating(&self) -> Result<(), Refusal> {
        let Some(halt) = &self.halt else {
            return Ok(());
        };
        let told = "the broker has stopped granting; the platform team must look";
        let logged = match &halt.recovery {
            None => format!(
                "the ledger has gone back in time (lane `{}`, since {}): run `jitney recover`",
                halt.lane, halt.since
            ),
            Some(recovery) => format!(
                "a recovery is under way since {}: {} lanes are still to be cut",
                recovery.began_at,
                recovery.lanes.len()
            ),
        };
        Err(Refusal::new("halted", told).logged(logged))
    }

    /// Whether anything may be elevated in a lane by now.
    ///
    /// # Errors
    /// `try_again` while it is shut.
    pub fn permits_in(&self, lane: &LaneId, now: Timestamp) -> Result<(), Refusal> {
        let shut = self.shut.iter().filter(|shut| shut.lane == *lane);
        let Some(until) = shut
            .map(|shut| shut.until)
            .filter(|until| now < *until)
            .max()
        else {
            return Ok(());
        };
        let told = "everything in this target was just cut; new leases begin shortly";
        Err(Refusal::new("try_again", told)
            .logged(format!("lane `{lane}` is shut until {until}"))
            .retry(until.since(now)))
    }

    /// Forgets what no longer matters.
    pub(crate) fn tidy(&mut self, now: Timestamp) {
        self.shut.retain(|shut| now < shut.until);
    }
}
