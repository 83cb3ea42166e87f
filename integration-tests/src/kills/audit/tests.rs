#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::time::Timestamp;

use super::*;

const INTENDED: i64 = 1_795_000_000;

struct Sound {
    books: Books,
    lease: String,
    request: RequestId,
    id: LeaseId,
}

/// One lease that was intended, granted, used and ended.
fn sound() -> Sound {
    let (id, request) = (LeaseId::fresh(), RequestId::fresh());
    let at = Timestamp::from_seconds(INTENDED);
    let entry = |event| {
        Entry::new(at, event)
            .request(request)
            .lease(id)
            .field("handle", "handle-1")
    };
    let session = SessionInfo {
        access_key_id: "ASIA1".to_owned(),
        role_arn: format!("arn:aws:iam::111122223333:role/{}", role_of(0)),
        role_id: String::new(),
        session_name: String::new(),
        session_arn: String::new(),
        tags: BTreeMap::from([(LEASE_TAG.to_owned(), "handle-1".to_owned())]),
        source_identity: None,
        session_policy: None,
        session_policy_arns: Vec::new(),
        caller_arn: String::new(),
        issued: jiff::Timestamp::from_second(INTENDED).unwrap(),
        expires: jiff::Timestamp::from_second(INTENDED + 900).unwrap(),
    };
    let books = Books {
        leases: vec![LeaseSeen {
            id: id.to_string(),
            request: request.to_string(),
            handle: "handle-1".to_owned(),
            state: "ended".to_owned(),
            scopes: Vec::new(),
            why: Some("released".to_owned()),
        }],
        log: vec![
            entry(Event::LeaseIntended),
            entry(Event::LeaseGranted).field("fingerprint", "ASIA1"),
            entry(Event::LeaseEnded),
        ],
        sessions: vec![session],
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
fn a_session_without_an_intent_is_found() {
    let unrecorded = |handle: Option<&str>| Violation::Unrecorded {
        session: "ASIA1".to_owned(),
        handle: handle.map(str::to_owned),
    };
    let (_, by_log) = found(|books| drop(books.log.remove(0)));
    assert!(by_log.contains(&unrecorded(Some("handle-1"))), "{by_log:?}");
    let (_, by_rows) = found(|books| books.leases.clear());
    assert_eq!(by_rows, [unrecorded(Some("handle-1"))]);
    let (_, untagged) = found(|books| books.sessions[0].tags.clear());
    assert_eq!(untagged, [unrecorded(None)]);
    let (_, foreign) = found(|books| {
        let handle = books.sessions[0].tags.get_mut(LEASE_TAG).unwrap();
        *handle = "handle-2".to_owned();
    });
    assert_eq!(foreign, [unrecorded(Some("handle-2"))]);
}

#[test]
fn an_intent_that_came_after_its_session_is_found() {
    let (sound, late) = found(|books| {
        let a_second_before = jiff::Timestamp::from_second(INTENDED - 1).unwrap();
        books.sessions[0].issued = a_second_before;
    });
    let session = "ASIA1".to_owned();
    let lease = sound.lease;
    assert_eq!(late, [Violation::RecordedAfterwards { lease, session }]);
}

#[test]
fn a_second_mint_without_a_record_is_found_and_a_recorded_one_is_not() {
    let again = |books: &mut Books| {
        let mut session = books.sessions[0].clone();
        session.access_key_id = "ASIA2".to_owned();
        books.sessions.push(session);
    };
    let (sound, twice) = found(again);
    let expected = Violation::MintedTooOften {
        lease: sound.lease,
        sessions: 2,
        recorded: 1,
    };
    assert_eq!(twice, [expected]);
    let mut renewed = super::tests::sound();
    again(&mut renewed.books);
    let renewal = Entry::new(Timestamp::from_seconds(INTENDED), Event::LeaseRenewed)
        .lease(renewed.id)
        .field("handle", "handle-1");
    renewed.books.log.push(renewal);
    let job = (renewed.request.to_string(), "ASIA2".to_owned());
    renewed.books.held.push(job);
    assert_eq!(violations(&renewed.books), []);
}

#[test]
fn an_ended_lease_whose_session_works_is_found_and_a_living_one_is_not() {
    let works = |books: &mut Books| books.working.extend(["ASIA1".to_owned()]);
    let (sound, revived) = found(works);
    let expected = Violation::EndedAndWorks {
        lease: sound.lease,
        session: "ASIA1".to_owned(),
    };
    assert_eq!(revived, [expected]);
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
fn a_credential_in_a_jobs_hands_without_a_grant_on_disk_is_found() {
    let (sound, held) = found(|books| drop(books.log.remove(1)));
    let expected = Violation::HeldUnrecorded {
        request: sound.request.to_string(),
        session: "ASIA1".to_owned(),
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
