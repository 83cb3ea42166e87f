//! The stage: a cloud, a CI and a broker on loopback, each as it would be in an estate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use jitney_aws::{AwsAdapter, AwsTarget, Identities};
use jitney_broker::{Broker, BrokerOptions, Hooks, RunningBroker, SystemClock};
use jitney_client::{Client, Environment, TokenSource};
use jitney_core::adapter::Adapter;
use jitney_core::audit::{SEED_LENGTH, SigningKey, VerifierKey};
use jitney_core::books::Books;
use jitney_core::catalogue::{Inventory, Resource};
use jitney_core::handle::StampKey;
use jitney_core::id::{InstallationName, ResourceName, TargetName};
use jitney_core::pulse::Pulse;
use jitney_core::reconcile::Lanes;
use jitney_core::time::Clock;
use jitney_core::usecase::{Core, Limits, Slots};
use jitney_identity::{IssuerConfig, Issuers, Verifier};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use jitney_policies::{CedarPolicies, SourceFile, Sources};
use jitney_sandbox::ci::{CiIssuer, CiOptions, GithubJob, RunningJob};
use jitney_sandbox::{AwsOptions, AwsSandbox};
use serde_json::json;
use zeroize::Zeroizing;

use crate::estate::aws::{ACCOUNT, BUCKET, REGION, ROLE, estate};

/// How the broker is called in the tokens of this story.
pub const AUDIENCE: &str = "https://jitney.acme.example";
/// How long IAM takes to enforce what was written. AWS: a few seconds.
const IAM_LAG_SECONDS: i64 = 1;
/// How long the broker waits until a Deny counts as enforced.
pub const SETTLE_SECONDS: u32 = 2;
/// How long the broker waits for the cloud's answer, and when a lease without one is doubted.
const ELEVATE_DEADLINE_SECONDS: u32 = 2;
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long a job may be silent.
const SILENCE: Duration = Duration::from_secs(45);
const LANE_PAUSE: Duration = Duration::from_millis(200);
/// The policy that comes with Jitney: two rules about `acme/shop`.
const STARTER_POLICY: &str = include_str!("../../policies/starter.cedar");

/// Why the stage could not be set.
#[derive(Debug, thiserror::Error)]
#[error("the demonstration cannot start: {0}")]
pub struct CannotStage(String);

pub fn cannot(error: impl std::fmt::Display) -> CannotStage {
    CannotStage(error.to_string())
}

/// Everything the story is played with.
pub struct Stage {
    /// The cloud.
    pub cloud: AwsSandbox,
    /// The CI.
    pub ci: CiIssuer,
    directory: tempfile::TempDir,
    identities: Identities,
    seed: Zeroizing<[u8; SEED_LENGTH]>,
}

impl Stage {
    /// Starts the cloud and the CI, and makes an empty directory for the ledger.
    pub async fn set(ignore_deny: bool) -> Result<Self, CannotStage> {
        let (access_key_id, secret) = ("AKIADEMOJITNEYBROKER", random_hex()?);
        let cloud = AwsSandbox::start(AwsOptions {
            ignore_deny,
            iam_lag_seconds: IAM_LAG_SECONDS,
            ..AwsOptions::new(estate(access_key_id, &secret))
        })
        .await
        .map_err(cannot)?;
        let ci = CiIssuer::start(CiOptions::default())
            .await
            .map_err(cannot)?;
        let credentials = Credentials::new(access_key_id, secret, None, None, "demo");
        let identities = Identities::one(SharedCredentialsProvider::new(credentials));
        let directory = tempfile::tempdir().map_err(cannot)?;
        let seed = SigningKey::fresh_seed().map_err(cannot)?;
        Ok(Self {
            cloud,
            ci,
            directory,
            identities,
            seed,
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
            listen: ([127, 0, 0, 1], 0).into(),
            tls: None,
            public_url: None,
            issuer: None,
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

    fn core(&self) -> Result<Core, CannotStage> {
        let ledger = SqliteLedger::open(&SqliteOptions::at(self.ledger_path())).map_err(cannot)?;
        let target: TargetName = "acme-prod".parse().map_err(cannot)?;
        let installation: InstallationName = "demo".parse().map_err(cannot)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config: AwsTarget = serde_json::from_value(json!({
            "account": ACCOUNT,
            "region": REGION,
            "endpoint_url": self.cloud.url(),
            "elevate_deadline_seconds": ELEVATE_DEADLINE_SECONDS,
            "settle_seconds": SETTLE_SECONDS,
            "write_interval_milliseconds": 200,
        }))
        .map_err(cannot)?;
        let adapter = AwsAdapter::new(
            target.clone(),
            config,
            installation.clone(),
            &self.identities,
            Arc::clone(&clock),
        )
        .map_err(cannot)?;
        let cloud = jitney_core::adapter::Elevate::cloud(&adapter).clone();
        let adapter: Arc<dyn Adapter> = Arc::new(adapter);
        let catalogue = jitney_policies::catalogue(None).map_err(cannot)?;
        let policies = CedarPolicies::load(&Sources {
            files: vec![SourceFile {
                name: "starter.cedar".to_owned(),
                text: STARTER_POLICY.to_owned(),
            }],
            catalogue: catalogue.clone(),
            issuers: BTreeSet::from([self.ci.url()]),
            clouds: BTreeMap::from([(target.clone(), cloud)]),
        })
        .map_err(cannot)?;
        let stamp = StampKey::new(installation, self.seed.as_slice())
            .ok_or_else(|| cannot("no stamp key"))?;
        Ok(Core {
            books: Books::new(Arc::new(ledger), SILENCE),
            adapters: BTreeMap::from([(target.clone(), adapter)]),
            policy: Arc::new(policies),
            inventory: inventory(target)?,
            catalogue,
            clock,
            stamp,
            limits: Limits {
                answer_within: ANSWER_WITHIN,
                ..Limits::default()
            },
            pulse: Pulse::default(),
            lanes: Lanes::of(format!("demo-{}", random_hex()?)),
            slots: Slots::default(),
        })
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

fn inventory(target: TargetName) -> Result<Inventory, CannotStage> {
    let artifacts = Resource {
        target,
        native_id: format!("arn:aws:s3:::{BUCKET}"),
        via: Some(ROLE.to_owned()),
        tier: jitney_core::catalogue::Tier::Standard,
        owner: "platform".to_owned(),
    };
    let name: ResourceName = BUCKET.parse().map_err(cannot)?;
    Ok(Inventory::new(BTreeMap::from([(name, artifacts)])))
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
