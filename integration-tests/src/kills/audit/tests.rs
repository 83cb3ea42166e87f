#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::time::Timestamp;

use super::*;
use crate::kills::{Vendor, bucket_of};

const LANE: &str = "acme-prod/role/artifacts";
const SLOT: &str = "acme-azure-rbac/slot/rbac-01";
const INTENDED: i64 = 1_795_000_000;

struct Sound {
    books: Books,
    lease: String,
    request: RequestId,
    id: LeaseId,
}

fn second(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(INTENDED + second).unwrap()
}

fn entry(at: i64, event: Event, lane: &str, handle: &str, id: LeaseId) -> Entry {
    Entry::new(Timestamp::from_seconds(INTENDED + at), event)
        .lease(id)
        .field("handle", handle)
        .field("lane", lane)
}

fn ended(id: LeaseId, request: RequestId, handle: &str) -> LeaseSeen {
    LeaseSeen {
        id: id.to_string(),
        request: request.to_string(),
        handle: handle.to_owned(),
        state: "ended".to_owned(),
        scopes: Vec::new(),
        why: Some("released".to_owned()),
    }
}

/// One lease that was intended, granted, used and ended.
fn sound() -> Sound {
    sound_in(LANE)
}

fn sound_in(lane: &str) -> Sound {
    let (id, request) = (LeaseId::fresh(), RequestId::fresh());
    let entry = |at, event| entry(at, event, lane, "handle-1", id).request(request);
    let session = Given {
        vendor: Vendor::Aws,
        what: What::Credential,
        id: "ASIA1".to_owned(),
        bears: Bears::Handle("handle-1".to_owned()),
        since: Some(second(0)),
        until: Some(second(900)),
        works: false,
    };
    let books = Books {
        leases: vec![ended(id, request, "handle-1")],
        log: vec![
            entry(0, Event::LeaseIntended),
            entry(1, Event::LeaseGranted).field("fingerprint", "ASIA1"),
            entry(60, Event::LeaseEnded),
        ],
        given: vec![session],
        held: vec![(request.to_string(), "ASIA1".to_owned())],
        ..Books::default()
    };
    Sound {
        books,
        lease: id.to_string(),
        request,
        id,
    }
}

/// What is found after one change.
fn found(change: impl FnOnce(&mut Books)) -> (Sound, Vec<Violation>) {
    let mut sound = sound();
    change(&mut sound.books);
    let found = violations(&sound.books);
    (sound, found)
}

#[test]
fn sound_books_have_no_violation() {
    assert_eq!(found(|_| ()).1, []);
}

#[test]
fn what_has_no_intent_is_found() {
    let unrecorded = |bears: Bears| Violation::Unrecorded {
        given: "ASIA1".to_owned(),
        bears,
    };
    let handle = |handle: &str| Bears::Handle(handle.to_owned());
    let (_, by_log) = found(|books| drop(books.log.remove(0)));
    assert!(
        by_log.contains(&unrecorded(handle("handle-1"))),
        "{by_log:?}"
    );
    let (_, by_rows) = found(|books| books.leases.clear());
    assert_eq!(by_rows, [unrecorded(handle("handle-1"))]);
    let (_, untagged) = found(|books| books.given[0].bears = Bears::Nothing);
    assert_eq!(untagged, [unrecorded(Bears::Nothing)]);
    let (_, foreign) = found(|books| books.given[0].bears = handle("handle-2"));
    assert_eq!(foreign, [unrecorded(handle("handle-2"))]);
    let (_, of_a_slot) = found(|books| books.given[0].bears = Bears::Slot(SLOT.to_owned()));
    assert_eq!(of_a_slot, [unrecorded(Bears::Slot(SLOT.to_owned()))]);
}

#[test]
fn an_intent_that_came_afterwards_is_found() {
    for bears in [
        Bears::Handle("handle-1".to_owned()),
        Bears::Slot(LANE.to_owned()),
    ] {
        let (sound, late) = found(|books| {
            books.given[0].since = Some(second(-1));
            books.given[0].bears = bears;
        });
        let (lease, given) = (sound.lease, "ASIA1".to_owned());
        assert_eq!(late, [Violation::RecordedAfterwards { lease, given }]);
    }
}

#[test]
fn a_second_mint_without_a_record_is_found_and_a_recorded_one_is_not() {
    let again = |books: &mut Books| {
        let mut session = books.given[0].clone();
        session.id = "ASIA2".to_owned();
        books.given.push(session);
    };
    let (sound, twice) = found(again);
    let expected = Violation::MintedTooOften {
        lease: sound.lease,
        credentials: 2,
        recorded: 1,
    };
    assert_eq!(twice, [expected]);
    let mut renewed = super::tests::sound();
    again(&mut renewed.books);
    let renewal = entry(2, Event::LeaseRenewed, LANE, "handle-1", renewed.id);
    renewed.books.log.push(renewal);
    let job = (renewed.request.to_string(), "ASIA2".to_owned());
    renewed.books.held.push(job);
    assert_eq!(violations(&renewed.books), []);
}

