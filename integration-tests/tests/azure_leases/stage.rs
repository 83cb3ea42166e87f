//! Stages for the laws: our sandbox, whose clock is set on together with the broker's.

use core::sync::atomic::{AtomicI64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use jitney_azure::{
    AzureAdapter, AzureTarget, Identities, Mode, STORAGE_ACCESS_TOKEN, SignAssertion as _,
    Stopwatch,
};
use jitney_core::adapter::Adapter;
use jitney_core::catalogue::{Inventory, Resource, Tier, Wanted, resolve};
use jitney_core::handle::StampKey;
use jitney_core::plan::LaneId;
use jitney_core::principal::Job as Principal;
use jitney_core::time::Clock;
use jitney_integration_tests::adapter_laws::{
    Revealed, Scribe, SetClock, SlotStage, Stage, Stages, Trouble,
};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use jitney_sandbox::FaultKind;
use jitney_sandbox::azure::estate::{Estate, PolicyRules};
use jitney_sandbox::azure::{AzureOptions, AzureSandbox, RateLimits, Settings};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::estate::{
    self, CONTAINER, NEIGHBOUR, OTHER_CONTAINER, STRANGER, STRANGERS_NAME, blob_slots, client,
    container, object,
};
use crate::issuer::Issuer;
use crate::job::Job;

pub const TARGET: &str = "acme-azure";
pub const INSTALLATION: &str = "acme";
/// How late the sandbox enforces what has changed, in seconds, and what we reckon with.
pub const LAG_SECONDS: u32 = 90;
const SETTLE_SECONDS: u32 = 100;
/// Longer than the floor and two settle times.
const LEASE_SECONDS: u32 = 3_600;
/// After how long a change lands that was cut off, really: by the stage's clock that is minutes.
const LANDS_LATE_MILLIS: u64 = 200;

/// A stage on Azure.
pub struct AzureStage {
    pub sandbox: Arc<AzureSandbox>,
    pub clock: Arc<SetClock>,
    pub scribe: Scribe,
    pub job: Job,
    pub issuer: Arc<Issuer>,
    mode: Mode,
    fast_stop: bool,
    pub authorities: String,
    pub folder: tempfile::TempDir,
}

/// Our sandbox, in one mode.
pub struct Ours(pub Mode);

#[async_trait]
impl Stages for Ours {
    async fn stage(&self) -> Result<Box<dyn Stage>, String> {
        Ok(Box::new(AzureStage::new(self.0).await))
    }
}

/// Our sandbox, where an ended lease is denied what PIM does not let go of yet.
pub struct Stopping;

#[async_trait]
impl Stages for Stopping {
    async fn stage(&self) -> Result<Box<dyn Stage>, String> {
        Ok(Box::new(AzureStage::new(Mode::Pim).await.stopping()))
    }
}

/// Time that passes as the stage's clock does.
struct Passing(Arc<SetClock>);

impl Stopwatch for Passing {
    fn passed(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.now().as_micros()).unwrap())
    }
}

