//! Rehearsals: a lease that nobody is given, taken to see how it ends.
//!
//! It is the broker that rehearses, not the command that ordered it: its identities and its
//! reconciler are what is measured, its ledger is the one that records the intent, and whatever
//! becomes of the command, the lease ends here as any other does. The command asks after it again
//! and again; that is the lease's sign of life.

use core::time::Duration;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::StatusCode;
use jitney_api::admin::{QuestionView, RehearsalBody, RehearsalView};
use jitney_core::id::LeaseId;
use jitney_core::question::{Answer, Answered};
use jitney_core::refusal::Refusal;
use jitney_core::scope::Scope;
use jitney_core::usecase::{Conclusion, Rehearsal, Report, Stage};
use tokio::sync::{Notify, OwnedMutexGuard};

use super::socket::Peer;
use super::{asked, bad, in_full};
use crate::problem::Declined;
use crate::requests::under_way;
use crate::service::Service;
use crate::view;

/// How often the cloud is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The rehearsal that goes on, or the latest one. There is one at a time: two would measure each
/// other.
#[derive(Default)]
pub(crate) struct Rehearsals {
    turn: Arc<tokio::sync::Mutex<()>>,
    latest: Mutex<Option<Arc<Watched>>>,
}

/// A rehearsal as it is seen from outside.
struct Watched {
    lease: LeaseId,
    report: Mutex<Report>,
    stop: AtomicBool,
    stopped: Notify,
}

impl Watched {
    fn now_shows(&self, report: Report) {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    fn view(&self) -> RehearsalView {
        shown(&self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Rehearsals {
    /// The turn to rehearse, until what is given is dropped.
    fn turn(&self) -> Result<OwnedMutexGuard<()>, Declined> {
        let turn = Arc::clone(&self.turn).try_lock_owned();
        turn.map_err(|_| {
            let told = "a rehearsal is going on: wait until it is over";
            Refusal::new("try_again", told).into()
        })
    }

    fn now(&self, watched: Arc<Watched>) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched);
    }

    fn of(&self, id: &str) -> Result<Arc<Watched>, Declined> {
        let id: LeaseId = id.parse().map_err(bad)?;
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = latest.clone().filter(|latest| latest.lease == id);
        latest.ok_or_else(|| {
            Refusal::new(
                "not_found",
                format!("`{id}` is not the latest rehearsal here"),
            )
            .into()
        })
    }
}

/// `POST /v1/rehearsals`.
pub(super) async fn begin(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    call: Request,
) -> Result<(StatusCode, Json<RehearsalView>), Declined> {
    let wish: RehearsalBody = asked(call).await?;
    let target = wish.target.parse().map_err(bad)?;
    let scope: Option<Scope> = wish
        .scope
        .map(|scope| scope.parse())
        .transpose()
        .map_err(bad)?;
    let signed = peer.signs(wish.signed)?;
    let turn = service.rehearsals.turn()?;
    tracing::warn!(%target, who = signed.person, why = signed.reason, "a rehearsal is ordered");
    let worker = Arc::clone(&service);
    // The one who asked may hang up: the lease is looked after from the first moment.
    let begun = under_way(&service.crew, async move {
        let core = &worker.core;
        let rehearsal = core
            .begin_rehearsal(&target, scope.as_ref(), &signed)
            .await?;
        let watched = Arc::new(Watched {
            lease: rehearsal.lease(),
            report: Mutex::new(rehearsal.report()),
            stop: AtomicBool::new(false),
            stopped: Notify::new(),
        });
        worker.rehearsals.now(Arc::clone(&watched));
        let view = watched.view();
        let crew = worker.crew.clone();
        crew.spawn(watch(worker, rehearsal, watched, turn));
        Ok(view)
    });
    let view = begun.await?.map_err(in_full)?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Looks until there is nothing more to see.
async fn watch(
    service: Arc<Service>,
    mut rehearsal: Rehearsal,
    watched: Arc<Watched>,
    turn: OwnedMutexGuard<()>,
) {
    let mut closing = service.closing.subscribe();
    loop {
        let is_to_stop = watched.stop.load(Ordering::SeqCst) || *closing.borrow();
        if is_to_stop {
            rehearsal.stop();
        }
        rehearsal.look(&service.core).await;
        // It may have ended the lease just now.
        service.driver.nudge();
        if rehearsal.is_over() {
            // Before anybody can know: the next one may begin at once.
            drop(turn);
            watched.now_shows(rehearsal.report());
            return;
        }
        watched.now_shows(rehearsal.report());
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = watched.stopped.notified(), if !is_to_stop => {}
            _ = closing.wait_for(|closing| *closing), if !is_to_stop => {}
        }
    }
}

/// `GET /v1/rehearsals/{id}`. Being asked after is what keeps its lease until it is ended.
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<RehearsalView>, Declined> {
    let watched = service.rehearsals.of(&id)?;
    let view = watched.view();
    if view.stage == Stage::ComingIntoForce.as_str() {
        let lease = service.core.books.lease(watched.lease).await;
        if let Some(lease) = lease.map_err(Refusal::from)? {
            service.core.hear(&lease);
        }
    }
    Ok(Json(view))
}

/// `POST /v1/rehearsals/{id}/stop`.
pub(super) async fn stop(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<RehearsalView>, Declined> {
    let watched = service.rehearsals.of(&id)?;
    watched.stop.store(true, Ordering::SeqCst);
    watched.stopped.notify_one();
    Ok(Json(watched.view()))
}

fn shown(report: &Report) -> RehearsalView {
    let (conclusion, because) = match &report.conclusion {
        None => (None, Vec::new()),
        Some(Conclusion::Kept) => (Some("kept"), Vec::new()),
        Some(Conclusion::Broken(because)) => (Some("broken"), because.clone()),
        Some(Conclusion::CannotTell(because)) => (Some("cannot-tell"), because.clone()),
    };
    RehearsalView {
        id: report.lease.to_string(),
        scope: report
            .scope
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        target: report.target.to_string(),
        cloud: report.cloud.to_string(),
        stage: report.stage.as_str().to_owned(),
        recall: view::recall(report.recall),
        settle_seconds: report.settles.as_secs(),
        in_force_within_seconds: report.in_force.within.as_secs(),
        in_force_says: report.in_force.says.to_owned(),
        granted_after_milliseconds: milliseconds(report.granted_after),
        accepted_after_milliseconds: report.accepted_after.map(milliseconds),
        removed_after_milliseconds: report.removed_after.map(milliseconds),
        last_accepted_after_milliseconds: report.last_accepted_after.map(milliseconds),
        refused_after_milliseconds: report.refused_after.map(milliseconds),
        evident_after_milliseconds: report.evident_after.map(milliseconds),
        evidence: report.evidence.map(str::to_owned),
        unknown: report.unknown.clone(),
        conclusion: conclusion.map(str::to_owned),
        because,
        proposed_settle_seconds: report.proposed_settle_seconds,
        questions: report.questions.iter().map(answered).collect(),
    }
}

fn answered(answered: &Answered) -> QuestionView {
    let Answered { question, finding } = answered;
    let (measured, why) = match &finding.answer {
        Answer::Yes | Answer::No => (None, None),
        Answer::Measured(time) => (Some(milliseconds(*time)), None),
        Answer::Unanswered { why } => (None, Some(why.clone())),
    };
    QuestionView {
        id: question.id.to_owned(),
        asked: question.asks.to_owned(),
        answer: finding.answer.as_str().to_owned(),
        measured_milliseconds: measured,
        seen: finding.seen.clone(),
        why,
        set: finding.set.clone(),
        until_then: question.until_then.to_owned(),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