/// Two leases on one identity that carries many, the first of which was doubted. So many tokens.
fn on_a_shared_lane(tokens: usize) -> Vec<Violation> {
    const SHARED: &str = "acme-google/boundary/jitney-15-001";
    let mut sound = sound_in(SHARED);
    let books = &mut sound.books;
    let (id, request) = (LeaseId::fresh(), RequestId::fresh());
    books.leases.push(ended(id, request, "handle-0"));
    for event in [Event::LeaseIntended, Event::LeaseDoubted] {
        books
            .log
            .insert(0, entry(-9, event, SHARED, "handle-0", id));
    }
    for number in 1..=tokens {
        let mut token = books.given[0].clone();
        token.id = format!("ASIA{number}");
        token.since = Some(second(1));
        books.given.push(token);
    }
    books.given.remove(0);
    for given in &mut books.given {
        given.bears = Bears::Slot(SHARED.to_owned());
    }
    violations(books)
}

#[test]
fn what_lands_late_on_a_shared_identity_is_not_held_against_a_younger_lease() {
    assert_eq!(on_a_shared_lane(2), []);
    let three = on_a_shared_lane(3);
    assert!(
        matches!(three[..], [Violation::MintedTooOften { .. }]),
        "{three:?}"
    );
}

#[test]
fn an_ended_lease_of_which_something_works_is_found_and_a_living_one_is_not() {
    let works = |books: &mut Books| books.given[0].works = true;
    let (sound, revived) = found(works);
    let given = "ASIA1".to_owned();
    let expected = Violation::EndedAndWorks {
        lease: sound.lease,
        given: given.clone(),
    };
    assert_eq!(revived, [expected]);
    let (sound, stands) = found(|books| {
        works(books);
        books.given[0].what = What::Right;
    });
    let lease = sound.lease;
    assert_eq!(stands, [Violation::EndedAndStands { lease, given }]);
    let (sound, alive) = found(|books| {
        works(books);
        books.leases[0].state = "active".to_owned();
    });
    let left_open = Violation::LeftOpen {
        lease: sound.lease,
        state: "active".to_owned(),
    };
    assert_eq!(sound.books.revived(), []);
    assert_eq!(alive, [left_open]);
}

#[test]
fn a_lease_that_only_time_can_show_to_be_over_may_wait_and_nothing_of_it_may_work() {
    let waits = |books: &mut Books, scope: &str| {
        books.leases[0].state = "revoking".to_owned();
        books.leases[0].why = Some("doubted".to_owned());
        books.leases[0].scopes = vec![scope.to_owned()];
    };
    let of = |lane: usize| format!("object-storage:write@{}/releases/", bucket_of(lane));
    assert_eq!(found(|books| waits(books, &of(16))).1, []);
    let (_, works) = found(|books| {
        waits(books, &of(16));
        books.given[0].works = true;
    });
    assert!(matches!(works[..], [Violation::EndedAndWorks { .. }]));
    // On AWS a Deny shows it, and of what was not doubted nothing is on its way.
    let (_, on_aws) = found(|books| waits(books, &of(0)));
    assert!(matches!(on_aws[..], [Violation::LeftOpen { .. }]));
    let (_, released) = found(|books| {
        waits(books, &of(16));
        books.leases[0].why = Some("released".to_owned());
    });
    assert!(matches!(released[..], [Violation::LeftOpen { .. }]));
}

/// Two leases on one identity, one after the other; what the first was given lives to the second
/// `until`, and the second is intended at the second `next`.
fn on_one_slot(until: i64, next: i64) -> Vec<Violation> {
    let mut sound = sound_in(SLOT);
    let books = &mut sound.books;
    books.given[0].bears = Bears::Slot(SLOT.to_owned());
    books.given[0].until = Some(second(until));
    let (id, request) = (LeaseId::fresh(), RequestId::fresh());
    books.leases.push(ended(id, request, "handle-2"));
    let next = |event| entry(next, event, SLOT, "handle-2", id);
    books.log.push(next(Event::LeaseIntended));
    books.log.push(next(Event::LeaseEnded));
    violations(books)
}

#[test]
fn an_identity_that_two_leases_share_is_found_and_so_is_one_that_did_not_rest() {
    let is_shared = |found: &[Violation]| matches!(found, [Violation::SlotShared { .. }]);
    // The first has not ended; its token is not dead; both are over.
    assert!(is_shared(&on_one_slot(30, 59)));
    assert!(is_shared(&on_one_slot(900, 899)));
    assert_eq!(on_one_slot(900, 900), []);
}

#[test]
fn a_credential_in_a_jobs_hands_without_a_grant_on_disk_is_found() {
    let (sound, held) = found(|books| drop(books.log.remove(1)));
    let expected = Violation::HeldUnrecorded {
        request: sound.request.to_string(),
        given: "ASIA1".to_owned(),
    };
    assert_eq!(held, [expected]);
    let (_, other) = found(|books| books.held[0].1 = "ASIA2".to_owned());
    assert!(
        matches!(other[..], [Violation::HeldUnrecorded { .. }]),
        "{other:?}"
    );
}

#[test]
fn a_log_that_does_not_verify_is_found() {
    let (_, doubted) = found(|books| books.doubts = Some("cut off".to_owned()));
    assert_eq!(doubted, [Violation::LogDoubted("cut off".to_owned())]);
}
