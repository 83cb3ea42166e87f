//! What was found, and what it means for one lease. Pure: no call, no clock.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_core::evidence::{Evidence, Revocation};
use jitney_core::guarantee::Recall;
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::lease::Revoking;
use jitney_core::time::Timestamp;

use crate::lending::condition_ends;
use crate::limits::{LOOK_SECONDS_MAX, REMOVAL_SECONDS};
use crate::names::{EntitlementName, PolicyName};
use crate::terms::{Terms, Way};

/// How soon is looked again for what ought to be there and is not.
const LOOK_SOON: Duration = Duration::from_secs(1);

/// How long to wait before a lease is looked at again for which nothing can be done but wait.
const LOOK_LATER: Duration = Duration::from_secs(LOOK_SECONDS_MAX);

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// From an account that was read back as disabled to its tokens being refused.
    pub(crate) settle: Duration,
    /// How far the clocks may be apart.
    pub(crate) skew: Duration,
}

/// What must be known of a lease to take it back and to judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) lease: LeaseId,
    pub(crate) handle: Handle,
    /// The policies in which its bindings may be.
    pub(crate) policies: BTreeSet<PolicyName>,
    /// The entitlements of which its account may have grants.
    pub(crate) entitlements: BTreeSet<EntitlementName>,
    /// The last moment at which a token of this lease may be alive.
    pub(crate) exposed_until: Timestamp,
    /// When what gives it its roles is over, if the account carries no other lease.
    pub(crate) bound_until: Option<Timestamp>,
    /// When what ends it was first read back.
    pub(crate) written_at: Option<Timestamp>,
    /// How long something derived may outlive the token.
    pub(crate) derived: Duration,
    /// Whether what is derived escapes the end of the account.
    pub(crate) lapses: bool,
}

impl Case {
    pub(crate) fn of(lease: &Revoking) -> Self {
        let terms = lease.terms();
        let plan: Option<Terms> = serde_json::from_value(terms.plan.terms.clone()).ok();
        if plan.is_none() {
            tracing::error!(lease = %terms.id, "the plan of a lease cannot be read: its bindings \
                are looked for in the policies of the inventory only");
        }
        let way = plan.as_ref().map(|plan| &plan.way);
        let grants = way.into_iter().flat_map(Way::grants);
        let bound_until = match way {
            None | Some(Way::Own(_)) => Some(condition_ends(terms.absolute_end)),
            // A grant's end counts from the moment at which it came to be, and nobody can say how
            // late that is.
            Some(Way::Entitled { .. }) => Some(Timestamp::FAR_FUTURE),
            Some(Way::Standing | Way::Shared(_) | Way::Boundary(_)) => None,
        };
        Self {
            lease: terms.id,
            handle: terms.handle.clone(),
            policies: grants.map(|grant| grant.on.clone()).collect(),
            exposed_until: lease.exposed_until(),
            entitlements: way
                .into_iter()
                .flat_map(Way::entitlements)
                .cloned()
                .collect(),
            bound_until,
            written_at: lease.written_at(),
            derived: Duration::from_secs(terms.plan.derived_seconds.into()),
            lapses: matches!(terms.recall(), Recall::Lapses { .. }),
        }
    }

    /// When nothing of this lease can be alive any more, by Google's clock.
    pub(crate) fn lives_until(&self) -> Timestamp {
        self.exposed_until.plus(self.derived)
    }

    /// The same, however the clocks stand.
    pub(crate) fn dead_at(&self, skew: Duration) -> Timestamp {
        self.lives_until().plus(skew)
    }

    /// The evidence that its time has run out, by the cloud's own clock. It needs nothing of ours.
    /// But its bindings may outlast its tokens: the next lease's token must not meet them.
    pub(crate) fn expired(&self, cloud: Option<Timestamp>, skew: Duration) -> Option<Revocation> {
        let at = cloud.filter(|now| *now > self.dead_at(skew))?;
        let gone_round = at.plus(Duration::from_secs(REMOVAL_SECONDS));
        let bound_until = self.bound_until.filter(|until| *until > at);
        Some(Revocation::Evident {
            evidence: Evidence::Expired { at },
            hold_until: bound_until.map(|until| until.min(gone_round).plus(skew)),
        })
    }

