//! Google's clock, as its own answers tell it.
//!
//! When a condition ends and when a token is dead are facts of Google's clock and not of ours. Every
//! answer carries a `Date`, so every call is also a look at that clock. A look gives an interval:
//! the answer was dated somewhere between sending and receiving, to a whole second.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use jitney_core::time::{Clock, Timestamp};
use tokio::time::Instant;

use crate::limits::CLOCK_LOOK_SECONDS_MAX;

const SECOND_MICROS: i64 = 1_000_000;

/// One look at Google's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    received: Timestamp,
    /// By how many microseconds Google's clock is ahead of ours, at least and at most.
    ahead_least: i64,
    ahead_most: i64,
}

impl Look {
    pub(crate) fn new(sent: Timestamp, received: Timestamp, date: Timestamp) -> Self {
        let dated = date.as_micros();
        Self {
            received,
            ahead_least: dated.saturating_sub(received.as_micros()),
            ahead_most: dated
                .saturating_add(SECOND_MICROS)
                .saturating_sub(sent.as_micros()),
        }
    }

    /// The least by which the two clocks can differ.
    fn skew(self) -> Duration {
        let ahead = self.ahead_least.max(0);
        let behind = self.ahead_most.min(0);
        Duration::from_micros(ahead.unsigned_abs().max(behind.unsigned_abs()))
    }
}

/// Our clock, and what is known of Google's.
pub(crate) struct CloudClock {
    ours: Arc<dyn Clock>,
    began: Instant,
    look: Mutex<Option<Look>>,
}

impl CloudClock {
    pub(crate) fn new(ours: Arc<dyn Clock>) -> Self {
        Self {
            ours,
            began: Instant::now(),
            look: Mutex::new(None),
        }
    }

    /// Our own time.
    pub(crate) fn now(&self) -> Timestamp {
        self.ours.now()
    }

    /// How much time has passed since the adapter began, by a clock that nobody sets.
    pub(crate) fn passed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How far Google's clock is from ours, if it was looked at of late.
    pub(crate) fn skew(&self) -> Option<Duration> {
        self.recent().map(Look::skew)
    }

    /// The time that it is at Google at least, if its clock was looked at of late.
    pub(crate) fn at_least(&self) -> Option<Timestamp> {
        self.recent().map(|look| self.ahead(look.ahead_least))
    }

    /// The time that it is at Google at most.
    pub(crate) fn at_most(&self) -> Option<Timestamp> {
        self.recent().map(|look| self.ahead(look.ahead_most))
    }

    fn ahead(&self, micros: i64) -> Timestamp {
        Timestamp::from_micros(self.now().as_micros().saturating_add(micros))
    }

    /// The last look, unless it is old or our own clock has since gone back behind it.
    fn recent(&self) -> Option<Look> {
        let look = *self.look.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        look.filter(|look| {
            let age = now.since(look.received);
            look.received <= now && age <= Duration::from_secs(CLOCK_LOOK_SECONDS_MAX)
        })
    }

    pub(crate) fn looked(&self, look: Look) {
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
    }
}

impl fmt::Debug for CloudClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudClock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use core::sync::atomic::{AtomicI64, Ordering};

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::SeqCst))
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_slow_answer_and_a_whole_second_are_no_skew() {
        assert_eq!(Look::new(at(100), at(109), at(109)).skew(), Duration::ZERO);
        assert_eq!(Look::new(at(100), at(109), at(100)).skew(), Duration::ZERO);
        let half = Timestamp::from_micros(100_500_000);
        assert_eq!(Look::new(half, half, at(100)).skew(), Duration::ZERO);
    }

    #[test]
    fn skew_is_seen_on_both_sides() {
        let ahead = Look::new(at(100), at(100), at(161));
        assert_eq!(ahead.skew(), Duration::from_secs(61));
        let behind = Look::new(at(100), at(100), at(38));
        assert_eq!(behind.skew(), Duration::from_secs(61));
    }

    #[test]
    fn a_look_grows_old_and_does_not_survive_a_clock_set_back() {
        let hand = Arc::new(Hand::default());
        let clock = CloudClock::new(hand.clone());
        assert_eq!(clock.skew(), None);
        hand.0.store(at(1_000).as_micros(), Ordering::SeqCst);
        clock.looked(Look::new(at(1_000), at(1_000), at(1_010)));
        assert_eq!(clock.skew(), Some(Duration::from_secs(10)));
        assert_eq!(clock.at_least(), Some(at(1_010)));
        assert_eq!(clock.at_most(), Some(at(1_011)));
        hand.0.store(at(1_300).as_micros(), Ordering::SeqCst);
        assert_eq!(clock.at_least(), Some(at(1_310)));
        hand.0.store(at(1_301).as_micros(), Ordering::SeqCst);
        assert_eq!(clock.at_least(), None);
        hand.0.store(at(999).as_micros(), Ordering::SeqCst);
        assert_eq!(clock.at_least(), None);
    }
}
