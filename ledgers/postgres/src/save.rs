//! Writes what a batch came to: one statement for each kind of change. Each says what it writes
//! over; whatever is not as it was read stops the batch, although under the lock nothing should.

use std::time::Duration;

use jitney_core::audit::Frontier;
use jitney_core::id::LeaseId;
use jitney_core::ledger::{OnceUse, Row, RowId, Sheet};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};

use crate::book::{Book, Counted, Driven};
use crate::cells::Change;
use crate::columns::{bound, count, key};
use crate::load::places;
use crate::statement;
use crate::touched::{Holding, ShareKey};

/// How long a once-key is kept after it need not be. A clock that was wrong by less than this
/// when the key was forgotten has not let a token be used twice.
const FORGET_AFTER: Duration = Duration::from_secs(60 * 60);
/// How many once-keys are forgotten for each that is learnt: more than one, so that the table
/// shrinks again after a rush, and few, so that nobody waits for it.
const FORGET_PER_USE: usize = 4;

type Statement = Query<'static, Postgres, PgArguments>;

/// Why a batch could not be written. Nothing of it was committed.
#[derive(Debug)]
pub(crate) enum NotSaved {
    /// The server did not do it.
    Failed(sqlx::Error),
    /// Somebody who does not take the lock changed something.
    PastTheLock(&'static str),
}

impl From<sqlx::Error> for NotSaved {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

type Saved = Result<(), NotSaved>;

/// Writes all of it. False when there is nothing to write.
pub(crate) async fn save(connection: &mut PgConnection, book: Book) -> Result<bool, NotSaved> {
    let mut pen = Pen::new(connection);
    pen.rows(book.rows.changes()).await?;
    let used = book.once.changes();
    let used_up = used.into_iter().filter_map(|change| change.after);
    // By the earlier of both clocks: a broker whose own is ahead must not forget what the others
    // still go by.
    let time = book.time.zip(book.told).map(|(one, other)| one.min(other));
    pen.once(used_up.collect(), time).await?;
    pen.claims(book.claims.changes()).await?;
    pen.holds(book.holds.changes()).await?;
    pen.lanes(book.lanes.changes()).await?;
    pen.looks(book.looks.changes()).await?;
    pen.sheets(book.sheets.changes()).await?;
    let (grown, shrunk): (Vec<_>, Vec<_>) = book.tally.changes().partition(|(_, by)| *by > 0);
    pen.shares(&grown, &shrunk).await?;
    let first = book.log.found;
    pen.log(first, book.log.changes()).await?;
    Ok(pen.wrote)
}

/// How many rows a statement must write.
#[derive(Clone, Copy)]
enum Expected {
    Exactly(usize),
    AnyNumber,
}
use Expected::{AnyNumber, Exactly};

/// Writes changes, one kind at a time.
pub(crate) struct Pen<'c> {
    connection: &'c mut PgConnection,
    wrote: bool,
}

impl<'c> Pen<'c> {
    pub(crate) const fn new(connection: &'c mut PgConnection) -> Self {
        let wrote = false;
        Self { connection, wrote }
    }

    async fn write(&mut self, what: &'static str, statement: Statement, rows: Expected) -> Saved {
        self.wrote = true;
        let done = statement.execute(&mut *self.connection).await?;
        match rows {
            Exactly(rows) if usize::try_from(done.rows_affected()) != Ok(rows) => {
                Err(NotSaved::PastTheLock(what))
            }
            Exactly(_) | AnyNumber => Ok(()),
        }
    }

    pub(crate) async fn rows(&mut self, changes: Vec<Change<RowId, Row>>) -> Saved {
        let (first, next): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .filter_map(|change| Some((change.after?, change.before.map(|row| row.version))))
            .partition(|(_, over)| over.is_none());
        if !first.is_empty() {
            let statement = row_columns(sqlx::query(statement::ROWS_FIRST), &first);
            let rows = Exactly(first.len());
            self.write("rows", statement, rows).await?;
        }
        if !next.is_empty() {
            let over = column(&next, |(_, over)| count(over.unwrap_or(0)));
            let statement = row_columns(sqlx::query(statement::ROWS_NEXT), &next).bind(over);
            self.write("rows", statement, Exactly(next.len())).await?;
        }
        Ok(())
    }

