//! The words that broker and client say to each other: HTTP API v1, JSON, problem details
//! (RFC 9457). Types and limits only: no behaviour, no HTTP, no clock.
//!
//! | call | shows | answer |
//! |---|---|---|
//! | `POST /v1/requests` | CI token, proof, [`IDEMPOTENCY_KEY`] | 201 or 200, [`RequestView`] |
//! | `GET /v1/requests/{id}?wait_seconds=N` | proof | 200 [`RequestView`] |
//! | `POST /v1/requests/{id}/release` | proof, or CI token | 202 [`RequestView`] |
//! | `GET /v1/leases/{id}` | proof | 200 [`LeaseView`] |
//! | `POST /v1/leases/{id}/heartbeat` | proof, and a beat token where there is a fresh one | 200 [`HeartbeatView`] |
//! | `POST /v1/leases/{id}/renew` | proof, and a beat token where there is a fresh one | 200 [`RenewalView`] |
//! | `POST /v1/leases/{id}/probe` | proof, and the credential | 200 [`ProbeView`] |
//! | `POST /v1/leases/{id}/release` | proof, or CI token | 202 [`LeaseView`] |
//! | `POST /v1/webhooks/github`, `…/gitlab` | the hook's secret | 202 [`JobEndedView`], or 204 |
//! | `GET /healthz`, `GET /readyz` | nothing | 200, or 503 |
//!
//! - *CI token*: `Authorization: Bearer`, fresh from the CI system. *Proof*: a [`DPOP`] header
//!   (RFC 9449) by the key of the request; beside a CI token its `ath` is that token's digest.
//! - *Beat token*: a CI token of the lease's job with the [`beat_audience`], which proves that the
//!   job lived when it was minted and can be exchanged for nothing. A lease is renewed beyond 15
//!   minutes after its grant only when one came within the last minute.
//! - An idempotency key belongs to the proof's key. The same two again mean the same request, also
//!   with a fresh token of the same job: the answer is 200 and holds no credential, because none
//!   is ever stored. Renewing the lease gives one.
//! - What does not exist and what belongs to somebody else are the same answer.
//! - Times are RFC 3339 in UTC. A reader accepts fields and words it does not know.

pub mod admin;
mod credential;
mod lease;
pub mod paths;
mod probe;
mod problem;
mod request;

pub use credential::{
    CredentialView, Secret, aws_session, azure_assertion, azure_token, gcp_token,
};
pub use lease::{
    HeartbeatView, JobEndedView, LeaseState, LeaseView, RecallKind, RecallView, RenewalView,
};
pub use probe::{ProbeAnswer, ProbeBody, ProbeView};
pub use problem::{PROBLEM_MEDIA_TYPE, Problem, ProblemCode};
pub use request::{
    BadBody, DecisionView, REASON_BYTES_MAX, RequestBody, RequestOutcome, RequestState,
    RequestView, SCOPE_BYTES_MAX, SCOPES_MAX,
};

/// The audience of tokens that come with signs of life, unless the broker's operator chose another.
#[must_use]
pub fn beat_audience(audience: &str) -> String {
    format!("{}/beat", audience.trim_end_matches('/'))
}

/// The header that carries a proof of possession (RFC 9449).
pub const DPOP: &str = "dpop";
/// The header that makes a repeated request the same request.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest idempotency key, in bytes. Printable ASCII without blanks.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 64;
/// The largest body a broker reads, in bytes: 16 scopes and a reason fit several times.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The largest answer a client reads, in bytes.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The longest a broker makes a waiting client wait, in seconds.
pub const WAIT_SECONDS_MAX: u32 = 30;
