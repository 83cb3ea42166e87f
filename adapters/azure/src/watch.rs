//! Our clocks: the one that people read, and one that nobody can set.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use jitney_core::time::{Clock, Timestamp};
use tokio::time::Instant;

/// How much time has passed, by a clock that nobody sets. Two brokers' wall clocks may be minutes
/// apart, and what one saw gone a moment ago another must not call settled at once.
pub trait Stopwatch: Send + Sync {
    /// Since some moment in the past, always the same one.
    fn passed(&self) -> Duration;
}

/// The machine's own.
struct Monotonic(Instant);

impl Stopwatch for Monotonic {
    fn passed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Both clocks.
#[derive(Clone)]
pub(crate) struct Watch {
    clock: Arc<dyn Clock>,
    stopwatch: Arc<dyn Stopwatch>,
}

impl Watch {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            stopwatch: Arc::new(Monotonic(Instant::now())),
        }
    }

    pub(crate) fn by(self, stopwatch: Arc<dyn Stopwatch>) -> Self {
        Self { stopwatch, ..self }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn passed(&self) -> Duration {
        self.stopwatch.passed()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
