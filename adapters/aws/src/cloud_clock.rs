//! AWS's clock, as its own answers tell it.
//!
//! How late a lost call can land, and when a session is dead, are facts of AWS's clock and not of
//! ours. Every answer carries a `Date`, so every call is also a look at that clock. A look gives
//! an interval: the answer was dated somewhere between sending and receiving, to a whole second.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::date_time::{DateTime, Format};
use jitney_core::time::{Clock, Timestamp};
use tokio::time::Instant;

use crate::limits::CLOCK_LOOK_SECONDS_MAX;

const SECOND_MICROS: i64 = 1_000_000;
/// By how much our clock and one that nobody sets may come apart between two looks. More than
/// that, and ours was set, or the machine slept.
const DRIFT_MAX: Duration = Duration::from_secs(1);

/// One look at AWS's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    received: Timestamp,
    /// The same moment by a clock that nobody sets.
    passed: Duration,
    /// What AWS's clock showed then at least.
    dated: Timestamp,
    /// By how many microseconds AWS's clock is ahead of ours, at least and at most.
    ahead_least: i64,
    ahead_most: i64,
}

impl Look {
    fn new(sent: Timestamp, received: Timestamp, passed: Duration, date: Timestamp) -> Self {
        let dated = date.as_micros();
        Self {
            received,
            passed,
            dated: date,
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

    /// What AWS's clock shows at least when so much time has passed. Our own clock has no say in
    /// it: one that jumps must end no lease.
    fn at_least(self, passed: Duration) -> Timestamp {
        self.dated.plus(passed.saturating_sub(self.passed))
    }

    /// Whether it still says something when it is `now` and so much time has passed: it is not
    /// old, and our clock was not set since.
    fn stands(self, now: Timestamp, passed: Duration) -> bool {
        let age = passed.saturating_sub(self.passed);
        let by_ours = now.since(self.received);
        age <= Duration::from_secs(CLOCK_LOOK_SECONDS_MAX)
            && self.received <= now.plus(DRIFT_MAX)
            && by_ours.abs_diff(age) <= DRIFT_MAX
    }
}

/// Our clock, and what is known of AWS's.
pub(crate) struct CloudClock {
    ours: Arc<dyn Clock>,
    began: Instant,
    look: Mutex<Option<Look>>,
}

impl CloudClock {
    pub(crate) fn new(ours: Arc<dyn Clock>) -> Arc<Self> {
        let look = Mutex::new(None);
        Arc::new(Self {
            ours,
            began: Instant::now(),
            look,
        })
    }

    /// Our own time.
    pub(crate) fn now(&self) -> Timestamp {
        self.ours.now()
    }

    /// How much time has passed since the adapter began, by a clock that nobody sets.
    pub(crate) fn passed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How far AWS's clock is from ours, if it was looked at of late.
    pub(crate) fn skew(&self) -> Option<Duration> {
        self.recent().map(Look::skew)
    }

    /// The time that it is at AWS at least, if its clock was looked at of late.
    pub(crate) fn at_least(&self) -> Option<Timestamp> {
        self.recent().map(|look| look.at_least(self.passed()))
    }

    /// The last look, if it still says something.
    fn recent(&self) -> Option<Look> {
        let look = *self.look.lock().unwrap_or_else(PoisonError::into_inner);
        look.filter(|look| look.stands(self.now(), self.passed()))
    }

    fn looked(&self, look: Look) {
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
    }
}

impl fmt::Debug for CloudClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudClock").finish_non_exhaustive()
    }
}

/// Looks at the clock in every answer of a client.
#[derive(Debug)]
pub(crate) struct Watch(pub(crate) Arc<CloudClock>);

#[derive(Debug)]
struct SentAt(Timestamp);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

#[dyn_dispatch_hint]
impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(SentAt(self.0.now()));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|text| DateTime::from_str(text, Format::HttpDate).ok());
        if let (Some(date), Some(SentAt(sent))) = (date, bag.load::<SentAt>()) {
            let date = Timestamp::from_seconds(date.secs());
            let (received, passed) = (self.0.now(), self.0.passed());
            self.0.looked(Look::new(*sent, received, passed, date));
        }
        Ok(())
    }
}

/// Our clock as the SDK wants it: what is signed is stamped with the time the intent was.
#[derive(Debug)]
pub(crate) struct SdkTime(pub(crate) Arc<CloudClock>);

impl TimeSource for SdkTime {
    fn now(&self) -> SystemTime {
        let micros = u64::try_from(self.0.now().as_micros()).unwrap_or(0);
        UNIX_EPOCH + Duration::from_micros(micros)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    const fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn look(sent: Timestamp, received: Timestamp, date: Timestamp) -> Look {
        Look::new(sent, received, after(7), date)
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
        let ahead = look(at(100), at(100), at(161));
        assert_eq!(ahead.skew(), after(61));
        let behind = look(at(100), at(100), at(38));
        assert_eq!(behind.skew(), after(61));
    }

    #[test]
    fn aws_time_goes_on_by_a_clock_that_nobody_sets() {
        let look = look(at(1_000), at(1_000), at(1_010));
        assert_eq!(look.at_least(after(7)), at(1_010));
        assert_eq!(look.at_least(after(307)), at(1_310));
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

    #[test]
    fn nothing_is_known_before_the_first_look() {
        struct Ours;
        impl Clock for Ours {
            fn now(&self) -> Timestamp {
                at(1_000)
            }
        }
        let clock = CloudClock::new(Arc::new(Ours));
        assert_eq!((clock.skew(), clock.at_least()), (None, None));
        let received = clock.now();
        clock.looked(Look::new(received, received, clock.passed(), at(1_010)));
        assert_eq!(clock.skew(), Some(after(10)));
        assert!(clock.at_least() >= Some(at(1_010)));
    }
}
