//! What operators do to a running broker. They come in through a [`socket`] that the broker's own
//! user alone can open; who they are is what the kernel says of their process, and the name of a
//! person that they give. Both are written into the audit log.

mod orders;
pub(crate) mod rehearsals;
pub(crate) mod socket;
mod status;

use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jitney_api::admin::{
    PERSON_BYTES_MAX, RecoverBody, RecoverView, Signature, StrayView, SweepBody, SweepView,
    WriteOffBody,
};
use jitney_api::{LeaseView, ProblemCode, paths};
use jitney_core::id::{LeaseId, TargetName};
use jitney_core::refusal::Refusal;
use jitney_core::usecase::{Signed, Stray};
use serde::de::DeserializeOwned;
use socket::Peer;

pub(crate) use status::worst;

use crate::problem::Declined;
use crate::requests::under_way;
use crate::service::Service;
use crate::{body, edge};

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 256;

/// Everything operators can do.
pub(crate) fn router(service: Arc<Service>) -> Router {
    use paths::admin;
    Router::new()
        .route(admin::STATUS, get(status::show))
        .route(admin::WRITE_OFF, post(write_off))
        .route(admin::ORDERS, get(orders::list).post(orders::kill))
        .route(admin::ORDER, get(orders::show))
        .route(admin::RECOVER, post(recover))
        .route(admin::SWEEPS, post(sweep))
        .route(admin::REHEARSALS, post(rehearsals::begin))
        .route(admin::REHEARSAL, get(rehearsals::show))
        .route(admin::REHEARSAL_STOP, post(rehearsals::stop))
        .fallback(edge::no_such_path)
        .method_not_allowed_fallback(edge::no_such_method)
        .with_state(service)
}

/// `POST /v1/leases/{id}/write-off`.
async fn write_off(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    call: Request,
) -> Result<Json<LeaseView>, Declined> {
    let id: LeaseId = id.parse().map_err(bad)?;
    let signed = peer.signs(asked::<WriteOffBody>(call).await?)?;
    tracing::warn!(lease = %id, who = signed.person, why = signed.reason, "a lease is written off");
    let core = Arc::clone(&service.core);
    let written_off = async move { core.write_off(id, &signed).await };
    under_way(&service.crew, written_off)
        .await?
        .map_err(in_full)?;
    let lease = service.core.books.lease(id).await.map_err(Refusal::from)?;
    let lease = lease.ok_or_else(Refusal::not_found)?;
    Ok(Json(service.show(&lease)))
}

/// `POST /v1/recover`.
async fn recover(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    call: Request,
) -> Result<Response, Declined> {
    let RecoverBody {
        dry_run,
        restored,
        signed,
    } = asked(call).await?;
    let signed = peer.signs(signed)?;
    let core = Arc::clone(&service.core);
    let found = if dry_run {
        service.core.would_recover().await.map_err(in_full)?
    } else {
        tracing::warn!(
            who = signed.person,
            why = signed.reason,
            "a recovery is ordered"
        );
        let recovering = async move {
            if restored {
                core.declare_restored(&signed).await?;
            }
            core.recover(&signed).await
        };
        let found = under_way(&service.crew, recovering)
            .await?
            .map_err(in_full)?;
        service.driver.nudge();
        found
    };
    let view = RecoverView {
        ordered: !dry_run,
        lanes: found.lanes.iter().map(ToString::to_string).collect(),
        latest_mark: found.latest_mark.map(|mark| mark.to_string()),
        cut_before: found.cut_before.map(|at| at.to_string()),
    };
    Ok((accepted_unless(dry_run), Json(view)).into_response())
}

/// `POST /v1/sweeps`.
async fn sweep(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    call: Request,
) -> Result<Json<SweepView>, Declined> {
    let wish: SweepBody = asked(call).await?;
    let target: TargetName = wish.target.parse().map_err(bad)?;
    let signed = peer.signs(wish.signed)?;
    let core = Arc::clone(&service.core);
    let swept = under_way(&service.crew, async move {
        let act = wish.act.then_some(&signed);
        core.sweep(&target, act, wish.cap).await
    });
    let swept = swept.await?.map_err(in_full)?;
    service.driver.nudge();
    Ok(Json(SweepView {
        seen: swept.seen,
        foreign: swept.foreign,
        strays: swept.strays.iter().map(stray).collect(),
        behind: swept.behind,
    }))
}

fn stray(stray: &Stray) -> StrayView {
    StrayView {
        lane: stray.stamped.lane.to_string(),
        held: stray.stamped.held.to_string(),
        native: stray.stamped.native.clone(),
        ended: stray.held,
    }
}

const fn accepted_unless(dry_run: bool) -> StatusCode {
    if dry_run {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    }
}

async fn asked<T: DeserializeOwned>(call: Request) -> Result<T, Declined> {
    let (parts, body) = call.into_parts();
    body::json(&parts.headers, body).await
}

fn bad(error: impl core::fmt::Display) -> Declined {
    Declined::new(ProblemCode::BadRequest, error.to_string())
}

/// Jobs are told what they can change; operators are told what the log is told.
fn in_full(refusal: Refusal) -> Declined {
    let told = if refusal.logged.contains(&refusal.told) {
        refusal.logged.clone()
    } else {
        format!("{}: {}", refusal.told, refusal.logged)
    };
    Refusal { told, ..refusal }.into()
}

impl Peer {
    /// The person, and the user whose process spoke for them: the name is what somebody said, the
    /// number is what the kernel says.
    fn signs(self, Signature { person, reason }: Signature) -> Result<Signed, Declined> {
        plain("person", &person, PERSON_BYTES_MAX)?;
        plain("reason", &reason, REASON_BYTES_MAX)?;
        let uid = self.uid.ok_or_else(|| {
            Declined::internal("the kernel does not say whose process is at the socket")
        })?;
        let person = format!("{person} (uid {uid})");
        Ok(Signed { person, reason })
    }
}

/// What goes into the audit log is read by people: one line, not empty, not endless.
fn plain(field: &str, text: &str, bytes_max: usize) -> Result<(), Declined> {
    let fits = !text.trim().is_empty() && text.len() <= bytes_max;
    if fits && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(bad(format!(
        "`{field}` must be 1 to {bytes_max} bytes of text in one line"
    )))
}
