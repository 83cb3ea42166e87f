//! Taking back: a slot is brought to having nothing of what is due and what is held, and what is
//! found there afterwards is the only evidence.
//!
//! Every hand may take away, a late one too: a slot's roles are kept from it by nothing that a removal
//! could undo. A denial is such a thing, so what lifts it is what was seen in Azure, and not what a
//! ledger says.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jitney_core::adapter::{Hand, Page, Pass, Revoke};
use jitney_core::books::Recorded;
use jitney_core::evidence::{Held, Hold, Revocation};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::lease::Revoking;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use uuid::Uuid;

use crate::adapter::{AzureAdapter, TOLD_REVOKING, own_fault};
use crate::calm::Calm;
use crate::classify::{Call, fault};
use crate::config::{FastStop, Mode};
use crate::denial::{Denial, is_final};
use crate::judge::{Case, Found, judge};
use crate::limits::LOOK_SECONDS;
use crate::removing::Removal;
use crate::scope::Scope;
use crate::standing::{Denials, Denied, Look, Open, RoleAt, Seen, Standing};
use crate::terms::{Grant, Terms};

#[async_trait]
impl Revoke for AzureAdapter {
    async fn revoke(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Fault> {
        let duty = self.duty(lane, due, holds)?;
        let calm = self.calms.of(lane);
        let mut calm = calm.lock().await;
        let before = self.look(&duty).await?;
        let removals = self.remove_all(&duty, &before, hand).await;
        self.deny_what_stays(&duty, &before, &removals, hand, &mut calm)
            .await;
        let lifted = self.lift_what_is_over(&duty, &before, hand, &mut calm);
        let after = if !lifted.await && removals.is_empty() {
            before.clone()
        } else {
            self.look(&duty).await?
        };
        let round = Round {
            duty: &duty,
            before: &before,
            after: &after,
            removals: &removals,
            now: self.watch.now(),
            passed: self.watch.passed(),
            settle: self.config().settle(),
        };
        // What was taken just now is seen gone from now on.
        let _ = after.needless(&mut calm, round.passed, round.settle);
        Ok(round.pass(&mut calm))
    }

    /// All there is is one page, so nothing comes after it.
    async fn sweep(&self, _after: Option<String>) -> Result<Page, Fault> {
        self.look_through().await
    }
}

/// What must be gone from one slot.
struct Duty {
    principal: Uuid,
    mode: Mode,
    denials: Denials,
    leases: Vec<DueLease>,
    held: BTreeSet<Held>,
}

struct DueLease {
    case: Case,
    handle: Handle,
    places: BTreeSet<RoleAt>,
    /// What stops it where it cannot be taken yet; nothing without a fast stop.
    denials: BTreeMap<RoleAt, Denial>,
}

impl DueLease {
    fn has(&self, standing: &Standing) -> bool {
        standing.handle.as_ref() == Some(&self.handle) || self.places.contains(&standing.place())
    }

    fn is_there(&self, seen: &Seen) -> bool {
        let is_open = |open: &Open| open.handle == self.handle;
        seen.standing.iter().any(|standing| self.has(standing)) || seen.open.iter().any(is_open)
    }
}

/// Whether a grant is one that is held. What was cut is everything of ours.
fn covers(held: &Held, handle: &Handle) -> bool {
    match held {
        Held::Grant(held) => held == handle,
        Held::IssuedBefore(_) => true,
    }
}

fn is_there(held: &Held, seen: &Seen) -> bool {
    let standing = seen.standing.iter().filter_map(|it| it.handle.as_ref());
    let mut handles = standing.chain(seen.open.iter().map(|open| &open.handle));
    handles.any(|handle| covers(held, handle))
}

impl Duty {
    /// In whose name a role must go; nothing when it must not.
    fn ends<'a>(&'a self, standing: &'a Standing) -> Option<&'a Handle> {
        if let Some(lease) = self.leases.iter().find(|lease| lease.has(standing)) {
            return Some(&lease.handle);
        }
        let handle = standing.handle.as_ref()?;
        self.held
            .iter()
            .any(|held| covers(held, handle))
            .then_some(handle)
    }

    fn calls_off(&self, open: &Open) -> bool {
        let is_due = |lease: &DueLease| lease.handle == open.handle;
        self.leases.iter().any(is_due) || self.held.iter().any(|held| covers(held, &open.handle))
    }

    /// Whether a denial is for something that has ended.
    fn is_over(&self, denied: &Denied) -> bool {
        !self.is_due(denied) && self.held.iter().any(|held| covers(held, &denied.handle))
    }

