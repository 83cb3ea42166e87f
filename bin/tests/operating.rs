//! Operators at a running broker: the real binary talks to the real binary through its socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The identity that the sandbox's estate has for Jitney. It opens nothing else.
const IDENTITY: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIAJITNEYSANDBOX000"),
    (
        "AWS_SECRET_ACCESS_KEY",
        "only-for-the-sandbox-0000000000000000000",
    ),
];

fn jitney(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitney"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars() {
        if name.starts_with("JITNEY") || name.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
}

/// `jitney dev` in a folder, with everything it needs.
struct Dev {
    child: Child,
    folder: tempfile::TempDir,
}

impl Dev {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let mut child = jitney(&["dev", "--directory", place, "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("the broker listens") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it did not start");
        }
        // Nobody else reads it, and it must not stand still for that.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, folder }
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join(file)
    }

    fn operate(&self, arguments: &[&str]) -> Output {
        let config = self.path("jitney.toml");
        let mut command = jitney(arguments);
        command.arg("--config").arg(config).envs(IDENTITY);
        command.output().unwrap()
    }

    fn told(&self, arguments: &[&str]) -> String {
        let output = self.operate(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const SIGNED: [&str; 4] = ["--person", "ada", "--reason", "a test"];

fn with<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    arguments.iter().chain(&SIGNED).copied().collect()
}

#[test]
fn a_well_set_up_broker_is_called_so_and_operated_through_its_socket() {
    let mut dev = Dev::start();
    let doctor = dev.told(&["doctor"]);
    for (place, told) in [
        ("configuration", "jitney.toml"),
        ("keys", "for their owner alone"),
        ("policies", "they load"),
        ("ledger", "audit entries"),
        ("target acme-prod", "revoker is `arn:aws:iam::"),
        ("target acme-prod", "clock: as AWS's"),
        ("broker", "it grants"),
        ("revocations", "no revocation is overdue"),
    ] {
        let is_it =
            |line: &str| line.starts_with(&format!("ok     {place}")) && line.contains(told);
        assert!(doctor.lines().any(is_it), "{place}: {told}\nin\n{doctor}");
    }
    let status = dev.told(&["status"]);
    assert!(status.contains("granting yes"), "{status}");
    let tried = dev.told(&with(&["lease", "revoke", "--repo", "1", "--dry-run"]));
    assert!(tried.contains("0 open leases in 0 lanes"), "{tried}");
    assert!(dev.told(&["order", "list"]).contains("no orders"));
    let given = dev.told(&with(&["lease", "revoke", "--target", "acme-prod"]));
    let order = given
        .split(' ')
        .find(|word| word.contains("order_"))
        .unwrap();
    let order = order.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let order = order.lines().last().unwrap();
    assert!(
        dev.told(&["order", "show", order])
            .contains("--target acme-prod")
    );
    assert!(dev.told(&["order", "list"]).contains(order));
    let swept = dev.told(&with(&["sweep", "acme-prod"]));
    assert!(swept.contains("0 things bear"), "{swept}");

    let aimless = dev.operate(&with(&["lease", "revoke"]));
    assert_eq!(aimless.status.code(), Some(64), "an order about everything");
    let nobody = format!("lease_{}", "0".repeat(32));
    let nobody = dev.operate(&with(&["lease", "write-off", &nobody]));
    assert_eq!(nobody.status.code(), Some(69));
    let healthy = dev.operate(&with(&["recover"]));
    assert_eq!(healthy.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&healthy.stderr).contains("nothing to recover from"));

    dev.stop();
    let gone = dev.operate(&["status"]);
    assert_eq!(gone.status.code(), Some(69));
    let told = String::from_utf8_lossy(&gone.stderr);
    assert!(told.contains("no broker answers at the socket"), "{told}");
}

#[test]
fn a_rehearsal_measures_a_real_lease_and_leaves_none() {
    let dev = Dev::start();
    let args = ["doctor", "--rehearse", "acme-prod", "--person", "ada"];
    let told = dev.told(&args);
    for part in [
        "granted to accepted",
        "KEPT",
        "deny-in-force: How soon is a Deny in force?",
        "settle_seconds",
    ] {
        assert!(told.contains(part), "`{part}` is not in\n{told}");
    }
    let json = dev.told(&[
        "doctor",
        "--rehearse",
        "acme-prod",
        "--format",
        "json",
        "--scope",
        "object-storage:write@artifacts-prod/releases/",
    ]);
    let view: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(view["conclusion"], "kept", "{view}");
    assert!(view["refused_after_milliseconds"].is_u64(), "{view}");
    let question = &view["questions"][0];
    assert_eq!(question["id"], "deny-in-force", "{view}");
    assert_eq!(question["answer"], "measured", "{view}");
    assert!(question["measured_milliseconds"].is_u64(), "{view}");
    let leases = dev.told(&["lease", "list", "--all", "--format", "json"]);
    let leases: serde_json::Value = serde_json::from_str(&leases).unwrap();
    let leases = leases.as_array().unwrap();
    assert_eq!(leases.len(), 2);
    assert!(
        leases.iter().all(|lease| lease["state"] == "ended"),
        "{leases:?}"
    );
    // What has no harmless call is neither kept nor broken.
    let deleting = "object-storage:delete@artifacts-prod";
    let output = dev.operate(&["doctor", "--rehearse", "acme-prod", "--scope", deleting]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("CANNOT TELL"), "{told}");
    let unknown = dev.operate(&["doctor", "--rehearse", "nowhere"]);
    assert_ne!(unknown.status.code(), Some(0));
}

#[test]
fn an_interrupted_rehearsal_leaves_nothing() {
    let dev = Dev::start();
    let config = dev.path("jitney.toml");
    let mut command = jitney(&["doctor", "--rehearse", "acme-prod", "--config"]);
    let mut child = command
        .arg(config)
        .envs(IDENTITY)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("rehearsing with") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it did not begin");
    }
    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    for _ in 0..100 {
        let leases = dev.told(&["lease", "list", "--all", "--format", "json"]);
        let leases: serde_json::Value = serde_json::from_str(&leases).unwrap();
        if leases[0]["state"] == "ended" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the lease is still there");
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_it_could_not_look_at() {
    let mut dev = Dev::start();
    dev.stop();
    let lines = |dev: &Dev| {
        let output = dev.operate(&["doctor"]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    // The sandbox stopped with the broker, so its target does not answer.
    let told = lines(&dev);
    let has = |word: &str, place: &str| {
        told.lines()
            .any(|line| line.starts_with(&format!("{word:5}  {place}")))
    };
    assert!(has("WRONG", "target acme-prod"), "{told}");
    assert!(has("?", "target acme-prod") && has("?", "broker"), "{told}");
    assert!(has("ok", "keys") && has("ok", "ledger"), "{told}");

    open_to_all(&dev.path("stamp.key"));
    open_to_all(&dev.path("jitney.db"));
    let told = lines(&dev);
    for part in ["chmod 600", "chmod go-w"] {
        assert!(told.contains(part), "{part}\nin\n{told}");
    }
    std::fs::write(dev.path("policies/bad.cedar"), "permit(").unwrap();
    assert!(lines(&dev).contains("bad.cedar"));
    std::fs::write(dev.path("jitney.toml"), "instalation = 1").unwrap();
    let told = lines(&dev);
    assert!(
        told.contains("instalation") && told.contains("?      the rest"),
        "{told}"
    );
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(path, open).unwrap();
}
