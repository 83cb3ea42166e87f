//! The system's clock as core's port.

use std::time::{SystemTime, UNIX_EPOCH};

use jitney_core::time::{Clock, Timestamp};

/// The wall clock of the machine. It may jump; core does not mind.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is a broken clock: every token is then from the future.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::default().plus(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_tells_this_age() {
        assert!(SystemClock.now() > Timestamp::from_seconds(1_700_000_000));
    }
}