    fn is_due(&self, denied: &Denied) -> bool {
        self.leases.iter().any(|it| it.handle == denied.handle)
    }

    /// What the identity has that is neither due nor ours.
    fn foreign<'a>(&'a self, seen: &'a Seen) -> impl Iterator<Item = &'a Standing> {
        let is_foreign = |it: &&Standing| it.handle.is_none() && self.ends(it).is_none();
        seen.standing.iter().filter(is_foreign)
    }

    fn scopes(&self) -> BTreeSet<Scope> {
        let places = self.leases.iter().flat_map(|lease| &lease.places);
        places.map(|(_, scope)| scope.clone()).collect()
    }
}

impl AzureAdapter {
    /// What is asked for. The lane says whose it is, so a slot that was taken out of the
    /// configuration, or goes by another name there, is looked after all the same.
    fn duty(
        &self,
        lane: &LaneId,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Duty, Fault> {
        let Some(principal) = self.planner.principal(lane) else {
            let logged = format!("`{lane}` is not a lane of `{}`", self.planner.target);
            let permanent = FaultKind::Permanent;
            return Err(own_fault(
                permanent,
                "azure_not_our_lane",
                TOLD_REVOKING,
                logged,
            ));
        };
        let (mut mode, mut leases) = (self.config().mode, Vec::new());
        let mut is_used = self.config().fast_stop.is_some();
        for lease in due {
            let terms = self.terms(lease.terms())?;
            // What was recorded with the lease, and not what the configuration says meanwhile.
            if terms.mode == Mode::Pim {
                mode = Mode::Pim;
            }
            let denials = denials(&terms, lease.terms().id);
            is_used |= terms.fast_stop.is_some();
            let places = terms
                .grants
                .into_iter()
                .map(|grant| (grant.role, grant.scope));
            leases.push(DueLease {
                case: Case::of(lease, !denials.is_empty()),
                handle: lease.terms().handle.clone(),
                places: places.collect(),
                denials,
            });
        }
        Ok(Duty {
            principal,
            mode,
            denials: Denials::used(is_used),
            leases,
            held: holds.iter().map(|hold| hold.held.clone()).collect(),
        })
    }

    async fn look(&self, duty: &Duty) -> Result<Seen, Fault> {
        let look = Look {
            arm: &self.clients.reading,
            installation: &self.planner.installation,
            subscription: self.config().subscription,
            mode: duty.mode,
            denials: duty.denials,
        };
        let seen = look.at(duty.principal, &duty.scopes()).await;
        seen.map_err(|error| fault(Call::Reads, "GET what the slot has", &error))
    }

    async fn remove_all(&self, duty: &Duty, seen: &Seen, hand: Hand) -> BTreeMap<RoleAt, Removal> {
        for open in seen.open.iter().filter(|open| duty.calls_off(open)) {
            self.call_off(open).await;
        }
        let mut removals = BTreeMap::new();
        for standing in &seen.standing {
            if let Some(handle) = duty.ends(standing) {
                let removed = self.remove(duty.principal, standing, handle, duty.mode, hand.mark);
                removals.insert(standing.place(), removed.await);
            }
        }
        removals
    }

    /// Denies what PIM does not let us take yet. It stops nothing else that is done here, whatever
    /// comes of it.
    async fn deny_what_stays(
        &self,
        duty: &Duty,
        seen: &Seen,
        removals: &BTreeMap<RoleAt, Removal>,
        hand: Hand,
        calm: &mut Calm,
    ) {
        for lease in &duty.leases {
            for (place, denial) in &lease.denials {
                let is_put_off = removals.get(place).is_some_and(Removal::is_put_off);
                let is_denied = seen.denied.iter().any(|it| it.name == denial.name);
                if !is_put_off || is_denied || calm.takes_none_for(&lease.handle) {
                    continue;
                }
                let denied = self.deny(duty.principal, denial, &lease.handle, hand.mark);
                let Err(fault) = denied.await else {
                    continue;
                };
                tracing::warn!(code = fault.code, fault = %fault.logged,
                    "a lease that has ended could not be stopped by a deny assignment; its role is \
                     removed as soon as PIM lets it be");
                if is_final(&fault) {
                    calm.take_none_for(&lease.handle);
                }
            }
        }
    }

    /// Lifts the denials of what is over and was seen gone for long enough. Whether there was one.
    async fn lift_what_is_over(
        &self,
        duty: &Duty,
        seen: &Seen,
        hand: Hand,
        calm: &mut Calm,
    ) -> bool {
        let needless = seen.needless(calm, self.watch.passed(), self.config().settle());
        // A later ledger knows more of what has to be stopped.
        if seen.mark > Some(hand.mark) {
            return false;
        }
        let over: Vec<_> = needless.into_iter().filter(|it| duty.is_over(it)).collect();
        for denied in &over {
            self.lift(denied).await;
        }
        !over.is_empty()
    }
}

/// What stops a lease of these terms, by what it was given.
fn denials(terms: &Terms, lease: LeaseId) -> BTreeMap<RoleAt, Denial> {
    match terms.fast_stop {
        None => BTreeMap::new(),
        Some(FastStop::DenyAssignment) => {
            let place = |grant: &Grant| (grant.role, grant.scope.clone());
            let grants = terms.grants.iter();
            grants
                .map(|grant| (place(grant), Denial::of(grant, lease)))
                .collect()
        }
    }
}

/// One pass over a slot: what was there, what was done, and what is there now.
struct Round<'a> {
    duty: &'a Duty,
    before: &'a Seen,
    after: &'a Seen,
    removals: &'a BTreeMap<RoleAt, Removal>,
    now: Timestamp,
    passed: Duration,
    settle: Duration,
}

impl Round<'_> {
    fn pass(&self, calm: &mut Calm) -> Pass {
        let mut pass = Pass {
            mark_seen: self.before.mark,
            ..Pass::default()
        };
        for lease in &self.duty.leases {
            let judged = self.judge(lease, calm, &mut pass.undone);
            pass.leases.insert(lease.case.lease, judged);
        }
        for held in &self.duty.held {
            let was_there = is_there(held, self.before);
            if was_there && calm.there(held) {
                pass.undone.push(held.clone());
            }
            if is_there(held, self.after) {
                pass.unreached = true;
            } else {
                calm.gone(held, self.passed);
            }
        }
        let has_more = self.tell_of_strangers();
        pass.unreached |= has_more && !self.duty.held.is_empty();
        // The next lease could not do its work.
        pass.unreached |= self.after.denied.iter().any(|it| !self.duty.is_due(it));
        let due = self.duty.leases.iter().map(|lease| lease.case.held.clone());
        calm.keep(&due.chain(self.duty.held.iter().cloned()).collect());
        pass
    }

