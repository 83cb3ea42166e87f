//! What is noted and not yet merged, as this process has it in memory.

use std::collections::{BTreeMap, HashMap};

use jitney_core::id::LeaseId;
use jitney_core::ledger::{Row, RowId};
use jitney_core::spool::{Ends, Note, lease_of};

/// What was noted of one lease.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    place: u64,
    /// The lease.
    pub(crate) lease: LeaseId,
    /// What an earlier merge wrote of it.
    pub(crate) written: Option<String>,
    /// The notes, oldest first.
    pub(crate) notes: Vec<Note>,
}

/// Notes by lease, in the order in which the first of each came; and the newest row of every lease
/// of which something was noted or remembered.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    chains: BTreeMap<u64, Chain>,
    places: HashMap<LeaseId, u64>,
    places_given: u64,
    rows: BTreeMap<LeaseId, Row>,
}

impl Noted {
    /// A row of which somebody else noted the same version, or a later one, before. Two who end a
    /// lease at once must not both be told that it was them.
    pub(crate) fn conflict(&self, ends: &Ends) -> Option<RowId> {
        let rows = ends.notes.iter().map(Note::row).chain(&ends.looks);
        let comes_late = |row: &&Row| {
            let known = lease_of(row).and_then(|lease| self.rows.get(&lease));
            known.is_some_and(|known| known.version >= row.version)
        };
        rows.filter(comes_late).map(|row| row.id).next()
    }

    /// Takes notes, and remembers looks.
    pub(crate) fn note(&mut self, ends: Ends) {
        for note in ends.notes {
            let lease = note.lease();
            self.rows.insert(lease, note.row().clone());
            let place = *self.places.entry(lease).or_insert_with(|| {
                self.places_given = self.places_given.saturating_add(1);
                self.places_given
            });
            let chain = self.chains.entry(place).or_insert_with(|| Chain {
                place,
                lease,
                written: None,
                notes: Vec::new(),
            });
            chain.notes.push(note);
        }
        for row in ends.looks {
            if let Some(lease) = lease_of(&row) {
                self.rows.insert(lease, row);
            }
        }
    }

    /// How many leases have notes that are not merged.
    pub(crate) fn waiting(&self) -> usize {
        self.chains.len()
    }

    /// The first of them, at most `count`.
    pub(crate) fn first(&self, count: usize) -> Vec<Chain> {
        self.chains.values().take(count).cloned().collect()
    }

    /// These notes are merged; `written` is the row's body in the ledger, if it is one that notes
    /// may follow. What was noted since then waits for the next merge.
    pub(crate) fn merged(&mut self, merged: &Chain, written: Option<String>) {
        let Some(chain) = self.chains.get_mut(&merged.place) else {
            return;
        };
        chain
            .notes
            .drain(..merged.notes.len().min(chain.notes.len()));
        chain.written = written;
        if chain.notes.is_empty() {
            self.chains.remove(&merged.place);
            self.places.remove(&merged.lease);
            self.rows.remove(&merged.lease);
        }
    }

    /// Forgets looks at leases of which nothing is noted: the ledger is the one to ask again.
    pub(crate) fn forget_looks(&mut self) {
        let places = &self.places;
        self.rows.retain(|lease, _| places.contains_key(lease));
    }

    /// The newest row of a lease, if something was noted or remembered of it.
    pub(crate) fn row(&self, lease: LeaseId) -> Option<&Row> {
        self.rows.get(&lease)
    }

    /// The newest rows.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }
}
