//! What this process remembers of the lanes it drives.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::adapter::Epoch;
use crate::evidence::{Held, Hold};
use crate::plan::LaneId;
use crate::time::Timestamp;

/// How long a hand owns a lane before it must claim it again: also how long the lanes of a broker
/// that died wait for the next one. Whoever drives one for longer [prolongs](crate::usecase::Core::prolong)
/// it; a hand that stood still is stopped by its epoch.
pub const CLAIM: Duration = Duration::from_secs(6);
/// The first and the longest pause of a lane whose cloud does not answer.
const LANE_PAUSE_MIN: Duration = Duration::from_secs(1);
const LANE_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The lanes that this process drives. Forgetting what it remembers costs a claim and a look,
/// never a lease.
#[derive(Debug)]
pub struct Lanes {
    hand: String,
    driven: Mutex<HashMap<LaneId, Driven>>,
}

#[derive(Debug, Clone)]
struct Driven {
    epoch: Epoch,
    owned_until: Timestamp,
    failures: u32,
    not_before: Timestamp,
    /// When the cloud was last brought to what is due and held.
    passed_at: Option<Timestamp>,
    /// Since when every pass has found it so, with nothing undone.
    stands_since: Option<Timestamp>,
    /// The latest watermark that stood in every pass since a moment.
    watermark: Option<(Held, Timestamp)>,
}

/// How a watermark stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stands {
    /// For so long that it is in force.
    Settled(Hold),
    /// Not for long enough.
    Settling,
}

impl Lanes {
    /// The lanes of one process; `hand` names it among all brokers and is never used again.
    #[must_use]
    pub fn of(hand: String) -> Self {
        Self {
            hand,
            driven: Mutex::new(HashMap::new()),
        }
    }

