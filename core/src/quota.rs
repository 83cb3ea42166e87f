//! How many calls a cloud's quota leaves, over all lanes of a target. What takes back may use all of
//! it; everything else three quarters, so that a rush of requests leaves room to take back.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// It takes something back.
    TakesBack,
    /// It gives, tidies up or only looks.
    Other,
}

/// The calls of the last while, by a clock that nobody sets.
#[derive(Debug)]
pub struct Quota {
    most: usize,
    window: Duration,
    made: Mutex<VecDeque<Duration>>,
}

impl Quota {
    /// At most so many calls in any stretch of time that is so long.
    #[must_use]
    pub fn of(most: u32, window: Duration) -> Self {
        Self {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            window,
            made: Mutex::default(),
        }
    }

    /// Takes one call out of the quota.
    ///
    /// # Errors
    /// How long to wait until it may have room for one more.
    pub fn take(&self, errand: Errand, passed: Duration) -> Result<(), Duration> {
        let most = match errand {
            Errand::TakesBack => self.most,
            Errand::Other => self.most - self.most / 4,
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        while made.front().is_some_and(|at| *at + self.window <= passed) {
            made.pop_front();
        }
        // The call whose leaving the window makes room for one more.
        match made.len().checked_sub(most).map(|over| made.get(over)) {
            None => {
                made.push_back(passed);
                Ok(())
            }
            Some(leaves) => {
                Err(leaves.map_or(self.window, |at| (*at + self.window).saturating_sub(passed)))
            }
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

    fn in_a_minute(most: u32) -> Quota {
        Quota::of(most, at(60))
    }

    #[test]
    fn a_rush_of_other_calls_leaves_room_for_taking_back() {
        let quota = in_a_minute(8);
        for _ in 0..6 {
            quota.take(Errand::Other, at(0)).unwrap();
        }
        assert_eq!(quota.take(Errand::Other, at(10)), Err(at(50)));
        quota.take(Errand::TakesBack, at(10)).unwrap();
        quota.take(Errand::TakesBack, at(20)).unwrap();
        assert_eq!(quota.take(Errand::TakesBack, at(20)), Err(at(40)));
        // A minute later the first six have left the window.
        quota.take(Errand::TakesBack, at(60)).unwrap();
        for _ in 0..3 {
            quota.take(Errand::Other, at(60)).unwrap();
        }
        assert_eq!(quota.take(Errand::Other, at(60)), Err(at(10)));
    }

    #[test]
    fn what_was_refused_costs_nothing() {
        let quota = in_a_minute(4);
        for _ in 0..3 {
            quota.take(Errand::Other, at(0)).unwrap();
        }
        for _ in 0..10 {
            assert!(quota.take(Errand::Other, at(1)).is_err());
        }
        quota.take(Errand::TakesBack, at(1)).unwrap();
    }

    #[test]
    fn the_smallest_quota_lets_everything_through_in_its_time() {
        let quota = in_a_minute(1);
        quota.take(Errand::Other, at(0)).unwrap();
        assert_eq!(quota.take(Errand::TakesBack, at(59)), Err(at(1)));
        quota.take(Errand::TakesBack, at(60)).unwrap();
    }
}
