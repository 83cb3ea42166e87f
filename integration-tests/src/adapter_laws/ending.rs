//! Laws about what is taken back.

use core::time::Duration;

use jitney_core::adapter::{Epoch, Hand, Mark};
use jitney_core::evidence::Evidence;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::guarantee::Recall;

use super::scribe::LOOKS_MAX;
use super::{Held, Kind, Revealed, Stage, Taken, ensure};

pub(super) const FIRST: Hand = writing_as(1);

/// The hand that owns a lane in this epoch, with a ledger that has come so far by then.
#[must_use]
pub const fn writing_as(epoch: u64) -> Hand {
    Hand {
        epoch: Epoch(epoch),
        mark: Mark {
            era: 0,
            sequence: 100 + epoch,
        },
    }
}

/// In so many parts a time is waited for in which something must stay as it is.
pub(super) const PARTS: u32 = 10;

/// A lease of what the stage wants, whose credential works.
pub(super) async fn take(stage: &dyn Stage) -> Result<Taken, String> {
    let adapter = stage.adapter();
    let taken = stage.scribe().take(&*adapter, &[stage.wanted()]).await?;
    // Nothing is shown by what never worked, and some clouds take their time.
    for _ in 0..PARTS {
        if stage.works(&taken.credential).await? {
            return Ok(taken);
        }
        stage.scribe().pass(stage.settles() / PARTS).await;
    }
    ensure(stage.works(&taken.credential).await?, || {
        "the credential does not do what its scope says".to_owned()
    })?;
    Ok(taken)
}

pub(super) async fn ensure_refused(stage: &dyn Stage, taken: &Revealed) -> Held {
    ensure(!stage.works(taken).await?, || {
        "the ended credential works".to_owned()
    })
}

pub(super) async fn ends_within_its_promise(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let taken = take(stage).await?;
    let promised = match taken.lease.terms().recall() {
        Recall::Severs { within_seconds } => Duration::from_secs(within_seconds.into()),
        Recall::Lapses { .. } => return Err("the scope of this stage does not sever".to_owned()),
    };
    let lease = stage.scribe().ending(taken.lease).await?;
    let gone = stage.scribe().end(&*adapter, FIRST, lease).await?;
    ensure(gone.took <= promised, || {
        format!("it took {:?}, and {promised:?} were promised", gone.took)
    })?;
    ensure_refused(stage, &taken.credential).await
}

pub(super) async fn evidence_is_true(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let scribe = stage.scribe();
    let taken = take(stage).await?;
    let mut leases = vec![scribe.ending(taken.lease).await?];
    for _ in 0..LOOKS_MAX {
        let (over, again) = scribe.look(&*adapter, FIRST, leases, &[]).await?;
        if !over.is_empty() {
            return ensure_refused(stage, &taken.credential).await;
        }
        scribe.until_due(&again).await;
        leases = again;
    }
    Err("no evidence came".to_owned())
}

pub(super) async fn ends_one_and_no_other(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let (one, other) = (take(stage).await?, take(stage).await?);
    let lane = |taken: &Taken| taken.lease.terms().plan.lane.clone();
    let share = lane(&one) == lane(&other);
    match Kind::of(stage)? {
        Kind::SharedLanes => ensure(share, || {
            "two leases of the same scope have two lanes".to_owned()
        })?,
        Kind::Slots => ensure(!share, || "two leases share a slot".to_owned())?,
    }
    let lease = stage.scribe().ending(one.lease).await?;
    stage.scribe().end(&*adapter, FIRST, lease).await?;
    ensure_refused(stage, &one.credential).await?;
    ensure(stage.works(&other.credential).await?, || {
        "the other lease was cut as well".to_owned()
    })
}

pub(super) async fn ending_twice_is_ending_once(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let scribe = stage.scribe();
    let taken = take(stage).await?;
    let id = taken.lease.terms().id;
    let lease = scribe.ending(taken.lease).await?;
    let lane = lease.terms().plan.lane.clone();
    scribe.look(&*adapter, FIRST, vec![lease], &[]).await?;
    let before = stage.left_behind(&lane).await?;
    for _ in 0..2 {
        let lease = scribe.found(id).await?;
        let again = adapter.revoke(&lane, FIRST, &[lease], &[]).await;
        again.map_err(|fault| fault.logged)?;
    }
    let after = stage.left_behind(&lane).await?;
    ensure(before == after, || format!("{before:?} became {after:?}"))?;
    let lease = scribe.found(id).await?;
    scribe.end(&*adapter, FIRST, lease).await?;
    ensure_refused(stage, &taken.credential).await
}