    /// The name of this process among all brokers.
    #[must_use]
    pub fn hand(&self) -> &str {
        &self.hand
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<LaneId, Driven>) -> T) -> T {
        work(&mut self.driven.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn owned(&self, lane: &LaneId, now: Timestamp) -> Option<Epoch> {
        let half = CLAIM / 2;
        self.with(|driven| driven.get(lane).cloned())
            .filter(|lane| lane.owned_until > now.plus(half))
            .map(|lane| lane.epoch)
    }

    pub(super) fn claimed(&self, lane: &LaneId, epoch: Epoch, owned_until: Timestamp) {
        self.with(|driven| {
            let fresh = Driven {
                epoch,
                owned_until,
                failures: 0,
                not_before: Timestamp::default(),
                passed_at: None,
                stands_since: None,
                watermark: None,
            };
            let known = driven.entry(lane.clone()).or_insert(fresh);
            (known.epoch, known.owned_until) = (epoch, owned_until);
        });
    }

    pub(super) fn lost(&self, lane: &LaneId) {
        self.with(|driven| driven.remove(lane));
    }

    pub(super) fn failed(&self, lane: &LaneId, after: Option<Duration>, now: Timestamp) {
        self.with(|driven| {
            if let Some(lane) = driven.get_mut(lane) {
                let doubled = 1_u32.checked_shl(lane.failures).unwrap_or(u32::MAX);
                let pause = LANE_PAUSE_MIN
                    .saturating_mul(doubled)
                    .max(after.unwrap_or_default());
                lane.failures = lane.failures.saturating_add(1);
                lane.stands_since = None;
                lane.not_before = now.plus(pause.min(LANE_PAUSE_MAX));
            }
        });
    }

    /// The cloud was brought to what is held; some of it had been undone.
    pub(super) fn passed(&self, lane: &LaneId, held: &[Hold], undone: &[Held], now: Timestamp) {
        let watermarks = held.iter().filter(|hold| hold.grant().is_none());
        let latest = watermarks.map(|hold| &hold.held).max();
        self.with(|driven| {
            if let Some(lane) = driven.get_mut(lane) {
                (lane.failures, lane.not_before) = (0, Timestamp::default());
                lane.passed_at = Some(now);
                let stood = lane.stands_since.filter(|since| *since <= now);
                lane.stands_since = stood.filter(|_| undone.is_empty()).or(Some(now));
                let stood = lane.watermark.take().filter(|(known, since)| {
                    Some(known) == latest && !undone.contains(known) && *since <= now
                });
                lane.watermark = stood.or_else(|| latest.map(|latest| (latest.clone(), now)));
            }
        });
    }

    /// Whether this process has seen the latest watermark among `held` stand for so long.
    pub(super) fn watermark(
        &self,
        lane: &LaneId,
        long: Duration,
        held: &[Hold],
        now: Timestamp,
    ) -> Option<Stands> {
        let known = self.with(|driven| driven.get(lane).and_then(|lane| lane.watermark.clone()));
        let (watermark, since) = known?;
        let hold = held.iter().find(|hold| hold.held == watermark)?;
        Some(if now >= since.plus(long) {
            Stands::Settled(hold.clone())
        } else {
            Stands::Settling
        })
    }

    /// Whether this process has seen for so long that the cloud is as it should be.
    pub(super) fn stands(&self, lane: &LaneId, long: Duration, now: Timestamp) -> bool {
        let since = self.with(|driven| driven.get(lane).and_then(|lane| lane.stands_since));
        since.is_some_and(|since| now >= since.plus(long))
    }

    /// Whether the cloud was brought to what is held less than `within` ago. A clock that was set
    /// back makes the lane look untouched.
    pub(super) fn passed_within(&self, lane: &LaneId, within: Duration, now: Timestamp) -> bool {
        let passed_at = self.with(|driven| driven.get(lane).and_then(|lane| lane.passed_at));
        passed_at.is_some_and(|at| at <= now && now < at.plus(within))
    }

    /// How many lanes are resting because their cloud did not answer.
    #[must_use]
    pub fn resting_count(&self, now: Timestamp) -> u32 {
        let resting = |driven: &HashMap<LaneId, Driven>| {
            let lanes = driven.values();
            lanes.filter(|lane| now < lane.not_before).count()
        };
        u32::try_from(self.with(|driven| resting(driven))).unwrap_or(u32::MAX)
    }

    pub(super) fn resting(&self, lane: &LaneId, now: Timestamp) -> bool {
        self.with(|driven| driven.get(lane).is_some_and(|lane| now < lane.not_before))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::handle::Handle;

    const LONG: Duration = Duration::from_secs(60);

    fn lane() -> LaneId {
        LaneId {
            target: "acme-prod".parse().unwrap(),
            name: "slot-00".to_owned(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn grant() -> Held {
        Held::Grant(Handle::try_from(format!("{:019}", 1)).unwrap())
    }

    /// Lanes of which one was found as it should be at second 0.
    fn passed_once() -> Lanes {
        let lanes = Lanes::of("a".to_owned());
        lanes.claimed(&lane(), Epoch(1), at(1_000));
        lanes.passed(&lane(), &[], &[], at(0));
        lanes
    }

    #[test]
    fn a_lane_stands_once_every_pass_of_so_long_found_it_so() {
        let lanes = passed_once();
        assert!(!lanes.stands(&lane(), LONG, at(59)));
        lanes.passed(&lane(), &[], &[], at(30));
        assert!(lanes.stands(&lane(), LONG, at(60)));
    }

    #[test]
    fn what_was_undone_must_stand_anew() {
        let lanes = passed_once();
        lanes.passed(&lane(), &[], &[grant()], at(59));
        assert!(!lanes.stands(&lane(), LONG, at(118)));
        assert!(lanes.stands(&lane(), LONG, at(119)));
    }

    #[test]
    fn a_watermark_that_was_undone_must_stand_anew() {
        let hold = Hold {
            lane: lane(),
            held: Held::IssuedBefore(at(0)),
            until: at(10_000),
            lease: None,
            issued_by: None,
        };
        let (lanes, held) = (passed_once(), [hold]);
        let stands = |now| lanes.watermark(&lane(), LONG, &held, at(now));
        lanes.passed(&lane(), &held, &[], at(10));
        assert_eq!(stands(69), Some(Stands::Settling));
        assert_eq!(stands(70), Some(Stands::Settled(held[0].clone())));
        lanes.passed(&lane(), &held, &[Held::IssuedBefore(at(0))], at(80));
        assert_eq!(stands(139), Some(Stands::Settling));
        assert_eq!(stands(140), Some(Stands::Settled(held[0].clone())));
        // Nor does it stand any longer once something later does.
        let later = Hold {
            held: Held::IssuedBefore(at(5)),
            ..held[0].clone()
        };
        lanes.passed(&lane(), core::slice::from_ref(&later), &[], at(150));
        assert_eq!(stands(1_000), None);
    }

    #[test]
    fn what_could_not_be_looked_at_must_stand_anew() {
        let lanes = passed_once();
        lanes.failed(&lane(), None, at(30));
        assert!(!lanes.stands(&lane(), LONG, at(500)));
        lanes.passed(&lane(), &[], &[], at(500));
        assert!(!lanes.stands(&lane(), LONG, at(559)));
    }

    #[test]
    fn by_a_clock_that_was_set_back_nothing_has_stood() {
        let lanes = passed_once();
        lanes.passed(&lane(), &[], &[], at(-100));
        assert!(!lanes.stands(&lane(), LONG, at(-50)));
        assert!(lanes.stands(&lane(), LONG, at(-40)));
    }
}
