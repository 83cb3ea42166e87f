//! Laws about slots: identities of ours that carry one lease after another. Whoever kept an earlier
//! lease's credential holds one of the identity that carries the next.

use std::collections::BTreeSet;

use jitney_core::evidence::Held as GrantHeld;
use jitney_core::plan::LaneId;

use super::ending::{FIRST, PARTS, ensure_refused, take};
use super::hands::until_reached;
use super::{Held, Revealed, SLOTS_MIN, SlotStage, Stage, Taken, ensure};

fn slot_stage(stage: &dyn Stage) -> Result<&dyn SlotStage, String> {
    stage
        .slots()
        .ok_or_else(|| "the stage has no slots".to_owned())
}

pub(super) async fn a_slot_carries_one_lease(stage: &dyn Stage) -> Held {
    let (adapter, scribe, wanted) = (stage.adapter(), stage.scribe(), [stage.wanted()]);
    let slots = adapter.slots(&wanted);
    ensure_slots_are_named_well(stage, &slots)?;
    let slot = slots.first().ok_or("there is no slot")?;
    let unplanned = scribe.terms_on(&*adapter, &wanted, None);
    ensure(unplanned.is_err(), || {
        "a plan does without a slot".to_owned()
    })?;
    let foreign = LaneId {
        name: "no-such-slot".to_owned(),
        ..slot.clone()
    };
    let unplanned = scribe.terms_on(&*adapter, &wanted, Some(&foreign));
    ensure(unplanned.is_err(), || {
        "a plan is on a slot of nobody's".to_owned()
    })?;
    let plan = scribe.terms_on(&*adapter, &wanted, Some(slot))?.plan;
    ensure(plan.lane == *slot && plan.lane_capacity == 1, || {
        let (lane, room) = (&plan.lane, plan.lane_capacity);
        format!("planned on `{slot}`, the lane is `{lane}` and has room for {room}")
    })?;
    // From the intent to the end of its quarantine, the ledger lets no other lease in.
    let is_shut = async || scribe.intend_on(&*adapter, &wanted, slot).await.is_err();
    let taken = scribe.take_on(&*adapter, &wanted, slot).await?;
    ensure(is_shut().await, || "a slot carries two leases".to_owned())?;
    let lease = scribe.ending(taken.lease).await?;
    ensure(is_shut().await, || {
        "an ending lease has lost its slot".to_owned()
    })?;
    scribe.end(&*adapter, FIRST, lease).await?;
    if !scribe.holds(slot).await?.is_empty() {
        ensure(is_shut().await, || {
            "a slot is used while it is held".to_owned()
        })?;
    }
    scribe.until_free(&*adapter, FIRST, slot).await?;
    // The control: it was the earlier lease that was in the way.
    scribe.take_on(&*adapter, &wanted, slot).await.map(|_| ())
}

fn ensure_slots_are_named_well(stage: &dyn Stage, slots: &[LaneId]) -> Held {
    let wanted = stage.wanted();
    let distinct: BTreeSet<LaneId> = slots.iter().cloned().collect();
    let count = distinct.len();
    ensure(count == slots.len(), || "a slot is named twice".to_owned())?;
    ensure(count >= SLOTS_MIN, || {
        format!("the stage has {count} slots, and the laws use {SLOTS_MIN}")
    })?;
    let again: BTreeSet<LaneId> = stage
        .adapter()
        .slots(std::slice::from_ref(&wanted))
        .into_iter()
        .collect();
    ensure(again == distinct, || {
        "another process names other slots".to_owned()
    })?;
    let beyond = slots.iter().find(|it| it.target != wanted.resource.target);
    ensure(beyond.is_none(), || {
        format!("{beyond:?} is in another target")
    })?;
    let known = stage.adapter().lanes(&[&wanted.resource]);
    let unknown = distinct.difference(&known).next();
    ensure(unknown.is_none(), || {
        format!("a recovery would not cut {unknown:?}")
    })
}

/// A ledger that was restored from a backup may think a slot free that is not. Before that is
/// noticed, the slot's job must not gain what the next one is granted.
pub(super) async fn a_slot_in_use_is_not_given_again(stage: &dyn Stage) -> Held {
    let (adapter, scribe, beside) = (stage.adapter(), stage.scribe(), slot_stage(stage)?);
    let taken = take(stage).await?;
    let slot = taken.lease.terms().plan.lane.clone();
    let wanted = [beside.wanted_beside()];
    let second = scribe.intend_forgetting(&*adapter, &wanted, &slot).await?;
    let answer = adapter.elevate(&second).await;
    ensure(answer.is_err(), || {
        "one slot was given to two leases".to_owned()
    })?;
    for _ in 0..=PARTS {
        ensure(!beside.works_beside(&taken.credential).await?, || {
            "a lease does what another was to do on its slot".to_owned()
        })?;
        scribe.pass(stage.settles() / PARTS).await;
    }
    Ok(())
}

