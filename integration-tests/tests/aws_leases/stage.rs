//! Stages for the laws: our sandbox and MiniStack, each behind a relay that can lose answers.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_iam::Client as Iam;
use aws_sdk_s3::Client as S3;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use aws_sdk_sts::Client as Sts;
use jitney_aws::{
    ACCESS_KEY_ID, AwsAdapter, AwsTarget, Identities, SECRET_ACCESS_KEY, SESSION_TOKEN,
};
use jitney_core::adapter::Adapter;
use jitney_core::catalogue::{Inventory, Resource, Tier, Wanted, resolve};
use jitney_core::handle::StampKey;
use jitney_core::plan::LaneId;
use jitney_core::principal::Job;
use jitney_core::time::Clock;
use jitney_integration_tests::adapter_laws::{
    Meddling, Relay, Revealed, Scribe, Stage, Stages, SystemClock, Trouble,
};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use jitney_sandbox::{AwsOptions, AwsSandbox};
use serde_json::{Value, json};

use crate::estate::{self, Names, OTHER_ROLE, REGION, ROLE, WORK};

pub const TARGET: &str = "acme-prod";
pub const INSTALLATION: &str = "acme";

/// A stage on AWS.
pub struct AwsStage {
    pub names: Names,
    /// Ours, when it is our sandbox and not MiniStack.
    pub sandbox: Option<AwsSandbox>,
    pub relay: Relay,
    pub scribe: Scribe,
    direct: String,
    admin: Credentials,
    identities: Identities,
    settle_seconds: u32,
    _ledger: tempfile::TempDir,
}

pub fn keys(access_key_id: &str, secret: &str) -> Credentials {
    Credentials::new(access_key_id, secret, None, None, "stage")
}

pub fn job() -> Job {
    serde_json::from_value(json!({
        "provider": "github-actions", "issuer": "https://ci.example", "key": "1:a",
        "repository": { "id": "77", "path": "acme/shop", "owner_id": "7", "visibility": null },
        "origin": "same",
        "git_ref": { "full": "refs/heads/main", "kind": "branch", "protected": true },
        "sha": "0", "workflow": { "top_ref": "w", "top_sha": "0", "job_ref": "w", "job_sha": "0" },
        "environment": null, "event": "push", "actor": { "id": "1", "login": "ada" },
        "run_id": "42", "run_attempt": "1", "job_id": null, "runner": null, "properties": {}
    }))
    .unwrap()
}

/// Our sandbox, in which IAM's changes are enforced a second late.
pub struct Ours;

/// The sandbox and the stage on it. `lag` is how late IAM enforces, `settle` what we reckon with.
pub async fn ours(lag_seconds: i64, settle_seconds: u32) -> AwsStage {
    ours_with(&[], lag_seconds, settle_seconds).await
}

/// The same, with more roles.
pub async fn ours_with(roles: &[String], lag_seconds: i64, settle_seconds: u32) -> AwsStage {
    let names = Names::in_account("111122223333");
    let mut options = AwsOptions::new(estate::with_roles(&names, roles));
    options.iam_lag_seconds = lag_seconds;
    let sandbox = AwsSandbox::start(options).await.unwrap();
    let user = |name: &str| {
        let key = sandbox.user_key(&names.account, name).unwrap();
        SharedCredentialsProvider::new(keys(&key.access_key_id, &key.secret_access_key))
    };
    let root = sandbox.root_key(&names.account).unwrap();
    let identities = Identities {
        granter: user("granter"),
        revoker: user("revoker"),
    };
    let direct = sandbox.url();
    let admin = keys(&root.access_key_id, &root.secret_access_key);
    AwsStage::new(
        names,
        Some(sandbox),
        direct,
        admin,
        identities,
        settle_seconds,
    )
    .await
}

#[async_trait]
impl Stages for Ours {
    async fn stage(&self) -> Result<Box<dyn Stage>, String> {
        Ok(Box::new(ours(1, 2).await))
    }
}

