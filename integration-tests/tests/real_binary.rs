//! A job's whole path through the real binary: `jitney dev` as cloud, CI and broker, `jitney run`
//! as the job. Counted and searched from outside the processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use jitney_integration_tests::ledger_laws::wal::Commits;

const SCOPE: &str = "object-storage:write@artifacts-prod/releases/";
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary that the workspace built, beside this test.
fn jitney() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().unwrap().parent().unwrap().join("jitney");
    assert!(
        binary.exists(),
        "{} is missing: build the workspace first",
        binary.display()
    );
    binary
}

/// A running `jitney dev` with everything it keeps in one folder.
struct Dev {
    process: Child,
    folder: tempfile::TempDir,
    exports: BTreeMap<String, String>,
}

impl Dev {
    fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// The same in a folder of its own, with these variables.
    fn start_in(folder: tempfile::TempDir, variables: &[(&str, &str)]) -> Self {
        let log = File::create(folder.path().join("broker.log")).unwrap();
        let mut process = Command::new(jitney())
            .args(["dev", "--listen", "127.0.0.1:0", "--directory"])
            .arg(folder.path())
            .env("JITNEY_LOG", "debug")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut exports = BTreeMap::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some((name, value)) = line
                .trim()
                .strip_prefix("export ")
                .and_then(|export| export.split_once('='))
            {
                exports.insert(name.to_owned(), value.trim_matches('\'').to_owned());
            }
            if line.starts_with("Stop with") {
                break;
            }
        }
        assert!(
            exports.contains_key("JITNEY_BROKER"),
            "what dev printed: {exports:?}"
        );
        Self {
            process,
            folder,
            exports,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `jitney run` as a deploy job, with a shell script as its command.
    fn run(&self, options: &[&str], script: &str) -> Command {
        let mut command = Command::new(jitney());
        command
            .args(["run", "--scope", SCOPE])
            .args(options)
            .args(["--", "sh", "-c", script])
            .envs(&self.exports)
            .current_dir(self.folder.path())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }

    fn ask(&self, words: &[&str]) -> Output {
        let config = self.path("jitney.toml");
        Command::new(jitney())
            .args(words)
            .arg("--config")
            .arg(config)
            .output()
            .unwrap()
    }

    fn commits(&self) -> Commits {
        Commits::of(&self.path("jitney.db")).unwrap()
    }

    /// Waits until no lease is open and the ledger has been still for a while.
    fn settle(&self) {
        let since = Instant::now();
        loop {
            let open = self.ask(&["lease", "list", "--format", "json"]);
            assert!(
                open.status.success(),
                "{}",
                String::from_utf8_lossy(&open.stderr)
            );
            let text = String::from_utf8(open.stdout).unwrap();
            let before = self.commits();
            std::thread::sleep(Duration::from_millis(400));
            if !text.contains("lease_") && self.commits().since(&before) == Some(0) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "still open: {text}");
        }
    }

