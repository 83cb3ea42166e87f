//! What the laws write: leases, requests, holds and entries that differ in what a law is about
//! and in nothing else.

#![expect(
    clippy::expect_used,
    reason = "the names that are parsed here are written here"
)]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jitney_core::audit::{Entry, Event};
use jitney_core::evidence::{Held, Hold};
use jitney_core::handle::Handle;
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::ledger::{
    Budget, Claim, Ledger, OnceUse, Owner, Row, RowId, Share, Sheet, SheetAt, StoredEntry,
    Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::principal::{KeyThumbprint, OnceKey};
use jitney_core::time::Timestamp;
use tokio::task::JoinSet;

use super::Broken;

/// More than any law writes.
pub(super) const ALL: u32 = 10_000;

/// So many seconds after the laws' present.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_392_000 + seconds)
}

pub(super) fn lane(name: &str) -> LaneId {
    lane_in("prod", name)
}

pub(super) fn lane_in(target: &str, name: &str) -> LaneId {
    LaneId {
        target: target.parse().expect("a target's name"),
        name: name.to_owned(),
    }
}

pub(super) fn handle(number: u32) -> Handle {
    Handle::try_from(format!("{number:019}")).expect("19 digits are a handle")
}

pub(super) fn owner(job: &str) -> Owner {
    Owner {
        job: job.to_owned(),
        repository: "repository".to_owned(),
        tenant: "tenant".to_owned(),
    }
}

/// An active lease in its first version.
pub(super) fn lease(lane: &LaneId, due_at: Timestamp) -> Row {
    Row {
        id: RowId::Lease(LeaseId::fresh()),
        version: 1,
        state: "active".to_owned(),
        is_final: false,
        request: RequestId::fresh(),
        lane: Some(lane.clone()),
        owner: owner("job"),
        due_at: Some(due_at),
        body: r#"{"state":"active"}"#.to_owned(),
    }
}

/// A pending request in its first version.
pub(super) fn request(due_at: Timestamp) -> Row {
    let request = RequestId::fresh();
    Row {
        id: RowId::Request(request),
        state: "pending".to_owned(),
        request,
        lane: None,
        ..lease(&lane("none"), due_at)
    }
}

/// The row's next version, in another state.
pub(super) fn moved(row: &Row, state: &str) -> Row {
    Row {
        version: row.version + 1,
        state: state.to_owned(),
        body: format!(r#"{{"state":"{state}"}}"#),
        ..row.clone()
    }
}

/// The row's next version, over.
pub(super) fn ended(row: &Row) -> Row {
    Row {
        is_final: true,
        due_at: None,
        ..moved(row, "ended")
    }
}

/// The id of a row that is a lease.
pub(super) fn lease_id(row: &Row) -> LeaseId {
    match row.id {
        RowId::Lease(id) => id,
        RowId::Request(id) => LeaseId::from_uuid(id.as_uuid()),
    }
}

pub(super) fn hold(lane: &LaneId, number: u32, lease: &Row, until: Timestamp) -> Hold {
    Hold {
        lane: lane.clone(),
        held: Held::Grant(handle(number)),
        lease: Some(lease_id(lease)),
        until,
        issued_by: None,
    }
}

pub(super) fn once(key: &str, request: RequestId) -> OnceUse {
    OnceUse {
        key: OnceKey(key.to_owned()),
        bound_to: KeyThumbprint(format!("thumbprint of {request}")),
        asked: format!("digest of {request}"),
        request,
        remember_until: at(600),
    }
}

pub(super) fn claim(name: &str, lease: &Row) -> Claim {
    Claim {
        name: name.to_owned(),
        lease: lease_id(lease),
    }
}

pub(super) const fn budget(share: Share, leases_max: u32) -> Budget {
    Budget { share, leases_max }
}

pub(super) fn entry(event: Event, row: &Row) -> Entry {
    Entry::new(at(0), event)
        .lease(lease_id(row))
        .field("version", row.version)
}

/// A transaction of rows and nothing else.
pub(super) fn of_rows(rows: impl IntoIterator<Item = Row>) -> Transaction {
    Transaction {
        rows: rows.into_iter().collect(),
        ..Transaction::default()
    }
}

/// A transaction of holds placed and nothing else.
pub(super) fn of_holds(holds: impl IntoIterator<Item = Hold>) -> Transaction {
    Transaction {
        holds_placed: holds.into_iter().collect(),
        ..Transaction::default()
    }
}

/// A transaction of audit entries and nothing else.
pub(super) fn of_entries(entries: impl IntoIterator<Item = Entry>) -> Transaction {
    Transaction {
        entries: entries.into_iter().collect(),
        ..Transaction::default()
    }
}

/// Every audit entry, in pages.
pub(super) async fn all_entries(ledger: &dyn Ledger) -> Result<Vec<StoredEntry>, Broken> {
    let mut entries: Vec<StoredEntry> = Vec::new();
    loop {
        let page = ledger.entries(entries.len() as u64, 1_000).await?;
        if page.is_empty() {
            return Ok(entries);
        }
        entries.extend(page);
    }
}

/// Runs `count` of something at once and gives all that came of it.
pub(super) async fn crowd<T, F>(
    ledger: &Arc<dyn Ledger>,
    count: u32,
    each: impl Fn(Arc<dyn Ledger>, u32) -> F,
) -> Result<Vec<T>, Broken>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 0..count {
        tasks.spawn(each(Arc::clone(ledger), number));
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.push(done.map_err(|error| Broken::because(format!("a caller broke: {error}")))?);
    }
    Ok(all)
}

/// A little while, different for each number.
pub(super) const fn moment(number: u32) -> Duration {
    Duration::from_micros(number as u64 * 37 % 1_500)
}

/// A watermark, which comes from no lease.
pub(super) fn watermark(lane: &LaneId, issued_before: Timestamp, until: Timestamp) -> Hold {
    Hold {
        lane: lane.clone(),
        held: Held::IssuedBefore(issued_before),
        lease: None,
        until,
        issued_by: Some(issued_before),
    }
}

pub(super) fn sheet(name: &str, version: u64) -> Sheet {
    Sheet {
        name: name.to_owned(),
        version,
        body: format!("{{\"version\":{version}}}"),
    }
}

pub(super) fn sheet_at(name: &str, version: u64) -> SheetAt {
    SheetAt {
        name: name.to_owned(),
        version,
    }
}

/// An entry about nothing.
pub(super) fn entry_at(micros: u64) -> Entry {
    let at = i64::try_from(micros).map_or(Timestamp::default(), Timestamp::from_micros);
    Entry::new(at, Event::BrokerStarted)
}
