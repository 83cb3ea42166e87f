//! What a pass over a slot takes away, and what it says of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use jitney_core::adapter::Mark;

use super::*;
use crate::standing::Active;

const ONE: &str = "0123456789abcdefghj";
const OTHER: &str = "jhgfedcba9876543210";
const SETTLE: u64 = 600;

fn handle(text: &str) -> Handle {
    Handle::try_from(text.to_owned()).unwrap()
}

fn held(text: &str) -> Held {
    Held::Grant(handle(text))
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(seconds).unwrap())
}

fn place(role: u128) -> RoleAt {
    let scope = Scope::subscription(Uuid::from_u128(1));
    (Uuid::from_u128(role), scope)
}

fn standing(role: u128, of: Option<&str>) -> Standing {
    let (role, scope) = place(role);
    Standing {
        role,
        scope,
        active: Some(Active { since: None }),
        assignment: None,
        handle: of.map(handle),
        mark: None,
        condition: None,
    }
}

fn seen(standing: &[Standing]) -> Seen {
    Seen {
        standing: standing.to_vec(),
        ..Seen::default()
    }
}

fn due(of: &str, role: u128) -> DueLease {
    DueLease {
        case: Case {
            lease: LeaseId::fresh(),
            held: held(of),
            exposed_until: at(5_400),
            written_at: None,
            derived: Duration::ZERO,
            lapses: false,
            lands_by: None,
            denied: false,
        },
        handle: handle(of),
        places: BTreeSet::from([place(role)]),
        denials: BTreeMap::new(),
    }
}

fn duty(leases: Vec<DueLease>, held: &[Held]) -> Duty {
    Duty {
        principal: Uuid::from_u128(7),
        mode: Mode::Pim,
        denials: Denials::Expected,
        leases,
        held: held.iter().cloned().collect(),
    }
}

/// One pass at a second, by both clocks.
fn pass(duty: &Duty, before: &Seen, after: &Seen, calm: &mut Calm, second: u64) -> Pass {
    let removals = BTreeMap::new();
    let round = Round {
        duty,
        before,
        after,
        removals: &removals,
        now: at(second),
        passed: Duration::from_secs(second),
        settle: Duration::from_secs(SETTLE),
    };
    round.pass(calm)
}

#[test]
fn what_is_due_or_held_goes_and_a_lease_that_lives_stays() {
    let alive = standing(2, Some(OTHER));
    let strange = standing(3, None);
    let due_one = duty(vec![due(ONE, 1)], &[]);
    assert_eq!(due_one.ends(&standing(1, Some(ONE))), Some(&handle(ONE)));
    // By its place, whoever has written over the stamp; by its stamp, wherever it is.
    assert_eq!(due_one.ends(&standing(1, None)), Some(&handle(ONE)));
    assert_eq!(due_one.ends(&standing(9, Some(ONE))), Some(&handle(ONE)));
    assert_eq!(due_one.ends(&alive), None);
    assert_eq!(due_one.ends(&strange), None);
    let held_one = duty(Vec::new(), &[held(ONE)]);
    assert_eq!(held_one.ends(&standing(1, Some(ONE))), Some(&handle(ONE)));
    assert_eq!(held_one.ends(&alive), None);
    let cut = duty(Vec::new(), &[Held::IssuedBefore(at(5))]);
    assert_eq!(cut.ends(&alive), Some(&handle(OTHER)));
    assert_eq!(cut.ends(&strange), None);
    let nothing = duty(Vec::new(), &[]);
    assert_eq!(nothing.ends(&alive), None);
}

#[test]
fn what_is_held_and_cannot_go_yet_is_not_reached() {
    let cut = duty(Vec::new(), &[Held::IssuedBefore(at(5))]);
    let there = seen(&[standing(1, Some(ONE))]);
    let mut calm = Calm::default();
    assert!(pass(&cut, &there, &there, &mut calm, 10).unreached);
    assert!(!pass(&cut, &there, &seen(&[]), &mut calm, 20).unreached);
}

#[test]
fn a_slot_that_a_stranger_gave_something_rests_until_it_is_gone() {
    let resting = duty(Vec::new(), &[held(ONE)]);
    let strange = seen(&[standing(3, None)]);
    let mut calm = Calm::default();
    assert!(pass(&resting, &strange, &strange, &mut calm, 10).unreached);
    let above = Seen {
        above: vec!["/x".to_owned()],
        ..Seen::default()
    };
    assert!(pass(&resting, &above, &above, &mut calm, 20).unreached);
    // An active lease is nobody's quarantine.
    let empty = duty(Vec::new(), &[]);
    assert!(!pass(&empty, &strange, &strange, &mut calm, 30).unreached);
}

#[test]
fn what_was_gone_and_is_back_was_undone() {
    let resting = duty(Vec::new(), &[held(ONE)]);
    let back = seen(&[standing(1, Some(ONE))]);
    let mut calm = Calm::default();
    assert!(
        pass(&resting, &seen(&[]), &seen(&[]), &mut calm, 10)
            .undone
            .is_empty()
    );
    let undone = pass(&resting, &back, &seen(&[]), &mut calm, 20).undone;
    assert_eq!(undone, [held(ONE)]);
    assert!(
        pass(&resting, &seen(&[]), &seen(&[]), &mut calm, 30)
            .undone
            .is_empty()
    );
}

