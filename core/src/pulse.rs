//! Signs of life. Beats are kept in memory and are written down, many at once, shortly before the
//! silence that the ledger knows of would be over: one write for each two or three of them. So what
//! one broker hears reaches every other in time, and no lane has to be driven because its jobs live.

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

impl Sign {
    /// A job beats three times in a silence. The second beat after the one in the ledger is worth
    /// a write; where another broker heard it, this one waits a little and finds it written. Then
    /// any beat is, and there is still time for the job's next one, should this broker die now.
    fn is_to_be_written_down(&self, silence: Duration, now: Timestamp) -> bool {
        let is_worth_it = self.at >= self.written_down.plus(silence / 2);
        let is_urgent = now >= self.written_down.plus(silence * 7 / 10);
        is_worth_it || (is_urgent && self.at > self.written_down)
    }
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

    /// The leases whose last sign of life must be written down by now, each with that sign.
    #[must_use]
    pub fn to_write_down(&self, silence: Duration, now: Timestamp) -> Vec<(LeaseId, Timestamp)> {
        self.with(|heard| {
            let signs = heard.last.iter();
            let late = signs.filter(|(_, sign)| sign.is_to_be_written_down(silence, now));
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
    fn a_beat_is_written_down_when_it_is_worth_it_or_none_better_came() {
        let pulse = Pulse::default();
        let lease = LeaseId::fresh();
        let at = Timestamp::from_seconds;
        let late = |now| pulse.to_write_down(Duration::from_secs(50), at(now));
        // Too early to be worth a write, until there is no more time for another.
        pulse.beat(lease, at(100), at(124));
        assert_eq!(late(134), []);
        assert_eq!(late(135), [(lease, at(124))]);
        // Half the silence after the one in the ledger.
        pulse.beat(lease, at(100), at(125));
        assert_eq!(late(125), [(lease, at(125))]);
        pulse.wrote_down(lease, at(125));
        assert_eq!(late(200), []);
        pulse.beat(lease, at(125), at(140));
        assert_eq!(late(159), []);
        assert_eq!(late(160), [(lease, at(140))]);
        // Another broker heard it later, and wrote that down.
        pulse.wrote_down(lease, at(155));
        assert_eq!(late(300), []);
        pulse.forget(lease);
        pulse.wrote_down(lease, at(130));
        assert_eq!(late(300), []);
    }
}
