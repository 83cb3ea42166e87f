//! The broker's clock as seen from here. A runner's clock may be minutes off; leases end, and
//! proofs are judged, by the broker's.

use std::sync::atomic::{AtomicI64, Ordering};

use core::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Below this many seconds a difference is the way's and the header's coarseness, not the clock's.
const NOISE_SECONDS: i64 = 3;

/// How far the broker's clock is ahead of ours, as its answers tell.
#[derive(Debug, Default)]
pub(crate) struct BrokerClock {
    ahead_seconds: AtomicI64,
}

impl BrokerClock {
    /// The broker's time now.
    pub(crate) fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.ahead_seconds.load(Ordering::Relaxed));
        let now = Timestamp::now();
        now.checked_add(ahead).unwrap_or(now)
    }

    /// Learns from the `Date` of an answer that has just arrived.
    pub(crate) fn learn(&self, date: &str) {
        let Ok(told) = jiff::fmt::rfc2822::parse(date) else {
            return;
        };
        let ahead = told.timestamp().as_second() - Timestamp::now().as_second();
        let ahead = if ahead.abs() < NOISE_SECONDS {
            0
        } else {
            ahead
        };
        self.ahead_seconds.store(ahead, Ordering::Relaxed);
    }

    /// How long until `instant`; zero once it is over.
    pub(crate) fn until(&self, instant: Timestamp) -> Duration {
        Duration::try_from(instant.duration_since(self.now())).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn date(at: Timestamp) -> String {
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    #[test]
    fn a_clock_that_is_off_is_told_and_noise_is_not() {
        let clock = BrokerClock::default();
        let now = Timestamp::now();
        clock.learn(&date(
            now.checked_add(SignedDuration::from_mins(10)).unwrap(),
        ));
        let ahead = clock.now().duration_since(now).as_secs();
        assert!((598..=602).contains(&ahead), "{ahead}");
        assert_eq!(clock.until(now), Duration::ZERO);

        clock.learn("half past nine");
        assert!(clock.now().duration_since(now).as_secs() > 500, "kept");

        clock.learn(&date(Timestamp::now()));
        assert!(clock.now().duration_since(now).as_secs() < 5);
    }
}
