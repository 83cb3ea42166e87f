//! What this process remembers of the slots: since when it has seen each thing gone that is over.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jitney_core::evidence::Held;
use jitney_core::plan::LaneId;

/// One slot. Forgetting it costs another settle time, and never an assignment that is overlooked.
#[derive(Debug, Default)]
pub(crate) struct Calm(BTreeMap<Held, Duration>);

impl Calm {
    /// It was looked for and is not there. Gives for how long this process has seen that, by the
    /// clock of this process.
    pub(crate) fn gone(&mut self, held: &Held, passed: Duration) -> Duration {
        let since = self.0.entry(held.clone()).or_insert(passed);
        passed.saturating_sub(*since)
    }

    /// It is there. Gives whether it had been seen gone before.
    pub(crate) fn there(&mut self, held: &Held) -> bool {
        self.0.remove(held).is_some()
    }

    /// Forgets what nobody asks about any more.
    pub(crate) fn keep(&mut self, asked: &BTreeSet<Held>) {
        self.0.retain(|held, _| asked.contains(held));
    }
}

/// All slots. A pass over one waits for another over the same.
#[derive(Debug, Default)]
pub(crate) struct Calms(Mutex<HashMap<LaneId, Arc<tokio::sync::Mutex<Calm>>>>);

impl Calms {
    pub(crate) fn of(&self, lane: &LaneId) -> Arc<tokio::sync::Mutex<Calm>> {
        let mut calms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(calms.entry(lane.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitney_core::time::Timestamp;

    #[test]
    fn what_comes_back_begins_anew() {
        let held = Held::IssuedBefore(Timestamp::from_seconds(1));
        let mut calm = Calm::default();
        let at = Duration::from_secs;
        assert!(!calm.there(&held));
        assert_eq!(calm.gone(&held, at(10)), at(0));
        assert_eq!(calm.gone(&held, at(25)), at(15));
        assert!(calm.there(&held));
        assert_eq!(calm.gone(&held, at(30)), at(0));
        calm.keep(&BTreeSet::new());
        assert_eq!(calm.gone(&held, at(40)), at(0));
    }
}
