//! Taking back: an account is disabled, stamped as resting, and freed of its bindings; then it is
//! looked at, and judged.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_core::adapter::{Hand, Pass, Revocations};
use jitney_core::evidence::{Held, Hold};
use jitney_core::fault::Fault;
use jitney_core::time::Timestamp;

use crate::entitling::{Left, end_grants};
use crate::judge::{Case, Found, Times, judge};
use crate::names::{EntitlementName, PolicyName};
use crate::policy::Which;
use crate::slot::{Freshness, Seen, Slot, is_past};
use crate::stamp::{Phase, Stamp};

/// What one process remembers of an account. Forgetting it costs time, never a lease.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Since when every look found it ended, by Google's clock: two brokers' wall clocks may be
    /// minutes apart, and what one ended another must not call settled at once.
    ended_since: Option<Timestamp>,
}

impl Watch {
    /// Takes note of a look that found it ended. Gives for how long it has stood at least.
    fn ended<S: Slot>(&mut self, slot: &S, just_now: bool) -> Duration {
        self.ended_since = self
            .ended_since
            .filter(|_| !just_now)
            .or_else(|| slot.cloud_latest());
        match (self.ended_since, slot.cloud_now()) {
            (Some(since), Some(now)) => now.since(since),
            (Some(_), None) | (None, _) => Duration::ZERO,
        }
    }
}

/// Ends what is due on an account that carries one lease, and keeps ended what is held.
pub(crate) async fn take_back<S: Slot>(
    slot: &S,
    watch: &mut Watch,
    hand: Hand,
    (due, holds): (&[Case], &[Hold]),
    times: Times,
) -> Result<Pass, Fault> {
    let (over, open) = expired(slot, due, times);
    let passed = if open.is_empty() && holds.is_empty() {
        *watch = Watch::default();
        clear(slot, hand, due).await
    } else {
        bring(slot, watch, hand, (due, holds), times).await
    };
    let mut pass = passed.or_else(|fault| stumbled(slot, &over, &open, fault))?;
    pass.leases.extend(over);
    Ok(pass)
}

/// What time has ended, by Google's own clock, and what it has not.
pub(crate) fn expired<'a, S: Slot>(
    slot: &S,
    due: &'a [Case],
    times: Times,
) -> (Revocations, Vec<&'a Case>) {
    let (mut over, mut open) = (Revocations::new(), Vec::new());
    for case in due {
        match case.expired(slot.cloud_now(), times.skew) {
            Some(expired) => {
                over.insert(case.lease, Ok(expired));
            }
            None => open.push(case),
        }
    }
    (over, open)
}

/// What time has ended is over whether or not Google answers.
pub(crate) fn stumbled<S: Slot>(
    slot: &S,
    over: &Revocations,
    open: &[&Case],
    fault: Fault,
) -> Result<Pass, Fault> {
    if over.is_empty() {
        return Err(fault);
    }
    tracing::warn!(account = slot.name(), code = fault.code, fault = %fault.logged,
        "the account could not be brought to what the ledger says");
    let stumbled = |case: &&Case| (case.lease, Err(fault.clone()));
    Ok(Pass {
        leases: open.iter().map(stumbled).collect(),
        unreached: true,
        ..Pass::default()
    })
}

/// Nothing is held, and nothing is due but what time has ended: the account is made ready for the
/// next lease. It stays disabled, and stamped for as long as its stamp says that something may be
/// alive.
async fn clear<S: Slot>(slot: &S, hand: Hand, due: &[Case]) -> Result<Pass, Fault> {
    let Some(seen) = slot.look().await? else {
        return Ok(Pass::default());
    };
    let stamp = seen.described.stamp();
    let pass = told_by(slot, stamp, hand);
    let is_over = stamp.is_none_or(|stamp| is_past(slot, stamp.until));
    let rests = stamp.is_some_and(|stamp| stamp.phase == Phase::Rests);
    // Whoever knows more than we do may have lent it, or know what must stay. And one that says
    // that it is lent may carry a lease that is neither due nor held.
    if pass.took_nothing_away(hand) || due.is_empty() && !is_over && !rests {
        return Ok(pass);
    }
    if seen.enabled {
        slot.disable().await?;
    }
    let policies = due.iter().flat_map(|case| &case.policies);
    let policies = policies.chain(slot.known()).collect();
    unbind(slot, &policies, &Which::Every).await?;
    let left = end_grants(slot, &entitlements(due)).await?.left;
    if left > Left::Nothing {
        let unreached = true;
        return Ok(Pass { unreached, ..pass });
    }
    if stamp.is_some() && is_over {
        slot.describe(None).await?;
    }
    Ok(pass)
}

fn entitlements(due: &[Case]) -> BTreeSet<&EntitlementName> {
    due.iter().flat_map(|case| &case.entitlements).collect()
}

