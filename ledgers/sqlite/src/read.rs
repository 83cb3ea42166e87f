//! What can be asked. Every question finds its answer by an index: a test asks SQLite how it
//! would go about each of them.

use jitney_core::audit::Frontier;
use jitney_core::evidence::Hold;
use jitney_core::id::RequestId;
use jitney_core::ledger::{LaneRows, LeaseFilter, OnceUse, Row, RowId, Sheet, StoredEntry};
use jitney_core::plan::LaneId;
use jitney_core::principal::OnceKey;
use jitney_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Params};

use crate::columns::{self, count, key, select_rows};

type Read<T> = Result<T, rusqlite::Error>;

/// The questions, as they are put to SQLite. An index is named where SQLite, which knows nothing
/// of how few rows are open among all that ever were, might choose another.
mod question {
    use super::select_rows;

    pub(super) const ROW: &str = select_rows!("WHERE kind = ?1 AND id = ?2");
    pub(super) const LEASES_OF: &str =
        select_rows!("INDEXED BY lease_request WHERE kind = 1 AND request = ?1 ORDER BY id");
    pub(super) const LEASES_OPEN: &str = select_rows!(
        "INDEXED BY lease_open
         WHERE kind = 1 AND is_final = 0 AND id < ?2 ORDER BY id DESC LIMIT ?1"
    );
    /// Out of the index alone: no lease is read.
    pub(super) const COUNT_OPEN: &str = "
        SELECT state, count(*) FROM rows INDEXED BY lease_state
        WHERE kind = 1 AND is_final = 0 GROUP BY state";
    pub(super) const LEASES_ALL: &str =
        select_rows!("WHERE kind = 1 AND id < ?2 ORDER BY id DESC LIMIT ?1");
    /// No state but the final one is kept by ended leases, so nobody asks for them by it.
    pub(super) const LEASES_IN_STATE: &str = select_rows!(
        "INDEXED BY lease_state
         WHERE kind = 1 AND is_final = 0 AND state = ?3 AND id < ?2 ORDER BY id DESC LIMIT ?1"
    );
    pub(super) const LEASES_OF_JOB_OPEN: &str = select_rows!(
        "INDEXED BY lease_job
         WHERE kind = 1 AND is_final = 0 AND job = ?3 AND id < ?2 ORDER BY id DESC LIMIT ?1"
    );
    pub(super) const LEASES_OF_JOB_ALL: &str = select_rows!(
        "INDEXED BY lease_job WHERE kind = 1 AND job = ?3 AND id < ?2 ORDER BY id DESC LIMIT ?1"
    );
    pub(super) const SHEET: &str = "SELECT name, version, body FROM sheets WHERE name = ?1";
    /// Those that begin with ?1, and so lie before ?2.
    pub(super) const SHEETS: &str =
        "SELECT name, version, body FROM sheets WHERE name >= ?1 AND name < ?2 ORDER BY name";
    pub(super) const ONCE: &str =
        "SELECT key, bound_to, asked, request, remember_until FROM once WHERE key = ?1";
    /// The lanes of due leases, holds and looks. The longest due comes first.
    pub(super) const DUE_LANES: &str = "
        SELECT target, lane, min(due) AS due FROM (
            SELECT target, lane, due_at AS due FROM rows INDEXED BY lease_due
            WHERE kind = 1 AND is_final = 0 AND due_at <= ?1 AND lane IS NOT NULL
            UNION ALL
            SELECT target, lane, until FROM holds INDEXED BY hold_due WHERE until <= ?1
            UNION ALL
            SELECT target, lane, at FROM looks INDEXED BY look_due WHERE at <= ?1)
        GROUP BY target, lane ORDER BY due, target, lane LIMIT ?2";
    pub(super) const DUE_REQUESTS: &str = select_rows!(
        "INDEXED BY request_due
         WHERE kind = 0 AND is_final = 0 AND due_at <= ?1 ORDER BY due_at LIMIT ?2"
    );
    pub(super) const NEXT_DUE: [&str; 4] = [
        "SELECT min(due_at) FROM rows INDEXED BY request_due
         WHERE kind = 0 AND is_final = 0 AND due_at IS NOT NULL",
        "SELECT min(due_at) FROM rows INDEXED BY lease_due
         WHERE kind = 1 AND is_final = 0 AND due_at IS NOT NULL",
        "SELECT min(until) FROM holds INDEXED BY hold_due",
        "SELECT min(at) FROM looks INDEXED BY look_due",
    ];
    /// Every lease under revocation, and every other that is due. `revoking` is the name that
    /// core gives the state.
    pub(super) const LANE_LEASES: &str = select_rows!(
        "INDEXED BY lease_lane
         WHERE kind = 1 AND is_final = 0 AND target = ?1 AND lane = ?2
           AND (state = 'revoking' OR due_at <= ?3)
         ORDER BY id"
    );
    pub(super) const LANE_HOLDS: &str = "
        SELECT target, lane, held, lease, until, issued_by FROM holds
        WHERE target = ?1 AND lane = ?2";
    pub(super) const ENTRIES: &str =
        "SELECT idx, bytes FROM entries WHERE idx >= ?1 ORDER BY idx LIMIT ?2";
    pub(super) const FRONTIER: &str = "SELECT frontier FROM log WHERE one = 1";
    /// In the order in which they were stored. There is no other way than to read them all.
    pub(super) const CHECKPOINTS: &str = "SELECT size, note FROM checkpoints ORDER BY place";
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: fn(&rusqlite::Row<'_>) -> Read<T>,
) -> Read<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(values, read)?;
    found.collect()
}

