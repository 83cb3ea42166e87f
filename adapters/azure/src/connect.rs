//! The way to Azure: credentials, clients, and how long they wait.
//!
//! Nothing is taken from the environment. The SDK's own defaults would look there for an authority,
//! a tenant and an identity, so each is given by hand.

use core::time::Duration;
use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use azure_identity::{
    ClientAssertionCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use url::{Host, Url};

use crate::arm::Arm;
use crate::assertion::{BROKER_SUBJECT, Login, Says, SignAssertion};
use crate::config::{AzureTarget, CredentialSource};

/// How long a connection may take.
const CONNECT_SECONDS: u64 = 3;
/// How long one attempt of a call may take.
const ATTEMPT_SECONDS: u64 = 20;
/// How often a call that only looks is tried again, and for how long in all.
const LOOK_RETRIES: u32 = 2;
const LOOK_SECONDS: i64 = 10;

/// Why Azure cannot be called as a target's configuration says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotConnect(String);

/// How calls leave: by which certificates, to which authority.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    http: reqwest::Client,
    transport: Transport,
    authority: Url,
}

impl Way {
    fn of(target: &AzureTarget) -> Result<Self, CannotConnect> {
        let addresses = [&target.endpoint, &target.authority];
        let mut addresses = addresses.into_iter().chain(&target.blob_endpoint);
        let mut client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
            .timeout(Duration::from_secs(ATTEMPT_SECONDS))
            // Where a bearer token goes is written in the configuration, and never in an answer.
            .redirect(reqwest::redirect::Policy::none());
        // What is on this machine no proxy can reach, nor must it see.
        if addresses.any(is_loopback) {
            client = client.no_proxy();
        }
        if let Some(file) = &target.certificate_authorities_file {
            let cannot = |why: String| {
                let told = format!(
                    "the certificates in `{}` cannot be used: {why} (`certificate_authorities_file`)",
                    file.display()
                );
                CannotConnect(told)
            };
            let pem = std::fs::read(file).map_err(|error| cannot(error.to_string()))?;
            let bundle = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| cannot(error.to_string()))?;
            client = client.tls_certs_merge(bundle);
        }
        let client = client
            .build()
            .map_err(|error| CannotConnect(format!("there is no TLS: {error}")))?;
        Ok(Self {
            transport: Transport::new(Arc::new(client.clone())),
            http: client,
            authority: target.authority.clone(),
        })
    }

    /// For calls with a token that was handed out, beside the SDK.
    pub(crate) const fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Options of a client that never tries twice: an attempt whose answer was lost may land after
    /// the next one.
    pub(crate) fn once(&self) -> ClientOptions {
        self.options(RetryOptions::none())
    }

    /// Options of a client that only looks.
    pub(crate) fn patiently(&self) -> ClientOptions {
        self.options(RetryOptions::exponential(ExponentialRetryOptions {
            max_retries: LOOK_RETRIES,
            max_total_elapsed: azure_core::time::Duration::seconds(LOOK_SECONDS),
            ..ExponentialRetryOptions::default()
        }))
    }

    fn options(&self, retry: RetryOptions) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = self.authority.as_str().trim_end_matches('/').to_owned();
        ClientOptions {
            retry,
            transport: Some(self.transport.clone()),
            // Always given, or the SDK would take `AZURE_AUTHORITY_HOST` from the environment.
            cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
            ..ClientOptions::default()
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// With whose credentials Jitney gives and takes back, and who speaks for its slots. Two identities,
/// where the operator wants that a stolen one can do only half.
#[derive(Debug, Clone)]
pub struct Identities {
    pub(crate) granter: Arc<dyn TokenCredential>,
    pub(crate) revoker: Arc<dyn TokenCredential>,
    pub(crate) signer: Arc<dyn SignAssertion>,
    pub(crate) way: Way,
}

impl Identities {
    /// The identities that a target's configuration names. `signer` is the broker's own issuer.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be used.
    pub fn of(target: &AzureTarget, signer: Arc<dyn SignAssertion>) -> Result<Self, CannotConnect> {
        let way = Way::of(target)?;
        let granter = credential(&target.credentials, target, &way, &signer)?;
        let revoker = match &target.revoker_credentials {
            Some(source) => credential(source, target, &way, &signer)?,
            None => Arc::clone(&granter),
        };
        Ok(Self {
            granter,
            revoker,
            signer,
            way,
        })
    }
}

fn credential(
    source: &CredentialSource,
    target: &AzureTarget,
    way: &Way,
    signer: &Arc<dyn SignAssertion>,
) -> Result<Arc<dyn TokenCredential>, CannotConnect> {
    let unusable = |error: azure_core::Error| CannotConnect(format!("`credentials`: {error}"));
    Ok(match source {
        CredentialSource::Issuer { client_id } => Arc::new(Login {
            way: way.clone(),
            tenant: target.tenant,
            client_id: *client_id,
            says: Says {
                signer: Arc::clone(signer),
                subject: BROKER_SUBJECT.to_owned(),
            },
        }),
        CredentialSource::WorkloadIdentity {
            client_id,
            token_file,
        } => {
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions {
                    client_options: way.patiently(),
                },
                client_id: Some(client_id.to_string()),
                tenant_id: Some(target.tenant.to_string()),
                token_file_path: Some(token_file.clone()),
            };
            WorkloadIdentityCredential::new(Some(options)).map_err(unusable)?
        }
        CredentialSource::ManagedIdentity { client_id } => {
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.map(|id| UserAssignedId::ClientId(id.to_string())),
                ..ManagedIdentityCredentialOptions::default()
            };
            ManagedIdentityCredential::new(Some(options)).map_err(unusable)?
        }
    })
}

/// The clients of one target.
#[derive(Debug)]
pub(crate) struct Clients {
    /// Gives: never tries twice.
    pub(crate) giving: Arm,
    /// Looks, as the same identity.
    pub(crate) looking: Arm,
    /// Takes back: never tries twice either. It is tried again by those who remember.
    pub(crate) taking: Arm,
    /// Looks, as the identity that takes back.
    pub(crate) reading: Arm,
}

impl Clients {
    pub(crate) fn new(target: &AzureTarget, identities: &Identities) -> Self {
        let Identities {
            granter,
            revoker,
            way,
            ..
        } = identities;
        let endpoint = &target.endpoint;
        Self {
            giving: Arm::new(endpoint, granter, way.once()),
            looking: Arm::new(endpoint, granter, way.patiently()),
            taking: Arm::new(endpoint, revoker, way.once()),
            reading: Arm::new(endpoint, revoker, way.patiently()),
        }
    }
}