pub(super) async fn holds_stay_in_force(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let scribe = stage.scribe();
    let (one, other) = (take(stage).await?, take(stage).await?);
    let lease = scribe.ending(one.lease).await?;
    let lane = lease.terms().plan.lane.clone();
    let gone = scribe.end(&*adapter, FIRST, lease).await?;
    let holds = scribe.holds(&lane).await?;
    match gone.evidence {
        Evidence::Expired { .. } => {}
        Evidence::Settled { .. } | Evidence::Probed { .. } | Evidence::Absent { .. } => {
            ensure(!holds.is_empty(), || {
                "the credential has not expired, and nothing is held".to_owned()
            })?;
        }
    }
    // `end` hands the adapter what is held, and the lane is written anew for the other lease.
    let lease = scribe.ending(other.lease).await?;
    scribe.end(&*adapter, FIRST, lease).await?;
    // A slot is not written for others. It is read back while it is held.
    let holds = scribe.holds(&lane).await?;
    let read_back = adapter.revoke(&lane, FIRST, &[], &holds).await;
    read_back.map_err(|fault| fault.logged)?;
    ensure_refused(stage, &one.credential).await?;
    ensure_refused(stage, &other.credential).await
}

pub(super) async fn nothing_is_left_behind(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let taken = take(stage).await?;
    let lane = taken.lease.terms().plan.lane.clone();
    let given = stage.left_behind(&lane).await?;
    let lease = stage.scribe().ending(taken.lease).await?;
    stage.scribe().end(&*adapter, FIRST, lease).await?;
    let held = stage.left_behind(&lane).await?;
    match Kind::of(stage)? {
        Kind::SharedLanes => ensure(!held.is_empty(), || {
            "nothing in the cloud ends the lease, although something is held".to_owned()
        })?,
        Kind::Slots => {
            ensure(!given.is_empty(), || {
                "nothing in the cloud gave the lease what worked".to_owned()
            })?;
            ensure(held.is_empty(), || {
                format!("the lease is over, and this gives: {held:?}")
            })?;
        }
    }
    // As when every hold has run out. An adapter without a memory must find its way as well.
    let answer = stage.adapter().revoke(&lane, FIRST, &[], &[]).await;
    answer.map_err(|fault| fault.logged)?;
    let left = stage.left_behind(&lane).await?;
    ensure(left.is_empty(), || format!("left behind: {left:?}"))
}

pub(super) async fn others_things_are_not_touched(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let taken = take(stage).await?;
    let lane = taken.lease.terms().plan.lane.clone();
    ensure(stage.others_are_intact(&lane).await?, || {
        "giving changed what belongs to others".to_owned()
    })?;
    let lease = stage.scribe().ending(taken.lease).await?;
    stage.scribe().end(&*adapter, FIRST, lease).await?;
    ensure(stage.others_are_intact(&lane).await?, || {
        "ending changed what belongs to others".to_owned()
    })?;
    let answer = adapter.revoke(&lane, FIRST, &[], &[]).await;
    answer.map_err(|fault| fault.logged)?;
    ensure(stage.others_are_intact(&lane).await?, || {
        "tidying changed what belongs to others".to_owned()
    })
}

pub(super) async fn renewal_keeps_the_handle(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let first = take(stage).await?;
    let old = first.credential.clone();
    let renewed = stage.scribe().renew(&*adapter, first).await?;
    ensure(renewed.credential != old, || {
        "renewal gave the same credential".to_owned()
    })?;
    ensure(stage.works(&renewed.credential).await?, || {
        "the renewed credential does not work".to_owned()
    })?;
    let lease = stage.scribe().ending(renewed.lease).await?;
    stage.scribe().end(&*adapter, FIRST, lease).await?;
    ensure_refused(stage, &old).await?;
    ensure_refused(stage, &renewed.credential).await
}

pub(super) async fn an_unused_intent_ends(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let scribe = stage.scribe();
    let intent = scribe.intend(&*adapter, &[stage.wanted()]).await?;
    let nothing_known = Fault {
        kind: FaultKind::Ambiguous,
        code: "stage",
        told: String::new(),
        logged: String::new(),
    };
    let lease = scribe.doubted(intent, &nothing_known).await?;
    scribe.end(&*adapter, FIRST, lease).await.map(|_| ())
}
