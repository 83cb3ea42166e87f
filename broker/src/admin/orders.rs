//! Kill orders: what one would be about, giving one, and how far it is.

use core::time::Duration;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::response::{IntoResponse, Response};
use jitney_api::admin::{AimBody, KillBody, KillView, OrderView, Signature};
use jitney_core::books::Posted;
use jitney_core::id::OrderId;
use jitney_core::order::{Order, SHEETS};
use jitney_core::refusal::Refusal;
use jitney_core::standing::Aim;
use jitney_core::usecase::OrderProgress;

use super::socket::Peer;
use super::{accepted_unless, asked, bad, in_full};
use crate::problem::Declined;
use crate::requests::under_way;
use crate::service::Service;

/// `POST /v1/orders`.
pub(super) async fn kill(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    call: Request,
) -> Result<Response, Declined> {
    let wish: KillBody = asked(call).await?;
    let signed = peer.signs(wish.signed)?;
    let aim = read(&wish.aim)?;
    let aimed = service.core.aim(&aim).await.map_err(Refusal::from)?;
    let mut view = KillView {
        order: None,
        leases: u64::try_from(aimed.leases.len()).unwrap_or(u64::MAX),
        lanes: aimed.lanes.iter().map(ToString::to_string).collect(),
    };
    if !wish.dry_run {
        tracing::warn!(aim = ?aim, who = signed.person, why = signed.reason, "leases are to be ended");
        let core = Arc::clone(&service.core);
        let ordered = async move { core.order_kill(aim, wish.cut_lanes, &signed).await };
        let order = under_way(&service.crew, ordered).await?.map_err(in_full)?;
        service.driver.nudge();
        view.order = Some(order.to_string());
    }
    Ok((accepted_unless(wish.dry_run), Json(view)).into_response())
}

/// `GET /v1/orders/{id}`.
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<OrderView>, Declined> {
    let id: OrderId = id.parse().map_err(bad)?;
    let progress = service.core.order(id).await.map_err(in_full)?;
    let elapsed = service.now().since(progress.order.ordered_at);
    let eta = eta(&progress, elapsed);
    Ok(Json(OrderView {
        to_end: Some(progress.to_end),
        revoking: Some(progress.revoking),
        over: Some(progress.over),
        over_per_minute: eta
            .filter(|left| !left.is_zero())
            .and_then(|_| over_per_minute(&progress, elapsed)),
        exposed_until: progress.exposed_until.map(|at| at.to_string()),
        eta_seconds: eta.map(|left| left.as_secs()),
        ..view(id, &progress.order)
    }))
}

/// `GET /v1/orders`.
pub(super) async fn list(
    State(service): State<Arc<Service>>,
) -> Result<Json<Vec<OrderView>>, Declined> {
    Ok(Json(all(&service).await?))
}

/// Every order that was ever given, the latest first.
pub(super) async fn all(service: &Service) -> Result<Vec<OrderView>, Refusal> {
    let mut views = Vec::new();
    for sheet in service.core.books.ledger().sheets(SHEETS).await? {
        let id = sheet.name.strip_prefix(SHEETS);
        let id: Option<OrderId> = id.and_then(|id| id.parse().ok());
        let order = Posted::<Option<Order>>::read(&sheet)?.says;
        if let (Some(id), Some(order)) = (id, order) {
            views.push(view(id, &order));
        }
    }
    // Ids are in the order of time.
    views.reverse();
    Ok(views)
}

fn view(id: OrderId, order: &Order) -> OrderView {
    OrderView {
        id: id.to_string(),
        aim: told(&order.aim),
        lanes_cut: order.lanes.iter().map(ToString::to_string).collect(),
        signed: Signature {
            person: order.person.clone(),
            reason: order.reason.clone(),
        },
        ordered_at: order.ordered_at.to_string(),
        looked_at: order.looked_at,
        ended: order.ended,
        done_at: order.done_at.map(|at| at.to_string()),
        to_end: None,
        revoking: None,
        over: None,
        over_per_minute: None,
        exposed_until: None,
        eta_seconds: None,
    }
}

/// When all will be over if the clouds go on at the rate at which leases became over until now. The
/// time before the first one counts too: rather too long than too short.
fn eta(progress: &OrderProgress, elapsed: Duration) -> Option<Duration> {
    let left = progress.to_end.saturating_add(progress.revoking);
    if left == 0 && progress.order.done_at.is_some() {
        return Some(Duration::ZERO);
    }
    elapsed.checked_mul(left)?.checked_div(progress.over)
}

fn over_per_minute(progress: &OrderProgress, elapsed: Duration) -> Option<u64> {
    let millis = u64::try_from(elapsed.as_millis()).ok()?;
    u64::from(progress.over)
        .saturating_mul(60_000)
        .checked_div(millis)
}

fn read(aim: &AimBody) -> Result<Aim, Declined> {
    fn typed<T: core::str::FromStr<Err: core::fmt::Display>>(
        text: &Option<String>,
    ) -> Result<Option<T>, Declined> {
        text.as_deref().map(str::parse).transpose().map_err(bad)
    }
    Ok(Aim {
        issuer: aim.issuer.clone(),
        repository: aim.repository.clone(),
        target: typed(&aim.target)?,
        resource: typed(&aim.resource)?,
        lease: typed(&aim.lease)?,
        since: typed(&aim.since)?,
    })
}

fn told(aim: &Aim) -> AimBody {
    AimBody {
        issuer: aim.issuer.clone(),
        repository: aim.repository.clone(),
        target: aim.target.as_ref().map(ToString::to_string),
        resource: aim.resource.as_ref().map(ToString::to_string),
        lease: aim.lease.map(|id| id.to_string()),
        since: aim.since.map(|at| at.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitney_core::time::Timestamp;

    #[test]
    fn what_is_left_takes_as_long_as_what_is_over_did() {
        let order = Order {
            aim: Aim::default(),
            lanes: std::collections::BTreeSet::new(),
            person: String::new(),
            reason: String::new(),
            ordered_at: Timestamp::from_seconds(100),
            seen_down_to: None,
            looked_at: 0,
            unreadable: 0,
            ended: 40,
            done_at: None,
        };
        let mut progress = OrderProgress {
            order,
            to_end: 15,
            revoking: 30,
            over: 10,
            exposed_until: None,
        };
        let seconds = Duration::from_secs;
        assert_eq!(eta(&progress, seconds(20)), Some(seconds(90)));
        assert_eq!(over_per_minute(&progress, seconds(20)), Some(30));
        assert_eq!(over_per_minute(&progress, seconds(0)), None);
        progress.over = 0;
        assert_eq!(eta(&progress, seconds(20)), None, "nothing is over yet");
        (progress.to_end, progress.revoking) = (0, 0);
        assert_eq!(eta(&progress, seconds(20)), None, "it still looks");
        progress.order.done_at = Some(Timestamp::from_seconds(110));
        assert_eq!(eta(&progress, seconds(20)), Some(Duration::ZERO));
    }
}