/// MiniStack, an account for each stage.
pub struct Ministack(pub String);

#[async_trait]
impl Stages for Ministack {
    async fn stage(&self) -> Result<Box<dyn Stage>, String> {
        let digits = uuid::Uuid::new_v4().as_u128() % 1_000_000_000_000;
        let names = Names::in_account(&format!("{digits:012}"));
        // A twelve-digit access key is the root of that account.
        let root = keys(&names.account, "test");
        let identities = Identities::one(SharedCredentialsProvider::new(root.clone()));
        let direct = self.0.trim_end_matches('/').to_owned();
        let stage = AwsStage::new(names, None, direct, root, identities, 1).await;
        stage.furnish().await?;
        Ok(Box::new(stage))
    }
}

macro_rules! client {
    ($service:ident, $url:expr, $credentials:expr) => {
        $service::Config::builder()
            .behavior_version($service::config::BehaviorVersion::v2026_01_12())
            .region($service::config::Region::new(REGION))
            .retry_config($service::config::retry::RetryConfig::disabled())
            .endpoint_url($url)
            .credentials_provider($credentials)
    };
}

impl AwsStage {
    async fn new(
        names: Names,
        sandbox: Option<AwsSandbox>,
        direct: String,
        admin: Credentials,
        identities: Identities,
        settle_seconds: u32,
    ) -> Self {
        let address: SocketAddr = direct.strip_prefix("http://").unwrap().parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::at(folder.path().join("ledger.db"));
        let ledger = Arc::new(SqliteLedger::open(&options).unwrap());
        let stamp = StampKey::new(INSTALLATION.parse().unwrap(), &[7; 32]).unwrap();
        let scribe = Scribe::new(ledger, stamp, Arc::new(SystemClock), job());
        let stage = Self {
            names,
            sandbox,
            relay: Relay::to(address).await.unwrap(),
            scribe,
            direct,
            admin,
            identities,
            settle_seconds,
            _ledger: folder,
        };
        if stage.sandbox.is_some() {
            stage.seed().await.unwrap();
        }
        stage
    }

    /// A target of the stage's account, with these keys beside.
    pub fn target(&self, endpoint: &str, more: &Value) -> AwsTarget {
        let mut target = json!({
            "account": self.names.account,
            "region": REGION,
            "endpoint_url": endpoint,
            "settle_seconds": self.settle_seconds,
            "elevate_deadline_seconds": 5,
            "write_interval_milliseconds": 100,
        });
        for (key, value) in more.as_object().unwrap() {
            target[key] = value.clone();
        }
        serde_json::from_value(target).unwrap()
    }

    /// An adapter with these keys in its target's configuration.
    pub fn adapter_with(&self, endpoint: &str, more: &Value) -> AwsAdapter {
        AwsAdapter::new(
            TARGET.parse().unwrap(),
            self.target(endpoint, more),
            INSTALLATION.parse().unwrap(),
            &self.identities,
            Arc::new(SystemClock),
        )
        .unwrap()
    }

    /// An adapter with other identities.
    pub fn adapter_of(&self, change: impl Fn(&Identities) -> Identities) -> AwsAdapter {
        let (name, clock) = (INSTALLATION, Arc::new(SystemClock));
        self.made(&json!({}), name, &change(&self.identities), clock)
    }

    /// An adapter with another clock.
    pub fn adapter_at(&self, clock: Arc<dyn Clock>) -> AwsAdapter {
        self.made(&json!({}), INSTALLATION, &self.identities, clock)
    }

    /// An adapter of another installation.
    pub fn adapter_named(&self, installation: &str) -> AwsAdapter {
        let clock = Arc::new(SystemClock);
        self.made(&json!({}), installation, &self.identities, clock)
    }

