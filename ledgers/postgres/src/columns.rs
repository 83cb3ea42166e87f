//! How core's values stand in columns, and how they are read back. Nothing that was stored is
//! believed: what does not read back as what it should be is an error, never a default.

use jitney_core::adapter::Epoch;
use jitney_core::audit::Frontier;
use jitney_core::evidence::{Held, Hold};
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::ledger::{OnceUse, Owner, Row, RowId, Sheet};
use jitney_core::plan::LaneId;
use jitney_core::principal::{KeyThumbprint, OnceKey};
use jitney_core::time::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row as _, Type};
use uuid::Uuid;

use crate::text;

/// The columns of `rows`, in the order that [`row`] reads them.
macro_rules! row_columns {
    () => {
        "kind, id, version, state, is_final, request, target, lane, job, repository, tenant, \
         due_at, body"
    };
}
pub(crate) use row_columns;

/// The columns of `holds`, in the order that [`hold`] reads them.
macro_rules! hold_columns {
    () => {
        "target, lane, held, lease, until, issued_by"
    };
}
pub(crate) use hold_columns;

/// A request, as `kind`.
pub(crate) const REQUEST: i16 = 0;
/// A lease, as `kind`.
pub(crate) const LEASE: i16 = 1;

pub(crate) type Read<T> = Result<T, sqlx::Error>;

/// A row's kind and id.
pub(crate) const fn key(id: RowId) -> (i16, Uuid) {
    match id {
        RowId::Request(id) => (REQUEST, id.as_uuid()),
        RowId::Lease(id) => (LEASE, id.as_uuid()),
    }
}

/// The row of a kind and id.
fn row_id(kind: i16, id: Uuid) -> Read<RowId> {
    match kind {
        REQUEST => Ok(RowId::Request(RequestId::from_uuid(id))),
        LEASE => Ok(RowId::Lease(LeaseId::from_uuid(id))),
        _ => Err(wrong(format!("a row of kind {kind}"))),
    }
}

/// A number that the tree or a version counts. Beyond 63 bits nothing is ever stored, and a
/// number that large matches nothing.
pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Text, as it is bound.
pub(crate) fn bound(text: &str) -> String {
    text::stored(text).into_owned()
}

pub(crate) fn row(stored: &PgRow) -> Read<Row> {
    row_at(stored, 0)
}

/// A row whose columns begin at `at`.
pub(crate) fn row_at(stored: &PgRow, at: usize) -> Read<Row> {
    let lane: Option<String> = stored.try_get(at + 7)?;
    Ok(Row {
        id: row_id(stored.try_get(at)?, stored.try_get(at + 1)?)?,
        version: number(stored, at + 2)?,
        state: string(stored, at + 3)?,
        is_final: stored.try_get(at + 4)?,
        request: RequestId::from_uuid(stored.try_get(at + 5)?),
        lane: lane.map(|_| self::lane(stored, at + 6)).transpose()?,
        owner: Owner {
            job: string(stored, at + 8)?,
            repository: string(stored, at + 9)?,
            tenant: string(stored, at + 10)?,
        },
        due_at: moment(stored, at + 11)?,
        body: string(stored, at + 12)?,
    })
}

/// A lane whose target is in column `at` and whose name is in the next.
pub(crate) fn lane(stored: &PgRow, at: usize) -> Read<LaneId> {
    Ok(LaneId {
        target: string(stored, at)?.try_into().map_err(wrong)?,
        name: string(stored, at + 1)?,
    })
}

/// A hold whose columns begin at `at`.
pub(crate) fn hold(stored: &PgRow, at: usize) -> Read<Hold> {
    let lease: Option<Uuid> = stored.try_get(at + 3)?;
    Ok(Hold {
        lane: lane(stored, at)?,
        held: Held::try_from(string(stored, at + 2)?).map_err(wrong)?,
        lease: lease.map(LeaseId::from_uuid),
        until: Timestamp::from_micros(stored.try_get(at + 4)?),
        issued_by: moment(stored, at + 5)?,
    })
}

/// An owner whose columns begin at `at`, if there is one.
pub(crate) fn owner(stored: &PgRow, at: usize) -> Read<Option<Owner>> {
    let job: Option<String> = stored.try_get(at)?;
    let owner = job.map(|_| {
        Ok(Owner {
            job: string(stored, at)?,
            repository: string(stored, at + 1)?,
            tenant: string(stored, at + 2)?,
        })
    });
    owner.transpose()
}

/// A use of a once-key: key, bound to, asked, request, remember until.
pub(crate) fn once_use(stored: &PgRow) -> Read<OnceUse> {
    Ok(OnceUse {
        key: OnceKey(string(stored, 0)?),
        bound_to: KeyThumbprint(string(stored, 1)?),
        asked: string(stored, 2)?,
        request: RequestId::from_uuid(stored.try_get(3)?),
        remember_until: Timestamp::from_micros(stored.try_get(4)?),
    })
}

/// A sheet: name, version, body.
pub(crate) fn sheet(stored: &PgRow) -> Read<Sheet> {
    Ok(Sheet {
        name: string(stored, 0)?,
        version: number(stored, 1)?,
        body: string(stored, 2)?,
    })
}

pub(crate) fn frontier(stored: &PgRow, at: usize) -> Read<Frontier> {
    let bytes: Vec<u8> = stored.try_get(at)?;
    Frontier::from_bytes(&bytes).map_err(wrong)
}

pub(crate) fn epoch(stored: &PgRow, at: usize) -> Read<Epoch> {
    number(stored, at).map(Epoch)
}

pub(crate) fn number(stored: &PgRow, at: usize) -> Read<u64> {
    let seen: i64 = stored.try_get(at)?;
    u64::try_from(seen).map_err(|_| wrong(format!("the number {seen}")))
}

pub(crate) fn string(stored: &PgRow, at: usize) -> Read<String> {
    text::read(stored.try_get(at)?).map_err(wrong)
}

pub(crate) fn moment(stored: &PgRow, at: usize) -> Read<Option<Timestamp>> {
    let micros: Option<i64> = stored.try_get(at)?;
    Ok(micros.map(Timestamp::from_micros))
}

/// One column as it stands.
pub(crate) fn plain<'r, T>(stored: &'r PgRow, at: usize) -> Read<T>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    stored.try_get(at)
}

/// Something that was stored is not what it should be.
pub(crate) fn wrong(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
