//! The stage: three clouds, a CI and a broker on loopback, each as it would be in an estate.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use jitney_aws::{AwsAdapter, AwsTarget, Identities};
use jitney_azure::{Assertion, AzureAdapter, AzureTarget, CannotSign, SignAssertion};
use jitney_broker::{Broker, BrokerOptions, Hooks, RunningBroker, SystemClock};
use jitney_client::{Client, Environment, TokenSource};
use jitney_core::adapter::Adapter;
use jitney_core::audit::{SEED_LENGTH, SigningKey, VerifierKey};
use jitney_core::books::Books;
use jitney_core::catalogue::{Inventory, Resource, Tier};
use jitney_core::handle::StampKey;
use jitney_core::id::{InstallationName, TargetName};
use jitney_core::pulse::Pulse;
use jitney_core::reconcile::{Lanes, Untold};
use jitney_core::time::Clock as _;
use jitney_core::usecase::{Core, Limits, LookedBack, Slots};
use jitney_gcp::{GcpAdapter, GcpTarget, Identity};
use jitney_identity::assertions::{AssertionIssuer, AssertionKey};
use jitney_identity::{IssuerConfig, Issuers, Verifier};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use jitney_policies::{CedarPolicies, SourceFile, Sources};
use jitney_sandbox::azure::Settings;
use jitney_sandbox::ci::{CiIssuer, CiOptions, GithubJob, RunningJob};
use jitney_sandbox::{AwsOptions, AwsSandbox, AzureOptions, AzureSandbox, GcpOptions, GcpSandbox};
use serde_json::json;
use zeroize::Zeroizing;

use crate::clock::DemoClock;
use crate::estate::{aws, azure, google};

/// How the broker is called in the tokens of this story.
pub const AUDIENCE: &str = "https://jitney.acme.example";
/// How long the clouds take to enforce what was written. AWS: a few seconds; Azure: up to ten minutes.
const LAG_SECONDS: u32 = 1;
/// How long the broker waits until what ends a lease counts as enforced.
pub const SETTLE_SECONDS: u32 = 2;
/// How long the broker waits for the cloud's answer, and when a lease without one is doubted.
const ELEVATE_DEADLINE_SECONDS: u32 = 2;
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long a job may be silent.
const SILENCE: Duration = Duration::from_secs(45);
/// The targets: one for each cloud, and one more for Azure's other way.
const AWS: &str = "acme-aws";
const AZURE: &str = "acme-azure";
const AZURE_PREVIEW: &str = "acme-azure-preview";
const GOOGLE: &str = "acme-google";
/// The certificates by which the Azure of this story is believed.
const AUTHORITIES: &str = "azure-ca.pem";
const LANE_PAUSE: Duration = Duration::from_millis(200);
/// The policy that comes with Jitney, two rules about `acme/shop`, and one for the other clouds.
const POLICIES: [(&str, &str); 2] = [
    (
        "starter.cedar",
        include_str!("../../policies/starter.cedar"),
    ),
    ("elsewhere.cedar", include_str!("elsewhere.cedar")),
];

/// Why the stage could not be set.
#[derive(Debug, thiserror::Error)]
#[error("the demonstration cannot start: {0}")]
pub struct CannotStage(String);

pub fn cannot(error: impl std::fmt::Display) -> CannotStage {
    CannotStage(error.to_string())
}

/// Everything the story is played with.
pub struct Stage {
    /// Amazon's cloud.
    pub cloud: AwsSandbox,
    /// Microsoft's.
    pub azure: AzureSandbox,
    /// Google's.
    pub google: GcpSandbox,
    /// The CI.
    pub ci: CiIssuer,
    directory: tempfile::TempDir,
    identities: Identities,
    seed: Zeroizing<[u8; SEED_LENGTH]>,
    clock: Arc<DemoClock>,
    /// Where every broker listens, also the one after a crash: Azure trusts the issuer by its URL.
    listen: SocketAddr,
    issuer: Arc<AssertionIssuer>,
}

/// What the broker says of its identities, signed. Signatures are checked by the real time.
#[derive(Debug)]
struct Signer(Arc<AssertionIssuer>);