    fn judge(
        &self,
        lease: &DueLease,
        calm: &mut Calm,
        undone: &mut Vec<Held>,
    ) -> Result<Revocation, Fault> {
        let case = &lease.case;
        let (was_there, is_there) = (lease.is_there(self.before), lease.is_there(self.after));
        if (was_there || is_there) && calm.there(&case.held) {
            undone.push(case.held.clone());
        }
        let found = if is_there {
            let look_again = self.look_again(lease)?;
            Found::There { look_again }
        } else if case.may_land(self.now) {
            // Not there yet is not gone.
            calm.there(&case.held);
            let stood = Duration::ZERO;
            Found::Gone { was_there, stood }
        } else {
            let stood = calm.gone(&case.held, self.passed);
            Found::Gone { was_there, stood }
        };
        Ok(judge(case, found, self.settle, self.now))
    }

    /// When a lease is looked at again of which something is left.
    fn look_again(&self, lease: &DueLease) -> Result<Timestamp, Fault> {
        let mut look_again = self.now.plus(Duration::from_secs(LOOK_SECONDS));
        let left = self.after.standing.iter().filter(|it| lease.has(it));
        for removal in left.filter_map(|it| self.removals.get(&it.place())) {
            match removal {
                Removal::Failed(fault) => return Err(fault.clone()),
                Removal::Floor { .. } => look_again = look_again.max(removal.look_again(self.now)),
                Removal::Accepted | Removal::NotVisible => {}
            }
        }
        Ok(look_again)
    }

    /// What a slot has that nobody of us gave: it is not ours to take, and the slot carries nothing
    /// while it is there.
    fn tell_of_strangers(&self) -> bool {
        let foreign: Vec<String> = self
            .duty
            .foreign(self.after)
            .map(|it| format!("role {} on {}", it.role, it.scope))
            .chain(self.after.above.iter().cloned())
            .collect();
        if !foreign.is_empty() {
            tracing::error!(
                principal = %self.duty.principal,
                ?foreign,
                "a slot has roles that Jitney did not give it: old credentials of the slot have \
                 them too, and it carries no lease until they are removed"
            );
        }
        !foreign.is_empty()
    }
}

#[cfg(test)]
mod tests;
