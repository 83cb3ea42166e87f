//! What every case needs: a broker, its ledger, a CI issuer, a cloud, and a job with a key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jitney_broker::{
    Alarms, Broker, BrokerOptions, Hooks, MeasuredLedger, Metrics, RunningBroker, SystemClock, Tls,
};
use jitney_core::audit::SigningKey;
use jitney_core::books::Books;
use jitney_core::catalogue::{Catalogue, Inventory, Meaning, PathUse, Resource, Tier};
use jitney_core::decision::{Decide, Decision, PolicyDigest, Question, Verdict};
use jitney_core::handle::StampKey;
use jitney_core::ledger::Ledger;
use jitney_core::principal::Provider;
use jitney_core::pulse::Pulse;
use jitney_core::reconcile::{Lanes, Untold};
use jitney_core::time::{Clock, Timestamp};
use jitney_core::usecase::{Core, Limits, LookedBack, Slots};
use jitney_identity::assertions::AssertionIssuer;
use jitney_identity::hooks::{GithubHook, GitlabHook};
use jitney_identity::{IssuerConfig, Issuers, Verifier};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use jitney_sandbox::ci::{CiIssuer, CiOptions, GithubJob, RunningJob};
use serde_json::{Value, json};

use crate::cloud::FakeCloud;
use crate::ledger::{Watch, Watched};

pub const AUDIENCE: &str = "https://jitney.test";
pub const BEATS: &str = "https://jitney.test/beat";
pub const HOOK_SECRET: &[u8] = b"a hook's secret of some length";
pub const SCOPE: &str = "object-storage:write@artifacts/releases/";

/// Denies what asks for `forbidden`, and allows the rest.
struct FakePolicy(PolicyDigest);

impl Decide for FakePolicy {
    fn decide(&self, question: &Question<'_>) -> Decision {
        let forbidden = |wanted: &jitney_core::catalogue::Wanted| {
            wanted.scope.to_string().contains("forbidden")
        };
        let denied = question.wanted.iter().any(forbidden);
        Decision {
            verdict: if denied {
                Verdict::Deny
            } else {
                Verdict::Allow
            },
            rules: vec![if denied { "no-forbidden" } else { "allow" }.to_owned()],
            reasons: vec!["as the rule says".to_owned()],
            notes: Vec::new(),
            policy: self.0.clone(),
        }
    }

    fn digest(&self) -> &PolicyDigest {
        &self.0
    }
}

/// The machine's clock, some seconds ahead.
#[derive(Default)]
pub struct AheadClock(AtomicU64);

impl AheadClock {
    pub fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for AheadClock {
    fn now(&self) -> Timestamp {
        SystemClock
            .now()
            .plus(Duration::from_secs(self.0.load(Ordering::SeqCst)))
    }
}

/// A client's key.
pub struct Key(Ed25519KeyPair);

impl Key {
    pub fn fresh() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    /// A proof for one call.
    pub fn proof(&self, method: &str, url: &str, token: Option<&str>) -> String {
        self.proof_ahead(method, url, token, 0)
    }

    /// A proof by a clock that is so many seconds ahead.
    pub fn proof_ahead(
        &self,
        method: &str,
        url: &str,
        token: Option<&str>,
        seconds: i64,
    ) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let public = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        let header = json!({"typ": "dpop+jwt", "alg": "EdDSA",
            "jwk": {"kty": "OKP", "crv": "Ed25519", "x": public}});
        let mut claims = json!({"jti": uuid::Uuid::new_v4().to_string(), "htm": method,
            "htu": url, "iat": SystemClock.now().as_seconds() + seconds});
        if let Some(token) = token {
            let ath = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
            claims["ath"] = Value::from(ath);
        }
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The problem's code, after a look at everything that a problem must have.
    pub fn problem(&self) -> &str {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        assert_eq!(self.headers["cache-control"], "no-store");
        assert_eq!(self.body["status"], self.status);
        let code = self.body["code"].as_str().unwrap();
        assert_eq!(self.body["type"], format!("urn:jitney:problem:{code}"));
        assert!(!self.body["title"].as_str().unwrap().is_empty());
        code
    }

    pub fn lease(&self) -> String {
        self.body["leases"][0]["id"].as_str().unwrap().to_owned()
    }