#[async_trait]
impl SignAssertion for Signer {
    async fn sign(
        &self,
        subject: &str,
        audience: &str,
        lives: Duration,
    ) -> Result<Assertion, CannotSign> {
        let now = SystemClock.now();
        let signed = self.0.assertion(subject, audience, now, lives).await;
        let signed = signed.map_err(|error| CannotSign::Refused(error.to_string()))?;
        Ok(Assertion {
            text: signed.text,
            expires_at: signed.expires_at,
            id: signed.id,
        })
    }
}

impl Stage {
    /// Starts the clouds and the CI, and makes an empty directory for the ledger.
    pub async fn set(ignore_deny: bool) -> Result<Self, CannotStage> {
        let (access_key_id, secret) = ("AKIADEMOJITNEYBROKER", random_hex()?);
        let cloud = AwsSandbox::start(AwsOptions {
            ignore_deny,
            iam_lag_seconds: LAG_SECONDS.into(),
            ..AwsOptions::new(aws::estate(access_key_id, &secret))
        })
        .await
        .map_err(cannot)?;
        let listen = free_address()?;
        let issuer = own_issuer(listen)?;
        let azure = AzureSandbox::start(AzureOptions {
            settings: Settings {
                effect_lag_seconds: LAG_SECONDS,
                ..Settings::default()
            },
            ..AzureOptions::new(azure::estate(issuer.url()))
        })
        .await
        .map_err(cannot)?;
        let google = GcpSandbox::start(GcpOptions::new(google::estate()));
        let google = google.await.map_err(cannot)?;
        let ci = CiIssuer::start(CiOptions::default())
            .await
            .map_err(cannot)?;
        let credentials = Credentials::new(access_key_id, secret, None, None, "demo");
        let identities = Identities::one(SharedCredentialsProvider::new(credentials));
        let directory = tempfile::tempdir().map_err(cannot)?;
        let authorities = directory.path().join(AUTHORITIES);
        std::fs::write(authorities, azure.authority_pem()).map_err(cannot)?;
        let seed = SigningKey::fresh_seed().map_err(cannot)?;
        Ok(Self {
            cloud,
            azure,
            google,
            ci,
            directory,
            identities,
            seed,
            clock: Arc::default(),
            listen,
            issuer,
        })
    }

    /// Where the ledger is.
    pub fn ledger_path(&self) -> PathBuf {
        self.directory.path().join("ledger.db")
    }

    /// The key that signs the audit log.
    pub fn audit_key(&self) -> Result<SigningKey, CannotStage> {
        SigningKey::from_seed("jitney/demo", &self.seed).map_err(cannot)
    }

    /// The key that verifies it.
    pub fn verifier_key(&self) -> Result<VerifierKey, CannotStage> {
        Ok(self.audit_key()?.verifier())
    }

    /// Starts a broker on the ledger, as the first time or after a crash.
    pub async fn start_broker(&self) -> Result<RunningBroker, CannotStage> {
        Broker::start(BrokerOptions {
            core: self.core()?,
            verifier: self.verifier()?,
            audit_key: self.audit_key()?,
            listen: self.listen,
            tls: None,
            public_url: None,
            issuer: Some(Arc::clone(&self.issuer)),
            hooks: Hooks::default(),
            metrics: Arc::default(),
            metrics_listen: None,
            alarms: None,
            admin_socket: None,
            lane_pause: LANE_PAUSE,
        })
        .await
        .map_err(cannot)
    }

    /// Lets time pass at once, for the broker and for the clouds.
    pub fn set_on(&self, seconds: u32) {
        self.clock.set_on(seconds);
        self.azure.clock().advance_seconds(seconds.into());
        self.google.clock().advance_seconds(seconds.into());
    }

