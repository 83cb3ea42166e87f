//! What can be asked. Every question finds its answer by an index.

use std::collections::BTreeMap;

use jitney_core::audit::Frontier;
use jitney_core::id::RequestId;
use jitney_core::ledger::{LaneRows, LeaseFilter, OnceUse, Row, RowId, Sheet, StoredEntry};
use jitney_core::plan::LaneId;
use jitney_core::principal::OnceKey;
use jitney_core::time::Timestamp;
use sqlx::PgPool;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::columns::{self, Read, bound, count, hold_columns, key, plain, row_columns};

/// Selects rows.
macro_rules! select_rows {
    ($rest:literal) => {
        concat!("SELECT ", row_columns!(), " FROM rows ", $rest)
    };
}

/// The questions, as they are put to the server.
mod question {
    use super::{hold_columns, row_columns};
    use crate::load::server_time;

    pub(super) const ROW: &str = select_rows!("WHERE kind = $1 AND id = $2");
    pub(super) const ROWS: &str = select_rows!(
        "JOIN unnest($1::smallint[], $2::uuid[]) AS wanted (kind, id) USING (kind, id)"
    );
    pub(super) const LEASES_OF: &str = select_rows!("WHERE kind = 1 AND request = $1 ORDER BY id");
    /// One question for each filter that has an index: with all of them in one, the server would
    /// have to choose an index before it knows which of them narrow anything.
    pub(super) const LEASES_OPEN: &str =
        select_rows!("WHERE kind = 1 AND NOT is_final AND id < $2 ORDER BY id DESC LIMIT $1");
    pub(super) const LEASES_ALL: &str =
        select_rows!("WHERE kind = 1 AND id < $2 ORDER BY id DESC LIMIT $1");
    pub(super) const LEASES_OF_JOB: &str = select_rows!(
        "WHERE kind = 1 AND id < $2 AND job = $3 AND ($4 OR NOT is_final)
           AND ($5::text IS NULL OR state = $5)
         ORDER BY id DESC LIMIT $1"
    );
    pub(super) const LEASES_IN_STATE_OPEN: &str = select_rows!(
        "WHERE kind = 1 AND NOT is_final AND id < $2 AND state = $3 ORDER BY id DESC LIMIT $1"
    );
    pub(super) const LEASES_IN_STATE_ALL: &str =
        select_rows!("WHERE kind = 1 AND id < $2 AND state = $3 ORDER BY id DESC LIMIT $1");
    pub(super) const COUNT_OPEN: &str = "
        SELECT state, count(*) FROM rows WHERE kind = 1 AND NOT is_final GROUP BY state";
    pub(super) const SHEET: &str = "SELECT name, version, body FROM sheets WHERE name = $1";
    pub(super) const SHEETS: &str =
        "SELECT name, version, body FROM sheets WHERE name ^@ $1 ORDER BY name";
    pub(super) const ONCE: &str =
        "SELECT key, bound_to, asked, request, remember_until FROM once WHERE key = $1";
    /// The lanes of due leases, holds and looks that no other broker drives. The longest due comes
    /// first.
    pub(super) const DUE_LANES: &str = concat!(
        "SELECT target, lane FROM (
            SELECT target, lane, min(due) AS due FROM (
                SELECT target, lane, due_at AS due FROM rows
                WHERE kind = 1 AND NOT is_final AND due_at <= $1 AND lane IS NOT NULL
                UNION ALL SELECT target, lane, until FROM holds WHERE until <= $1
                UNION ALL SELECT target, lane, at FROM looks WHERE at <= $1) AS each
            GROUP BY target, lane) AS found
         WHERE NOT EXISTS (
            SELECT 1 FROM lanes AS driven
            WHERE driven.target = found.target AND driven.lane = found.lane
              AND driven.broker <> $3 AND driven.until > coalesce($4, ",
        server_time!(),
        "))
         ORDER BY due, target, lane LIMIT $2"
    );
    pub(super) const DUE_REQUESTS: &str =
        select_rows!("WHERE kind = 0 AND NOT is_final AND due_at <= $1 ORDER BY due_at LIMIT $2");
    pub(super) const NEXT_DUE: &str = "
        SELECT least(
            (SELECT min(due_at) FROM rows WHERE kind = 0 AND NOT is_final AND due_at IS NOT NULL),
            (SELECT min(due_at) FROM rows WHERE kind = 1 AND NOT is_final AND due_at IS NOT NULL),
            (SELECT min(until) FROM holds),
            (SELECT min(at) FROM looks))";
    /// Every lease under revocation, every other that is due, and every hold. `revoking` is the
    /// name that core gives the state.
    ///
    /// One question, so that what is seen is of one moment. A lease that ends leaves a hold: seen
    /// in two questions it could be missing from both, and what it had would work again.
    pub(super) const LANE: &str = concat!(
        "SELECT true, ",
        row_columns!(),
        ", NULL::text, NULL::text, NULL::text, NULL::uuid, NULL::bigint, NULL::bigint FROM rows
         WHERE kind = 1 AND NOT is_final AND target = $1 AND lane = $2
           AND (state = 'revoking' OR due_at <= $3)
         UNION ALL
         SELECT false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, ",
        hold_columns!(),
        " FROM holds WHERE target = $1 AND lane = $2"
    );
    pub(super) const ENTRIES: &str =
        "SELECT idx, bytes FROM entries WHERE idx >= $1 ORDER BY idx LIMIT $2";
    pub(super) const FRONTIER: &str = "SELECT frontier FROM log";
    /// In the order in which they were stored.
    pub(super) const CHECKPOINTS: &str =
        "SELECT size, note, place FROM checkpoints WHERE place > $1 ORDER BY place LIMIT $2";
}

/// Which lanes count as driven by somebody else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DrivenBy {
    /// Who asks.
    pub(crate) broker: Uuid,
    /// The time by which claims run out; the server's when there is none.
    pub(crate) now: Option<Timestamp>,
}

