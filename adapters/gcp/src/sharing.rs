//! Taking back from an account that carries other leases too: it is not disabled, so only bindings
//! go, and the tokens are waited for. A cut of the whole lane disables it.

use std::collections::BTreeSet;

use jitney_core::adapter::{Hand, Pass};
use jitney_core::evidence::Hold;
use jitney_core::fault::Fault;

use crate::judge::{Case, Times, waits};
use crate::lane_name::Carries;
use crate::names::PolicyName;
use crate::policy::Which;
use crate::slot::{Slot, is_past};
use crate::stamp::{Phase, Stamp};
use crate::taking::{expired, stumbled, told_by, unbind};

/// Takes back what is due in a lane that many leases share.
pub(crate) async fn take_parts_back<S: Slot>(
    slot: &S,
    carries: Carries,
    hand: Hand,
    (due, holds): (&[Case], &[Hold]),
    times: Times,
) -> Result<Pass, Fault> {
    let (over, open) = expired(slot, due, times);
    let unbound = match carries {
        Carries::Bounded => Ok(false),
        Carries::One | Carries::Many => unbind_leases(slot, due, holds).await,
    };
    let cut = cut_whole(slot, hand, holds).await;
    let mut pass = match unbound.and(cut) {
        Ok(pass) => {
            // No binding of theirs is left; with a boundary there never was one.
            let written = carries != Carries::Bounded;
            let waits = |case: &&Case| (case.lease, Ok(waits(case, written, slot.now())));
            Pass {
                leases: open.iter().map(waits).collect(),
                ..pass
            }
        }
        Err(fault) => stumbled(slot, &over, &open, fault)?,
    };
    pass.leases.extend(over);
    Ok(pass)
}

/// Removes the bindings of what is due, also of what time has ended: they would go on giving to the
/// account's other tokens.
async fn unbind_leases<S: Slot>(slot: &S, due: &[Case], holds: &[Hold]) -> Result<bool, Fault> {
    let policies: BTreeSet<&PolicyName> = due.iter().flat_map(|case| &case.policies).collect();
    let handles = due.iter().map(|case| &case.handle);
    let held = holds.iter().filter_map(Hold::grant);
    let handles: Vec<_> = handles.chain(held).cloned().collect();
    if handles.is_empty() {
        return Ok(false);
    }
    unbind(slot, &policies, &Which::Of(handles)).await
}

/// An operator's cut of the lane: everything that was issued in it ends, and what would be issued
/// later with it. Once nothing is cut any more the account is enabled again, if it was us who
/// disabled it.
async fn cut_whole<S: Slot>(slot: &S, hand: Hand, holds: &[Hold]) -> Result<Pass, Fault> {
    let Some(seen) = slot.look().await? else {
        return Ok(Pass::default());
    };
    let stamp = seen.described.stamp();
    let pass = told_by(slot, stamp, hand);
    let cuts = holds.iter().filter(|hold| hold.grant().is_none());
    let Some(cut) = cuts.max_by_key(|hold| hold.until) else {
        let is_over = |stamp: &&Stamp| {
            stamp.phase == Phase::Rests && !stamp.held.is_grant() && is_past(slot, stamp.until)
        };
        if stamp.filter(is_over).is_some() && !pass.took_nothing_away(hand) {
            slot.enable().await?;
            slot.describe(None).await?;
        }
        return Ok(pass);
    };
    let undone = seen.enabled && stamp.is_some_and(|stamp| stamp.held == cut.held);
    if seen.enabled {
        slot.disable().await?;
    }
    let rests = Stamp {
        phase: Phase::Rests,
        held: cut.held.clone(),
        epoch: hand.epoch,
        mark: hand.mark,
        until: cut.until,
    };
    if stamp.is_none_or(|stamp| stamp.held != cut.held && !stamp.is_later_than(hand)) {
        slot.describe(Some(&rests)).await?;
    }
    let after = slot.look().await?;
    Ok(Pass {
        undone: if undone {
            vec![cut.held.clone()]
        } else {
            Vec::new()
        },
        unreached: after.is_some_and(|after| after.enabled),
        ..pass
    })
}
