//! What was found, and what it means for one lease. Pure: no call, no clock.

use core::time::Duration;

use jitney_core::evidence::{Evidence, Held, Revocation};
use jitney_core::guarantee::Recall;
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::lease::Revoking;
use jitney_core::time::Timestamp;

use crate::deny_list::Denied;
use crate::limits::LOOK_SECONDS_MAX;
use crate::pen::Stood;

/// How soon a Deny is looked for again that ought to be there and is not.
const LOOK_SOON: Duration = Duration::from_secs(1);

/// How long to wait before a lease is looked at again for which nothing can be done but wait.
const LOOK_LATER: Duration = Duration::from_secs(LOOK_SECONDS_MAX);

/// What must be known of a lease to judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) lease: LeaseId,
    pub(crate) handle: Handle,
    /// The last moment at which a session of this lease may be alive.
    pub(crate) exposed_until: Timestamp,
    /// When its Deny was first read back.
    pub(crate) written_at: Option<Timestamp>,
    /// How long something derived may outlive the session.
    pub(crate) derived: Duration,
    /// Whether what is derived escapes the Deny.
    pub(crate) lapses: bool,
}

impl Case {
    pub(crate) fn of(lease: &Revoking) -> Self {
        let terms = lease.terms();
        Self {
            lease: terms.id,
            handle: terms.handle.clone(),
            exposed_until: lease.exposed_until(),
            written_at: lease.written_at(),
            derived: Duration::from_secs(terms.plan.derived_seconds.into()),
            lapses: matches!(terms.recall(), Recall::Lapses { .. }),
        }
    }

    /// When nothing of this lease can be alive any more, however the clocks stand.
    pub(crate) fn dead_at(&self, skew: Duration) -> Timestamp {
        self.exposed_until.plus(self.derived).plus(skew)
    }

    /// The evidence that its time has run out, by the cloud's own clock. It needs no Deny.
    pub(crate) fn expired(
        &self,
        cloud_now: Option<Timestamp>,
        skew: Duration,
    ) -> Option<Revocation> {
        let at = cloud_now.filter(|now| *now > self.dead_at(skew))?;
        Some(Revocation::Evident {
            evidence: Evidence::Expired { at },
            hold_until: None,
        })
    }

    /// From the moment the Deny was read back to the moment nothing works any more.
    fn settles_in(&self, settle: Duration) -> Duration {
        if self.lapses {
            settle.saturating_add(self.derived)
        } else {
            settle
        }
    }

    /// The last moment at which something may work if the Deny is never in force.
    fn end(&self) -> Timestamp {
        if self.lapses {
            self.exposed_until.plus(self.derived)
        } else {
            self.exposed_until
        }
    }
}

/// What was found on the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its lists.
    Lists {
        /// What any of them denied before anything was written.
        before: Denied,
        /// What the list in use denies, read back, and for how long this process has seen each
        /// entry stand.
        after: Stood,
    },
    /// There is no such role. That does not end a session: the role may be made again under the
    /// same name, and nobody says what becomes of sessions whose role is gone.
    RoleGone,
}

