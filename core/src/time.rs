//! Instants and durations as the ledger stores them, and the clock as a port.
//!
//! Core never asks the operating system for the time: every function that needs it takes a
//! [`Timestamp`], and use cases are given a [`Clock`]. The simulation can then own time.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Microseconds in one second.
const MICROS_PER_SECOND: i64 = 1_000_000;

/// The most that a broker's clock may differ from a cloud's, or nothing is minted.
pub const SKEW_MAX: Duration = Duration::from_secs(60);

/// An instant: microseconds since 1970-01-01T00:00:00Z. Arithmetic saturates; it never wraps.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The end of time: a due date that never comes, a hold that is never dropped.
    pub const FAR_FUTURE: Self = Self(i64::MAX);

    /// The instant `micros` microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The instant `seconds` seconds after the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// This instant moved `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// This instant moved `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the millisecond, as people read it in logs and answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => f.write_str("never"),
        }
    }
}

/// A text is no instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no time: expected RFC 3339, as `2026-11-23T09:30:00Z`", .0.escape_default())]
pub struct BadTimestamp(String);

impl core::str::FromStr for Timestamp {
    type Err = BadTimestamp;

    /// Reads RFC 3339.
    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        let instant = text.parse::<jiff::Timestamp>();
        instant
            .map(|instant| Self(instant.as_microsecond()))
            .map_err(|_| BadTimestamp(text.chars().take(64).collect()))
    }
}

/// Where the time comes from. The broker gives the system's clock, the simulation its own.
pub trait Clock: Send + Sync {
    /// The present instant. It may jump: nothing in core assumes that it only goes forward.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let later = Timestamp::FAR_FUTURE.plus(Duration::from_secs(1));
        assert_eq!(later, Timestamp::FAR_FUTURE);
        assert_eq!(
            Timestamp::from_seconds(1).since(Timestamp::from_seconds(5)),
            Duration::ZERO
        );
        assert_eq!(Timestamp::from_micros(-1).as_seconds(), -1);
    }

    #[test]
    fn people_read_rfc_3339() {
        assert_eq!(
            Timestamp::from_seconds(1_795_392_000).to_string(),
            "2026-11-23T00:00:00.000Z"
        );
        assert_eq!(Timestamp::FAR_FUTURE.to_string(), "never");
        let read = |text: &str| text.parse::<Timestamp>();
        let told = Timestamp::from_seconds(1_795_392_000);
        assert_eq!(read("2026-11-23T00:00:00.000Z"), Ok(told));
        assert_eq!(read("2026-11-23T01:00:00+01:00"), Ok(told));
        for bad in ["", "never", "2026-11-23", "1795392000", "yesterday"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
