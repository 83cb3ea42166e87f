//! Jitney as it is run: the broker and its cloud are processes of their own, the ledger is on
//! disk, and jobs come with the client that `jitney run` uses.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jitney_api::{RequestBody, RequestState, RequestView};
use jitney_client::{Client, TokenSource};
use jitney_sandbox::aws::RateLimits;
use jitney_sandbox::ci::{CiIssuer, GithubJob};

use crate::estate::{
    ACCESS_KEY_ID, AUDIENCE, LEASE_SECONDS, SECRET_ACCESS_KEY, Setup, scope, write_configuration,
    write_estate,
};
use crate::measure::{Cycle, Side};
use crate::process::{Process, answered, free_port, jitney};

/// How many jobs share a key and its connection. A key may call 256 times in a minute, and a
/// cycle is two calls.
const JOBS_PER_KEY: usize = 100;

/// An installation with its cloud, which is there before its broker runs and after it was killed.
pub struct Site {
    pub cloud: Process,
    pub cloud_url: String,
    folder: PathBuf,
    port: u16,
    roles: usize,
}

/// A broker at work, and the jobs that wait.
pub struct Jitney {
    pub broker: Process,
    pub site: Site,
    /// How long it took until it was ready.
    pub ready_after: Duration,
    jobs: Mutex<VecDeque<Job>>,
    done: AtomicUsize,
}

/// A job with its token, which was minted before the round.
#[derive(Clone)]
pub struct Job {
    pub client: Arc<Client>,
    token: PathBuf,
    scope: String,
}

impl Site {
    /// Starts a cloud, and lays out everything but the ledger.
    pub async fn lay_out(folder: &Path, setup: &Setup<'_>) -> Self {
        fs::create_dir_all(folder).unwrap();
        let estate = write_estate(folder, setup.roles);
        let (cloud, cloud_url) = start_cloud(&estate, folder).await;
        let port = free_port();
        write_configuration(folder, setup, port, &cloud_url);
        let site = Self {
            cloud,
            cloud_url,
            folder: folder.to_owned(),
            port,
            roles: setup.roles,
        };
        let keys = site.command(&["keys", "init"]).output().unwrap();
        assert!(keys.status.success(), "{keys:?}");
        site
    }

    /// A command of `jitney` about this installation.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(jitney());
        command.args(arguments).arg("--config");
        command.arg(self.file("jitney.toml"));
        command
    }

    /// A file of the installation.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Puts an empty ledger in the place of the one that was there.
    pub fn empty_ledger(&self, setup: &Setup<'_>) {
        for name in ["jitney.db", "jitney.db-wal", "jitney.db-shm"] {
            let _ = fs::remove_file(self.file(name));
        }
        write_configuration(&self.folder, setup, self.port, &self.cloud_url);
    }

    /// Starts a broker here, and waits until it is ready.
    pub async fn start(self) -> Jitney {
        let (broker, ready_after) = self.serve().await;
        Jitney {
            broker,
            site: self,
            ready_after,
            jobs: Mutex::default(),
            done: AtomicUsize::new(0),
        }
    }

    async fn serve(&self) -> (Process, Duration) {
        let log = self.file("broker.log");
        let identity = [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ];
        let broker = Process::start(&mut self.command(&["serve"]), &identity, &log);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let took = answered(&http, &format!("{}/readyz", self.url()), &log).await;
        (broker, took)
    }

    /// Mints a token for each of so many jobs, each of a run of its own. So many share a key and
    /// its connection.
    pub fn mint(&self, ci: &CiIssuer, jobs: usize, per_key: usize) -> Vec<Job> {
        let tokens = tempfile::tempdir_in(&self.folder).unwrap().keep();
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
        let client = |_| Arc::new(Client::new(self.url().parse().unwrap(), None).unwrap());
        let clients: Vec<_> = (0..jobs.div_ceil(per_key)).map(client).collect();
        let job = |n: usize| Job {
            client: Arc::clone(&clients[n % clients.len()]),
            token: tokens.join(n.to_string()),
            scope: scope(n, self.roles),
        };
        (0..jobs).map(job).collect()
    }
}

impl Jitney {
    /// Has jobs wait.
    pub fn queue(&self, ci: &CiIssuer, jobs: usize) {
        let jobs = self.site.mint(ci, jobs, JOBS_PER_KEY);
        self.jobs.lock().unwrap().extend(jobs);
    }

    /// Kills the broker and starts it again. Gives the time until it was ready.
    pub async fn restart(&mut self) -> Duration {
        self.broker.kill();
        (self.broker, self.ready_after) = self.site.serve().await;
        self.ready_after
    }

    /// Kills the broker; what was around it stays.
    pub fn into_site(mut self) -> Site {
        self.broker.kill();
        self.site
    }

    /// How many cycles have come to their end.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Asks for a lease of so many seconds and keeps it.
    pub async fn grant(&self, job: &Job, ttl_seconds: u32) -> RequestView {
        let body = RequestBody {
            scopes: vec![job.scope.clone()],
            ttl_seconds: Some(ttl_seconds),
            reason: None,
        };
        let tokens = TokenSource::File(job.token.clone());
        let granted = job
            .client
            .request(&body, &tokens, AUDIENCE, Duration::ZERO)
            .await;
        let view = granted.unwrap_or_else(|error| panic!("a request: {error}"));
        assert!(view.state == RequestState::Granted && view.credentials.len() == 1);
        view
    }
}

impl Side for Jitney {
    type Job = Job;

    fn next(&self) -> Option<Job> {
        self.jobs.lock().unwrap().pop_front()
    }

    async fn cycle(&self, job: Job) -> Cycle {
        let began = Instant::now();
        let request = self.grant(&job, LEASE_SECONDS).await.id;
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