    /// From what ends it being read back to the moment nothing works any more.
    fn settles_in(&self, settle: Duration) -> Duration {
        if self.lapses {
            settle.saturating_add(self.derived)
        } else {
            settle
        }
    }

    /// The last moment at which something may work if it is never ended.
    fn end(&self) -> Timestamp {
        if self.lapses {
            self.lives_until()
        } else {
            self.exposed_until
        }
    }

    /// Until when the account must rest: its tokens wake when it is enabled, and the next lease's
    /// token could meet bindings whose removal has not gone round.
    fn rests_until(&self, written_at: Timestamp, skew: Duration) -> Timestamp {
        let gone_round = written_at.plus(Duration::from_secs(REMOVAL_SECONDS));
        self.dead_at(skew).max(gone_round.plus(skew))
    }
}

/// What was found of an account that carries one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is disabled, no binding of ours names it, and no grant of it gives.
    Ended {
        /// Whether it had to be ended just now.
        just_now: bool,
        /// For how long this process has seen it so.
        stood: Duration,
    },
    /// It is not, although it was asked for.
    NotEnded,
    /// There is no such account. That proves nothing: it can be undeleted.
    Gone,
}

/// What is true of one lease.
pub(crate) fn judge(case: &Case, found: Found, times: Times, now: Timestamp) -> Revocation {
    let (just_now, stood) = match found {
        Found::Ended { just_now, stood } => (just_now, stood),
        Found::NotEnded => return not_written(case, now.plus(LOOK_SOON)),
        Found::Gone => return not_written(case, now.plus(LOOK_LATER)),
    };
    let settle = case.settles_in(times.settle);
    match case.written_at {
        None => settling(case, now.plus(settle), now),
        // It had been ended, and somebody undid it. It is ended again, but the time it takes to be
        // in force begins anew: core forgets the old one when told that it is not written.
        Some(_) if just_now => not_written(case, now.plus(LOOK_SOON)),
        // It has settled by the wall clock, and by a clock that nobody can set.
        Some(written_at) if now >= written_at.plus(settle) && stood >= settle => {
            let rests_until = case.rests_until(written_at, times.skew);
            Revocation::Evident {
                evidence: Evidence::Settled {
                    written_at,
                    settle_seconds: u32::try_from(settle.as_secs()).unwrap_or(u32::MAX),
                },
                hold_until: Some(rests_until).filter(|until| *until > now),
            }
        }
        Some(written_at) => {
            let left = settle.saturating_sub(stood);
            settling(case, written_at.plus(settle).max(now.plus(left)), now)
        }
    }
}

