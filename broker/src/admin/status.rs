//! How the broker and its leases are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jitney_api::admin::{STUCK_TOLD_MAX, StatusView, StuckView};
use jitney_core::refusal::Refusal;
use jitney_core::usecase::Stuck;

use super::orders;
use crate::problem::Declined;
use crate::service::Service;

/// `GET /v1/status`.
pub(super) async fn show(
    State(service): State<Arc<Service>>,
) -> Result<Json<StatusView>, Declined> {
    let core = &service.core;
    let stuck = core.stuck().await.map_err(Refusal::from)?;
    let standing = core.books.standing().await.map_err(Refusal::from)?.says;
    let mut orders = orders::all(&service).await?;
    orders.retain(|order| order.done_at.is_none());
    let leases = core.books.ledger().count_open().await;
    Ok(Json(StatusView {
        leases: leases.map_err(Refusal::from)?,
        halted: standing.permits_elevating().err().map(|halt| halt.logged),
        stuck_count: u64::try_from(stuck.len()).unwrap_or(u64::MAX),
        stuck: worst(&stuck),
        orders,
        lanes_resting: core.lanes.resting_count(service.now()),
    }))
}

/// Those that are exposed the longest, first.
pub(crate) fn worst(stuck: &[Stuck]) -> Vec<StuckView> {
    let mut worst: Vec<_> = stuck.iter().collect();
    worst.sort_by_key(|stuck| core::cmp::Reverse(stuck.exposed_until));
    worst.truncate(STUCK_TOLD_MAX);
    worst.into_iter().map(view).collect()
}

fn view(stuck: &Stuck) -> StuckView {
    StuckView {
        lease: stuck.lease.to_string(),
        request: stuck.request.to_string(),
        target: stuck.lane.target.to_string(),
        lane: stuck.lane.name.clone(),
        why: stuck.why.as_str().to_owned(),
        since: stuck.since.to_string(),
        attempts: stuck.attempts,
        written: stuck.written,
        exposed_until: stuck.exposed_until.to_string(),
    }
}
