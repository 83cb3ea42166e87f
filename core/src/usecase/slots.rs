//! Slots: identities of ours that carry one lease at a time, in clouds that grant to an identity.
//!
//! A slot is a lane with room for one. The ledger is what keeps two leases from sharing one, and
//! what keeps it empty while a hold stands: an earlier lease's credential would otherwise do what a
//! later one may. What is remembered here only makes a good guess at one that is free.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Core;
use crate::books::{FoundLease, OpenLane};
use crate::ledger::CannotRead;
use crate::plan::LaneId;
use crate::refusal::Refusal;
use crate::time::{SKEW_MAX, Timestamp};

/// When this process last saw each slot in use.
#[derive(Debug, Default)]
pub struct Slots(Mutex<HashMap<LaneId, Timestamp>>);

impl Slots {
    /// The longest idle first; what was never seen in use comes before everything.
    fn by_idleness(&self, slots: &[LaneId]) -> Vec<LaneId> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = slots.to_vec();
        slots.sort_by_key(|slot| seen.get(slot).copied());
        slots
    }

    fn in_use(&self, slot: &LaneId, at: Timestamp) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(slot.clone(), at);
    }
}

/// What came of looking for a slot.
pub(super) enum Pick {
    /// This cloud grants to no identity of ours.
    NotNeeded,
    /// This one is free as far as the ledger knows. The commit of the intent claims it, and may
    /// find that somebody was faster.
    Free(LaneId),
    /// All are taken or held: `try_again`, with when the next one frees.
    Exhausted(Refusal),
}

impl Core {
    /// Looks for a slot that is free, the longest idle first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(super) async fn free_slot(&self, slots: &[LaneId]) -> Result<Pick, CannotRead> {
        if slots.is_empty() {
            return Ok(Pick::NotNeeded);
        }
        let now = self.clock.now();
        let mut frees_at: Option<Timestamp> = None;
        for slot in self.slots.by_idleness(slots) {
            // Whether it is free or not: the next to look should not be sent to it.
            self.slots.in_use(&slot, now);
            let open = self.books.lane(&slot, Timestamp::FAR_FUTURE).await?;
            match frees(&open) {
                None => return Ok(Pick::Free(slot)),
                Some(at) => frees_at = Some(frees_at.map_or(at, |first| first.min(at))),
            }
        }
        Ok(Pick::Exhausted(exhausted(slots, frees_at, now)))
    }
}

/// When a slot is free again, as far as the ledger can tell; nothing when it is free.
fn frees(open: &OpenLane) -> Option<Timestamp> {
    let leases = open.leases.iter().filter_map(FoundLease::frees_at);
    leases.chain(open.holds.iter().map(|hold| hold.until)).max()
}

fn exhausted(slots: &[LaneId], frees_at: Option<Timestamp>, now: Timestamp) -> Refusal {
    // A slot whose time is over is still being cleared.
    let wait = frees_at.map_or(SKEW_MAX, |at| at.since(now));
    let wait = wait.max(Duration::from_secs(1));
    let count = slots.len();
    let first = slots.first().map_or_else(String::new, LaneId::to_string);
    let refusal = Refusal::new(
        "try_again",
        format!(
            "every identity that could carry this lease is in use or in quarantine; the next may be \
             free in {} s",
            wait.as_secs()
        ),
    );
    Refusal {
        cause: Some("pool_exhausted"),
        ..refusal
    }
    .logged(format!(
        "all {count} slots beside `{first}` are taken or held: give the pool more of them"
    ))
    .retry(wait)
}
