//! Under which name a role's list is written, and since when it stands.
//!
//! A write whose answer was lost may land minutes later and replace whatever stands under its
//! name by then. So a pen remembers what may still be on its way, and takes a new name as soon as
//! that would be less than what is wanted. What lands under the old name can then only add Denies.
//!
//! A pen lives in memory. Forgetting it costs a new name, never a Deny.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jitney_core::adapter::Epoch;
use jitney_core::evidence::Held;
use jitney_core::time::Timestamp;

use crate::deny_list::Denied;
use crate::list_name::ListName;

/// The lists of this installation on a role, as they were found. A list that cannot be read as
/// one of ours denies nothing that could be relied on.
pub(crate) type Lists = BTreeMap<ListName, Denied>;

/// What one hand remembers of the list it writes on one role.
#[derive(Debug, Default)]
pub struct Pen {
    name: Option<ListName>,
    /// What may still land under that name: of several writes, what they have in common.
    in_flight: Option<Denied>,
    /// Since when the list under that name has held everything older lists must not lose.
    stands_since: Option<Duration>,
    /// What was last read back under that name, and since when each entry was found there at every
    /// look. By the clock of this process, which nobody sets: two brokers' wall clocks may be
    /// minutes apart, and what one wrote another must not call settled at once.
    last_read: BTreeMap<Held, Duration>,
    /// When the role's policies were last changed by us.
    pub(crate) last_write: Option<Duration>,
}

impl Pen {
    /// The name to write `wanted` under, as the hand with this epoch.
    pub(crate) fn name(
        &mut self,
        epoch: Epoch,
        lists: &Lists,
        wanted: &Denied,
        now: Timestamp,
    ) -> ListName {
        let harmless = |ghost: &Denied| ghost.is_superset(wanted);
        match self.name {
            Some(name) if name.epoch == epoch && self.in_flight.as_ref().is_none_or(harmless) => {
                name
            }
            previous => {
                let known = lists.keys().copied().chain(previous);
                let last = known.filter(|name| name.epoch == epoch).max();
                let after = last.map_or(0, |name| name.stamp.saturating_add(1));
                let stamp = u64::try_from(now.as_micros()).unwrap_or(0).max(after);
                let name = ListName { epoch, stamp };
                let last_write = self.last_write;
                *self = Self {
                    name: Some(name),
                    last_write,
                    ..Self::default()
                };
                name
            }
        }
    }

    /// The name in use, if any.
    pub(crate) const fn current(&self) -> Option<ListName> {
        self.name
    }

    /// A write is about to be sent. Noted before, so that a call nobody waits for to the end
    /// counts as one without an answer.
    pub(crate) fn sending(&mut self, written: &Denied, passed: Duration) -> Sending {
        let before = self.in_flight.take();
        self.in_flight = Some(match &before {
            Some(ghost) => ghost.intersection(written).cloned().collect(),
            None => written.clone(),
        });
        self.last_write = Some(passed);
        Sending(before)
    }

    /// The write was answered: it happened, or it never will.
    pub(crate) fn answered(&mut self, Sending(before): Sending) {
        self.in_flight = before;
    }

    /// The list was read back; `keeps_all` tells whether it has everything that older lists must
    /// not lose.
    pub(crate) fn read(&mut self, list: &Denied, keeps_all: bool, passed: Duration) {
        let known = std::mem::take(&mut self.last_read);
        let since = |held: &Held| known.get(held).copied().unwrap_or(passed);
        self.last_read = list
            .iter()
            .map(|held| (held.clone(), since(held)))
            .collect();
        self.stands_since = keeps_all.then(|| self.stands_since.unwrap_or(passed));
    }

    /// What was last read back.
    pub(crate) fn last_read(&self) -> impl Iterator<Item = &Held> {
        self.last_read.keys()
    }

    /// How long each entry that was last read back has stood, as far as this process has seen.
    pub(crate) fn stood(&self, passed: Duration) -> Stood {
        let stood =
            |(held, since): (&Held, &Duration)| (held.clone(), passed.saturating_sub(*since));
        self.last_read.iter().map(stood).collect()
    }

