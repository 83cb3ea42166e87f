//! Fills an empty ledger, in one transaction. It is the work of a command and not of a broker, so
//! it is done where it is asked for.

use async_trait::async_trait;
use jitney_core::audit::{Frontier, LeafHash};
use jitney_core::dump::{CannotImport, Import, Record};
use jitney_core::evidence::Hold;
use jitney_core::ledger::{OnceUse, Row};
use jitney_core::time::Timestamp;
use rusqlite::{Connection, Params};

use crate::columns::{LEASE, count, key};
use crate::failure;
use crate::head::Head;
use crate::open::{self, CannotOpen, Opened};
use crate::options::SqliteOptions;

const NOT_EMPTY: &str = "
    SELECT EXISTS (SELECT 1 FROM rows) OR EXISTS (SELECT 1 FROM once)
        OR EXISTS (SELECT 1 FROM claims) OR EXISTS (SELECT 1 FROM holds)
        OR EXISTS (SELECT 1 FROM lanes) OR EXISTS (SELECT 1 FROM looks)
        OR EXISTS (SELECT 1 FROM sheets) OR EXISTS (SELECT 1 FROM entries)
        OR EXISTS (SELECT 1 FROM checkpoints)";

/// What is new in a file needs no copy anywhere until it is committed: with a rollback journal it is
/// written once, to where it belongs, and not first to a write-ahead log that grows as large as the
/// whole ledger. Whoever opens the ledger next has it write ahead again.
const WITHOUT_LOG: &str = "PRAGMA journal_mode = DELETE";

type Filled = Result<(), rusqlite::Error>;

/// An empty ledger that is being filled. Dropped before it is finished, it stays empty.
pub struct SqliteImport {
    opened: Opened,
    frontier: Frontier,
}

impl SqliteImport {
    /// Opens an empty ledger, and makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be written, or is not empty.
    pub fn begin(options: &SqliteOptions) -> Result<Self, CannotOpen> {
        let opened = open::open(options)?;
        let path = opened.place.path();
        let failed = |error: rusqlite::Error| CannotOpen::failed(path, &error);
        let connection = &opened.connection;
        connection
            .execute_batch(WITHOUT_LOG)
            .and_then(|()| connection.execute_batch("BEGIN IMMEDIATE"))
            .map_err(failed)?;
        let not_empty = connection.query_row(NOT_EMPTY, [], |row| row.get(0));
        if not_empty.map_err(failed)? {
            let path = path.to_owned();
            return Err(CannotOpen::NotEmpty { path });
        }
        let frontier = opened.head.frontier.clone();
        Ok(Self { opened, frontier })
    }

    fn fill(&mut self, record: Record) -> Filled {
        let connection = &self.opened.connection;
        match record {
            Record::Row(row) => fill_row(connection, &row),
            Record::Once(used) => fill_once(connection, &used),
            Record::Hold(hold) => fill_hold(connection, &hold),
            Record::Claim(claim) => write(
                connection,
                "INSERT INTO claims VALUES (?1, ?2)",
                (claim.name, claim.lease.as_uuid().into_bytes()),
            ),
            Record::Epoch(fence) => write(
                connection,
                "INSERT INTO lanes VALUES (?1, ?2, ?3, '', 0)",
                (
                    fence.lane.target.as_str(),
                    fence.lane.name,
                    count(fence.epoch.0),
                ),
            ),
            Record::Look { lane, at } => write(
                connection,
                "INSERT INTO looks VALUES (?1, ?2, ?3)",
                (lane.target.as_str(), lane.name, at.as_micros()),
            ),
            Record::Sheet(sheet) => write(
                connection,
                "INSERT INTO sheets VALUES (?1, ?2, ?3)",
                (sheet.name, count(sheet.version), sheet.body),
            ),
            Record::Entry(bytes) => {
                let place = count(self.frontier.size());
                self.frontier.append(LeafHash::of(&bytes));
                let sql = "INSERT INTO entries VALUES (?1, ?2)";
                write(connection, sql, (place, bytes))
            }
            Record::Checkpoint { size, note } => write(
                connection,
                "INSERT INTO checkpoints (size, note) VALUES (?1, ?2)",
                (count(size), note),
            ),
        }
    }

    fn complete(&self) -> Filled {
        let Head { batch, .. } = self.opened.head;
        let head = Head {
            batch: batch.saturating_add(1),
            frontier: self.frontier.clone(),
        };
        head.write(&self.opened.connection, batch)?;
        self.opened.connection.execute_batch("COMMIT")
    }
}

#[async_trait]
impl Import for SqliteImport {
    async fn take(&mut self, records: Vec<Record>) -> Result<(), CannotImport> {
        let mut records = records.into_iter();
        let filled = records.try_for_each(|record| self.fill(record));
        filled.map_err(|error| CannotImport::Failed(failure::words(&error)))
    }

    async fn finish(self: Box<Self>, frontier: &Frontier) -> Result<(), CannotImport> {
        if self.frontier != *frontier {
            let (seen, expected) = (self.frontier.size(), frontier.size());
            let words = format!("{seen} entries came, expected the tree over {expected}");
            return Err(CannotImport::OtherLog(words));
        }
        let completed = self.complete();
        completed.map_err(|error| CannotImport::Failed(failure::words(&error)))
    }
}

fn write(connection: &Connection, sql: &str, values: impl Params) -> Filled {
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// In whatever version it is. The triggers count it, as they count everything.
fn fill_row(connection: &Connection, row: &Row) -> Filled {
    let sql = "
        INSERT INTO rows (kind, id, version, state, is_final, request, target, lane, job,
                          repository, tenant, due_at, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let (kind, id) = key(row.id);
    let values = (
        kind,
        id,
        count(row.version),
        row.state.as_str(),
        row.is_final,
        row.request.as_uuid().into_bytes(),
        row.lane.as_ref().map(|lane| lane.target.as_str()),
        row.lane.as_ref().map(|lane| lane.name.as_str()),
        row.owner.job.as_str(),
        row.owner.repository.as_str(),
        row.owner.tenant.as_str(),
        row.due_at.map(Timestamp::as_micros),
        row.body.as_str(),
    );
    write(connection, sql, values)
}

fn fill_once(connection: &Connection, used: &OnceUse) -> Filled {
    let values = (
        used.key.0.as_str(),
        used.bound_to.0.as_str(),
        used.asked.as_str(),
        used.request.as_uuid().into_bytes(),
        used.remember_until.as_micros(),
    );
    write(
        connection,
        "INSERT INTO once VALUES (?1, ?2, ?3, ?4, ?5)",
        values,
    )
}

/// It counts against whoever its lease counts against, and leases came before.
fn fill_hold(connection: &Connection, hold: &Hold) -> Filled {
    let sql = "INSERT INTO holds
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, job, repository, tenant
               FROM (SELECT 1) LEFT JOIN rows ON kind = ?7 AND id = ?4";
    let values = (
        hold.lane.target.as_str(),
        hold.lane.name.as_str(),
        hold.held.to_string(),
        hold.lease.map(|lease| lease.as_uuid().into_bytes()),
        hold.until.as_micros(),
        hold.issued_by.map(Timestamp::as_micros),
        LEASE,
    );
    write(connection, sql, values)
}