fn all<T>(stored: &[PgRow], read: impl Fn(&PgRow) -> Read<T>) -> Read<Vec<T>> {
    stored.iter().map(read).collect()
}

pub(crate) async fn row(pool: &PgPool, id: RowId) -> Read<Option<Row>> {
    let (kind, id) = key(id);
    let query = sqlx::query(question::ROW).bind(kind).bind(id);
    let stored = query.fetch_optional(pool).await?;
    stored.as_ref().map(columns::row).transpose()
}

pub(crate) async fn rows(pool: &PgPool, ids: &[RowId]) -> Read<Vec<Row>> {
    let (kinds, ids): (Vec<i16>, Vec<Uuid>) = ids.iter().copied().map(key).unzip();
    let query = sqlx::query(question::ROWS).bind(kinds).bind(ids);
    all(&query.fetch_all(pool).await?, columns::row)
}

pub(crate) async fn count_open(pool: &PgPool) -> Read<BTreeMap<String, u64>> {
    let stored = sqlx::query(question::COUNT_OPEN).fetch_all(pool).await?;
    let counts = all(&stored, |stored| {
        Ok((columns::string(stored, 0)?, columns::number(stored, 1)?))
    });
    Ok(counts?.into_iter().collect())
}

pub(crate) async fn leases_of(pool: &PgPool, request: RequestId) -> Read<Vec<Row>> {
    let query = sqlx::query(question::LEASES_OF).bind(request.as_uuid());
    all(&query.fetch_all(pool).await?, columns::row)
}

pub(crate) async fn leases(pool: &PgPool, filter: &LeaseFilter) -> Read<Vec<Row>> {
    use question::*;
    let limit = i64::from(filter.limit);
    // No lease has the last of all UUIDs: it does not say of which version it is.
    let below = filter
        .older_than
        .map_or_else(Uuid::max, |lease| lease.as_uuid());
    let query = |sql| sqlx::query::<sqlx::Postgres>(sql).bind(limit).bind(below);
    let query = match (&filter.job, &filter.state, filter.ended_too) {
        (None, None, false) => query(LEASES_OPEN),
        (None, None, true) => query(LEASES_ALL),
        (None, Some(state), false) => query(LEASES_IN_STATE_OPEN).bind(bound(state)),
        (None, Some(state), true) => query(LEASES_IN_STATE_ALL).bind(bound(state)),
        (Some(job), state, ended_too) => query(LEASES_OF_JOB)
            .bind(bound(job))
            .bind(ended_too)
            .bind(state.as_deref().map(bound)),
    };
    all(&query.fetch_all(pool).await?, columns::row)
}

