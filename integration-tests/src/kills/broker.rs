//! A broker as a process of its own.

use core::time::Duration;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;

use super::Installation;

/// How long a broker may take to listen.
const READY_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a broker that was told to stop may take.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// Where brokers write their logs, one behind the other.
const LOG: &str = "broker.log";
/// How many of its lines are told of a broker that ended by itself.
const LAST_LINES: usize = 20;

/// A running broker. Dropped, it is killed.
#[derive(Debug)]
pub struct Broker {
    process: Child,
    pid: Pid,
    url: String,
    log: PathBuf,
    /// When it was started.
    pub started: Timestamp,
}

impl Broker {
    /// Starts one on the installation's ledger. It is on its way, see [`ready`](Self::ready).
    #[must_use]
    pub fn start(installation: &Installation) -> Self {
        let path = installation.folder().join(LOG);
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.expect("the folder can be written");
        // A write beyond a limit on files then fails, as on a disk that is full, and the signal
        // that comes with it does not end the process.
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" serve"])
            .arg(super::jitney());
        installation.dress(&mut command);
        let mut command = tokio::process::Command::from(command);
        let process = command
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the broker starts");
        let pid = process.id().and_then(|id| i32::try_from(id).ok());
        Self {
            process,
            pid: Pid::from_raw(pid.expect("it was not waited for")),
            url: installation.url(),
            log: path,
            started: Timestamp::now(),
        }
    }

    /// Waits until it answers.
    pub async fn ready(&mut self) {
        let since = Instant::now();
        let probe = format!("{}/readyz", self.url);
        let http = reqwest::Client::builder().no_proxy().build();
        let http = http.expect("a client can be made");
        loop {
            let answer = http.get(&probe).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            self.must_live();
            assert!(since.elapsed() < READY_WITHIN, "the broker is not ready");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Kills it without warning, and puts the next one in its place. Gives when the killed one was
    /// started, and the moment it was killed.
    pub async fn is_replaced(&mut self, installation: &Installation) -> (Timestamp, Timestamp) {
        let (started, at) = (self.started, self.dies().await);
        *self = Self::start(installation);
        (started, at)
    }

    /// Kills it without warning. Gives the moment.
    pub async fn dies(&mut self) -> Timestamp {
        self.must_live();
        let at = Timestamp::now();
        self.process.kill().await.expect("it can be killed");
        at
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop_in_order(&mut self) {
        self.signal(Signal::SIGTERM);
        let stopped = tokio::time::timeout(STOPPED_WITHIN, self.process.wait()).await;
        let status = stopped.expect("a broker that is told to stop does");
        let status = status.expect("it can be waited for");
        assert!(
            status.success(),
            "the broker stopped with {status}: see {LOG}"
        );
    }

    fn must_live(&mut self) {
        if let Ok(Some(status)) = self.process.try_wait() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last = log.lines().rev().take(LAST_LINES).collect::<Vec<_>>();
            panic!("the broker ended by itself with {status}; backwards: {last:#?}");
        }
    }

    /// Stops it where it stands, until it is to go on.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// No file of its may grow beyond so many bytes any more: its disk is full.
    pub fn fill_disk(&self, bytes: u64) {
        self.limit_files(&bytes.to_string());
    }

    /// There is room again.
    pub fn free_disk(&self) {
        self.limit_files("unlimited");
    }

    fn limit_files(&self, limit: &str) {
        // The soft limit only: the hard one could not be raised again.
        let set = Command::new("prlimit")
            .arg(format!("--pid={}", self.pid))
            .arg(format!("--fsize={limit}:"))
            .status()
            .expect("`prlimit` is there; it comes with util-linux");
        assert!(set.success(), "the limit could not be set: {set}");
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid, signal).expect("the broker is there");
    }
}
