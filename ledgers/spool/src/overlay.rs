//! What is noted, laid over what the ledger says.

use std::collections::BTreeSet;

use jitney_core::ledger::{LeaseFilter, Row, RowId};
use jitney_core::plan::LaneId;
use jitney_core::spool::{lease_of, shown};
use jitney_core::time::Timestamp;

use crate::noted::Noted;

impl Noted {
    /// A row of the ledger as it should be seen.
    pub(crate) fn over(&self, stored: Row) -> Row {
        match lease_of(&stored).and_then(|lease| self.row(lease)) {
            Some(noted) => shown(Some(stored), noted),
            None => stored,
        }
    }

    /// The same for a row that may not be there.
    pub(crate) fn over_one(&self, id: RowId, stored: Option<Row>) -> Option<Row> {
        let noted = match id {
            RowId::Lease(lease) => self.row(lease),
            RowId::Request(_) => None,
        };
        match noted {
            Some(noted) => Some(shown(stored, noted)),
            None => stored,
        }
    }

    /// Rows of the ledger, and those noted ones that belong among them and are not there.
    pub(crate) fn over_all(&self, stored: Vec<Row>, belongs: impl Fn(&Row) -> bool) -> Vec<Row> {
        let there: BTreeSet<RowId> = stored.iter().map(|row| row.id).collect();
        let missing = self.rows().filter(|row| !there.contains(&row.id)).cloned();
        let mut rows: Vec<Row> = stored.into_iter().map(|row| self.over(row)).collect();
        rows.extend(missing);
        rows.retain(belongs);
        rows
    }

    /// The page of leases that `filter` asks for, out of a page that is longer by
    /// [`over_page_by`](Self::over_page_by): what is noted may take leases out of it.
    pub(crate) fn over_page(&self, stored: Vec<Row>, filter: &LeaseFilter) -> Vec<Row> {
        let mut rows = self.over_all(stored, |row| belongs(row, filter));
        rows.sort_by_key(|row| core::cmp::Reverse(row.id));
        rows.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
        rows
    }

    /// How much longer a page must be asked for.
    pub(crate) fn over_page_by(&self) -> u32 {
        u32::try_from(self.rows().count()).unwrap_or(u32::MAX)
    }

    /// Adds the lanes in which something noted is due.
    pub(crate) fn add_due(&self, lanes: &mut Vec<LaneId>, now: Timestamp) {
        let mut known: BTreeSet<LaneId> = lanes.iter().cloned().collect();
        let due = self
            .rows()
            .filter(|row| row.due_at.is_some_and(|due| due <= now));
        for lane in due.filter_map(|row| row.lane.as_ref()) {
            if known.insert(lane.clone()) {
                lanes.push(lane.clone());
            }
        }
    }

    /// When the next noted lease is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.rows().filter_map(|row| row.due_at).min()
    }
}

fn belongs(row: &Row, filter: &LeaseFilter) -> bool {
    let LeaseFilter {
        ended_too,
        job,
        state,
        older_than,
        limit: _,
    } = filter;
    (*ended_too || !row.is_final)
        && job.as_ref().is_none_or(|job| row.owner.job == *job)
        && state.as_ref().is_none_or(|state| row.state == *state)
        && older_than.is_none_or(|oldest| lease_of(row).is_some_and(|lease| lease < oldest))
}
