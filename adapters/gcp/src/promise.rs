//! What can be promised for one plan: the weakest of mode, target and capability.

use std::collections::BTreeMap;

use jitney_core::catalogue::{Derived, Wanted};
use jitney_core::guarantee::{Guarantees, Recall};
use jitney_core::id::CloudName;

use crate::config::GcpTarget;
use crate::terms::{Terms, Way};

/// How long something derived may still work after the token's own end. What ends with its account
/// counts as well: it works again when the account does.
pub(crate) fn derived_seconds(wanted: &[Wanted], cloud: &CloudName) -> u32 {
    let lives = derives(wanted, cloud).map(|derived| derived.life_seconds);
    lives.max().unwrap_or(0)
}

fn derives<'a>(wanted: &'a [Wanted], cloud: &'a CloudName) -> impl Iterator<Item = &'a Derived> {
    let columns = wanted.iter().filter_map(|it| it.meaning.clouds.get(cloud));
    columns.flat_map(|column| &column.derives)
}

/// The promise of a plan.
pub(crate) fn promise(
    config: &GcpTarget,
    cloud: &CloudName,
    wanted: &[Wanted],
    terms: &Terms,
) -> Guarantees {
    let mut guarantees = of_way(config, terms);
    let lasting: BTreeMap<_, _> = derives(wanted, cloud)
        .filter(|derived| !derived.ends_with_grant)
        .map(|derived| (&derived.what, derived.life_seconds))
        .collect();
    for (what, seconds) in &lasting {
        guarantees.because.push(format!(
            "a {what} lives up to {seconds} s, and whether the end of its account stops it is not \
             known"
        ));
        let within = base(config, terms).saturating_add(*seconds);
        weaken(&mut guarantees, within);
    }
    guarantees.because.extend(rests(wanted, cloud, terms));
    if wanted.iter().any(|wanted| wanted.meaning.persists) {
        guarantees.because.push(
            "what is made with it, such as accounts, keys, functions and policies, stays after the \
             lease; the time told is that of its own token"
                .to_owned(),
        );
        let derived = derived_seconds(wanted, cloud);
        weaken(&mut guarantees, terms.token_seconds.saturating_add(derived));
    }
    guarantees
}

/// What a lease costs its pool beside its own time, where that is more than a token's life.
fn rests(wanted: &[Wanted], cloud: &CloudName, terms: &Terms) -> Option<String> {
    match (&terms.way, derived_seconds(wanted, cloud)) {
        (_, 0) | (Way::Shared(_) | Way::Boundary(_), _) => None,
        (Way::Own(_) | Way::Standing | Way::Entitled { .. }, seconds) => Some(format!(
            "what was derived works again when its account does, so the account carries no other \
             lease for {seconds} s after its last token: a pool of few accounts runs out of them"
        )),
    }
}

fn weaken(guarantees: &mut Guarantees, within_seconds: u32) {
    let lapses = Recall::Lapses { within_seconds };
    guarantees.recall = guarantees.recall.weaker(lapses);
}

/// From the end of the lease to the end of its tokens.
fn base(config: &GcpTarget, terms: &Terms) -> u32 {
    match terms.way {
        Way::Own(_) | Way::Standing | Way::Entitled { .. } => config.severs_within_seconds(),
        Way::Shared(_) | Way::Boundary(_) => terms.token_seconds,
    }
}

fn of_way(config: &GcpTarget, terms: &Terms) -> Guarantees {
    let within_seconds = base(config, terms);
    let (recall, ends_by_itself, because) = match terms.way {
        Way::Own(_) => (
            Recall::Severs { within_seconds },
            true,
            format!(
                "Google cannot end a token; disabling its account does, and is in force \
                 {within_seconds} s after the lease's end, or at the token's own end while IAM \
                 cannot be reached"
            ),
        ),
        Way::Standing => (
            Recall::Severs { within_seconds },
            false,
            format!(
                "the account's bindings stand for ever, so nothing but its being disabled, \
                 {within_seconds} s after the lease's end, and the token's own end stops it"
            ),
        ),
        Way::Entitled { .. } => (
            Recall::Severs { within_seconds },
            true,
            format!(
                "Google cannot end a token; disabling its account does, and is in force \
                 {within_seconds} s after the lease's end. Privileged Access Manager takes the role \
                 back in its own time; until it says so, the account carries no other lease"
            ),
        ),
        Way::Shared(_) => (
            Recall::Lapses { within_seconds },
            true,
            "the account carries other leases, so it is not disabled: until its own end a token \
             may do what any lease of its account may, and a binding that was removed can work for \
             7 minutes and longer"
                .to_owned(),
        ),
        Way::Boundary(_) => (
            Recall::Lapses { within_seconds },
            true,
            "a token that an access boundary narrows cannot be ended before its own end".to_owned(),
        ),
    };
    Guarantees {
        ttl_seconds_min: config.severs_within_seconds(),
        ttl_seconds_max: config.max_token_seconds,
        recall,
        ends_by_itself,
        because: vec![because],
    }
}
