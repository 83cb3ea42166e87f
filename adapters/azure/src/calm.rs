//! What this process remembers of the slots: since when it has seen each thing gone that is over.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jitney_core::evidence::Held;
use jitney_core::handle::Handle;
use jitney_core::plan::LaneId;
use uuid::Uuid;

use crate::standing::Denied;

/// One slot. Forgetting it costs another settle time, and never an assignment that is overlooked.
#[derive(Debug, Default)]
pub(crate) struct Calm {
    /// Since when each thing is seen gone.
    gone: BTreeMap<Held, Duration>,
    /// Since when each denial is seen to stop nothing.
    idle: BTreeMap<Uuid, Duration>,
    /// For which leases Azure takes no denial.
    undeniable: BTreeSet<Handle>,
}

impl Calm {
    /// It was looked for and is not there. Gives for how long this process has seen that, by the
    /// clock of this process.
    pub(crate) fn gone(&mut self, held: &Held, passed: Duration) -> Duration {
        let since = self.gone.entry(held.clone()).or_insert(passed);
        passed.saturating_sub(*since)
    }

    /// It is there. Gives whether it had been seen gone before.
    pub(crate) fn there(&mut self, held: &Held) -> bool {
        self.gone.remove(held).is_some()
    }

    /// Forgets what nobody asks about any more.
    pub(crate) fn keep(&mut self, asked: &BTreeSet<Held>) {
        self.gone.retain(|held, _| asked.contains(held));
        let is_asked = |handle: &Handle| asked.contains(&Held::Grant(handle.clone()));
        self.undeniable.retain(is_asked);
    }

    /// A denial stands. Gives for how long this process has seen that it stops nothing; nothing when
    /// it is needed.
    pub(crate) fn idle(
        &mut self,
        denied: &Denied,
        needed: bool,
        passed: Duration,
    ) -> Option<Duration> {
        if needed {
            self.idle.remove(&denied.name);
            return None;
        }
        let since = self.idle.entry(denied.name).or_insert(passed);
        Some(passed.saturating_sub(*since))
    }

    /// Forgets the denials that do not stand any more.
    pub(crate) fn keep_denials(&mut self, denied: &[Denied]) {
        let stands = |name: &Uuid| denied.iter().any(|denied| denied.name == *name);
        self.idle.retain(|name, _| stands(name));
    }

    /// Azure takes no denial for a lease, and need not be asked again.
    pub(crate) fn take_none_for(&mut self, handle: &Handle) {
        self.undeniable.insert(handle.clone());
    }

    pub(crate) fn takes_none_for(&self, handle: &Handle) -> bool {
        self.undeniable.contains(handle)
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
