//! Calls about one lease: look at it, show that its job lives, renew it, probe it, give it back.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use jitney_api::{
    BODY_BYTES_MAX, HeartbeatView, LeaseState, LeaseView, ProbeAnswer, ProbeBody, ProbeView,
    ProblemCode, RenewalView,
};
use jitney_core::books::FoundLease;
use jitney_core::credential::Shown;
use jitney_core::id::LeaseId;
use jitney_core::probe::Probed;
use jitney_core::refusal::Refusal;
use zeroize::Zeroizing;

use crate::body;
use crate::edge::Line;
use crate::looking_back::once_looked_back;
use crate::problem::Declined;
use crate::requests::under_way;
use crate::service::Service;
use crate::view;

/// `GET /v1/leases/{id}`.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    line: Line,
    Path(id): Path<String>,
    call: axum::extract::Request,
) -> Result<Json<LeaseView>, Declined> {
    let (parts, _) = call.into_parts();
    let id = lease_id(&id)?;
    line.lease(id);
    let (lease, _) = service.held(&parts, id).await?;
    Ok(Json(service.show(&lease)))
}

/// `POST /v1/leases/{id}/heartbeat`. A fresh beat token beside the proof shows that the job itself
/// lives, not only a process that kept its key.
pub(crate) async fn heartbeat(
    State(service): State<Arc<Service>>,
    line: Line,
    Path(id): Path<String>,
    call: axum::extract::Request,
) -> Result<Json<HeartbeatView>, Declined> {
    let (parts, _) = call.into_parts();
    let id = lease_id(&id)?;
    line.lease(id);
    let (lease, _) = service.held(&parts, id).await?;
    let beat = service.core.hear(&lease);
    Ok(Json(HeartbeatView {
        state: state(beat.state),
        ends_at: beat.ends_at.map(|at| at.to_string()),
        next_within_seconds: u32::try_from(beat.silence.as_secs()).unwrap_or(u32::MAX),
    }))
}

fn state(word: &str) -> LeaseState {
    match word {
        "elevating" => LeaseState::Elevating,
        "active" => LeaseState::Active,
        "revoking" => LeaseState::Revoking,
        "ended" => LeaseState::Ended,
        _ => LeaseState::Unknown,
    }
}

/// `POST /v1/leases/{id}/renew`. Brings its own proof of life where the CI mints one: beats may
/// have reached another broker.
pub(crate) async fn renew(
    State(service): State<Arc<Service>>,
    line: Line,
    Path(id): Path<String>,
    call: axum::extract::Request,
) -> Result<Response, Declined> {
    let (parts, _) = call.into_parts();
    let id = lease_id(&id)?;
    line.lease(id);
    let (_, held) = service.held(&parts, id).await?;
    let core = Arc::clone(&service.core);
    // A renewal that finds nobody changes little: its credential was seen by no one, and the
    // job goes on with the one it has, or falls silent.
    let renewed = under_way(&service.crew, async move {
        once_looked_back(|| core.renew_once(id, &held.proof, &held.shown)).await
    })
    .await?;
    let (lease, credential) = renewed?;
    let answer = RenewalView {
        lease: service.show(&FoundLease::Active(lease)),
        credential: view::credential(id, credential),
    };
    let json = serde_json::to_vec(&answer)
        .map_err(|error| Declined::internal(format!("an answer has no JSON: {error}")))?;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

/// `POST /v1/leases/{id}/probe`. The job shows its credential; it is asked about and forgotten.
pub(crate) async fn probe(
    State(service): State<Arc<Service>>,
    line: Line,
    Path(id): Path<String>,
    call: axum::extract::Request,
) -> Result<Json<ProbeView>, Declined> {
    let (parts, body) = call.into_parts();
    let id = lease_id(&id)?;
    line.lease(id);
    let (_, held) = service.held(&parts, id).await?;
    let shown = shown(body).await?;
    let (probed, in_force) = service.core.probe(id, &held.proof, &shown).await?;
    Ok(Json(ProbeView {
        answer: match &probed {
            Probed::Accepted => ProbeAnswer::Accepted,
            Probed::Refused => ProbeAnswer::Refused,
            Probed::Unknown { .. } => ProbeAnswer::Unknown,
            Probed::CannotTell { .. } => ProbeAnswer::CannotTell,
        },
        why: probed.why().map(str::to_owned),
        in_force_within_seconds: u32::try_from(in_force.within.as_secs()).unwrap_or(u32::MAX),
        in_force_says: in_force.says.to_owned(),
    }))
}

/// A credential in a body. What is wrong with one that cannot be read is not told: a reader of JSON
/// would repeat what it read, and this must not reach a log.
async fn shown(body: axum::body::Body) -> Result<Shown, Declined> {
    let bytes = Zeroizing::new(body::raw(body, BODY_BYTES_MAX).await?);
    let read = serde_json::from_slice::<ProbeBody>(&bytes);
    let body = read.map_err(|_| {
        Declined::new(
            ProblemCode::BadRequest,
            "the body is not a credential's fields",
        )
    })?;
    let fields = body.fields.into_iter();
    Ok(Shown::new(fields.map(|(name, secret)| {
        (name, Zeroizing::new(secret.reveal().to_owned()))
    })))
}

/// `POST /v1/leases/{id}/release`.
pub(crate) async fn release(
    State(service): State<Arc<Service>>,
    line: Line,
    Path(id): Path<String>,
    call: axum::extract::Request,
) -> Result<(StatusCode, Json<LeaseView>), Declined> {
    let (parts, _) = call.into_parts();
    let id = lease_id(&id)?;
    line.lease(id);
    let caller = service.caller(&parts).await?;
    let proof = service.lease_of(&caller, id).await?;
    service.admit(caller.key())?;
    let worker = Arc::clone(&service);
    let released = under_way(&service.crew, async move {
        let released = worker.core.release(id, &proof).await;
        worker.driver.nudge();
        released
    });
    let lease = released.await??;
    Ok((StatusCode::ACCEPTED, Json(service.show(&lease))))
}

/// An id that is no id names nothing: the answer is the same as for somebody else's.
fn lease_id(text: &str) -> Result<LeaseId, Declined> {
    text.parse().map_err(|_| Refusal::not_found().into())
}
