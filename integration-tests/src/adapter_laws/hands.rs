//! Laws about several hands in one lane: ours one after the other, and a stranger's.

use core::time::Duration;

use jitney_core::adapter::{Hand, Mark};
use jitney_core::evidence::Hold;
use jitney_core::time::{Clock as _, Timestamp};

use super::ending::{FIRST, ensure_refused, take, writing_as};
use super::{Held, Stage, SystemClock, Trouble, ensure};

const SECOND: Hand = writing_as(2);

pub(super) async fn a_later_hand_carries_on(stage: &dyn Stage) -> Held {
    let scribe = stage.scribe();
    let (one, other) = (take(stage).await?, take(stage).await?);
    let lease = scribe.ending(one.lease).await?;
    let lane = lease.terms().plan.lane.clone();
    scribe.end(&*stage.adapter(), FIRST, lease).await?;
    // The first hand is gone; the second remembers nothing and finds the second lease ending.
    let later = stage.adapter();
    let mut leases = vec![scribe.ending(other.lease).await?];
    for _ in 0..60 {
        let holds = scribe.holds(&lane).await?;
        let (over, again) = scribe.look(&*later, SECOND, leases, &holds).await?;
        ensure_refused(stage, &one.credential).await?;
        if !over.is_empty() {
            ensure_refused(stage, &other.credential).await?;
            // Once more, so that it can tidy up what the first hand left.
            tokio::time::sleep(stage.settles()).await;
            let holds = scribe.holds(&lane).await?;
            let tidied = later.revoke(&lane, SECOND, &[], &holds).await;
            tidied.map_err(|fault| fault.logged)?;
            ensure_refused(stage, &one.credential).await?;
            return ensure_refused(stage, &other.credential).await;
        }
        leases = again;
        tokio::time::sleep(Duration::from_millis(100)).await;
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
    tokio::time::sleep(stage.settles()).await;
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
    let one_lease = scribe
        .found_in(&lane)
        .await?
        .into_iter()
        .find(|lease| lease.terms().id != other_lease.terms().id)
        .ok_or("the first lease is not under revocation any more")?;
    let mut leases = vec![one_lease, other_lease];
    for _ in 0..60 {
        let holds = scribe.holds(&lane).await?;
        let (_, again) = scribe.look(&*adapter, FIRST, leases, &holds).await?;
        leases = again;
        if leases.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure(leases.is_empty(), || "they came to no end".to_owned())?;
    // Past the late landing, and past the time its effect takes.
    for _ in 0..12 {
        ensure_refused(stage, &one.credential).await?;
        ensure_refused(stage, &other.credential).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

pub(super) async fn what_a_stranger_undid_is_done_again(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let scribe = stage.scribe();
    let taken = take(stage).await?;
    let id = taken.lease.terms().id;
    let lease = scribe.ending(taken.lease).await?;
    let lane = lease.terms().plan.lane.clone();
    let (over, _) = scribe.look(&*adapter, FIRST, vec![lease], &[]).await?;
    ensure(over.is_empty(), || {
        "it was over before it could settle: nothing can be undone in between".to_owned()
    })?;
    stage.undo(&lane).await?;
    // Long enough that what was written would have settled by now.
    tokio::time::sleep(stage.settles()).await;
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
        ensure(seen == Some(SECOND.mark), || {
            format!("the lane bears {:?}, and {seen:?} was told", SECOND.mark)
        })?;
        tokio::time::sleep(stage.settles()).await;
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
    let scribe = stage.scribe();
    let lease = scribe.ending(take(stage).await?.lease).await?;
    let (lane, handle) = (
        lease.terms().plan.lane.clone(),
        lease.terms().handle.clone(),
    );
    let adapter = stage.adapter();
    scribe.end(&*adapter, FIRST, lease).await?;
    let held = scribe.holds(&lane).await?;
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..1_000 {
        let page = adapter.sweep(after).await.map_err(|fault| fault.logged)?;
        found.extend(page.found);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    ensure(after.is_none(), || "the sweep comes to no end".to_owned())?;
    let wanted = jitney_core::evidence::Held::Grant(handle);
    let seen = found.iter().find(|it| it.lane == lane && it.held == wanted);
    match seen {
        Some(stamped) => ensure(stamped.mark.is_none_or(|mark| mark == FIRST.mark), || {
            format!("a stamp of {:?} is told as {:?}", FIRST.mark, stamped.mark)
        }),
        // What needs nothing in the cloud to stay ended leaves nothing to be found.
        None => ensure(held.is_empty(), || {
            format!("{wanted} is not among {found:?}")
        }),
    }
}

pub(super) async fn a_cut_ends_what_was_issued_before(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let one = take(stage).await?;
    let lane = one.lease.terms().plan.lane.clone();
    // Clouds date what they issue in whole seconds.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let moment = Timestamp::from_seconds(SystemClock.now().as_seconds());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let other = take(stage).await?;
    let cut = Hold {
        lane: lane.clone(),
        held: jitney_core::evidence::Held::IssuedBefore(moment),
        lease: None,
        until: moment.plus(Duration::from_secs(3_600)),
        issued_by: Some(moment),
    };
    let pass = adapter.revoke(&lane, FIRST, &[], &[cut]).await;
    pass.map_err(|fault| fault.logged)?;
    tokio::time::sleep(stage.settles()).await;
    ensure_refused(stage, &one.credential).await?;
    if adapter.reach().watermarks {
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
