//! A cloud's clock, as its own answers tell it.
//!
//! How late a lost call can land, when a condition ends and when a session is dead are facts of the
//! cloud's clock and not of ours. Every answer carries a `Date`, so every call is also a look at
//! that clock. A look gives an interval: the answer was dated somewhere between sending and
//! receiving, to a whole second.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use crate::time::{Clock, Timestamp};

/// How old a look may be.
const LOOK_AGE_MAX: Duration = Duration::from_secs(300);
/// By how much our clock and one that nobody sets may come apart between two looks. More than
/// that, and ours was set, or the machine slept.
const DRIFT_MAX: Duration = Duration::from_secs(1);
const SECOND: Duration = Duration::from_secs(1);

/// One look at the cloud's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    sent: Timestamp,
    received: Timestamp,
    /// When it was received, by a clock that nobody sets.
    passed: Duration,
    /// What the cloud's clock showed then at least.
    dated: Timestamp,
}

impl Look {
    /// The least by which the two clocks can differ.
    fn skew(self) -> Duration {
        let ahead = self.dated.since(self.received);
        let behind = self.sent.since(self.dated.plus(SECOND));
        ahead.max(behind)
    }

    /// What the cloud's clock shows at least when so much time has passed. Our own clock has no
    /// say in it: one that jumps must end no lease.
    fn at_least(self, passed: Duration) -> Timestamp {
        self.dated.plus(passed.saturating_sub(self.passed))
    }

    /// What it shows then at most: the answer may have been on its way since the call was sent.
    fn at_most(self, passed: Duration) -> Timestamp {
        let on_its_way = self.received.since(self.sent);
        self.at_least(passed).plus(on_its_way).plus(SECOND)
    }

    /// Whether it still says something when it is `now` and so much time has passed: it is not
    /// old, and our clock was not set since.
    fn stands(self, now: Timestamp, passed: Duration) -> bool {
        let age = passed.saturating_sub(self.passed);
        let by_ours = now.since(self.received);
        age <= LOOK_AGE_MAX
            && self.received <= now.plus(DRIFT_MAX)
            && by_ours.abs_diff(age) <= DRIFT_MAX
    }
}

/// Our clock, and what is known of the cloud's.
pub struct CloudClock {
    ours: Arc<dyn Clock>,
    passed: Box<dyn Fn() -> Duration + Send + Sync>,
    look: Mutex<Option<Look>>,
}

impl CloudClock {
    /// A clock at which nobody has looked yet. `passed` tells how much time has passed since some
    /// moment, by a clock that nobody sets.
    pub fn new(
        ours: Arc<dyn Clock>,
        passed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self {
            ours,
            passed: Box::new(passed),
            look: Mutex::new(None),
        }
    }

    /// Our own time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ours.now()
    }

    /// How much time has passed, by a clock that nobody sets.
    #[must_use]
    pub fn passed(&self) -> Duration {
        (self.passed)()
    }

    /// How far the cloud's clock is from ours at least, if it was looked at of late.
    #[must_use]
    pub fn skew(&self) -> Option<Duration> {
        self.recent().map(Look::skew)
    }

    /// The time that it is in the cloud at least, if its clock was looked at of late.
    #[must_use]
    pub fn at_least(&self) -> Option<Timestamp> {
        self.recent().map(|look| look.at_least(self.passed()))
    }

    /// The time that it is there at most.
    #[must_use]
    pub fn at_most(&self) -> Option<Timestamp> {
        self.recent().map(|look| look.at_most(self.passed()))
    }

    /// An answer came in just now, dated by the cloud, to a call that was sent then.
    pub fn looked(&self, sent: Timestamp, dated: Timestamp) {
        let look = Look {
            sent,
            received: self.now(),
            passed: self.passed(),
            dated,
        };
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
    }

    /// The last look, if it still says something.
    fn recent(&self) -> Option<Look> {
        let look = *self.look.lock().unwrap_or_else(PoisonError::into_inner);
        look.filter(|look| look.stands(self.now(), self.passed()))
    }
}

impl fmt::Debug for CloudClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudClock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    const fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn look(sent: Timestamp, received: Timestamp, dated: Timestamp) -> Look {
        Look {
            sent,
            received,
            passed: after(7),
            dated,
        }
    }

    #[test]
    fn a_slow_answer_is_no_skew() {
        // Dated when it was received, after nine seconds on the way; dated when it was sent.
        assert_eq!(look(at(100), at(109), at(109)).skew(), Duration::ZERO);
        assert_eq!(look(at(100), at(109), at(100)).skew(), Duration::ZERO);
        // To the second: half a second is not skew either.
        let half = Timestamp::from_micros(100_500_000);
        assert_eq!(look(half, half, at(100)).skew(), Duration::ZERO);
    }

    #[test]
    fn skew_is_seen_on_both_sides() {
        assert_eq!(look(at(100), at(100), at(161)).skew(), after(61));
        assert_eq!(look(at(100), at(100), at(38)).skew(), after(61));
    }

    #[test]
    fn the_clouds_time_goes_on_by_a_clock_that_nobody_sets() {
        let look = look(at(1_000), at(1_009), at(1_010));
        assert_eq!(look.at_least(after(7)), at(1_010));
        assert_eq!(look.at_least(after(307)), at(1_310));
        assert_eq!(look.at_most(after(307)), at(1_320));
    }

    #[test]
    fn a_look_grows_old_and_does_not_survive_a_clock_that_is_set() {
        let look = look(at(1_000), at(1_000), at(1_010));
        assert!(look.stands(at(1_000), after(7)));
        assert!(look.stands(at(1_300), after(307)));
        assert!(!look.stands(at(1_301), after(308)));
        // A little drift is none; a second more than that is a clock that was set.
        assert!(look.stands(at(1_101), after(107)));
        assert!(look.stands(at(1_099), after(107)));
        for set in [1_102, 1_098, 999, 4_600] {
            assert!(!look.stands(at(set), after(107)), "{set}");
        }
        assert!(!look.stands(at(998), after(7)));
    }

    /// A clock that is set, and one beside it that goes on as it should.
    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            at(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn a_clock_that_jumps_makes_it_no_later_in_the_cloud() {
        let (hand, passed) = (Arc::new(Hand::default()), Arc::new(AtomicU64::new(7)));
        let reads = Arc::clone(&passed);
        let clock = CloudClock::new(hand.clone(), move || after(reads.load(Ordering::SeqCst)));
        assert_eq!((clock.skew(), clock.at_least()), (None, None));
        let set = |seconds, goes_on| {
            hand.0.store(seconds, Ordering::SeqCst);
            passed.store(goes_on, Ordering::SeqCst);
        };
        set(1_000, 7);
        clock.looked(at(1_000), at(1_010));
        assert_eq!(clock.skew(), Some(after(10)));
        set(1_100, 107);
        assert_eq!(clock.at_least(), Some(at(1_110)));
        assert_eq!(clock.at_most(), Some(at(1_111)));
        // Set forward by less than a look may be old.
        set(1_250, 107);
        assert_eq!((clock.at_least(), clock.at_most()), (None, None));
        clock.looked(at(1_250), at(1_110));
        assert_eq!(clock.at_least(), Some(at(1_110)));
        assert_eq!(clock.skew(), Some(after(139)));
    }
}
