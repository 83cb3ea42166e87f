//! Stages for the laws: our sandbox behind a relay that can lose answers, with a clock that is set
//! on, since accounts rest for longer than anybody waits.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use jitney_core::adapter::Adapter;
use jitney_core::catalogue::{Inventory, Resource, Tier, Wanted, resolve};
use jitney_core::handle::StampKey;
use jitney_core::plan::LaneId;
use jitney_core::principal::Job as CiJob;
use jitney_core::time::Clock;
use jitney_gcp::{GcpAdapter, GcpTarget, Identities, Identity};
use jitney_integration_tests::adapter_laws::{
    Meddling, Relay, Revealed, Scribe, SetClock, SlotStage, Stage, Stages, Trouble,
};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use jitney_sandbox::gcp::{Lags, RateLimits};
use jitney_sandbox::{GcpOptions, GcpSandbox};
use reqwest::Method;
use serde_json::{Value, json};

use crate::estate::{
    self, BESIDE, BROKER, BUCKET, PROJECT, SLOTS, bucket_id, email, entitled, entitlement, member,
};
use crate::job::Job;

pub const TARGET: &str = "acme-gcp";
pub const INSTALLATION: &str = "acme";

/// How long a change takes in the sandbox, and what the adapter reckons with.
pub const LAGS: Lags = Lags {
    grant_seconds: 2,
    revoke_seconds: 40,
    disable_seconds: 20,
    enable_seconds: 1,
    read_seconds: 0,
};
const SETTLE_SECONDS: u32 = 30;

/// What carries the leases of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// Accounts that are bound for each lease.
    Bound,
    /// Accounts that Privileged Access Manager gives to.
    Entitled,
}

impl Carried {
    pub const fn pool(self) -> &'static str {
        match self {
            Self::Bound => "deploy",
            Self::Entitled => "managed",
        }
    }
}

/// A stage on Google Cloud.
pub struct GcpStage {
    carried: Carried,
    pub sandbox: Arc<GcpSandbox>,
    pub clock: Arc<SetClock>,
    pub relay: Relay,
    pub scribe: Scribe,
    http: reqwest::Client,
    folder: tempfile::TempDir,
    before: Vec<Value>,
}

