//! What may be noted elsewhere while the ledger cannot be written: that leases end.
//!
//! A recorded intent is permission to revoke for ever, so an end need not wait for the ledger's
//! disk. Everything else must: what is noted here can only take back. This is the pure part, what
//! may be noted and what becomes of it; whoever keeps a spool writes the notes down and merges
//! them before the ledger is given anything else.
//!
//! - A lease that has *ended* is not noted. That nothing is left of it is said by the ledger or
//!   not at all, and until then it is looked at again.
//! - A repeated look changes nothing that an auditor asks about. It is only remembered: who
//!   forgets it looks again sooner. So a lease takes up room once for its end and once for what
//!   was written, however long the ledger is away.

mod codec;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::BTreeMap;

pub use codec::NotANote;

use crate::audit::{Entry, Event};
use crate::books::{State, read_lease};
use crate::id::LeaseId;
use crate::lease::{Lease, Revoking};
use crate::ledger::{Row, RowId, Transaction};
use crate::time::Timestamp;

/// The state's name in a row's column.
const REVOKING: &str = "revoking";

/// That a lease is under revocation, with what the audit log is to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    lease: LeaseId,
    row: Row,
    state: Box<Revoking>,
    entries: Vec<Entry>,
}

impl Note {
    /// The lease.
    #[must_use]
    pub const fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Its row, as the ledger was to store it.
    #[must_use]
    pub const fn row(&self) -> &Row {
        &self.row
    }

    /// What the audit log is to say of it.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether it says that the lease ends, and not only what became of that.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.state.attempts() == 0
    }

    /// Reads a lease under revocation from what its row says. Nothing when it is in another state:
    /// such a row cannot become a note.
    fn of(version: u64, body: &str, entries: Vec<Entry>) -> Option<Self> {
        let Ok(Lease::Revoking(state)) = read_lease(body) else {
            return None;
        };
        let lease = state.terms().id;
        // Silence does not matter: only an active lease falls due by it.
        let row = State::row(&state, version, Duration::ZERO);
        let row = Row {
            body: body.to_owned(),
            ..row.ok()?
        };
        Some(Self {
            lease,
            row,
            state: Box::new(state),
            entries,
        })
    }
}

/// A transaction that does nothing but end leases, or go on ending them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends {
    /// What must be written down.
    pub notes: Vec<Note>,
    /// Repeated looks, which need only be remembered.
    pub looks: Vec<Row>,
}

/// Whether a transaction may be one that only ends leases, as far as it can be told without
/// reading what its rows say.
#[must_use]
pub fn may_only_end(transaction: &Transaction) -> bool {
    // Taken apart in full: whoever adds a part to transactions must say here whether it may wait.
    let Transaction {
        rows,
        once,
        claims,
        claims_released,
        holds_placed,
        holds_dropped,
        budgets,
        // Not looked at. A hand that has lost its lane can by then only have added to what is
        // denied there, and the versions decide when the note is merged.
        fences: _,
        sheets,
        sheets_unchanged,
        // Not moved. A look that stays where it was only comes too early.
        looks: _,
        epochs_raised,
        entries: _,
    } = transaction;
    let nothing_else = once.is_empty()
        && claims.is_empty()
        && claims_released.is_empty()
        && holds_placed.is_empty()
        && holds_dropped.is_empty()
        && budgets.is_empty()
        && sheets.is_empty()
        && sheets_unchanged.is_empty()
        && epochs_raised.is_empty();
    let is_ending = |row: &Row| lease_of(row).is_some() && row.state == REVOKING;
    !rows.is_empty() && nothing_else && rows.iter().all(is_ending)
}

/// Takes a transaction for what it ends. Nothing when it does anything else: gives, prolongs,
/// closes, declares over, uses up, or drops what must stay in force.
#[must_use]
pub fn ends_only(transaction: &Transaction) -> Option<Ends> {
    if !may_only_end(transaction) {
        return None;
    }
    let Transaction { rows, entries, .. } = transaction;
    let mut told = BTreeMap::<LeaseId, Vec<Entry>>::new();
    for entry in entries {
        told.entry(entry.lease_id()?)
            .or_default()
            .push(entry.clone());
    }
    let mut ends = Ends::default();
    for row in rows {
        let note = Note::of(row.version, &row.body, Vec::new())?;
        // The columns must say what the body says, or the row would be found as something else.
        if note.row != *row {
            return None;
        }
        match told.remove(&note.lease) {
            Some(entries) => ends.notes.push(Note { entries, ..note }),
            // An end that the audit log is not told of is none of ours.
            None if note.is_end() => return None,
            None => ends.looks.push(note.row),
        }
    }
    told.is_empty().then_some(ends)
}