pub fn principal() -> Principal {
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

impl AzureStage {
    pub async fn new(mode: Mode) -> Self {
        Self::in_estate(mode, |estate| estate).await
    }

    /// A stage with PIM on whose container the writer's role has these rules.
    pub async fn with_policy(rules: PolicyRules) -> Self {
        let place = container(CONTAINER);
        Self::in_estate(Mode::Pim, |estate| {
            estate.management_policy(&place, estate::WRITER, rules)
        })
        .await
    }

    async fn in_estate(mode: Mode, change: impl FnOnce(Estate) -> Estate) -> Self {
        Self::trusting(Issuer::start().await, mode, change).await
    }

    /// A stage whose identities trust this issuer, in a changed estate.
    pub async fn trusting(
        issuer: Arc<Issuer>,
        mode: Mode,
        change: impl FnOnce(Estate) -> Estate,
    ) -> Self {
        let sandbox = AzureSandbox::start(AzureOptions {
            limits: RateLimits::unlimited(),
            ..AzureOptions::new(change(estate::of(issuer.url())))
        });
        let sandbox = Arc::new(sandbox.await.unwrap());
        let clock = set_on_with(&sandbox);
        let folder = tempfile::tempdir().unwrap();
        let authorities = folder.path().join("ca.pem");
        std::fs::write(&authorities, sandbox.authority_pem()).unwrap();
        let options = SqliteOptions::at(folder.path().join("ledger.db"));
        let ledger = Arc::new(SqliteLedger::open(&options).unwrap());
        let stamp = StampKey::new(INSTALLATION.parse().unwrap(), &[7; 32]).unwrap();
        let scribe = Scribe::new(ledger, stamp, clock.clone(), principal());
        let stage = Self {
            job: Job::new(&sandbox.url(), sandbox.authority_pem()),
            sandbox,
            clock,
            scribe: scribe.with_leases_of(LEASE_SECONDS),
            issuer,
            mode,
            fast_stop: false,
            authorities: authorities.display().to_string(),
            folder,
        };
        stage.set(|settings| settings.effect_lag_seconds = LAG_SECONDS);
        stage
    }

    /// With a fast stop, in an Azure that takes denials of data: what Microsoft's tools say it does
    /// not do yet. A lease on blobs shows more of what can go wrong than a whole role.
    pub fn stopping(self) -> Self {
        self.set(|settings| settings.deny_data_actions = true);
        Self {
            fast_stop: true,
            ..self
        }
    }

    /// Changes how the sandbox behaves.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.sandbox.settings();
        change(&mut settings);
        self.sandbox.set_settings(settings);
    }

    /// A target of the stage's subscription, with these keys beside.
    pub fn target(&self, url: &str, more: &Value) -> AzureTarget {
        let mut change = json!({
            "settle_seconds": SETTLE_SECONDS, "mode": self.mode, "elevate_deadline_seconds": 20,
        });
        if self.fast_stop {
            change["fast_stop"] = json!("deny-assignment");
        }
        for (key, value) in more.as_object().unwrap() {
            change[key] = value.clone();
        }
        serde_json::from_value(estate::target(url, &self.authorities, &change)).unwrap()
    }

    pub fn identities(&self, target: &AzureTarget) -> Identities {
        Identities::of(target, self.issuer.clone()).unwrap()
    }

    /// An adapter that remembers nothing, with these keys in its target's configuration.
    pub fn adapter_with(&self, url: &str, more: &Value) -> AzureAdapter {
        self.adapter_called(TARGET, url, more)
    }

    /// The same of a target by another name.
    pub fn adapter_called(&self, name: &str, url: &str, more: &Value) -> AzureAdapter {
        let target = self.target(url, more);
        let identities = self.identities(&target);
        let (name, installation) = (name.parse().unwrap(), INSTALLATION.parse().unwrap());
        let clock = self.clock.clone();
        let adapter = AzureAdapter::new(name, target, installation, identities, clock).unwrap();
        adapter.timed_by(Arc::new(Passing(self.clock.clone())))
    }

    pub fn own_adapter(&self) -> AzureAdapter {
        self.adapter_with(&self.sandbox.url(), &json!({}))
    }

    /// A wish, as the catalogue and an inventory say it.
    pub fn wish(&self, scope: &str) -> Wanted {
        let resource = |native_id: String, via: Option<&str>| Resource {
            target: TARGET.parse().unwrap(),
            native_id,
            via: via.map(str::to_owned),
            tier: Tier::High,
            owner: "platform".to_owned(),
        };
        let reader = jitney_sandbox::azure::builtin::READER.to_string();
        let owner = jitney_sandbox::azure::builtin::OWNER.to_string();
        let tidier = estate::TIDIER.to_string();
        let resources = [
            ("artifacts-prod", resource(container(CONTAINER), None)),
            ("reports-prod", resource(container(OTHER_CONTAINER), None)),
            ("shop", resource(estate::group(), Some(&reader))),
            ("shop-owned", resource(estate::group(), Some(&owner))),
            ("shop-tidied", resource(estate::group(), Some(&tidier))),
        ];
        let resources = resources.map(|(name, resource)| (name.parse().unwrap(), resource));
        let inventory = Inventory::new(resources.into());
        let catalogue = jitney_policies::catalogue(None).unwrap();
        resolve(&scope.parse().unwrap(), &inventory, &catalogue).unwrap()
    }

    /// A token of whoever owns the subscription.
    pub async fn strangers_token(&self) -> String {
        let subject = format!("jitney:slot:{STRANGERS_NAME}");
        let lives = Duration::from_secs(60);
        let assertion = self.issuer.sign(&subject, jitney_azure::AUDIENCE, lives);
        let assertion = assertion.await.unwrap();
        self.job.token(client(STRANGER), &assertion.text).await
    }

    /// A stranger gives somebody a role.
    pub async fn give(
        &self,
        scope: &str,
        name: uuid::Uuid,
        properties: &Value,
    ) -> Result<(), String> {
        let token = self.strangers_token().await;
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let body = json!({ "properties": properties });
        let answer = self
            .job
            .arm(&token, Method::PUT, &path, "2022-04-01", Some(&body));
        match answer.await {
            (status, _) if status.is_success() => Ok(()),
            (status, said) => Err(format!("PUT {path}: {status} {said}")),
        }
    }

    /// What PIM was last asked for a slot, in our words.
    async fn last_justification(&self, principal: uuid::Uuid) -> Option<String> {
        let token = self.strangers_token().await;
        let path = format!(
            "/subscriptions/{}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests",
            estate::SUBSCRIPTION
        );
        let answer = self.job.arm(&token, Method::GET, &path, "2020-10-01", None);
        let (_, list) = answer.await;
        let requests = list["value"].as_array().cloned().unwrap_or_default();
        let of_slot = requests.into_iter().map(|it| it["properties"].clone());
        let of_slot = of_slot.filter(|it| {
            it["principalId"] == json!(principal) && it["requestType"] == "AdminAssign"
        });
        let last = of_slot.max_by_key(|it| it["createdOn"].to_string())?;
        last["justification"].as_str().map(str::to_owned)
    }
}

