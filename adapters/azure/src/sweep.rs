//! Looking through a subscription for what bears our stamp, on our slots and on whatever else: three
//! lists, however large the pool is.

use std::collections::BTreeMap;

use jitney_core::adapter::{Page, Stamped, StampedKind};
use jitney_core::evidence::Held;
use jitney_core::fault::Fault;
use jitney_core::handle::Handle;
use uuid::Uuid;

use crate::adapter::AzureAdapter;
use crate::classify::{Call, fault};
use crate::standing::{Denials, Look, RoleAt, Seen};

impl AzureAdapter {
    /// What everybody has, in one look: slots, also those that were taken out of the configuration,
    /// and whoever copied a stamp.
    pub(crate) async fn look_through(&self) -> Result<Page, Fault> {
        let all = self.looking().everywhere().await;
        let all = all.map_err(|error| fault(Call::Reads, "GET what everybody has", &error))?;
        let slots = &self.config().slots;
        let names: BTreeMap<Uuid, &String> = slots
            .iter()
            .map(|(name, slot)| (slot.object_id, name))
            .collect();
        let found = all.iter().flat_map(|(who, seen)| {
            let told = match names.get(who) {
                Some(name) => format!("slot `{name}`"),
                None => format!("identity `{who}`, which is no slot"),
            };
            self.stamped(*who, &told, seen)
        });
        Ok(Page {
            found: found.collect(),
            next: None,
        })
    }

    fn looking(&self) -> Look<'_> {
        Look {
            arm: &self.clients.reading,
            installation: &self.planner.installation,
            subscription: self.config().subscription,
            mode: self.config().mode,
            denials: Denials::used(self.config().fast_stop.is_some()),
        }
    }

    fn stamped(&self, principal: Uuid, who: &str, seen: &Seen) -> Vec<Stamped> {
        let lane = self.planner.lane(principal);
        let grant = |handle: &Handle, mark, (role, scope): &RoleAt| Stamped {
            lane: lane.clone(),
            held: Held::Grant(handle.clone()),
            mark,
            kind: StampedKind::Grant,
            native: format!("role {role} on {scope}, {who}"),
        };
        let standing = seen.standing.iter().filter_map(|standing| {
            let handle = standing.handle.as_ref()?;
            Some(grant(handle, standing.mark, &standing.place()))
        });
        let open = seen.open.iter();
        let open = open.map(|open| grant(&open.handle, None, &open.place));
        let denied = seen.denied.iter().map(|denied| Stamped {
            lane: lane.clone(),
            held: Held::Grant(denied.handle.clone()),
            mark: Some(denied.mark),
            kind: StampedKind::Enforcement,
            native: format!("deny assignment on {}, {who}", denied.scope),
        });
        // PIM keeps what it was asked for, and so how far the ledger had come that asked. Everything
        // that had been given before was gone then.
        let taken = seen.mark.zip(seen.last_taken).map(|(mark, at)| Stamped {
            lane: lane.clone(),
            held: Held::IssuedBefore(at),
            mark: Some(mark),
            kind: StampedKind::Enforcement,
            native: format!("the latest removal from {who}"),
        });
        standing.chain(open).chain(denied).chain(taken).collect()
    }
}