pub(crate) fn row(connection: &Connection, id: RowId) -> Read<Option<Row>> {
    let mut statement = connection.prepare_cached(question::ROW)?;
    statement.query_row(key(id), columns::row).optional()
}

pub(crate) fn rows(connection: &Connection, ids: &[RowId]) -> Read<Vec<Row>> {
    let found = ids.iter().map(|id| row(connection, *id));
    found.filter_map(Result::transpose).collect()
}

pub(crate) fn leases_of(connection: &Connection, request: RequestId) -> Read<Vec<Row>> {
    let request = request.as_uuid().into_bytes();
    all(connection, question::LEASES_OF, [request], columns::row)
}

pub(crate) fn count_open(connection: &Connection) -> Read<Vec<(String, u64)>> {
    all(connection, question::COUNT_OPEN, [], |row| {
        let count: i64 = row.get(1)?;
        Ok((row.get(0)?, u64::try_from(count).unwrap_or_default()))
    })
}

pub(crate) fn leases(connection: &Connection, filter: &LeaseFilter) -> Read<Vec<Row>> {
    use question::*;
    // Above every id, when there is no page before this one.
    let below = filter
        .older_than
        .map_or([0xff; 17].to_vec(), |id| id.as_uuid().into_bytes().to_vec());
    let page = (filter.limit, below);
    let (sql, word) = match (&filter.job, &filter.state, filter.ended_too) {
        (None, None, false) => return all(connection, LEASES_OPEN, page, columns::row),
        (None, None, true) => return all(connection, LEASES_ALL, page, columns::row),
        (None, Some(state), _) => (LEASES_IN_STATE, state),
        (Some(job), _, false) => (LEASES_OF_JOB_OPEN, job),
        (Some(job), _, true) => (LEASES_OF_JOB_ALL, job),
    };
    let values = (page.0, page.1, word.as_str());
    let mut found = all(connection, sql, values, columns::row)?;
    if let Some(state) = &filter.state {
        found.retain(|row| row.state == *state);
    }
    Ok(found)
}

pub(crate) fn sheet(connection: &Connection, name: &str) -> Read<Option<Sheet>> {
    let mut statement = connection.prepare_cached(question::SHEET)?;
    statement.query_row([name], columns::sheet).optional()
}

pub(crate) fn sheets(connection: &Connection, prefix: &str) -> Read<Vec<Sheet>> {
    let beyond = format!("{prefix}\u{10ffff}");
    all(
        connection,
        question::SHEETS,
        (prefix, beyond),
        columns::sheet,
    )
}

pub(crate) fn once(connection: &Connection, key: &OnceKey) -> Read<Option<OnceUse>> {
    let mut statement = connection.prepare_cached(question::ONCE)?;
    statement
        .query_row([key.0.as_str()], columns::once_use)
        .optional()
}

pub(crate) fn due_lanes(connection: &Connection, now: Timestamp, limit: u32) -> Read<Vec<LaneId>> {
    let values = (now.as_micros(), limit);
    all(connection, question::DUE_LANES, values, |stored| {
        columns::lane(stored, 0)
    })
}

pub(crate) fn due_requests(connection: &Connection, now: Timestamp, limit: u32) -> Read<Vec<Row>> {
    let values = (now.as_micros(), limit);
    all(connection, question::DUE_REQUESTS, values, columns::row)
}

pub(crate) fn next_due(connection: &Connection) -> Read<Option<Timestamp>> {
    let mut next: Option<i64> = None;
    for sql in question::NEXT_DUE {
        let due: Option<i64> = connection
            .prepare_cached(sql)?
            .query_row([], |row| row.get(0))?;
        next = due.into_iter().chain(next).min();
    }
    let next = next.map(Timestamp::from_micros);
    Ok(next.filter(|due| *due < Timestamp::FAR_FUTURE))
}

pub(crate) fn lane(connection: &Connection, lane: &LaneId, now: Timestamp) -> Read<LaneRows> {
    let (target, name) = (lane.target.as_str(), lane.name.as_str());
    let leases = (target, name, now.as_micros());
    Ok(LaneRows {
        rows: all(connection, question::LANE_LEASES, leases, columns::row)?,
        holds: all::<Hold>(
            connection,
            question::LANE_HOLDS,
            (target, name),
            columns::hold,
        )?,
    })
}

pub(crate) fn entries(connection: &Connection, from: u64, limit: u32) -> Read<Vec<StoredEntry>> {
    all(
        connection,
        question::ENTRIES,
        (count(from), limit),
        |stored| {
            Ok(StoredEntry {
                index: columns::number(stored, 0)?,
                bytes: stored.get(1)?,
            })
        },
    )
}