/// Ends what the account carries, looks at it, and judges.
async fn bring<S: Slot>(
    slot: &S,
    watch: &mut Watch,
    hand: Hand,
    (due, holds): (&[Case], &[Hold]),
    times: Times,
) -> Result<Pass, Fault> {
    let seen = slot.look().await?;
    let stamp = seen.as_ref().and_then(|seen| seen.described.stamp());
    let pass = told_by(slot, stamp, hand);
    let was_ended = watch.ended_since.is_some();
    let (ended, left) = match &seen {
        Some(seen) => end(slot, seen, hand, (due, holds), times).await?,
        None => (Found::Gone, Left::Nothing),
    };
    let found = match ended {
        Found::Ended { just_now, .. } => Found::Ended {
            just_now,
            stood: watch.ended(slot, just_now),
        },
        Found::NotEnded | Found::Gone => {
            *watch = Watch::default();
            ended
        }
    };
    let undone = match found {
        Found::Ended { just_now: true, .. } if was_ended => holds,
        Found::Ended { .. } | Found::NotEnded | Found::Gone => &[],
    };
    let judged = |case: &Case| (case.lease, Ok(judge(case, found, times, slot.now())));
    Ok(Pass {
        leases: due.iter().map(judged).collect(),
        undone: undone.iter().map(|hold| hold.held.clone()).collect(),
        // What is still being taken back gives nothing by a disabled account. But it would to the
        // next lease.
        unreached: found == Found::NotEnded || left > Left::Nothing,
        ..pass
    })
}

/// What a look tells of other hands, other ledgers and other clocks. By a clock that is wrong, what
/// must still be held looks over.
pub(crate) fn told_by<S: Slot>(slot: &S, stamp: Option<&Stamp>, hand: Hand) -> Pass {
    let newer = stamp
        .map(|stamp| stamp.epoch)
        .filter(|epoch| *epoch > hand.epoch);
    Pass {
        mark_seen: stamp.map(|stamp| stamp.mark),
        superseded_by: newer,
        clock_disagrees: slot.clocks_agree().is_err(),
        ..Pass::default()
    }
}

/// Ends whatever the account carries. Nothing here gives, so it is right whoever else is at it. All
/// four parts are tried, whatever becomes of the others.
async fn end<S: Slot>(
    slot: &S,
    seen: &Seen,
    hand: Hand,
    (due, holds): (&[Case], &[Hold]),
    times: Times,
) -> Result<(Found, Left), Fault> {
    let disabled = match seen.enabled {
        true => slot.disable().await,
        false => Ok(()),
    };
    let rests = resting(seen, hand, (due, holds), times);
    let stamped = match &rests {
        Some(stamp) => slot.describe(Some(stamp)).await,
        None => Ok(()),
    };
    let policies = due.iter().flat_map(|case| &case.policies);
    // Who enabled an account that rests may have given it something as well.
    let suspect = slot.known().iter().filter(|_| seen.enabled);
    let unbound = unbind(slot, &policies.chain(suspect).collect(), &Which::Every).await;
    let grants = end_grants(slot, &entitlements(due)).await;
    disabled?;
    stamped?;
    let had_bindings = unbound?;
    let grants = grants?;
    let after = if seen.enabled || rests.is_some() {
        slot.look().await?
    } else {
        Some(seen.clone())
    };
    let found = match after {
        Some(after) if !after.enabled && grants.left < Left::Standing => Found::Ended {
            just_now: seen.enabled || had_bindings || grants.had_any,
            stood: Duration::ZERO,
        },
        Some(_) => Found::NotEnded,
        None => Found::Gone,
    };
    Ok((found, grants.left))
}

/// Removes bindings of ours from the policies of what is due, as they are now, and from all others
/// that leases can have bindings in. Tells whether there were any.
pub(crate) async fn unbind<S: Slot>(
    slot: &S,
    due: &BTreeSet<&PolicyName>,
    which: &Which,
) -> Result<bool, Fault> {
    let mut had_any = false;
    let mut failed = None;
    for on in due
        .iter()
        .copied()
        .chain(slot.known().iter().filter(|on| !due.contains(on)))
    {
        let freshness = match due.contains(on) {
            true => Freshness::Now,
            false => Freshness::OfLate,
        };
        match slot.unbind(on, which, freshness).await {
            Ok(removed) => had_any |= !removed.is_empty(),
            Err(fault) => failed = failed.or(Some(fault)),
        }
    }
    failed.map_or(Ok(had_any), Err)
}

/// The stamp that the account must bear while it rests, if it does not bear it yet.
fn resting(
    seen: &Seen,
    hand: Hand,
    (due, holds): (&[Case], &[Hold]),
    times: Times,
) -> Option<Stamp> {
    // A stamp is judged by Google's clock, a hold by ours: that is what its skew is for.
    let due = due
        .iter()
        .map(|case| (case.lives_until(), Held::Grant(case.handle.clone())));
    let held = holds
        .iter()
        .map(|hold| (hold.until.minus(times.skew), hold.held.clone()));
    let (until, held) = due.chain(held).max()?;
    let ours = Stamp {
        phase: Phase::Rests,
        held,
        epoch: hand.epoch,
        mark: hand.mark,
        until: in_seconds(until),
    };
    match seen.described.stamp() {
        // Whoever is later knows more than we do. We only add what we know of.
        Some(theirs) if theirs.is_later_than(hand) => (theirs.until < ours.until).then(|| Stamp {
            until: ours.until,
            ..theirs.clone()
        }),
        Some(mine) => {
            // A later mark alone is no reason to write.
            let mark = mine.mark;
            (*mine
                != Stamp {
                    mark,
                    ..ours.clone()
                })
            .then_some(ours)
        }
        None => Some(ours),
    }
}

/// As a stamp can say it: whole seconds, and never sooner.
fn in_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_seconds(moment.plus(Duration::from_micros(999_999)).as_seconds())
}