    /// Verifies the audit log, as soon as the broker has signed it for the first time.
    fn verified(&self) -> Output {
        let since = Instant::now();
        loop {
            let verified = self.ask(&["audit", "verify"]);
            let told = String::from_utf8_lossy(&verified.stderr).into_owned();
            if verified.status.success() {
                return verified;
            }
            assert!(
                told.contains("audit_nothing_signed") && since.elapsed() < PATIENCE,
                "{told}"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_for(path: &Path) {
    let since = Instant::now();
    while !path.exists() {
        assert!(since.elapsed() < PATIENCE, "{} never came", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A job writes at most three times before it has gone on: the intent, the grant, and that it is
/// ending. What comes after rides in the background.
#[test]
fn a_job_costs_at_most_three_durable_commits() {
    let dev = Dev::start();
    let (mut to_grant, mut to_release) = (Vec::new(), Vec::new());
    for round in 0..4 {
        let (started, go) = (
            dev.path(&format!("started-{round}")),
            dev.path(&format!("go-{round}")),
        );
        dev.settle();
        let before = dev.commits();
        let script = format!(
            "touch {}; while [ ! -e {} ]; do sleep 0.02; done; exit 7",
            started.display(),
            go.display()
        );
        let mut job = dev.run(&[], &script).spawn().unwrap();
        wait_for(&started);
        let granted = dev.commits();
        fs::write(&go, "").unwrap();
        assert_eq!(
            job.wait().unwrap().code(),
            Some(7),
            "the command's own exit status"
        );
        let released = dev.commits();
        to_grant.extend(granted.since(&before));
        to_release.extend(released.since(&granted));
    }
    // The audit log may be sealed, and the lane claimed, at the same moment: in some rounds they
    // ride along, in the quietest they do not.
    assert_eq!(
        to_grant.iter().min(),
        Some(&2),
        "intent and grant: {to_grant:?}"
    );
    let least = to_release.iter().min().copied();
    assert!(
        least.is_some_and(|least| (1..=2).contains(&least)),
        "the ending: {to_release:?}"
    );
}

/// The secret that the job held is nowhere else; its public name, as a control, is.
#[test]
fn a_credential_is_found_nowhere() {
    let dev = Dev::start();
    let held = tempfile::tempdir().unwrap();
    let note = held.path().join("held");
    let script = format!(
        "printf '%s\\n%s\\n%s' \"$AWS_ACCESS_KEY_ID\" \"$AWS_SECRET_ACCESS_KEY\" \"$AWS_SESSION_TOKEN\" > {}",
        note.display()
    );
    let job = dev.run(&["--output", "env"], &script).output().unwrap();
    assert!(
        job.status.success(),
        "{}",
        String::from_utf8_lossy(&job.stderr)
    );
    let listed = dev.ask(&["lease", "list", "--all", "--format", "json"]);
    let exported = dev.ask(&["audit", "export"]);
    let verified = dev.verified();

    let mut places: Vec<(String, Vec<u8>)> = fs::read_dir(dev.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    for (name, output) in [
        ("run", job),
        ("list", listed),
        ("export", exported),
        ("verify", verified),
    ] {
        places.push((format!("{name}: stdout"), output.stdout));
        places.push((format!("{name}: stderr"), output.stderr));
    }
    let held = fs::read_to_string(note).unwrap();
    let secrets: Vec<&str> = held.lines().collect();
    assert!(
        secrets.len() == 3 && secrets.iter().all(|secret| secret.len() >= 16),
        "nothing held"
    );
    for secret in &secrets[1..] {
        for (place, bytes) in &places {
            assert!(!contains(bytes, secret), "the credential is in {place}");
        }
    }
    let public = places
        .iter()
        .filter(|(_, bytes)| contains(bytes, secrets[0]))
        .count();
    assert!(
        public > 0,
        "not even the access key id was found: the search does not work"
    );
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Whoever may not is told so, by the exit status and in words.
#[test]
fn a_denied_job_never_starts_its_command() {
    let dev = Dev::start();
    let mark = dev.path("ran");
    let job = Command::new(jitney())
        .args([
            "run",
            "--scope",
            "object-storage:delete@artifacts-prod/releases/",
        ])
        .args(["--", "touch"])
        .arg(&mark)
        .envs(&dev.exports)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&job.stderr).into_owned();
    assert_eq!(job.status.code(), Some(77), "{told}");
    assert!(
        told.contains("object-storage:delete@artifacts-prod/releases/"),
        "{told}"
    );
    assert!(!mark.exists());
}

/// Loopback is this machine's: a proxy cannot reach it, and would read every credential.
#[test]
fn no_proxy_is_asked_about_loopback() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let variables = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"];
    let variables = variables.map(|name| (name, address.as_str()));
    let dev = Dev::start_in(tempfile::tempdir().unwrap(), &variables);
    let job = dev.run(&[], "exit 7").envs(variables).output().unwrap();
    assert_eq!(
        job.status.code(),
        Some(7),
        "{}",
        String::from_utf8_lossy(&job.stderr)
    );
    dev.settle();
    let asked = proxy.accept().map(|(_, from)| from);
    assert!(asked.is_err(), "somebody asked the proxy: {asked:?}");
}

/// A disk that cannot keep what it is given, for as long as a file is there.
const FAILING_DISK: &str = r#"
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int failing(void) {
    if (access(getenv("DISK_FAILS"), F_OK) != 0) return 0;
    errno = EIO;
    return 1;
}
int fsync(int file) { return failing() ? -1 : (int)syscall(SYS_fsync, file); }
int fdatasync(int file) { return failing() ? -1 : (int)syscall(SYS_fdatasync, file); }
"#;

/// Without a record nothing is handed out, and what was not recorded is tried no further: a job
/// may come again once the disk is well.
#[test]
fn a_disk_that_fails_grants_nothing_and_is_used_again_when_it_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("disk.c"), folder.path().join("disk.so"));
    fs::write(&source, FAILING_DISK).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{compiled:?}");
    let (fails, library) = (folder.path().join("fails"), library.display().to_string());
    let dev = Dev::start_in(
        folder,
        &[
            ("LD_PRELOAD", library.as_str()),
            ("DISK_FAILS", fails.to_str().unwrap()),
        ],
    );
    let job = || dev.run(&["--patience", "3s"], "exit 7").output().unwrap();
    assert_eq!(job().status.code(), Some(7));
    dev.settle();

    fs::write(&fails, "").unwrap();
    let refused = job();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(75), "{told}");
    assert!(told.contains("cannot write its ledger"), "{told}");

    fs::remove_file(&fails).unwrap();
    assert_eq!(job().status.code(), Some(7));
    dev.settle();
    let all = dev.ask(&["lease", "list", "--all", "--format", "json"]);
    let all: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    dev.verified();
}

/// Whom root becomes, because no permission binds root itself.
const NOBODY: u32 = 65_534;

fn give_to_nobody(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            give_to_nobody(&path);
        }
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
}

/// SQLite opens such a file for reading and says nothing; the first job would find out.
#[test]
fn a_ledger_that_may_not_be_written_stops_the_start() {
    let mut dev = Dev::start();
    let process = dev.process.id().to_string();
    assert!(
        Command::new("kill")
            .arg(process)
            .status()
            .unwrap()
            .success()
    );
    dev.process.wait().unwrap();
    let (binary, ledger) = (dev.path("jitney"), dev.path("jitney.db"));
    // Whoever we become may not be let into the folder of the build.
    fs::copy(jitney(), &binary).unwrap();
    let mut serve = Command::new(&binary);
    serve
        .arg("serve")
        .arg("--config")
        .arg(dev.path("jitney.toml"));
    if fs::metadata(dev.folder.path()).unwrap().uid() == 0 {
        give_to_nobody(dev.folder.path());
        chown(&ledger, Some(0), Some(0)).unwrap();
        serve.uid(NOBODY).gid(NOBODY);
    }
    fs::set_permissions(&ledger, fs::Permissions::from_mode(0o444)).unwrap();
    let refused = serve.output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(69), "{told}");
    assert!(told.contains("may not be written"), "{told}");
}
