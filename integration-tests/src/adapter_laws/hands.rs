//! Laws about several hands in one lane: ours one after the other, and a stranger's.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_core::adapter::{Adapter, Hand, Mark, Stamped, StampedKind};
use jitney_core::books::Recorded;
use jitney_core::evidence::{Held as GrantHeld, Hold};
use jitney_core::lease::Revoking;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;

use super::ending::{FIRST, PARTS, ensure_refused, take, writing_as};
use super::scribe::LOOKS_MAX;
use super::{Held, Kind, Stage, Trouble, ensure};

const SECOND: Hand = writing_as(2);

pub(super) async fn a_later_hand_carries_on(stage: &dyn Stage) -> Held {
    let scribe = stage.scribe();
    let (one, other) = (take(stage).await?, take(stage).await?);
    let lease = scribe.ending(one.lease).await?;
    let lane = lease.terms().plan.lane.clone();
    scribe.end(&*stage.adapter(), FIRST, lease).await?;
    // The first hand is gone; the second remembers nothing and finds the second lease ending.
    let later = stage.adapter();
    let other_lane = other.lease.terms().plan.lane.clone();
    let mut leases = vec![scribe.ending(other.lease).await?];
    for _ in 0..LOOKS_MAX {
        let holds = scribe.holds(&other_lane).await?;
        let (over, again) = scribe.look(&*later, SECOND, leases, &holds).await?;
        ensure_refused(stage, &one.credential).await?;
        if !over.is_empty() {
            ensure_refused(stage, &other.credential).await?;
            // Once more, so that it can tidy up what the first hand left.
            scribe.pass(stage.settles()).await;
            let holds = scribe.holds(&lane).await?;
            let tidied = later.revoke(&lane, SECOND, &[], &holds).await;
            tidied.map_err(|fault| fault.logged)?;
            ensure_refused(stage, &one.credential).await?;
            return ensure_refused(stage, &other.credential).await;
        }
        scribe.until_due(&again).await;
        leases = again;
    }
    Err("the later hand came to no end".to_owned())
}

pub(super) async fn an_older_hand_loosens_nothing(stage: &dyn Stage) -> Held {
    let scribe = stage.scribe();
    let taken = take(stage).await?;
    let lease = scribe.ending(taken.lease).await?;
    let lane = lease.terms().plan.lane.clone();
    let older = stage.adapter();
    scribe.end(&*stage.adapter(), SECOND, lease).await?;
    // It woke up late and knows of nothing that is due or held.
    let _ = older.revoke(&lane, FIRST, &[], &[]).await;
    scribe.pass(stage.settles()).await;
    let _ = older.revoke(&lane, FIRST, &[], &[]).await;
    ensure_refused(stage, &taken.credential).await?;
    // Nor can it spoil the lane for the later one.
    let holds = scribe.holds(&lane).await?;
    let answer = stage.adapter().revoke(&lane, SECOND, &[], &holds).await;
    answer.map_err(|fault| fault.logged)?;
    ensure_refused(stage, &taken.credential).await
}

pub(super) async fn a_late_change_loosens_nothing(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let scribe = stage.scribe();
    let (one, other) = (take(stage).await?, take(stage).await?);
    let one_lease = scribe.ending(one.lease).await?;
    let lane = one_lease.terms().plan.lane.clone();
    // The change that names the first lease alone is given up and will land later.
    stage.trouble(Trouble::ChangeLandsLate { after_seconds: 3 });
    let given_up = adapter.revoke(&lane, FIRST, &[one_lease], &[]).await;
    let is_clear = given_up.is_ok_and(|found| found.leases.values().all(Result::is_ok));
    ensure(!is_clear, || {
        "the change was to be cut off, and was not".to_owned()
    })?;
    // Meanwhile both end, and are shown to have ended.
    let other_lease = scribe.ending(other.lease).await?;
    let other_lane = other_lease.terms().plan.lane.clone();
    for lane in BTreeSet::from([&lane, &other_lane]) {
        let mut leases = scribe.found_in(lane).await?;
        for _ in 0..LOOKS_MAX {
            let holds = scribe.holds(lane).await?;
            let (_, again) = scribe.look(&*adapter, FIRST, leases, &holds).await?;
            leases = again;
            if leases.is_empty() {
                break;
            }
            scribe.until_due(&leases).await;
        }
        ensure(leases.is_empty(), || "they came to no end".to_owned())?;
    }
    // Past the late landing, and past the time its effect takes.
    for _ in 0..12 {
        ensure_refused(stage, &one.credential).await?;
        ensure_refused(stage, &other.credential).await?;
        scribe.pass(Duration::from_millis(500)).await;
    }
    scribe.pass(stage.settles()).await;
    ensure_refused(stage, &one.credential).await?;
    ensure_refused(stage, &other.credential).await
}

