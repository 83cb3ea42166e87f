//! Which call leads where: the routes of the API and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use jitney_api::paths;
use tower_http::catch_panic::CatchPanicLayer;

use crate::service::Service;
use crate::{edge, leases, probes, requests};

/// The whole API.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let calls = Router::new()
        .route(paths::REQUESTS, post(requests::submit))
        .route(paths::REQUEST, get(requests::show))
        .route(paths::REQUEST_RELEASE, post(requests::release))
        .route(paths::LEASE, get(leases::show))
        .route(paths::LEASE_HEARTBEAT, post(leases::heartbeat))
        .route(paths::LEASE_RENEW, post(leases::renew))
        .route(paths::LEASE_RELEASE, post(leases::release))
        .layer(from_fn_with_state(Arc::clone(&service), edge::bounded));
    // Probes are answered also when there is no room for calls: a supervisor that hears nothing
    // would restart a broker that is merely busy.
    let probes = Router::new()
        .route(paths::HEALTH, get(probes::health))
        .route(paths::READY, get(probes::ready));
    calls
        .merge(probes)
        .fallback(edge::no_such_path)
        .method_not_allowed_fallback(edge::no_such_method)
        .layer(CatchPanicLayer::custom(edge::panicked))
        .layer(from_fn(edge::told))
        .with_state(service)
}
