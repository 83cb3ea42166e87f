//! What the ledger is asked.

use std::collections::BTreeMap;

use jitney_core::audit::Frontier;
use jitney_core::id::RequestId;
use jitney_core::ledger::{LaneRows, LeaseFilter, OnceUse, Row, RowId, Sheet, StoredEntry};
use jitney_core::plan::LaneId;
use jitney_core::principal::OnceKey;
use jitney_core::time::Timestamp;

use super::tables::Tables;

const REVOKING: &str = "revoking";

fn few(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

impl Tables {
    pub(super) fn row(&self, id: RowId) -> Option<Row> {
        self.rows.get(&id).map(|row| Row::clone(row))
    }

    fn all_leases(&self) -> impl DoubleEndedIterator<Item = &Row> {
        let rows = self.rows.values().map(|row| &**row);
        rows.filter(|row| matches!(row.id, RowId::Lease(_)))
    }

    fn open(&self) -> impl Iterator<Item = &Row> {
        self.rows().filter(|row| !row.is_final)
    }

    pub(super) fn leases_of(&self, request: RequestId) -> Vec<Row> {
        let leases = self.all_leases().filter(|row| row.request == request);
        leases.cloned().collect()
    }

    pub(super) fn leases(&self, filter: &LeaseFilter) -> Vec<Row> {
        let wanted = |row: &&Row| {
            let of_job = filter.job.as_ref().is_none_or(|job| row.owner.job == *job);
            let in_state = filter
                .state
                .as_ref()
                .is_none_or(|state| row.state == *state);
            let older = filter
                .older_than
                .is_none_or(|than| row.id < RowId::Lease(than));
            of_job && in_state && older && (filter.ended_too || !row.is_final)
        };
        let newest_first = self.all_leases().rev().filter(wanted);
        newest_first.take(few(filter.limit)).cloned().collect()
    }

    pub(super) fn sheet(&self, name: &str) -> Option<Sheet> {
        self.sheets.get(name).cloned()
    }

    pub(super) fn sheets(&self, prefix: &str) -> Vec<Sheet> {
        let sheets = self.sheets.values();
        sheets
            .filter(|sheet| sheet.name.starts_with(prefix))
            .cloned()
            .collect()
    }

    pub(super) fn once(&self, key: &OnceKey) -> Option<OnceUse> {
        self.once.get(key).cloned()
    }

    pub(super) fn due_lanes(&self, now: Timestamp, limit: u32) -> Vec<LaneId> {
        let leases = self
            .open()
            .filter_map(|row| Some((row.lane.as_ref()?, row.due_at?)));
        let holds = self.holds().map(|hold| (&hold.lane, hold.until));
        let mut first: BTreeMap<&LaneId, Timestamp> = BTreeMap::new();
        let looks = self.looks.iter().map(|(lane, at)| (lane, *at));
        for (lane, due) in leases
            .chain(holds)
            .chain(looks)
            .filter(|(_, due)| *due <= now)
        {
            let earliest = first.entry(lane).or_insert(due);
            *earliest = due.min(*earliest);
        }
        let mut lanes: Vec<(Timestamp, &LaneId)> = first.into_iter().map(|(l, d)| (d, l)).collect();
        lanes.sort();
        let lanes = lanes.into_iter().take(few(limit));
        lanes.map(|(_, lane)| lane.clone()).collect()
    }

    pub(super) fn due_requests(&self, now: Timestamp, limit: u32) -> Vec<Row> {
        let requests = self
            .open()
            .filter(|row| matches!(row.id, RowId::Request(_)));
        let due = requests.filter_map(|row| Some((row.due_at.filter(|due| *due <= now)?, row)));
        let mut due: Vec<(Timestamp, &Row)> = due.collect();
        due.sort_by_key(|(due, row)| (*due, row.id));
        due.into_iter()
            .take(few(limit))
            .map(|(_, row)| row.clone())
            .collect()
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let rows = self.open().filter_map(|row| row.due_at);
        let holds = self.holds().map(|hold| hold.until);
        let next = rows.chain(holds).chain(self.looks.values().copied()).min();
        next.filter(|due| *due < Timestamp::FAR_FUTURE)
    }

    pub(super) fn lane(&self, lane: &LaneId, now: Timestamp) -> LaneRows {
        let to_do = |row: &&Row| {
            let is_due = row.due_at.is_some_and(|due| due <= now);
            row.lane.as_ref() == Some(lane) && !row.is_final && (row.state == REVOKING || is_due)
        };
        let holds = self.holds().filter(|hold| hold.lane == *lane);
        LaneRows {
            rows: self.all_leases().filter(to_do).cloned().collect(),
            holds: holds.cloned().collect(),
        }
    }

    pub(super) fn entries(&self, from: u64, limit: u32) -> Vec<StoredEntry> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let entries = self.log().iter().zip(0_u64..).skip(from).take(few(limit));
        let stored = entries.map(|(bytes, index)| StoredEntry {
            index,
            bytes: bytes.clone(),
        });
        stored.collect()
    }

    pub(super) fn frontier(&self) -> Frontier {
        self.frontier.clone()
    }

    pub(super) fn checkpoints(&self) -> Vec<(u64, String)> {
        self.checkpoints.clone()
    }
}
