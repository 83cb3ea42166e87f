//! Health and readiness, for whoever supervises the process. They tell nothing of the estate.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jitney_api::ProblemCode;
use serde::Serialize;

use crate::problem::Declined;
use crate::service::Service;

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
