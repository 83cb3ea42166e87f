//! The sandbox as a process of its own, steered and read over its own controls.

use std::path::Path;
use std::process::Stdio;

use jitney_sandbox::{Entry, Fault, SessionInfo, UnderWay};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::jitney;

/// A cloud and a CI. They end with this value.
#[derive(Debug)]
pub struct Cloud {
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
    /// Starts the sandbox with an estate.
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
        let cloud = Self {
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
                &json!({ "iam_lag_seconds": 1, "limits": no_limits }),
            )
            .await;
        cloud
    }

    /// Where the cloud answers.
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
    pub async fn suffers(&self, faults: &[Fault]) {
        let _: Value = self
            .answered(self.http.put(self.control("faults")).json(faults))
            .await;
    }

    /// Changes an option, see the sandbox's controls.
    pub async fn order(&self, control: &str, order: &Value) {
        let _: Value = self
            .answered(self.http.post(self.control(control)).json(order))
            .await;
    }

    /// Every session that was ever given out, also those whose answer was lost.
    pub async fn sessions(&self) -> Vec<SessionInfo> {
        let sessions: Sessions = self.answered(self.http.get(self.control("sessions"))).await;
        sessions.sessions
    }

    /// Every call so far.
    pub async fn journal(&self) -> Vec<Entry> {
        let journal: Journal = self.answered(self.http.get(self.control("journal"))).await;
        assert_eq!(journal.forgotten, 0, "the journal is whole");
        journal.entries
    }

    /// The calls that have arrived and are not over.
    pub async fn under_way(&self) -> Vec<UnderWay> {
        let present: Present = self
            .answered(self.http.get(self.control("under-way")))
            .await;
        present.calls
    }

    /// Whether the cloud would let a session do this now.
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
