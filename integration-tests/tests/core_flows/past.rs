//! The past that benches load: copies of real lives are lives of their own, and a broker carries
//! them on.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jitney_core::audit::SigningKey;
use jitney_core::books::FoundLease;
use jitney_core::dump::{DumpReader, DumpWriter, Export as _, Import as _};
use jitney_core::handle::StampKey;
use jitney_core::principal::KeyThumbprint;
use jitney_core::time::Timestamp;
use jitney_core::usecase::Proof;
use jitney_integration_tests::fake_cloud::Style;
use jitney_integration_tests::fixtures::{PROD_SCOPE, START, World, ask};
use jitney_integration_tests::past::{self, CannotCopy, Lives, Past};
use jitney_ledger_sqlite::{SqliteExport, SqliteImport, SqliteLedger, SqliteOptions};

const PAST: Past = Past {
    leases: 50,
    open: 7,
    held: 3,
    now: Timestamp::from_seconds(START.as_seconds() + 400 * 24 * 60 * 60),
};
/// The runs of the jobs whose leases are open, each with the name of its key.
const OPEN: [(&str, &str); 2] = [("15523008122", "one"), ("15523008123", "other")];

fn keys() -> (StampKey, SigningKey) {
    let stamp = StampKey::new("acme".parse().unwrap(), &[1; 32]).unwrap();
    let key = SigningKey::from_seed("jitney.test/log", &[7; 32]).unwrap();
    (stamp, key)
}

/// A ledger with one life that is over and two that are open, exported.
async fn exported(folder: &Path) -> Vec<u8> {
    let world = World::new(folder, Style::Denies);
    let core = world.broker("a");
    let run = "15523008121";
    core.submit(ask(run, "over", "over", &[PROD_SCOPE]))
        .await
        .unwrap();
    let lease = world.leases().await.remove(0).terms().id;
    let key = Proof::Key(KeyThumbprint("over".to_owned()));
    core.release(lease, &key).await.unwrap();
    world.live(&core, Duration::from_secs(3600)).await;
    for (run, name) in OPEN {
        core.submit(ask(run, name, name, &[PROD_SCOPE]))
            .await
            .unwrap();
    }
    drop((core, world));
    let mut export = SqliteExport::begin(&folder.join("ledger.db")).unwrap();
    let mut dump = Vec::new();
    let mut writer = DumpWriter::begin(&mut dump).unwrap();
    loop {
        let records = export.next().await.unwrap();
        if records.is_empty() {
            break;
        }
        for record in records {
            writer.record(record).unwrap();
        }
    }
    writer.finish().unwrap();
    dump
}

/// A world on a ledger that was filled from a dump.
async fn world_on(dump: &[u8], folder: &Path) -> World {
    let options = SqliteOptions::at(folder.join("copied.db"));
    let mut import = Box::new(SqliteImport::begin(&options).unwrap());
    let mut reader = DumpReader::begin(dump).unwrap();
    while let Some(record) = reader.record().unwrap() {
        import.take(vec![record]).await.unwrap();
    }
    import.finish(reader.frontier()).await.unwrap();
    let world = World::on(
        Arc::new(SqliteLedger::open(&options).unwrap()),
        Style::Denies,
    );
    world.clock.set(PAST.now);
    world
}

#[tokio::test]
async fn copies_are_lives_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let lives = Lives::read(exported(folder.path()).await.as_slice()).unwrap();
    let (stamp, key) = keys();
    let mut dump = Vec::new();
    let (counts, open) = lives.write(&PAST, (&stamp, &key), &mut dump).unwrap();
    assert_eq!((counts.requests, counts.leases, counts.holds), (50, 50, 3));
    assert_eq!((open.len(), counts.once), (7, 14));
    let world = world_on(&dump, folder.path()).await;
    let core = world.broker("b");

    let leases = world.leases().await;
    let ids: BTreeSet<_> = leases.iter().map(|lease| lease.terms().id).collect();
    let jobs: BTreeSet<_> = leases
        .iter()
        .map(|lease| &lease.terms().owner.job)
        .collect();
    assert_eq!((ids.len(), jobs.len()), (50, 50));
    for lease in &leases {
        let terms = lease.terms();
        assert_eq!(stamp.handle(terms.id), terms.handle);
        let asked = world.request(terms.request).await;
        assert_eq!(terms.intended_at, asked.terms().submitted_at);
        let longest = past::PAST + Duration::from_secs(3600);
        assert!(terms.intended_at > PAST.now.minus(longest));
    }
    // Whoever holds a job's key can beat for what was copied from its lease.
    for (lease, (_, name)) in open.iter().zip(OPEN.iter().cycle()) {
        let key = Proof::Key(KeyThumbprint((*name).to_owned()));
        let beat = core.beat(*lease, &key).await.unwrap();
        assert_eq!(beat.state, "active");
        assert!(beat.ends_at > Some(PAST.now));
    }
    let is_open = |lease: &&FoundLease| matches!(lease, FoundLease::Active(_));
    assert_eq!(leases.iter().filter(is_open).count(), 7);
    // A broker ends them, drops what is held, and the log is as it was signed, copies and all.
    world.live_out(&core).await;
}

#[tokio::test]
async fn there_must_be_something_to_copy() {
    let folder = tempfile::tempdir().unwrap();
    drop(World::new(folder.path(), Style::Denies));
    let mut dump = Vec::new();
    let writer = DumpWriter::begin(&mut dump).unwrap();
    writer.finish().unwrap();
    let missing = Lives::read(dump.as_slice()).unwrap_err();
    assert!(matches!(missing, CannotCopy::Missing(_)), "{missing}");
}
