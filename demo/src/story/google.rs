//! Google Cloud: an account of a pool is bound, enabled and minted for. Its end is to be disabled,
//! which Google's own documentation calls immediate.

use std::time::Instant;

use jitney_api::{CredentialView, LeaseState};
use jitney_broker::RunningBroker;
use jitney_sandbox::ci::GithubJob;

use super::{BACKGROUND, ask, ended, granted, passes, refuses, until};
use crate::estate::google::{BUCKET, OTHER_BUCKET, REPORT};
use crate::hands::{Answer, GcsHands};
use crate::report::Report;
use crate::stage::{CannotStage, Stage, cannot};

const READ_REPORTS: &str = "object-storage:read@reports-google/releases/";

/// A lease is used and given back, and its kept token is refused.
pub(super) async fn by_account(
    stage: &Stage,
    broker: &RunningBroker,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    let job = stage.job(GithubJob::push_to_main(), broker)?;
    let since = Instant::now();
    let view = ask(&job, READ_REPORTS, "report").await.map_err(cannot)?;
    let (lease, credential) = granted(view)?;
    let hands = with_objects(stage, &credential)?;
    report.step(
        "google-lease",
        since,
        "an active lease on an account of the pool",
        format!("{} on {} is {:?}", lease.id, lease.target, lease.state),
        lease.state == LeaseState::Active && lease.cloud == "gcp",
        lease.plan_summary.clone(),
    );
    let since = Instant::now();
    let read = hands.get_in_time(BUCKET, REPORT).await;
    passes(
        report,
        "google-read",
        since,
        &read,
        &format!("get {REPORT}"),
    );
    for (step, bucket, name) in [
        ("google-look-alike", BUCKET, "releases-evil/people.csv"),
        ("google-other-bucket", OTHER_BUCKET, "people.csv"),
    ] {
        let since = Instant::now();
        refuses(report, step, since, &hands.get(bucket, name).await);
    }
    let since = Instant::now();
    let released = job.client.release_lease(&lease.id, None).await;
    released.map_err(cannot)?;
    let get = || hands.get(BUCKET, REPORT);
    let got = until(BACKGROUND, get, Answer::is_refused).await;
    refuses(report, "google-kept-token", since, &got);
    let since = Instant::now();
    let ended = ended(&job.client, &lease.id).await?;
    let evidence = ended.evidence.unwrap_or_default();
    report.step(
        "google-evidence",
        since,
        "the lease ends with evidence, and its account stays disabled until no token of it lives",
        format!("{:?}, {evidence}", ended.state),
        ended.state == LeaseState::Ended && evidence == "settled",
        Vec::new(),
    );
    Ok(())
}

/// A credential in use on Google Cloud.
pub(super) fn with_objects(
    stage: &Stage,
    credential: &CredentialView,
) -> Result<GcsHands, CannotStage> {
    GcsHands::with(credential, stage.google.url())
        .ok_or_else(|| cannot("the credential is no token for objects"))
}
