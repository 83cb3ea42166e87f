//! A strict AWS on loopback: STS, IAM and a subset of S3 on one port.
//!
//! It enforces what was granted and what was revoked. The service of a call is the one its signature was made
//! for; S3 is path-style. Policies are evaluated for every call, on the sandbox's [clock](SandboxClock).
//!
//! What is different from AWS, on purpose: the packed size of session policies is an estimate (one byte for each
//! character), session tokens carry nothing, one organization at most, no service control policies, buckets
//! have no versions and no ACLs, and `AssumeRoleWithWebIdentity` is not here (`InvalidAction`).

mod audit;
mod authenticate;
mod authority;
mod checksums;
mod cloud;
mod control;
mod credentials;
mod directory;
mod errors;
pub mod estate;
pub mod evaluate;
mod iam;
mod identifiers;
mod limits;
mod payload;
#[cfg(test)]
mod published_examples;
mod query_protocol;
mod s3;
mod server;
mod sigv4;
mod sts;
mod tags;
mod xml;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use thiserror::Error;

use crate::clock::SandboxClock;
use crate::faults::Faults;
use crate::journal::Entry;
use crate::port::{CannotListen, Port};

use cloud::Cloud;
pub use cloud::EstateError;
pub use credentials::SessionInfo;
use estate::{AccessKey, Estate};
use evaluate::Decision;
pub use limits::RateLimits;

/// How to start a sandbox.
#[derive(Clone, Debug)]
pub struct AwsOptions {
    /// Where to listen; must be a loopback address. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// What exists at the start.
    pub estate: Estate,
    /// Makes ids, keys and tokens repeat from run to run.
    pub seed: Option<u64>,
    /// Deny statements in inline policies of roles are ignored: a broken cloud, to see that it is noticed.
    pub ignore_deny: bool,
    /// How long after a write IAM begins to enforce it, in seconds of the sandbox's clock.
    pub iam_lag_seconds: i64,
    /// How many calls a second are taken.
    pub limits: RateLimits,
}

impl AwsOptions {
    /// An estate on a free loopback port, obedient, without lag, with AWS's rates.
    pub fn new(estate: Estate) -> AwsOptions {
        AwsOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            estate,
            seed: None,
            ignore_deny: false,
            iam_lag_seconds: 0,
            limits: RateLimits::default(),
        }
    }
}

impl Default for AwsOptions {
    fn default() -> AwsOptions {
        AwsOptions::new(Estate::new())
    }
}

/// Why a sandbox does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is no port to listen on.
    #[error(transparent)]
    Listen(#[from] CannotListen),
    /// The estate does not hold together.
    #[error(transparent)]
    Estate(#[from] EstateError),
}

/// A running sandbox. Dropping it stops it.
pub struct AwsSandbox {
    cloud: Arc<Cloud>,
    port: Port,
}

impl AwsSandbox {
    /// Builds the estate and begins to answer.
    ///
    /// # Errors
    /// An address that is not loopback, a port in use, or an estate that does not hold together.
    pub async fn start(options: AwsOptions) -> Result<AwsSandbox, StartError> {
        let cloud = Cloud::shared(options.estate, options.seed, options.limits)?;
        cloud.settings.set_ignore_deny(options.ignore_deny);
        cloud.settings.set_iam_lag_seconds(options.iam_lag_seconds);
        let router = Router::new()
            .fallback(server::handle)
            .with_state(Arc::clone(&cloud));
        let port = Port::open(options.listen, router).await?;
        Ok(AwsSandbox { cloud, port })
    }

    /// Where it answers, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// The estate's region.
    pub fn region(&self) -> &str {
        &self.cloud.estate.region
    }

    /// The clock of conditions, expiry and lag.
    pub fn clock(&self) -> &SandboxClock {
        &self.cloud.clock
    }

    /// What goes wrong on purpose.
    pub fn faults(&self) -> &Faults {
        &self.cloud.faults
    }

    /// Every call so far, oldest first.
    pub fn journal(&self) -> Vec<Entry> {
        self.cloud.journal.entries()
    }

    /// Every session that was given out, oldest first, also those whose answer was lost.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.cloud
            .keyring
            .sessions()
            .iter()
            .map(|session| session.info())
            .collect()
    }

    /// What would be decided now if a session, named by its access key id or ARN, made this call. `None` when
    /// there is no such session. An expired session is not asked about: it decides nothing any more.
    pub fn would_allow(&self, session: &str, action: &str, resource: &str) -> Option<Decision> {
        self.cloud.would_allow(session, action, resource)
    }

    /// The accounts with the keys of their roots and users, as JSON for other programs.
    pub fn accounts(&self) -> serde_json::Value {
        control::accounts(&self.cloud)
    }

    /// An account's own key.
    pub fn root_key(&self, account: &str) -> Option<AccessKey> {
        self.cloud
            .estate
            .accounts
            .iter()
            .find(|known| known.id == account)?
            .root
            .clone()
    }

    /// A user's first key.
    pub fn user_key(&self, account: &str, user: &str) -> Option<AccessKey> {
        let account = self
            .cloud
            .estate
            .accounts
            .iter()
            .find(|known| known.id == account)?;
        account
            .users
            .iter()
            .find(|known| known.name == user)?
            .access_keys
            .first()
            .cloned()
    }

    /// Deny statements in inline policies of roles are ignored from now on, or no longer.
    pub fn set_ignore_deny(&self, ignore: bool) {
        self.cloud.settings.set_ignore_deny(ignore);
    }

    /// How long after a write IAM begins to enforce it, from the next write on.
    pub fn set_iam_lag_seconds(&self, seconds: i64) {
        self.cloud.settings.set_iam_lag_seconds(seconds);
    }

    /// How many calls a second are taken, from now on.
    pub fn set_limits(&self, limits: RateLimits) {
        self.cloud.rates.set_limits(limits);
    }

    /// Back to the estate: sessions, writes, objects, journal, faults and clock offsets are gone. Keys stay.
    ///
    /// # Errors
    /// None that did not already appear at the start.
    pub fn reset(&self) -> Result<(), EstateError> {
        self.cloud.reset()
    }
}
