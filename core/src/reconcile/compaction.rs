//! Many holds, one watermark: a list of ended grants is short of room long before the grants have
//! expired. Once every live lease of a lane was issued later, all that was issued before can be
//! kept ended by one entry.
//!
//! The watermark comes first and must be in force before anything that it covers is let go: clouds
//! promise no order in which changes take effect, not even within one document.

use core::time::Duration;

use crate::evidence::{Held, Hold};
use crate::plan::LaneId;
use crate::time::{SKEW_MAX, Timestamp};

/// With fewer holds there is nothing to gain.
pub(super) const FROM: usize = 32;
/// Clouds tell the time of issue in whole seconds.
const GRAIN: Duration = Duration::from_secs(1);

/// The watermark that may stand for many of `held`, if there is not one that does already.
/// `live_since` is when the oldest lease of the lane was intended that is neither ended nor
/// ending: what it holds was issued after that, and must not be cut.
///
/// Both clocks, that of the broker who wrote a time down and the cloud's, may be off by
/// [`SKEW_MAX`]: a watermark stays that much clear of what lives, and of what it covers.
pub(super) fn watermark(
    lane: &LaneId,
    held: &[Hold],
    live_since: Option<Timestamp>,
    now: Timestamp,
) -> Option<Hold> {
    let clear = live_since
        .map_or(now, |since| since.min(now))
        .minus(SKEW_MAX);
    let moment = Timestamp::from_seconds(clear.as_seconds());
    let could_be: Vec<&Hold> = held.iter().filter(|hold| is_before(hold, moment)).collect();
    let is_covered = |hold: &&&Hold| held.iter().any(|other| covers(other, hold));
    let gained = could_be.iter().filter(|hold| !is_covered(hold)).count();
    let until = could_be.iter().map(|hold| hold.until).max()?;
    (gained >= FROM / 2).then(|| Hold {
        lane: lane.clone(),
        held: Held::IssuedBefore(moment),
        lease: None,
        until,
        issued_by: Some(moment),
    })
}

/// What may be let go because a watermark is in force.
pub(super) fn covered<'a>(watermark: &'a Hold, held: &'a [Hold]) -> impl Iterator<Item = &'a Hold> {
    held.iter().filter(|hold| covers(watermark, hold))
}

/// Whether a hold keeps ended, for as long as another must, all that the other does.
fn covers(watermark: &Hold, hold: &Hold) -> bool {
    match watermark.held {
        Held::IssuedBefore(moment) => {
            watermark != hold && hold.until <= watermark.until && is_before(hold, moment)
        }
        Held::Grant(_) => false,
    }
}

/// Whether everything a hold is about was issued before a moment, however the clocks stand.
fn is_before(hold: &Hold, moment: Timestamp) -> bool {
    match hold.held {
        Held::Grant(_) => {
            let last = moment.minus(SKEW_MAX).minus(GRAIN);
            hold.issued_by.is_some_and(|by| by < last)
        }
        Held::IssuedBefore(earlier) => earlier < moment,
    }
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

    fn at_rest(held: &[Hold], live_since: Option<i64>) -> Option<Hold> {
        watermark(&lane(), held, live_since.map(at), at(NOW))
    }

    #[test]
    fn one_watermark_stands_for_all_that_was_issued_well_before_anything_that_lives() {
        let held = holds(40, NOW - 500);
        let placed = at_rest(&held, Some(NOW - 200)).unwrap();
        assert_eq!(placed.held, Held::IssuedBefore(at(NOW - 260)));
        assert_eq!(placed.until, at(NOW + 539));
        assert_eq!(covered(&placed, &held).count(), 40);
    }

    #[test]
    fn nothing_that_lives_is_cut_and_nothing_that_ended_is_let_go() {
        let held = holds(40, NOW - 500);
        // A lease as old as what ended: no watermark can tell them apart.
        assert_eq!(at_rest(&held, Some(NOW - 500)), None);
        // The skew of two clocks and one second are kept clear of it, exactly.
        let just = NOW - 500 + 60 + 60 + 1;
        assert_eq!(at_rest(&held, Some(just)), None);
        assert!(at_rest(&held, Some(just + 1)).is_some());
        // A clock that was set back does not bring the watermark into the future.
        let future = at_rest(&held, Some(NOW + 900)).unwrap();
        assert_eq!(future.held, Held::IssuedBefore(at(NOW - 60)));
    }

    #[test]
    fn what_may_have_been_issued_at_any_time_is_kept_by_name() {
        let mut held = holds(40, NOW - 500);
        held.push(hold(99, None));
        held.push(hold(98, Some(NOW - 30)));
        let placed = at_rest(&held, None).unwrap();
        assert_eq!(covered(&placed, &held).count(), 40);
    }

    #[test]
    fn what_must_stay_longer_than_the_watermark_stays() {
        let held = holds(40, NOW - 500);
        let placed = at_rest(&held, None).unwrap();
        let longer = Hold {
            until: placed.until.plus(GRAIN),
            ..hold(1, Some(NOW - 500))
        };
        assert_eq!(covered(&placed, &[longer]).count(), 0);
    }

    #[test]
    fn few_holds_are_left_alone_and_so_are_those_that_are_covered_already() {
        assert_eq!(at_rest(&holds(15, NOW - 500), None), None);
        let mut held = holds(40, NOW - 500);
        held.extend(at_rest(&held, None));
        assert_eq!(at_rest(&held, None), None);
    }

    #[test]
    fn a_later_watermark_covers_an_earlier_one() {
        let mut held = holds(40, NOW - 500);
        let earlier = Hold {
            held: Held::IssuedBefore(at(NOW - 900)),
            lease: None,
            until: at(NOW + 5_000),
            ..hold(1, None)
        };
        let later = Hold {
            held: Held::IssuedBefore(at(NOW + 60)),
            until: at(NOW + 400),
            ..earlier.clone()
        };
        held.extend([earlier.clone(), later.clone()]);
        let placed = at_rest(&held, None).unwrap();
        assert_eq!(placed.until, at(NOW + 5_000));
        let covered: Vec<&Hold> = covered(&placed, &held).collect();
        assert!(covered.contains(&&earlier));
        // One that reaches further than ours is no business of ours.
        assert!(!covered.contains(&&later));
    }
}
