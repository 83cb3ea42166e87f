//! What was found on a slot, and what it means for one lease. Pure: no call, no clock.

use core::time::Duration;

use jitney_core::evidence::{Evidence, Held, Revocation};
use jitney_core::guarantee::Recall;
use jitney_core::id::LeaseId;
use jitney_core::lease::{End, Revoking};
use jitney_core::time::Timestamp;

use crate::limits::{CLOCK_SKEW_SECONDS, LOOK_SECONDS_MAX, TAIL_SECONDS};

/// How soon a lease is looked at again whose role came back.
const LOOK_SOON: Duration = Duration::from_secs(1);
/// How long to wait before a lease is looked at again for which nothing can be done but wait.
const LOOK_LATER: Duration = Duration::from_secs(LOOK_SECONDS_MAX);
/// How long Azure may answer that a removed assignment is there: the slot is not given the same
/// role on the same scope meanwhile.
const TAIL: Duration = Duration::from_secs(TAIL_SECONDS);
const SKEW: Duration = Duration::from_secs(CLOCK_SKEW_SECONDS);

/// What must be known of a lease to judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) lease: LeaseId,
    pub(crate) held: Held,
    /// The last moment at which a credential of this lease may be alive.
    pub(crate) exposed_until: Timestamp,
    /// When it was first found that its roles are gone.
    pub(crate) written_at: Option<Timestamp>,
    /// How long something derived may outlive the credential.
    pub(crate) derived: Duration,
    /// Whether what is derived outlives the role.
    pub(crate) lapses: bool,
    /// Until when a call may land of which nobody knows what became of it.
    pub(crate) lands_by: Option<Timestamp>,
    /// Whether a denial may stand, which is lifted in the slot's rest.
    pub(crate) denied: bool,
}

impl Case {
    pub(crate) fn of(lease: &Revoking, denied: bool) -> Self {
        let terms = lease.terms();
        Self {
            lease: terms.id,
            held: Held::Grant(terms.handle.clone()),
            exposed_until: lease.exposed_until(),
            written_at: lease.written_at(),
            derived: Duration::from_secs(terms.plan.derived_seconds.into()),
            lapses: matches!(terms.recall(), Recall::Lapses { .. }),
            // Whatever was granted was answered for, role by role. Only of a doubted lease may
            // something still be on its way.
            lands_by: (lease.why() == End::Doubted).then(|| lease.lands_by()),
            denied,
        }
    }

    /// Whether something may still land that would give.
    pub(crate) fn may_land(&self, now: Timestamp) -> bool {
        self.lands_by.is_some_and(|lands_by| now < lands_by)
    }

    /// From the moment its roles were found gone to the moment nothing works any more.
    fn settles_in(&self, settle: Duration) -> Duration {
        if self.lapses {
            settle.saturating_add(self.derived)
        } else {
            settle
        }
    }

    /// The last moment at which something may work if nobody comes back.
    fn end(&self) -> Timestamp {
        if self.lapses {
            self.exposed_until.plus(self.derived)
        } else {
            self.exposed_until
        }
    }

    /// How long the slot must rest. What a slot can do it can do by every token that there is for
    /// it, so the next lease waits for the last of them; and it waits until Azure has forgotten
    /// the assignment.
    fn rests_until(&self, settled_at: Timestamp) -> Timestamp {
        let dead = self.exposed_until.plus(self.derived);
        dead.max(settled_at.plus(TAIL)).plus(SKEW)
    }

    /// How long it must rest at the least, from now: while a denial is lifted, and while that comes
    /// to be in force.
    fn rests_until_lifted(&self, settle: Duration, now: Timestamp) -> Timestamp {
        if self.denied {
            now.plus(LOOK_LATER).plus(settle)
        } else {
            now
        }
    }
}

/// What a pass over the slot came to, for one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Something of it still stands.
    There {
        /// When it is worth while to look again.
        look_again: Timestamp,
    },
    /// Nothing of it is there.
    Gone {
        /// Whether something was, when the pass began.
        was_there: bool,
        /// For how long this process has seen nothing.
        stood: Duration,
    },
}

/// What is true of one lease.
pub(crate) fn judge(case: &Case, found: Found, settle: Duration, now: Timestamp) -> Revocation {
    let (was_there, stood) = match found {
        Found::There { look_again } => return not_written(case, look_again),
        Found::Gone { was_there, stood } => (was_there, stood),
    };
    if let Some(lands_by) = case.lands_by.filter(|_| case.may_land(now)) {
        return not_written(case, lands_by.min(now.plus(LOOK_LATER)));
    }
    let settles_in = case.settles_in(settle);
    match case.written_at {
        None => settling(case, now.plus(settles_in), now),
        // It had been gone, and somebody brought it back. It is gone again, but the time that takes
        // to be in force begins anew: core forgets the old one when told that it is not written.
        Some(_) if was_there => not_written(case, now.plus(LOOK_SOON)),
        // It has settled by the wall clock, and by a clock that nobody can set.
        Some(written_at) if now >= written_at.plus(settles_in) && stood >= settles_in => {
            let hold_until = case.rests_until(written_at.plus(settle));
            let hold_until = hold_until.max(case.rests_until_lifted(settle, now));
            Revocation::Evident {
                evidence: Evidence::Settled {
                    written_at,
                    settle_seconds: u32::try_from(settles_in.as_secs()).unwrap_or(u32::MAX),
                },
                hold_until: Some(hold_until).filter(|until| *until > now),
            }
        }
        Some(written_at) => {
            let left = settles_in.saturating_sub(stood);
            let settled_at = written_at.plus(settles_in).max(now.plus(left));
            settling(case, settled_at, now)
        }
    }
}

