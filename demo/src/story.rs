//! The story: a delivery pipeline, a second one, a crash, two thieves and an auditor.
//!
//! Every promise is checked against what the cloud answered, and most refusals have a control
//! beside them: the same call that goes through while it should.

use std::time::{Duration, Instant};

use jitney_api::{CredentialView, LeaseState, LeaseView, RequestBody, RequestView};
use jitney_broker::RunningBroker;
use jitney_client::{CallError, Client};
use jitney_core::audit::{ExportWriter, Note, Verified, Verifier, verify_export};
use jitney_sandbox::ci::GithubJob;
use jitney_sandbox::{FaultKind, SessionInfo};

use crate::estate::{BUCKET, OTHER_BUCKET};
use crate::hands::{Answer, Hands};
use crate::report::Report;
use crate::stage::{AUDIENCE, CannotStage, Job, SETTLE_SECONDS, Stage, cannot};

const WRITE_RELEASES: &str = "object-storage:write@artifacts-prod/releases/";
const READ_RELEASES: &str = "object-storage:read@artifacts-prod/releases/";
const RELEASE: &str = "releases/shop-1.0.tar";
/// How long the client tries to be granted.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait for anything the broker does in the background.
const BACKGROUND: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// A job with its lease and what it holds.
struct Deployment {
    job: Job,
    lease: LeaseView,
    hands: Hands,
}

/// Plays all of it.
pub async fn play(stage: Stage, report: &mut Report<'_>) -> Result<(), CannotStage> {
    let since = Instant::now();
    let broker = stage.start_broker().await?;
    report.step(
        "start",
        since,
        "cloud, CI and broker listen on loopback",
        format!(
            "AWS {}, CI {}, broker {}",
            stage.cloud.url(),
            stage.ci.url(),
            broker.url()
        ),
        true,
        Vec::new(),
    );
    report.heading("A deploy job of acme/shop on main asks for one prefix of one bucket.");
    let first = deploy(&stage, &broker, report).await?;
    use_it(&first, report).await;
    report.heading("A second job on the same role has a lease of its own.");
    let second = second_job(&stage, &broker, &first, report).await?;
    report.heading("The first job ends. Somebody kept its credential.");
    end_first(&first, &second, report).await?;
    report.heading("The broker is killed while the cloud is being asked.");
    let broker = crash(&stage, broker, report).await?;
    report.heading("Two who should get nothing.");
    fork(&stage, &broker, report).await?;
    thief(&stage, &broker, report).await?;
    report.heading("The auditor.");
    audit(&stage, broker, report).await
}

/// Asks for a scope and waits for the answer.
async fn ask(job: &Job, scope: &str, reason: &str) -> Result<RequestView, CallError> {
    let body = RequestBody {
        scopes: vec![scope.to_owned()],
        ttl_seconds: Some(900),
        reason: Some(reason.to_owned()),
    };
    job.client
        .request(&body, &job.tokens, AUDIENCE, PATIENCE)
        .await
}

/// Takes the one lease and the one credential out of an answer.
fn granted(stage: &Stage, mut view: RequestView) -> Result<(LeaseView, Hands), CannotStage> {
    let credential: CredentialView = view
        .credentials
        .pop()
        .ok_or_else(|| cannot("the grant came without a credential"))?;
    let lease = view
        .leases
        .pop()
        .ok_or_else(|| cannot("the grant came without a lease"))?;
    let hands = Hands::with(&credential, &stage.cloud.url())
        .ok_or_else(|| cannot("the credential is not a session of AWS"))?;
    Ok((lease, hands))
}

