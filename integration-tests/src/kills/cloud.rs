//! The clouds and the CI. AWS and the CI are a process of their own, steered and read over its own
//! controls; Azure and Google Cloud live beside the test, which is never killed.

use core::fmt;
use std::path::Path;
use std::process::Stdio;

use jitney_sandbox::azure::{RateLimits as AzureRates, Settings};
use jitney_sandbox::gcp::{Lags, RateLimits as GcpRates};
use jitney_sandbox::{
    AzureOptions, AzureSandbox, Entry, Fault, GcpOptions, GcpSandbox, SessionInfo, UnderWay,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::estate::{azure, google};
use super::{Vendor, jitney};

/// How long after a write its effects come, in seconds, in every cloud.
const LAG_SECONDS: u8 = 1;

/// The clouds and a CI. They end with this value.
pub struct Cloud {
    /// Microsoft's cloud.
    pub azure: AzureSandbox,
    /// Google's.
    pub google: GcpSandbox,
    // Its end ends the process: it serves until its standard input is closed.
    _process: Child,
    url: String,
    ci_url: String,
    http: reqwest::Client,
}

/// A running job, as its CI's runner tells it to its steps.
#[derive(Debug, Clone, Deserialize)]
pub struct CiJob {
    request_url: String,
    request_token: String,
}

impl CiJob {
    /// The variables of its steps.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &str); 3] {
        [
            ("GITHUB_ACTIONS", "true"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", &self.request_url),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", &self.request_token),
        ]
    }
}

#[derive(Deserialize)]
struct Started {
    aws: Address,
    ci: Address,
}

#[derive(Deserialize)]
struct Address {
    url: String,
}

#[derive(Deserialize)]
struct Sessions {
    sessions: Vec<SessionInfo>,
}

#[derive(Deserialize)]
struct Journal {
    entries: Vec<Entry>,
    forgotten: u64,
}

#[derive(Deserialize)]
struct Present {
    calls: Vec<UnderWay>,
}

#[derive(Deserialize)]
struct Verdict {
    allowed: bool,
}