    pub(crate) async fn once(&mut self, used: Vec<OnceUse>, time: Option<Timestamp>) -> Saved {
        if used.is_empty() {
            return Ok(());
        }
        let statement = sqlx::query(statement::ONCE)
            .bind(column(&used, |it| bound(&it.key.0)))
            .bind(column(&used, |it| bound(&it.bound_to.0)))
            .bind(column(&used, |it| bound(&it.asked)))
            .bind(column(&used, |it| it.request.as_uuid()))
            .bind(column(&used, |it| it.remember_until.as_micros()));
        self.write("once", statement, Exactly(used.len())).await?;
        let Some(time) = time else { return Ok(()) };
        let most = used.len().saturating_mul(FORGET_PER_USE);
        let statement = sqlx::query(statement::FORGET)
            .bind(time.minus(FORGET_AFTER).as_micros())
            .bind(i64::try_from(most).unwrap_or(i64::MAX));
        self.write("once", statement, AnyNumber).await
    }

    pub(crate) async fn claims(&mut self, changes: Vec<Change<String, LeaseId>>) -> Saved {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for Change { key, before, after } in changes {
            if before == after {
                continue;
            }
            gone.extend(before.map(|lease| (key.clone(), lease)));
            new.extend(after.map(|lease| (key, lease)));
        }
        for (sql, claims) in [(statement::CLAIMS_GONE, gone), (statement::CLAIMS, new)] {
            if claims.is_empty() {
                continue;
            }
            let statement = sqlx::query(sql)
                .bind(column(&claims, |(name, _)| bound(name)))
                .bind(column(&claims, |(_, lease)| lease.as_uuid()));
            let rows = Exactly(claims.len());
            self.write("claims", statement, rows).await?;
        }
        Ok(())
    }

    pub(crate) async fn holds(&mut self, changes: Vec<Change<Holding, Counted>>) -> Saved {
        let (mut gone, mut stand) = (Vec::new(), Vec::new());
        for Change { key, before, after } in changes {
            match after {
                Some(after) => stand.push(after),
                None => gone.extend(before.map(|_| key)),
            }
        }
        if !gone.is_empty() {
            let (targets, lanes) = places(gone.iter().map(|(lane, _)| lane));
            let statement = sqlx::query(statement::HOLDS_GONE)
                .bind(targets)
                .bind(lanes)
                .bind(column(&gone, |(_, held)| held.to_string()));
            self.write("holds", statement, Exactly(gone.len())).await?;
        }
        if !stand.is_empty() {
            let rows = Exactly(stand.len());
            self.write("holds", hold_columns(&stand), rows).await?;
        }
        Ok(())
    }

    pub(crate) async fn lanes(&mut self, changes: Vec<Change<LaneId, Driven>>) -> Saved {
        let lanes: Vec<(LaneId, Driven)> = changes
            .into_iter()
            .filter_map(|change| Some((change.key, change.after?)))
            .collect();
        if lanes.is_empty() {
            return Ok(());
        }
        let (targets, names) = places(lanes.iter().map(|(lane, _)| lane));
        let statement = sqlx::query(statement::LANES)
            .bind(targets)
            .bind(names)
            .bind(column(&lanes, |(_, driven)| count(driven.epoch.0)))
            .bind(column(&lanes, |(_, driven)| {
                driven.hand.as_deref().map(bound)
            }))
            .bind(column(&lanes, |(_, driven)| driven.broker))
            .bind(column(&lanes, |(_, driven)| driven.until.as_micros()));
        self.write("lanes", statement, Exactly(lanes.len())).await
    }

    pub(crate) async fn looks(&mut self, changes: Vec<Change<LaneId, Timestamp>>) -> Saved {
        let (mut gone, mut stand) = (Vec::new(), Vec::new());
        for change in changes {
            match change.after {
                Some(at) => stand.push((change.key, at)),
                None => gone.push(change.key),
            }
        }
        if !gone.is_empty() {
            let (targets, names) = places(&gone);
            let statement = sqlx::query(statement::LOOKS_GONE).bind(targets).bind(names);
            self.write("looks", statement, AnyNumber).await?;
        }
        if !stand.is_empty() {
            let (targets, names) = places(stand.iter().map(|(lane, _)| lane));
            let statement = sqlx::query(statement::LOOKS)
                .bind(targets)
                .bind(names)
                .bind(column(&stand, |(_, at)| at.as_micros()));
            self.write("looks", statement, Exactly(stand.len())).await?;
        }
        Ok(())
    }

    pub(crate) async fn sheets(&mut self, changes: Vec<Change<String, Sheet>>) -> Saved {
        let (first, next): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .filter_map(|change| Some((change.after?, change.before.map(|sheet| sheet.version))))
            .partition(|(_, over)| over.is_none());
        let columns = |sql, sheets: &[(Sheet, Option<u64>)]| {
            sqlx::query::<Postgres>(sql)
                .bind(column(sheets, |(sheet, _)| bound(&sheet.name)))
                .bind(column(sheets, |(sheet, _)| count(sheet.version)))
                .bind(column(sheets, |(sheet, _)| bound(&sheet.body)))
        };
        if !first.is_empty() {
            let statement = columns(statement::SHEETS_FIRST, &first);
            self.write("sheets", statement, Exactly(first.len()))
                .await?;
        }
        if !next.is_empty() {
            let over = column(&next, |(_, over)| count(over.unwrap_or(0)));
            let statement = columns(statement::SHEETS_NEXT, &next).bind(over);
            self.write("sheets", statement, Exactly(next.len())).await?;
        }
        Ok(())
    }