    pub fn request(&self) -> String {
        self.body["id"].as_str().unwrap().to_owned()
    }
}

pub struct World {
    pub broker: Option<RunningBroker>,
    pub cloud: Arc<FakeCloud>,
    pub ci: CiIssuer,
    /// Issuers whose tokens are GitLab's. The webhook tells of the first one's jobs.
    pub labs: Vec<CiIssuer>,
    pub job: RunningJob,
    pub key: Key,
    pub http: reqwest::Client,
    pub url: String,
    pub watch: Arc<Watch>,
    pub clock: Arc<AheadClock>,
    /// Where the broker tells alarms.
    pub alarms_at: Option<String>,
    /// Where the broker listens.
    pub listen: SocketAddr,
    /// The broker as an issuer.
    pub own_issuer: Option<Arc<AssertionIssuer>>,
    /// Whether the broker hears webhooks.
    pub hears_hooks: bool,
    directory: tempfile::TempDir,
    sockets: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::start_beside(Vec::new()).await
    }

    /// The same, beside these issuers of GitLab's tokens.
    pub async fn start_beside(labs: Vec<CiIssuer>) -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let ci = CiIssuer::start(CiOptions::default()).await.unwrap();
        let mut world = Self {
            broker: None,
            cloud: Arc::new(FakeCloud::new()),
            job: ci.job(GithubJob::push_to_main()),
            ci,
            labs,
            key: Key::fresh(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: String::new(),
            watch: Arc::default(),
            clock: Arc::default(),
            alarms_at: None,
            listen: ([127, 0, 0, 1], 0).into(),
            own_issuer: None,
            hears_hooks: true,
            directory: tempfile::tempdir().unwrap(),
            sockets: tempfile::tempdir().unwrap(),
        };
        world.restart().await;
        world
    }

    /// A broker on the ledger as it is now.
    pub async fn restart(&mut self) {
        self.restart_with(None).await;
    }

    /// The same, behind a certificate or without one.
    pub async fn restart_with(&mut self, tls: Option<Tls>) {
        let metrics = Arc::<Metrics>::default();
        let options = BrokerOptions {
            core: self.core(&metrics),
            verifier: self.verifier(),
            audit_key: SigningKey::from_seed("jitney.test/audit", &[7; 32]).unwrap(),
            listen: self.listen,
            tls,
            public_url: None,
            issuer: self.own_issuer.clone(),
            hooks: self.hooks(),
            metrics,
            metrics_listen: None,
            alarms: self
                .alarms_at
                .as_ref()
                .map(|url| Alarms::new(url, HOOK_SECRET).unwrap()),
            admin_socket: Some(self.socket()),
            lane_pause: Duration::from_millis(50),
        };
        let broker = Broker::start(options).await.unwrap();
        self.url = broker.url().as_str().trim_end_matches('/').to_owned();
        self.broker = Some(broker);
    }

    pub fn ledger_file(&self) -> PathBuf {
        self.directory.path().join("ledger.db")
    }

    /// Where operators come in.
    pub fn socket(&self) -> PathBuf {
        self.sockets.path().join("jitney.sock")
    }

    /// A call by an operator.
    pub async fn operate(&self, method: &str, path: &str, body: &Value) -> Answer {
        let http = reqwest::Client::builder()
            .unix_socket(self.socket())
            .build()
            .unwrap();
        let url = format!("http://jitney{path}");
        read(http.request(method.parse().unwrap(), url).json(body)).await
    }

    /// Everything on the ledger's disk, as bytes.
    pub fn disk(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(self.directory.path()).unwrap() {
            bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
        }
        bytes
    }

    pub fn open_ledger(&self) -> SqliteLedger {
        SqliteLedger::open(&SqliteOptions::at(self.ledger_file())).unwrap()
    }

    fn hooks(&self) -> Hooks {
        if !self.hears_hooks {
            return Hooks::default();
        }
        let lab = self.labs.first().map(CiIssuer::url);
        let lab = lab.unwrap_or_else(|| "https://gitlab.test".to_owned());
        Hooks {
            github: Some(GithubHook::new(&self.ci.url(), HOOK_SECRET).unwrap()),
            gitlab: Some(GitlabHook::new(&lab, HOOK_SECRET).unwrap()),
        }
    }