async fn deploy(
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
    let (lease, hands) = granted(stage, view)?;
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

async fn use_it(first: &Deployment, report: &mut Report<'_>) {
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

fn passes(report: &mut Report<'_>, step: &'static str, since: Instant, got: &Answer, what: &str) {
    let expect = format!("the cloud lets it through: {what}");
    report.step(
        step,
        since,
        expect,
        got.to_string(),
        got.is_ok(),
        Vec::new(),
    );
}

fn refuses(report: &mut Report<'_>, step: &'static str, since: Instant, got: &Answer) {
    let expect = "the cloud refuses: 403 AccessDenied";
    report.step(
        step,
        since,
        expect,
        got.to_string(),
        got.is_refused(),
        Vec::new(),
    );
}

async fn second_job(
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
    let (lease, hands) = granted(stage, view)?;
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

async fn end_first(
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

/// Waits until a lease has ended, or the wait is over.
async fn ended(client: &Client, id: &str) -> Result<LeaseView, CannotStage> {
    let is_over = |lease: &Result<LeaseView, CallError>| {
        lease
            .as_ref()
            .is_ok_and(|lease| lease.state == LeaseState::Ended)
    };
    until(BACKGROUND, || client.lease(id), is_over)
        .await
        .map_err(cannot)
}

/// Looks again and again until it is as wanted, at most for `patience`. Gives the last look.
async fn until<T, F: Future<Output = T>>(
    patience: Duration,
    mut look: impl FnMut() -> F,
    is_wanted: impl Fn(&T) -> bool,
) -> T {
    let since = Instant::now();
    loop {
        let seen = look().await;
        if is_wanted(&seen) || since.elapsed() >= patience {
            return seen;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The cloud mints, its answer is slow, and the broker dies before it comes.
async fn crash(
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

async fn fork(
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
async fn thief(
    stage: &Stage,
    broker: &RunningBroker,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    let mut owner = stage.job(GithubJob::push_to_main(), broker)?;
    let token = stage.captured(&owner)?;
    owner.tokens = stage.replay(&token);
    let since = Instant::now();
    let view = ask(&owner, READ_RELEASES, "look").await.map_err(cannot)?;
    let (_, hands) = granted(stage, view)?;
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

/// The whole log is exported and verified; then the same with one bit changed.
async fn audit(
    stage: &Stage,
    broker: RunningBroker,
    report: &mut Report<'_>,
) -> Result<(), CannotStage> {
    let since = Instant::now();
    broker
        .core()
        .seal_audit_log(&stage.audit_key()?)
        .await
        .map_err(cannot)?;
    let honest = export(stage, &broker, None).await?;
    let verified = verify(stage, &honest)?;
    let got = match &verified {
        Ok(log) => format!("{} entries under a signed root", log.size),
        Err(error) => error.clone(),
    };
    report.step(
        "audit",
        since,
        "the audit log verifies",
        got,
        verified.is_ok(),
        Vec::new(),
    );
    let since = Instant::now();
    let entries = verified.map_or(0, |log| log.size);
    let forged = export(stage, &broker, Some(entries / 2)).await?;
    let (got, ok) = match verify(stage, &forged)? {
        Ok(_) => ("the forged log verified".to_owned(), false),
        Err(error) => (error, true),
    };
    report.step(
        "tampered-copy",
        since,
        "one changed bit is found",
        got,
        ok,
        Vec::new(),
    );
    broker.shutdown().await;
    Ok(())
}

/// Writes the log out, with one bit of one entry changed if `forge` names one.
async fn export(
    stage: &Stage,
    broker: &RunningBroker,
    forge: Option<u64>,
) -> Result<Vec<u8>, CannotStage> {
    let ledger = broker.core().books.ledger();
    let notes = ledger.checkpoints().await.map_err(cannot)?;
    let mut notes = notes.iter().peekable();
    let mut out = ExportWriter::begin(Vec::new(), &stage.verifier_key()?).map_err(cannot)?;
    for mut stored in ledger.entries(0, u32::MAX).await.map_err(cannot)? {
        if forge == Some(stored.index) {
            let last = stored.bytes.last_mut();
            *last.ok_or_else(|| cannot("an empty entry"))? ^= 1;
        }
        out.entry(&stored.bytes).map_err(cannot)?;
        while let Some((_, note)) = notes.next_if(|(size, _)| *size <= stored.index + 1) {
            out.checkpoint(&note.parse::<Note>().map_err(cannot)?)
                .map_err(cannot)?;
        }
    }
    out.finish().map_err(cannot)
}

fn verify(stage: &Stage, log: &[u8]) -> Result<Result<Verified, String>, CannotStage> {
    let verifier = Verifier::new(stage.verifier_key()?);
    Ok(verify_export(log, verifier).map_err(|error| error.to_string()))
}