pub(crate) async fn sheet(pool: &PgPool, name: &str) -> Read<Option<Sheet>> {
    let query = sqlx::query(question::SHEET).bind(bound(name));
    let stored = query.fetch_optional(pool).await?;
    stored.as_ref().map(columns::sheet).transpose()
}

pub(crate) async fn sheets(pool: &PgPool, prefix: &str) -> Read<Vec<Sheet>> {
    let query = sqlx::query(question::SHEETS).bind(bound(prefix));
    all(&query.fetch_all(pool).await?, columns::sheet)
}

pub(crate) async fn once(pool: &PgPool, key: &OnceKey) -> Read<Option<OnceUse>> {
    let query = sqlx::query(question::ONCE).bind(bound(&key.0));
    let stored = query.fetch_optional(pool).await?;
    stored.as_ref().map(columns::once_use).transpose()
}

pub(crate) async fn due_lanes(
    pool: &PgPool,
    now: Timestamp,
    limit: u32,
    driven: DrivenBy,
) -> Read<Vec<LaneId>> {
    let query = sqlx::query(question::DUE_LANES)
        .bind(now.as_micros())
        .bind(i64::from(limit))
        .bind(driven.broker)
        .bind(driven.now.map(Timestamp::as_micros));
    all(&query.fetch_all(pool).await?, |stored| {
        columns::lane(stored, 0)
    })
}

pub(crate) async fn due_requests(pool: &PgPool, now: Timestamp, limit: u32) -> Read<Vec<Row>> {
    let query = sqlx::query(question::DUE_REQUESTS)
        .bind(now.as_micros())
        .bind(i64::from(limit));
    all(&query.fetch_all(pool).await?, columns::row)
}

pub(crate) async fn next_due(pool: &PgPool) -> Read<Option<Timestamp>> {
    let stored = sqlx::query(question::NEXT_DUE).fetch_one(pool).await?;
    let next = columns::moment(&stored, 0)?;
    Ok(next.filter(|due| *due < Timestamp::FAR_FUTURE))
}

pub(crate) async fn lane(pool: &PgPool, lane: &LaneId, now: Timestamp) -> Read<LaneRows> {
    /// A row's columns stand behind the mark, a hold's behind those of a row.
    const ROW_AT: usize = 1;
    const HOLD_AT: usize = 14;
    let query = sqlx::query(question::LANE)
        .bind(lane.target.as_str())
        .bind(bound(&lane.name))
        .bind(now.as_micros());
    let mut seen = LaneRows::default();
    for stored in &query.fetch_all(pool).await? {
        if plain(stored, 0)? {
            seen.rows.push(columns::row_at(stored, ROW_AT)?);
        } else {
            seen.holds.push(columns::hold(stored, HOLD_AT)?);
        }
    }
    seen.rows.sort_by_key(|row| row.id);
    Ok(seen)
}

pub(crate) async fn entries(pool: &PgPool, from: u64, limit: u32) -> Read<Vec<StoredEntry>> {
    let query = sqlx::query(question::ENTRIES)
        .bind(count(from))
        .bind(i64::from(limit));
    all(&query.fetch_all(pool).await?, |stored| {
        Ok(StoredEntry {
            index: columns::number(stored, 0)?,
            bytes: plain(stored, 1)?,
        })
    })
}

pub(crate) async fn frontier(pool: &PgPool) -> Read<Frontier> {
    let stored = sqlx::query(question::FRONTIER).fetch_one(pool).await?;
    columns::frontier(&stored, 0)
}

pub(crate) async fn checkpoints(pool: &PgPool) -> Read<Vec<(u64, String)>> {
    // All of them are wanted. In pages, as a million come in no time that a question may take.
    const PAGE: usize = 10_000;
    let (mut found, mut place) = (Vec::new(), i64::MIN);
    loop {
        let page = sqlx::query(question::CHECKPOINTS).bind(place);
        let page = page.bind(count(PAGE as u64)).fetch_all(pool).await?;
        for stored in &page {
            found.push((columns::number(stored, 0)?, columns::string(stored, 1)?));
            place = plain(stored, 2)?;
        }
        if page.len() < PAGE {
            return Ok(found);
        }
    }
}
