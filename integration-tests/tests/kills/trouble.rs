//! What the cloud does to calls in a stretch of a world: every call that changes something takes
//! its time, so that a kill finds it under way, and some are throttled, lost, or land late.

use jitney_integration_tests::kills::Chance;
use jitney_sandbox::{Fault, FaultKind};

/// More calls than a stretch has.
const EVERY: u32 = 1_000_000;

fn fault(service: &str, action: &str, fault: FaultKind, count: u32) -> Fault {
    Fault {
        service: service.to_owned(),
        action: action.to_owned(),
        skip: 0,
        count,
        fault,
    }
}

/// The faults of one stretch.
pub fn stretch(chance: &mut Chance) -> Vec<Fault> {
    let mut faults = mishaps(chance);
    faults.extend(slowness(chance));
    faults
}

/// The faults in few words.
pub fn told(faults: &[Fault]) -> String {
    let words = faults.iter().map(|fault| {
        let Fault {
            service,
            action,
            fault,
            count,
            ..
        } = fault;
        let times = if *count == EVERY {
            String::new()
        } else {
            format!(" x{count}")
        };
        format!("{service} {action} {fault:?}{times}")
    });
    format!("faults {}", words.collect::<Vec<_>>().join(", "))
}

/// Slowness alone: before the deed, so that a kill finds it undone, or after it.
pub fn slowness(chance: &mut Chance) -> Vec<Fault> {
    let calls = [
        ("sts", "AssumeRole"),
        ("iam", "PutRolePolicy"),
        ("iam", "DeleteRolePolicy"),
    ];
    let mut slow: Vec<Fault> = calls
        .into_iter()
        .map(|(service, action)| {
            let millis = chance.within(80..300);
            let kind = if chance.percent(50) {
                FaultKind::Delay { millis }
            } else {
                FaultKind::SlowAnswer { millis }
            };
            fault(service, action, kind, EVERY)
        })
        .collect();
    let millis = chance.within(10..50);
    slow.push(fault("iam", "*", FaultKind::Delay { millis }, EVERY));
    slow
}

fn mishaps(chance: &mut Chance) -> Vec<Fault> {
    let late = FaultKind::Late {
        after_millis: chance.within(100..2_500),
    };
    match chance.within(0..12) {
        0 => vec![fault("sts", "AssumeRole", FaultKind::DropAfter, 2)],
        1 => vec![fault("sts", "AssumeRole", late, 2)],
        2 => vec![fault(
            "sts",
            "AssumeRole",
            FaultKind::ServerError { status: 500 },
            2,
        )],
        3 => vec![fault("iam", "PutRolePolicy", late, 2)],
        4 => vec![fault("iam", "PutRolePolicy", FaultKind::DropAfter, 2)],
        5 => vec![fault("iam", "DeleteRolePolicy", late, 2)],
        6 => vec![fault("iam", "*", FaultKind::Throttle, 3)],
        // Cut off: nothing arrives any more, for as long as it takes to try so often.
        7 => vec![fault("*", "*", FaultKind::DropBefore, 15)],
        // Cut off on the way back: everything happens, and nobody hears of it.
        8 => vec![fault("*", "*", FaultKind::DropAfter, 10)],
        _ => Vec::new(),
    }
}
