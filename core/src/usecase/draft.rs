//! A draft: what a request comes to in each cloud, before the policy is asked and anything is
//! written down.

use core::time::Duration;
use std::collections::BTreeMap;

use super::Core;
use super::slots::Pick;
use super::submit::Ask;
use crate::catalogue::{Wanted, resolve};
use crate::guarantee::Guarantees;
use crate::id::{LeaseId, RequestId, TargetName};
use crate::ledger::{Budget, Owner, Share};
use crate::plan::{LaneId, Order, Plan};
use crate::principal::Principal;
use crate::refusal::Refusal;

/// A request with its plans, before the policy is asked.
pub(super) struct Draft {
    pub(super) id: RequestId,
    pub(super) owner: Owner,
    pub(super) wanted: Vec<Wanted>,
    pub(super) ttl_seconds: u32,
    pub(super) leases: Vec<DraftLease>,
}

/// One lease of a draft.
pub(super) struct DraftLease {
    pub(super) part: Part,
    pub(super) plan: Result<Plan, Refusal>,
    /// Why there is no slot for it at present. It is planned all the same, on one that is taken:
    /// the policy judges what would be granted.
    pub(super) no_slot: Option<Refusal>,
}

/// What is wanted of one target.
pub(super) struct Part {
    pub(super) lease: LeaseId,
    pub(super) target: TargetName,
    pub(super) wanted: Vec<Wanted>,
    /// The identities that could carry it, in a cloud that grants to one.
    pub(super) slots: Vec<LaneId>,
}

impl Draft {
    /// The weakest guarantee over all plans, when there is a plan for every target.
    pub(super) fn guarantees(&self) -> Option<Guarantees> {
        let mut plans = self.leases.iter().map(|lease| lease.plan.as_ref().ok());
        let first = plans.next()??.guarantees.clone();
        plans.try_fold(first, |weakest, plan| {
            let next = &plan?.guarantees;
            Some(Guarantees {
                ttl_seconds_min: weakest.ttl_seconds_min.max(next.ttl_seconds_min),
                ttl_seconds_max: weakest.ttl_seconds_max.min(next.ttl_seconds_max),
                recall: weakest.recall.weaker(next.recall),
                ends_by_itself: weakest.ends_by_itself && next.ends_by_itself,
                because: [weakest.because, next.because.clone()].concat(),
            })
        })
    }

    /// The room that its leases need in their lanes.
    pub(super) fn lanes(&self) -> Result<Vec<Budget>, Refusal> {
        let plans = self.leases.iter().map(|lease| lease.plan.as_ref());
        let rooms = plans.map(|plan| Ok(lane_budget(plan?)));
        rooms.collect::<Result<_, &Refusal>>().map_err(Clone::clone)
    }

    /// Whether what ran out is a slot that one of the leases was to go on.
    pub(super) fn is_slot(&self, budget: &Budget) -> bool {
        self.leases.iter().any(|lease| lease.is_on(budget))
    }
}

impl DraftLease {
    fn is_on(&self, budget: &Budget) -> bool {
        let lane = self.plan.as_ref().map(|plan| &plan.lane);
        let is_slot = lane.is_ok_and(|lane| self.part.slots.contains(lane));
        is_slot && matches!(&budget.share, Share::Lane(full) if Ok(full) == lane)
    }
}

impl Core {
    /// Drafts what is asked for: a lease for each target.
    pub(super) async fn draft(&self, ask: &Ask, ttl_seconds: u32) -> Result<Draft, Refusal> {
        let mut wanted = Vec::new();
        let mut by_target: BTreeMap<TargetName, Vec<Wanted>> = BTreeMap::new();
        for scope in &ask.scopes {
            let found = resolve(scope, &self.inventory, &self.catalogue)?;
            by_target
                .entry(found.resource.target.clone())
                .or_default()
                .push(found.clone());
            wanted.push(found);
        }
        let mut leases = Vec::new();
        for (target, wanted) in by_target {
            let part = Part {
                lease: LeaseId::fresh(),
                slots: self.adapter(&target)?.slots(&wanted),
                target,
                wanted,
            };
            leases.push(self.planned(ask, ttl_seconds, part).await?);
        }
        let owner = owner_of(&ask.principal);
        Ok(Draft {
            id: RequestId::fresh(),
            owner,
            wanted,
            ttl_seconds,
            leases,
        })
    }

    /// Plans one lease, on the slot that was idle for longest where the cloud needs one.
    async fn planned(
        &self,
        ask: &Ask,
        ttl_seconds: u32,
        part: Part,
    ) -> Result<DraftLease, Refusal> {
        let (slot, no_slot) = match self.free_slot(&part.slots).await? {
            Pick::NotNeeded => (None, None),
            Pick::Free(slot) => (Some(slot), None),
            Pick::Exhausted(refusal) => (part.slots.first().cloned(), Some(refusal)),
        };
        let window = ttl_seconds.min(self.limits.window_seconds);
        let order = Order {
            wanted: &part.wanted,
            target: &part.target,
            ttl: Duration::from_secs(u64::from(window)),
            lasts: Duration::from_secs(u64::from(ttl_seconds)),
            slot: slot.as_ref(),
            handle: &self.stamp.handle(part.lease),
            job: &ask.principal.job,
        };
        let plan = self.adapter(&part.target)?.plan(&order);
        Ok(DraftLease {
            part,
            plan: plan.map_err(Refusal::from),
            no_slot,
        })
    }

    /// Plans anew what was to go on a slot that somebody else has taken.
    pub(super) async fn planned_again(
        &self,
        ask: &Ask,
        mut draft: Draft,
        taken: &Budget,
    ) -> Result<Draft, Refusal> {
        let mut leases = Vec::new();
        for lease in draft.leases {
            leases.push(if lease.is_on(taken) {
                self.planned(ask, draft.ttl_seconds, lease.part).await?
            } else {
                lease
            });
        }
        draft.leases = leases;
        Ok(draft)
    }
}

fn lane_budget(plan: &Plan) -> Budget {
    Budget {
        share: Share::Lane(plan.lane.clone()),
        leases_max: plan.lane_capacity,
    }
}

fn owner_of(principal: &Principal) -> Owner {
    let job = &principal.job;
    let under = |id: &str| crate::principal::JobKey::from_parts([job.issuer.as_str(), id]);
    Owner {
        job: job.key.as_str().to_owned(),
        repository: under(&job.repository.id).as_str().to_owned(),
        tenant: under(&job.repository.owner_id).as_str().to_owned(),
    }
}
