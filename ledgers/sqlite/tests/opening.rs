//! What an operator can get wrong about the file: each has its own clear refusal, and nothing is
//! lost by it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use jitney_core::adapter::Epoch;
use jitney_core::audit::{Entry, Event};
use jitney_core::ledger::{CommitError, Fence, Ledger, Transaction};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use jitney_ledger_sqlite::{CannotOpen, SQLITE_VERSION_MIN, SqliteLedger, SqliteOptions};
use rusqlite::Connection;

fn open(path: &Path) -> Result<SqliteLedger, CannotOpen> {
    SqliteLedger::open(&SqliteOptions::at(path))
}

fn code(outcome: Result<SqliteLedger, CannotOpen>) -> &'static str {
    outcome
        .map(|_| "opened")
        .unwrap_or_else(|error| error.code())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    format!("{}-{suffix}", path.display()).into()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn say(ledger: &SqliteLedger) -> u64 {
    let transaction = Transaction {
        entries: vec![Entry::new(Timestamp::from_seconds(1), Event::BrokerStarted)],
        ..Transaction::default()
    };
    ledger.commit(transaction).await.unwrap()
}

/// A closed ledger with one entry.
async fn closed_ledger(folder: &Path) -> PathBuf {
    let path = folder.join("ledger.db");
    say(&open(&path).unwrap()).await;
    path
}

#[test]
fn the_sqlite_that_was_built_in_loses_no_commits() {
    let seen = rusqlite::version_number();
    assert!(seen >= SQLITE_VERSION_MIN, "{seen}");
}

#[tokio::test]
async fn a_new_ledger_belongs_to_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path).unwrap();
    say(&ledger).await;
    for file in ["", "-wal", "-shm", "-lock"] {
        let file: PathBuf = format!("{}{file}", path.display()).into();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_ledger_that_others_can_read_is_closed_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed_ledger(folder.path()).await;
    for wide in [0o644, 0o660, 0o606, 0o777] {
        fs::set_permissions(&path, Permissions::from_mode(wide)).unwrap();
        say(&open(&path).unwrap()).await;
        assert_eq!(mode(&path), 0o600, "{wide:o}");
    }
}

#[tokio::test]
async fn a_second_broker_is_refused_while_the_first_one_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed_ledger(folder.path()).await;
    let link = folder.path().join("link.db");
    symlink(&path, &link).unwrap();
    let first = open(&path).unwrap();
    for name in [&path, &link] {
        let refusal = open(name).unwrap_err();
        assert_eq!(refusal.code(), "ledger_in_use");
        assert!(
            refusal.to_string().contains("in use by another broker"),
            "{refusal}"
        );
    }
    // The one that was refused has not disturbed the one that runs.
    assert_eq!(say(&first).await, 2);
    drop(first);
    assert_eq!(say(&open(&link).unwrap()).await, 3);
}

/// The lock proves that the process before is dead: its lanes do not wait for its claims to run
/// out. A call of it that is still on its way to a cloud has the lower epoch.
#[tokio::test]
async fn the_lanes_of_a_process_that_is_gone_are_free_and_their_epochs_grow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let lane = LaneId {
        target: "prod".parse().unwrap(),
        name: "role/a".to_owned(),
    };
    let now = Timestamp::from_seconds(1_000);
    let until = Timestamp::from_seconds(1_008);
    for life in 1..=3 {
        let ledger = open(&path).unwrap();
        let hand = format!("hand {life}");
        let claimed = ledger.claim_lane(&lane, &hand, now, until).await.unwrap();
        assert_eq!(claimed, Some(Epoch(life)));
        let again = ledger.claim_lane(&lane, "another", now, until).await;
        assert_eq!(again.unwrap(), None, "a living hand keeps its lane");
        let fence = Fence {
            lane: lane.clone(),
            epoch: Epoch(life - 1),
        };
        let late = Transaction {
            fences: vec![fence.clone()],
            ..Transaction::default()
        };
        let refused = ledger.commit(late).await.unwrap_err();
        assert_eq!(refused, CommitError::Fenced(fence));
    }
}

