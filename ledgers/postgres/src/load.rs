//! Reads, under the lock, what a batch touches: one question for each kind of thing.

use jitney_core::audit::{Frontier, LeafHash};
use jitney_core::id::LeaseId;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::book::{Book, Counted, Driven};
use crate::columns::{self, Read, bound, count, hold_columns, plain, row_columns, string};
use crate::touched::{ShareKind, Touched, holding};

/// The server's time, in microseconds. Not `now()`, which is when the transaction began: a
/// transaction waits for the lock.
macro_rules! server_time {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}
pub(crate) use server_time;

mod question {
    use super::{hold_columns, row_columns};

    pub(super) const LOCK: &str = "SELECT frontier FROM log FOR UPDATE";
    pub(super) const ENTRY: &str = "SELECT bytes FROM entries WHERE idx = $1";
    pub(super) const TIME: &str = concat!("SELECT ", server_time!());
    pub(super) const ROWS: &str = concat!(
        "SELECT ",
        row_columns!(),
        " FROM rows JOIN unnest($1::smallint[], $2::uuid[]) AS wanted (kind, id) USING (kind, id)"
    );
    pub(super) const ONCE: &str =
        "SELECT key, bound_to, asked, request, remember_until FROM once WHERE key = ANY ($1)";
    pub(super) const CLAIMS: &str = "SELECT name, lease FROM claims WHERE name = ANY ($1)";
    pub(super) const HOLDS: &str = concat!(
        "SELECT ",
        hold_columns!(),
        ", job, repository, tenant
         FROM holds JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (target, lane, held)
         USING (target, lane, held)"
    );
    pub(super) const LANES: &str = "
        SELECT target, lane, epoch, hand, broker, until
        FROM lanes JOIN unnest($1::text[], $2::text[]) AS wanted (target, lane)
        USING (target, lane)";
    pub(super) const SHEETS: &str = "SELECT name, version, body FROM sheets WHERE name = ANY ($1)";
    pub(super) const SHARES: &str = "
        SELECT kind, name, count
        FROM shares JOIN unnest($1::text[], $2::text[]) AS wanted (kind, name)
        USING (kind, name)";
}

/// Locks the end of the log, and with it everything: who has it is the only one who writes.
pub(crate) async fn lock(connection: &mut PgConnection) -> Read<Frontier> {
    let log = sqlx::query(question::LOCK).fetch_one(connection).await?;
    columns::frontier(&log, 0)
}

/// The leaf of an entry of the log; nothing when there is no such entry.
pub(crate) async fn leaf(connection: &mut PgConnection, index: u64) -> Read<Option<LeafHash>> {
    let asked = sqlx::query(question::ENTRY).bind(count(index));
    let found = asked.fetch_optional(connection).await?;
    let bytes: Option<Vec<u8>> = found.map(|entry| plain(&entry, 0)).transpose()?;
    Ok(bytes.map(|bytes| LeafHash::of(&bytes)))
}

/// What `touched` names, as it is.
pub(crate) async fn book(
    connection: &mut PgConnection,
    touched: Touched,
    frontier: Frontier,
    broker: Uuid,
) -> Read<Book> {
    let rows = rows(connection, &touched).await?;
    let once = by_name(connection, question::ONCE, &touched.once).await?;
    let claims = by_name(connection, question::CLAIMS, &touched.claims).await?;
    let holds = holds(connection, &touched).await?;
    let lanes = lanes(connection, &touched).await?;
    let sheets = by_name(connection, question::SHEETS, &touched.sheets).await?;
    let counts = shares(connection, &touched).await?;
    let time = match touched.time {
        true => Some(self::time(connection).await?),
        false => None,
    };
    let mut book = Book::blank(touched, frontier, broker);
    book.time = time;
    for row in &rows {
        let row = columns::row(row)?;
        book.rows.found(row.id, row);
    }
    for used in &once {
        let used = columns::once_use(used)?;
        book.once.found(used.key.0.clone(), used);
    }
    for claim in &claims {
        let lease = LeaseId::from_uuid(plain(claim, 1)?);
        book.claims.found(string(claim, 0)?, lease);
    }
    for stored in &holds {
        let hold = columns::hold(stored, 0)?;
        let owner = columns::owner(stored, 6)?;
        book.holds.found(holding(&hold), Counted { hold, owner });
    }
    for lane in &lanes {
        book.lanes.found(columns::lane(lane, 0)?, driven(lane)?);
    }
    for sheet in &sheets {
        let sheet = columns::sheet(sheet)?;
        book.sheets.found(sheet.name.clone(), sheet);
    }
    for share in &counts {
        let kind = string(share, 0)?;
        let kind = ShareKind::named(&kind).ok_or_else(|| columns::wrong("a share of what"))?;
        book.counts
            .insert((kind, string(share, 1)?), plain(share, 2)?);
    }
    Ok(book)
}

