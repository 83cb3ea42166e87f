//! A strict Azure on loopback: Entra ID's token endpoint, Resource Manager's role assignments and Privileged
//! Identity Management, and subsets of the Blob service and of Key Vault, on one port that speaks TLS only.
//!
//! It enforces what was granted and what was taken back, late if it is told to ([`Settings::effect_lag_seconds`]),
//! on the sandbox's [clock](SandboxClock). Everything is told apart by its path, as clients expect of the
//! authority host, of `management.azure.com` and of an emulated storage account (`/{account}/{container}/{blob}`).
//!
//! Assertions are checked on the wire clock, since those who sign them live in real time; access tokens, roles and
//! schedules live on the policy clock.
//!
//! What is different from Azure, on purpose or because nobody knows: bodies with fields that nobody may write are
//! refused; a condition outside the subset is refused; an expired schedule leaves no tail, a removed one does;
//! a role assignment that PIM made may be deleted at once, and its schedule goes with it ([`PimDeletion`] has the
//! other ways); plain role assignments
//! are no schedules; lists are never late, only enforcement is; groups have no members; nothing is eligible; user
//! delegation keys are not here. No document names the codes `InvalidCondition`, `InvalidScheduleInfo`,
//! `InvalidPolicyRule`, `RoleAssignmentRequestNotPending`, `DenyAssignmentNameExists` and the `…NotFound` of PIM:
//! nobody should rely on them.
//!
//! Every operation is judged by `judges/azure_sandbox.py`: Microsoft's Python clients, azure-cli and Azurite.

mod access_token;
mod arm;
mod audit;
mod authority;
mod blob;
mod body;
mod book;
mod cloud;
mod conditions;
mod control;
mod deny;
mod entra;
mod errors;
pub mod estate;
mod filters;
mod identifiers;
mod limits;
mod pim;
mod places;
mod rbac;
mod role_definitions;
mod roles;
mod scope;
mod server;
mod settings;
mod tenant;
mod vault;
mod world;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum_server::Handle;
use jiff::Timestamp;
use thiserror::Error;
use uuid::Uuid;

use crate::clock::SandboxClock;
use crate::faults::Faults;
use crate::journal::{Entry, UnderWay};
use crate::port::CannotListen;
use crate::tls::{CertificateError, Certificates};

pub use book::{EndedBy, GrantInfo, Origin};
use cloud::Cloud;
use estate::{Estate, FederatedCredential};
pub use limits::RateLimits;
pub use roles::{Permission, RoleDefinition, builtin};
pub use settings::{PimConditions, PimDeletion, Settings};
pub use tenant::EstateError;
use vault::VaultKeys;
pub use world::TokenInfo;

/// How to start a sandbox.
#[derive(Clone, Debug)]
pub struct AzureOptions {
    /// Where to listen; must be a loopback address. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// What exists at the start.
    pub estate: Estate,
    /// Makes ids and lifetimes repeat from run to run.
    pub seed: Option<u64>,
    /// Delays, modes and switches.
    pub settings: Settings,
    /// How many calls Resource Manager takes.
    pub limits: RateLimits,
}

impl AzureOptions {
    /// An estate on a free loopback port, without lag, with Azure's rates.
    pub fn new(estate: Estate) -> AzureOptions {
        AzureOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            estate,
            seed: None,
            settings: Settings::default(),
            limits: RateLimits::default(),
        }
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
    /// There are no certificates.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// No key could be made to sign tokens with.
    #[error("cannot generate an RSA key of 2048 bits")]
    Key,
}

/// A running sandbox. Dropping it stops it.
pub struct AzureSandbox {
    cloud: Arc<Cloud>,
    address: SocketAddr,
    authority_pem: String,
    server: Handle<SocketAddr>,
}

impl Drop for AzureSandbox {
    fn drop(&mut self) {
        self.server.shutdown();
    }
}

