#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
use std::path::PathBuf;

use jitney_core::audit::Event;
use jitney_core::ledger::Transaction;
use jitney_ledger_spool::{BYTES_MIN, Spooled};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use tempfile::TempDir;

use super::wal::Commits;
use super::*;
use crate::fixtures::{START, SetClock};

pub(super) struct InFolders;

struct InFolder(TempDir);

impl InFolder {
    fn path(&self) -> PathBuf {
        self.0.path().join("ledger.db")
    }
}

#[async_trait]
impl Store for InFolder {
    async fn open(&self) -> Result<Arc<dyn Ledger>, Broken> {
        let opened = SqliteLedger::open(&SqliteOptions::at(self.path()));
        let ledger = opened.map_err(|error| Broken::because(error.to_string()))?;
        Ok(Arc::new(ledger))
    }
}

#[async_trait]
impl Stores for InFolders {
    async fn empty(&self) -> Result<Box<dyn Store>, Broken> {
        let folder = tempfile::tempdir().map_err(|error| Broken::because(error.to_string()))?;
        Ok(Box::new(InFolder(folder)))
    }
}

/// The same behind a spool.
struct Spools;

struct BehindSpool(InFolder);

#[async_trait]
impl Store for BehindSpool {
    async fn open(&self) -> Result<Arc<dyn Ledger>, Broken> {
        let inner = self.0.open().await?;
        let clock = Arc::new(SetClock::at(START));
        let spool = self.0.path().with_extension("spool");
        let spooled = Spooled::open(inner, clock, &spool, "acme", BYTES_MIN);
        let spooled = spooled.map_err(|error| Broken::because(error.to_string()))?;
        Ok(Arc::new(spooled))
    }
}

#[async_trait]
impl Stores for Spools {
    async fn empty(&self) -> Result<Box<dyn Store>, Broken> {
        let folder = tempfile::tempdir().map_err(|error| Broken::because(error.to_string()))?;
        Ok(Box::new(BehindSpool(InFolder(folder))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_behind_a_spool_keeps_every_law() {
    let broken = judge(&Spools, LAWS).await;
    assert!(broken.is_empty(), "{broken:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_every_law() {
    let broken = judge(&InFolders, LAWS).await;
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_law_has_a_name_and_a_sentence_of_its_own() {
    for (place, law) in LAWS.iter().enumerate() {
        let (before, _) = LAWS.split_at(place);
        let shared = before
            .iter()
            .any(|it| it.name == law.name || it.sentence == law.sentence);
        assert!(!shared, "{law:?}");
    }
}

fn lease_number(number: i64) -> Transaction {
    let row = sample::lease(&sample::lane("role/a"), sample::at(number));
    Transaction {
        entries: vec![sample::entry(Event::LeaseIntended, &row)],
        ..sample::of_rows([row])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_tells_how_many_commits_were_made() {
    let store = InFolder(tempfile::tempdir().unwrap());
    let ledger = store.open().await.unwrap();
    let count = || Commits::of(&store.path()).unwrap();
    let opened = count();
    assert_eq!(opened.since(&opened), Some(0));
    for number in 1..=5 {
        ledger.commit(lease_number(number)).await.unwrap();
        assert_eq!(count().since(&opened), Some(number.unsigned_abs()));
    }
    // What is refused and what is read is no commit.
    let before = count();
    let mut refused = lease_number(6);
    refused.rows[0].version = 9;
    ledger.commit(refused).await.unwrap_err();
    ledger.next_due().await.unwrap();
    assert_eq!(count().since(&before), Some(0));
    // Many who wait at the same time share commits.
    let crowd = sample::crowd(&ledger, 200, |ledger, number| async move {
        ledger.commit(lease_number(number.into())).await
    });
    assert!(crowd.await.unwrap().iter().all(Result::is_ok));
    let shared = count().since(&before).unwrap();
    assert!(
        (1..100).contains(&shared),
        "200 transactions in {shared} commits"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_started_anew_tells_nothing_of_before() {
    let store = InFolder(tempfile::tempdir().unwrap());
    let ledger = store.open().await.unwrap();
    ledger.commit(lease_number(1)).await.unwrap();
    let before = Commits::of(&store.path()).unwrap();
    // Large rows: after some thousand pages the log is copied, and begun anew by the next commit.
    let mut anew = false;
    for number in 2..60 {
        let mut large = lease_number(number);
        large.rows[0].body = "x".repeat(1_000_000);
        ledger.commit(large).await.unwrap();
        anew |= Commits::of(&store.path()).unwrap().since(&before).is_none();
    }
    assert!(anew, "the log was never begun anew");
    drop(ledger);
    assert_eq!(Commits::of(&store.path()).unwrap().count(), 0);
    let log = store.0.path().join("ledger.db-wal");
    std::fs::write(log, "not a log").unwrap();
    assert!(Commits::of(&store.path()).is_err());
}