async fn time(connection: &mut PgConnection) -> Read<Timestamp> {
    let time = sqlx::query(question::TIME).fetch_one(connection).await?;
    plain(&time, 0).map(Timestamp::from_micros)
}

async fn rows(connection: &mut PgConnection, touched: &Touched) -> Read<Vec<PgRow>> {
    if touched.rows.is_empty() {
        return Ok(Vec::new());
    }
    let keys = touched.rows.iter().copied().map(columns::key);
    let (kinds, ids): (Vec<i16>, Vec<Uuid>) = keys.unzip();
    let query = sqlx::query(question::ROWS).bind(kinds).bind(ids);
    query.fetch_all(connection).await
}

async fn by_name(
    connection: &mut PgConnection,
    question: &'static str,
    names: &std::collections::BTreeSet<String>,
) -> Read<Vec<PgRow>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = names.iter().map(|name| bound(name)).collect();
    sqlx::query(question)
        .bind(names)
        .fetch_all(connection)
        .await
}

async fn holds(connection: &mut PgConnection, touched: &Touched) -> Read<Vec<PgRow>> {
    if touched.holds.is_empty() {
        return Ok(Vec::new());
    }
    let (targets, lanes) = places(touched.holds.iter().map(|(lane, _)| lane));
    let held = touched.holds.iter().map(|(_, held)| held.to_string());
    let held: Vec<String> = held.collect();
    let query = sqlx::query(question::HOLDS).bind(targets).bind(lanes);
    query.bind(held).fetch_all(connection).await
}

async fn lanes(connection: &mut PgConnection, touched: &Touched) -> Read<Vec<PgRow>> {
    if touched.lanes.is_empty() {
        return Ok(Vec::new());
    }
    let (targets, lanes) = places(&touched.lanes);
    let query = sqlx::query(question::LANES).bind(targets).bind(lanes);
    query.fetch_all(connection).await
}

async fn shares(connection: &mut PgConnection, touched: &Touched) -> Read<Vec<PgRow>> {
    if touched.shares.is_empty() {
        return Ok(Vec::new());
    }
    let shares = touched.shares.iter();
    let (kinds, names): (Vec<&str>, Vec<String>) = shares
        .map(|(kind, name)| (kind.as_str(), bound(name)))
        .unzip();
    let query = sqlx::query(question::SHARES).bind(kinds).bind(names);
    query.fetch_all(connection).await
}

/// Lanes as two columns.
pub(crate) fn places<'a>(
    lanes: impl IntoIterator<Item = &'a LaneId>,
) -> (Vec<String>, Vec<String>) {
    let lanes = lanes.into_iter();
    lanes
        .map(|lane| (lane.target.to_string(), bound(&lane.name)))
        .unzip()
}

/// Who drives a lane: epoch, hand, broker, until.
fn driven(lane: &PgRow) -> Read<Driven> {
    let hand: Option<String> = plain(lane, 3)?;
    Ok(Driven {
        epoch: columns::epoch(lane, 2)?,
        hand: hand.map(|_| string(lane, 3)).transpose()?,
        broker: plain(lane, 4)?,
        until: Timestamp::from_micros(plain(lane, 5)?),
    })
}
