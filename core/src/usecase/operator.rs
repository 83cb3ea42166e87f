//! What an operator may order about leases: end those that something is true of, write one off.

use core::time::Duration;
use std::collections::BTreeSet;

use super::Core;
use crate::audit::{Entry, Event};
use crate::books::{FoundLease, Recorded};
use crate::evidence::{Held, Hold};
use crate::id::{LeaseId, OrderId, ResourceName};
use crate::lease::Ended;
use crate::ledger::{CannotRead, Look, Sheet, Transaction};
use crate::order::{self, Order};
use crate::plan::LaneId;
use crate::reconcile::is_ended_by;
use crate::refusal::Refusal;
use crate::scope::Scope;
use crate::standing::{Aim, Shut, Standing};
use crate::time::{SKEW_MAX, Timestamp};

/// The longest name of a person and the longest reason of an order, in characters.
const WORDS_LENGTH_MAX: usize = 256;
/// Who gives an order, and why. Both are in the audit log for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Who.
    pub person: String,
    /// Why.
    pub reason: String,
}

impl Signed {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        for (what, words) in [("person", &self.person), ("reason", &self.reason)] {
            let length = words.trim().chars().count();
            if length == 0 || length > WORDS_LENGTH_MAX {
                return Err(Refusal::new(
                    "bad_request",
                    format!("an order needs a {what} of 1 to {WORDS_LENGTH_MAX} characters"),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn sign(&self, entry: Entry) -> Entry {
        entry
            .field("person", &self.person)
            .field("reason", &self.reason)
    }
}

/// What a kill order would end now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aimed {
    /// The leases.
    pub leases: Vec<LeaseId>,
    /// The lanes they lie in.
    pub lanes: BTreeSet<LaneId>,
}

/// How far an order is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderProgress {
    /// The order.
    pub order: Order,
    /// How many open leases that it is about are still to be ended.
    pub to_end: u32,
    /// How many leases that it is about are ending and not over yet in their cloud.
    pub revoking: u32,
    /// How many of those that it ended are over.
    pub over: u32,
    /// The last moment at which one of them may still work, as far as is known.
    pub exposed_until: Option<Timestamp>,
}

/// The lanes in which an order lets everything fall at once.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    pub(super) lanes: BTreeSet<LaneId>,
    /// Calls may be under way of which the ledger knows nothing.
    pub(super) forgotten: bool,
}

impl Core {
    /// What an aim would end now. Changes nothing.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn aim(&self, aim: &Aim) -> Result<Aimed, CannotRead> {
        let mut aimed = Aimed::default();
        let none = BTreeSet::new();
        let mut older_than = None;
        loop {
            let (page, last) = self.open_leases(older_than).await?;
            if last.is_none() {
                return Ok(aimed);
            }
            older_than = last;
            for lease in page {
                if self.is_aimed_at(aim, &none, &lease).await? {
                    aimed.leases.push(lease.terms().id);
                    aimed.lanes.insert(lease.terms().plan.lane.clone());
                }
            }
        }
    }

    /// Orders every lease that `aim` is about to be ended, durably. While the order is carried
    /// out, nothing it is about is elevated. With `cut_lanes`, everything in those leases' lanes
    /// falls at once, siblings too: one entry per lane ends it, however many leases there are.
    ///
    /// # Errors
    /// `bad_request` for an order about everything or without a name; a ledger that cannot be
    /// used.
    pub async fn order_kill(
        &self,
        aim: Aim,
        cut_lanes: bool,
        signed: &Signed,
    ) -> Result<OrderId, Refusal> {
        signed.check()?;
        if aim.is_everything() {
            return Err(Refusal::new(
                "bad_request",
                "an order about everything is a recovery: name an issuer, a repository, a target, \
                 a resource, a lease or a time",
            ));
        }
        let mut cuts = Cuts::default();
        if cut_lanes {
            cuts.lanes = self.aim(&aim).await?.lanes;
        }
        let posted = self.books.standing().await?;
        let mut says = posted.says.clone();
        let mut change = Transaction::default();
        let id = self.put_order(&mut says, &mut change, aim, cuts, signed)?;
        change.sheets.push(posted.changed(&says)?);
        self.books.note(change).await?;
        self.books.standing().await?;
        Ok(id)
    }

