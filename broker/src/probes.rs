//! Health, readiness and metrics, for whoever supervises the process. They name nobody and nothing
//! of the estate.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use jitney_api::ProblemCode;
use serde::Serialize;

use crate::metrics::names;
use crate::problem::Declined;
use crate::service::Service;

/// Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a probe answers when all is well.
#[derive(Serialize)]
pub(crate) struct Well {
    status: &'static str,
}

/// `GET /healthz`: the process answers.
pub(crate) async fn health() -> Json<Well> {
    Json(Well { status: "ok" })
}

/// `GET /readyz`: it would grant, and it brings what is due to its end.
pub(crate) async fn ready(State(service): State<Arc<Service>>) -> Result<Json<Well>, Declined> {
    if *service.closing.borrow() {
        return Err(Declined::new(
            ProblemCode::TryAgain,
            "the broker is about to stop",
        ));
    }
    if !service.driver.is_alive() {
        return Err(Declined::new(
            ProblemCode::TryAgain,
            "the broker is not looking at what is due",
        ));
    }
    let ledger = service.core.books.ledger();
    ledger
        .next_due()
        .await
        .map_err(jitney_core::refusal::Refusal::from)?;
    Ok(Json(Well { status: "ok" }))
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    for issuer in service.verifier.status(service.now()) {
        if let Some(age) = issuer.age {
            let labels = [("issuer", issuer.name.as_str())];
            service
                .metrics
                .set(names::JWKS_AGE, &labels, age.as_secs_f64());
        }
    }
    ([(CONTENT_TYPE, TEXT)], service.metrics.render())
}
