//! The story: a delivery pipeline, a second one, a crash, two thieves and an auditor.
//!
//! Every promise is checked against what the cloud answered, and most refusals have a control
//! beside them: the same call that goes through while it should.

mod auditor;
mod aws;
mod azure;
mod crash;
mod google;
mod strangers;
mod three_clouds;

use std::time::{Duration, Instant};

use jitney_api::{CredentialView, LeaseState, LeaseView, RequestBody, RequestView};
use jitney_client::{CallError, Client};

use crate::hands::{Answer, S3Hands};
use crate::report::Report;
use crate::stage::{AUDIENCE, CannotStage, Job, Stage, cannot};

const WRITE_RELEASES: &str = "object-storage:write@artifacts-prod/releases/";
const READ_RELEASES: &str = "object-storage:read@artifacts-prod/releases/";
const RELEASE: &str = "releases/shop-1.0.tar";
/// How long the client tries to be granted.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait for anything the broker does in the background.
const BACKGROUND: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

/// Plays all of it.
pub async fn play(stage: Stage, report: &mut Report<'_>) -> Result<(), CannotStage> {
    let since = Instant::now();
    let broker = stage.start_broker().await?;
    report.step(
        "start",
        since,
        "clouds, CI and broker listen on loopback",
        format!(
            "AWS {}, Azure {}, Google {}, CI {}, broker {}",
            stage.cloud.url(),
            stage.azure.url(),
            stage.google.url(),
            stage.ci.url(),
            broker.url()
        ),
        true,
        Vec::new(),
    );
    report.heading("A deploy job of acme/shop on main asks for one prefix of one bucket.");
    let first = aws::deploy(&stage, &broker, report).await?;
    aws::use_it(&first, report).await;
    report.heading("A second job on the same role has a lease of its own.");
    let second = aws::second_job(&stage, &broker, &first, report).await?;
    report.heading("The first job ends. Somebody kept its credential.");
    aws::end_first(&first, &second, report).await?;
    report.heading("The broker is killed while the cloud is being asked.");
    let broker = crash::crash(&stage, broker, report).await?;
    report.heading("Two who should get nothing.");
    strangers::fork(&stage, &broker, report).await?;
    strangers::thief(&stage, &broker, report).await?;
    report.heading("The same on Azure, by PIM and by a plain role assignment.");
    let kept = azure::by_pim(&stage, &broker, report).await?;
    azure::by_assignment(&stage, &broker, report).await?;
    report.heading("And on Google Cloud.");
    google::by_account(&stage, &broker, report).await?;
    report.heading("One request over three clouds: all of it or nothing.");
    three_clouds::at_once(&stage, &broker, report).await?;
    report.heading("Five minutes pass. (The clocks of the broker and of the clouds are set on.)");
    azure::floor_is_over(&stage, &broker, kept, report).await?;
    report.heading("The auditor.");
    auditor::audit(&stage, broker, report).await
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
fn granted(mut view: RequestView) -> Result<(LeaseView, CredentialView), CannotStage> {
    let credential = view.credentials.pop();
    let lease = view.leases.pop();
    match (lease, credential) {
        (Some(lease), Some(credential)) => Ok((lease, credential)),
        _ => Err(cannot("the grant came without a lease and its credential")),
    }
}

/// The same on AWS, with the credential in use.
fn granted_on_aws(stage: &Stage, view: RequestView) -> Result<(LeaseView, S3Hands), CannotStage> {
    let (lease, credential) = granted(view)?;
    let hands = S3Hands::with(&credential, &stage.cloud.url())
        .ok_or_else(|| cannot("the credential is not a session of AWS"))?;
    Ok((lease, hands))
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
    let expect = "the cloud refuses, for want of rights";
    report.step(
        step,
        since,
        expect,
        got.to_string(),
        got.is_refused(),
        Vec::new(),
    );
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
pub(crate) async fn until<T, F: Future<Output = T>>(
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
