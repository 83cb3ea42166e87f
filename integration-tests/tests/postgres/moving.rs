//! A ledger moves from SQLite to PostgreSQL and back, directly and through a file, and nothing is
//! lost on the way: every question has the same answer.

use std::sync::Arc;

use jitney_core::adapter::Epoch;
use jitney_core::audit::{Entry, Event, Frontier};
use jitney_core::dump::{BadDump, CannotImport, DumpReader, DumpWriter, Export, Import, Record};
use jitney_core::evidence::{Held, Hold};
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::ledger::{
    Budget, Claim, CommitError, Fence, LaneRows, LeaseFilter, Ledger, Look, OnceUse, Row, RowId,
    Share, Sheet, StoredEntry, Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use jitney_ledger_postgres::{PostgresExport, PostgresImport, PostgresOptions, is_in_use};
use jitney_ledger_sqlite::{SqliteExport, SqliteImport, SqliteLedger, SqliteOptions};
use tempfile::TempDir;

use super::sample::{AT, brokers, lane, lease, once, server, sheet};

/// Enough for several pages.
const LEASES: u32 = 700;

fn lanes() -> Vec<LaneId> {
    ["a", "b", "odd \u{0}\u{1}'ü"].map(lane).to_vec()
}

fn lease_id(row: &Row) -> LeaseId {
    match row.id {
        RowId::Lease(id) => id,
        RowId::Request(id) => LeaseId::from_uuid(id.as_uuid()),
    }
}

/// One lease's past: made, claimed for, and for some also revoked, ended and held.
async fn live(ledger: &dyn Ledger, number: u32) {
    let lanes = lanes();
    let here = &lanes[number as usize % lanes.len()];
    let due_at = (number % 5 != 4).then(|| AT.plus(std::time::Duration::from_secs(number.into())));
    let row = Row {
        due_at,
        ..lease(here)
    };
    let asked = Row {
        id: RowId::Request(row.request),
        lane: None,
        ..row.clone()
    };
    let name = format!("slot {number}");
    let claim = Claim {
        name,
        lease: lease_id(&row),
    };
    let first = Transaction {
        rows: vec![row.clone(), asked],
        once: vec![once(&format!("token {number}\u{0}"))],
        claims: vec![claim.clone()],
        entries: vec![Entry::new(AT, Event::LeaseIntended).lease(lease_id(&row))],
        ..Transaction::default()
    };
    ledger.commit(first).await.unwrap();
    if number.is_multiple_of(3) {
        return;
    }
    let ended = number % 3 == 2;
    let next = Row {
        version: 2,
        state: if ended { "ended" } else { "revoking" }.to_owned(),
        is_final: ended,
        ..row.clone()
    };
    let handle = Handle::try_from(format!("{number:019}")).unwrap();
    let hold = Hold {
        lane: here.clone(),
        held: Held::Grant(handle),
        lease: Some(lease_id(&row)),
        until: AT.plus(std::time::Duration::from_secs(9_000)),
        issued_by: number.is_multiple_of(2).then_some(AT),
    };
    let over = Transaction {
        rows: vec![next],
        claims_released: if ended { vec![claim] } else { Vec::new() },
        holds_placed: if ended { vec![hold] } else { Vec::new() },
        entries: vec![Entry::new(AT, Event::LeaseEnding).lease(lease_id(&row))],
        ..Transaction::default()
    };
    ledger.commit(over).await.unwrap();
}

/// A ledger with a past, in which there is something of every kind.
async fn with_a_past(ledger: &dyn Ledger) {
    for number in 0..LEASES {
        live(ledger, number).await;
    }
    let lanes = lanes();
    let watermark = Hold {
        lane: lanes[1].clone(),
        held: Held::IssuedBefore(AT),
        lease: None,
        until: Timestamp::FAR_FUTURE,
        issued_by: None,
    };
    let epoch = Epoch(40);
    let rest = Transaction {
        sheets: vec![sheet(1, "{\"era\":1}")],
        looks: vec![Look {
            lane: lanes[2].clone(),
            at: Some(AT),
        }],
        holds_placed: vec![watermark],
        epochs_raised: vec![Fence {
            lane: lanes[0].clone(),
            epoch,
        }],
        ..Transaction::default()
    };
    ledger.commit(rest).await.unwrap();
    let again = Transaction {
        sheets: vec![sheet(2, "{\"era\":2}")],
        ..Transaction::default()
    };
    ledger.commit(again).await.unwrap();
    let far = AT.plus(std::time::Duration::from_secs(60));
    ledger.claim_lane(&lanes[0], "hand", AT, far).await.unwrap();
    let size = ledger.frontier().await.unwrap().size();
    for (size, note) in [(3, "three"), (size, "all\n"), (size, "all, again")] {
        ledger
            .store_checkpoint(size, note.to_owned())
            .await
            .unwrap();
    }
}

/// Everything that can be asked of a ledger.
#[derive(Debug, PartialEq)]
struct Picture {
    leases: Vec<Row>,
    requests: Vec<Row>,
    of_requests: Vec<Vec<Row>>,
    once: Vec<Option<OnceUse>>,
    lanes: Vec<LaneRows>,
    due: Vec<LaneId>,
    due_requests: Vec<Row>,
    next_due: Option<Timestamp>,
    sheets: Vec<Sheet>,
    entries: Vec<StoredEntry>,
    frontier: Frontier,
    checkpoints: Vec<(u64, String)>,
}

async fn picture(ledger: &dyn Ledger) -> Picture {
    let filter = LeaseFilter {
        ended_too: true,
        limit: 10_000,
        ..LeaseFilter::default()
    };
    let leases = ledger.leases(filter).await.unwrap();
    let (mut requests, mut of_requests) = (Vec::new(), Vec::new());
    for lease in &leases {
        requests.extend(ledger.row(RowId::Request(lease.request)).await.unwrap());
        of_requests.push(ledger.leases_of(lease.request).await.unwrap());
    }
    let mut uses = Vec::new();
    for number in 0..LEASES {
        uses.push(
            ledger
                .once(&once(&format!("token {number}\u{0}")).key)
                .await
                .unwrap(),
        );
    }
    let mut in_lanes = Vec::new();
    for lane in lanes() {
        let mut seen = ledger.lane(&lane, Timestamp::FAR_FUTURE).await.unwrap();
        seen.rows.sort_by_key(|row| row.id);
        seen.holds.sort_by(|one, other| one.held.cmp(&other.held));
        in_lanes.push(seen);
    }
    let mut due_requests = ledger
        .due_requests(Timestamp::FAR_FUTURE, 10_000)
        .await
        .unwrap();
    due_requests.sort_by_key(|row| (row.due_at, row.id));
    Picture {
        leases,
        requests,
        of_requests,
        once: uses,
        lanes: in_lanes,
        due: ledger.due_lanes(Timestamp::FAR_FUTURE, 100).await.unwrap(),
        due_requests,
        next_due: ledger.next_due().await.unwrap(),
        sheets: ledger.sheets("").await.unwrap(),
        entries: ledger.entries(0, u32::MAX).await.unwrap(),
        frontier: ledger.frontier().await.unwrap(),
        checkpoints: ledger.checkpoints().await.unwrap(),
    }
}

/// What cannot be asked and shows only in what is refused: names, epochs and counts.
async fn behaves(ledger: &dyn Ledger) {
    let stranger = lease(&lane("elsewhere"));
    let taking = |number: u32| Transaction {
        claims: vec![Claim {
            name: format!("slot {number}"),
            lease: lease_id(&stranger),
        }],
        ..Transaction::default()
    };
    for number in 0..LEASES {
        let free = number % 3 == 2;
        assert_eq!(
            ledger.commit(taking(number)).await.is_ok(),
            free,
            "slot {number}"
        );
    }
    for (share, count) in shares() {
        let budget = |leases_max| Budget {
            share: share.clone(),
            leases_max,
        };
        let asking = |leases_max| Transaction {
            budgets: vec![budget(leases_max)],
            ..Transaction::default()
        };
        ledger.commit(asking(count)).await.unwrap();
        let over = CommitError::OverBudget(budget(count - 1));
        assert_eq!(ledger.commit(asking(count - 1)).await, Err(over));
    }
    // The next hand is above every hand there was.
    let far = AT.plus(std::time::Duration::from_secs(99));
    let epoch = ledger
        .claim_lane(&lanes()[0], "next", AT, far)
        .await
        .unwrap();
    assert!(epoch > Some(Epoch(41)), "{epoch:?}");
}

/// What is open: every lease that has not ended and every hold, and one watermark, which counts
/// for its lane alone.
fn shares() -> Vec<(Share, u32)> {
    let in_lane = |place: u32| (0..LEASES).filter(|number| number % 3 == place).count() as u32;
    vec![
        (Share::Job("job".to_owned()), LEASES),
        (Share::Repository("repository".to_owned()), LEASES),
        (Share::Tenant("tenant".to_owned()), LEASES),
        (Share::Lane(lanes()[0].clone()), in_lane(0)),
        (Share::Lane(lanes()[1].clone()), in_lane(1) + 1),
        (Share::Lane(lanes()[2].clone()), in_lane(2)),
    ]
}

async fn move_over(mut from: impl Export, mut to: impl Import) {
    loop {
        let records = from.next().await.unwrap();
        if records.is_empty() {
            break;
        }
        to.take(records).await.unwrap();
    }
    Box::new(to).finish(from.frontier()).await.unwrap();
}

fn file(folder: &TempDir, name: &str) -> SqliteOptions {
    SqliteOptions::at(folder.path().join(name))
}

/// A closed SQLite ledger with a past, and what it looks like.
async fn old_ledger(folder: &TempDir) -> (SqliteOptions, Picture) {
    let options = file(folder, "old.db");
    let ledger = SqliteLedger::open(&options).unwrap();
    with_a_past(&ledger).await;
    let picture = picture(&ledger).await;
    (options, picture)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_moves_there_and_back_loses_nothing() {
    let Some(server) = server("moving a ledger").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (old, expected) = old_ledger(&folder).await;
    let there = server.fresh().unwrap();
    let export = SqliteExport::begin(&old.path).unwrap();
    move_over(export, PostgresImport::begin(&there).await.unwrap()).await;
    let [ledger] = brokers::<1>(&there).await;
    assert!(
        picture(&*ledger).await == expected,
        "it is another one on PostgreSQL"
    );

    let back = file(&folder, "back.db");
    let export = PostgresExport::begin(&there).await.unwrap();
    move_over(export, SqliteImport::begin(&back).unwrap()).await;
    let returned = SqliteLedger::open(&back).unwrap();
    assert!(
        picture(&returned).await == expected,
        "it is another one back in SQLite"
    );
    behaves(&returned).await;
    behaves(&*ledger).await;
}

/// A dump of the old ledger.
async fn dump(old: &SqliteOptions) -> Vec<u8> {
    let mut export = SqliteExport::begin(&old.path).unwrap();
    let mut bytes = Vec::new();
    let mut writer = DumpWriter::begin(&mut bytes).unwrap();
    loop {
        let records = export.next().await.unwrap();
        if records.is_empty() {
            break;
        }
        for record in records {
            writer.record(record).unwrap();
        }
    }
    let counts = writer.finish().unwrap();
    assert_eq!(
        (counts.leases, counts.requests),
        (LEASES.into(), LEASES.into())
    );
    bytes
}

fn records(bytes: &[u8]) -> Result<(Vec<Record>, Frontier), BadDump> {
    let mut reader = DumpReader::begin(bytes)?;
    let mut records = Vec::new();
    while let Some(record) = reader.record()? {
        records.push(record);
    }
    Ok((records, reader.frontier().clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_is_taken_whole_or_not_at_all() {
    let Some(server) = server("filling a ledger from a dump").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (old, expected) = old_ledger(&folder).await;
    let bytes = dump(&old).await;
    let (all, frontier) = records(&bytes).unwrap();
    let there = server.fresh().unwrap();

    // Given up half way, another audit log than was told, and a second lease of one id: each
    // leaves the ledger empty.
    let mut half = PostgresImport::begin(&there).await.unwrap();
    half.take(all[..100].to_vec()).await.unwrap();
    drop(half);
    let mut other = PostgresImport::begin(&there).await.unwrap();
    other.take(all.clone()).await.unwrap();
    let outcome = Box::new(other).finish(&Frontier::new()).await;
    assert!(
        matches!(outcome, Err(CannotImport::OtherLog(_))),
        "{outcome:?}"
    );
    let mut twice = PostgresImport::begin(&there).await.unwrap();
    twice.take(vec![all[0].clone()]).await.unwrap();
    let outcome = twice.take(vec![all[0].clone()]).await;
    assert!(
        matches!(outcome, Err(CannotImport::Failed(_))),
        "{outcome:?}"
    );
    drop(twice);
    empty(&there).await;

    let mut import = PostgresImport::begin(&there).await.unwrap();
    for page in all.chunks(97) {
        import.take(page.to_vec()).await.unwrap();
    }
    Box::new(import).finish(&frontier).await.unwrap();
    let [ledger] = brokers::<1>(&there).await;
    assert!(picture(&*ledger).await == expected, "it is another one");

    // Neither is filled a second time.
    let again = PostgresImport::begin(&there).await.err().unwrap();
    assert_eq!(again.code(), "ledger_not_empty");
    let again = SqliteImport::begin(&old).err().unwrap();
    assert_eq!(again.code(), "ledger_not_empty");
}

async fn empty(options: &PostgresOptions) {
    let [ledger] = brokers::<1>(options).await;
    let ledger: Arc<dyn Ledger> = ledger;
    let seen = picture(&*ledger).await;
    assert!(seen.leases.is_empty() && seen.entries.is_empty() && seen.sheets.is_empty());
    assert!(seen.due.is_empty() && seen.checkpoints.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_was_cut_or_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (old, _) = old_ledger(&folder).await;
    let bytes = dump(&old).await;
    assert!(records(&bytes).is_ok());
    let code = |bytes: &[u8]| records(bytes).err().map(|error| error.code());
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();

    for cut in [bytes.len() - 1, bytes.len() / 2, lines[0].len()] {
        assert_eq!(code(&bytes[..cut]), Some("dump_cut_off"), "{cut}");
    }
    for cut in [0, 5] {
        assert_eq!(code(&bytes[..cut]), Some("dump_not_a_dump"), "{cut}");
    }
    let without = |place: usize| [&lines[..place], &lines[place + 1..]].concat().concat();
    for place in [1, lines.len() / 2, lines.len() - 2] {
        assert_eq!(code(&without(place)), Some("dump_changed"), "{place}");
    }
    let mut swapped = lines.clone();
    swapped.swap(1, 2);
    assert_eq!(code(&swapped.concat()), Some("dump_changed"));
    swapped.swap(1, lines.len() - 2);
    assert_eq!(code(&swapped.concat()), Some("dump_damaged"));
    assert_eq!(
        code(&[bytes.as_slice(), b"\n"].concat()),
        Some("dump_goes_on")
    );
    assert_eq!(
        code(&[lines[0], lines[0], &bytes[lines[0].len()..]].concat()),
        Some("dump_damaged")
    );

    // One bit anywhere.
    for place in (0..bytes.len()).step_by(bytes.len() / 400) {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        assert!(records(&changed).is_err(), "byte {place}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_a_broker_has_open_does_not_move() {
    let folder = tempfile::tempdir().unwrap();
    let options = file(&folder, "ledger.db");
    let ledger = SqliteLedger::open(&options).unwrap();
    let code = || {
        SqliteExport::begin(&options.path)
            .err()
            .map(|error| error.code())
    };
    assert_eq!(code(), Some("ledger_in_use"));
    drop(ledger);
    assert_eq!(code(), None);
    assert!(SqliteExport::begin(&folder.path().join("none.db")).is_err());
    assert!(!folder.path().join("none.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_a_broker_works_on_is_known_to_be_in_use() {
    let Some(server) = server("a ledger that is in use").await else {
        return;
    };
    let options = server.fresh().unwrap();
    let [one, two] = brokers::<2>(&options).await;
    assert!(is_in_use(&options).await.unwrap());
    // It is about this ledger, not about its server.
    assert!(!is_in_use(&server.fresh().unwrap()).await.unwrap());
    drop(one);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(is_in_use(&options).await.unwrap());
    drop(two);
    while is_in_use(&options).await.unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
