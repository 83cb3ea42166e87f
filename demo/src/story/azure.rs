//! Azure, in both ways: an assignment by Privileged Identity Management, which cannot be taken away
//! in its first five minutes, and a plain one, which can and never ends by itself.

use std::time::{Duration, Instant};

use jitney_api::{CredentialView, LeaseState, LeaseView};
use jitney_broker::RunningBroker;
use jitney_core::books::FoundLease;
use jitney_core::id::LeaseId;
use jitney_core::lease::Outcome;
use jitney_sandbox::Entry;
use jitney_sandbox::ci::GithubJob;

use super::{BACKGROUND, ask, granted, passes, refuses, until};
use crate::estate::azure::{CONTAINER, OTHER_CONTAINER, PREVIEW, PROD, Place};
use crate::hands::{Answer, BlobHands};
use crate::report::Report;
use crate::stage::{CannotStage, Job, Stage, cannot};

const WRITE_PACKAGES: &str = "object-storage:write@packages-azure/releases/";
const WRITE_PREVIEWS: &str = "object-storage:write@previews-azure/releases/";
const PACKAGE: &str = "releases/shop-1.0.nupkg";
/// The call by which PIM gives and takes.
const REMOVES: &str = "RoleAssignmentScheduleRequests_Create";
/// How long an assignment by PIM cannot be taken away, in seconds.
const FLOOR_SECONDS: u32 = 300;

/// A lease that was given back, and what somebody has kept of it.
pub(super) struct Kept {
    lease: LeaseView,
    hands: BlobHands,
}

/// A lease by PIM is used and given back. It cannot be taken away yet, and the broker says so.
pub(super) async fn by_pim(
    stage: &Stage,
    broker: &RunningBroker,
    report: &mut Report<'_>,
) -> Result<Kept, CannotStage> {
    let job = stage.job(GithubJob::push_to_main(), broker)?;
    let since = Instant::now();
    let view = ask(&job, WRITE_PACKAGES, "package 1.0")
        .await
        .map_err(cannot)?;
    let (lease, credential) = granted(view)?;
    let hands = with_blobs(stage, &credential, PROD)?;
    report.step(
        "azure-lease",
        since,
        "an active lease on an identity of the pool, by PIM",
        format!("{} on {} is {:?}", lease.id, lease.target, lease.state),
        lease.state == LeaseState::Active && lease.cloud == "azure",
        lease.plan_summary.clone(),
    );
    let since = Instant::now();
    let upload = hands.put_in_time(CONTAINER, PACKAGE).await;
    passes(
        report,
        "azure-upload",
        since,
        &upload,
        &format!("put {PACKAGE}"),
    );
    for (step, container, path) in [
        ("azure-look-alike", CONTAINER, "releases-evil/x"),
        ("azure-other-container", OTHER_CONTAINER, "releases/x"),
    ] {
        let since = Instant::now();
        refuses(report, step, since, &hands.put(container, path).await);
    }
    give_back_too_early(stage, job, lease, hands, report).await
}

async fn give_back_too_early(
    stage: &Stage,
    job: Job,
    lease: LeaseView,
    hands: BlobHands,
    report: &mut Report<'_>,
) -> Result<Kept, CannotStage> {
    let since = Instant::now();
    let released = job.client.release_lease(&lease.id, None).await;
    released.map_err(cannot)?;
    // Until the broker has asked PIM, and was told that it is too early.
    let asked = || {
        let journal = stage.azure.journal();
        let refused = |entry: &Entry| entry.action == REMOVES && entry.outcome != "ok";
        std::future::ready(journal.iter().any(refused))
    };
    until(BACKGROUND, asked, |asked| *asked).await;
    let lease = job.client.lease(&lease.id).await.map_err(cannot)?;
    let kept = hands.put(CONTAINER, PACKAGE).await;
    let exposed_until = lease.exposed_until.as_deref().unwrap_or("?");
    report.step(
        "azure-floor",
        since,
        "PIM takes nothing away in its first five minutes: the lease is being revoked, and says \
         how long it is exposed",
        format!(
            "{:?}, exposed until {exposed_until}; a kept token: {kept}",
            lease.state
        ),
        lease.state == LeaseState::Revoking && kept.is_ok(),
        Vec::new(),
    );
    Ok(Kept { lease, hands })
}

