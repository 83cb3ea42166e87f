//! The tables, and how an older file comes to have them. Steps go forward only; each is applied
//! once, in one transaction with its number.

use rusqlite::{Connection, TransactionBehavior};

/// Marks a SQLite file as a ledger of ours: `JITN`.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"JITN");

/// The steps, oldest first. A step that was released is never changed; another one is added.
pub(crate) const STEPS: &[&str] = &[
    include_str!("../migrations/0001_ledger.sql"),
    include_str!("../migrations/0002_shares.sql"),
];

/// The oldest of them that answers today's questions. The steps after it change only how is written.
pub(crate) const READABLE_FROM: usize = 1;

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Up to date now.
    Ready,
    /// Written by a later version of this program.
    Newer {
        /// The number of its last step.
        seen: usize,
    },
    /// A database of another program.
    Foreign,
}

/// Brings a file to the last of `steps`. A file that is not ours, or newer than we are, is left
/// as it was found.
pub(crate) fn migrate(
    connection: &mut Connection,
    steps: &[&str],
) -> Result<Found, rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, last) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let untouched = application == 0 && last == 0 && tables == 0;
    let Ok(last) = usize::try_from(last) else {
        return Ok(Found::Foreign);
    };
    if !untouched && application != APPLICATION_ID {
        return Ok(Found::Foreign);
    }
    if last > steps.len() {
        return Ok(Found::Newer { seen: last });
    }
    for (step, number) in steps.iter().zip(1..).skip(last) {
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
    }
    if untouched {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.commit()?;
    Ok(Found::Ready)
}

/// What a file is to somebody who only reads it. One that is older than `steps` is not brought up to
/// date by looking; it is read from [`READABLE_FROM`] on.
pub(crate) fn recognise(connection: &Connection, steps: &[&str]) -> Result<Found, rusqlite::Error> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, last) = (number("application_id")?, number("user_version")?);
    match usize::try_from(last) {
        Ok(last)
            if application == APPLICATION_ID && (READABLE_FROM..=steps.len()).contains(&last) =>
        {
            Ok(Found::Ready)
        }
        Ok(seen) if application == APPLICATION_ID && seen > steps.len() => {
            Ok(Found::Newer { seen })
        }
        Ok(_) | Err(_) => Ok(Found::Foreign),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const FIRST: &str = "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);";
    const SECOND: &str = "INSERT INTO a SELECT x + 1 FROM a;";

    fn sum(connection: &Connection) -> i64 {
        let sql = "SELECT sum(x) FROM a";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn each_step_is_applied_once_and_in_order() {
        let mut file = Connection::open_in_memory().unwrap();
        assert_eq!(migrate(&mut file, &[FIRST]).unwrap(), Found::Ready);
        assert_eq!(migrate(&mut file, &[FIRST]).unwrap(), Found::Ready);
        assert_eq!(sum(&file), 1);
        assert_eq!(migrate(&mut file, &[FIRST, SECOND]).unwrap(), Found::Ready);
        assert_eq!(migrate(&mut file, &[FIRST, SECOND]).unwrap(), Found::Ready);
        assert_eq!(sum(&file), 1 + 2);
    }

    #[test]
    fn a_step_that_breaks_changes_nothing() {
        let mut file = Connection::open_in_memory().unwrap();
        migrate(&mut file, &[FIRST]).unwrap();
        let broken = "INSERT INTO a VALUES (40); INSERT INTO nowhere VALUES (1);";
        assert!(migrate(&mut file, &[FIRST, SECOND, broken]).is_err());
        assert_eq!(sum(&file), 1);
        assert_eq!(migrate(&mut file, &[FIRST, SECOND]).unwrap(), Found::Ready);
        assert_eq!(sum(&file), 1 + 2);
    }

    #[test]
    fn what_is_newer_or_not_ours_is_left_alone() {
        let mut newer = Connection::open_in_memory().unwrap();
        migrate(&mut newer, &[FIRST, SECOND]).unwrap();
        assert_eq!(
            migrate(&mut newer, &[FIRST]).unwrap(),
            Found::Newer { seen: 2 }
        );

        let cases = [
            "CREATE TABLE notes (x TEXT)",
            "PRAGMA application_id = 7",
            "PRAGMA user_version = 1",
            "PRAGMA user_version = -1",
        ];
        for sql in cases {
            let mut foreign = Connection::open_in_memory().unwrap();
            foreign.execute_batch(sql).unwrap();
            assert_eq!(
                migrate(&mut foreign, &[FIRST]).unwrap(),
                Found::Foreign,
                "{sql}"
            );
            assert!(foreign.prepare("SELECT x FROM a").is_err(), "{sql}");
        }
    }

    /// A broker that was updated and has not been started yet.
    #[test]
    fn a_ledger_of_the_version_before_is_read_as_it_is() {
        let mut file = Connection::open_in_memory().unwrap();
        assert_eq!(recognise(&file, STEPS).unwrap(), Found::Foreign);
        migrate(&mut file, &STEPS[..READABLE_FROM]).unwrap();
        assert_eq!(recognise(&file, STEPS).unwrap(), Found::Ready);
        let newer = recognise(&file, &[]).unwrap();
        assert_eq!(newer, Found::Newer { seen: 1 });
    }
}
