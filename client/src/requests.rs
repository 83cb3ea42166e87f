//! The API, call by call.

use core::time::Duration;
use std::collections::BTreeMap;

use jiff::Timestamp;
use jitney_api::{
    CredentialView, HeartbeatView, LeaseView, ProbeView, RenewalView, RequestBody, RequestState,
    RequestView, Secret, WAIT_SECONDS_MAX, paths,
};
use reqwest::{Certificate, Method};
use tokio::time::Instant;

use crate::address::BrokerAddress;
use crate::clock::BrokerClock;
use crate::error::CallError;
use crate::exchange::{Call, Exchange, http_client, root_cause};
use crate::key::{Key, random_name};
use crate::pause::Pause;
use crate::token::{CiToken, TokenSource};

/// The longest wait for the answer to a call that elevates. Longer than a broker takes to say that
/// it took too long: hanging up first would make it take back what it was about to hand out.
const MINT_PATIENCE: Duration = Duration::from_secs(55);
/// The longest wait for the answer to any other call.
const CALL_PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait for what a cloud says of a credential.
const PROBE_PATIENCE: Duration = Duration::from_secs(25);
/// What a waiting call may take on top of the wait it asked for.
const WAIT_SLACK: Duration = Duration::from_secs(5);

/// A client cannot be made: the authority's certificates are none, or the system gives no
/// randomness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no client can be made: {0}")]
pub struct NoClient(String);

/// A broker as one job sees it: every call is proved by the same key.
pub struct Client {
    exchange: Exchange,
}

impl Client {
    /// A client with a fresh key. `authorities`, in PEM, are believed beside the system's.
    ///
    /// # Errors
    /// When the authorities cannot be read or the system gives no randomness.
    pub fn new(broker: BrokerAddress, authorities: Option<&[u8]>) -> Result<Self, NoClient> {
        let pem_was_given = authorities.is_some();
        let refuse = |error: reqwest::Error| NoClient(root_cause(&error));
        let authorities = match authorities {
            None => Vec::new(),
            Some(pem) => Certificate::from_pem_bundle(pem).map_err(refuse)?,
        };
        if authorities.is_empty() && pem_was_given {
            return Err(NoClient(
                "there is no PEM certificate for the broker's authority".to_owned(),
            ));
        }
        let http = http_client(broker.is_loopback(), &authorities).map_err(refuse)?;
        let key = Key::generate().map_err(|error| NoClient(error.to_string()))?;
        let exchange = Exchange {
            http,
            broker,
            key,
            clock: BrokerClock::default(),
        };
        Ok(Self { exchange })
    }