pub(super) async fn what_a_stranger_undid_is_done_again(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let scribe = stage.scribe();
    let taken = take(stage).await?;
    let id = taken.lease.terms().id;
    let mut leases = vec![scribe.ending(taken.lease).await?];
    let lane = stage_lane(&leases)?;
    for _ in 0..LOOKS_MAX {
        let (over, again) = scribe.look(&*adapter, FIRST, leases, &[]).await?;
        ensure(over.is_empty(), || {
            "it was over before it could settle: nothing can be undone in between".to_owned()
        })?;
        leases = again;
        if leases.iter().all(|lease| lease.written_at().is_some()) {
            break;
        }
        scribe.until_due(&leases).await;
    }
    stage.undo(&lane).await?;
    // Long enough that what was written would have settled by now.
    scribe.pass(stage.settles()).await;
    let lease = scribe.found(id).await?;
    let (over, again) = scribe.look(&*adapter, FIRST, vec![lease], &[]).await?;
    ensure(over.is_empty(), || {
        "what was undone was taken for done".to_owned()
    })?;
    ensure(
        again.iter().all(|lease| lease.written_at().is_none()),
        || "what was undone goes on counting as written".to_owned(),
    )?;
    let (over, _) = scribe.look(&*adapter, FIRST, again, &[]).await?;
    ensure(over.is_empty(), || {
        "what was done again is evidence before it has settled".to_owned()
    })?;
    let lease = scribe.found(id).await?;
    scribe.end(&*adapter, FIRST, lease).await?;
    ensure_refused(stage, &taken.credential).await
}

fn stage_lane(leases: &[Recorded<Revoking>]) -> Result<LaneId, String> {
    let lease = leases.first().ok_or("no lease is under revocation")?;
    Ok(lease.terms().plan.lane.clone())
}

pub(super) async fn a_forgetful_ledger_loosens_nothing(stage: &dyn Stage) -> Held {
    let scribe = stage.scribe();
    let taken = take(stage).await?;
    let lease = scribe.ending(taken.lease).await?;
    let lane = lease.terms().plan.lane.clone();
    scribe.end(&*stage.adapter(), SECOND, lease).await?;
    // Restored from a backup: it owns the lane in a later epoch, and knows of no lease that ended.
    let restored = Hand {
        mark: Mark {
            sequence: SECOND.mark.sequence - 1,
            ..SECOND.mark
        },
        ..writing_as(3)
    };
    for _ in 0..2 {
        let pass = stage.adapter().revoke(&lane, restored, &[], &[]).await;
        let seen = pass.map_err(|fault| fault.logged)?.mark_seen;
        // A slot at rest may bear nothing: then there is nothing in it to be loosened either.
        let bears_nothing = Kind::of(stage)? == Kind::Slots && seen.is_none();
        ensure(bears_nothing || seen == Some(SECOND.mark), || {
            format!("the lane bears {:?}, and {seen:?} was told", SECOND.mark)
        })?;
        scribe.pass(stage.settles()).await;
        ensure_refused(stage, &taken.credential).await?;
    }
    Ok(())
}

pub(super) async fn a_later_hand_is_told_of(stage: &dyn Stage) -> Held {
    let scribe = stage.scribe();
    let lease = scribe.ending(take(stage).await?.lease).await?;
    let lane = lease.terms().plan.lane.clone();
    scribe.end(&*stage.adapter(), SECOND, lease).await?;
    let pass = stage.adapter().revoke(&lane, FIRST, &[], &[]).await;
    let seen = pass.map_err(|fault| fault.logged)?.superseded_by;
    ensure(seen == Some(SECOND.epoch), || {
        format!(
            "the lane is that of {:?}, and {seen:?} was told",
            SECOND.epoch
        )
    })
}