/// What becomes of what was noted of one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merging {
    /// The ledger has it already: a commit whose outcome was not known took place.
    There,
    /// It must be written.
    Write {
        /// The row, in the version after the stored one.
        row: Row,
        /// What the audit log is to say.
        entries: Vec<Entry>,
    },
    /// Somebody else ended the lease meanwhile, or went on from what was noted. The entry says so.
    PassedOver(Entry),
}

/// What is to be written of a lease, given what the ledger stores of it now. `notes` is all that
/// was noted of it, in order; `written` is the body that an earlier merge wrote, if one did.
/// Nothing when there are no notes.
#[must_use]
pub fn merge(
    stored: Option<&Row>,
    written: Option<&str>,
    notes: &[Note],
    now: Timestamp,
) -> Option<Merging> {
    let newest = notes.last()?;
    let Some(stored) = stored else {
        // The ledger has lost even the intent. What may be there is taken back all the same.
        return newest.written(1, newest.state.as_ref().clone(), entries(notes));
    };
    let (lands_by, exposed_until, new) = match read_lease(&stored.body) {
        Ok(Lease::Elevating(lease)) => (lease.lands_by, lease.exposed_until, notes),
        Ok(Lease::Active(lease)) => (lease.lands_by, lease.exposed_until, notes),
        Ok(Lease::Revoking(lease)) => match missing(stored, written, notes) {
            Some(new) => (lease.lands_by, lease.exposed_until, new),
            None => return Some(newest.passed_over(stored, now)),
        },
        Ok(Lease::Ended(_)) | Err(_) => return Some(newest.passed_over(stored, now)),
    };
    if new.is_empty() {
        return Some(Merging::There);
    }
    let version = stored.version.saturating_add(1);
    let state = newest.raised(lands_by, exposed_until);
    newest.written(version, state, entries(new))
}

/// Which notes a lease under revocation has not seen yet; nothing when it is not where the notes
/// or an earlier merge have left it, nor where they began.
fn missing<'a>(stored: &Row, written: Option<&str>, notes: &'a [Note]) -> Option<&'a [Note]> {
    let is_stored = |note: &Note| note.row.body == stored.body;
    if let Some(place) = notes.iter().rposition(is_stored) {
        return Some(notes.split_at(place.saturating_add(1)).1);
    }
    // The ledger took the end, and what became of it was noted.
    let came_before = notes
        .first()
        .is_some_and(|first| stored.version < first.row.version);
    (came_before || written == Some(stored.body.as_str())).then_some(notes)
}

fn entries(notes: &[Note]) -> Vec<Entry> {
    notes.iter().flat_map(|note| note.entries.clone()).collect()
}

impl Note {
    fn written(&self, version: u64, state: Revoking, entries: Vec<Entry>) -> Option<Merging> {
        let row = if state == *self.state {
            let row = self.row.clone();
            Row { version, ..row }
        } else {
            State::row(&state, version, Duration::ZERO).ok()?
        };
        Some(Merging::Write { row, entries })
    }

    /// The state with at least this exposure. A renewal that another broker recorded in the
    /// meantime must not be forgotten: its credential would outlive the hold.
    fn raised(&self, lands_by: Timestamp, exposed_until: Timestamp) -> Revoking {
        let state = self.state.as_ref().clone();
        if lands_by <= state.lands_by && exposed_until <= state.exposed_until {
            return state;
        }
        let exposed_until = exposed_until.max(state.exposed_until);
        Revoking {
            lands_by: lands_by.max(state.lands_by),
            // What was minted meanwhile was issued later than what was noted.
            issued_by: lands_by.max(state.issued_by),
            exposed_until,
            told_exposed_until: exposed_until,
            written_at: None,
            ..state
        }
    }

    fn passed_over(&self, stored: &Row, now: Timestamp) -> Merging {
        let entry = Entry::new(now, Event::SpoolPassedOver)
            .request(self.row.request)
            .lease(self.lease)
            .field("why", self.state.why().as_str())
            .field("since", self.state.since())
            .field("found", &stored.state)
            .field("found_version", stored.version);
        Merging::PassedOver(entry)
    }
}

/// A lease's row as whoever reads it should see it: what was noted, unless the ledger knows of
/// more. Its version lies above the stored one, so that the next step can follow on it.
#[must_use]
pub fn shown(stored: Option<Row>, noted: &Row) -> Row {
    let Some(stored) = stored else {
        return noted.clone();
    };
    let both_revoke = stored.state == noted.state;
    if stored.is_final || (both_revoke && stored.version > noted.version) {
        return stored;
    }
    let least = if both_revoke {
        stored.version
    } else {
        stored.version.saturating_add(1)
    };
    Row {
        version: noted.version.max(least),
        ..noted.clone()
    }
}

/// Whether a row is a lease's and not another thing's.
#[must_use]
pub const fn lease_of(row: &Row) -> Option<LeaseId> {
    match row.id {
        RowId::Lease(lease) => Some(lease),
        RowId::Request(_) => None,
    }
}
