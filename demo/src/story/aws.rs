//! Two jobs on one role: each has its own lease, and the end of one is not the end of the other.

use std::time::{Duration, Instant};

use jitney_api::{LeaseState, LeaseView};
use jitney_broker::RunningBroker;
use jitney_sandbox::ci::GithubJob;

use super::{RELEASE, WRITE_RELEASES, ask, ended, granted_on_aws, passes, refuses, until};
use crate::estate::aws::{BUCKET, OTHER_BUCKET};
use crate::hands::{Answer, S3Hands};
use crate::report::Report;
use crate::stage::{CannotStage, Job, SETTLE_SECONDS, Stage, cannot};

/// A job with its lease and what it holds.
pub(super) struct Deployment {
    job: Job,
    lease: LeaseView,
    hands: S3Hands,
}

pub(super) async fn deploy(
    stage: &Stage,
    broker: &RunningBroker,
    report: &mut Report<'_>,
) -> Result<Deployment, CannotStage> {
    let job = stage.job(GithubJob::push_to_main(), broker)?;
    let since = Instant::now();
    let view = ask(&job, WRITE_RELEASES, "release 1.0")
        .await
        .map_err(cannot)?;
    let rules = view.decision.rules.join(", ");
    report.step(
        "decision",
        since,
        "allow, by shop-deploy-writes-releases",
        format!("{} by {rules}", view.decision.verdict),
        view.decision.verdict == "allow" && rules == "shop-deploy-writes-releases",
        view.decision.reasons.clone(),
    );
    let (lease, hands) = granted_on_aws(stage, view)?;
    report.step(
        "lease",
        since,
        "an active lease of at most 15 minutes that severs",
        format!(
            "{} is active until {}",
            lease.id,
            lease.ends_at.as_deref().unwrap_or("?")
        ),
        lease.state == LeaseState::Active,
        lease.plan_summary.clone(),
    );
    Ok(Deployment { job, lease, hands })
}

pub(super) async fn use_it(first: &Deployment, report: &mut Report<'_>) {
    let hands = &first.hands;
    let since = Instant::now();
    let upload = hands.put(BUCKET, RELEASE).await;
    passes(report, "upload", since, &upload, &format!("put {RELEASE}"));
    let since = Instant::now();
    refuses(
        report,
        "delete",
        since,
        &hands.delete(BUCKET, RELEASE).await,
    );
    let since = Instant::now();
    refuses(
        report,
        "other-prefix",
        since,
        &hands.put(BUCKET, "backups/x").await,
    );
    let since = Instant::now();
    refuses(
        report,
        "look-alike-prefix",
        since,
        &hands.put(BUCKET, "releases-evil/x").await,
    );
    let since = Instant::now();
    refuses(
        report,
        "other-bucket",
        since,
        &hands.get(OTHER_BUCKET, "people.csv").await,
    );
    let since = Instant::now();
    refuses(report, "other-service", since, &hands.list_roles().await);
}

pub(super) async fn second_job(
    stage: &Stage,
    broker: &RunningBroker,
    first: &Deployment,
    report: &mut Report<'_>,
) -> Result<Deployment, CannotStage> {
    let job = stage.job(GithubJob::push_to_main(), broker)?;
    let since = Instant::now();
    let view = ask(&job, WRITE_RELEASES, "release 1.1")
        .await
        .map_err(cannot)?;
    let (lease, hands) = granted_on_aws(stage, view)?;
    report.step(
        "second-lease",
        since,
        "another lease under another handle",
        format!("handles {} and {}", first.lease.handle, lease.handle),
        lease.handle != first.lease.handle && lease.id != first.lease.id,
        Vec::new(),
    );
    let since = Instant::now();
    let upload = hands.put(BUCKET, "releases/shop-1.1.tar").await;
    passes(
        report,
        "second-upload",
        since,
        &upload,
        "put releases/shop-1.1.tar",
    );
    Ok(Deployment { job, lease, hands })
}

pub(super) async fn end_first(
    first: &Deployment,
    second: &Deployment,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    let announced = Duration::from_secs(u64::from(first.lease.recall.within_seconds));
    let since = Instant::now();
    let lease = first
        .job
        .client
        .release_lease(&first.lease.id, None)
        .await
        .map_err(cannot)?;
    report.step(
        "release",
        since,
        format!(
            "the lease is being revoked, and severs within {} s",
            announced.as_secs()
        ),
        format!(
            "{:?}, severs within {} s",
            lease.state, lease.recall.within_seconds
        ),
        matches!(lease.state, LeaseState::Revoking | LeaseState::Ended),
        Vec::new(),
    );
    let got = until(
        announced,
        || first.hands.put(BUCKET, RELEASE),
        Answer::is_refused,
    )
    .await;
    let waited = since.elapsed();
    report.step(
        "kept-credential",
        since,
        format!(
            "403 AccessDenied within {} s of the end",
            announced.as_secs()
        ),
        format!("{got}, {:.2} s after the end", waited.as_secs_f64()),
        got.is_refused() && waited <= announced,
        Vec::new(),
    );
    let since = Instant::now();
    let upload = second.hands.put(BUCKET, "releases/shop-1.1.tar").await;
    passes(
        report,
        "second-still-works",
        since,
        &upload,
        "put releases/shop-1.1.tar",
    );
    let since = Instant::now();
    let ended = ended(&first.job.client, &first.lease.id).await?;
    let evidence = ended.evidence.unwrap_or_default();
    report.step(
        "evidence",
        since,
        format!("the lease ends with evidence: settled for {SETTLE_SECONDS} s"),
        format!("{:?}, {evidence}", ended.state),
        ended.state == LeaseState::Ended && evidence == "settled",
        Vec::new(),
    );
    Ok(())
}
