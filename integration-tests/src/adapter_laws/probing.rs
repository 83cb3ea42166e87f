//! Laws about probes, and about rehearsals, which live on them.

use core::time::Duration;

use jitney_core::credential::{Credential, Shown};
use jitney_core::probe::Probed;
use jitney_core::time::Timestamp;
use jitney_core::usecase::{Conclusion, Core, Rehearsal, Report, Signed, Stage as Progress};

use super::ending::{FIRST, PARTS, take};
use super::{Held, Revealed, Stage, ensure};

/// How often a rehearsal is looked at before it is given up on.
const LOOKS_MAX: u32 = 2_000;
/// What passes from one look to the next: less than a lease may be silent.
const LOOK_PAUSE_MIN: Duration = Duration::from_secs(1);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(30);
/// The lanes that one turn drives.
const LANES: u32 = 8;

/// What a job would show again.
fn shown(credential: &Revealed) -> Shown {
    let fields = credential
        .iter()
        .map(|(name, value)| (*name, value.clone()));
    Credential::new("stage", fields, Timestamp::FAR_FUTURE).kept()
}

pub(super) async fn a_probe_tells_what_works(stage: &dyn Stage) -> Held {
    let adapter = stage.adapter();
    let taken = take(stage).await?;
    let (terms, wanted) = (taken.lease.terms().clone(), stage.wanted());
    let shown = shown(&taken.credential);
    let probed = adapter.probe(&terms, &wanted, &shown).await;
    ensure(probed == Probed::Accepted, || {
        format!("the credential works, and the probe says {probed:?}")
    })?;
    let lease = stage.scribe().ending(taken.lease).await?;
    stage.scribe().end(&*adapter, FIRST, lease).await?;
    let probed = adapter.probe(&terms, &wanted, &shown).await;
    ensure(probed == Probed::Refused, || {
        format!("the credential is refused, and the probe says {probed:?}")
    })
}

pub(super) async fn a_rehearsal_measures_the_cloud(stage: &dyn Stage) -> Held {
    let wanted = stage.wanted();
    let core = stage.scribe().core(stage.adapter(), &wanted)?;
    let pause = (stage.settles() / PARTS).clamp(LOOK_PAUSE_MIN, LOOK_PAUSE_MAX);
    let report = rehearse(stage, &core, pause).await?;
    ensure(report.conclusion == Some(Conclusion::Kept), || {
        format!("the rehearsal came to {report:?}")
    })?;
    let lease = stage.scribe().books().lease(report.lease).await;
    let lease = lease.map_err(|error| error.to_string())?;
    ensure(lease.is_some_and(|lease| lease.state() == "ended"), || {
        "its lease is still open".to_owned()
    })
}

/// Rehearses with what the stage wants, as a broker does.
///
/// # Errors
/// When it cannot be begun, or does not end.
pub async fn rehearse(stage: &dyn Stage, core: &Core, pause: Duration) -> Result<Report, String> {
    let rehearsal = begin_rehearsal(stage, core).await?;
    watch_rehearsal(stage, core, rehearsal, pause).await
}

/// Begins to rehearse with what the stage wants.
///
/// # Errors
/// When there is no lease.
pub async fn begin_rehearsal(stage: &dyn Stage, core: &Core) -> Result<Rehearsal, String> {
    let wanted = stage.wanted();
    let signed = Signed {
        person: "a stage".to_owned(),
        reason: "rehearsal".to_owned(),
    };
    let begun = core.begin_rehearsal(&wanted.resource.target, Some(&wanted.scope), &signed);
    begun
        .await
        .map_err(|refusal| format!("{}: {}", refusal.code, refusal.logged))
}

/// Looks at a rehearsal, and asks after it, until it is over.
///
/// # Errors
/// When it does not end.
pub async fn watch_rehearsal(
    stage: &dyn Stage,
    core: &Core,
    mut rehearsal: Rehearsal,
    pause: Duration,
) -> Result<Report, String> {
    for _ in 0..LOOKS_MAX {
        rehearsal.look(core).await;
        let report = rehearsal.report();
        if rehearsal.is_over() {
            return Ok(report);
        }
        if report.stage == Progress::ComingIntoForce {
            let lease = core.books.lease(report.lease).await;
            if let Some(lease) = lease.map_err(|error| error.to_string())? {
                core.hear(&lease);
            }
        }
        stage.scribe().pass(pause).await;
        core.turn(core.clock.now(), LANES).await;
    }
    Err(format!("it does not end: {:?}", rehearsal.report()))
}
