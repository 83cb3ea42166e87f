//! A value whose writes are read at once and enforced later.
//!
//! IAM answers reads with what was written, while the services still act on what they were told before. Keeping
//! both is what lets a test see that reading a policy back proves nothing about its enforcement.

use jiff::Timestamp;

/// The values that still matter: the one in force, and those on their way.
#[derive(Clone, Debug)]
pub(crate) struct Lagged<T> {
    /// Since when a value is enforced, oldest first; never empty.
    first: (Timestamp, T),
    later: Vec<(Timestamp, T)>,
}

impl<T> Lagged<T> {
    /// A value that was always there.
    pub(crate) fn settled(value: T) -> Lagged<T> {
        Lagged::since(Timestamp::MIN, value)
    }

    /// A new value, enforced from then on and unknown before.
    pub(crate) fn since(enforced_from: Timestamp, value: T) -> Lagged<T> {
        Lagged {
            first: (enforced_from, value),
            later: Vec::new(),
        }
    }

    /// What a read shows.
    pub(crate) fn written(&self) -> &T {
        self.later.last().map_or(&self.first.1, |(_, value)| value)
    }

    /// What a service acts on; `None` while the very first value is still on its way.
    pub(crate) fn enforced(&self, now: Timestamp) -> Option<&T> {
        let newest_first = self.later.iter().rev().chain(std::iter::once(&self.first));
        newest_first
            .into_iter()
            .find(|(from, _)| *from <= now)
            .map(|(_, value)| value)
    }

    /// Writes a value that is enforced from then on.
    pub(crate) fn write(&mut self, now: Timestamp, enforced_from: Timestamp, value: T) {
        self.later.push((enforced_from, value));
        while self.later.first().is_some_and(|(from, _)| *from <= now) {
            // Whatever is in force now was so for ever: the clock may be set back, the write is not undone.
            self.first = (Timestamp::MIN, self.later.remove(0).1);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_write_is_read_at_once_and_enforced_later() {
        let mut value = Lagged::settled("old");
        value.write(at(100), at(104), "new");
        assert_eq!(value.written(), &"new");
        assert_eq!(value.enforced(at(103)), Some(&"old"));
        assert_eq!(value.enforced(at(104)), Some(&"new"));
    }

    #[test]
    fn several_writes_arrive_in_their_order() {
        let mut value = Lagged::settled(0);
        value.write(at(100), at(104), 1);
        value.write(at(102), at(106), 2);
        assert_eq!(value.enforced(at(105)), Some(&1));
        assert_eq!(value.enforced(at(106)), Some(&2));
        value.write(at(110), at(110), 3);
        assert_eq!(value.enforced(at(110)), Some(&3));
    }

    #[test]
    fn a_new_thing_is_unknown_until_it_arrives() {
        let value = Lagged::since(at(104), "role");
        assert_eq!(value.enforced(at(103)), None);
        assert_eq!(value.written(), &"role");
    }

    #[test]
    fn setting_the_clock_back_does_not_undo_a_write_in_force() {
        let mut value = Lagged::settled("old");
        value.write(at(100), at(100), "new");
        assert_eq!(value.enforced(at(50)), Some(&"new"));
    }
}