    /// Since when the list has held everything.
    pub(crate) const fn stands_since(&self) -> Option<Duration> {
        self.stands_since
    }
}

/// What stands on a role, and for how long this process has seen it stand.
pub(crate) type Stood = BTreeMap<Held, Duration>;

/// A write on its way.
#[must_use = "a write that is never answered makes its name unusable"]
pub(crate) struct Sending(Option<Denied>);

/// The pens of a target, one for each role.
#[derive(Debug, Default)]
pub(crate) struct Pens(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Pen>>>>);

impl Pens {
    /// The pen of a role. One call at a time holds it.
    pub(crate) fn of(&self, role: &str) -> Arc<tokio::sync::Mutex<Pen>> {
        let mut pens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(pens.entry(role.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use jitney_core::handle::Handle;

    const NOW: Timestamp = Timestamp::from_micros(1_000);
    const SOON: Duration = Duration::from_secs(1);

    fn handles(numbers: &[u64]) -> Denied {
        let handle = |number: &u64| Held::Grant(Handle::try_from(format!("{number:019}")).unwrap());
        numbers.iter().map(handle).collect()
    }

    fn named(pen: &mut Pen, wanted: &[u64]) -> ListName {
        pen.name(Epoch(1), &Lists::new(), &handles(wanted), NOW)
    }

    #[test]
    fn a_name_is_kept_while_every_write_was_answered() {
        let mut pen = Pen::default();
        let name = named(&mut pen, &[1]);
        let sending = pen.sending(&handles(&[1]), SOON);
        pen.answered(sending);
        assert_eq!(named(&mut pen, &[1, 2]), name);
        assert_eq!(named(&mut pen, &[2]), name);
    }

    #[test]
    fn a_lost_write_takes_its_name_with_it_unless_it_could_only_add() {
        let mut pen = Pen::default();
        let name = named(&mut pen, &[1, 2]);
        let _ = pen.sending(&handles(&[1, 2]), SOON);
        // Should {1,2} land over {1}, nothing is lost.
        assert_eq!(named(&mut pen, &[1]), name);
        // Should it land over {1,3}, the Deny on 3 would be lost.
        let next = named(&mut pen, &[1, 3]);
        assert!(next > name);
        // The new name is clean.
        assert_eq!(named(&mut pen, &[4]), next);
    }

    #[test]
    fn of_several_lost_writes_the_least_counts() {
        let mut pen = Pen::default();
        let name = named(&mut pen, &[1, 2]);
        let _ = pen.sending(&handles(&[1, 2]), SOON);
        let _ = pen.sending(&handles(&[2]), SOON);
        assert_eq!(named(&mut pen, &[2]), name);
        assert!(named(&mut pen, &[1]) > name);
    }

    #[test]
    fn a_lost_removal_takes_its_name_with_it() {
        let mut pen = Pen::default();
        let name = named(&mut pen, &[1]);
        let _ = pen.sending(&Denied::new(), SOON);
        assert!(named(&mut pen, &[1]) > name);
    }

    #[test]
    fn a_new_hand_and_a_clock_set_back_come_after_what_is_there() {
        let mut pen = Pen::default();
        let found = ListName {
            epoch: Epoch(1),
            stamp: 9_999_999,
        };
        let lists = Lists::from([(found, Denied::new())]);
        let name = pen.name(Epoch(1), &lists, &handles(&[1]), NOW);
        assert!(name > found);
        let next = pen.name(Epoch(2), &lists, &handles(&[1]), NOW);
        assert!(next > name);
    }

    #[test]
    fn standing_is_counted_from_the_first_look_and_lost_with_the_first_gap() {
        let mut pen = Pen::default();
        named(&mut pen, &[1]);
        pen.read(&handles(&[1]), true, SOON);
        pen.read(&handles(&[1]), true, SOON * 9);
        assert_eq!(pen.stands_since(), Some(SOON));
        pen.read(&handles(&[]), false, SOON * 10);
        assert_eq!(pen.stands_since(), None);
    }
}