#[test]
fn a_lease_is_over_once_it_was_seen_gone_for_long_enough() {
    let mut lease = due(ONE, 1);
    let id = lease.case.lease;
    let there = seen(&[standing(1, Some(ONE))]);
    let mut calm = Calm::default();
    let first = pass(
        &duty(vec![due(ONE, 1)], &[]),
        &there,
        &seen(&[]),
        &mut calm,
        100,
    );
    let first = first.leases.values().next().unwrap().clone();
    assert!(
        matches!(first, Ok(Revocation::NotYet { written: true, .. })),
        "{first:?}"
    );
    lease.case.written_at = Some(at(100));
    let lease = duty(vec![lease], &[]);
    let mut at_second = |second| {
        let pass = pass(&lease, &seen(&[]), &seen(&[]), &mut calm, second);
        pass.leases.get(&id).unwrap().clone()
    };
    assert!(matches!(
        at_second(699),
        Ok(Revocation::NotYet { written: true, .. })
    ));
    assert!(matches!(at_second(700), Ok(Revocation::Evident { .. })));
}

#[test]
fn a_removal_that_failed_is_told_only_while_the_role_stands() {
    let lease = duty(vec![due(ONE, 1)], &[]);
    let there = seen(&[standing(1, Some(ONE))]);
    let failed = own_fault(
        FaultKind::Permanent,
        "azure_access_denied",
        "no",
        String::new(),
    );
    let removals = BTreeMap::from([(place(1), Removal::Failed(failed))]);
    let judged = |after: &Seen| {
        let round = Round {
            duty: &lease,
            before: &there,
            after,
            removals: &removals,
            now: at(10),
            passed: Duration::from_secs(10),
            settle: Duration::from_secs(SETTLE),
        };
        let pass = round.pass(&mut Calm::default());
        pass.leases.into_values().next().unwrap()
    };
    // A refusal is no sign that it is gone.
    assert_eq!(judged(&there).unwrap_err().code, "azure_access_denied");
    assert!(judged(&seen(&[])).is_ok());
}

#[test]
fn a_request_that_may_yet_be_carried_out_keeps_a_lease_open() {
    let lease = duty(vec![due(ONE, 1)], &[]);
    let open = Seen {
        open: vec![Open {
            name: "x".to_owned(),
            place: place(1),
            handle: handle(ONE),
        }],
        ..Seen::default()
    };
    assert!(lease.calls_off(&open.open[0]));
    let pass = pass(&lease, &open, &open, &mut Calm::default(), 10);
    let found = pass.leases.into_values().next().unwrap();
    assert!(
        matches!(found, Ok(Revocation::NotYet { written: false, .. })),
        "{found:?}"
    );
}

fn denied(of: &str, role: u128) -> Denied {
    Denied {
        name: Uuid::from_u128(role),
        scope: Scope::subscription(Uuid::from_u128(role)),
        handle: handle(of),
        mark: Mark::default(),
    }
}

fn seen_denied(standing: &[Standing], denied: &[Denied]) -> Seen {
    Seen {
        denied: denied.to_vec(),
        ..seen(standing)
    }
}

#[test]
fn a_slot_is_not_reached_while_a_denial_of_ours_stands_that_is_nobodys_due() {
    let there = seen_denied(&[], &[denied(ONE, 1)]);
    let mut calm = Calm::default();
    for held in [vec![held(ONE)], vec![Held::IssuedBefore(at(5))], vec![]] {
        let resting = duty(Vec::new(), &held);
        assert!(pass(&resting, &there, &there, &mut calm, 10).unreached);
        let pass = pass(&resting, &there, &seen(&[]), &mut calm, 20);
        assert!(!pass.unreached);
        // Nobody has undone anything.
        assert!(pass.undone.is_empty());
    }
    let ending = duty(vec![due(ONE, 1)], &[]);
    assert!(!pass(&ending, &there, &there, &mut calm, 30).unreached);
}

#[test]
fn only_what_has_ended_is_lifted() {
    let one = denied(ONE, 1);
    assert!(duty(Vec::new(), &[held(ONE)]).is_over(&one));
    assert!(duty(Vec::new(), &[Held::IssuedBefore(at(5))]).is_over(&one));
    assert!(!duty(vec![due(ONE, 1)], &[]).is_over(&one));
    // A cut covers everything, but a lease that has not ended needs it.
    let cut = [Held::IssuedBefore(at(5))];
    assert!(!duty(vec![due(ONE, 1)], &cut).is_over(&one));
    assert!(!duty(Vec::new(), &[held(OTHER)]).is_over(&one));
    assert!(!duty(Vec::new(), &[]).is_over(&one));
}

#[test]
fn a_denial_is_needless_once_its_role_was_seen_gone_for_long_enough() {
    let (one, second) = (denied(ONE, 5), Duration::from_secs);
    let gone = seen_denied(&[], std::slice::from_ref(&one));
    let mut calm = Calm::default();
    let mut needless = |seen: &Seen, passed: u64| {
        !seen
            .needless(&mut calm, second(passed), second(SETTLE))
            .is_empty()
    };
    assert!(!needless(&gone, 10));
    assert!(!needless(&gone, 609));
    assert!(needless(&gone, 610));
    // Its role again, wherever it is; or anything where it denies, whoever gave it; or what may come.
    let mut here = standing(9, None);
    here.scope = one.scope.clone();
    let open = Seen {
        open: vec![Open {
            name: "x".to_owned(),
            place: place(9),
            handle: handle(ONE),
        }],
        ..gone.clone()
    };
    let ours = seen_denied(&[standing(9, Some(ONE))], std::slice::from_ref(&one));
    let strange = seen_denied(&[here], std::slice::from_ref(&one));
    let mut now = 1_000;
    for needed in [ours, strange, open] {
        assert!(!needless(&needed, now));
        // From then on it begins anew.
        assert!(!needless(&gone, now + 1));
        assert!(!needless(&gone, now + 600));
        assert!(needless(&gone, now + 601));
        now += 1_000;
    }
    let elsewhere = seen_denied(&[standing(9, Some(OTHER))], std::slice::from_ref(&one));
    assert!(needless(&elsewhere, now));
}