impl Cloud {
    /// Starts the sandboxes; `estate` is AWS's.
    pub async fn start(estate: &Path) -> Self {
        let mut process = Command::new(jitney())
            .args(["sandbox", "--estate"])
            .arg(estate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the sandbox starts");
        let output = process.stdout.take().expect("its output is piped");
        let line = BufReader::new(output).lines().next_line().await;
        let line = line.ok().flatten().expect("the sandbox tells where it is");
        let started: Started = serde_json::from_str(&line).expect("the line is JSON");
        let azure = AzureSandbox::start(AzureOptions {
            settings: Settings {
                effect_lag_seconds: LAG_SECONDS.into(),
                pim_hidden_seconds: 0,
                pim_floor_seconds: 0,
                pim_tail_seconds: 1,
                ..Settings::default()
            },
            limits: AzureRates::unlimited(),
            ..AzureOptions::new(azure::estate())
        });
        let google = GcpSandbox::start(GcpOptions {
            lags: Lags {
                revoke_seconds: LAG_SECONDS.into(),
                disable_seconds: LAG_SECONDS.into(),
                ..Lags::default()
            },
            limits: GcpRates::unlimited(),
            ..GcpOptions::new(google::estate())
        });
        let cloud = Self {
            azure: azure.await.expect("the Azure sandbox starts"),
            google: google.await.expect("the Google sandbox starts"),
            _process: process,
            url: started.aws.url,
            ci_url: started.ci.url,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client can be made"),
        };
        // Kills come at the rate of the seed, and throttling where the seed says so.
        let no_limits = json!({ "sts_per_second": 0, "iam_writes_per_second": 0 });
        cloud
            .order(
                "options",
                &json!({ "iam_lag_seconds": LAG_SECONDS, "limits": no_limits }),
            )
            .await;
        cloud
    }

    /// Azure believes this issuer about the broker and its slots from now on.
    pub(super) fn believes(&self, issuer: &str) {
        for (client, credential) in azure::trust(issuer) {
            let trusted = self.azure.trust(client, credential);
            trusted.expect("the tenant has the application");
        }
    }

    /// Where AWS answers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the CI answers.
    #[must_use]
    pub fn ci_url(&self) -> &str {
        &self.ci_url
    }

    /// Starts a job of the deploy workflow.
    pub async fn start_job(&self) -> CiJob {
        let url = format!("{}/_sandbox/jobs", self.ci_url);
        self.answered(self.http.post(url).json(&json!({}))).await
    }

    /// Arms these faults and no others.
    pub async fn suffers(&self, faults: &[(Vendor, Fault)]) {
        let of = |vendor: Vendor| {
            let theirs = faults.iter().filter(move |(whose, _)| *whose == vendor);
            theirs.map(|(_, fault)| fault.clone()).collect::<Vec<_>>()
        };
        self.azure.faults().set(of(Vendor::Azure));
        self.google.faults().set(of(Vendor::Google));
        let on_aws = of(Vendor::Aws);
        let _: Value = self
            .answered(self.http.put(self.control("faults")).json(&on_aws))
            .await;
    }

    /// Changes an option of AWS, see the sandbox's controls.
    pub async fn order(&self, control: &str, order: &Value) {
        let _: Value = self
            .answered(self.http.post(self.control(control)).json(order))
            .await;
    }

    /// Every AWS session that was ever given out, also those whose answer was lost.
    pub async fn sessions(&self) -> Vec<SessionInfo> {
        let sessions: Sessions = self.answered(self.http.get(self.control("sessions"))).await;
        sessions.sessions
    }

    /// Every call so far.
    pub async fn journal(&self) -> Vec<(Vendor, Entry)> {
        let journal: Journal = self.answered(self.http.get(self.control("journal"))).await;
        assert_eq!(journal.forgotten, 0, "the journal is whole");
        let by = |vendor| move |entry| (vendor, entry);
        let on_aws = journal.entries.into_iter().map(by(Vendor::Aws));
        let on_google = self.google.journal().into_iter().map(by(Vendor::Google));
        let on_azure = self.azure.journal().into_iter().map(by(Vendor::Azure));
        on_aws.chain(on_google).chain(on_azure).collect()
    }

    /// The calls that have arrived and are not over.
    pub async fn under_way(&self) -> Vec<(Vendor, UnderWay)> {
        let present: Present = self
            .answered(self.http.get(self.control("under-way")))
            .await;
        let by = |vendor| move |call| (vendor, call);
        let on_aws = present.calls.into_iter().map(by(Vendor::Aws));
        let on_google = self.google.under_way().into_iter().map(by(Vendor::Google));
        let on_azure = self.azure.under_way().into_iter().map(by(Vendor::Azure));
        on_aws.chain(on_google).chain(on_azure).collect()
    }

    /// Whether AWS would let a session do this now.
    pub async fn would_allow(&self, session: &str, action: &str, resource: &str) -> bool {
        let order = json!({ "session": session, "action": action, "resource": resource });
        let verdict: Verdict = self
            .answered(self.http.post(self.control("would-allow")).json(&order))
            .await;
        verdict.allowed
    }

    fn control(&self, name: &str) -> String {
        format!("{}/_sandbox/{name}", self.url)
    }

    async fn answered<T: DeserializeOwned>(&self, call: reqwest::RequestBuilder) -> T {
        let answer = call.send().await.expect("the sandbox answers");
        let status = answer.status();
        let text = answer.text().await.expect("the sandbox answers");
        assert!(status.is_success(), "{status}: {text}");
        serde_json::from_str(&text).expect("the sandbox answers in JSON")
    }
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud")
            .field("aws", &self.url)
            .field("azure", &self.azure.url())
            .field("google", &self.google.url())
            .finish_non_exhaustive()
    }
}
