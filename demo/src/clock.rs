//! The time of the demonstration: the system's, and what it was set on. Azure lets no assignment be
//! removed in its first five minutes, and nobody watches a demonstration for as long.

use core::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jitney_azure::Stopwatch;
use jitney_broker::SystemClock;
use jitney_core::time::{Clock, Timestamp};

/// A clock that can be set on.
#[derive(Debug, Default)]
pub struct DemoClock {
    ahead_seconds: AtomicI64,
}

impl DemoClock {
    /// Lets so many seconds pass at once.
    pub fn set_on(&self, seconds: u32) {
        self.ahead_seconds
            .fetch_add(i64::from(seconds), Ordering::SeqCst);
    }
}

impl Clock for DemoClock {
    fn now(&self) -> Timestamp {
        let ahead = u64::try_from(self.ahead_seconds.load(Ordering::SeqCst)).unwrap_or(0);
        SystemClock.now().plus(Duration::from_secs(ahead))
    }
}

impl Stopwatch for DemoClock {
    fn passed(&self) -> Duration {
        self.now().since(Timestamp::default())
    }
}
