//! How many changes of accounts a project's quota leaves: 600 a minute unless Google was asked for
//! more. Giving may use three quarters of it, so that a rush of requests leaves room to take back.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::connect::Purpose;

const WINDOW: Duration = Duration::from_secs(60);

/// The changes of the last minute, by a clock that nobody sets.
#[derive(Debug)]
pub(crate) struct Quota {
    per_minute: usize,
    made: Mutex<VecDeque<Duration>>,
}

impl Quota {
    pub(crate) const fn of(per_minute: usize) -> Self {
        Self {
            per_minute,
            made: Mutex::new(VecDeque::new()),
        }
    }

    /// Takes one change out of the quota, or says how long to wait for the next.
    pub(crate) fn take(&self, purpose: Purpose, passed: Duration) -> Result<(), Duration> {
        let most = match purpose {
            Purpose::Gives => self.per_minute / 4 * 3,
            Purpose::Takes => self.per_minute,
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        while made.front().is_some_and(|at| *at + WINDOW <= passed) {
            made.pop_front();
        }
        // The change whose leaving the window makes room for one more.
        match made.len().checked_sub(most).map(|over| made.get(over)) {
            None => {
                made.push_back(passed);
                Ok(())
            }
            Some(leaves) => Err(leaves.map_or(WINDOW, |at| (*at + WINDOW).saturating_sub(passed))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_rush_of_giving_leaves_room_for_taking() {
        let quota = Quota::of(8);
        for _ in 0..6 {
            quota.take(Purpose::Gives, at(0)).unwrap();
        }
        assert_eq!(quota.take(Purpose::Gives, at(10)), Err(at(50)));
        quota.take(Purpose::Takes, at(10)).unwrap();
        quota.take(Purpose::Takes, at(20)).unwrap();
        assert_eq!(quota.take(Purpose::Takes, at(20)), Err(at(40)));
        // A minute later the first six have left the window.
        quota.take(Purpose::Takes, at(60)).unwrap();
        for _ in 0..3 {
            quota.take(Purpose::Gives, at(60)).unwrap();
        }
        assert_eq!(quota.take(Purpose::Gives, at(60)), Err(at(10)));
    }

    #[test]
    fn what_was_refused_costs_nothing() {
        let quota = Quota::of(4);
        for _ in 0..3 {
            quota.take(Purpose::Gives, at(0)).unwrap();
        }
        for _ in 0..10 {
            assert!(quota.take(Purpose::Gives, at(1)).is_err());
        }
        quota.take(Purpose::Takes, at(1)).unwrap();
    }
}