    fn made(
        &self,
        more: &Value,
        installation: &str,
        identities: &Identities,
        clock: Arc<dyn Clock>,
    ) -> AwsAdapter {
        let (name, target) = (
            TARGET.parse().unwrap(),
            self.target(&self.relay.url(), more),
        );
        let installation = installation.parse().unwrap();
        AwsAdapter::new(name, target, installation, identities, clock).unwrap()
    }

    pub fn iam(&self) -> Iam {
        Iam::from_conf(client!(aws_sdk_iam, &self.direct, self.admin.clone()).build())
    }

    fn admin_s3(&self) -> S3 {
        s3(&self.direct, self.admin.clone())
    }

    /// Makes in MiniStack what our sandbox has from the start.
    async fn furnish(&self) -> Result<(), String> {
        let (names, iam, s3) = (&self.names, self.iam(), self.admin_s3());
        let root = format!("arn:aws:iam::{}:root", names.account);
        for (role, trust) in [(ROLE, names.trust(&root)), (OTHER_ROLE, names.open_trust())] {
            let made = iam.create_role().role_name(role);
            let made = made.assume_role_policy_document(trust.to_string());
            made.send().await.map_err(|error| told(&error))?;
            let put = iam.put_role_policy().role_name(role).policy_name(WORK);
            let put = put.policy_document(estate::everything().to_string());
            put.send().await.map_err(|error| told(&error))?;
        }
        for bucket in [&names.bucket, &names.open] {
            let here = CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(REGION));
            let made = s3.create_bucket().bucket(bucket);
            let made = made.create_bucket_configuration(here.build());
            made.send().await.map_err(|error| told(&error))?;
            let put = s3.put_bucket_policy().bucket(bucket);
            let put = put.policy(names.generous(bucket).to_string());
            put.send().await.map_err(|error| told(&error))?;
        }
        self.seed().await
    }

    /// The names of everything in the stage's bucket.
    pub async fn keys(&self) -> Result<Vec<String>, String> {
        let listed = self.admin_s3().list_objects_v2().bucket(&self.names.bucket);
        let listed = listed.send().await.map_err(|error| told(&error))?;
        let objects = listed.contents.unwrap_or_default().into_iter();
        Ok(objects.filter_map(|object| object.key).collect())
    }

    /// Objects that are there before any lease is.
    async fn seed(&self) -> Result<(), String> {
        let s3 = self.admin_s3();
        for (bucket, key) in [
            (&self.names.bucket, "releases/seed"),
            (&self.names.bucket, "other/seed"),
            (&self.names.open, "seed"),
        ] {
            let put = s3.put_object().bucket(bucket).key(key);
            let put = put.body(ByteStream::from_static(b"seed"));
            put.send().await.map_err(|error| told(&error))?;
        }
        Ok(())
    }

    pub fn job_s3(&self, credential: &Revealed) -> S3 {
        s3(&self.direct, session(credential))
    }

    fn job_sts(&self, credential: &Revealed) -> Sts {
        Sts::from_conf(client!(aws_sdk_sts, &self.direct, session(credential)).build())
    }

    fn job_iam(&self, credential: &Revealed) -> Iam {
        Iam::from_conf(client!(aws_sdk_iam, &self.direct, session(credential)).build())
    }

    /// The role's inline policies, by name.
    pub async fn inline_policies(&self) -> Result<Vec<String>, String> {
        let listed = self.iam().list_role_policies().role_name(ROLE).send().await;
        Ok(listed.map_err(|error| told(&error))?.policy_names)
    }

    /// What the operator has on the stage.
    pub fn inventory(&self) -> Inventory {
        let resource = Resource {
            target: TARGET.parse().unwrap(),
            native_id: format!("arn:aws:s3:::{}", self.names.bucket),
            via: Some(self.names.role_arn(ROLE)),
            tier: Tier::High,
            owner: "platform".to_owned(),
        };
        let whole_role = Resource {
            native_id: self.names.role_arn(ROLE),
            via: None,
            ..resource.clone()
        };
        Inventory::new(
            [("artifacts-prod", resource), ("deploy-role", whole_role)]
                .map(|(name, resource)| (name.parse().unwrap(), resource))
                .into(),
        )
    }

    /// A wish for a path of the stage's bucket.
    pub fn wish(&self, capability: &str, path: &str) -> Wanted {
        let inventory = self.inventory();
        let catalogue = jitney_policies::catalogue(None).unwrap();
        let scope = format!("{capability}@{path}").parse().unwrap();
        resolve(&scope, &inventory, &catalogue).unwrap()
    }
}

