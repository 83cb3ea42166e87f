//! Two who should get nothing: a job from a fork, and whoever copied a token.

use std::time::Instant;

use jitney_broker::RunningBroker;
use jitney_client::CallError;
use jitney_sandbox::ci::GithubJob;

use super::{READ_RELEASES, RELEASE, WRITE_RELEASES, ask, granted_on_aws, passes};
use crate::estate::aws::BUCKET;
use crate::report::Report;
use crate::stage::{CannotStage, Stage, cannot};

pub(super) async fn fork(
    stage: &Stage,
    broker: &RunningBroker,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    let job = stage.job(GithubJob::pull_request_from_fork(), broker)?;
    let since = Instant::now();
    let (got, why) = match ask(&job, WRITE_RELEASES, "let me in").await {
        Ok(view) => (format!("granted {}", view.id), Vec::new()),
        Err(CallError::Refused(problem)) => (
            format!("{} {}: {}", problem.status, problem.code, problem.detail),
            problem.reasons,
        ),
        Err(error) => (error.to_string(), Vec::new()),
    };
    let ok = got.starts_with("403 denied") && !why.is_empty();
    report.step("fork", since, "403 denied, and why", got, ok, why);
    Ok(())
}

/// One token, two clients: whoever holds the key it was first used with is believed, nobody else.
pub(super) async fn thief(
    stage: &Stage,
    broker: &RunningBroker,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    let mut owner = stage.job(GithubJob::push_to_main(), broker)?;
    let token = stage.captured(&owner)?;
    owner.tokens = stage.replay(&token);
    let since = Instant::now();
    let view = ask(&owner, READ_RELEASES, "look").await.map_err(cannot)?;
    let (_, hands) = granted_on_aws(stage, view)?;
    let read = hands.get(BUCKET, RELEASE).await;
    passes(
        report,
        "token-once",
        since,
        &read,
        &format!("get {RELEASE}"),
    );
    let mut thief = stage.job(GithubJob::push_to_main(), broker)?;
    thief.tokens = stage.replay(&token);
    let since = Instant::now();
    let got = match ask(&thief, READ_RELEASES, "look").await {
        Ok(view) => format!("granted {}", view.id),
        Err(error) => error.code().to_owned(),
    };
    let ok = got == "token_replayed";
    report.step(
        "token-replayed",
        since,
        "token_replayed",
        got,
        ok,
        Vec::new(),
    );
    Ok(())
}