/// What is true of a lease whose tokens nothing ends before their own end. `written` tells whether
/// its bindings are gone.
pub(crate) fn waits(case: &Case, written: bool, now: Timestamp) -> Revocation {
    Revocation::NotYet {
        written,
        look_again: case
            .end()
            .max(now.plus(LOOK_SOON))
            .min(now.plus(LOOK_LATER)),
        exposed_until: case.end(),
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
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TIMES: Times = Times {
        settle: Duration::from_secs(60),
        skew: Duration::from_secs(60),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    pub(crate) fn case(written_at: Option<i64>) -> Case {
        Case {
            lease: LeaseId::fresh(),
            handle: Handle::try_from(format!("{:019}", 1)).unwrap(),
            policies: BTreeSet::new(),
            entitlements: BTreeSet::new(),
            exposed_until: at(2_000),
            bound_until: None,
            written_at: written_at.map(at),
            derived: Duration::ZERO,
            lapses: false,
        }
    }

    const fn ended(stood: u64) -> Found {
        Found::Ended {
            just_now: false,
            stood: Duration::from_secs(stood),
        }
    }

    fn judged(case: &Case, found: Found, now: i64) -> Revocation {
        judge(case, found, TIMES, at(now))
    }

    #[test]
    fn what_was_just_ended_has_still_to_settle() {
        let not_yet = |until| Revocation::NotYet {
            written: true,
            look_again: at(until),
            exposed_until: at(until),
        };
        assert_eq!(judged(&case(None), ended(0), 100), not_yet(160));
        // One second short of it there is no evidence yet.
        assert_eq!(judged(&case(Some(100)), ended(59), 159), not_yet(160));
        // Nor when a wall clock says so that this process has not lived through.
        assert_eq!(judged(&case(Some(100)), ended(3), 500), not_yet(557));
    }

    #[test]
    fn an_account_rests_until_its_tokens_are_dead() {
        assert_eq!(
            judged(&case(Some(100)), ended(60), 160),
            Revocation::Evident {
                evidence: Evidence::Settled {
                    written_at: at(100),
                    settle_seconds: 60
                },
                hold_until: Some(at(2_060)),
            }
        );
    }

    #[test]
    fn and_until_the_removal_of_its_bindings_has_gone_round() {
        // Its token ends at 2000, and its bindings were removed shortly before.
        let Revocation::Evident { hold_until, .. } = judged(&case(Some(1_990)), ended(60), 2_050)
        else {
            unreachable!("it has settled");
        };
        assert_eq!(hold_until, Some(at(2_650)));
    }

    #[test]
    fn what_is_derived_wakes_with_the_account_and_lengthens_its_rest() {
        let mut derives = case(Some(100));
        derives.derived = Duration::from_secs(604_800);
        assert!(matches!(
            judged(&derives, ended(60), 160),
            Revocation::Evident { hold_until: Some(until), .. } if until == at(606_860)
        ));
        // What escapes the account is waited for.
        derives.lapses = true;
        assert!(matches!(
            judged(&derives, ended(60), 160),
            Revocation::NotYet { written: true, .. }
        ));
    }

    #[test]
    fn what_was_not_read_back_or_is_gone_proves_nothing() {
        for (found, look_again) in [(Found::NotEnded, 501), (Found::Gone, 560)] {
            assert_eq!(
                judged(&case(Some(100)), found, 500),
                Revocation::NotYet {
                    written: false,
                    look_again: at(look_again),
                    exposed_until: at(2_000)
                }
            );
        }
    }

    #[test]
    fn bindings_that_outlast_their_tokens_keep_the_account_from_the_next_lease() {
        for (bound_until, hold_until) in [(2_000, None), (2_100, Some(2_160)), (9_000, Some(2_721))]
        {
            let mut bound = case(None);
            bound.bound_until = Some(at(bound_until));
            let expired = bound.expired(Some(at(2_061)), TIMES.skew);
            let Some(Revocation::Evident {
                hold_until: held, ..
            }) = expired
            else {
                unreachable!("its time is up");
            };
            assert_eq!(held, hold_until.map(at), "{bound_until}");
        }
    }

    #[test]
    fn what_a_stranger_undid_settles_anew() {
        let found = Found::Ended {
            just_now: true,
            stood: Duration::ZERO,
        };
        assert_eq!(
            judged(&case(Some(100)), found, 500),
            Revocation::NotYet {
                written: false,
                look_again: at(501),
                exposed_until: at(2_000)
            }
        );
    }

    #[test]
    fn time_is_up_only_by_the_clouds_clock_and_past_the_skew() {
        let case = case(None);
        assert_eq!(case.expired(None, TIMES.skew), None);
        assert_eq!(case.expired(Some(at(2_060)), TIMES.skew), None);
        assert_eq!(
            case.expired(Some(at(2_061)), TIMES.skew),
            Some(Revocation::Evident {
                evidence: Evidence::Expired { at: at(2_061) },
                hold_until: None
            })
        );
        // Until then, what nothing ends is waited for.
        assert_eq!(
            waits(&case, true, at(500)),
            Revocation::NotYet {
                written: true,
                look_again: at(560),
                exposed_until: at(2_000)
            }
        );
    }
}
