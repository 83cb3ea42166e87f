//! Jitney as it is run: the broker and its cloud are processes of their own, the ledger is on
//! disk, and jobs come with the client that `jitney run` uses.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jitney_api::{RequestBody, RequestState};
use jitney_client::{Client, TokenSource};
use jitney_sandbox::aws::RateLimits;
use jitney_sandbox::ci::{CiIssuer, GithubJob};

use crate::estate::{
    ACCESS_KEY_ID, AUDIENCE, SECRET_ACCESS_KEY, scope, write_configuration, write_estate,
};
use crate::measure::{Cycle, Side};
use crate::process::{Process, answered, free_port, jitney};

/// How many jobs share a key and its connection. A key may call 256 times in a minute, and a
/// cycle is two calls.
const JOBS_PER_KEY: usize = 100;

/// A broker, its cloud, and the jobs that wait.
pub struct Jitney {
    pub broker: Process,
    pub cloud: Process,
    pub cloud_url: String,
    folder: PathBuf,
    url: String,
    jobs: Vec<Job>,
    taken: AtomicUsize,
    done: AtomicUsize,
}

/// A job with its token, which was minted before the round.
#[derive(Clone)]
pub struct Job {
    client: Arc<Client>,
    token: PathBuf,
    scope: String,
}

impl Jitney {
    /// Starts a cloud and a broker on an empty ledger, with `jobs` waiting.
    pub async fn start(folder: &Path, ci: &CiIssuer, roles: usize, jobs: usize) -> Self {
        fs::create_dir_all(folder).unwrap();
        let (cloud, cloud_url) = start_cloud(&write_estate(folder, roles), folder).await;
        let port = free_port();
        let file = write_configuration(folder, roles, port, &ci.url(), &cloud_url);
        let keys = Command::new(jitney())
            .args(["keys", "init", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(
            keys.status.success(),
            "{}",
            String::from_utf8_lossy(&keys.stderr)
        );
        let url = format!("http://127.0.0.1:{port}");
        let broker = start_broker(folder, &url).await.0;
        Self {
            broker,
            cloud,
            cloud_url,
            jobs: mint(folder, ci, &url, roles, jobs),
            folder: folder.to_owned(),
            url,
            taken: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
        }
    }

    /// Kills the broker and starts it again. Gives the time until it was ready.
    pub async fn restart(&mut self) -> Duration {
        self.broker.kill();
        let (broker, took) = start_broker(&self.folder, &self.url).await;
        self.broker = broker;
        took
    }

    pub fn ledger(&self) -> PathBuf {
        self.folder.join("jitney.db")
    }

    /// How many cycles have come to their end.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Asks for a lease and keeps it.
    pub async fn grant(&self, job: &Job) -> String {
        let body = RequestBody {
            scopes: vec![job.scope.clone()],
            ttl_seconds: None,
            reason: None,
        };
        let tokens = TokenSource::File(job.token.clone());
        let granted = job
            .client
            .request(&body, &tokens, AUDIENCE, Duration::ZERO)
            .await;
        let view = granted.unwrap_or_else(|error| panic!("a request: {error}"));
        assert!(view.state == RequestState::Granted && view.credentials.len() == 1);
        view.id
    }
}

impl Side for Jitney {
    type Job = Job;

    fn next(&self) -> Option<Job> {
        self.jobs
            .get(self.taken.fetch_add(1, Ordering::Relaxed))
            .cloned()
    }

    async fn cycle(&self, job: Job) -> Cycle {
        let began = Instant::now();
        let request = self.grant(&job).await;
        let granted = Instant::now();
        let released = job.client.release_request(&request, None).await;
        released.unwrap_or_else(|error| panic!("a release: {error}"));
        self.done.fetch_add(1, Ordering::Relaxed);
        Cycle {
            grant: granted - began,
            release: granted.elapsed(),
        }
    }
}

/// A cloud without AWS's quotas on calls: it is the broker that is measured. An account may assume
/// 600 roles a second, and the broker can do more.
async fn start_cloud(estate: &Path, folder: &Path) -> (Process, String) {
    let mut command = Command::new(jitney());
    command.args(["sandbox", "--estate"]).arg(estate);
    let mut cloud = Process::start(&mut command, &[], &folder.join("cloud.log"));
    let mut line = String::new();
    BufReader::new(cloud.output()).read_line(&mut line).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = told["aws"]["url"].as_str().unwrap().to_owned();
    let options = serde_json::json!({ "limits": RateLimits::unlimited() });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let lifted = http.post(format!("{url}/_sandbox/options")).json(&options);
    let lifted = lifted.send().await.unwrap();
    assert!(lifted.status().is_success(), "{lifted:?}");
    (cloud, url)
}

async fn start_broker(folder: &Path, url: &str) -> (Process, Duration) {
    let log = folder.join("broker.log");
    let mut command = Command::new(jitney());
    command
        .args(["serve", "--config"])
        .arg(folder.join("jitney.toml"));
    let identity = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ];
    let broker = Process::start(&mut command, &identity, &log);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let took = answered(&http, &format!("{url}/readyz"), &log).await;
    (broker, took)
}

/// Mints a token for every job, each of a run of its own.
fn mint(folder: &Path, ci: &CiIssuer, url: &str, roles: usize, jobs: usize) -> Vec<Job> {
    let tokens = folder.join("tokens");
    fs::create_dir_all(&tokens).unwrap();
    let halves = [0..jobs / 2, jobs / 2..jobs];
    std::thread::scope(|threads| {
        for half in halves {
            let tokens = &tokens;
            threads.spawn(move || {
                for n in half {
                    let token = ci.job(GithubJob::push_to_main()).token(AUDIENCE).unwrap();
                    fs::write(tokens.join(n.to_string()), token).unwrap();
                }
            });
        }
    });
    let client = |_| Arc::new(Client::new(url.parse().unwrap(), None).unwrap());
    let clients: Vec<_> = (0..jobs.div_ceil(JOBS_PER_KEY)).map(client).collect();
    (0..jobs)
        .map(|n| Job {
            client: Arc::clone(&clients[n % clients.len()]),
            token: tokens.join(n.to_string()),
            scope: scope(n, roles),
        })
        .collect()
}
