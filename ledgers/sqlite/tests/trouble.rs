//! What can go wrong with the file while the broker runs. Each is said clearly, nothing that was
//! acknowledged is lost, and nothing that was refused is there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jitney_core::audit::{Entry, Event, Frontier, LeafHash};
use jitney_core::ledger::{CommitError, Ledger, Transaction};
use jitney_core::time::Timestamp;
use jitney_ledger_sqlite::{SIZE_MIB_MIN, SqliteLedger, SqliteOptions};
use rusqlite::Connection;

fn at(path: &Path) -> SqliteOptions {
    SqliteOptions::at(path.join("ledger.db"))
}

fn saying(number: u64) -> Transaction {
    let entry = Entry::new(Timestamp::from_seconds(1), Event::BrokerStarted);
    Transaction {
        entries: vec![
            entry
                .field("number", number)
                .field("long", "x".repeat(3_000)),
        ],
        ..Transaction::default()
    }
}

/// The numbers of the stored entries, whose tree must be the stored one.
async fn numbers(ledger: &SqliteLedger) -> Vec<u64> {
    let mut frontier = Frontier::new();
    let mut numbers = Vec::new();
    for stored in ledger.entries(0, u32::MAX).await.unwrap() {
        frontier.append(LeafHash::of(&stored.bytes));
        let entry = Entry::decode(&stored.bytes).unwrap();
        numbers.push(entry.fields().get("number").unwrap().parse().unwrap());
    }
    assert_eq!(ledger.frontier().await.unwrap(), frontier);
    numbers
}

fn words(outcome: Result<u64, CommitError>) -> String {
    match outcome {
        Err(CommitError::Unavailable(words)) => words,
        other => panic!("expected that it is unavailable, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_process_locks_is_unavailable_until_it_lets_go() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(SqliteLedger::open(&at(folder.path())).unwrap());
    ledger.commit(saying(1)).await.unwrap();
    let other = Connection::open(ledger.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let committing = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { ledger.commit(saying(2)).await }
    });
    // Reading waits for no lock.
    let began = Instant::now();
    while !committing.is_finished() {
        assert_eq!(numbers(&ledger).await, [1]);
        assert!(began.elapsed() < Duration::from_secs(20), "a commit hangs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let words = words(committing.await.unwrap());
    assert!(words.contains("another process"), "{words}");

    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(ledger.commit(saying(3)).await, Ok(2));
    assert_eq!(numbers(&ledger).await, [1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_takes_long_stops_no_writer() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&at(folder.path())).unwrap();
    ledger.commit(saying(1)).await.unwrap();
    let backup = Connection::open(ledger.path()).unwrap();
    backup.execute_batch("BEGIN").unwrap();
    let count = || -> i64 {
        let sql = "SELECT count(*) FROM entries";
        backup.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(), 1);
    for number in 2..200 {
        assert_eq!(ledger.commit(saying(number)).await, Ok(number));
    }
    assert_eq!(count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ledger_refuses_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = at(folder.path());
    options.size_max_mib = Some(SIZE_MIB_MIN);
    let ledger = SqliteLedger::open(&options).unwrap();
    let (mut taken, mut refused) = (Vec::new(), 0);
    let mut number = 0;
    while refused < 20 {
        number += 1;
        match ledger.commit(saying(number)).await {
            Ok(sequence) => {
                taken.push(number);
                assert_eq!(sequence, taken.len() as u64);
            }
            Err(CommitError::Unavailable(words)) => {
                assert!(words.contains("`size_max_mib`"), "{words}");
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
        assert!(number < 1_000, "a ledger of 1 MiB took 3 MB");
    }
    assert!(
        taken.len() > 100,
        "a ledger of 1 MiB is full after {}",
        taken.len()
    );
    // Several at once are refused one by one as well.
    let ledger = Arc::new(ledger);
    let crowd: Vec<_> = (0..32)
        .map(|_| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move { ledger.commit(saying(0)).await })
        })
        .collect();
    for one in crowd {
        words(one.await.unwrap());
    }
    assert_eq!(numbers(&ledger).await, taken);
    drop(ledger);

    options.size_max_mib = Some(2);
    let ledger = SqliteLedger::open(&options).unwrap();
    assert_eq!(numbers(&ledger).await, taken);
    assert_eq!(ledger.commit(saying(0)).await, Ok(taken.len() as u64 + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_exchanged_takes_no_commits() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&at(folder.path())).unwrap();
    ledger.commit(saying(1)).await.unwrap();
    let path = ledger.path().to_owned();
    let log = folder.path().join("ledger.db-wal");
    let aside = folder.path().join("aside");
    for file in [path, log] {
        // Gone, or another file in its place: what is written now would be lost.
        fs::rename(&file, &aside).unwrap();
        let gone = words(ledger.commit(saying(2)).await);
        fs::copy(&aside, &file).unwrap();
        let replaced = words(ledger.commit(saying(3)).await);
        fs::rename(&aside, &file).unwrap();
        for words in [gone, replaced] {
            assert!(words.contains("moved, removed or replaced"), "{words}");
        }
    }
    assert_eq!(ledger.commit(saying(4)).await, Ok(2));
    drop(ledger);
    let ledger = SqliteLedger::open(&at(folder.path())).unwrap();
    assert_eq!(numbers(&ledger).await, [1, 4]);
}

/// Somebody writes past the lock that brokers respect. The tree is not built on a guess.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_somebody_else_moved_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&at(folder.path())).unwrap();
    ledger.commit(saying(1)).await.unwrap();
    let other = Connection::open(ledger.path()).unwrap();
    other
        .execute("UPDATE log SET batch = batch + 7", [])
        .unwrap();
    words(ledger.commit(saying(2)).await);
    assert_eq!(numbers(&ledger).await, [1]);
    assert_eq!(ledger.commit(saying(3)).await, Ok(2));
    assert_eq!(numbers(&ledger).await, [1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_finds_the_queue_full_waits_and_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = at(folder.path());
    options.queue_length = 1;
    options.readers = 1;
    let ledger = Arc::new(SqliteLedger::open(&options).unwrap());
    let crowd: Vec<_> = (0..500)
        .map(|number| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                ledger.commit(saying(number)).await.unwrap();
                ledger.next_due().await.unwrap()
            })
        })
        .collect();
    for one in crowd {
        assert_eq!(one.await.unwrap(), None);
    }
    let mut seen = numbers(&ledger).await;
    seen.sort_unstable();
    assert_eq!(seen, (0..500).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_ledger_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&at(folder.path())).unwrap();
    for number in 0..20 {
        ledger.commit(saying(number)).await.unwrap();
    }
    drop(ledger);
    assert!(!folder.path().join("ledger.db-wal").exists());
    // Whoever copies the closed file has everything.
    let copy = tempfile::tempdir().unwrap();
    fs::copy(
        folder.path().join("ledger.db"),
        copy.path().join("ledger.db"),
    )
    .unwrap();
    let ledger = SqliteLedger::open(&at(copy.path())).unwrap();
    assert_eq!(numbers(&ledger).await, (0..20).collect::<Vec<u64>>());
}