#[tokio::test]
async fn a_file_that_is_something_else_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, "This is not a database. ".repeat(400)).unwrap();
    let notes = folder.path().join("notes.db");
    let other = Connection::open(&notes).unwrap();
    other
        .execute_batch("CREATE TABLE notes (note TEXT); INSERT INTO notes VALUES ('mine')")
        .unwrap();
    drop(other);
    for path in [text, notes] {
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let before = fs::read(&path).unwrap();
        assert_eq!(
            code(open(&path)),
            "ledger_not_a_ledger",
            "{}",
            path.display()
        );
        assert!(
            fs::read(&path).unwrap() == before,
            "{} was changed",
            path.display()
        );
        assert_eq!(mode(&path), 0o644);
    }
}

#[tokio::test]
async fn a_ledger_of_a_later_version_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed_ledger(folder.path()).await;
    let edit = Connection::open(&path).unwrap();
    let known: i64 = edit
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    edit.pragma_update(None, "user_version", known + 1).unwrap();
    drop(edit);
    let before = fs::read(&path).unwrap();
    let refusal = open(&path).unwrap_err();
    assert_eq!(refusal.code(), "ledger_schema_newer");
    let words = format!(
        "has schema {}, this version knows schemas up to {known}",
        known + 1
    );
    assert!(refusal.to_string().contains(&words), "{refusal}");
    assert!(fs::read(&path).unwrap() == before, "the file was changed");
}

#[tokio::test]
async fn a_ledger_whose_log_and_tree_differ_is_damaged() {
    for sql in [
        "DELETE FROM entries",
        "INSERT INTO entries VALUES (1, x'00')",
        "UPDATE log SET frontier = CAST(frontier || x'00' AS BLOB)",
        "UPDATE log SET frontier = x'00'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = closed_ledger(folder.path()).await;
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let refusal = open(&path).unwrap_err();
        assert!(
            ["ledger_damaged", "ledger_failed"].contains(&refusal.code()),
            "{sql}: {refusal}"
        );
    }
}

#[tokio::test]
async fn a_file_with_broken_pages_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed_ledger(folder.path()).await;
    let whole = fs::read(&path).unwrap();
    let mut broken = whole.clone();
    for byte in broken.iter_mut().skip(110).step_by(3) {
        *byte ^= 0x5a;
    }
    fs::write(&path, broken).unwrap();
    let refusal = open(&path).unwrap_err();
    assert_eq!(refusal.code(), "ledger_failed");
    assert!(refusal.to_string().contains("damaged"), "{refusal}");
    fs::write(&path, whole).unwrap();
    assert_eq!(say(&open(&path).unwrap()).await, 2);
}

#[test]
fn a_place_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("no/such/folder/ledger.db");
    assert_eq!(code(open(&nowhere)), "ledger_refused");
    assert!(!folder.path().join("no").exists(), "a folder was made");
    assert_eq!(code(open(Path::new(""))), "ledger_refused");
    let taken = folder.path().join("folder");
    fs::create_dir(&taken).unwrap();
    assert_ne!(code(open(&taken)), "opened");
    assert_eq!(fs::read_dir(&taken).unwrap().count(), 0);
}

#[test]
fn a_path_is_a_path_and_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder
        .path()
        .join("ledger.db?immutable=1&mode=memory#x %41");
    drop(open(&odd).unwrap());
    assert!(odd.exists());
    assert!(beside(&odd, "lock").exists());
}

#[test]
fn options_are_refused_when_out_of_range_or_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut options = SqliteOptions::at(&path);
    options.readers = 0;
    assert_eq!(code(SqliteLedger::open(&options)), "ledger_option_bad");
    assert!(!path.exists(), "a file was made");

    let read = |json: &str| serde_json::from_str::<SqliteOptions>(json);
    assert_eq!(
        read(r#"{"path":"a.db"}"#).unwrap(),
        SqliteOptions::at("a.db")
    );
    for bad in [
        r#"{}"#,
        r#"{"path":"a.db","synchronous":"off"}"#,
        r#"{"path":"a.db","readers":-1}"#,
        r#"{"path":"a.db","size_max_mib":"1"}"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