/// What is true of one lease.
pub(crate) fn judge(
    case: &Case,
    found: &Found,
    settle: Duration,
    skew: Duration,
    now: Timestamp,
) -> Revocation {
    let (before, after) = match found {
        Found::Lists { before, after } => (before, after),
        Found::RoleGone => return not_written(case, now.plus(LOOK_LATER)),
    };
    let held = Held::Grant(case.handle.clone());
    let Some(stood) = after.get(&held) else {
        return not_written(case, now.plus(LOOK_SOON));
    };
    match case.written_at {
        None => settling(case, now.plus(case.settles_in(settle)), now),
        // It had been written, and somebody undid it. It is written again, but the time it takes
        // to be in force begins anew: core forgets the old one when told that it is not written.
        Some(_) if !before.contains(&held) => not_written(case, now.plus(LOOK_SOON)),
        // It has settled by the wall clock, and by a clock that nobody can set.
        Some(written_at)
            if now >= written_at.plus(case.settles_in(settle))
                && *stood >= case.settles_in(settle) =>
        {
            let settle = case.settles_in(settle).as_secs();
            Revocation::Evident {
                evidence: Evidence::Settled {
                    written_at,
                    settle_seconds: u32::try_from(settle).unwrap_or(u32::MAX),
                },
                hold_until: Some(case.dead_at(skew)).filter(|until| *until > now),
            }
        }
        Some(written_at) => {
            let left = case.settles_in(settle).saturating_sub(*stood);
            let settled_at = written_at.plus(case.settles_in(settle)).max(now.plus(left));
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
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);
    const SKEW: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn handle(number: u64) -> Handle {
        Handle::try_from(format!("{number:019}")).unwrap()
    }

    fn handles(numbers: &[u64]) -> Denied {
        numbers
            .iter()
            .map(|number| Held::Grant(handle(*number)))
            .collect()
    }

    fn case(written_at: Option<i64>) -> Case {
        Case {
            lease: LeaseId::fresh(),
            handle: handle(1),
            exposed_until: at(1_000),
            written_at: written_at.map(at),
            derived: Duration::ZERO,
            lapses: false,
        }
    }

    /// What stands has stood for as long as anybody could ask.
    fn lists(before: &[u64], after: &[u64]) -> Found {
        let for_long = |held: Held| (held, Duration::from_secs(3_600));
        Found::Lists {
            before: handles(before),
            after: handles(after).into_iter().map(for_long).collect(),
        }
    }

    fn judged(case: &Case, found: &Found, now: i64) -> Revocation {
        judge(case, found, SETTLE, SKEW, at(now))
    }

    #[test]
    fn what_was_just_written_has_still_to_settle() {
        assert_eq!(
            judged(&case(None), &lists(&[], &[1]), 100),
            Revocation::NotYet {
                written: true,
                look_again: at(110),
                exposed_until: at(110)
            }
        );
        // One second short of it there is no evidence yet.
        assert!(matches!(
            judged(&case(Some(100)), &lists(&[1], &[1]), 109),
            Revocation::NotYet { written: true, .. }
        ));
    }

    #[test]
    fn what_has_stood_for_the_settle_time_is_evident_and_held_until_the_session_is_dead() {
        assert_eq!(
            judged(&case(Some(100)), &lists(&[1, 2], &[1]), 110),
            Revocation::Evident {
                evidence: Evidence::Settled {
                    written_at: at(100),
                    settle_seconds: 10
                },
                hold_until: Some(at(1_060)),
            }
        );
    }

    /// Another broker wrote it a moment ago, by a clock that is minutes behind ours.
    #[test]
    fn what_we_have_not_seen_stand_has_not_settled_whatever_the_clocks_say() {
        let stood = |seconds| Found::Lists {
            before: handles(&[1]),
            after: Stood::from([(Held::Grant(handle(1)), Duration::from_secs(seconds))]),
        };
        assert_eq!(
            judged(&case(Some(100)), &stood(3), 200),
            Revocation::NotYet {
                written: true,
                look_again: at(207),
                exposed_until: at(207)
            }
        );
        assert!(matches!(
            judged(&case(Some(100)), &stood(10), 200),
            Revocation::Evident { .. }
        ));
    }

    #[test]
    fn what_was_not_read_back_is_not_written() {
        for (found, written_at) in [
            (lists(&[], &[]), None),
            (lists(&[1], &[2]), Some(100)),
            (lists(&[2], &[2]), Some(100)),
        ] {
            assert_eq!(
                judged(&case(written_at), &found, 500),
                Revocation::NotYet {
                    written: false,
                    look_again: at(501),
                    exposed_until: at(1_000)
                }
            );
        }
    }

    #[test]
    fn what_a_stranger_undid_settles_anew() {
        // Written at 100 and long settled, but gone when it was looked for; it is back now.
        assert_eq!(
            judged(&case(Some(100)), &lists(&[], &[1]), 500),
            Revocation::NotYet {
                written: false,
                look_again: at(501),
                exposed_until: at(1_000)
            }
        );
    }

    #[test]
    fn a_role_that_is_gone_proves_nothing() {
        for now in [100, 1_060, 5_000] {
            let found = judged(&case(Some(100)), &Found::RoleGone, now);
            assert!(matches!(found, Revocation::NotYet { written: false, .. }));
        }
    }

    #[test]
    fn time_is_up_only_by_the_clouds_clock_and_past_the_skew() {
        let case = case(None);
        assert_eq!(case.expired(None, SKEW), None);
        assert_eq!(case.expired(Some(at(1_060)), SKEW), None);
        assert_eq!(
            case.expired(Some(at(1_061)), SKEW),
            Some(Revocation::Evident {
                evidence: Evidence::Expired { at: at(1_061) },
                hold_until: None
            })
        );
    }

    #[test]
    fn what_is_derived_and_escapes_the_deny_is_waited_for() {
        let mut lasting = case(Some(100));
        (lasting.derived, lasting.lapses) = (Duration::from_secs(900), true);
        let found = lists(&[1], &[1]);
        assert_eq!(
            judged(&lasting, &found, 500),
            Revocation::NotYet {
                written: true,
                look_again: at(560),
                exposed_until: at(1_010)
            }
        );
        assert!(matches!(
            judged(&lasting, &found, 1_010),
            Revocation::Evident { hold_until: Some(until), .. } if until == at(1_960)
        ));
        // Its credential's end alone is not the end either.
        assert_eq!(lasting.expired(Some(at(1_900)), SKEW), None);
        assert!(lasting.expired(Some(at(1_961)), SKEW).is_some());
    }

    #[test]
    fn what_is_derived_and_obeys_the_deny_only_lengthens_the_hold() {
        let mut obeying = case(Some(100));
        obeying.derived = Duration::from_secs(900);
        assert!(matches!(
            judged(&obeying, &lists(&[1], &[1]), 110),
            Revocation::Evident { hold_until: Some(until), .. } if until == at(1_960)
        ));
    }
}
