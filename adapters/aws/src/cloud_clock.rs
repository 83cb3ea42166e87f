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

/// One look at AWS's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    received: Timestamp,
    /// By how many microseconds AWS's clock is ahead of ours, at least and at most.
    ahead_least: i64,
    ahead_most: i64,
}

impl Look {
    fn new(sent: Timestamp, received: Timestamp, date: Timestamp) -> Self {
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
        let look = self.recent()?;
        let micros = self.now().as_micros().saturating_add(look.ahead_least);
        Some(Timestamp::from_micros(micros))
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
            self.0.looked(Look::new(*sent, self.0.now(), date));
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
    use std::sync::atomic::{AtomicI64, Ordering};

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
    fn a_slow_answer_is_no_skew() {
        // Dated when it was received, after nine seconds on the way; dated when it was sent.
        assert_eq!(Look::new(at(100), at(109), at(109)).skew(), Duration::ZERO);
        assert_eq!(Look::new(at(100), at(109), at(100)).skew(), Duration::ZERO);
        // To the second: half a second is not skew either.
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
        hand.0.store(at(1_300).as_micros(), Ordering::SeqCst);
        assert_eq!(clock.at_least(), Some(at(1_310)));
        hand.0.store(at(1_301).as_micros(), Ordering::SeqCst);
        assert_eq!(clock.at_least(), None);
        hand.0.store(at(999).as_micros(), Ordering::SeqCst);
        assert_eq!(clock.at_least(), None);
    }
}
