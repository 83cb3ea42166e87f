//! The README says what is so: its table comes from the adapters' own promises, and its commands
//! are run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod promises;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const BEGIN: &str = "<!-- guarantees:begin -->\n";
const END: &str = "<!-- guarantees:end -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn the_table_of_clouds_is_what_the_adapters_promise() {
    let readme = readme();
    let (_, rest) = readme.split_once(BEGIN).expect("the table's beginning");
    let (told, _) = rest.split_once(END).expect("the table's end");
    let table = promises::table();
    assert_eq!(told, table, "put this into README.md:\n{table}");
}

/// What stands behind `$ ` in the README.
fn commands() -> Vec<Vec<String>> {
    let readme = readme();
    let lines = readme.lines().filter_map(|line| line.strip_prefix("$ "));
    let words = |line: &str| {
        let line = line.split(" #").next().unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    lines.map(words).collect()
}

fn jitney() -> Command {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().unwrap().parent().unwrap().join("jitney");
    assert!(
        binary.exists(),
        "{} is missing: build the workspace first",
        binary.display()
    );
    Command::new(binary)
}

/// A copy of the examples, so that keys and a ledger do not appear in the sources.
fn examples() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(root().join("examples"))
        .arg(folder.path())
        .status()
        .unwrap();
    assert!(copied.success());
    folder
}

/// Runs a command of the README as it stands there, and says whether it did what it should.
fn run(arguments: &[String], folder: &Path) {
    let mut command = jitney();
    command.args(arguments).current_dir(folder);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match arguments[0].as_str() {
        // These come to an end by themselves.
        "demo" | "keys" => assert_eq!(command.status().unwrap().code(), Some(0), "{arguments:?}"),
        // As in a pipeline that knows its broker; but there is no CI here, and it says so.
        "run" => {
            command.env("JITNEY_BROKER", "http://127.0.0.1:9");
            assert_eq!(command.status().unwrap().code(), Some(78), "{arguments:?}");
        }
        // These serve until they are stopped.
        "serve" | "dev" => {
            let mut process = command.spawn().unwrap();
            std::thread::sleep(Duration::from_secs(3));
            assert_eq!(
                process.try_wait().unwrap(),
                None,
                "{arguments:?} ended by itself"
            );
            process.kill().unwrap();
            process.wait().unwrap();
        }
        // These are told to a broker that runs.
        "status" | "lease" => {
            let mut broker = broker_in(folder);
            command.env("JITNEY_CONFIG", CONFIGURATION);
            let ended = command.status().unwrap();
            broker.kill().unwrap();
            broker.wait().unwrap();
            assert_eq!(ended.code(), Some(0), "{arguments:?}");
        }
        // Nobody runs, and there is no cloud: it has something to tell.
        "doctor" => {
            command
                .env("JITNEY_CONFIG", CONFIGURATION)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let told = command.output().unwrap();
            assert!(told.status.code().is_some_and(|code| code > 0), "{told:?}");
            // A rehearsal is the broker's to make, and that it does not run is an error.
            let rehearses = arguments.iter().any(|it| it == "--rehearse");
            let finding = if rehearses {
                &told.stderr
            } else {
                &told.stdout
            };
            assert!(!finding.is_empty(), "{told:?}");
        }
        other => panic!("`{other}` stands in the README, and no test knows what it should do"),
    }
}

const CONFIGURATION: &str = "examples/jitney.toml";

/// A broker on the examples, once it takes orders.
fn broker_in(folder: &Path) -> std::process::Child {
    let mut broker = jitney();
    broker.args(["serve", "--config", CONFIGURATION]);
    broker.current_dir(folder).stdin(Stdio::null());
    broker.stdout(Stdio::null()).stderr(Stdio::null());
    let broker = broker.spawn().unwrap();
    for _ in 0..100 {
        let mut status = jitney();
        status.args(["status", "--config", CONFIGURATION]);
        status
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if status.status().unwrap().success() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    broker
}

#[test]
fn the_commands_do_what_they_say() {
    let folder = examples();
    let mut known = 0;
    for words in commands() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let arguments = match words.as_slice() {
            ["cargo", "run", "--release", "--", rest @ ..] | ["jitney", rest @ ..] => rest,
            ["./test"] => continue,
            other => panic!("{other:?} stands in the README, and no test knows it"),
        };
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        run(&arguments, folder.path());
        known += 1;
    }
    assert!(known >= 5, "only {known} commands were found");
}