/// A plain assignment is removed at once.
pub(super) async fn by_assignment(
    stage: &Stage,
    broker: &RunningBroker,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    let job = stage.job(GithubJob::push_to_main(), broker)?;
    let since = Instant::now();
    let view = ask(&job, WRITE_PREVIEWS, "preview").await.map_err(cannot)?;
    let (lease, credential) = granted(view)?;
    let hands = with_blobs(stage, &credential, PREVIEW)?;
    let upload = hands.put_in_time(CONTAINER, PACKAGE).await;
    passes(
        report,
        "azure-rbac-upload",
        since,
        &upload,
        &format!("put {PACKAGE} by a plain role assignment"),
    );
    let since = Instant::now();
    let released = job.client.release_lease(&lease.id, None).await;
    released.map_err(cannot)?;
    let kept = Kept { lease, hands };
    kept.refused_in_time("azure-rbac-kept-token", since, report)
        .await;
    kept.ends("azure-rbac-evidence", broker, report).await
}

/// Five minutes pass, and the assignment by PIM is taken away.
pub(super) async fn floor_is_over(
    stage: &Stage,
    broker: &RunningBroker,
    kept: Kept,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    stage.set_on(FLOOR_SECONDS);
    let since = Instant::now();
    kept.refused_in_time("azure-kept-token", since, report)
        .await;
    kept.ends("azure-evidence", broker, report).await
}

impl Kept {
    async fn refused_in_time(&self, step: &'static str, since: Instant, report: &mut Report<'_>) {
        let announced = Duration::from_secs(self.lease.recall.within_seconds.into());
        let put = || self.hands.put(CONTAINER, PACKAGE);
        let got = until(announced.min(BACKGROUND), put, Answer::is_refused).await;
        refuses(report, step, since, &got);
    }

    async fn ends(
        &self,
        step: &'static str,
        broker: &RunningBroker,
        report: &mut Report<'_>,
    ) -> Result<(), CannotStage> {
        let since = Instant::now();
        let id = self.lease.id.parse().map_err(cannot)?;
        let look = || outcome(broker, id);
        let got = until(BACKGROUND, look, |got| {
            got.as_ref().is_ok_and(Option::is_some)
        })
        .await?;
        report.step(
            step,
            since,
            "the lease ends with evidence, and its identity rests until no token of it lives",
            got.clone().unwrap_or_else(|| "it has not ended".to_owned()),
            got.is_some_and(|evidence| evidence == "settled"),
            Vec::new(),
        );
        Ok(())
    }
}

/// The evidence with which a lease has ended, by the ledger: for the broker, whose clock is set on,
/// the job is in the past.
async fn outcome(broker: &RunningBroker, id: LeaseId) -> Result<Option<String>, CannotStage> {
    let found = broker.core().books.lease(id).await.map_err(cannot)?;
    Ok(match found {
        Some(FoundLease::Ended(lease)) => match lease.outcome() {
            Outcome::Revoked { evidence, .. } => Some(evidence.as_str().to_owned()),
            Outcome::NeverGranted { .. } | Outcome::WrittenOff { .. } => None,
        },
        _ => None,
    })
}

/// A credential in use on Azure.
pub(super) fn with_blobs(
    stage: &Stage,
    credential: &CredentialView,
    place: Place,
) -> Result<BlobHands, CannotStage> {
    let url = stage.azure.blob_url(place.account);
    BlobHands::with(credential, url, stage.azure.authority_pem())
        .ok_or_else(|| cannot("the credential is no token for blobs"))
}