fn s3(url: &str, credentials: Credentials) -> S3 {
    S3::from_conf(
        client!(aws_sdk_s3, url, credentials)
            .force_path_style(true)
            .build(),
    )
}

fn session(credential: &Revealed) -> Credentials {
    let field = |name: &str| credential.get(name).cloned().unwrap_or_default();
    let token = Some(field(SESSION_TOKEN));
    Credentials::new(
        field(ACCESS_KEY_ID),
        field(SECRET_ACCESS_KEY),
        token,
        None,
        "job",
    )
}

fn told<E>(error: &E) -> String
where
    E: std::error::Error + Send + Sync + 'static,
{
    let text = format!("{}", DisplayErrorContext(error));
    text.chars().take(300).collect()
}

/// Whether the cloud did it; an error when it neither did it nor refused it.
fn was_done<T, E>(answer: Result<T, SdkError<E>>) -> Result<bool, String>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(_) => Ok(true),
        Err(SdkError::ServiceError(refused)) if refused.raw().status().as_u16() == 403 => Ok(false),
        Err(error) => Err(told(&error)),
    }
}

#[async_trait]
impl Stage for AwsStage {
    fn adapter(&self) -> Arc<dyn Adapter> {
        Arc::new(self.adapter_with(&self.relay.url(), &json!({})))
    }

