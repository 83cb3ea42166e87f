//! A strict Google Cloud on loopback: IAM Credentials, the token service, IAM, Resource Manager, Privileged Access
//! Manager and a subset of Cloud Storage on one port, with a metadata server beside them.
//!
//! It enforces what was granted and what was revoked. A call's API is found by its path, which on Google belongs to a
//! host of its own. Policies and conditions are evaluated for every call, on the sandbox's [clock](SandboxClock);
//! what is written takes effect after the [lags](Lags) of its kind.
//!
//! What is different from Google, on purpose: no organizations, folders and groups, few predefined roles and only the
//! permissions the sandbox knows, no deny policies, no tags, buckets have no versions, soft deletion or ACLs. Where
//! Google does not say what happens, the sandbox does what is worse for a caller that hopes: the URI of a resumable
//! upload outlives its account, and a disabled account is told what a missing right is told. [`Habits`]
//! have it the other way.

mod access;
mod accounts;
mod audit;
mod boundary;
mod cloud;
mod control;
mod directory;
mod errors;
pub mod estate;
mod expressions;
mod federation;
mod founding;
mod iamcredentials;
mod identifiers;
mod limits;
mod metadata;
mod pam;
mod policies;
mod policy;
mod principals;
mod projects;
mod roles;
mod route;
mod schema;
mod server;
mod storage;
mod tokens;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use thiserror::Error;

use crate::clock::SandboxClock;
use crate::faults::Faults;
use crate::journal::{Entry, UnderWay};
use crate::port::{CannotListen, Port};

pub use access::Verdict;
pub use audit::{AccountState, Standing, StandingBinding};
use cloud::Cloud;
pub use cloud::{Habits, Lags};
use estate::Estate;
pub use federation::ProviderError;
pub use founding::EstateError;
pub use identifiers::fingerprint;
pub use limits::RateLimits;
pub use storage::UploadInfo;
pub use tokens::{Origin, TokenInfo};

/// How to start a sandbox.
#[derive(Clone, Debug)]
pub struct GcpOptions {
    /// Where to listen; must be a loopback address. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// What exists at the start.
    pub estate: Estate,
    /// Makes ids, tokens and etags repeat from run to run.
    pub seed: Option<u64>,
    /// Disabling an account stops nothing: a broken cloud, to see that it is noticed.
    pub ignore_disabling: bool,
    /// How long after a write its effects come.
    pub lags: Lags,
    /// How many calls are taken.
    pub limits: RateLimits,
}

impl GcpOptions {
    /// An estate on a free loopback port, obedient, without lag, with Google's rates.
    pub fn new(estate: Estate) -> GcpOptions {
        GcpOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            estate,
            seed: None,
            ignore_disabling: false,
            lags: Lags::default(),
            limits: RateLimits::default(),
        }
    }
}

impl Default for GcpOptions {
    fn default() -> GcpOptions {
        GcpOptions::new(Estate::new())
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
pub struct GcpSandbox {
    cloud: Arc<Cloud>,
    port: Port,
}

impl GcpSandbox {
    /// Builds the estate and begins to answer.
    ///
    /// # Errors
    /// An address that is not loopback, a port in use, or an estate that does not hold together.
    pub async fn start(options: GcpOptions) -> Result<GcpSandbox, StartError> {
        let cloud = Cloud::found(options.estate, options.seed, options.limits)?;
        cloud
            .settings
            .set_ignore_disabling(options.ignore_disabling);
        cloud.settings.set_lags(options.lags);
        let router = Router::new()
            .fallback(server::handle)
            .with_state(Arc::clone(&cloud));
        let port = Port::open(options.listen, router).await?;
        Ok(GcpSandbox { cloud, port })
    }

    /// Where it answers, as `http://127.0.0.1:PORT`: for every API, and for the metadata server.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
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

    /// The calls that have arrived and are not over, oldest first.
    pub fn under_way(&self) -> Vec<UnderWay> {
        self.cloud.journal.under_way()
    }

    /// A token of an account or a person of the estate, for everything and an hour, as its own workload would have
    /// it. `None` when there is nobody of that address.
    pub fn token_for(&self, who: &str) -> Option<String> {
        self.cloud.token_for(who, None, None)
    }

    /// The same, for these scopes and this long.
    pub fn token_with(&self, who: &str, scopes: &[&str], lifetime_seconds: i64) -> Option<String> {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.cloud
            .token_for(who, Some(scopes), Some(lifetime_seconds))
    }

    /// Every token that was given out, oldest first, also those whose answer was lost.
    pub fn tokens(&self) -> Vec<TokenInfo> {
        self.cloud
            .tokens
            .all()
            .iter()
            .map(|token| token.info())
            .collect()
    }

    /// Everything that gives a principal rights now, or may do so later: its bindings, tokens and open uploads. It is
    /// named by address, or as a policy names it.
    pub fn standing(&self, who: &str) -> Standing {
        self.cloud.standing(who)
    }

    /// What would be decided now if a token were used, named by its [`fingerprint`], on a resource, as
    /// `projects/_/buckets/B/objects/O`. `None` when there is no such token or no such resource.
    pub fn would_allow(&self, token: &str, permission: &str, resource: &str) -> Option<Verdict> {
        self.cloud.would_allow(token, permission, resource)
    }

    /// The text of an object.
    pub fn object(&self, bucket: &str, name: &str) -> Option<String> {
        self.cloud.objects.read().text(bucket, name)
    }

    /// Disabling an account stops nothing from now on, or does again.
    pub fn set_ignore_disabling(&self, ignore: bool) {
        self.cloud.settings.set_ignore_disabling(ignore);
    }

    /// How long after a write its effects come, from the next write on.
    pub fn set_lags(&self, lags: Lags) {
        self.cloud.settings.set_lags(lags);
    }

    /// What it does from now on where Google does not say.
    pub fn set_habits(&self, habits: Habits) {
        self.cloud.settings.set_habits(habits);
    }

    /// How many calls are taken, from now on.
    pub fn set_limits(&self, limits: RateLimits) {
        self.cloud.rates.set_limits(limits);
    }

    /// Back to the estate: tokens, writes, objects, journal, faults and clock offsets are gone.
    ///
    /// # Errors
    /// None that did not already appear at the start.
    pub fn reset(&self) -> Result<(), EstateError> {
        self.cloud.reset()
    }
}
