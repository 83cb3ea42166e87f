//! A job: `jitney run` as a process of its own, around a command that shows what it was given.

use core::time::Duration;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use tokio::process::{Child, Command};

use super::lanes::{Vendor, Way, bucket_of};
use super::{CiJob, Installation};

/// Where jobs write down what they were given: the request and what it is known by, a line each.
pub(super) const HELD: &str = "held.txt";
/// Where the wrappers' messages go.
const LOG: &str = "jobs.log";

/// A running job.
#[derive(Debug)]
pub struct Job {
    process: Child,
    /// The lane it has a lease in, once it is granted.
    pub lane: usize,
    /// When it was started.
    pub started: Timestamp,
}

impl Job {
    /// Starts a job that works for a while. `options` are further options of `jitney run`.
    #[must_use]
    pub fn start(
        installation: &Installation,
        ci: &CiJob,
        lane: usize,
        works: Duration,
        options: &[&str],
    ) -> Self {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(installation.folder().join(LOG))
            .expect("the folder can be written");
        let way = Way::of(lane);
        let (capability, bucket, path) = (way.capability(), bucket_of(lane), way.path());
        let scope = format!("{capability}@{bucket}{path}");
        let given = match way.vendor() {
            Vendor::Aws => "aws $AWS_ACCESS_KEY_ID",
            Vendor::Google => "google $GOOGLE_OAUTH_ACCESS_TOKEN",
            Vendor::Azure => "azure $AZURE_ACCESS_TOKEN",
        };
        let script = format!(
            "echo \"$JITNEY_REQUEST {given}\" >> {HELD}; sleep {:.3}",
            works.as_secs_f64()
        );
        let mut command = installation.command(&["run", "--output", "env", "--scope", &scope]);
        if let Some(seconds) = way.ttl_seconds() {
            command.args(["--ttl", &seconds.to_string()]);
        }
        command
            .args(options)
            .args(["--", "sh", "-c", &script])
            .envs(ci.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let process = Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .expect("the job starts");
        Self {
            process,
            lane,
            started: Timestamp::now(),
        }
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        self.process.wait().await.expect("it can be waited for")
    }

    /// Kills the wrapper without warning; its command goes on. Gives the moment, unless it had
    /// ended by then.
    pub async fn kill(mut self) -> Option<Timestamp> {
        if let Ok(Some(_)) = self.process.try_wait() {
            return None;
        }
        let at = Timestamp::now();
        self.process.kill().await.expect("it can be killed");
        Some(at)
    }
}

/// What the jobs of a folder were given: requests, and what the clouds know the credentials by.
pub(super) fn held(folder: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(folder.join(HELD)).unwrap_or_default();
    let pair = |line: &str| {
        let mut words = line.split(' ');
        let (request, vendor, secret) = (words.next()?, words.next()?, words.next()?);
        let known = match vendor {
            "google" => jitney_sandbox::gcp::fingerprint(secret),
            "azure" => token_id(secret)?,
            _ => secret.to_owned(),
        };
        Some((request.to_owned(), known))
    };
    text.lines().filter_map(pair).collect()
}

/// The `uti` of one of Azure's access tokens.
fn token_id(token: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        uti: String,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some(claims.uti)
}