    /// Writes an order into a change: its sheet, its place in the standing orders, and the cut of
    /// its lanes.
    pub(super) fn put_order(
        &self,
        says: &mut Standing,
        change: &mut Transaction,
        aim: Aim,
        cuts: Cuts,
        signed: &Signed,
    ) -> Result<OrderId, Refusal> {
        let (id, now) = (OrderId::fresh(), self.clock.now());
        says.tidy(now);
        let lanes = cuts.lanes;
        for lane in &lanes {
            self.put_cut(says, change, lane, now, cuts.forgotten);
        }
        let entry = Entry::new(now, Event::KillOrdered)
            .field("order", id)
            .field("aim", serde_json::to_string(&aim).unwrap_or_default())
            .field("lanes_cut", lanes.len());
        change.entries.push(signed.sign(entry));
        let order = Order {
            aim: aim.clone(),
            lanes,
            person: signed.person.clone(),
            reason: signed.reason.clone(),
            ordered_at: now,
            seen_down_to: None,
            looked_at: 0,
            ended: 0,
            unreadable: 0,
            done_at: None,
        };
        says.kills.insert(id, aim);
        let body = serde_json::to_string(&order)
            .map_err(|error| CannotRead(format!("an order has no JSON: {error}")))?;
        change.sheets.push(Sheet {
            name: order::sheet(id),
            version: 1,
            body,
        });
        Ok(id)
    }

    /// Cuts a lane: a watermark ahead of every clock, and no elevation until all clocks are past
    /// it, or what is elevated would be dead on arrival. Where calls are forgotten it is past the
    /// latest moment at which one can land; else every lease is ended by its own name as well.
    fn put_cut(
        &self,
        says: &mut Standing,
        change: &mut Transaction,
        lane: &LaneId,
        now: Timestamp,
        forgotten: bool,
    ) -> Timestamp {
        let adapter = self.adapters.get(&lane.target);
        let reach = adapter.map(|adapter| adapter.reach());
        let (issues_within, lives) = reach.map_or((Duration::ZERO, Duration::ZERO), |reach| {
            (reach.issues_within, reach.lives)
        });
        let lands = if forgotten {
            issues_within
        } else {
            Duration::ZERO
        };
        let ahead = now.plus(lands).plus(SKEW_MAX);
        let watermark = Timestamp::from_seconds(ahead.as_seconds().saturating_add(1));
        let lives = issues_within.saturating_add(lives);
        change.holds_placed.push(Hold {
            lane: lane.clone(),
            held: Held::IssuedBefore(watermark),
            lease: None,
            until: watermark.plus(lives).plus(SKEW_MAX),
            issued_by: Some(watermark),
        });
        change.looks.push(Look {
            lane: lane.clone(),
            at: Some(now),
        });
        says.shut.push(Shut {
            lane: lane.clone(),
            until: watermark.plus(SKEW_MAX),
        });
        watermark
    }

    /// How far an order is.
    ///
    /// # Errors
    /// `not_found`; a ledger that cannot be read.
    pub async fn order(&self, id: OrderId) -> Result<OrderProgress, Refusal> {
        let posted = self.books.sheet::<Option<Order>>(&order::sheet(id)).await?;
        let order = self
            .untold
            .latest(id, &posted)
            .ok_or_else(|| Refusal::new("not_found", format!("there is no order `{id}`")))?;
        let (mut revoking, mut of_its_own, mut exposed_until) = (0_u32, 0_u32, None);
        for lease in self.all_revoking().await? {
            let found = FoundLease::Revoking(lease);
            if self.is_aimed_at(&order.aim, &order.lanes, &found).await?
                && let FoundLease::Revoking(lease) = found
            {
                revoking = revoking.saturating_add(1);
                of_its_own = of_its_own.saturating_add(is_ended_by(&order, &lease).into());
                exposed_until = exposed_until.max(Some(lease.told_exposed_until()));
            }
        }
        Ok(OrderProgress {
            to_end: self.still_to_end(&order).await?,
            revoking,
            over: order.ended.saturating_sub(of_its_own),
            exposed_until,
            order,
        })
    }

