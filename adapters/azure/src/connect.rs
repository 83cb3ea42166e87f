//! The way to Azure: credentials, clients, and how long they wait.
//!
//! Nothing is taken from the environment, but for where App Service has put the machine's identity.
//! The SDK's own defaults would look there for an authority, a tenant and an identity, so each is
//! given by hand.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};
use url::{Host, Url};
use uuid::Uuid;

use crate::arm::Arm;
use crate::assertion::{BROKER_SUBJECT, Login, Says, SignAssertion};
use crate::config::{AzureTarget, CredentialSource, PlatformIdentity};

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
pub struct CannotConnect(pub(crate) String);

/// How calls leave: by which certificates, to which authority.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    http: reqwest::Client,
    transport: Transport,
    authority: Url,
}

impl Way {
    /// The way to these addresses, with Entra at another.
    pub(crate) fn to<'a>(
        addresses: impl IntoIterator<Item = &'a Url>,
        authority: &'a Url,
        authorities_file: Option<&Path>,
    ) -> Result<Self, CannotConnect> {
        let mut client = plain_client();
        // What is on this machine no proxy can reach, nor must it see.
        if addresses.into_iter().chain([authority]).any(is_loopback) {
            client = client.no_proxy();
        }
        if let Some(file) = authorities_file {
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
        let http = built(client)?;
        Ok(Self {
            transport: Transport::new(Arc::new(http.clone())),
            http,
            authority: authority.clone(),
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

fn plain_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
        .timeout(Duration::from_secs(ATTEMPT_SECONDS))
        // Where a bearer token goes is written in the configuration, and never in an answer.
        .redirect(reqwest::redirect::Policy::none())
}

fn built(client: reqwest::ClientBuilder) -> Result<reqwest::Client, CannotConnect> {
    let client = client.build();
    client.map_err(|error| CannotConnect(format!("there is no TLS: {error}")))
}

pub(crate) fn is_loopback(url: &Url) -> bool {
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
        let authorities = target.certificate_authorities_file.as_deref();
        let addresses = [&target.endpoint].into_iter().chain(&target.blob_endpoint);
        let way = Way::to(addresses, &target.authority, authorities)?;
        let credential = |source: &CredentialSource| match source {
            CredentialSource::Issuer { client_id } => {
                let credential: Arc<dyn TokenCredential> = Arc::new(Login {
                    way: way.clone(),
                    tenant: target.tenant,
                    client_id: *client_id,
                    says: Says::Signed {
                        signer: Arc::clone(&signer),
                        subject: BROKER_SUBJECT.to_owned(),
                        audience: target.environment.exchange(),
                    },
                });
                Ok(credential)
            }
            CredentialSource::OfPlatform(source) => source.credential(target.tenant, &way),
        };
        let granter = credential(&target.credentials)?;
        let revoker = match &target.revoker_credentials {
            Some(source) => credential(source)?,
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

impl PlatformIdentity {
    /// The credential of this identity. A file that is not there yet is told at once.
    pub(crate) fn credential(
        &self,
        tenant: Uuid,
        way: &Way,
    ) -> Result<Arc<dyn TokenCredential>, CannotConnect> {
        match self {
            Self::WorkloadIdentity {
                client_id,
                token_file,
            } => {
                if let Err(error) = std::fs::metadata(token_file) {
                    let file = token_file.display();
                    let told = format!("the token file `{file}` cannot be used: {error}");
                    return Err(CannotConnect(told));
                }
                Ok(Arc::new(Login {
                    way: way.clone(),
                    tenant,
                    client_id: *client_id,
                    says: Says::InFile(token_file.clone()),
                }))
            }
            Self::ManagedIdentity { client_id } => {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.map(|id| UserAssignedId::ClientId(id.to_string())),
                    client_options: ClientOptions {
                        // It is asked over plain HTTP, on this machine or its host.
                        transport: Some(Transport::new(Arc::new(built(
                            plain_client().no_proxy(),
                        )?))),
                        ..way.patiently()
                    },
                };
                let credential = ManagedIdentityCredential::new(Some(options));
                let credential =
                    credential.map_err(|error| CannotConnect(format!("`credentials`: {error}")))?;
                Ok(credential)
            }
        }
    }
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
        let arm = |who, options| {
            let scope = target.environment.management();
            Arm::new(&target.endpoint, who, scope, options)
        };
        Self {
            giving: arm(granter, way.once()),
            looking: arm(granter, way.patiently()),
            taking: arm(revoker, way.once()),
            reading: arm(revoker, way.patiently()),
        }
    }
}
