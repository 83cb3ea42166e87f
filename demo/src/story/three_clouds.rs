//! One request over three clouds: all of it or nothing.

use std::time::Instant;

use jitney_api::{CredentialView, LeaseState, RequestBody};
use jitney_broker::RunningBroker;
use jitney_client::CallError;
use jitney_sandbox::FaultKind;
use jitney_sandbox::ci::GithubJob;

use super::azure::with_blobs;
use super::google::with_objects;
use super::{BACKGROUND, PATIENCE, WRITE_RELEASES, until};
use crate::estate::{aws, azure, google};
use crate::hands::{Answer, S3Hands};
use crate::report::Report;
use crate::stage::{AUDIENCE, CannotStage, Job, Stage, cannot};

const SCOPES: [&str; 3] = [
    WRITE_RELEASES,
    "object-storage:write@previews-azure/releases/",
    "object-storage:write@reports-google/releases/",
];

/// One cloud says no, and none of the three has given anything; then all say yes.
pub(super) async fn at_once(
    stage: &Stage,
    broker: &RunningBroker,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    one_refuses(stage, broker, report).await?;
    all_grant(stage, broker, report).await
}

async fn ask(job: &Job) -> Result<jitney_api::RequestView, CallError> {
    let body = RequestBody {
        scopes: SCOPES.map(str::to_owned).into(),
        ttl_seconds: Some(900),
        reason: Some("a release for all".to_owned()),
    };
    job.client
        .request(&body, &job.tokens, AUDIENCE, PATIENCE)
        .await
}

async fn one_refuses(
    stage: &Stage,
    broker: &RunningBroker,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    let sessions = stage.cloud.sessions().len();
    let refuse = FaultKind::Refuse {
        status: 403,
        code: "PERMISSION_DENIED".to_owned(),
    };
    let enable = "EnableServiceAccount";
    stage.google.faults().inject("iam", enable, refuse, 1);
    let job = stage.job(GithubJob::push_to_main(), broker)?;
    let since = Instant::now();
    let got = match ask(&job).await {
        Ok(view) => format!("granted {}", view.id),
        Err(error) => error.code().to_owned(),
    };
    let minted = stage.cloud.sessions().split_off(sessions);
    let object = format!("arn:aws:s3:::{}/releases/x", aws::BUCKET);
    let still_works = || {
        let works = |key: &str| {
            let decision = stage.cloud.would_allow(key, "s3:PutObject", &object);
            decision.is_some_and(|decision| decision.is_allowed())
        };
        std::future::ready(minted.iter().any(|session| works(&session.access_key_id)))
    };
    let works = until(BACKGROUND, still_works, |works| !works).await;
    report.step(
        "one-cloud-refuses",
        since,
        "no credential at all, and what the other clouds gave is taken back",
        format!(
            "{got}; {} session of AWS, which would be {}",
            minted.len(),
            if works { "allowed" } else { "denied" }
        ),
        got == "not_granted" && minted.len() == 1 && !works,
        Vec::new(),
    );
    Ok(())
}

async fn all_grant(
    stage: &Stage,
    broker: &RunningBroker,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    let job = stage.job(GithubJob::push_to_main(), broker)?;
    let since = Instant::now();
    let view = ask(&job).await.map_err(cannot)?;
    let mut got = Vec::new();
    for credential in &view.credentials {
        got.push(used(stage, credential).await?);
    }
    let all_work = got.len() == SCOPES.len() && got.iter().all(Answer::is_ok);
    let active = |lease: &jitney_api::LeaseView| lease.state == LeaseState::Active;
    report.step(
        "three-clouds",
        since,
        "one request, three leases, and each uploads",
        got.iter()
            .map(Answer::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        all_work && view.leases.iter().all(active),
        Vec::new(),
    );
    for lease in &view.leases {
        let released = job.client.release_lease(&lease.id, None).await;
        released.map_err(cannot)?;
    }
    Ok(())
}

/// Uploads with a credential, on the cloud that it is for.
async fn used(stage: &Stage, credential: &CredentialView) -> Result<Answer, CannotStage> {
    let name = "releases/for-all.tar";
    if let Some(hands) = S3Hands::with(credential, &stage.cloud.url()) {
        return Ok(hands.put(aws::BUCKET, name).await);
    }
    if credential.kind == jitney_azure::TOKEN_KIND {
        let hands = with_blobs(stage, credential, azure::PREVIEW)?;
        return Ok(hands.put_in_time(azure::CONTAINER, name).await);
    }
    let hands = with_objects(stage, credential)?;
    Ok(hands.put_in_time(google::BUCKET, name).await)
}