pub(super) async fn a_sweep_finds_what_is_left(stage: &dyn Stage) -> Held {
    let (adapter, scribe) = (stage.adapter(), stage.scribe());
    let taken = take(stage).await?;
    let lane = taken.lease.terms().plan.lane.clone();
    let grant = GrantHeld::Grant(taken.lease.terms().handle.clone());
    let given_by = taken.lease.mark();
    let find = async |kind| {
        let mut found = swept(&*adapter).await?.into_iter();
        let is_it = |it: &Stamped| it.lane == lane && it.held == grant && it.kind == kind;
        Ok::<_, String>(found.find(is_it))
    };
    let given = find(StampedKind::Grant).await?;
    let lease = scribe.ending(taken.lease).await?;
    scribe.end(&*adapter, FIRST, lease).await?;
    let held = scribe.holds(&lane).await?;
    let untold = || format!("{grant} in lane `{lane}` is not found");
    match Kind::of(stage)? {
        Kind::SharedLanes => match find(StampedKind::Enforcement).await? {
            Some(stamped) => ensure(stamped.mark.is_none_or(|mark| mark == FIRST.mark), || {
                format!("a stamp of {:?} is told as {:?}", FIRST.mark, stamped.mark)
            }),
            // What needs nothing in the cloud to stay ended leaves nothing to be found.
            None => ensure(held.is_empty(), untold),
        },
        Kind::Slots => {
            let given = given.ok_or_else(untold)?;
            ensure(given.mark.is_none_or(|mark| mark <= given_by), || {
                format!("what was given by {given_by} is told as {:?}", given.mark)
            })?;
            let left = find(StampedKind::Grant).await?;
            ensure(left.is_none(), || format!("still given: {left:?}"))
        }
    }
}

/// Everything that a sweep finds.
async fn swept(adapter: &dyn Adapter) -> Result<Vec<Stamped>, String> {
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..1_000 {
        let page = adapter.sweep(after).await.map_err(|fault| fault.logged)?;
        found.extend(page.found);
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
    Err("the sweep comes to no end".to_owned())
}

pub(super) async fn a_cut_ends_what_was_issued_before(stage: &dyn Stage) -> Held {
    let (adapter, scribe) = (stage.adapter(), stage.scribe());
    let one = take(stage).await?;
    let lane = one.lease.terms().plan.lane.clone();
    // Clouds date what they issue in whole seconds.
    scribe.pass(Duration::from_millis(2_100)).await;
    let moment = Timestamp::from_seconds(scribe.now().as_seconds());
    scribe.pass(Duration::from_millis(1_100)).await;
    let other = take(stage).await?;
    let cut = Hold {
        lane: lane.clone(),
        held: GrantHeld::IssuedBefore(moment),
        lease: None,
        until: moment.plus(Duration::from_secs(3_600)),
        issued_by: Some(moment),
    };
    until_reached(stage, &*adapter, &lane, &[cut]).await?;
    scribe.pass(stage.settles()).await;
    ensure_refused(stage, &one.credential).await?;
    // Where slots are, it lies in another one.
    if adapter.reach().watermarks || Kind::of(stage)? == Kind::Slots {
        let works = stage.works(&other.credential).await?;
        ensure(works, || {
            "what was issued after the cut is refused".to_owned()
        })?;
    }
    adapter
        .revoke(&lane, FIRST, &[], &[])
        .await
        .map(|_| ())
        .map_err(|fault| fault.logged)
}

/// Brings a lane to what is held there, which some clouds do not let happen at once. Gives what
/// was found undone on the way.
pub(super) async fn until_reached(
    stage: &dyn Stage,
    adapter: &dyn Adapter,
    lane: &LaneId,
    holds: &[Hold],
) -> Result<Vec<GrantHeld>, String> {
    let mut undone = Vec::new();
    for _ in 0..LOOKS_MAX {
        let pass = adapter.revoke(lane, FIRST, &[], holds).await;
        let pass = pass.map_err(|fault| fault.logged)?;
        undone.extend(pass.undone);
        if !pass.unreached {
            return Ok(undone);
        }
        stage.scribe().pass(stage.settles() / PARTS).await;
    }
    Err(format!(
        "lane `{lane}` could not be brought to what is held"
    ))
}