    fn core(&self) -> Result<Core, CannotStage> {
        let ledger = SqliteLedger::open(&SqliteOptions::at(self.ledger_path())).map_err(cannot)?;
        let installation: InstallationName = "demo".parse().map_err(cannot)?;
        let adapters = self.adapters(&installation)?;
        let clouds = adapters.iter().map(|(name, adapter)| {
            let cloud = adapter.cloud().clone();
            (name.clone(), cloud)
        });
        let catalogue = jitney_policies::catalogue(None).map_err(cannot)?;
        let policies = CedarPolicies::load(&Sources {
            files: POLICIES
                .map(|(name, text)| SourceFile {
                    name: name.to_owned(),
                    text: text.to_owned(),
                })
                .into(),
            catalogue: catalogue.clone(),
            issuers: BTreeSet::from([self.ci.url()]),
            clouds: clouds.collect(),
        })
        .map_err(cannot)?;
        let stamp = StampKey::new(installation, self.seed.as_slice())
            .ok_or_else(|| cannot("no stamp key"))?;
        Ok(Core {
            books: Books::new(Arc::new(ledger), SILENCE),
            adapters,
            policy: Arc::new(policies),
            inventory: inventory()?,
            catalogue,
            clock: self.clock.clone(),
            stamp,
            limits: Limits {
                answer_within: ANSWER_WITHIN,
                ..Limits::default()
            },
            pulse: Pulse::default(),
            lanes: Lanes::of(format!("demo-{}", random_hex()?)),
            slots: Slots::default(),
            looked_back: LookedBack::default(),
            untold: Untold::default(),
        })
    }

    fn adapters(
        &self,
        installation: &InstallationName,
    ) -> Result<BTreeMap<TargetName, Arc<dyn Adapter>>, CannotStage> {
        Ok(BTreeMap::from([
            (target(AWS)?, self.on_aws(installation.clone())?),
            (
                target(AZURE)?,
                self.on_azure(AZURE, azure::PROD, installation.clone())?,
            ),
            (
                target(AZURE_PREVIEW)?,
                self.on_azure(AZURE_PREVIEW, azure::PREVIEW, installation.clone())?,
            ),
            (target(GOOGLE)?, self.on_google(installation.clone())?),
        ]))
    }

    fn on_aws(&self, installation: InstallationName) -> Result<Arc<dyn Adapter>, CannotStage> {
        let config: AwsTarget = serde_json::from_value(json!({
            "account": aws::ACCOUNT,
            "region": aws::REGION,
            "endpoint_url": self.cloud.url(),
            "elevate_deadline_seconds": ELEVATE_DEADLINE_SECONDS,
            "settle_seconds": SETTLE_SECONDS,
            "write_interval_milliseconds": 200,
        }))
        .map_err(cannot)?;
        let clock = self.clock.clone();
        let (name, identities) = (target(AWS)?, &self.identities);
        let adapter = AwsAdapter::new(name, config, installation, identities, clock);
        Ok(Arc::new(adapter.map_err(cannot)?))
    }

    fn on_azure(
        &self,
        name: &str,
        place: azure::Place,
        installation: InstallationName,
    ) -> Result<Arc<dyn Adapter>, CannotStage> {
        let authorities = self.directory.path().join(AUTHORITIES);
        let config = place.target(&self.azure.url(), &authorities, SETTLE_SECONDS);
        let config: AzureTarget = serde_json::from_value(config).map_err(cannot)?;
        let signer = Arc::new(Signer(Arc::clone(&self.issuer)));
        let identities = jitney_azure::Identities::of(&config, signer).map_err(cannot)?;
        let (name, clock) = (target(name)?, self.clock.clone());
        let adapter = AzureAdapter::new(name, config, installation, identities, clock);
        let adapter = adapter.map_err(cannot)?.timed_by(self.clock.clone());
        Ok(Arc::new(adapter))
    }

    fn on_google(&self, installation: InstallationName) -> Result<Arc<dyn Adapter>, CannotStage> {
        let config = google::target(&self.google.url(), SETTLE_SECONDS);
        let config: GcpTarget = serde_json::from_value(config).map_err(cannot)?;
        let token = self.google.token_for(google::BROKER);
        let identity = Identity::token(token.ok_or_else(|| cannot("no broker at Google"))?);
        let (name, clock) = (target(GOOGLE)?, self.clock.clone());
        let resources = inventory()?;
        let resources = resources.iter().map(|(_, resource)| resource);
        let adapter = GcpAdapter::new(name, config, installation, identity, clock, resources);
        Ok(Arc::new(adapter.map_err(cannot)?))
    }

