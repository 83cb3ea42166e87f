//! Which call leads where: the routes of the API and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use jitney_api::paths;
use jitney_identity::assertions::AssertionIssuer;
use tower_http::catch_panic::CatchPanicLayer;

use crate::service::Service;
use crate::{edge, hooks, issuer, leases, probes, requests};

/// The metrics alone, for a listener of their own.
pub(crate) fn metrics_router(service: Arc<Service>) -> Router {
    Router::new()
        .route(paths::METRICS, get(probes::metrics))
        .with_state(service)
}

/// The whole API, and what the broker publishes if it is an issuer too.
pub(crate) fn router(
    service: Arc<Service>,
    shows_metrics: bool,
    own_issuer: Option<&Arc<AssertionIssuer>>,
) -> Router {
    let mut calls = Router::new()
        .route(paths::REQUESTS, post(requests::submit))
        .route(paths::REQUEST, get(requests::show))
        .route(paths::REQUEST_RELEASE, post(requests::release))
        .route(paths::LEASE, get(leases::show))
        .route(paths::LEASE_HEARTBEAT, post(leases::heartbeat))
        .route(paths::LEASE_RENEW, post(leases::renew))
        .route(paths::LEASE_PROBE, post(leases::probe))
        .route(paths::LEASE_RELEASE, post(leases::release));
    if service.ears.hooks.github.is_some() {
        calls = calls.route(paths::WEBHOOK_GITHUB, post(hooks::github));
    }
    if service.ears.hooks.gitlab.is_some() {
        calls = calls.route(paths::WEBHOOK_GITLAB, post(hooks::gitlab));
    }
    let calls = calls.layer(from_fn_with_state(Arc::clone(&service), edge::bounded));
    // Probes are answered also when there is no room for calls: a supervisor that hears nothing
    // would restart a broker that is merely busy.
    let mut probes = Router::new()
        .route(paths::HEALTH, get(probes::health))
        .route(paths::READY, get(probes::ready));
    if shows_metrics {
        probes = probes.route(paths::METRICS, get(probes::metrics));
    }
    // As cheap as a probe, and a cloud that gets no answer refuses the slot's assertion.
    if let Some(own_issuer) = own_issuer {
        probes = probes.merge(issuer::routes(own_issuer));
    }
    calls
        .merge(probes)
        .fallback(edge::no_such_path)
        .method_not_allowed_fallback(edge::no_such_method)
        .layer(CatchPanicLayer::custom(edge::panicked))
        .layer(from_fn_with_state(Arc::clone(&service), edge::told))
        .with_state(service)
}
