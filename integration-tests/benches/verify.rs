//! How long `jitney audit verify` takes over a million entries with a checkpoint after every sixth,
//! as an installation writes them whose jobs come one by one: `cargo build --release --workspace &&
//! cargo bench --workspace --bench verify`.
//!
//! The log is verified as it lies in a SQLite ledger and as it was exported, by the binary that the
//! workspace built. `-- --beside PATH` measures another one in turn with it, so that whatever else
//! the machine does hits both; the file is in the page cache for all of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use jitney_core::audit::{
    Checkpoint, Entry, Event, ExportWriter, Frontier, LeafHash, Note, SigningKey,
};
use jitney_core::dump::{Import as _, Record};
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::time::Timestamp;
use jitney_ledger_sqlite::{SqliteImport, SqliteOptions};
use uuid::Uuid;

#[derive(Parser)]
struct Arguments {
    /// How many entries the log has.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// After how many of them there is a checkpoint.
    #[arg(long, default_value_t = 6)]
    every: u64,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Another binary, measured in turn with the workspace's own.
    #[arg(long)]
    beside: Vec<PathBuf>,
    /// Where the log lies.
    #[arg(long, default_value = "target")]
    directory: PathBuf,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What happens to a job's request, from its beginning to its end.
const LIFE: [Event; 6] = [
    Event::RequestSubmitted,
    Event::LeaseIntended,
    Event::LeaseGranted,
    Event::LeaseEnding,
    Event::LeaseWritten,
    Event::LeaseEnded,
];

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir_in(&arguments.directory).unwrap();
    let (ledger, export) = (folder.path().join("log.db"), folder.path().join("log.json"));
    let key = SigningKey::from_seed("jitney.example/audit", &[7; 32]).unwrap();
    write(&arguments, &key, &ledger, &export).await;
    let mut binaries = vec![jitney_integration_tests::kills::jitney()];
    binaries.extend(arguments.beside);
    let key = key.verifier().to_string();
    for (option, log) in [("--ledger", &ledger), ("--export", &export)] {
        for round in 1..=arguments.rounds {
            for binary in &binaries {
                let (took, told) = verify(binary, &["--key", &key, option], log);
                println!(
                    "{option} round {round}: {took:.2?} by {}: {told}",
                    binary.display()
                );
            }
        }
    }
}

/// Writes the same log into a ledger and as an export.
async fn write(arguments: &Arguments, key: &SigningKey, ledger: &Path, export: &Path) {
    let mut import = Box::new(SqliteImport::begin(&SqliteOptions::at(ledger)).unwrap());
    let out = BufWriter::new(File::create(export).unwrap());
    let mut out = ExportWriter::begin(out, &key.verifier()).unwrap();
    let (mut frontier, mut bytes) = (Frontier::new(), 0);
    let mut checkpoints: Vec<(u64, Note)> = Vec::new();
    for number in 0..arguments.entries {
        let entry = entry(number).encode();
        bytes += entry.len();
        frontier.append(LeafHash::of(&entry));
        out.entry(&entry).unwrap();
        import.take(vec![Record::Entry(entry)]).await.unwrap();
        if frontier.size().is_multiple_of(arguments.every) || frontier.size() == arguments.entries {
            let note = Checkpoint::of(&frontier).sign(key).unwrap();
            out.checkpoint(&note).unwrap();
            checkpoints.push((frontier.size(), note));
        }
    }
    println!(
        "{} entries of {} bytes each, {} checkpoints",
        arguments.entries,
        bytes as u64 / arguments.entries,
        checkpoints.len()
    );
    for (size, note) in checkpoints {
        let note = note.to_string();
        import
            .take(vec![Record::Checkpoint { size, note }])
            .await
            .unwrap();
    }
    import.finish(&frontier).await.unwrap();
    out.finish().unwrap().flush().unwrap();
}

/// An entry about as long as a broker's.
fn entry(number: u64) -> Entry {
    let place = usize::try_from(number).unwrap() % LIFE.len();
    let id = Uuid::from_u128(u128::from(number) / LIFE.len() as u128);
    let at = Timestamp::from_seconds(1_795_392_000).plus(Duration::from_millis(number));
    let entry = Entry::new(at, LIFE[place])
        .request(RequestId::from_uuid(id))
        .lease(LeaseId::from_uuid(id))
        .field("handle", format!("jt-{number:016}"))
        .field("lane", "acme-prod/role:deploy")
        .field("scopes", "object-storage:write@artifacts-prod/releases/");
    if place > 0 {
        return entry;
    }
    entry
        .field("repository", "acme/shop")
        .field("repository_id", 7_654_321)
        .field("ref", "refs/heads/main")
        .field("sha", "9fceb02d0ae598e95dc970b74767f19372d61af8")
        .field(
            "workflow",
            "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
        )
        .field("actor", "ada")
        .field("run_id", 1_000_000 + number)
        .field("reason", "release 1.2")
        .field("rules", "allow-deploy")
}

fn verify(binary: &Path, options: &[&str], log: &Path) -> (Duration, String) {
    let began = Instant::now();
    let output = Command::new(binary)
        .args(["audit", "verify"])
        .args(options)
        .arg(log)
        .output()
        .unwrap();
    let took = began.elapsed();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let told = String::from_utf8(output.stdout).unwrap();
    (took, told.lines().next().unwrap_or_default().to_owned())
}