    async fn shares(&mut self, grown: &[(&ShareKey, i64)], shrunk: &[(&ShareKey, i64)]) -> Saved {
        let columns = |sql, shares: &[(&ShareKey, i64)]| {
            sqlx::query::<Postgres>(sql)
                .bind(column(shares, |((kind, _), _)| kind.as_str()))
                .bind(column(shares, |((_, name), _)| bound(name)))
        };
        let counts = |shares: &[(&ShareKey, i64)]| column(shares, |(_, by)| *by);
        if !grown.is_empty() {
            let statement = columns(statement::SHARES_GROWN, grown).bind(counts(grown));
            self.write("shares", statement, Exactly(grown.len()))
                .await?;
        }
        if !shrunk.is_empty() {
            let statement = columns(statement::SHARES_SHRUNK, shrunk).bind(counts(shrunk));
            let rows = Exactly(shrunk.len());
            self.write("shares", statement, rows).await?;
            let statement = columns(statement::SHARES_GONE, shrunk);
            self.write("shares", statement, AnyNumber).await?;
        }
        Ok(())
    }

    pub(crate) async fn log(
        &mut self,
        first: u64,
        (frontier, entries, checkpoints): (Frontier, Vec<Vec<u8>>, Vec<(u64, String)>),
    ) -> Saved {
        if !entries.is_empty() {
            let rows = Exactly(entries.len());
            let places: Vec<i64> = (first..).map(count).take(entries.len()).collect();
            let statement = sqlx::query(statement::ENTRIES).bind(places).bind(entries);
            self.write("entries", statement, rows).await?;
            let statement = sqlx::query(statement::FRONTIER).bind(frontier.to_bytes());
            self.write("log", statement, Exactly(1)).await?;
        }
        if !checkpoints.is_empty() {
            let statement = sqlx::query(statement::CHECKPOINTS)
                .bind(column(&checkpoints, |(size, _)| count(*size)))
                .bind(column(&checkpoints, |(_, note)| bound(note)));
            self.write("checkpoints", statement, AnyNumber).await?;
        }
        Ok(())
    }
}

/// What one column has for each item.
fn column<T, C>(items: &[T], of: impl Fn(&T) -> C) -> Vec<C> {
    items.iter().map(of).collect()
}

fn row_columns(statement: Statement, rows: &[(Row, Option<u64>)]) -> Statement {
    statement
        .bind(column(rows, |(row, _)| key(row.id).0))
        .bind(column(rows, |(row, _)| key(row.id).1))
        .bind(column(rows, |(row, _)| count(row.version)))
        .bind(column(rows, |(row, _)| bound(&row.state)))
        .bind(column(rows, |(row, _)| row.is_final))
        .bind(column(rows, |(row, _)| row.request.as_uuid()))
        .bind(column(rows, |(row, _)| {
            row.lane.as_ref().map(|lane| lane.target.to_string())
        }))
        .bind(column(rows, |(row, _)| {
            row.lane.as_ref().map(|lane| bound(&lane.name))
        }))
        .bind(column(rows, |(row, _)| bound(&row.owner.job)))
        .bind(column(rows, |(row, _)| bound(&row.owner.repository)))
        .bind(column(rows, |(row, _)| bound(&row.owner.tenant)))
        .bind(column(rows, |(row, _)| {
            row.due_at.map(Timestamp::as_micros)
        }))
        .bind(column(rows, |(row, _)| bound(&row.body)))
}

fn hold_columns(holds: &[Counted]) -> Statement {
    let (targets, lanes) = places(holds.iter().map(|it| &it.hold.lane));
    sqlx::query(statement::HOLDS)
        .bind(targets)
        .bind(lanes)
        .bind(column(holds, |it| it.hold.held.to_string()))
        .bind(column(holds, |it| it.hold.lease.map(|id| id.as_uuid())))
        .bind(column(holds, |it| it.hold.until.as_micros()))
        .bind(column(holds, |it| {
            it.hold.issued_by.map(Timestamp::as_micros)
        }))
        .bind(column(holds, |it| {
            it.owner.as_ref().map(|owner| bound(&owner.job))
        }))
        .bind(column(holds, |it| {
            it.owner.as_ref().map(|owner| bound(&owner.repository))
        }))
        .bind(column(holds, |it| {
            it.owner.as_ref().map(|owner| bound(&owner.tenant))
        }))
}
