//! What elevations met on their way, for a rehearsal to ask afterwards: of the latest leases alone,
//! and without any secret.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jitney_core::handle::Handle;

/// The leases that are remembered.
const LEASES_MAX: usize = 64;
/// What is remembered of each.
const NOTES_MAX: usize = 256;

/// Something that an elevation met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// Its account was enabled.
    Enabled,
    /// A mint was refused because the account is not enabled everywhere, in Google's words.
    NotYet(String),
    /// A token was minted.
    Minted,
    /// A grant was asked for, of so many seconds.
    Asked(u64),
    /// All grants that were asked for give.
    Given,
}

/// A note, and when it was made by a clock that nobody sets.
pub(crate) type Noted = (Duration, Note);

/// The notes of one process.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<VecDeque<(Handle, Vec<Noted>)>>);

impl Notes {
    pub(crate) fn add(&self, lease: &Handle, passed: Duration, note: Note) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|(handle, _)| handle == lease) {
            Some((_, notes)) if notes.len() < NOTES_MAX => notes.push((passed, note)),
            Some(_) => {}
            None => {
                if all.len() == LEASES_MAX {
                    all.pop_front();
                }
                all.push_back((lease.clone(), vec![(passed, note)]));
            }
        }
    }

    /// Everything that is noted of a lease, in order.
    pub(crate) fn of(&self, lease: &Handle) -> Vec<Noted> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let its = all.iter().find(|(handle, _)| handle == lease);
        its.map(|(_, notes)| notes.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn the_latest_leases_are_remembered_and_nothing_grows() {
        let handle = |number: usize| Handle::try_from(format!("{number:019}")).unwrap();
        let notes = Notes::default();
        for number in 0..LEASES_MAX + 1 {
            notes.add(&handle(number), Duration::ZERO, Note::Enabled);
        }
        assert!(notes.of(&handle(0)).is_empty());
        for _ in 0..NOTES_MAX + 10 {
            notes.add(&handle(1), Duration::ZERO, Note::Minted);
        }
        let its = notes.of(&handle(1));
        assert_eq!((its.len(), &its[0].1), (NOTES_MAX, &Note::Enabled));
        assert!(notes.of(&handle(LEASES_MAX + 1)).is_empty());
    }
}
