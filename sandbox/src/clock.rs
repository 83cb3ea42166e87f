//! The time the sandbox believes in.
//!
//! Two offsets from real time. The *policy* offset moves expiry, conditions and enforcement lag, so that a test
//! can let an hour pass at once. The *wire* offset moves the clock that signatures are checked against and that
//! the `Date` header tells, so that a client's clock can be shown to be wrong. Signatures do not follow the
//! policy offset: the clients of the sandbox live in real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// A settable clock. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct SandboxClock {
    policy_offset_seconds: Arc<AtomicI64>,
    wire_offset_seconds: Arc<AtomicI64>,
}

impl SandboxClock {
    /// The time of conditions, credential expiry and enforcement lag.
    pub fn now(&self) -> Timestamp {
        shifted(self.policy_offset_seconds.load(Ordering::SeqCst))
    }

    /// The time signatures are checked against.
    pub fn wire_now(&self) -> Timestamp {
        shifted(self.wire_offset_seconds.load(Ordering::SeqCst))
    }

    /// Sets how far [`SandboxClock::now`] is ahead of real time; negative is behind.
    pub fn set_offset_seconds(&self, seconds: i64) {
        self.policy_offset_seconds.store(seconds, Ordering::SeqCst);
    }

    /// Lets this much time pass at once.
    pub fn advance_seconds(&self, seconds: i64) {
        let _ =
            self.policy_offset_seconds
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |offset| {
                    Some(offset.saturating_add(seconds))
                });
    }

    /// How far [`SandboxClock::now`] is ahead of real time.
    pub fn offset_seconds(&self) -> i64 {
        self.policy_offset_seconds.load(Ordering::SeqCst)
    }

    /// Sets how far [`SandboxClock::wire_now`] is ahead of real time.
    pub fn set_wire_offset_seconds(&self, seconds: i64) {
        self.wire_offset_seconds.store(seconds, Ordering::SeqCst);
    }

    /// How far [`SandboxClock::wire_now`] is ahead of real time.
    pub fn wire_offset_seconds(&self) -> i64 {
        self.wire_offset_seconds.load(Ordering::SeqCst)
    }
}

fn shifted(offset_seconds: i64) -> Timestamp {
    let now = Timestamp::now();
    now.saturating_add(SignedDuration::from_secs(offset_seconds))
        .unwrap_or(now)
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

    #[test]
    fn policy_time_and_wire_time_move_apart() {
        let clock = SandboxClock::default();
        clock.set_offset_seconds(3_600);
        clock.advance_seconds(60);
        clock.set_wire_offset_seconds(-120);
        let real = Timestamp::now();
        assert!((clock.now().duration_since(real).as_secs() - 3_660).abs() <= 1);
        assert!((clock.wire_now().duration_since(real).as_secs() + 120).abs() <= 1);
        assert_eq!(
            (clock.offset_seconds(), clock.wire_offset_seconds()),
            (3_660, -120)
        );
    }

    #[test]
    fn an_absurd_offset_does_not_panic() {
        let clock = SandboxClock::default();
        clock.set_offset_seconds(i64::MAX);
        clock.advance_seconds(1);
        let _ = clock.now();
    }
}