impl AzureSandbox {
    /// Builds the estate and begins to answer.
    ///
    /// # Errors
    /// An address that is not loopback, a port in use, or an estate that does not hold together.
    pub async fn start(options: AzureOptions) -> Result<AzureSandbox, StartError> {
        CannotListen::beyond_loopback(options.listen)?;
        // Searching for two primes takes a good part of a second, once in a process.
        let key = tokio::task::spawn_blocking(access_token::signing_key);
        key.await.ok().flatten().ok_or(StartError::Key)?;
        let estate = options.estate.clone();
        let vault_keys = tokio::task::spawn_blocking(move || VaultKeys::made_for(&estate));
        let vault_keys = vault_keys.await.ok().flatten().ok_or(StartError::Key)?;
        let cloud = Arc::new(Cloud::found(
            options.estate,
            options.seed,
            options.settings,
            options.limits,
            vault_keys,
        )?);
        let certificates = Certificates::make()?;
        let failed = CannotListen::at(options.listen);
        let listener = TcpListener::bind(options.listen).map_err(&failed)?;
        listener.set_nonblocking(true).map_err(&failed)?;
        let address = listener.local_addr().map_err(&failed)?;
        let router = Router::new()
            .fallback(server::handle)
            .with_state(Arc::clone(&cloud));
        let handle = Handle::new();
        let serving = axum_server::from_tcp(listener)
            .map_err(&failed)?
            .acceptor(certificates.acceptor())
            .handle(handle.clone())
            .serve(router.into_make_service());
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the Azure sandbox stopped");
            }
        });
        Ok(AzureSandbox {
            cloud,
            address,
            authority_pem: certificates.authority_pem,
            server: handle,
        })
    }

    /// Where everything answers, as `https://localhost:PORT`: the authority host, Resource Manager, and below it
    /// each storage account.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Where a storage account's blobs are, as `https://localhost:PORT/ACCOUNT`.
    pub fn blob_url(&self, account: &str) -> String {
        format!("{}/{account}", self.url())
    }

    /// The certificate that clients must trust, in PEM.
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// The tenant's id.
    pub fn tenant_id(&self) -> Uuid {
        self.cloud.tenant.id
    }

    /// The clock of tokens, roles and schedules.
    pub fn clock(&self) -> &SandboxClock {
        &self.cloud.clock
    }

    /// What goes wrong on purpose. Services are `entra`, `arm`, `blob` and `vault`; actions are the operation ids of
    /// the OpenAPI documents, as `RoleAssignments_Create`, and `Token`, `PutBlob`, `GetKey`, `Sign` and so on.
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

    /// Every access token that was given out, oldest first, also those whose answer was lost.
    pub fn tokens(&self) -> Vec<TokenInfo> {
        self.cloud.world().tokens.clone()
    }

    /// Every role assignment there ever was, oldest first.
    pub fn grants(&self) -> Vec<GrantInfo> {
        self.cloud.grants()
    }

    /// What gives a principal rights now, or will if nobody does anything. Empty means: nothing is left.
    pub fn keeps(&self, principal: Uuid) -> Vec<GrantInfo> {
        self.cloud.keeps(principal)
    }

    /// What gave a principal rights at a moment.
    pub fn enforced_at(&self, principal: Uuid, at: Timestamp) -> Vec<GrantInfo> {
        self.cloud.enforced_at(principal, at)
    }

    /// Whether a principal may do something at a scope now, on the control plane or on data, as far as no condition
    /// asks about more than the action. `None` when the scope cannot be read.
    pub fn would_allow(&self, principal: Uuid, action: &str, scope: &str) -> Option<bool> {
        self.cloud.would_allow(principal, action, scope)
    }

    /// An app trusts one more issuer and subject.
    ///
    /// # Errors
    /// There is no such app, or it trusts too many.
    pub fn trust(&self, client_id: Uuid, credential: FederatedCredential) -> Result<(), String> {
        self.cloud.trust(client_id, credential)
    }

    /// Switches an app's sign-in off or on. Tokens that it has go on.
    ///
    /// # Errors
    /// There is no such app.
    pub fn set_disabled(&self, client_id: Uuid, disabled: bool) -> Result<(), String> {
        self.cloud.set_disabled(client_id, disabled)
    }

    /// Switches a version of a key in a vault off or on.
    ///
    /// # Errors
    /// There is no such key.
    pub fn set_key(&self, name: &str, version: &str, enabled: bool) -> Result<(), String> {
        self.cloud.set_key(name, version, enabled)
    }

    /// Delays, modes and switches as they are.
    pub fn settings(&self) -> Settings {
        self.cloud.settings()
    }

    /// Delays, modes and switches from now on.
    pub fn set_settings(&self, settings: Settings) {
        self.cloud.set_settings(settings);
    }

    /// How many calls are taken, from now on.
    pub fn set_limits(&self, limits: RateLimits) {
        self.cloud.rates.set_limits(limits);
    }

    /// Back to the estate: writes, tokens, journal, faults and clock offsets are gone. The certificate stays.
    ///
    /// # Errors
    /// None that did not already appear at the start.
    pub fn reset(&self) -> Result<(), EstateError> {
        self.cloud.reset()
    }
}
