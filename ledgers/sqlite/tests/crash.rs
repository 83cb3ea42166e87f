//! Killed without warning, or with a disk that takes no more in the middle of a commit: what the
//! ledger acknowledged is there afterwards, what it called not applied is not.
//!
//! The process that is killed is this very test, started anew with another ledger and no end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jitney_core::audit::{Entry, Event, Frontier, LeafHash};
use jitney_core::evidence::{Held, Hold};
use jitney_core::handle::Handle;
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::ledger::{CommitError, Ledger, Owner, Row, RowId, Transaction};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};

const WRITER: &str = "every_commit_is_told_as_it_is_answered";
const LEDGER: &str = "LEDGER_TO_WRITE";
const COMMITS: &str = "COMMITS_TO_TRY";
const CLIENTS: usize = 8;
const KILLS: u32 = 12;

fn grant(lease: LeaseId) -> Transaction {
    let request = RequestId::from_uuid(lease.as_uuid());
    let lane = LaneId {
        target: "prod".parse().unwrap(),
        name: lease.to_string(),
    };
    Transaction {
        rows: vec![Row {
            id: RowId::Lease(lease),
            version: 1,
            state: "elevating".to_owned(),
            is_final: false,
            request,
            lane: Some(lane.clone()),
            owner: Owner {
                job: "job".to_owned(),
                repository: "repository".to_owned(),
                tenant: "tenant".to_owned(),
            },
            due_at: Some(Timestamp::from_seconds(60)),
            body: "x".repeat(500),
        }],
        holds_placed: vec![Hold {
            lane,
            held: Held::Grant(Handle::try_from("0".repeat(19)).unwrap()),
            lease: Some(lease),
            until: Timestamp::from_seconds(90),
            issued_by: None,
        }],
        entries: vec![Entry::new(Timestamp::from_seconds(1), Event::LeaseIntended).lease(lease)],
        ..Transaction::default()
    }
}

fn tell(outcome: &Result<u64, CommitError>, lease: LeaseId) {
    let word = match outcome {
        Ok(_) => "acknowledged",
        Err(CommitError::Unavailable(_)) => "unavailable",
        Err(CommitError::Unknown(_)) => "unknown",
        Err(other) => panic!("{other:?}"),
    };
    // One write per line: what was told before a kill was told in full.
    let line = format!("{word} {lease}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// By itself: some commits, each acknowledged. Told where and how many, it is the process that
/// the other tests are about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_commit_is_told_as_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let told_where = env::var_os(LEDGER);
    let alone = told_where.is_none();
    let path = told_where.map_or_else(|| folder.path().join("ledger.db"), Into::into);
    let commits = env::var(COMMITS).map_or(40, |number| number.parse().unwrap());
    let ledger = Arc::new(SqliteLedger::open(&SqliteOptions::at(path)).unwrap());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let mut acknowledged = 0;
                for _ in 0..commits / CLIENTS {
                    let lease = LeaseId::fresh();
                    let outcome = ledger.commit(grant(lease)).await;
                    if alone {
                        outcome.clone().unwrap();
                    } else {
                        tell(&outcome, lease);
                    }
                    acknowledged += usize::from(outcome.is_ok());
                }
                acknowledged
            })
        })
        .collect();
    let mut acknowledged = 0;
    for client in clients {
        acknowledged += client.await.unwrap();
    }
    if alone {
        assert_eq!(acknowledged, commits);
        assert_eq!(check(&ledger, &BTreeMap::new()).await, commits);
    }
}

