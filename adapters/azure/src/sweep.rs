//! Looking through a subscription for what our slots have.

use core::ops::Bound;
use std::collections::BTreeSet;

use jitney_core::adapter::{Page, Stamped, StampedKind};
use jitney_core::evidence::Held;
use jitney_core::fault::Fault;
use jitney_core::handle::Handle;

use crate::adapter::AzureAdapter;
use crate::classify::{Call, fault};
use crate::standing::{Look, RoleAt, Seen};

impl AzureAdapter {
    /// What one slot has, the next after `after`.
    pub(crate) async fn look_through(&self, after: Option<String>) -> Result<Page, Fault> {
        let config = self.config();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut slots = config.slots.range((from, Bound::Unbounded));
        let Some((name, slot)) = slots.next() else {
            return Ok(Page::default());
        };
        let look = Look {
            arm: &self.clients.reading,
            installation: &self.planner.installation,
            subscription: config.subscription,
            mode: config.mode,
        };
        let seen = look.at(slot.object_id, &BTreeSet::new()).await;
        let seen = seen.map_err(|error| fault(Call::Reads, "GET what a slot has", &error))?;
        Ok(Page {
            found: self.stamped(name, &seen),
            next: slots.next().map(|_| name.clone()),
        })
    }

    fn stamped(&self, slot: &str, seen: &Seen) -> Vec<Stamped> {
        let lane = self.planner.lane(slot);
        let grant = |handle: &Handle, mark, (role, scope): &RoleAt| Stamped {
            lane: lane.clone(),
            held: Held::Grant(handle.clone()),
            mark,
            kind: StampedKind::Grant,
            native: format!("role {role} on {scope}, slot `{slot}`"),
        };
        let standing = seen.standing.iter().filter_map(|standing| {
            let handle = standing.handle.as_ref()?;
            Some(grant(handle, standing.mark, &standing.place()))
        });
        let open = seen.open.iter();
        let open = open.map(|open| grant(&open.handle, None, &open.place));
        // PIM keeps what it was asked for, and so how far the ledger had come that asked. Everything
        // that had been given before was gone then.
        let taken = seen.mark.zip(seen.last_taken).map(|(mark, at)| Stamped {
            lane: lane.clone(),
            held: Held::IssuedBefore(at),
            mark: Some(mark),
            kind: StampedKind::Enforcement,
            native: format!("the latest removal from slot `{slot}`"),
        });
        standing.chain(open).chain(taken).collect()
    }
}