pub(super) async fn a_kept_credential_gains_nothing(stage: &dyn Stage) -> Held {
    let (adapter, scribe, beside) = (stage.adapter(), stage.scribe(), slot_stage(stage)?);
    let first = take(stage).await?;
    let slot = first.lease.terms().plan.lane.clone();
    let mut kept = vec![end_and_keep(stage, first).await?];
    // The same right again: what was kept would do, word for word, what it once did.
    let second = scribe.take_on(&*adapter, &[stage.wanted()], &slot).await?;
    let mut works = false;
    for _ in 0..=PARTS {
        ensure_refused_all(stage, &kept).await?;
        works = stage.works(&second.credential).await?;
        scribe.pass(stage.settles() / PARTS).await;
    }
    ensure(works, || "the slot's second lease does not work".to_owned())?;
    kept.push(end_and_keep(stage, second).await?);
    // Another right, which none of the two ever had.
    let third = scribe
        .take_on(&*adapter, &[beside.wanted_beside()], &slot)
        .await?;
    let mut works = false;
    for _ in 0..=PARTS {
        for credential in &kept {
            ensure(!beside.works_beside(credential).await?, || {
                "a kept credential does what the slot's third lease may do".to_owned()
            })?;
        }
        works = beside.works_beside(&third.credential).await?;
        scribe.pass(stage.settles() / PARTS).await;
    }
    ensure(works, || "the slot's third lease does not work".to_owned())
}

async fn ensure_refused_all(stage: &dyn Stage, kept: &[Revealed]) -> Held {
    for credential in kept {
        ensure_refused(stage, credential).await?;
    }
    Ok(())
}

/// Ends a lease, waits until its slot may be used again, and gives what its job has kept.
async fn end_and_keep(stage: &dyn Stage, taken: Taken) -> Result<Revealed, String> {
    let (adapter, scribe) = (stage.adapter(), stage.scribe());
    let slot = taken.lease.terms().plan.lane.clone();
    let lease = scribe.ending(taken.lease).await?;
    scribe.end(&*adapter, FIRST, lease).await?;
    scribe.until_free(&*adapter, FIRST, &slot).await?;
    Ok(taken.credential)
}

pub(super) async fn a_fresh_credential_meets_no_old_right(stage: &dyn Stage) -> Held {
    let (adapter, scribe, beside) = (stage.adapter(), stage.scribe(), slot_stage(stage)?);
    let first = take(stage).await?;
    let slot = first.lease.terms().plan.lane.clone();
    end_and_keep(stage, first).await?;
    let fresh = scribe
        .take_on(&*adapter, &[beside.wanted_beside()], &slot)
        .await?;
    let mut works = false;
    for _ in 0..=PARTS {
        ensure(!stage.works(&fresh.credential).await?, || {
            "a fresh credential does what the slot's earlier lease could do".to_owned()
        })?;
        works = beside.works_beside(&fresh.credential).await?;
        scribe.pass(stage.settles() / PARTS).await;
    }
    ensure(works, || {
        "the fresh credential does nothing at all".to_owned()
    })
}

pub(super) async fn a_quarantine_is_kept(stage: &dyn Stage) -> Held {
    let (adapter, scribe) = (stage.adapter(), stage.scribe());
    let taken = take(stage).await?;
    let (slot, handle) = {
        let terms = taken.lease.terms();
        (terms.plan.lane.clone(), terms.handle.clone())
    };
    let lease = scribe.ending(taken.lease).await?;
    scribe.end(&*adapter, FIRST, lease).await?;
    let holds = scribe.holds(&slot).await?;
    ensure(!holds.is_empty(), || {
        "nothing keeps the slot empty".to_owned()
    })?;
    let undone = until_reached(stage, &*adapter, &slot, &holds).await?;
    ensure(undone.is_empty(), || {
        format!("nobody has touched the slot, and {undone:?} is told to be undone")
    })?;
    stage.undo(&slot).await?;
    let undone = until_reached(stage, &*adapter, &slot, &holds).await?;
    ensure(undone.contains(&GrantHeld::Grant(handle)), || {
        format!("a stranger gave the slot its right back, and {undone:?} is told")
    })?;
    scribe.pass(stage.settles()).await;
    ensure_refused(stage, &taken.credential).await?;
    let left = stage.left_behind(&slot).await?;
    ensure(left.is_empty(), || {
        format!("the slot is held, and this gives: {left:?}")
    })
}
