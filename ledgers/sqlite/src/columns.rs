//! How core's values stand in columns, and how they are read back. Nothing that was stored is
//! believed: what does not read back as what it should be is an error, never a default.

use jitney_core::audit::Frontier;
use jitney_core::evidence::Hold;
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::ledger::{OnceUse, Owner, Row, RowId, Sheet};
use jitney_core::plan::LaneId;
use jitney_core::principal::{KeyThumbprint, OnceKey};
use jitney_core::time::Timestamp;
use rusqlite::types::Type;
use uuid::Uuid;

/// The columns of `rows`, in the order that [`row`] reads them.
macro_rules! select_rows {
    ($rest:literal) => {
        concat!(
            "SELECT kind, id, version, state, is_final, request, target, lane, job, repository, ",
            "tenant, due_at, body FROM rows ",
            $rest
        )
    };
}
pub(crate) use select_rows;

/// A request, as `kind`.
pub(crate) const REQUEST: i64 = 0;
/// A lease, as `kind`.
pub(crate) const LEASE: i64 = 1;

type Stored<'a> = rusqlite::Row<'a>;
type Read<T> = Result<T, rusqlite::Error>;

/// A row's kind and id.
pub(crate) const fn key(id: RowId) -> (i64, [u8; 16]) {
    match id {
        RowId::Request(id) => (REQUEST, id.as_uuid().into_bytes()),
        RowId::Lease(id) => (LEASE, id.as_uuid().into_bytes()),
    }
}

/// A number that the tree or a version counts. Beyond 63 bits nothing is ever stored, and a
/// number that large matches nothing.
pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn row(stored: &Stored<'_>) -> Read<Row> {
    let kind: i64 = stored.get(0)?;
    let id = uuid(stored, 1)?;
    let lane: Option<String> = stored.get(7)?;
    Ok(Row {
        id: match kind {
            REQUEST => RowId::Request(RequestId::from_uuid(id)),
            LEASE => RowId::Lease(LeaseId::from_uuid(id)),
            _ => return Err(rusqlite::Error::IntegralValueOutOfRange(0, kind)),
        },
        version: number(stored, 2)?,
        state: stored.get(3)?,
        is_final: stored.get(4)?,
        request: RequestId::from_uuid(uuid(stored, 5)?),
        lane: lane.map(|name| lane_named(stored, 6, name)).transpose()?,
        owner: Owner {
            job: stored.get(8)?,
            repository: stored.get(9)?,
            tenant: stored.get(10)?,
        },
        due_at: stored
            .get::<_, Option<i64>>(11)?
            .map(Timestamp::from_micros),
        body: stored.get(12)?,
    })
}

/// A lane whose target is in column `at` and whose name is in the next.
pub(crate) fn lane(stored: &Stored<'_>, at: usize) -> Read<LaneId> {
    let name = stored.get(at + 1)?;
    lane_named(stored, at, name)
}

fn lane_named(stored: &Stored<'_>, at: usize, name: String) -> Read<LaneId> {
    let target: String = stored.get(at)?;
    let target = target
        .try_into()
        .map_err(|bad| wrong(at, Type::Text, bad))?;
    Ok(LaneId { target, name })
}

/// A hold: target, lane, held, lease, until, issued by.
pub(crate) fn hold(stored: &Stored<'_>) -> Read<Hold> {
    let held: String = stored.get(2)?;
    let lease: Option<[u8; 16]> = stored.get(3)?;
    Ok(Hold {
        lane: lane(stored, 0)?,
        held: held.try_into().map_err(|bad| wrong(2, Type::Text, bad))?,
        lease: lease.map(|id| LeaseId::from_uuid(Uuid::from_bytes(id))),
        until: Timestamp::from_micros(stored.get(4)?),
        issued_by: stored.get::<_, Option<i64>>(5)?.map(Timestamp::from_micros),
    })
}

/// A sheet: name, version, body.
pub(crate) fn sheet(stored: &Stored<'_>) -> Read<Sheet> {
    Ok(Sheet {
        name: stored.get(0)?,
        version: number(stored, 1)?,
        body: stored.get(2)?,
    })
}

/// A use of a once-key: key, bound to, asked, request, remember until.
pub(crate) fn once_use(stored: &Stored<'_>) -> Read<OnceUse> {
    Ok(OnceUse {
        key: OnceKey(stored.get(0)?),
        bound_to: KeyThumbprint(stored.get(1)?),
        asked: stored.get(2)?,
        request: RequestId::from_uuid(uuid(stored, 3)?),
        remember_until: Timestamp::from_micros(stored.get(4)?),
    })
}

pub(crate) fn frontier(stored: &Stored<'_>, at: usize) -> Read<Frontier> {
    let bytes: Vec<u8> = stored.get(at)?;
    Frontier::from_bytes(&bytes).map_err(|bad| wrong(at, Type::Blob, bad))
}

pub(crate) fn number(stored: &Stored<'_>, at: usize) -> Read<u64> {
    let seen: i64 = stored.get(at)?;
    u64::try_from(seen).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, seen))
}

fn uuid(stored: &Stored<'_>, at: usize) -> Read<Uuid> {
    stored.get(at).map(Uuid::from_bytes)
}

fn wrong(
    at: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, kind, Box::new(error))
}