    /// How many leases an order has yet to come to.
    async fn still_to_end(&self, order: &Order) -> Result<u32, CannotRead> {
        let (mut count, mut older_than) = (0_u32, order.seen_down_to);
        while order.done_at.is_none() {
            let (page, last) = self.open_leases(older_than).await?;
            if last.is_none() {
                break;
            }
            older_than = last;
            for lease in page {
                let is_to_end = match lease {
                    FoundLease::Active(_) | FoundLease::Doubtful(_) => {
                        self.is_aimed_at(&order.aim, &order.lanes, &lease).await?
                    }
                    FoundLease::Revoking(_) | FoundLease::Ended(_) => false,
                };
                count = count.saturating_add(is_to_end.into());
            }
        }
        Ok(count)
    }

    /// Whether an order is about a lease, by its aim or because its lane is cut.
    pub(crate) async fn is_aimed_at(
        &self,
        aim: &Aim,
        lanes: &BTreeSet<LaneId>,
        lease: &FoundLease,
    ) -> Result<bool, CannotRead> {
        let terms = lease.terms();
        if lanes.contains(&terms.plan.lane) {
            return Ok(true);
        }
        if aim.lease.is_some_and(|lease| lease != terms.id)
            || aim.since.is_some_and(|since| terms.intended_at < since)
        {
            return Ok(false);
        }
        // A lease whose request cannot be found is about nobody: rather too much than too little.
        let Some(request) = self.books.request(terms.request).await? else {
            return Ok(true);
        };
        let principal = &request.terms().principal;
        let is_named = |scope: &Scope, name: &ResourceName| self.is_named(scope, name);
        Ok(aim.covers(principal, &terms.plan.lane.target, &terms.scopes, is_named))
    }

    /// Whether a scope is on the resource of that name: the same thing, whatever its name.
    pub(crate) fn is_named(&self, scope: &Scope, name: &ResourceName) -> bool {
        let of = |name| {
            self.inventory
                .get(name)
                .map(|it| (&it.target, &it.native_id))
        };
        scope.resource == *name
            || (of(&scope.resource).is_some() && of(&scope.resource) == of(name))
    }

    /// Declares a lease over without evidence. What must stay in force stays.
    ///
    /// # Errors
    /// `not_found`, `bad_request` when it is not under revocation; a ledger that cannot be used.
    pub async fn write_off(&self, id: LeaseId, signed: &Signed) -> Result<(), Refusal> {
        signed.check()?;
        let lease = self.books.lease(id).await?.ok_or_else(Refusal::not_found)?;
        let state = lease.state();
        let FoundLease::Revoking(lease) = lease else {
            return Err(Refusal::new(
                "bad_request",
                format!("lease `{id}` is {state}: only one under revocation can be written off"),
            ));
        };
        let now = self.clock.now();
        // Whatever can still be done for it in the cloud goes on: its hold asks for it.
        let look = Look {
            lane: lease.terms().plan.lane.clone(),
            at: Some(now),
        };
        let step = lease.written_off(signed.person.clone(), signed.reason.clone(), now);
        let also = Transaction {
            looks: vec![look],
            ..Transaction::default()
        };
        let _: Recorded<Ended> = self.books.record_with(step, also).await?;
        self.pulse.forget(id);
        Ok(())
    }
}