    fn verifier(&self) -> Verifier {
        let config = |name: String, ci: &CiIssuer, provider: Provider| -> IssuerConfig {
            let row = json!({
                "name": name, "url": ci.url(), "provider": provider,
                "audience": AUDIENCE, "allow_private": true,
            });
            serde_json::from_value(row).unwrap()
        };
        let mut configs = vec![config("ci".to_owned(), &self.ci, Provider::GithubActions)];
        for (number, lab) in self.labs.iter().enumerate() {
            configs.push(config(format!("lab-{number}"), lab, Provider::GitlabCi));
        }
        Verifier::new(Issuers::new(configs).unwrap()).unwrap()
    }

    fn core(&self, metrics: &Arc<Metrics>) -> Core {
        let ledger: Arc<dyn Ledger> = Arc::new(Watched {
            ledger: self.open_ledger(),
            watch: Arc::clone(&self.watch),
        });
        let ledger: Arc<dyn Ledger> = Arc::new(MeasuredLedger::new(ledger, Arc::clone(metrics)));
        let resource = Resource {
            target: "acme-prod".parse().unwrap(),
            native_id: "fake:artifacts".to_owned(),
            via: None,
            tier: Tier::Standard,
            owner: "platform".to_owned(),
        };
        let meaning = Meaning {
            summary: "write objects".to_owned(),
            tier: Tier::Standard,
            path: PathUse::Optional,
            persists: false,
            clouds: BTreeMap::new(),
        };
        Core {
            books: Books::new(ledger, Duration::from_secs(45)),
            adapters: BTreeMap::from([(
                "acme-prod".parse().unwrap(),
                Arc::clone(&self.cloud) as Arc<dyn jitney_core::adapter::Adapter>,
            )]),
            policy: Arc::new(FakePolicy(PolicyDigest("test".to_owned()))),
            inventory: Inventory::new(BTreeMap::from([("artifacts".parse().unwrap(), resource)])),
            catalogue: Catalogue(BTreeMap::from([(
                "object-storage:write".parse().unwrap(),
                meaning,
            )])),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            stamp: StampKey::new("test".parse().unwrap(), &[3; 32]).unwrap(),
            limits: Limits {
                answer_within: Duration::from_secs(1),
                ..Limits::default()
            },
            pulse: Pulse::default(),
            lanes: Lanes::of(uuid::Uuid::new_v4().to_string()),
            slots: Slots::default(),
            looked_back: LookedBack::default(),
            untold: Untold::default(),
        }
    }

    pub fn token(&self) -> String {
        self.job.token(AUDIENCE).unwrap()
    }

    /// A call with a proof by the world's key and, when given, a token.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let url = format!("{}{path}", self.url);
        let bare = url.split('?').next().unwrap();
        let mut call = self
            .http
            .request(method.parse().unwrap(), &url)
            .header("dpop", self.key.proof(method, bare, token));
        if let Some(token) = token {
            call = call.bearer_auth(token);
        }
        if let Some(body) = body {
            call = call
                .header("idempotency-key", uuid::Uuid::new_v4().to_string())
                .json(&body);
        }
        read(call).await
    }

    /// Submits a request for one scope with a fresh token.
    pub async fn submit(&self, scope: &str) -> Answer {
        self.submit_for(scope, 300).await
    }

    /// The same, for a time.
    pub async fn submit_for(&self, scope: &str, ttl_seconds: u32) -> Answer {
        let body = json!({ "scopes": [scope], "ttl_seconds": ttl_seconds });
        self.call("POST", "/v1/requests", Some(&self.token()), Some(body))
            .await
    }

    /// A call as if by hand.
    pub fn raw(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.http.request(method.parse().unwrap(), url)
    }

    /// Waits until a lease has ended, and gives it.
    pub async fn until_no_session_is_alive(&self) {
        for _ in 0..200 {
            if self.cloud.sessions_alive() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("a session is left");
    }

    pub async fn ended(&self, lease: &str) -> Value {
        let path = format!("/v1/leases/{lease}");
        for _ in 0..200 {
            let view = self.call("GET", &path, None, None).await.body;
            if view["state"] == "ended" {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the lease `{lease}` did not end");
    }
}

pub async fn read(call: reqwest::RequestBuilder) -> Answer {
    let response = call.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    Answer {
        status,
        headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}