pub fn ci_job() -> CiJob {
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

/// Our sandbox.
pub struct Ours(pub Carried);

#[async_trait]
impl Stages for Ours {
    async fn stage(&self) -> Result<Box<dyn Stage>, String> {
        let lags = match self.0 {
            Carried::Bound => LAGS,
            // Here an elevation itself waits for these, by the clock on the wall.
            Carried::Entitled => Lags {
                grant_seconds: 0,
                enable_seconds: 0,
                ..LAGS
            },
        };
        Ok(Box::new(GcpStage::carried(self.0, lags).await))
    }
}

impl GcpStage {
    pub async fn new(lags: Lags) -> Self {
        Self::carried(Carried::Bound, lags).await
    }

    pub async fn carried(carried: Carried, lags: Lags) -> Self {
        let sandbox = GcpSandbox::start(GcpOptions {
            lags,
            limits: RateLimits::unlimited(),
            ..GcpOptions::new(estate::estate())
        });
        let sandbox = Arc::new(sandbox.await.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(clock(&sandbox, folder.path().join("token")));
        clock.set_on(Duration::ZERO);
        let options = SqliteOptions::at(folder.path().join("ledger.db"));
        let ledger = Arc::new(SqliteLedger::open(&options).unwrap());
        let stamp = StampKey::new(INSTALLATION.parse().unwrap(), &[7; 32]).unwrap();
        let url = sandbox.url();
        let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let mut stage = Self {
            carried,
            relay: Relay::by_clock(address, clock.clone()).await.unwrap(),
            scribe: Scribe::new(ledger, stamp, clock.clone(), ci_job()).with_leases_of(3_000),
            sandbox,
            clock,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            folder,
            before: Vec::new(),
        };
        stage.before = stage.foreign().await.unwrap();
        stage
    }

    /// A target of the stage's project, with these keys beside.
    pub fn target(&self, endpoint: &str, more: &Value) -> GcpTarget {
        let slots: Vec<String> = (1..=SLOTS).map(estate::slot).collect();
        let stands = json!([{ "on": bucket_id(BUCKET), "role": "roles/storage.objectViewer" }]);
        let mut target = json!({
            "project": PROJECT,
            "endpoint_url": endpoint,
            "credentials": { "from": "token-file", "path": self.folder.path().join("token") },
            "settle_seconds": SETTLE_SECONDS,
            "write_interval_milliseconds": 0,
            "roles": { "object-deleter": format!("projects/{PROJECT}/roles/jitneyObjectDeleter") },
            "pools": match self.carried {
                Carried::Bound => json!({
                    "deploy": { "accounts": slots },
                    "fast": { "accounts": [email("jitney-fast")], "standing": stands },
                    "shared": { "mode": "sa-binding", "accounts": [email("jitney-shared")] },
                    "bounded": { "mode": "cab", "accounts": [email("jitney-bounded")] },
                }),
                Carried::Entitled => json!({ "managed": {
                    "mode": "pam",
                    "accounts": (1..=SLOTS).map(entitled).collect::<Vec<String>>(),
                    "entitlements": [entitlement("release-readers"), entitlement("report-readers")],
                } }),
            },
        });
        for (key, value) in more.as_object().unwrap() {
            target[key] = value.clone();
        }
        serde_json::from_value(target).unwrap()
    }

    pub fn adapter_at(&self, endpoint: &str, more: &Value) -> GcpAdapter {
        let target = self.target(endpoint, more);
        let identities = Identities::of(&target).unwrap();
        self.made(target, identities, self.clock.clone())
    }

    /// An adapter with another clock.
    pub fn adapter_by(&self, clock: Arc<dyn Clock>) -> GcpAdapter {
        let target = self.target(&self.relay.url(), &json!({}));
        let identities = Identities::of(&target).unwrap();
        self.made(target, identities, clock)
    }

    /// An adapter that calls as somebody else.
    pub fn adapter_as(&self, who: &str) -> GcpAdapter {
        let target = self.target(&self.relay.url(), &json!({}));
        let identity = Identity::token(self.sandbox.token_for(who).unwrap());
        self.made(target, identity.into(), self.clock.clone())
    }

    /// An adapter that gives as somebody and takes back as somebody else.
    pub fn adapter_of_two(&self, granter: &str, revoker: &str) -> GcpAdapter {
        let target = self.target(&self.relay.url(), &json!({}));
        let who = |who| Identity::token(self.sandbox.token_for(who).unwrap());
        let identities = Identities {
            granter: who(granter),
            revoker: Some(who(revoker)),
        };
        self.made(target, identities, self.clock.clone())
    }

    fn made(&self, target: GcpTarget, identities: Identities, clock: Arc<dyn Clock>) -> GcpAdapter {
        let pool = self.carried.pool();
        let resources = [
            resource(BUCKET, pool),
            resource(BESIDE, pool),
            own_role(pool),
        ];
        let (name, installation) = (TARGET.parse().unwrap(), INSTALLATION.parse().unwrap());
        GcpAdapter::new(name, target, installation, identities, clock, &resources).unwrap()
    }

    /// A wish, carried by a pool.
    pub fn wish(&self, scope: &str, pool: &str) -> Wanted {
        let resources = [
            ("artifacts-prod", resource(BUCKET, pool)),
            ("reports-prod", resource(BESIDE, pool)),
            ("deployer", own_role(pool)),
        ];
        let inventory = resources.map(|(name, it)| (name.parse().unwrap(), it));
        let inventory = Inventory::new(inventory.into());
        let catalogue = jitney_policies::catalogue(None).unwrap();
        resolve(&scope.parse().unwrap(), &inventory, &catalogue).unwrap()
    }

    pub fn job(&self, credential: &Revealed) -> Job {
        Job::new(&self.sandbox.url(), credential)
    }

    /// A call of the operator's own.
    pub async fn admin(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let token = self
            .sandbox
            .token_for(BROKER)
            .ok_or("the operator has no token")?;
        let url = format!("{}{path}", self.sandbox.url());
        let request = self.http.request(method.clone(), url).bearer_auth(token);
        let request = match method {
            Method::GET => request,
            _ => request.json(body),
        };
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        match status.is_success() {
            true => serde_json::from_str(&text).map_err(|error| error.to_string()),
            false => Err(format!("{path} was answered with {status}: {text}")),
        }
    }

    pub async fn account(&self, email: &str) -> Result<Value, String> {
        let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{email}");
        self.admin(Method::GET, &path, &Value::Null).await
    }

    pub async fn enable(&self, email: &str) -> Result<(), String> {
        let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{email}:enable");
        self.admin(Method::POST, &path, &json!({})).await.map(drop)
    }

    pub async fn policy(&self, bucket: &str) -> Result<Value, String> {
        let path = format!("/storage/v1/b/{bucket}/iam?optionsRequestedPolicyVersion=3");
        self.admin(Method::GET, &path, &Value::Null).await
    }

    pub async fn set_policy(&self, bucket: &str, policy: &Value) -> Result<(), String> {
        let path = format!("/storage/v1/b/{bucket}/iam");
        self.admin(Method::PUT, &path, policy).await.map(drop)
    }

    /// Adds a binding, as a stranger would.
    pub async fn bind(&self, bucket: &str, binding: &Value) -> Result<(), String> {
        let mut policy = self.policy(bucket).await?;
        let bindings = policy["bindings"].as_array_mut().ok_or("no bindings")?;
        bindings.push(binding.clone());
        policy["version"] = json!(3);
        self.set_policy(bucket, &policy).await
    }

    /// The bindings that bear a title of ours, with those that do not.
    pub async fn bindings(&self, bucket: &str) -> Result<(Vec<Value>, Vec<Value>), String> {
        let policy = self.policy(bucket).await?;
        let bindings = policy["bindings"].as_array().cloned().unwrap_or_default();
        let is_ours = |it: &Value| {
            let title = it["condition"]["title"].as_str().unwrap_or_default();
            title.starts_with("jitney:")
        };
        Ok(bindings.into_iter().partition(is_ours))
    }

    async fn foreign(&self) -> Result<Vec<Value>, String> {
        let mut foreign = self.bindings(BUCKET).await?.1;
        foreign.extend(self.bindings(BESIDE).await?.1);
        let path = format!("/v3/projects/{PROJECT}:getIamPolicy");
        let asked = json!({ "options": { "requestedPolicyVersion": 3 } });
        let project = self.admin(Method::POST, &path, &asked).await?;
        let bindings = project["bindings"].as_array().cloned();
        let by_itself = |it: &Value| it["condition"]["title"] != "Created by: PAM";
        foreign.extend(bindings.into_iter().flatten().filter(by_itself));
        Ok(foreign)
    }

    /// Every grant that an account ever asked for, oldest first.
    pub async fn grants_of(&self, email: &str) -> Result<Vec<Value>, String> {
        let mut found = Vec::new();
        for id in [
            "release-readers",
            "report-readers",
            "deployers",
            "log-readers",
        ] {
            let path = format!("/v1/{}/grants?pageSize=500", entitlement(id));
            let listed = self.admin(Method::GET, &path, &Value::Null).await?;
            let grants = listed["grants"].as_array().cloned().unwrap_or_default();
            found.extend(grants.into_iter().filter(|it| it["requester"] == email));
        }
        Ok(found)
    }

    /// Asks for a grant in an account's name.
    pub async fn ask_as(&self, token: &str, id: &str, why: &str) -> Result<Value, String> {
        let body = json!({ "requestedDuration": "3600s",
                           "justification": { "unstructuredJustification": why } });
        let url = format!("{}/v1/{}/grants", self.sandbox.url(), entitlement(id));
        let asked = self.http.post(url).bearer_auth(token).json(&body).send();
        let answer = asked.await.map_err(|error| error.to_string())?;
        let is_given = answer.status().is_success();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        match is_given {
            true => serde_json::from_str(&text).map_err(|error| error.to_string()),
            false => Err(text),
        }
    }

    /// A stranger enables an account and asks in its name, for the lease that it carried.
    async fn give_back(&self, email: &str, handle: &str) -> Result<(), String> {
        self.enable(email).await?;
        self.clock.set_on(Duration::from_secs(2));
        let token = self.sandbox.token_for(email).ok_or("no such account")?;
        let why = format!("jitney:{INSTALLATION}:{handle}");
        // While the last grant is still being taken back, there is none to be had.
        let _ = self.ask_as(&token, "release-readers", &why).await;
        Ok(())
    }
}

/// A clock that sets the sandbox's on as well, and keeps the broker's own token fresh. The sandbox
/// counts whole seconds; it is never more than one behind.
fn clock(sandbox: &Arc<GcpSandbox>, token: std::path::PathBuf) -> SetClock {
    let (sandbox, passed) = (Arc::clone(sandbox), std::sync::Mutex::new(Duration::ZERO));
    SetClock::with(move |time| {
        let mut passed = passed.lock().unwrap();
        *passed += time;
        let seconds = i64::try_from(passed.as_secs()).unwrap();
        sandbox.clock().set_offset_seconds(seconds);
        sandbox.clock().set_wire_offset_seconds(seconds);
        std::fs::write(&token, sandbox.token_for(BROKER).unwrap()).unwrap();
    })
}

fn resource(bucket: &str, pool: &str) -> Resource {
    Resource {
        target: TARGET.parse().unwrap(),
        native_id: bucket_id(bucket),
        via: Some(pool.to_owned()),
        tier: Tier::High,
        owner: "platform".to_owned(),
    }
}

fn own_role(pool: &str) -> Resource {
    Resource {
        native_id: format!("//iam.googleapis.com/projects/{PROJECT}/roles/deployer"),
        ..resource(BUCKET, pool)
    }
}

#[async_trait]
impl Stage for GcpStage {
    fn adapter(&self) -> Arc<dyn Adapter> {
        Arc::new(self.adapter_at(&self.relay.url(), &json!({})))
    }

    fn adapter_of_nowhere(&self) -> Arc<dyn Adapter> {
        // Nobody listens there: the port is that of a socket that was closed.
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        drop(socket);
        Arc::new(self.adapter_at(&url, &json!({})))
    }

    fn scribe(&self) -> &Scribe {
        &self.scribe
    }

    fn settles(&self) -> Duration {
        Duration::from_secs(40)
    }

    fn wanted(&self) -> Wanted {
        let pool = self.carried.pool();
        self.wish("object-storage:read@artifacts-prod/releases/", pool)
    }

    async fn works(&self, credential: &Revealed) -> Result<bool, String> {
        self.job(credential).reads(BUCKET, "releases/seed").await
    }

    async fn strays(&self, credential: &Revealed) -> Result<Vec<String>, String> {
        self.job(credential).strays().await
    }

    fn trouble(&self, trouble: Trouble) {
        let answer = |status, code: u16, name: &str| Meddling::AnswerInstead {
            status,
            content_type: "application/json",
            body: json!({ "error": { "code": code, "message": "test", "status": name,
                                     "errors": [{ "reason": name }] } })
            .to_string(),
        };
        // The first call that gives.
        let gives = match self.carried {
            Carried::Bound => format!("PUT /storage/v1/b/{BUCKET}/iam"),
            Carried::Entitled => ":enable".to_owned(),
        };
        match trouble {
            Trouble::AnswerLost => self.relay.meddle(&gives, Meddling::LoseAnswer),
            Trouble::Busy => {
                let busy = answer("429 Too Many Requests", 429, "rateLimitExceeded");
                self.relay.meddle(&gives, busy);
            }
            Trouble::ServerError => {
                let error = answer("503 Service Unavailable", 503, "backendError");
                self.relay.meddle(&gives, error);
            }
            Trouble::ChangeLandsLate { after_seconds } => {
                let late = Meddling::CarryOutLate(Duration::from_secs(after_seconds));
                self.relay.meddle(":disable", late);
            }
        }
    }

    async fn grants_made(&self) -> Option<usize> {
        let journal = self.sandbox.journal();
        let (service, action) = match self.carried {
            Carried::Bound => ("storage", "SetIamPolicy"),
            Carried::Entitled => ("iam", "EnableServiceAccount"),
        };
        let given = journal.iter().filter(|entry| {
            entry.service == service && entry.action == action && entry.outcome == "ok"
        });
        Some(given.count())
    }

    async fn undo(&self, lane: &LaneId) -> Result<(), String> {
        let email = lane.name.strip_prefix("account/").ok_or("no slot")?;
        let account = self.account(email).await?;
        let described = account["description"].as_str().unwrap_or_default();
        let handle = described
            .split(' ')
            .nth(2)
            .ok_or("the account says nothing")?;
        if self.carried == Carried::Entitled {
            return self.give_back(email, handle).await;
        }
        let given_back = json!({
            "role": "roles/storage.objectViewer",
            "members": [member(email)],
            "condition": { "title": format!("jitney:{INSTALLATION}:{handle}"),
                           "expression": "true" },
        });
        self.bind(BUCKET, &given_back).await?;
        self.enable(email).await
    }

    async fn left_behind(&self, lane: &LaneId) -> Result<Vec<String>, String> {
        let email = lane.name.strip_prefix("account/").ok_or("no slot")?;
        let mut left = Vec::new();
        for bucket in [BUCKET, BESIDE] {
            let bindings = self.bindings(bucket).await?.0;
            let its = bindings
                .iter()
                .filter(|it| it["members"][0] == member(email).as_str());
            left.extend(its.map(|it| it["condition"]["title"].to_string()));
        }
        let gives = |it: &Value| matches!(it["state"].as_str(), Some("ACTIVATING" | "ACTIVE"));
        let grants = self.grants_of(email).await?;
        left.extend(
            grants
                .iter()
                .filter(|it| gives(it))
                .map(|it| it["name"].to_string()),
        );
        if self.account(email).await?["disabled"] != true {
            left.push(format!("{email} is enabled"));
        }
        Ok(left)
    }

    async fn others_are_intact(&self, _: &LaneId) -> Result<bool, String> {
        Ok(self.foreign().await? == self.before)
    }

    fn slots(&self) -> Option<&dyn SlotStage> {
        Some(self)
    }
}

#[async_trait]
impl SlotStage for GcpStage {
    fn wanted_beside(&self) -> Wanted {
        let pool = self.carried.pool();
        self.wish("object-storage:read@reports-prod/releases/", pool)
    }

    async fn works_beside(&self, credential: &Revealed) -> Result<bool, String> {
        self.job(credential).reads(BESIDE, "releases/seed").await
    }
}