    fn adapter_of_nowhere(&self) -> Arc<dyn Adapter> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let nowhere = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        Arc::new(self.adapter_with(&nowhere, &json!({})))
    }

    fn scribe(&self) -> &Scribe {
        &self.scribe
    }

    fn settles(&self) -> Duration {
        Duration::from_secs(self.settle_seconds.into()) + Duration::from_millis(200)
    }

    fn wanted(&self) -> Wanted {
        self.wish("object-storage:write", "artifacts-prod/releases/")
    }

    async fn works(&self, credential: &Revealed) -> Result<bool, String> {
        let put = self.job_s3(credential).put_object();
        let put = put.bucket(&self.names.bucket).key("releases/app.tar");
        was_done(put.body(ByteStream::from_static(b"app")).send().await)
    }

    async fn strays(&self, credential: &Revealed) -> Result<Vec<String>, String> {
        let (s3, names) = (self.job_s3(credential), &self.names);
        let mut strays = Vec::new();
        for (bucket, key) in [
            (&names.bucket, "other/app.tar"),
            (&names.bucket, "releases-evil/app.tar"),
            (&names.bucket, "releases"),
            (&names.bucket, "Releases/app.tar"),
            (&names.open, "releases/app.tar"),
        ] {
            let put = s3.put_object().bucket(bucket).key(key);
            if was_done(put.body(ByteStream::from_static(b"x")).send().await)? {
                strays.push(format!("PutObject {bucket}/{key}"));
            }
        }
        for (bucket, key) in [
            (&names.bucket, "releases/seed"),
            (&names.bucket, "other/seed"),
            (&names.open, "seed"),
        ] {
            if was_done(s3.get_object().bucket(bucket).key(key).send().await)? {
                strays.push(format!("GetObject {bucket}/{key}"));
            }
            if was_done(s3.delete_object().bucket(bucket).key(key).send().await)? {
                strays.push(format!("DeleteObject {bucket}/{key}"));
            }
        }
        for prefix in [None, Some("releases/".to_owned())] {
            let list = s3.list_objects_v2().bucket(&names.bucket);
            if was_done(list.set_prefix(prefix.clone()).send().await)? {
                strays.push(format!("ListObjectsV2 {prefix:?}"));
            }
        }
        if was_done(s3.list_buckets().send().await)? {
            strays.push("ListBuckets".to_owned());
        }
        strays.extend(self.stray_identities(credential).await?);
        Ok(strays)
    }

    fn trouble(&self, trouble: Trouble) {
        let error = |status, code: &str| Meddling::AnswerInstead {
            status,
            content_type: "text/xml",
            body: format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
                 <Message>no</Message></Error><RequestId>r</RequestId></ErrorResponse>"
            ),
        };
        let (needle, meddling) = match trouble {
            Trouble::AnswerLost => ("Action=AssumeRole&", Meddling::LoseAnswer),
            Trouble::Busy => ("Action=AssumeRole&", error("400 Bad Request", "Throttling")),
            Trouble::ServerError => {
                let error = error("503 Service Unavailable", "ServiceUnavailable");
                ("Action=AssumeRole&", error)
            }
            Trouble::ChangeLandsLate { after_seconds } => {
                let late = Meddling::CarryOutLate(Duration::from_secs(after_seconds));
                ("Action=PutRolePolicy&", late)
            }
        };
        self.relay.meddle(needle, meddling);
    }

    async fn grants_made(&self) -> Option<usize> {
        self.sandbox
            .as_ref()
            .map(|sandbox| sandbox.sessions().len())
    }

    async fn undo(&self, _lane: &LaneId) -> Result<(), String> {
        for name in self.inline_policies().await? {
            if name != WORK {
                let removed = self.iam().delete_role_policy().role_name(ROLE);
                let removed = removed.policy_name(name).send().await;
                removed.map_err(|error| told(&error))?;
            }
        }
        Ok(())
    }

    async fn left_behind(&self, _lane: &LaneId) -> Result<Vec<String>, String> {
        let mut names = self.inline_policies().await?;
        names.retain(|name| name.starts_with("jitney"));
        Ok(names)
    }

    async fn others_are_intact(&self, _lane: &LaneId) -> Result<bool, String> {
        let names = self.inline_policies().await?;
        let others = names
            .iter()
            .filter(|name| !name.starts_with("jitney-deny-"));
        let found = self
            .iam()
            .get_role_policy()
            .role_name(ROLE)
            .policy_name(WORK);
        let found = found.send().await.map_err(|error| told(&error))?;
        let text = percent_decoded(found.policy_document());
        let is_same = serde_json::from_str::<Value>(&text).ok() == Some(estate::everything());
        Ok(others.eq([WORK]) && is_same)
    }
}

impl AwsStage {
    /// Ways to another identity, or to a weaker hold on this one.
    async fn stray_identities(&self, credential: &Revealed) -> Result<Vec<String>, String> {
        let (sts, iam) = (self.job_sts(credential), self.job_iam(credential));
        let mut strays = Vec::new();
        let assume = sts.assume_role().role_session_name("stray");
        let assume = assume.role_arn(self.names.role_arn(OTHER_ROLE));
        if was_done(assume.send().await)? {
            strays.push("AssumeRole".to_owned());
        }
        if was_done(iam.list_role_policies().role_name(ROLE).send().await)? {
            strays.push("ListRolePolicies".to_owned());
        }
        let remove = iam.delete_role_policy().role_name(ROLE).policy_name(WORK);
        if was_done(remove.send().await)? {
            strays.push("DeleteRolePolicy".to_owned());
        }
        Ok(strays)
    }
}

/// IAM answers with percent-encoded policies.
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits = [rest.clone().next(), rest.clone().nth(1)];
        match (byte, digits) {
            (b'%', [Some(high), Some(low)]) => {
                let digits = [high, low];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest.nth(1);
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}
