//! Taking back: an account is disabled, stamped as resting, and freed of its bindings; then it is
//! looked at, and judged.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_core::adapter::{Hand, Pass, Revocations};
use jitney_core::evidence::{Held, Hold};
use jitney_core::fault::Fault;
use jitney_core::time::Timestamp;

use crate::judge::{Case, Found, Times, judge};
use crate::names::PolicyName;
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
    let brought = match (due, holds) {
        ([], []) => idle(slot, watch, hand).await,
        // What time has ended has nobody who comes back for it.
        _ if open.is_empty() && holds.is_empty() => spent(slot, watch, hand, due).await,
        _ => bring(slot, watch, hand, (due, holds), times).await,
    };
    let mut pass = match brought {
        Ok(brought) => {
            let judged = |case: &&Case| {
                let judged = judge(case, brought.found, times, slot.now());
                (case.lease, Ok(judged))
            };
            Pass {
                leases: open.iter().map(judged).collect(),
                unreached: brought.found == Found::NotEnded,
                ..brought.pass
            }
        }
        Err(fault) => stumbled(slot, &over, &open, fault)?,
    };
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

/// What was done about an account, and what was found there.
struct Brought {
    found: Found,
    pass: Pass,
}

/// Nothing is due and nothing is held. Whoever knows more than we do may have lent the account, or
/// know what must stay; and one that says that it is lent may carry a lease that is neither due nor
/// held.
async fn idle<S: Slot>(slot: &S, watch: &mut Watch, hand: Hand) -> Result<Brought, Fault> {
    at_rest(slot, watch, hand, &[], |seen| {
        let stamp = seen.described.stamp();
        stamp.is_none_or(|stamp| stamp.phase == Phase::Rests || is_past(slot, stamp.until))
    })
    .await
}

/// All that is due was ended by time.
async fn spent<S: Slot>(
    slot: &S,
    watch: &mut Watch,
    hand: Hand,
    due: &[Case],
) -> Result<Brought, Fault> {
    at_rest(slot, watch, hand, due, |_| true).await
}

/// Makes an account ready for the next lease. It stays disabled, and stamped for as long as its
/// stamp says that something may be alive.
async fn at_rest<S: Slot>(
    slot: &S,
    watch: &mut Watch,
    hand: Hand,
    due: &[Case],
    is_ours_to_free: impl Fn(&Seen) -> bool,
) -> Result<Brought, Fault> {
    *watch = Watch::default();
    let found = Found::Gone;
    let Some(seen) = slot.look().await? else {
        let pass = Pass::default();
        return Ok(Brought { found, pass });
    };
    let pass = told_by(slot, seen.described.stamp(), hand);
    if !pass.took_nothing_away(hand) && is_ours_to_free(&seen) {
        if seen.enabled {
            slot.disable().await?;
        }
        let policies = due.iter().flat_map(|case| &case.policies);
        let policies = policies.chain(slot.known()).collect();
        unbind(slot, &policies, &Which::Every).await?;
        let stamp = seen.described.stamp();
        if stamp.is_some_and(|stamp| is_past(slot, stamp.until)) {
            slot.describe(None).await?;
        }
    }
    Ok(Brought { found, pass })
}

async fn bring<S: Slot>(
    slot: &S,
    watch: &mut Watch,
    hand: Hand,
    (due, holds): (&[Case], &[Hold]),
    times: Times,
) -> Result<Brought, Fault> {
    let Some(seen) = slot.look().await? else {
        *watch = Watch::default();
        let pass = Pass::default();
        let found = Found::Gone;
        return Ok(Brought { found, pass });
    };
    let was_ended = watch.ended_since.is_some();
    let found = match end(slot, &seen, hand, (due, holds), times).await? {
        Found::Ended { just_now, .. } => Found::Ended {
            just_now,
            stood: watch.ended(slot, just_now),
        },
        not_ended @ (Found::NotEnded | Found::Gone) => {
            *watch = Watch::default();
            not_ended
        }
    };
    let undone = match found {
        Found::Ended { just_now: true, .. } if was_ended => {
            holds.iter().map(|hold| hold.held.clone()).collect()
        }
        Found::Ended { .. } | Found::NotEnded | Found::Gone => Vec::new(),
    };
    let pass = told_by(slot, seen.described.stamp(), hand);
    let pass = Pass { undone, ..pass };
    Ok(Brought { found, pass })
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
/// three parts are tried, whatever becomes of the others.
async fn end<S: Slot>(
    slot: &S,
    seen: &Seen,
    hand: Hand,
    (due, holds): (&[Case], &[Hold]),
    times: Times,
) -> Result<Found, Fault> {
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
    disabled?;
    stamped?;
    let had_bindings = unbound?;
    let after = if seen.enabled || rests.is_some() {
        slot.look().await?
    } else {
        Some(seen.clone())
    };
    Ok(match after {
        Some(after) if !after.enabled => Found::Ended {
            just_now: seen.enabled || had_bindings,
            stood: Duration::ZERO,
        },
        Some(_) => Found::NotEnded,
        None => Found::Gone,
    })
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