pub(crate) fn frontier(connection: &Connection) -> Read<Frontier> {
    let mut statement = connection.prepare_cached(question::FRONTIER)?;
    statement.query_row([], |stored| columns::frontier(stored, 0))
}

pub(crate) fn checkpoints(connection: &Connection) -> Read<Vec<(u64, String)>> {
    all(connection, question::CHECKPOINTS, [], |stored| {
        Ok((columns::number(stored, 0)?, stored.get(1)?))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::schema::{STEPS, migrate};
    use rusqlite::{OpenFlags, StatementStatus};

    /// How SQLite would go about a question, one line per step.
    fn plan(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        for parameter in 1..=statement.parameter_count() {
            statement.raw_bind_parameter(parameter, 1).unwrap();
        }
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get(3).unwrap());
        }
        steps
    }

    fn empty() -> Connection {
        let mut connection =
            crate::open::connect(":memory:".as_ref(), OpenFlags::default()).unwrap();
        migrate(&mut connection, STEPS).unwrap();
        connection
    }

    /// With `next_due` or `due_lanes` on a scan, a broker with a long past would spend its time
    /// reading leases that ended years ago.
    #[test]
    fn every_question_is_answered_from_the_index_made_for_it() {
        use question::*;
        let connection = empty();
        let [next_request, next_lease, next_hold, next_look] = NEXT_DUE;
        let indexed: [(&str, &[&str]); 20] = [
            (ROW, &["sqlite_autoindex_rows_1 (kind=? AND id=?)"]),
            (LEASES_OF, &["lease_request (request=?)"]),
            (LEASES_OPEN, &["lease_open (id<?)"]),
            (LEASES_ALL, &["sqlite_autoindex_rows_1 (kind=? AND id<?)"]),
            (LEASES_IN_STATE, &["lease_state (state=? AND id<?)"]),
            (LEASES_OF_JOB_OPEN, &["lease_job (job=? AND id<?)"]),
            (LEASES_OF_JOB_ALL, &["lease_job (job=? AND id<?)"]),
            (SHEET, &["PRIMARY KEY (name=?)"]),
            (SHEETS, &["PRIMARY KEY (name>? AND name<?)"]),
            (ONCE, &["PRIMARY KEY (key=?)"]),
            (
                DUE_LANES,
                &[
                    "lease_due (due_at<?)",
                    "hold_due (until<?)",
                    "look_due (at<?)",
                ],
            ),
            (DUE_REQUESTS, &["request_due (due_at<?)"]),
            (next_request, &["request_due (due_at>?)"]),
            (next_lease, &["lease_due (due_at>?)"]),
            (next_hold, &["hold_due"]),
            (next_look, &["look_due"]),
            (LANE_LEASES, &["lease_lane (target=? AND lane=?)"]),
            (LANE_HOLDS, &["PRIMARY KEY (target=? AND lane=?)"]),
            (ENTRIES, &["INTEGER PRIMARY KEY (rowid>?)"]),
            (FRONTIER, &["INTEGER PRIMARY KEY (rowid=?)"]),
        ];
        for (sql, indexes) in indexed {
            let steps = plan(&connection, sql);
            for index in indexes {
                let by_it = |step: &String| step.ends_with(index);
                assert!(steps.iter().any(by_it), "{sql}: {steps:?}");
            }
            // A whole table is read by none of them; `lease_open` has nothing but open leases.
            let scans = |step: &String| {
                step.starts_with("SCAN")
                    && !step.contains("subquery")
                    && !step.ends_with("lease_open")
            };
            assert!(!steps.iter().any(scans), "{sql}: {steps:?}");
        }
        let steps = plan(&connection, COUNT_OPEN);
        assert_eq!(steps, ["SCAN rows USING COVERING INDEX lease_state"]);
        // The check can tell: this one has no other way.
        let steps = plan(&connection, CHECKPOINTS);
        assert!(
            steps.iter().any(|step| step == "SCAN checkpoints"),
            "{steps:?}"
        );
    }

    /// The driver asks what is due many times a second, at another moment each time.
    #[test]
    fn no_question_is_planned_anew_for_another_moment() {
        let connection = empty();
        let mut statement = connection.prepare(question::DUE_LANES).unwrap();
        for now in 1..4 {
            let found: Vec<LaneId> = statement
                .query_map((now, 10), |row| columns::lane(row, 0))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert!(found.is_empty());
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }

    #[test]
    fn what_is_asked_in_an_order_is_found_in_it() {
        use question::*;
        let connection = empty();
        let in_order = [
            LEASES_OPEN,
            LEASES_ALL,
            LEASES_OF_JOB_ALL,
            DUE_REQUESTS,
            ENTRIES,
        ];
        for sql in in_order {
            let steps = plan(&connection, sql);
            let sorts = |step: &String| step.contains("TEMP B-TREE");
            assert!(!steps.iter().any(sorts), "{sql}: {steps:?}");
        }
    }
}