    fn verifier(&self) -> Result<Verifier, CannotStage> {
        let issuer: IssuerConfig = serde_json::from_value(json!({
            "name": "sandbox-ci",
            "url": self.ci.url(),
            "provider": "github-actions",
            "audience": AUDIENCE,
            "allow_private": true,
        }))
        .map_err(cannot)?;
        Verifier::new(Issuers::new(vec![issuer]).map_err(cannot)?).map_err(cannot)
    }

    /// A job of the CI with a client of its own, that knows the broker.
    pub fn job(&self, claims: GithubJob, broker: &RunningBroker) -> Result<Job, CannotStage> {
        let running = self.ci.job(claims);
        let origin = broker.url().origin().ascii_serialization();
        let client = Client::new(origin.parse().map_err(cannot)?, None).map_err(cannot)?;
        let mut environment = Environment::default();
        for (name, value) in running.environment() {
            environment.set(name, value);
        }
        let tokens = TokenSource::find(&environment, None).map_err(cannot)?;
        Ok(Job {
            client,
            tokens,
            running,
        })
    }

    /// Has the CI mint a token for a job and keeps it, as somebody who reads its memory could.
    pub fn captured(&self, job: &Job) -> Result<PathBuf, CannotStage> {
        let path = self.directory.path().join("captured-token");
        let token = job.running.token(AUDIENCE).map_err(cannot)?;
        std::fs::write(&path, token).map_err(cannot)?;
        Ok(path)
    }

    /// Where a kept token comes from.
    pub fn replay(&self, path: &Path) -> TokenSource {
        TokenSource::File(path.to_owned())
    }
}

/// A job: its client, and where its tokens come from.
pub struct Job {
    /// The client, with a proof key of its own.
    pub client: Client,
    /// Where its tokens come from.
    pub tokens: TokenSource,
    /// The CI's side of it.
    running: RunningJob,
}

fn target(name: &str) -> Result<TargetName, CannotStage> {
    name.parse().map_err(cannot)
}

fn inventory() -> Result<Inventory, CannotStage> {
    let resource = |target_name: &str, native_id: String, via: Option<&str>| {
        Ok::<_, CannotStage>(Resource {
            target: target(target_name)?,
            native_id,
            via: via.map(str::to_owned),
            tier: Tier::Standard,
            owner: "platform".to_owned(),
        })
    };
    let bucket = format!("arn:aws:s3:::{}", aws::BUCKET);
    let named = [
        (aws::BUCKET, resource(AWS, bucket, Some(aws::ROLE))?),
        (
            "packages-azure",
            resource(AZURE, azure::PROD.container(), None)?,
        ),
        (
            "previews-azure",
            resource(AZURE_PREVIEW, azure::PREVIEW.container(), None)?,
        ),
        (
            "reports-google",
            resource(GOOGLE, google::bucket(), Some(google::VIA))?,
        ),
    ];
    let named = named.map(|(name, resource)| Ok((name.parse().map_err(cannot)?, resource)));
    let named: Result<_, CannotStage> = named.into_iter().collect();
    Ok(Inventory::new(named?))
}

/// A port of loopback that nobody listens at.
fn free_address() -> Result<SocketAddr, CannotStage> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(cannot)?;
    listener.local_addr().map_err(cannot)
}

/// The broker as an issuer of its own: what Azure's pool of identities trusts.
fn own_issuer(listen: SocketAddr) -> Result<Arc<AssertionIssuer>, CannotStage> {
    let pem = AssertionKey::generate_pem().map_err(cannot)?;
    let key = AssertionKey::from_pem(pem.as_bytes()).map_err(cannot)?;
    let url = format!("http://{listen}");
    let issuer = AssertionIssuer::new(&url, key, Vec::new()).map_err(cannot)?;
    Ok(Arc::new(issuer))
}

/// 16 random bytes as text.
fn random_hex() -> Result<String, CannotStage> {
    let seed = SigningKey::fresh_seed().map_err(cannot)?;
    Ok(seed
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
