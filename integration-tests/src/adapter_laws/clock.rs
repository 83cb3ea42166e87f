//! The clocks of stages: the system's, and one that is set on instead of waited for.

use core::sync::atomic::{AtomicI64, Ordering};
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use jitney_core::time::{Clock, Timestamp};

/// A clock that the laws can wait by.
#[async_trait]
pub trait StageClock: Clock {
    /// Comes back once this much time has passed by it: for the broker, and for the cloud.
    async fn pass(&self, time: Duration);
}

/// The system's clock. To wait by it takes as long as it says.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros());
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

#[async_trait]
impl StageClock for SystemClock {
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// What really passes whenever a clock is set on, so that whatever waits by it gets its turn.
const TURN: Duration = Duration::from_millis(20);

/// A clock that goes like the system's and is set on instead of waited for, and the cloud's with
/// it. Some clouds let nothing be taken back for minutes, and their credentials live for hours.
pub struct SetClock {
    ahead_micros: AtomicI64,
    set_cloud_on: Box<dyn Fn(Duration) + Send + Sync>,
}

impl SetClock {
    /// A clock that shows the system's time. `set_cloud_on` sets the clock of the cloud on by as
    /// much as it is told.
    pub fn with(set_cloud_on: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self {
            ahead_micros: AtomicI64::new(0),
            set_cloud_on: Box::new(set_cloud_on),
        }
    }

    /// Sets it on.
    pub fn set_on(&self, time: Duration) {
        (self.set_cloud_on)(time);
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.ahead_micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead_micros.load(Ordering::SeqCst);
        Timestamp::from_micros(SystemClock.now().as_micros().saturating_add(ahead))
    }
}

#[async_trait]
impl StageClock for SetClock {
    async fn pass(&self, time: Duration) {
        self.set_on(time);
        tokio::time::sleep(TURN).await;
    }
}
