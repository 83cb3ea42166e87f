//! The issuer's strings, pulled from another process: how a judge or a shell script starts jobs,
//! ends them, rotates keys, breaks documents and has hostile tokens made.
//!
//! | route | body | answer |
//! |---|---|---|
//! | `POST /_sandbox/jobs` | `{"event", "claims", "without"}`, all optional | `{"id", "request_url", "request_token"}` |
//! | `POST /_sandbox/jobs/{id}/complete` | none | 204 |
//! | `POST /_sandbox/keys/rotate` | `{"keep_old": bool}` | 204 |
//! | `POST /_sandbox/mint` | `{"claims", "header", "key"}` | `{"value": token}` |
//! | `PUT /_sandbox/faults` | `{"jwks": fault or null, "discovery": …}` | 204 |
//! | `GET /_sandbox/fetches` | none | `{"jwks", "discovery", "redirects_followed"}` |
//!
//! Whoever reaches this port is the issuer: that is what a sandbox is for.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::claims::GithubJob;
use super::faults::{self, Fault};
use super::issuance::{Issuance, refusal};
use super::token::{self, SignWith};

/// How many jobs one issuer holds when they are started over HTTP.
pub const JOBS_MAX: usize = 100_000;

pub(super) fn router() -> Router<Arc<Issuance>> {
    Router::new()
        .route("/_sandbox/jobs", post(start_job))
        .route("/_sandbox/jobs/{id}/complete", post(complete_job))
        .route("/_sandbox/keys/rotate", post(rotate))
        .route("/_sandbox/mint", post(mint))
        .route("/_sandbox/faults", put(set_faults))
        .route("/_sandbox/fetches", get(fetches))
}

/// What starts a job.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    #[default]
    Push,
    PullRequest,
    PullRequestTarget,
    WorkflowRun,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartJob {
    #[serde(default)]
    event: Event,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    without: Vec<String>,
}

async fn start_job(State(issuance): State<Arc<Issuance>>, Json(asked): Json<StartJob>) -> Response {
    if issuance.jobs_held() >= JOBS_MAX {
        return refusal(
            StatusCode::TOO_MANY_REQUESTS,
            "this issuer holds 100000 jobs already",
        );
    }
    let mut job = match asked.event {
        Event::Push => GithubJob::push_to_main(),
        Event::PullRequest => GithubJob::pull_request_from_fork(),
        Event::PullRequestTarget => GithubJob::pull_request_target(),
        Event::WorkflowRun => GithubJob::workflow_run(),
    };
    for (name, value) in asked.claims {
        job = job.claim(&name, value);
    }
    for name in asked.without {
        job = job.without(&name);
    }
    let (id, request_token) = issuance.register(job);
    let request_url = issuance.request_url(&id);
    let answer = json!({ "id": id, "request_url": request_url, "request_token": request_token });
    (StatusCode::CREATED, faults::json(answer.to_string())).into_response()
}

async fn complete_job(State(issuance): State<Arc<Issuance>>, Path(id): Path<String>) -> Response {
    if issuance.complete(&id) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        refusal(StatusCode::NOT_FOUND, "there is no job with this id")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    keep_old: bool,
}

async fn rotate(State(issuance): State<Arc<Issuance>>, Json(asked): Json<Rotate>) -> Response {
    // Searching for two primes takes a good part of a second.
    let rotated = tokio::task::spawn_blocking(move || issuance.rotate(asked.keep_old));
    match rotated.await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(_)) | Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "cannot make a key"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mint {
    claims: Value,
    header: Option<Value>,
    key: SignWith,
}

async fn mint(State(issuance): State<Arc<Issuance>>, Json(asked): Json<Mint>) -> Response {
    let keys = issuance.keys();
    let header = asked.header.unwrap_or_else(|| keys.current().header());
    let minted =
        tokio::task::spawn_blocking(move || token::mint(&keys, &asked.claims, &header, asked.key));
    match minted.await {
        Ok(Ok(value)) => faults::json(json!({ "value": value }).to_string()),
        Ok(Err(error)) => refusal(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "cannot sign"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Faults {
    jwks: Option<Fault>,
    discovery: Option<Fault>,
}

async fn set_faults(State(issuance): State<Arc<Issuance>>, Json(asked): Json<Faults>) -> Response {
    issuance.key_set_door().set(asked.jwks);
    issuance.discovery_door().set(asked.discovery);
    StatusCode::NO_CONTENT.into_response()
}

async fn fetches(State(issuance): State<Arc<Issuance>>) -> Response {
    let answer = json!({
        "jwks": issuance.key_set_door().asked(),
        "discovery": issuance.discovery_door().asked(),
        "redirects_followed": issuance.redirects_followed(),
    });
    faults::json(answer.to_string())
}
