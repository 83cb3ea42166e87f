//! The way to AWS: credentials, clients, and how long they wait.
//!
//! Nothing is taken from the environment but credentials, and those only from the sources the
//! configuration names. The clients are built by hand for that reason: the SDK's own loader would
//! also take an address or a region from variables and profile files.

use core::time::Duration;
use std::sync::Arc;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_iam::Client as Iam;
use aws_sdk_sts::Client as Sts;
use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::config::{
    BehaviorVersion, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls;
use jitney_core::cloud_clock::CloudClock;

use crate::cloud_clock::{SdkTime, Watch};
use crate::config::{AmbientEndpoint, AwsTarget, CredentialSource, refuse_ambient_endpoints};

/// How long a connection may take.
const CONNECT_SECONDS: u64 = 3;
/// How long one call to IAM may take, all attempts together, and each of them.
const IAM_SECONDS: u64 = 8;
const IAM_ATTEMPT_SECONDS: u64 = 5;
/// How often a call that only looks is tried.
const LOOK_ATTEMPTS: u32 = 2;

/// With whose credentials Jitney gives and takes back. Two identities, where the operator wants
/// that a stolen one can do only half.
#[derive(Debug, Clone)]
pub struct Identities {
    /// Assumes the roles.
    pub granter: SharedCredentialsProvider,
    /// Writes their deny lists.
    pub revoker: SharedCredentialsProvider,
}

impl Identities {
    /// One identity for both.
    #[must_use]
    pub fn one(identity: SharedCredentialsProvider) -> Self {
        Self {
            granter: identity.clone(),
            revoker: identity,
        }
    }

    /// The identities that a target's configuration names.
    ///
    /// # Errors
    /// When the environment would send calls to an address that nobody configured.
    pub fn of(target: &AwsTarget) -> Result<Self, AmbientEndpoint> {
        let variables = std::env::vars_os();
        refuse_ambient_endpoints(variables.map(|(name, _)| name.to_string_lossy().into_owned()))?;
        let granter = provider(&target.credentials, target);
        let revoker = match &target.revoker_credentials {
            Some(source) => provider(source, target),
            None => granter.clone(),
        };
        Ok(Self { granter, revoker })
    }
}

/// The sources of `source`, in the order of AWS's own chain. The instance's metadata are asked
/// only where the configuration says so: on a machine that is not an EC2 instance, whoever
/// answers at that address would hand us an identity.
fn provider(source: &CredentialSource, target: &AwsTarget) -> SharedCredentialsProvider {
    let region = Region::new(target.region.clone());
    let config = ProviderConfig::without_region().with_region(Some(region));
    let profile = ProfileFileCredentialsProvider::builder().configure(&config);
    match source {
        CredentialSource::Profile { name } => {
            SharedCredentialsProvider::new(profile.profile_name(name).build())
        }
        CredentialSource::Ambient => {
            let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(&config);
            let container = EcsCredentialsProvider::builder().configure(&config);
            let environment = EnvironmentVariableCredentialsProvider::new();
            let chain = CredentialsProviderChain::first_try("environment", environment)
                .or_else("profile", profile.build())
                .or_else("web identity", web_identity.build())
                .or_else("container", container.build());
            SharedCredentialsProvider::new(if target.instance_metadata {
                let metadata = ImdsCredentialsProvider::builder().configure(&config);
                chain.or_else("instance metadata", metadata.build())
            } else {
                chain
            })
        }
    }
}

/// The clients of one target.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    /// Gives: never tries twice.
    pub(crate) giving: Sts,
    /// Looks at AWS's clock, as the same identity.
    pub(crate) looking: Sts,
    /// Reads policies.
    pub(crate) reading: Iam,
    /// Changes policies: never tries twice either. An attempt whose answer was lost may land
    /// after the next one, and the adapter must know of it.
    pub(crate) changing: Iam,
}

impl Clients {
    pub(crate) fn new(
        target: &AwsTarget,
        identities: &Identities,
        clock: &Arc<CloudClock>,
    ) -> Self {
        let deadline = target.deadline();
        let iam = Duration::from_secs(IAM_SECONDS);
        let attempt = Duration::from_secs(IAM_ATTEMPT_SECONDS);
        Self {
            giving: sts(target, identities, clock, 1, waits(deadline, deadline)),
            looking: sts(
                target,
                identities,
                clock,
                LOOK_ATTEMPTS,
                waits(deadline, deadline),
            ),
            reading: iam_client(
                target,
                identities,
                clock,
                LOOK_ATTEMPTS,
                waits(attempt, iam),
            ),
            changing: iam_client(target, identities, clock, 1, waits(attempt, attempt)),
        }
    }
}

fn waits(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS).min(attempt))
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

/// The two services' configurations are two types with the same methods.
macro_rules! client {
    ($service:ident, $target:ident, $identity:expr, $clock:ident, $attempts:ident, $waits:ident) => {{
        let config = $service::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new($target.region.clone()))
            .credentials_provider($identity.clone())
            .retry_config(RetryConfig::standard().with_max_attempts($attempts))
            .timeout_config($waits)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .time_source(SdkTime(Arc::clone($clock)))
            .interceptor(Watch(Arc::clone($clock)));
        let config = match &$target.endpoint_url {
            Some(url) if $target.is_plain_http() => config.endpoint_url(url).http_client(direct()),
            Some(url) => config.endpoint_url(url),
            None => config,
        };
        $service::Client::from_conf(config.build())
    }};
}

/// A client that asks no proxy. Plain HTTP is for this machine's loopback alone, which a proxy
/// cannot reach and must not see.
fn direct() -> SharedHttpClient {
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls)
        .build_https()
}

fn sts(
    target: &AwsTarget,
    identities: &Identities,
    clock: &Arc<CloudClock>,
    attempts: u32,
    waits: TimeoutConfig,
) -> Sts {
    client!(
        aws_sdk_sts,
        target,
        identities.granter,
        clock,
        attempts,
        waits
    )
}

fn iam_client(
    target: &AwsTarget,
    identities: &Identities,
    clock: &Arc<CloudClock>,
    attempts: u32,
    waits: TimeoutConfig,
) -> Iam {
    client!(
        aws_sdk_iam,
        target,
        identities.revoker,
        clock,
        attempts,
        waits
    )
}
