//! The broker dies while the cloud is being asked.

use std::time::{Duration, Instant};

use jitney_api::RequestBody;
use jitney_broker::RunningBroker;
use jitney_sandbox::ci::GithubJob;
use jitney_sandbox::{FaultKind, SessionInfo};

use super::{BACKGROUND, PATIENCE, RELEASE, WRITE_RELEASES, until};
use crate::estate::aws::BUCKET;
use crate::report::Report;
use crate::stage::{AUDIENCE, CannotStage, Stage, cannot};

/// The cloud mints, its answer is slow, and the broker dies before it comes.
pub(super) async fn crash(
    stage: &Stage,
    broker: RunningBroker,
    report: &mut Report<'_>,
) -> Result<RunningBroker, CannotStage> {
    let before = stage.cloud.sessions().len();
    let job = stage.job(GithubJob::push_to_main(), &broker)?;
    stage.cloud.faults().inject(
        "sts",
        "AssumeRole",
        FaultKind::SlowAnswer { millis: 1500 },
        1,
    );
    let since = Instant::now();
    let asking = tokio::spawn(async move {
        let body = RequestBody {
            scopes: vec![WRITE_RELEASES.to_owned()],
            ttl_seconds: Some(900),
            reason: None,
        };
        job.client
            .request(&body, &job.tokens, AUDIENCE, Duration::ZERO)
            .await
            .is_ok()
    });
    let minted = until(
        PATIENCE,
        || std::future::ready(stage.cloud.sessions().len()),
        |sessions| *sessions > before,
    )
    .await;
    broker.kill().await;
    let got_it = asking.await.unwrap_or(false);
    report.step(
        "kill",
        since,
        "the cloud has minted a session, and the broker is gone before it hears of it",
        format!(
            "{} session in the cloud, credential handed over: {got_it}",
            minted.saturating_sub(before)
        ),
        minted == before.saturating_add(1) && !got_it,
        Vec::new(),
    );
    let orphan = stage
        .cloud
        .sessions()
        .pop()
        .ok_or_else(|| cannot("no session was minted"))?;
    let since = Instant::now();
    let works = would_write(stage, &orphan);
    report.step(
        "orphan",
        since,
        "the session nobody knows of works, until somebody ends it",
        format!("{} would be {}", orphan.session_name, word(works)),
        works,
        Vec::new(),
    );
    recover(stage, &orphan, report).await
}

async fn recover(
    stage: &Stage,
    orphan: &SessionInfo,
    report: &mut Report<'_>,
) -> Result<RunningBroker, CannotStage> {
    let since = Instant::now();
    let broker = stage.start_broker().await?;
    let works = until(
        BACKGROUND,
        || std::future::ready(would_write(stage, orphan)),
        |works| !works,
    )
    .await;
    report.step(
        "restart",
        since,
        "the restarted broker finds the intent and ends what it may have made",
        format!("{} would be {}", orphan.session_name, word(works)),
        !works,
        Vec::new(),
    );
    Ok(broker)
}

fn would_write(stage: &Stage, session: &SessionInfo) -> bool {
    let object = format!("arn:aws:s3:::{BUCKET}/{RELEASE}");
    let decision = stage
        .cloud
        .would_allow(&session.access_key_id, "s3:PutObject", &object);
    decision.is_some_and(|decision| decision.is_allowed())
}

const fn word(works: bool) -> &'static str {
    if works { "allowed" } else { "denied" }
}
