//! Fills an empty ledger, in one transaction.

use async_trait::async_trait;
use jitney_core::audit::{Frontier, LeafHash};
use jitney_core::dump::{CannotImport, Import, Record};
use jitney_core::id::LeaseId;
use jitney_core::ledger::{OnceUse, Row, RowId, Sheet};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use sqlx::{Connection as _, PgConnection};

use crate::book::{Counted, Driven};
use crate::cells::Change;
use crate::columns::plain;
use crate::desk::Stopped;
use crate::failure;
use crate::load;
use crate::open::{CannotOpen, Server};
use crate::options::PostgresOptions;
use crate::save::{NotSaved, Pen};
use crate::touched::{Holding, holding};

/// Whoever sends the records may be slow.
const READY: &str = "SET idle_in_transaction_session_timeout = 0; BEGIN";
const NOT_EMPTY: &str = "
    SELECT EXISTS (SELECT 1 FROM rows) OR EXISTS (SELECT 1 FROM once)
        OR EXISTS (SELECT 1 FROM claims) OR EXISTS (SELECT 1 FROM holds)
        OR EXISTS (SELECT 1 FROM lanes) OR EXISTS (SELECT 1 FROM looks)
        OR EXISTS (SELECT 1 FROM sheets) OR EXISTS (SELECT 1 FROM entries)
        OR EXISTS (SELECT 1 FROM checkpoints)";
const OWN_HOLDS: &str = "
    UPDATE holds SET job = rows.job, repository = rows.repository, tenant = rows.tenant
    FROM rows WHERE rows.kind = 1 AND rows.id = holds.lease";
/// Counted anew from what came, as every commit counts on from there.
const COUNT_SHARES: &str = "
    WITH open AS (
        SELECT job, repository, tenant, target || '/' || lane AS lane FROM rows
        WHERE kind = 1 AND NOT is_final
        UNION ALL SELECT job, repository, tenant, target || '/' || lane FROM holds)
    INSERT INTO shares (kind, name, count)
    SELECT 'job', job, count(*) FROM open WHERE job IS NOT NULL GROUP BY job
    UNION ALL SELECT 'repository', repository, count(*) FROM open
        WHERE repository IS NOT NULL GROUP BY repository
    UNION ALL SELECT 'tenant', tenant, count(*) FROM open WHERE tenant IS NOT NULL GROUP BY tenant
    UNION ALL SELECT 'lane', lane, count(*) FROM open WHERE lane IS NOT NULL GROUP BY lane";
/// A million rows that came at once: without it the server would not know how many there are.
const ANALYZE: &str = "ANALYZE rows, once, claims, holds, lanes, looks, entries, shares";

/// An empty ledger that is being filled. No broker can write it meanwhile.
pub struct PostgresImport {
    connection: PgConnection,
    frontier: Frontier,
}

impl PostgresImport {
    /// Opens an empty ledger, and makes its schema if it is not there.
    ///
    /// # Errors
    /// When it cannot be written, or is not empty.
    pub async fn begin(options: &PostgresOptions) -> Result<Self, CannotOpen> {
        let server = Server::of(options)?;
        let (mut connection, _) = server.open().await?;
        let failed = |error: sqlx::Error| CannotOpen::failed(&server.name, &error);
        let ready = sqlx::raw_sql(READY).execute(&mut connection).await;
        ready.map_err(failed)?;
        let frontier = load::lock(&mut connection).await.map_err(failed)?;
        let not_empty = sqlx::query(NOT_EMPTY).fetch_one(&mut connection).await;
        let not_empty = not_empty.and_then(|stored| plain(&stored, 0));
        if not_empty.map_err(failed)? {
            return Err(CannotOpen::NotEmpty);
        }
        Ok(Self {
            connection,
            frontier,
        })
    }

    async fn fill(&mut self, records: Vec<Record>) -> Result<(), NotSaved> {
        let first = self.frontier.size();
        let mut came = Came::default();
        for record in records {
            if let Record::Entry(bytes) = &record {
                self.frontier.append(LeafHash::of(bytes));
            }
            came.record(record);
        }
        let mut pen = Pen::new(&mut self.connection);
        pen.rows(came.rows).await?;
        pen.once(came.once, None).await?;
        pen.claims(came.claims).await?;
        pen.holds(came.holds).await?;
        pen.lanes(came.lanes).await?;
        pen.looks(came.looks).await?;
        pen.sheets(came.sheets).await?;
        let log = (self.frontier.clone(), came.entries, came.checkpoints);
        pen.log(first, log).await
    }

    async fn complete(mut self) -> Result<(), sqlx::Error> {
        let connection = &mut self.connection;
        sqlx::query(OWN_HOLDS).execute(&mut *connection).await?;
        sqlx::query(COUNT_SHARES).execute(&mut *connection).await?;
        sqlx::raw_sql(ANALYZE).execute(&mut *connection).await?;
        sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
        // It is there; how the session ends changes nothing about that.
        let _ = self.connection.close().await;
        Ok(())
    }
}

#[async_trait]
impl Import for PostgresImport {
    async fn take(&mut self, records: Vec<Record>) -> Result<(), CannotImport> {
        let filled = self.fill(records).await;
        filled.map_err(|error| CannotImport::Failed(Stopped::from(error).why))
    }

    async fn finish(self: Box<Self>, frontier: &Frontier) -> Result<(), CannotImport> {
        if self.frontier != *frontier {
            let (seen, expected) = (self.frontier.size(), frontier.size());
            let words = format!("{seen} entries came, expected the tree over {expected}");
            return Err(CannotImport::OtherLog(words));
        }
        let completed = self.complete().await;
        completed.map_err(|error| CannotImport::Failed(failure::words(&error)))
    }
}

/// Records, each as a change over nothing.
#[derive(Default)]
struct Came {
    rows: Vec<Change<RowId, Row>>,
    once: Vec<OnceUse>,
    claims: Vec<Change<String, LeaseId>>,
    holds: Vec<Change<Holding, Counted>>,
    lanes: Vec<Change<LaneId, Driven>>,
    looks: Vec<Change<LaneId, Timestamp>>,
    sheets: Vec<Change<String, Sheet>>,
    entries: Vec<Vec<u8>>,
    checkpoints: Vec<(u64, String)>,
}

impl Came {
    fn record(&mut self, record: Record) {
        match record {
            Record::Row(row) => self.rows.push(new(row.id, row)),
            Record::Once(used) => self.once.push(used),
            Record::Claim(claim) => self.claims.push(new(claim.name, claim.lease)),
            Record::Hold(hold) => {
                let key = holding(&hold);
                // Whose it is follows from its lease, once all leases are there.
                self.holds.push(new(key, Counted { hold, owner: None }));
            }
            Record::Epoch(fence) => {
                let driven = Driven {
                    epoch: fence.epoch,
                    hand: None,
                    broker: None,
                    until: Timestamp::from_micros(0),
                };
                self.lanes.push(new(fence.lane, driven));
            }
            Record::Look { lane, at } => self.looks.push(new(lane, at)),
            Record::Sheet(sheet) => self.sheets.push(new(sheet.name.clone(), sheet)),
            Record::Entry(bytes) => self.entries.push(bytes),
            Record::Checkpoint { size, note } => self.checkpoints.push((size, note)),
        }
    }
}

const fn new<K, V>(key: K, value: V) -> Change<K, V> {
    Change {
        key,
        before: None,
        after: Some(value),
    }
}
