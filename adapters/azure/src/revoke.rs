//! Taking back: a slot is brought to having nothing of what is due and what is held, and what is
//! found there afterwards is the only evidence.
//!
//! Every hand may take away, a late one too: on a slot nothing that is over is kept ended by
//! something that a removal could undo.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jitney_core::adapter::{Hand, Page, Pass, Revoke};
use jitney_core::books::Recorded;
use jitney_core::evidence::{Held, Hold, Revocation};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::handle::Handle;
use jitney_core::lease::Revoking;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use uuid::Uuid;

use crate::adapter::{AzureAdapter, TOLD_REVOKING, own_fault};
use crate::calm::Calm;
use crate::classify::{Call, fault};
use crate::config::Mode;
use crate::judge::{Case, Found, judge};
use crate::limits::LOOK_SECONDS;
use crate::removing::Removal;
use crate::scope::Scope;
use crate::standing::{Look, Open, RoleAt, Seen, Standing};

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
        let after = if removals.is_empty() {
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
    leases: Vec<DueLease>,
    held: BTreeSet<Held>,
}

struct DueLease {
    case: Case,
    handle: Handle,
    places: BTreeSet<RoleAt>,
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
        for lease in due {
            let terms = self.terms(lease.terms())?;
            // What was recorded with the lease, and not what the configuration says meanwhile.
            if terms.mode == Mode::Pim {
                mode = Mode::Pim;
            }
            let places = terms
                .grants
                .into_iter()
                .map(|grant| (grant.role, grant.scope));
            leases.push(DueLease {
                case: Case::of(lease),
                handle: lease.terms().handle.clone(),
                places: places.collect(),
            });
        }
        Ok(Duty {
            principal,
            mode,
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
