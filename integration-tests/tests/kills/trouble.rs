//! What the clouds do to calls in a stretch of a world: every call that changes something takes
//! its time, so that a kill finds it under way, and some are throttled, lost, or land late.

use std::ops::Range;

use jitney_integration_tests::kills::{Chance, Vendor};
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
pub fn stretch(chance: &mut Chance) -> Vec<(Vendor, Fault)> {
    let vendor = Vendor::ALL[usize::try_from(chance.within(0..3)).unwrap()];
    let mishaps = match vendor {
        Vendor::Aws => on_aws(chance),
        Vendor::Google => on_google(chance),
        Vendor::Azure => on_azure(chance),
    };
    let mut faults: Vec<_> = mishaps.into_iter().map(|fault| (vendor, fault)).collect();
    faults.extend(slowness(chance));
    faults
}

/// The faults in few words.
pub fn told(faults: &[(Vendor, Fault)]) -> String {
    let words = faults.iter().map(|(vendor, fault)| {
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
        format!("{vendor:?} {service} {action} {fault:?}{times}")
    });
    format!("faults {}", words.collect::<Vec<_>>().join(", "))
}

/// How long calls take, in milliseconds: those that change something, those of which several make
/// one change, and some that only look or come before a change. A broker that begins must log in
/// first.
const SLOW: [(Vendor, &str, &str, Range<u64>); 16] = [
    (Vendor::Aws, "sts", "AssumeRole", CHANGES),
    (Vendor::Aws, "iam", "PutRolePolicy", CHANGES),
    (Vendor::Aws, "iam", "DeleteRolePolicy", CHANGES),
    (
        Vendor::Google,
        "iamcredentials",
        "GenerateAccessToken",
        CHANGES,
    ),
    (Vendor::Google, "sts", "Token", CHANGES),
    (Vendor::Azure, "arm", "RoleAssignments_Create", CHANGES),
    (Vendor::Azure, "arm", "RoleAssignments_Delete", CHANGES),
    (
        Vendor::Azure,
        "arm",
        "RoleAssignmentScheduleRequests_Create",
        CHANGES,
    ),
    (Vendor::Google, "storage", "SetIamPolicy", PARTS),
    (Vendor::Google, "iam", "EnableServiceAccount", PARTS),
    (Vendor::Google, "iam", "DisableServiceAccount", PARTS),
    (Vendor::Google, "iam", "PatchServiceAccount", PARTS),
    (Vendor::Aws, "iam", "*", LOOKS),
    (Vendor::Google, "storage", "GetIamPolicy", LOOKS),
    (Vendor::Azure, "arm", "RoleAssignments_ListForScope", LOOKS),
    (Vendor::Azure, "entra", "Token", LOOKS),
];
const CHANGES: Range<u64> = 80..300;
const PARTS: Range<u64> = 20..80;
const LOOKS: Range<u64> = 10..50;

/// Slowness alone: before the deed, so that a kill finds it undone, or after it.
pub fn slowness(chance: &mut Chance) -> Vec<(Vendor, Fault)> {
    let slow = SLOW.into_iter().map(|(vendor, service, action, takes)| {
        let millis = chance.within(takes);
        let kind = if chance.percent(50) {
            FaultKind::Delay { millis }
        } else {
            FaultKind::SlowAnswer { millis }
        };
        (vendor, fault(service, action, kind, EVERY))
    });
    slow.collect()
}

fn late(chance: &mut Chance) -> FaultKind {
    FaultKind::Late {
        after_millis: chance.within(100..2_500),
    }
}

/// Cut off: nothing arrives any more, for as long as it takes to try so often. Or cut off on the
/// way back: everything happens, and nobody hears of it.
fn cut_off(on_the_way_back: bool) -> Vec<Fault> {
    vec![if on_the_way_back {
        fault("*", "*", FaultKind::DropAfter, 10)
    } else {
        fault("*", "*", FaultKind::DropBefore, 15)
    }]
}

const BROKEN: FaultKind = FaultKind::ServerError { status: 500 };

fn on_aws(chance: &mut Chance) -> Vec<Fault> {
    let late = late(chance);
    let (service, action, kind, count) = match chance.within(0..12) {
        0 => ("sts", "AssumeRole", FaultKind::DropAfter, 2),
        1 => ("sts", "AssumeRole", late, 2),
        2 => ("sts", "AssumeRole", BROKEN, 2),
        3 => ("iam", "PutRolePolicy", late, 2),
        4 => ("iam", "PutRolePolicy", FaultKind::DropAfter, 2),
        5 => ("iam", "DeleteRolePolicy", late, 2),
        6 => ("iam", "*", FaultKind::Throttle, 3),
        7 => return cut_off(false),
        8 => return cut_off(true),
        _ => return Vec::new(),
    };
    vec![fault(service, action, kind, count)]
}

fn on_google(chance: &mut Chance) -> Vec<Fault> {
    let late = late(chance);
    let mint = ("iamcredentials", "GenerateAccessToken");
    let policy = ("storage", "SetIamPolicy");
    let enable = ("iam", "EnableServiceAccount");
    let disable = ("iam", "DisableServiceAccount");
    let ((service, action), kind, count) = match chance.within(0..15) {
        0 => (mint, FaultKind::DropAfter, 2),
        1 => (mint, late, 2),
        2 => (mint, BROKEN, 2),
        3 => (policy, FaultKind::DropAfter, 2),
        4 => (policy, late, 2),
        5 => (enable, FaultKind::DropAfter, 2),
        6 => (enable, late, 2),
        7 => (disable, FaultKind::DropAfter, 2),
        8 => (disable, late, 2),
        9 => (("iam", "PatchServiceAccount"), late, 2),
        10 => (("iam", "*"), FaultKind::Throttle, 3),
        11 => return cut_off(false),
        12 => return cut_off(true),
        _ => return Vec::new(),
    };
    vec![fault(service, action, kind, count)]
}

fn on_azure(chance: &mut Chance) -> Vec<Fault> {
    let late = late(chance);
    let assign = ("arm", "RoleAssignments_Create");
    let request = ("arm", "RoleAssignmentScheduleRequests_Create");
    let delete = ("arm", "RoleAssignments_Delete");
    let ((service, action), kind, count) = match chance.within(0..15) {
        0 => (assign, FaultKind::DropAfter, 2),
        1 => (assign, late, 2),
        2 => (assign, BROKEN, 2),
        3 => (request, FaultKind::DropAfter, 2),
        4 => (request, late, 2),
        5 => (request, BROKEN, 2),
        6 => (delete, FaultKind::DropAfter, 2),
        7 => (delete, late, 2),
        8 => (("entra", "Token"), FaultKind::DropAfter, 2),
        9 => (("arm", "*"), FaultKind::Throttle, 3),
        10 => return cut_off(false),
        11 => return cut_off(true),
        _ => return Vec::new(),
    };
    vec![fault(service, action, kind, count)]
}
