//! A CI system's token issuer on loopback, shaped like GitHub Actions.
//!
//! A [`CiIssuer`] publishes a discovery document and a key set, and mints a token for every job
//! that shows its bearer, as `ACTIONS_ID_TOKEN_REQUEST_URL` does on a real runner. It refuses a
//! job that is over. Everything a hostile CI system or a thief could do is a method here: any
//! claim, any header, any key ([`CiIssuer::mint`]), keys that rotate, key sets that are slow,
//! huge, moved or broken ([`Fault`]). The same things can be had over HTTP from another process
//! (see [`control`]).
//!
//! Nothing in here knows how a verifier works: what is right and wrong is decided by the
//! verifier's own tests, and by an independent one (`judges/ci_issuer.py`).

mod claims;
pub mod control;
mod faults;
mod issuance;
mod keys;
mod token;

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use claims::{GithubJob, TOKEN_LIFETIME_SECONDS, TOKEN_NOT_BEFORE_SECONDS};
pub use faults::Fault;
pub use token::{MintError, SignWith};

use issuance::Issuance;

/// Where the issuer listens and what it calls itself.
#[derive(Clone, Debug, Default)]
pub struct CiOptions {
    /// The loopback port; 0 lets the system choose.
    pub port: u16,
    /// A path that is part of the issuer's name, as an enterprise has (`/acme-corp`). Empty, or
    /// starting with `/` and not ending in one.
    pub issuer_path: String,
}

/// Why the issuer did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port is taken or may not be bound.
    #[error("cannot listen on `{address}`: {cause}; choose another port, or 0 for any free one")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The issuer path cannot be part of an issuer's name.
    #[error("issuer path `{0}` must be empty, or start with `/` and not end with it")]
    IssuerPath(String),
    /// No signing key could be made.
    #[error("cannot generate an RSA key of 2048 bits")]
    Key,
}

impl StartError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "ci_issuer_listen",
            Self::IssuerPath(_) => "ci_issuer_path",
            Self::Key => "ci_issuer_key",
        }
    }
}

/// A running issuer. It stops when this value is dropped.
pub struct CiIssuer {
    issuance: Arc<Issuance>,
    // Never sent on: dropping it is what ends the server.
    _stop: oneshot::Sender<()>,
}

impl CiIssuer {
    /// Starts an issuer on loopback with a fresh key of its own, so that two issuers can never
    /// sign for each other.
    ///
    /// # Errors
    /// When the port cannot be bound, the issuer path is malformed, or no key can be made.
    pub async fn start(options: CiOptions) -> Result<Self, StartError> {
        let path = options.issuer_path;
        if !path.is_empty() && (!path.starts_with('/') || path.ends_with('/')) {
            return Err(StartError::IssuerPath(path));
        }
        let asked = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listen = |cause| StartError::Listen {
            address: asked,
            cause,
        };
        let listener = TcpListener::bind(asked).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        // Searching for two primes takes a good part of a second.
        let made =
            tokio::task::spawn_blocking(move || Issuance::new(format!("http://{address}"), path));
        let issuance = Arc::new(made.await.ok().flatten().ok_or(StartError::Key)?);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, issuance::router(Arc::clone(&issuance)))
            .with_graceful_shutdown(async move { drop(stopped.await) });
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the CI issuer stopped");
            }
        });
        Ok(Self {
            issuance,
            _stop: stop,
        })
    }

    /// The issuer's name: what its tokens say in `iss`.
    pub fn url(&self) -> String {
        self.issuance.issuer()
    }

    /// The address its routes live under, without the issuer path.
    pub fn address(&self) -> String {
        self.issuance.address().to_owned()
    }

    /// Starts a job that may ask for tokens until it is completed.
    pub fn job(&self, job: GithubJob) -> RunningJob {
        let (id, request_token) = self.issuance.register(job);
        let request_url = self.issuance.request_url(&id);
        RunningJob {
            issuance: Arc::clone(&self.issuance),
            id,
            request_url,
            request_token,
        }
    }

    /// Signs with a new key from now on. With `keep_old` the former keys stay published, as a
    /// careful issuer does it; without, tokens signed by them no longer verify.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn rotate_keys(&self, keep_old: bool) -> Result<(), MintError> {
        self.issuance.rotate(keep_old)
    }

    /// A token made of exactly these claims and this header: nothing is added or checked.
    /// Start from [`RunningJob::claims`] and [`CiIssuer::header`] and change one thing.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn mint(&self, claims: &Value, header: &Value, key: SignWith) -> Result<String, MintError> {
        token::mint(&self.issuance.keys(), claims, header, key)
    }

    /// The header that an honest token bears now: `alg`, `kid`, `typ`, `x5t`.
    pub fn header(&self) -> Value {
        self.issuance.keys().current().header()
    }

    /// How many times the key set was asked for, faulty answers included.
    pub fn jwks_fetches(&self) -> u64 {
        self.issuance.key_set_door().asked()
    }

    /// How many times the discovery document was asked for, faulty answers included.
    pub fn discovery_fetches(&self) -> u64 {
        self.issuance.discovery_door().asked()
    }

    /// How many times somebody followed a redirect that [`Fault::Redirect`] gave.
    pub fn redirects_followed(&self) -> u64 {
        self.issuance.redirects_followed()
    }

    /// Breaks the key set from now on; `None` heals it.
    pub fn set_jwks_fault(&self, fault: Option<Fault>) {
        self.issuance.key_set_door().set(fault);
    }

    /// Breaks the discovery document from now on; `None` heals it.
    pub fn set_discovery_fault(&self, fault: Option<Fault>) {
        self.issuance.discovery_door().set(fault);
    }
}

/// A job that runs, with what its runner gives it to ask for tokens.
pub struct RunningJob {
    issuance: Arc<Issuance>,
    id: String,
    request_url: String,
    request_token: String,
}

impl RunningJob {
    /// The job's id on the control routes.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `ACTIONS_ID_TOKEN_REQUEST_URL`: it already has a query string, so the audience is appended
    /// with `&audience=`.
    pub fn request_url(&self) -> &str {
        &self.request_url
    }

    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`, a secret: the bearer that the request must show.
    pub fn request_token(&self) -> &str {
        &self.request_token
    }

    /// The variables a runner sets for a job that may ask for tokens.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", self.request_url.clone()),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", self.request_token.clone()),
        ]
    }

    /// The claims of a token for this audience, as of now and with a new `jti`; without an
    /// audience, GitHub's default (the owner's page).
    pub fn claims(&self, audience: Option<&str>) -> Value {
        self.issuance
            .claims(&self.id, audience)
            .unwrap_or(Value::Null)
    }

    /// A token for this audience, without asking over HTTP and whether or not the job is over.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn token(&self, audience: &str) -> Result<String, MintError> {
        let keys = self.issuance.keys();
        let header = keys.current().header();
        token::mint(
            &keys,
            &self.claims(Some(audience)),
            &header,
            SignWith::Current,
        )
    }

    /// Ends the job. From now on its request for a token is refused, as GitHub does.
    pub fn complete(&self) {
        self.issuance.complete(&self.id);
    }
}

impl std::fmt::Debug for RunningJob {
    // The request token is a secret and stays out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningJob")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