fn not_written(case: &Case, look_again: Timestamp) -> Revocation {
    Revocation::NotYet {
        written: false,
        look_again,
        exposed_until: case.end(),
    }
}

fn settling(case: &Case, settled_at: Timestamp, now: Timestamp) -> Revocation {
    Revocation::NotYet {
        written: true,
        look_again: settled_at.min(now.plus(LOOK_LATER)),
        exposed_until: settled_at.min(case.end()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use jitney_core::handle::Handle;

    const SETTLE: Duration = Duration::from_secs(600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn case(written_at: Option<i64>) -> Case {
        Case {
            lease: LeaseId::fresh(),
            held: Held::Grant(Handle::try_from("0123456789abcdefghj".to_owned()).unwrap()),
            exposed_until: at(5_400),
            written_at: written_at.map(at),
            derived: Duration::ZERO,
            lapses: false,
            lands_by: None,
            denied: false,
        }
    }

    fn gone(stood: u64) -> Found {
        Found::Gone {
            was_there: false,
            stood: Duration::from_secs(stood),
        }
    }

    fn judged(case: &Case, found: Found, now: i64) -> Revocation {
        judge(case, found, SETTLE, at(now))
    }

    fn is_evident(revocation: &Revocation) -> bool {
        matches!(revocation, Revocation::Evident { .. })
    }

    #[test]
    fn the_floor_is_not_yet_and_tells_when_to_look_again() {
        let there = Found::There {
            look_again: at(305),
        };
        assert_eq!(
            judged(&case(None), there, 60),
            Revocation::NotYet {
                written: false,
                look_again: at(305),
                exposed_until: at(5_400)
            }
        );
        // Also of what had been gone: core must forget since when.
        assert_eq!(
            judged(&case(Some(10)), there, 60),
            judged(&case(None), there, 60)
        );
    }

    #[test]
    fn what_is_gone_has_still_to_settle() {
        assert_eq!(
            judged(&case(None), gone(0), 100),
            Revocation::NotYet {
                written: true,
                look_again: at(160),
                exposed_until: at(700)
            }
        );
        assert!(!is_evident(&judged(&case(Some(100)), gone(599), 699)));
        assert!(is_evident(&judged(&case(Some(100)), gone(600), 700)));
    }

    #[test]
    fn what_we_have_not_seen_gone_for_long_enough_has_not_settled_whatever_the_clocks_say() {
        assert!(!is_evident(&judged(&case(Some(100)), gone(3), 5_000)));
        assert!(!is_evident(&judged(&case(Some(100)), gone(5_000), 699)));
    }

    #[test]
    fn the_slot_rests_until_the_last_token_and_the_tail_are_over() {
        let until = |case: &Case, now: i64| match judged(case, gone(100_000), now) {
            Revocation::Evident { hold_until, .. } => hold_until,
            Revocation::NotYet { .. } => None,
        };
        assert_eq!(until(&case(Some(100)), 700), Some(at(5_460)));
        // The token is long dead, but Azure has not forgotten the assignment.
        assert_eq!(
            until(&case(Some(5_000)), 5_600),
            Some(at(5_000 + 600 + 300 + 60))
        );
        // Long dead too, but a denial has to be lifted, and that to settle.
        let mut stopped = case(Some(100));
        assert_eq!(until(&stopped, 20_000), None);
        stopped.denied = true;
        assert_eq!(until(&stopped, 20_000), Some(at(20_000 + 60 + 600)));
        let mut deriving = case(Some(100));
        deriving.derived = Duration::from_secs(5_400);
        assert_eq!(until(&deriving, 700), Some(at(5_400 + 5_400 + 60)));
    }

    #[test]
    fn of_a_doubted_lease_nothing_is_gone_before_the_last_call_can_have_landed() {
        let mut doubted = case(None);
        doubted.lands_by = Some(at(345));
        for now in [0, 344] {
            let found = judged(&doubted, gone(10_000), now);
            assert!(matches!(found, Revocation::NotYet { written: false, .. }));
        }
        let found = judged(&doubted, gone(0), 345);
        assert!(matches!(found, Revocation::NotYet { written: true, .. }));
    }

    #[test]
    fn what_a_stranger_gave_back_settles_anew() {
        let again = Found::Gone {
            was_there: true,
            stood: Duration::ZERO,
        };
        assert_eq!(
            judged(&case(Some(100)), again, 5_000),
            Revocation::NotYet {
                written: false,
                look_again: at(5_001),
                exposed_until: at(5_400)
            }
        );
    }

    #[test]
    fn what_outlives_the_role_is_waited_for() {
        let mut lasting = case(Some(100));
        (lasting.derived, lasting.lapses) = (Duration::from_secs(10_800), true);
        assert!(!is_evident(&judged(&lasting, gone(11_399), 11_499)));
        assert!(is_evident(&judged(&lasting, gone(11_400), 11_500)));
    }
}
