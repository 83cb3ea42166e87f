//! Laws about what goes wrong on the way.

use jitney_core::adapter::Adapter;
use jitney_core::fault::{Fault, FaultKind};

use super::ending::FIRST;
use super::{Held, Stage, Trouble, ensure};

async fn fault_of(stage: &dyn Stage, adapter: &dyn Adapter) -> Result<Fault, String> {
    let intent = stage.scribe().intend(adapter, &[stage.wanted()]).await?;
    match adapter.elevate(&intent).await {
        Ok(_) => Err("it was granted as if nothing were wrong".to_owned()),
        Err(fault) => Ok(fault),
    }
}

/// Nothing is known of the stage's trouble unless the same call goes through without it.
async fn ensure_untroubled(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    stage.scribe().take(&*adapter, &[stage.wanted()]).await?;
    Ok(())
}

fn ensure_kind(fault: &Fault, expected: fn(FaultKind) -> bool) -> Held {
    ensure(expected(fault.kind), || {
        format!(
            "the fault was {:?} `{}`: {}",
            fault.kind, fault.code, fault.logged
        )
    })?;
    ensure(!fault.told.is_empty() && !fault.code.is_empty(), || {
        "the job is told nothing".to_owned()
    })
}

pub(super) async fn a_lost_answer_is_ambiguous(stage: &dyn Stage) -> Held {
    ensure_untroubled(stage).await?;
    stage.trouble(Trouble::AnswerLost);
    let fault = fault_of(stage, &*stage.adapter()).await?;
    ensure_kind(&fault, |kind| kind == FaultKind::Ambiguous)
}

pub(super) async fn a_server_error_is_ambiguous(stage: &dyn Stage) -> Held {
    ensure_untroubled(stage).await?;
    stage.trouble(Trouble::ServerError);
    let fault = fault_of(stage, &*stage.adapter()).await?;
    ensure_kind(&fault, |kind| kind == FaultKind::Ambiguous)
}

pub(super) async fn a_busy_cloud_is_retryable(stage: &dyn Stage) -> Held {
    ensure_untroubled(stage).await?;
    let before = stage.grants_made().await;
    stage.trouble(Trouble::Busy);
    let fault = fault_of(stage, &*stage.adapter()).await?;
    ensure_kind(&fault, |kind| matches!(kind, FaultKind::Retryable { .. }))?;
    let after = stage.grants_made().await;
    ensure(before == after, || {
        "the adapter tried again by itself, and was granted something".to_owned()
    })?;
    ensure_untroubled(stage).await
}

pub(super) async fn nobody_there_is_retryable(stage: &dyn Stage) -> Held {
    let nowhere = stage.adapter_of_nowhere();
    let fault = fault_of(stage, &*nowhere).await?;
    ensure_kind(&fault, |kind| matches!(kind, FaultKind::Retryable { .. }))?;
    let adapter = stage.adapter();
    let taken = stage.scribe().take(&*adapter, &[stage.wanted()]).await?;
    let lease = stage.scribe().ending(taken.lease).await?;
    let lane = lease.terms().plan.lane.clone();
    match nowhere.revoke(&lane, FIRST, &[lease], &[]).await {
        Ok(found) if found.leases.values().all(Result::is_ok) => {
            Err("a lease was answered for by nobody".to_owned())
        }
        Ok(_) => Ok(()),
        Err(fault) => ensure_kind(&fault, |kind| matches!(kind, FaultKind::Retryable { .. })),
    }
}

pub(super) async fn a_lost_grant_can_be_ended(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let scribe = stage.scribe();
    let intent = scribe.intend(&*adapter, &[stage.wanted()]).await?;
    let before = stage.grants_made().await;
    stage.trouble(Trouble::AnswerLost);
    let Err(fault) = adapter.elevate(&intent).await else {
        return Err("it was granted as if nothing were wrong".to_owned());
    };
    if let (Some(before), Some(after)) = (before, stage.grants_made().await) {
        ensure(after == before + 1, || {
            format!("{} grants were made for one intent", after - before)
        })?;
    }
    let lease = scribe.doubted(intent, &fault).await?;
    let lane = lease.terms().plan.lane.clone();
    let handle = lease.terms().handle.clone();
    let exposed_until = lease.exposed_until();
    scribe.end(&*adapter, FIRST, lease).await?;
    if scribe.now() >= exposed_until {
        return Ok(());
    }
    // It was never seen, so it cannot be tried; but it is held for as long as it can live.
    let holds = scribe.holds(&lane).await?;
    ensure(
        holds.iter().any(|hold| hold.grant() == Some(&handle)),
        || "nothing is held against the grant that was lost".to_owned(),
    )
}
