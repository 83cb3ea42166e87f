//! What can be promised for a plan: the weakest of mode, target and capability.

use jitney_core::catalogue::{Derived, Wanted};
use jitney_core::guarantee::{Guarantees, Recall};

use crate::capability::Carries;
use crate::config::{AzureTarget, FastStop, HandsOut, Mode};
use crate::limits::{ASSIGNMENT_SECONDS_MIN, TOKEN_SECONDS_MAX};

/// The shortest lease that makes sense where nothing keeps an assignment standing.
const PLAIN_SECONDS_MIN: u32 = 60;

pub(crate) fn guarantees(
    target: &AzureTarget,
    kind: Carries,
    wanted: &[Wanted],
    lasting: &[&Derived],
    derived_seconds: u32,
) -> Guarantees {
    let severs = target.severs_within_seconds();
    let mut because = vec![mode(target)];
    because.extend(target.fast_stop.map(|stop| fast_stop(stop, kind)));
    let mut recall = Recall::Severs {
        within_seconds: severs,
    };
    if target.hands_out == HandsOut::Assertion {
        because.push(format!(
            "the job logs in itself: what it gets by it lives up to {TOKEN_SECONDS_MAX} s, and does \
             nothing once the role is gone"
        ));
    }
    for derived in lasting {
        because.push(format!(
            "a {} lives up to {} s and is not known to end with the role",
            derived.what, derived.life_seconds
        ));
        recall = recall.weaker(Recall::Lapses {
            within_seconds: severs.saturating_add(derived_seconds),
        });
    }
    if wanted.iter().any(|wanted| wanted.meaning.persists) {
        because.push(
            "what is made with it, such as identities, keys and functions, stays after the lease; \
             the time told is that of its own credentials"
                .to_owned(),
        );
        recall = recall.weaker(Recall::Lapses {
            within_seconds: severs.saturating_add(derived_seconds),
        });
    }
    Guarantees {
        ttl_seconds_min: match target.mode {
            Mode::Pim => ASSIGNMENT_SECONDS_MIN,
            Mode::Rbac => PLAIN_SECONDS_MIN,
        },
        ttl_seconds_max: target.max_lease_seconds,
        recall,
        ends_by_itself: target.mode == Mode::Pim,
        because,
    }
}

fn mode(target: &AzureTarget) -> String {
    let (severs, settle) = (target.severs_within_seconds(), target.settle_seconds);
    match target.mode {
        Mode::Pim => format!(
            "a token cannot be ended, only the role taken from its identity: PIM lets no role be \
             taken in its first five minutes, and that it was taken is in force {settle} s later, so \
             {severs} s after the lease's end at the latest"
        ),
        Mode::Rbac => format!(
            "a token cannot be ended, only the role taken from its identity, which is in force \
             {severs} s after the lease's end; if nobody takes it, it stays"
        ),
    }
}

/// What a fast stop adds. Not a second to the promise: nobody has measured one.
fn fast_stop(FastStop::DenyAssignment: FastStop, kind: Carries) -> String {
    let reach = match kind {
        Carries::Blobs => "Microsoft's own tools say that none is taken for data",
        Carries::Role => "it stops what writes, deletes and acts, and not what reads",
    };
    format!(
        "while PIM lets no role be taken, a deny assignment is asked for: {reach}, and how soon it is \
         in force nobody promises"
    )
}
