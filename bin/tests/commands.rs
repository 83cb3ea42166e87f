//! The real binary: what it returns, what it says, and that the examples start as they stand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn jitney(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitney"));
    command.args(arguments).stdin(Stdio::null());
    // What the machine's own shell has set must not change what is tested.
    for (name, _) in std::env::vars() {
        if name.starts_with("JITNEY") || name.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    jitney(arguments).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The examples in a folder of their own.
struct Examples(tempfile::TempDir);

impl Examples {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        fs::create_dir(folder.path().join("policies")).unwrap();
        for file in ["jitney.toml", "policies/shop.cedar"] {
            fs::copy(examples.join(file), folder.path().join(file)).unwrap();
        }
        Self(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn config(&self) -> String {
        self.path("jitney.toml").display().to_string()
    }

    fn with_keys(self) -> Self {
        let made = run(&["keys", "init", "--config", &self.config()]);
        assert!(made.status.success(), "{}", told(&made));
        self
    }

    /// The example, on a free port, and with an issuer on loopback in the place of GitHub.
    fn on_loopback(self) -> Self {
        let file = self.path("jitney.toml");
        let text = fs::read_to_string(&file).unwrap();
        let there = "url = \"https://token.actions.githubusercontent.com\"";
        assert!(text.contains(there));
        let here = "url = \"http://127.0.0.1:9\"\nallow_private = true";
        fs::write(&file, text.replace(there, here)).unwrap();
        self
    }
}

/// A process that is ended when the test is over.
struct Running {
    child: Child,
    lines: Option<BufReader<std::process::ChildStderr>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = child.stderr.take().map(BufReader::new);
        Self { child, lines }
    }

    /// Reads standard error until a line has `part`.
    fn wait_for(&mut self, part: &str) -> String {
        let mut seen = String::new();
        for line in self.lines.as_mut().unwrap().lines() {
            let line = line.unwrap();
            if line.contains(part) {
                return line;
            }
            seen.push_str(&line);
            seen.push('\n');
        }
        panic!("there was no line with `{part}`:\n{seen}");
    }

    fn tell(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }

    fn code_within(&mut self, most: Duration) -> Option<i32> {
        let since = Instant::now();
        while since.elapsed() < most {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_wrong_command_line_is_usage() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["serve", "--confg", "x"],
        &["lease", "list", "--limit", "0"],
        &["run", "--broker", "http://127.0.0.1:1", "--", "true"],
        &["run", "--broker", "http://127.0.0.1:1", "--scope", "a:b@c"],
        &[
            "run", "--broker", "x", "--scope", "a:b@c", "--ttl", "soon", "--", "true",
        ],
        &["audit", "verify", "--export", "x"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
    }
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
    }
}

#[test]
fn a_configuration_that_is_none_is_78_and_names_its_file() {
    let output = run(&["serve", "--config", "/nowhere/jitney.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(told(&output).contains("/nowhere/jitney.toml"));
    let examples = Examples::new();
    let output = jitney(&["serve", "--config", &examples.config()])
        .env("JITNEY__BROKER__LISTN", "x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(
        told(&output).contains("did you mean `broker.listen`"),
        "{}",
        told(&output)
    );
}

#[test]
fn keys_that_are_missing_or_open_stop_the_start() {
    let examples = Examples::new();
    let config = examples.config();
    let output = run(&["serve", "--config", &config]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        told(&output).contains("jitney keys init"),
        "{}",
        told(&output)
    );
    let examples = examples.with_keys();
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(examples.path("stamp.key"), open).unwrap();
    let output = run(&["serve", "--config", &config]);
    assert_eq!(output.status.code(), Some(78));
    assert!(told(&output).contains("chmod 600"), "{}", told(&output));
}

#[test]
fn plain_http_off_loopback_is_refused() {
    let examples = Examples::new().on_loopback().with_keys();
    let output = jitney(&["serve", "--config", &examples.config()])
        .env("JITNEY__BROKER__LISTEN", "0.0.0.0:0")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(told(&output).contains("plain HTTP"), "{}", told(&output));
}

#[test]
fn a_policy_that_does_not_load_stops_the_start_with_its_place() {
    let examples = Examples::new().on_loopback().with_keys();
    fs::write(examples.path("policies/bad.cedar"), "permit (principal").unwrap();
    let output = run(&["serve", "--config", &examples.config()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(told(&output).contains("bad.cedar:"), "{}", told(&output));
}

#[test]
fn an_environment_that_redirects_aws_is_refused() {
    let examples = Examples::new().on_loopback().with_keys();
    let output = jitney(&["serve", "--config", &examples.config()])
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(
        told(&output).contains("AWS_ENDPOINT_URL"),
        "{}",
        told(&output)
    );
}

#[test]
fn the_example_starts_as_it_stands_and_stops_when_it_is_told() {
    let examples = Examples::new().on_loopback().with_keys();
    let config = examples.config();
    let mut broker = Running::start(
        jitney(&["serve", "--config", &config]).env("JITNEY__BROKER__LISTEN", "127.0.0.1:0"),
    );
    let line = broker.wait_for("the broker listens");
    assert!(line.contains("http://127.0.0.1:"), "{line}");
    let second = jitney(&["serve", "--config", &config])
        .env("JITNEY__BROKER__LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(69), "{}", told(&second));
    assert!(told(&second).contains("ledger_in_use"));
    // Looking disturbs nobody, and needs nobody to be away.
    let leases = run(&["lease", "list", "--config", &config]);
    assert!(leases.status.success(), "{}", told(&leases));
    assert_eq!(String::from_utf8_lossy(&leases.stdout), "no leases\n");
    broker.tell(Signal::SIGTERM);
    assert_eq!(broker.code_within(Duration::from_secs(20)), Some(0));
}

/// A disk that is full often holds the log as well.
#[test]
fn a_log_that_cannot_be_written_does_not_end_the_broker() {
    let examples = Examples::new().on_loopback().with_keys();
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let child = jitney(&["serve", "--config", &examples.config()])
        .env("JITNEY__BROKER__LISTEN", "127.0.0.1:0")
        .stderr(full.unwrap())
        .spawn()
        .unwrap();
    let mut broker = Running { child, lines: None };
    let since = Instant::now();
    while !examples.path("jitney.db-wal").exists() {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "it never opened its ledger"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    broker.tell(Signal::SIGTERM);
    assert_eq!(broker.code_within(Duration::from_secs(20)), Some(0));
}

#[test]
fn a_ledger_that_is_not_there_is_not_made_by_looking() {
    let examples = Examples::new().with_keys();
    let config = examples.config();
    let lease = "lease_00000000000000000000000000000000";
    for arguments in [
        &["lease", "list", "--config", &config][..],
        &["lease", "show", lease, "--config", &config],
        &["audit", "verify", "--config", &config],
        &["audit", "export", "--config", &config],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(69), "{arguments:?}");
        assert!(told(&output).contains("ledger_refused"));
    }
    assert!(!examples.path("jitney.db").exists());
    let hostile = run(&["lease", "show", "\u{1b}[2J", "--config", &config]);
    assert_eq!(hostile.status.code(), Some(64));
    assert!(!told(&hostile).contains('\u{1b}'));
}

#[test]
fn the_sandbox_says_where_it_is_and_ends_with_its_input() {
    let mut sandbox = jitney(&["sandbox"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(sandbox.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    for url in [&said["aws"]["url"], &said["ci"]["url"]] {
        assert!(url.as_str().unwrap().starts_with("http://127.0.0.1:"));
    }
    drop(sandbox.stdin.take());
    assert!(sandbox.wait().unwrap().success());
    let bad = run(&["sandbox", "--estate", "/nowhere.toml"]);
    assert_eq!(bad.status.code(), Some(78));
}

#[test]
fn dev_leases_a_bucket_to_a_command_and_takes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().display().to_string();
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--directory", &directory];
    let mut dev = Running::start(&mut jitney(&arguments));
    let mut said = String::new();
    let mut out = BufReader::new(dev.child.stdout.take().unwrap());
    while !said.contains("Stop with ctrl-c.") {
        assert!(out.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let exports = said.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('\'').to_owned()))
    });
    let exports: Vec<_> = exports.collect();
    assert!(exports.len() >= 6, "{said}");
    let scope = "object-storage:write@artifacts-prod/releases/";
    let leased = jitney(&["run", "--scope", scope, "--", "sh", "-c"])
        .arg("env | grep -c AWS_CONTAINER_CREDENTIALS_FULL_URI; exit 3")
        .envs(exports.iter().cloned())
        .output()
        .unwrap();
    assert_eq!(leased.status.code(), Some(3), "{}", told(&leased));
    let denied = jitney(&[
        "run",
        "--scope",
        "object-storage:delete@artifacts-prod",
        "--",
        "true",
    ])
    .envs(exports.iter().cloned())
    .output()
    .unwrap();
    assert_eq!(denied.status.code(), Some(77), "{}", told(&denied));

    // The lease is taken back in the background; the broker is stopped when it is.
    std::thread::sleep(Duration::from_secs(6));
    dev.tell(Signal::SIGINT);
    assert_eq!(dev.code_within(Duration::from_secs(30)), Some(0));
    audit_of_dev(folder.path());
}

/// What the folder of `dev` tells afterwards.
fn audit_of_dev(folder: &Path) {
    let config = folder.join("jitney.toml").display().to_string();
    let list = [
        "lease", "list", "--all", "--format", "json", "--config", &config,
    ];
    let leases: serde_json::Value = serde_json::from_slice(&run(&list).stdout).unwrap();
    assert_eq!(leases[0]["state"], "ended", "{leases}");
    assert_eq!(leases[0]["why"], "released");
    let id = leases[0]["id"].as_str().unwrap();
    let shown = run(&["lease", "show", id, "--config", &config]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("settled") && shown.contains("releases/"),
        "{shown}"
    );

    let verified = run(&["audit", "verify", "--config", &config]);
    assert!(verified.status.success(), "{}", told(&verified));
    let key = run(&["keys", "show", "--config", &config]);
    let key = String::from_utf8(key.stdout).unwrap();
    let export = folder.join("audit.jsonl").display().to_string();
    let exported = run(&["audit", "export", "--config", &config, "--out", &export]);
    assert!(exported.status.success(), "{}", told(&exported));
    let verify = ["audit", "verify", "--export", &export, "--key", key.trim()];
    assert!(run(&verify).status.success());
    // One byte of one entry, and the copy is no longer the log that was signed.
    let mut text = String::new();
    fs::File::open(&export)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    let at = text.find("\"entry\":\"").unwrap() + 40;
    let other = if text.as_bytes()[at] == b'A' {
        "B"
    } else {
        "A"
    };
    text.replace_range(at..=at, other);
    fs::write(&export, text).unwrap();
    assert_eq!(run(&verify).status.code(), Some(65));
}

/// The steps of a demonstration, as programs read them.
fn steps(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let steps = text.lines().map(|line| serde_json::from_str(line).unwrap());
    steps.collect()
}

#[test]
fn the_demonstration_keeps_every_promise() {
    let output = run(&["demo", "--format", "json"]);
    let steps = steps(&output);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(steps.len() > 10);
    assert!(steps.iter().all(|step| step["ok"] == true), "{steps:?}");
}

#[test]
fn the_demonstration_notices_a_cloud_that_ignores_deny() {
    let output = run(&["demo", "--format", "json", "--sandbox-ignores-deny"]);
    let steps = steps(&output);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(steps.iter().any(|step| step["ok"] == false), "{steps:?}");
}
