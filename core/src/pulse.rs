//! Signs of life. Beats are kept in memory and reach the ledger only when it asks: a lease is due
//! at the end of its silence, and whoever drives it then looks here first. Where several brokers
//! share a ledger, another than the one that heard may drive it: there beats are written down while
//! half the silence is still to come.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::id::LeaseId;
use crate::time::Timestamp;

/// What was heard of jobs since this process was ready to hear.
#[derive(Debug, Default)]
pub struct Pulse {
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    /// Silence before this moment is the broker's, not the job's.
    ready_since: Timestamp,
    last: BTreeMap<LeaseId, Sign>,
    proved: BTreeMap<LeaseId, Timestamp>,
}

/// The last sign of life of a job.
#[derive(Debug, Clone, Copy, Default)]
struct Sign {
    at: Timestamp,
    /// The last one that was written down, as far as this process knows.
    written_down: Timestamp,
}

impl Pulse {
    /// From now on beats can be heard. Called when the broker listens, and again whenever it had
    /// been deaf.
    pub fn ready(&self, now: Timestamp) {
        self.with(|heard| heard.ready_since = now);
    }

    /// A job gave a sign of life. The last one in the ledger is from `written_down`.
    pub fn beat(&self, lease: LeaseId, written_down: Timestamp, now: Timestamp) {
        let sign = Sign {
            at: now,
            written_down,
        };
        self.with(|heard| heard.last.insert(lease, sign));
    }

    /// A sign of life is in the ledger.
    pub fn wrote_down(&self, lease: LeaseId, at: Timestamp) {
        self.with(|heard| {
            if let Some(sign) = heard.last.get_mut(&lease) {
                sign.written_down = at.max(sign.written_down);
            }
        });
    }

    /// A job's CI minted a token for it at this moment: then, at least, the job itself lived.
    pub fn prove(&self, lease: LeaseId, minted_at: Timestamp) {
        self.with(|heard| {
            let proved = heard.proved.entry(lease).or_default();
            *proved = minted_at.max(*proved);
        });
    }

    /// The latest moment at which the job itself is known to have lived.
    #[must_use]
    pub fn proved_at(&self, lease: LeaseId) -> Option<Timestamp> {
        self.with(|heard| heard.proved.get(&lease).copied())
    }

    /// Since when a job may be called silent: its last sign of life, or the moment from which it
    /// could be heard.
    #[must_use]
    pub fn silent_since(&self, lease: LeaseId, written_down: Timestamp) -> Timestamp {
        self.with(|heard| {
            let last = heard.last.get(&lease).copied().unwrap_or_default();
            last.at.max(written_down).max(heard.ready_since)
        })
    }

    /// The leases of which the ledger was told nothing for `long` before their last sign of life,
    /// each with that sign.
    #[must_use]
    pub fn to_write_down(&self, long: Duration) -> Vec<(LeaseId, Timestamp)> {
        self.with(|heard| {
            let signs = heard.last.iter();
            let late = signs.filter(|(_, sign)| sign.at >= sign.written_down.plus(long));
            late.map(|(lease, sign)| (*lease, sign.at)).collect()
        })
    }

    /// The lease is over.
    pub fn forget(&self, lease: LeaseId) {
        self.with(|heard| {
            heard.last.remove(&lease);
            heard.proved.remove(&lease);
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Heard) -> T) -> T {
        // A map of times is whole whatever a panicking thread was doing with it.
        work(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_only_while_somebody_could_hear() {
        let pulse = Pulse::default();
        let lease = LeaseId::fresh();
        let at = Timestamp::from_seconds;
        pulse.ready(at(100));
        assert_eq!(pulse.silent_since(lease, at(10)), at(100));
        pulse.beat(lease, at(10), at(130));
        assert_eq!(pulse.silent_since(lease, at(10)), at(130));
        assert_eq!(pulse.silent_since(lease, at(140)), at(140));
        pulse.ready(at(200));
        assert_eq!(pulse.silent_since(lease, at(140)), at(200));
        pulse.forget(lease);
        assert_eq!(pulse.silent_since(lease, at(250)), at(250));
    }

    #[test]
    fn an_older_token_does_not_take_a_later_proof_back() {
        let pulse = Pulse::default();
        let lease = LeaseId::fresh();
        let at = Timestamp::from_seconds;
        pulse.beat(lease, at(1), at(5));
        assert_eq!(pulse.proved_at(lease), None);
        pulse.prove(lease, at(100));
        pulse.prove(lease, at(40));
        assert_eq!(pulse.proved_at(lease), Some(at(100)));
        pulse.forget(lease);
        assert_eq!(pulse.proved_at(lease), None);
    }

    #[test]
    fn what_is_written_down_is_not_written_down_again_soon() {
        let pulse = Pulse::default();
        let lease = LeaseId::fresh();
        let at = Timestamp::from_seconds;
        let late = || pulse.to_write_down(Duration::from_secs(15));
        pulse.beat(lease, at(100), at(114));
        assert_eq!(late(), []);
        pulse.beat(lease, at(100), at(115));
        assert_eq!(late(), [(lease, at(115))]);
        pulse.wrote_down(lease, at(115));
        assert_eq!(late(), []);
        pulse.beat(lease, at(115), at(130));
        assert_eq!(late(), [(lease, at(130))]);
        pulse.forget(lease);
        pulse.wrote_down(lease, at(130));
        assert_eq!(late(), []);
    }
}