fn writer(program: &mut Command, ledger: &Path, commits: usize) -> Child {
    program
        .args([WRITER, "--exact", "--nocapture"])
        .env(LEDGER, ledger)
        .env(COMMITS, commits.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a writer told, up to its end.
fn told(writer: &mut Child) -> BTreeMap<LeaseId, String> {
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).filter_map(|line| {
        let (word, lease) = line.rsplit_once(' ')?;
        // The test's own first line may stand in front of what is told.
        let word = word.rsplit(' ').next()?.to_owned();
        Some((lease.parse().ok()?, word))
    });
    told.collect()
}

/// That the ledger is whole and agrees with what was told. Gives its number of leases.
async fn check(ledger: &SqliteLedger, told: &BTreeMap<LeaseId, String>) -> usize {
    let mut frontier = Frontier::new();
    let mut said = Vec::new();
    for stored in ledger.entries(0, u32::MAX).await.unwrap() {
        frontier.append(LeafHash::of(&stored.bytes));
        said.extend(Entry::decode(&stored.bytes).unwrap().lease_id());
    }
    assert_eq!(ledger.frontier().await.unwrap(), frontier);
    for (lease, word) in told {
        let row = ledger.row(RowId::Lease(*lease)).await.unwrap().is_some();
        match word.as_str() {
            "acknowledged" => assert!(row, "{lease} was acknowledged and is lost"),
            "unavailable" => assert!(!row, "{lease} was called not applied and is there"),
            word => assert_eq!(word, "unknown"),
        }
    }
    for lease in &said {
        let row = ledger.row(RowId::Lease(*lease)).await.unwrap();
        let lane = row.expect("an entry has its row").lane.unwrap();
        let holds = ledger
            .lane(&lane, Timestamp::default())
            .await
            .unwrap()
            .holds;
        assert_eq!(
            holds.len(),
            1,
            "{lease} has its entry and its row, but not its hold"
        );
    }
    said.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_without_warning_it_keeps_every_acknowledged_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut acknowledged = BTreeMap::new();
    for round in 1..=KILLS {
        let mut program = Command::new(env::current_exe().unwrap());
        let mut child = writer(&mut program, &path, usize::MAX);
        // What is told meanwhile stays in the pipe.
        thread::sleep(Duration::from_millis(60 + u64::from(round * 7 % 13) * 10));
        let reader = thread::spawn(move || {
            child.kill().unwrap();
            let told = told(&mut child);
            child.wait().unwrap();
            told
        });
        acknowledged.extend(reader.join().unwrap());
        let ledger = SqliteLedger::open(&SqliteOptions::at(&path)).unwrap();
        let count = check(&ledger, &acknowledged).await;
        // At most one batch was on its way when the kill came.
        assert!(count >= acknowledged.len());
        assert!(
            count <= acknowledged.len() + round as usize * CLIENTS,
            "{count}"
        );
    }
    assert!(
        acknowledged.len() > 100,
        "only {} were acknowledged",
        acknowledged.len()
    );
}

/// A limit on the size of files makes writes fail in the middle of COMMIT, like a disk that is
/// full. Here the shell sets the limit, in blocks of 512 bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_disk_takes_no_more_nothing_acknowledged_is_lost() {
    for blocks in [700, 1_000, 1_601, 2_222] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let limited = format!("ulimit -f {blocks}; trap '' XFSZ; exec \"$0\" \"$@\"");
        let mut program = Command::new("sh");
        program
            .arg("-c")
            .arg(limited)
            .arg(env::current_exe().unwrap());
        let mut child = writer(&mut program, &path, 4_000);
        let told = told(&mut child);
        child.wait().unwrap();
        let count = |word: &str| told.values().filter(|it| *it == word).count();
        assert_eq!(told.len(), 4_000, "somebody was not answered");
        let (acknowledged, unknown) = (count("acknowledged"), count("unknown"));
        assert!(
            acknowledged > 20,
            "{acknowledged} were acknowledged within {blocks} blocks"
        );
        // Doubt is for the batch that hit the limit; what comes after it is not tried in the dark.
        assert!(unknown <= 2 * CLIENTS, "{unknown} outcomes are unknown");
        assert_eq!(count("unavailable"), 4_000 - acknowledged - unknown);
        assert!(
            count("unavailable") > 0,
            "the limit of {blocks} blocks was not reached"
        );
        let ledger = SqliteLedger::open(&SqliteOptions::at(&path)).unwrap();
        let stored = check(&ledger, &told).await;
        assert!(stored >= acknowledged && stored <= acknowledged + unknown);
        ledger.commit(grant(LeaseId::fresh())).await.unwrap();
    }
}
