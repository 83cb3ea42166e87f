//! A job: `jitney run` as a process of its own, around a command that shows what it was given.

use core::time::Duration;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use jiff::Timestamp;
use tokio::process::{Child, Command};

use super::{CiJob, Installation, bucket_of};

/// Where jobs write down what they were given: the request and the access key, a line each.
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
        let scope = format!("object-storage:write@{}/releases/", bucket_of(lane));
        let script = format!(
            "echo \"$JITNEY_REQUEST $AWS_ACCESS_KEY_ID\" >> {HELD}; sleep {:.3}",
            works.as_secs_f64()
        );
        let mut command = installation.command(&["run", "--output", "env", "--scope", &scope]);
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

/// What the jobs of a folder were given: requests with access keys.
pub(super) fn held(folder: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(folder.join(HELD)).unwrap_or_default();
    let pair = |line: &str| {
        let (request, key) = line.split_once(' ')?;
        Some((request.to_owned(), key.to_owned()))
    };
    text.lines().filter_map(pair).collect()
}
