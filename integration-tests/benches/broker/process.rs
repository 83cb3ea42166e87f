//! Processes under measurement: started with an environment of our own, ended with the bench, and
//! looked at from outside.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The time slice in which Linux counts what a process used.
const TICKS_PER_SECOND: u64 = 100;
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A process that ends when this value is dropped.
pub struct Process(Child);

impl Process {
    /// Starts a program with these variables and no others. What it says to standard error goes
    /// to `log`.
    pub fn start(command: &mut Command, variables: &[(&str, &str)], log: &Path) -> Self {
        let child = command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", log.parent().unwrap())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self(child)
    }

    /// Standard output.
    pub fn output(&mut self) -> std::process::ChildStdout {
        self.0.stdout.take().unwrap()
    }

    /// The processor's time it has used.
    pub fn cpu(&self) -> Duration {
        cpu(&self.0.id().to_string())
    }

    /// The memory it holds now, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory it has held so far, in bytes.
    pub fn resident_bytes_most(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, which: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(which));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
        // One that is ending has no memory any more.
        kibibytes.map_or(0, |kibibytes| kibibytes.parse::<u64>().unwrap() * 1024)
    }

    /// Standard input.
    pub fn input(&mut self) -> std::process::ChildStdin {
        self.0.stdin.take().unwrap()
    }

    /// Whether it came to a good end; nothing while it runs.
    pub fn ended_well(&mut self) -> Option<bool> {
        let status = self.0.try_wait().unwrap();
        status.map(|status| status.success())
    }

    /// Kills it; what it held is free afterwards.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The processor's time that the bench itself has used.
pub fn own_cpu() -> Duration {
    cpu("self")
}

fn cpu(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name may hold blanks; behind it stand 11 other numbers before the two that count.
    let (_, numbers) = stat.rsplit_once(')').unwrap();
    let numbers = numbers.split_whitespace().skip(11).take(2);
    let ticks: u64 = numbers.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// The `jitney` that is shipped, whatever this bench was built as.
pub fn jitney() -> PathBuf {
    let bench = std::env::current_exe().unwrap();
    // `target/release/deps/broker-…`
    let target = bench.ancestors().nth(3).unwrap();
    let binary = target.join("dist/jitney");
    assert!(
        binary.exists(),
        "`{}` is missing: run `./bench`, which builds it",
        binary.display()
    );
    binary
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until a page answers; gives how long that took.
pub async fn answered(http: &reqwest::Client, url: &str, log: &Path) -> Duration {
    let since = Instant::now();
    loop {
        if let Ok(answer) = http.get(url).send().await
            && answer.status().is_success()
        {
            return since.elapsed();
        }
        assert!(
            since.elapsed() < READY_WITHIN,
            "`{url}` never answered; the log:\n{}",
            fs::read_to_string(log).unwrap_or_default()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
