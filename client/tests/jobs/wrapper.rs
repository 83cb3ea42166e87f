//! `run` as a process of its own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::broker::Broker;

/// No run of a test takes longer.
const RUN_PATIENCE: Duration = Duration::from_secs(30);

/// Plays a terminal: starts a program on it, and presses Ctrl-C once `$DIR/press` is there.
const TERMINAL: &str = r#"
import os, pty, select, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
press = os.environ["DIR"] + "/press"
while True:
    if os.path.exists(press):
        os.unlink(press)
        os.write(terminal, b"\x03")
    if select.select([terminal], [], [], 0.02)[0]:
        try:
            if not os.read(terminal, 4096):
                break
        except OSError:
            break
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// The program that calls `run`.
pub fn path() -> String {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().unwrap().parent().unwrap();
    let path = built.join("examples/run");
    assert!(path.exists(), "build it first: cargo build --examples");
    path.to_str().unwrap().to_owned()
}

/// A run that is being prepared.
pub struct Job {
    /// What starts the program, if it is not started directly.
    through: Vec<String>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    files: tempfile::TempDir,
}

/// A run that is under way.
pub struct Run {
    child: Child,
    files: tempfile::TempDir,
    started: Instant,
}

/// A run that is over.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Job {
    /// A job of this broker, in an environment of its own. `$DIR` is a directory for the test.
    pub fn new(broker: &Broker) -> Self {
        let job = Self::without_runner(&broker.url());
        let runner = broker.runner().into_iter();
        runner.fold(job, |job, (name, value)| job.env(name, &value))
    }

    /// A job that was given nothing by its runner.
    pub fn without_runner(broker: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let directory = files.path().to_str().unwrap().to_owned();
        let job = Self {
            through: Vec::new(),
            arguments: vec!["--new-session".to_owned()],
            variables: Vec::new(),
            files,
        };
        job.args(&["--broker", broker])
            .args(&["--scope", "object-storage:write@artifacts/"])
            .env("PATH", &std::env::var("PATH").unwrap())
            .env("DIR", &directory)
            .env("TMPDIR", &directory)
    }

    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it through a shell script, which gets the program and its arguments as `$@`.
    pub fn under(mut self, script: &str) -> Self {
        self.through = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
        self
    }

    /// Starts it on a terminal.
    pub fn on_terminal(mut self) -> Self {
        self.arguments
            .retain(|argument| argument != "--new-session");
        self.through = ["python3", "-EsBc", TERMINAL].map(str::to_owned).to_vec();
        self
    }

    /// Starts it with a shell script as its command.
    pub fn sh(self, script: &str) -> Run {
        self.start(&["sh", "-c", script])
    }

    pub fn start(self, command: &[&str]) -> Run {
        let mut words = self.through.clone();
        words.push(path());
        words.extend(self.arguments);
        words.push("--".to_owned());
        words.extend(command.iter().map(|word| (*word).to_owned()));
        let child = Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .envs(self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Run {
            child,
            files: self.files,
            started: Instant::now(),
        }
    }
}

impl Run {
    pub fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap());
        kill(process, signal).unwrap();
    }

    /// A file of the test's directory, once it is there and has a whole last line.
    pub async fn file(&self, name: &str) -> String {
        let path = self.files.path().join(name);
        for _ in 0..1000 {
            match std::fs::read_to_string(&path) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("`{name}` never came");
    }

    /// Makes a file, for a script that waits for it.
    pub fn touch(&self, name: &str) {
        std::fs::write(self.files.path().join(name), "").unwrap();
    }

    /// What lies in the test's directory now.
    pub fn directory(&self) -> PathBuf {
        self.files.path().to_owned()
    }

    pub async fn end(self) -> Ended {
        let output = tokio::time::timeout(RUN_PATIENCE, self.child.wait_with_output());
        let output = output.await.expect("the run never ended").unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            took: self.started.elapsed(),
        }
    }
}

/// A script that says that it runs, and waits to be told to go on.
pub const WAIT: &str = "env > $DIR/env.new; echo >> $DIR/env.new; mv $DIR/env.new $DIR/env; \
                        while [ ! -e $DIR/go ]; do sleep 0.02; done; ";