/// A clock that takes the sandbox's with it. The sandbox's knows whole seconds only.
fn set_on_with(sandbox: &Arc<AzureSandbox>) -> Arc<SetClock> {
    let (cloud, ahead) = (sandbox.clock().clone(), AtomicI64::new(0));
    Arc::new(SetClock::with(move |time| {
        let micros = i64::try_from(time.as_micros()).unwrap();
        let ahead = ahead.fetch_add(micros, Ordering::SeqCst) + micros;
        cloud.set_offset_seconds(ahead / 1_000_000);
    }))
}

/// Whose lane it is.
pub fn principal_of(lane: &LaneId) -> Uuid {
    lane.name.strip_prefix("slot/").unwrap().parse().unwrap()
}

fn token(credential: &Revealed) -> &str {
    credential
        .get(STORAGE_ACCESS_TOKEN)
        .map_or("", String::as_str)
}

#[async_trait]
impl Stage for AzureStage {
    fn adapter(&self) -> Arc<dyn Adapter> {
        Arc::new(self.own_adapter())
    }

    fn adapter_of_nowhere(&self) -> Arc<dyn Adapter> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let nowhere = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        Arc::new(self.adapter_with(&nowhere, &json!({})))
    }

    fn scribe(&self) -> &Scribe {
        &self.scribe
    }

    fn settles(&self) -> Duration {
        Duration::from_secs(SETTLE_SECONDS.into())
    }

    fn wanted(&self) -> Wanted {
        self.wish("object-storage:write@artifacts-prod/releases/")
    }

    async fn works(&self, credential: &Revealed) -> Result<bool, String> {
        let path = format!("{CONTAINER}/releases/app.tar");
        self.job.blob(token(credential), Method::PUT, &path).await
    }

    async fn strays(&self, credential: &Revealed) -> Result<Vec<String>, String> {
        let list = format!("{CONTAINER}?restype=container&comp=list");
        let mut strays = Vec::new();
        for (method, path) in [
            (Method::PUT, format!("{CONTAINER}/other/app.tar")),
            (Method::PUT, format!("{CONTAINER}/releases-evil/app.tar")),
            (Method::PUT, format!("{CONTAINER}/releases")),
            (Method::PUT, format!("{CONTAINER}/Releases/app.tar")),
            (Method::PUT, format!("{OTHER_CONTAINER}/releases/app.tar")),
            (Method::GET, format!("{CONTAINER}/releases/seed")),
            (Method::GET, format!("{CONTAINER}/other/seed")),
            (Method::GET, format!("{OTHER_CONTAINER}/seed")),
            (Method::DELETE, format!("{CONTAINER}/releases/seed")),
            (Method::DELETE, format!("{CONTAINER}/other/seed")),
            (Method::GET, list.clone()),
            (Method::GET, format!("{list}&prefix=releases/")),
            (Method::GET, "?comp=list".to_owned()),
        ] {
            if self
                .job
                .blob(token(credential), method.clone(), &path)
                .await?
            {
                strays.push(format!("{method} {path}"));
            }
        }
        // For blobs alone: at Resource Manager the token opens nothing.
        let path = estate::group();
        let answer = self
            .job
            .arm(token(credential), Method::GET, &path, "2021-04-01", None);
        if answer.await.0.is_success() {
            strays.push(format!("GET {path}"));
        }
        Ok(strays)
    }

    fn trouble(&self, trouble: Trouble) {
        let (gives, takes) = match self.mode {
            Mode::Pim => {
                let request = "RoleAssignmentScheduleRequests_Create";
                (request, request)
            }
            Mode::Rbac => ("RoleAssignments_Create", "RoleAssignments_Delete"),
        };
        let (action, fault) = match trouble {
            Trouble::AnswerLost => (gives, FaultKind::DropAfter),
            Trouble::Busy => (gives, FaultKind::Throttle),
            Trouble::ServerError => (gives, FaultKind::ServerError { status: 503 }),
            Trouble::ChangeLandsLate { .. } => {
                let after_millis = LANDS_LATE_MILLIS;
                (takes, FaultKind::Late { after_millis })
            }
        };
        self.sandbox.faults().inject("arm", action, fault, 1);
    }

    async fn grants_made(&self) -> Option<usize> {
        let slots: Vec<_> = blob_slots().map(|(_, number)| object(number)).collect();
        let grants = self.sandbox.grants();
        Some(
            grants
                .iter()
                .filter(|it| slots.contains(&it.principal))
                .count(),
        )
    }

    async fn undo(&self, lane: &LaneId) -> Result<(), String> {
        let principal = principal_of(lane);
        let grants = self.sandbox.grants();
        let mut of_slot = grants.into_iter().filter(|it| it.principal == principal);
        let last = of_slot.next_back().ok_or("the slot never had anything")?;
        let description = match last.description {
            Some(text) => Some(text),
            None => self.last_justification(principal).await,
        };
        let role = format!(
            "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{}",
            estate::SUBSCRIPTION,
            last.role
        );
        let mut properties = json!({
            "roleDefinitionId": role, "principalId": principal,
            "principalType": "ServicePrincipal", "description": description,
        });
        if let Some(condition) = last.condition {
            properties["condition"] = json!(condition);
            properties["conditionVersion"] = json!("2.0");
        }
        self.give(&last.scope, last.name, &properties).await
    }

    async fn left_behind(&self, lane: &LaneId) -> Result<Vec<String>, String> {
        let kept = self.sandbox.keeps(principal_of(lane));
        let kept = kept.iter().filter(|it| it.ended_by.is_none());
        Ok(kept
            .map(|it| format!("{} on {}", it.role, it.scope))
            .collect())
    }

    async fn others_are_intact(&self, _lane: &LaneId) -> Result<bool, String> {
        let of = |number| self.sandbox.keeps(object(number)).len();
        Ok((of(NEIGHBOUR), of(STRANGER)) == (1, 1))
    }

    fn slots(&self) -> Option<&dyn SlotStage> {
        Some(self)
    }
}

#[async_trait]
impl SlotStage for AzureStage {
    fn wanted_beside(&self) -> Wanted {
        self.wish("object-storage:read@reports-prod")
    }

    async fn works_beside(&self, credential: &Revealed) -> Result<bool, String> {
        let path = format!("{OTHER_CONTAINER}/seed");
        self.job.blob(token(credential), Method::GET, &path).await
    }
}