    /// The key all calls are proved by.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.exchange.key
    }

    /// Asks for scopes, again and again until `patience` is over where the answer may still come.
    /// Every attempt shows a fresh CI token and the same idempotency key: however often it is
    /// tried, it is one request. Only when the broker names the request that has failed, because a
    /// cloud was busy, the next attempt is another one.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn request(
        &self,
        body: &RequestBody,
        tokens: &TokenSource,
        audience: &str,
        patience: Duration,
    ) -> Result<RequestView, CallError> {
        body.check()?;
        let mut name = random_name()?;
        let until = Instant::now() + patience;
        let mut pause = Pause::default();
        loop {
            let error = match self.ask(body, tokens, audience, &name).await {
                Ok(view) => return Ok(view),
                Err(error) if !error.may_pass() => return Err(error),
                // Another request needs another token.
                Err(error) if error.names_a_request() && tokens.is_one() => return Err(error),
                Err(error) => error,
            };
            let pause = pause.next(error.retry_after());
            if Instant::now() + pause >= until {
                return Err(error);
            }
            tracing::debug!(code = error.code(), "asking again");
            if error.names_a_request() {
                name = random_name()?;
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(
        &self,
        body: &RequestBody,
        tokens: &TokenSource,
        audience: &str,
        name: &str,
    ) -> Result<RequestView, CallError> {
        let token = tokens.token(audience).await?;
        let body = serde_json::to_vec(body).unwrap_or_default();
        let path = paths::REQUESTS.to_owned();
        let call = Call {
            token: Some(&token),
            idempotency_key: Some(name),
            body: Some(body),
            ..Call::new(Method::POST, path, MINT_PATIENCE)
        };
        self.exchange.make(&call).await
    }

    /// A request, once it has changed its state or `wait_seconds` are over.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn request_state(
        &self,
        id: &str,
        wait_seconds: u32,
    ) -> Result<RequestView, CallError> {
        let wait_seconds = wait_seconds.min(WAIT_SECONDS_MAX);
        let patience = Duration::from_secs(u64::from(wait_seconds)) + WAIT_SLACK;
        let call = Call {
            query: (wait_seconds > 0).then(|| ("wait_seconds", wait_seconds.to_string())),
            ..Call::new(Method::GET, self.path(paths::REQUEST, id)?, patience)
        };
        self.exchange.make(&call).await
    }

    /// Waits until a request is granted or closed, at most `patience`.
    ///
    /// # Errors
    /// When its state cannot be had.
    pub async fn settled(
        &self,
        view: RequestView,
        patience: Duration,
    ) -> Result<RequestView, CallError> {
        let until = Instant::now() + patience;
        let mut view = view;
        let mut pause = Pause::default();
        while matches!(view.state, RequestState::Pending | RequestState::Granting) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let wait = u32::try_from(left.as_secs()).unwrap_or(WAIT_SECONDS_MAX);
            match self.request_state(&view.id, wait).await {
                Ok(next) => view = next,
                Err(error) if error.may_pass() => {}
                Err(error) => return Err(error),
            }
            // Also after an answer: a broker that does not wait must not be asked without end.
            tokio::time::sleep(pause.next(None).min(left)).await;
        }
        Ok(view)
    }

    /// Gives all leases of a request back. A fresh CI token of the same job may stand in for the
    /// key.
    ///
    /// # Errors
    /// When the broker did not say that it heard.
    pub async fn release_request(
        &self,
        id: &str,
        token: Option<&CiToken>,
    ) -> Result<RequestView, CallError> {
        let path = self.path(paths::REQUEST_RELEASE, id)?;
        let call = Call {
            token,
            ..Call::new(Method::POST, path, CALL_PATIENCE)
        };
        self.exchange.make(&call).await
    }

    /// A lease.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn lease(&self, id: &str) -> Result<LeaseView, CallError> {
        let path = self.path(paths::LEASE, id)?;
        let call = Call::new(Method::GET, path, CALL_PATIENCE);
        self.exchange.make(&call).await
    }

    /// Says that the job is alive; a fresh CI token under the beat audience is proof of it.
    ///
    /// # Errors
    /// When the broker did not say that it heard.
    pub async fn heartbeat(
        &self,
        id: &str,
        token: Option<&CiToken>,
    ) -> Result<HeartbeatView, CallError> {
        let path = self.path(paths::LEASE_HEARTBEAT, id)?;
        let call = Call {
            token,
            ..Call::new(Method::POST, path, CALL_PATIENCE)
        };
        self.exchange.make(&call).await
    }

    /// Prolongs a lease and gets a fresh credential for it. Beyond 15 minutes after its grant only
    /// with a fresh CI token under the beat audience, here or with a beat.
    ///
    /// # Errors
    /// When there is none.
    pub async fn renew(&self, id: &str, token: Option<&CiToken>) -> Result<RenewalView, CallError> {
        let path = self.path(paths::LEASE_RENEW, id)?;
        let call = Call {
            token,
            ..Call::new(Method::POST, path, MINT_PATIENCE)
        };
        self.exchange.make(&call).await
    }

    /// Whether the cloud accepts a credential of the lease now. The broker asks it, and keeps
    /// nothing of what it is shown.
    ///
    /// # Errors
    /// When the broker did not say.
    pub async fn probe(
        &self,
        id: &str,
        credential: &CredentialView,
    ) -> Result<ProbeView, CallError> {
        #[derive(serde::Serialize)]
        struct Body<'a> {
            fields: &'a BTreeMap<String, Secret>,
        }
        let body = Body {
            fields: &credential.fields,
        };
        let call = Call {
            body: Some(serde_json::to_vec(&body).unwrap_or_default()),
            ..Call::new(
                Method::POST,
                self.path(paths::LEASE_PROBE, id)?,
                PROBE_PATIENCE,
            )
        };
        self.exchange.make(&call).await
    }

    /// Gives a lease back. A fresh CI token of the same job may stand in for the key.
    ///
    /// # Errors
    /// When the broker did not say that it heard.
    pub async fn release_lease(
        &self,
        id: &str,
        token: Option<&CiToken>,
    ) -> Result<LeaseView, CallError> {
        let path = self.path(paths::LEASE_RELEASE, id)?;
        let call = Call {
            token,
            ..Call::new(Method::POST, path, CALL_PATIENCE)
        };
        self.exchange.make(&call).await
    }

    /// How long until `instant` by the broker's clock; zero once it is over.
    pub(crate) fn until(&self, instant: Timestamp) -> Duration {
        self.exchange.clock.until(instant)
    }

    fn path(&self, path: &str, id: &str) -> Result<String, CallError> {
        paths::with_id(path, id)
            .ok_or_else(|| self.exchange.not_a_broker("it gave an id that is none"))
    }
}
