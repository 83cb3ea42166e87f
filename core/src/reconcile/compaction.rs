//! Many holds, one watermark: a list of ended grants is short of room long before the grants have
//! expired. Once every live lease of a lane was issued later, all that was issued before can be
//! kept ended by one entry.

use core::time::Duration;

use crate::evidence::{Held, Hold};
use crate::plan::LaneId;
use crate::time::{SKEW_MAX, Timestamp};

/// With fewer holds there is nothing to gain.
pub(super) const FROM: usize = 32;
/// Clouds tell the time of issue in whole seconds.
const GRAIN: Duration = Duration::from_secs(1);

/// One watermark, and the holds that it replaces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compacted {
    pub(super) watermark: Hold,
    pub(super) replaced: Vec<Hold>,
}

/// The watermark that may stand for most of `held`, if it is worth it. `live_since` is when the
/// oldest lease of the lane was intended that is neither ended nor ending: what it holds was
/// issued after that, and must not be cut.
///
/// Both clocks, that of the broker who wrote a time down and the cloud's, may be off by
/// [`SKEW_MAX`]: a watermark stays that much clear of what lives, and of what it replaces.
pub(super) fn compact(
    lane: &LaneId,
    held: &[Hold],
    live_since: Option<Timestamp>,
    now: Timestamp,
) -> Option<Compacted> {
    if held.len() < FROM {
        return None;
    }
    let clear = live_since
        .map_or(now, |since| since.min(now))
        .minus(SKEW_MAX);
    let watermark = Timestamp::from_seconds(clear.as_seconds());
    let last_covered = watermark.minus(SKEW_MAX).minus(GRAIN);
    let covered = |hold: &&Hold| match &hold.held {
        Held::Grant(_) => hold.issued_by.is_some_and(|by| by < last_covered),
        Held::IssuedBefore(earlier) => *earlier <= watermark,
    };
    let replaced: Vec<Hold> = held.iter().filter(covered).cloned().collect();
    let until = replaced.iter().map(|hold| hold.until).max()?;
    let grants = replaced
        .iter()
        .filter(|hold| hold.grant().is_some())
        .count();
    (grants > FROM / 2).then(|| Compacted {
        watermark: Hold {
            lane: lane.clone(),
            held: Held::IssuedBefore(watermark),
            lease: None,
            until,
            issued_by: Some(watermark),
        },
        replaced: replaced
            .into_iter()
            .filter(|hold| hold.held != Held::IssuedBefore(watermark))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::handle::Handle;
    use crate::id::LeaseId;

    const NOW: i64 = 10_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn lane() -> LaneId {
        LaneId {
            target: "acme-prod".parse().unwrap(),
            name: "role/deploy".to_owned(),
        }
    }

    fn hold(number: i64, issued_by: Option<i64>) -> Hold {
        Hold {
            lane: lane(),
            held: Held::Grant(Handle::try_from(format!("{number:019}")).unwrap()),
            lease: Some(LeaseId::fresh()),
            until: at(NOW + 500 + number),
            issued_by: issued_by.map(at),
        }
    }

    fn holds(count: i64, issued_by: i64) -> Vec<Hold> {
        (0..count)
            .map(|number| hold(number, Some(issued_by)))
            .collect()
    }

    #[test]
    fn one_watermark_stands_for_all_that_was_issued_well_before_anything_that_lives() {
        let held = holds(40, NOW - 500);
        let compacted = compact(&lane(), &held, Some(at(NOW - 200)), at(NOW)).unwrap();
        assert_eq!(compacted.watermark.held, Held::IssuedBefore(at(NOW - 260)));
        assert_eq!(compacted.watermark.until, at(NOW + 539));
        assert_eq!(compacted.replaced, held);
    }

    #[test]
    fn nothing_that_lives_is_cut_and_nothing_that_ended_is_let_go() {
        let held = holds(40, NOW - 500);
        // A lease as old as what ended: no watermark can tell them apart.
        assert_eq!(compact(&lane(), &held, Some(at(NOW - 500)), at(NOW)), None);
        // The skew of two clocks and one second are kept clear of it, exactly.
        let just = NOW - 500 + 60 + 60 + 1;
        assert_eq!(compact(&lane(), &held, Some(at(just)), at(NOW)), None);
        assert!(compact(&lane(), &held, Some(at(just + 1)), at(NOW)).is_some());
        // A clock that was set back does not bring the watermark into the future.
        let future = compact(&lane(), &held, Some(at(NOW + 900)), at(NOW)).unwrap();
        assert_eq!(future.watermark.held, Held::IssuedBefore(at(NOW - 60)));
    }

    #[test]
    fn what_may_have_been_issued_at_any_time_is_kept_by_name() {
        let mut held = holds(40, NOW - 500);
        held.push(hold(99, None));
        held.push(hold(98, Some(NOW - 30)));
        let compacted = compact(&lane(), &held, None, at(NOW)).unwrap();
        assert_eq!(compacted.replaced.len(), 40);
    }

    #[test]
    fn few_holds_are_left_alone() {
        assert_eq!(compact(&lane(), &holds(31, NOW - 500), None, at(NOW)), None);
    }

    #[test]
    fn a_later_watermark_replaces_an_earlier_one_and_lasts_as_long() {
        let mut held = holds(40, NOW - 500);
        let earlier = Hold {
            held: Held::IssuedBefore(at(NOW - 900)),
            lease: None,
            until: at(NOW + 5_000),
            ..hold(1, None)
        };
        let later = Hold {
            held: Held::IssuedBefore(at(NOW + 60)),
            ..earlier.clone()
        };
        held.extend([earlier.clone(), later.clone()]);
        let compacted = compact(&lane(), &held, None, at(NOW)).unwrap();
        assert_eq!(compacted.watermark.until, at(NOW + 5_000));
        assert!(compacted.replaced.contains(&earlier));
        // One that reaches further than ours is no business of ours.
        assert!(!compacted.replaced.contains(&later));
    }
}
