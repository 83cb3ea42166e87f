//! The routes a verifier and a job see, and the state behind them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::claims::GithubJob;
use super::control;
use super::faults::{self, Door};
use super::keys::{KeyRing, random_name};
use super::token::{self, MintError, SignWith};

const KEY_SET: &str = "/.well-known/jwks";
const MOVED: &str = "/_sandbox/moved";

/// The longest audience a job may ask for, in bytes.
const AUDIENCE_BYTES_MAX: usize = 2048;

/// What GitHub says when a job that is over asks for a token. It is why a fresh token proves that
/// the job still runs.
pub(super) const JOB_IS_OVER: &str = "Can't issue ID_TOKEN for job in 'Completed' state.";

struct Job {
    job: GithubJob,
    request_token: String,
    completed: bool,
}

/// Everything an issuer knows.
pub(super) struct Issuance {
    address: String,
    path: String,
    keys: Mutex<KeyRing>,
    jobs: Mutex<HashMap<String, Job>>,
    key_set: Door,
    discovery: Door,
    redirects_followed: AtomicU64,
}

impl Issuance {
    pub(super) fn new(address: String, path: String) -> Option<Self> {
        Some(Self {
            address,
            path,
            keys: Mutex::new(KeyRing::new()?),
            jobs: Mutex::default(),
            key_set: Door::default(),
            discovery: Door::default(),
            redirects_followed: AtomicU64::new(0),
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn issuer(&self) -> String {
        format!("{}{}", self.address, self.path)
    }

    /// The keys as they are now.
    pub(super) fn keys(&self) -> KeyRing {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn rotate(&self, keep_old: bool) -> Result<(), MintError> {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .rotate(keep_old)
    }

    pub(super) fn key_set_door(&self) -> &Door {
        &self.key_set
    }

    pub(super) fn discovery_door(&self) -> &Door {
        &self.discovery
    }

    pub(super) fn redirects_followed(&self) -> u64 {
        self.redirects_followed.load(Ordering::SeqCst)
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn jobs_held(&self) -> usize {
        self.jobs().len()
    }

    /// Starts a job: its id and the bearer it must show.
    pub(super) fn register(&self, job: GithubJob) -> (String, String) {
        let (id, request_token) = (random_name(), random_name());
        let held = Job {
            job,
            request_token: request_token.clone(),
            completed: false,
        };
        self.jobs().insert(id.clone(), held);
        (id, request_token)
    }

    pub(super) fn request_url(&self, id: &str) -> String {
        format!("{}/idtoken/{id}?api-version=2.0", self.address)
    }

    /// Ends a job; false when there is none with this id.
    pub(super) fn complete(&self, id: &str) -> bool {
        self.jobs()
            .get_mut(id)
            .map(|job| job.completed = true)
            .is_some()
    }

    pub(super) fn claims(&self, id: &str, audience: Option<&str>) -> Option<Value> {
        let issuer = self.issuer();
        self.jobs()
            .get(id)
            .map(|held| held.job.claims_now(&issuer, audience))
    }

    fn discovery_document(&self) -> Value {
        let issuer = self.issuer();
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}{KEY_SET}"),
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "claims_supported": CLAIMS_SUPPORTED,
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        })
    }
}

const CLAIMS_SUPPORTED: &[&str] = &[
    "sub",
    "aud",
    "exp",
    "iat",
    "iss",
    "jti",
    "nbf",
    "ref",
    "sha",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "enterprise",
    "enterprise_id",
    "run_id",
    "run_number",
    "run_attempt",
    "check_run_id",
    "actor",
    "actor_id",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "head_ref",
    "base_ref",
    "event_name",
    "ref_type",
    "ref_protected",
    "environment",
    "environment_node_id",
    "job_workflow_ref",
    "job_workflow_sha",
    "repository_visibility",
    "runner_environment",
];

/// All routes of an issuer.
pub(super) fn router(issuance: Arc<Issuance>) -> Router {
    let path = issuance.path.clone();
    Router::new()
        .route(
            &format!("{path}/.well-known/openid-configuration"),
            get(discovery),
        )
        .route(&format!("{path}{KEY_SET}"), get(key_set))
        .route(&format!("{MOVED}/keys"), get(moved_key_set))
        .route(&format!("{MOVED}/discovery"), get(moved_discovery))
        .route("/idtoken/{job}", get(id_token))
        .merge(control::router())
        .with_state(issuance)
}

async fn discovery(State(issuance): State<Arc<Issuance>>) -> Response {
    let moved = format!("{}{MOVED}/discovery", issuance.address);
    issuance
        .discovery
        .answer(issuance.discovery_document(), moved)
        .await
}

async fn key_set(State(issuance): State<Arc<Issuance>>) -> Response {
    let moved = format!("{}{MOVED}/keys", issuance.address);
    issuance
        .key_set
        .answer(issuance.keys().key_set(), moved)
        .await
}

async fn moved_key_set(State(issuance): State<Arc<Issuance>>) -> Response {
    issuance.redirects_followed.fetch_add(1, Ordering::SeqCst);
    faults::json(issuance.keys().key_set().to_string())
}

async fn moved_discovery(State(issuance): State<Arc<Issuance>>) -> Response {
    issuance.redirects_followed.fetch_add(1, Ordering::SeqCst);
    faults::json(issuance.discovery_document().to_string())
}

#[derive(Deserialize)]
struct TokenQuery {
    audience: Option<String>,
}

async fn id_token(
    State(issuance): State<Arc<Issuance>>,
    Path(id): Path<String>,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
) -> Response {
    let audience = query.audience.as_deref();
    if audience.is_some_and(|audience| audience.is_empty() || audience.len() > AUDIENCE_BYTES_MAX) {
        return refusal(
            StatusCode::BAD_REQUEST,
            "audience must have 1 to 2048 bytes",
        );
    }
    let claims = {
        let jobs = issuance.jobs();
        // An unknown job and a wrong bearer look the same from outside.
        let shown = bearer(&headers);
        let job = jobs
            .get(&id)
            .filter(|job| shown == Some(job.request_token.as_str()));
        match job {
            None => return refusal(StatusCode::UNAUTHORIZED, "the bearer is not this job's"),
            // The sentence is GitHub's; the status is the one its service gives for refusals of
            // this kind, and no client should read more from it than "no".
            Some(job) if job.completed => return refusal(StatusCode::BAD_REQUEST, JOB_IS_OVER),
            Some(job) => job.job.claims_now(&issuance.issuer(), audience),
        }
    };
    // A signature takes milliseconds of CPU: not on a thread that serves other requests.
    let keys = issuance.keys();
    let minted = tokio::task::spawn_blocking(move || {
        token::mint(&keys, &claims, &keys.current().header(), SignWith::Current)
    });
    match minted.await {
        Ok(Ok(value)) => faults::json(json!({ "value": value }).to_string()),
        Ok(Err(_)) | Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "cannot sign"),
    }
}

/// The bearer a request shows. The scheme's case does not matter (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, bearer) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(bearer)
}

/// A refusal in the form of GitHub's service.
pub(super) fn refusal(status: StatusCode, message: &str) -> Response {
    let body = json!({ "$id": "1", "innerException": null, "message": message, "errorCode": 0 });
    (status, faults::json(body.to_string())).into_response()
}
