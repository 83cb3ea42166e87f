//! Slots: identities of ours that carry one lease at a time, in clouds that grant to an identity.
//!
//! A slot is a lane with room for one. The ledger is what keeps two leases from sharing one, and
//! what keeps it empty while a hold stands: an earlier lease's credential would otherwise do what a
//! later one may. What is remembered here only makes a good guess at one that is free.

use core::time::Duration;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use super::Core;
use crate::books::{FoundLease, OpenLane};
use crate::ledger::CannotRead;
use crate::plan::LaneId;
use crate::refusal::Refusal;
use crate::time::{SKEW_MAX, Timestamp};

/// In which order this process last looked at slots.
#[derive(Debug, Default)]
pub struct Slots(Mutex<Looks>);

#[derive(Debug, Default)]
struct Looks {
    count: u64,
    last: HashMap<LaneId, u64>,
}

impl Slots {
    /// The slot that was not looked at for longest: it was idle for longest, as far as is known
    /// here. From now on it counts as looked at, so that whoever asks at the same moment is sent to
    /// another.
    fn next(&self, slots: &[LaneId], tried: &BTreeSet<LaneId>) -> Option<LaneId> {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = slots.iter().filter(|slot| !tried.contains(*slot));
        let slot = left.min_by_key(|slot| looks.last.get(*slot).copied())?;
        looks.count = looks.count.saturating_add(1);
        let count = looks.count;
        looks.last.insert(slot.clone(), count);
        Some(slot.clone())
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
        let mut frees_at: Option<Timestamp> = None;
        let mut tried = BTreeSet::new();
        while let Some(slot) = self.slots.next(slots, &tried) {
            let open = self.books.lane(&slot, Timestamp::FAR_FUTURE).await?;
            match frees(&open) {
                None => return Ok(Pick::Free(slot)),
                Some(at) => frees_at = Some(frees_at.map_or(at, |first| first.min(at))),
            }
            tried.insert(slot);
        }
        let now = self.clock.now();
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
