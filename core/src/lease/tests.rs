//! What each edge of a lease may and may not believe.
#![allow(clippy::unwrap_used, clippy::panic)]

use core::time::Duration;

use super::*;
use crate::books::{Recorded, Step, read_lease};
use crate::credential::{Credential, Elevation};
use crate::evidence::Revocation;
use crate::fault::{Fault, FaultKind};
use crate::guarantee::Guarantees;
use crate::handle::StampKey;
use crate::plan::LaneId;
use crate::time::SKEW_MAX;

const START: Timestamp = Timestamp::from_seconds(1_000_000);
const TTL_SECONDS: u32 = 600;
const LANDS_WITHIN_SECONDS: u32 = 970;
const LIVES_SECONDS: u32 = 900;

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn terms() -> Terms {
    let id = LeaseId::fresh();
    let lane = LaneId {
        target: "acme-prod".parse().unwrap(),
        name: "role/deploy".to_owned(),
    };
    let guarantees = Guarantees {
        ttl_seconds_min: 60,
        ttl_seconds_max: 3600,
        recall: Recall::Severs { within_seconds: 15 },
        ends_by_itself: true,
        because: Vec::new(),
    };
    let plan = Plan {
        lane,
        lane_capacity: 10,
        terms: serde_json::Value::Null,
        summary: Vec::new(),
        answers_within_seconds: 0,
        lands_within_seconds: LANDS_WITHIN_SECONDS,
        lives_seconds: LIVES_SECONDS,
        derived_seconds: 30,
        guarantees,
    };
    Terms {
        id,
        request: RequestId::fresh(),
        handle: StampKey::new("acme".parse().unwrap(), &[1; 32])
            .unwrap()
            .handle(id),
        owner: Owner {
            job: "job".to_owned(),
            repository: "repository".to_owned(),
            tenant: "tenant".to_owned(),
        },
        key: KeyThumbprint("thumbprint".to_owned()),
        scopes: vec!["object-storage:write@artifacts-prod".parse().unwrap()],
        plan,
        ttl_seconds: TTL_SECONDS,
        intended_at: START,
        answer_by: after(20),
        absolute_end: after(1800),
    }
}

fn elevation(expires_at: Timestamp) -> Elevation {
    Elevation {
        credential: Credential::new("test", [], expires_at),
        fingerprint: "AKIA".to_owned(),
        provider_request: None,
    }
}

fn intent() -> Recorded<Elevating> {
    intend(terms()).committed_in_test()
}

fn active() -> Recorded<Active> {
    intent()
        .granted(&elevation(after(901)), after(1))
        .committed_in_test()
}

fn revoking() -> Recorded<Revoking> {
    active()
        .ending(End::Released, after(60))
        .committed_in_test()
}

fn doubted() -> Recorded<Revoking> {
    let fault = Fault {
        kind: FaultKind::Ambiguous,
        code: "timeout",
        told: String::new(),
        logged: String::new(),
    };
    intent().doubted(&fault, after(20)).committed_in_test()
}

fn over(found: Looked) -> Option<Step<Ended>> {
    match found {
        Looked::Over(step) => Some(step),
        Looked::Again(_) => None,
    }
}

fn evident(evidence: Evidence) -> Revocation {
    Revocation::Evident {
        evidence,
        hold_until: Some(after(5000)),
    }
}

#[test]
fn an_intent_reaches_to_the_last_moment_a_late_call_could_matter() {
    let intent = intent();
    let lands_by = after(20 + u64::from(LANDS_WITHIN_SECONDS));
    assert_eq!(intent.lands_by, lands_by);
    assert_eq!(
        intent.exposed_until,
        lands_by.plus(Duration::from_secs(u64::from(LIVES_SECONDS)))
    );
}

#[test]
fn the_end_comes_from_the_clouds_word_where_that_is_earlier() {
    let short = intent().granted(&elevation(after(300)), after(1));
    assert_eq!(short.next().ends_at(), after(300));
    let long = intent().granted(&elevation(after(3600)), after(1));
    assert_eq!(long.next().ends_at(), after(1 + u64::from(TTL_SECONDS)));
    assert_eq!(long.next().exposed_until, after(3600));
}

#[test]
fn absence_before_lands_by_is_not_evidence() {
    let lands_by = doubted().lands_by();
    let early = lands_by.minus(Duration::from_micros(1));
    assert!(over(doubted().looked(evident(Evidence::Absent { at: early }), early)).is_none());
    assert!(over(doubted().looked(evident(Evidence::Absent { at: lands_by }), lands_by)).is_some());
}

#[test]
fn expiry_before_the_last_credential_is_not_evidence() {
    let exposed_until = revoking().exposed_until();
    let early = exposed_until.minus(Duration::from_micros(1));
    assert!(over(revoking().looked(evident(Evidence::Expired { at: early }), early)).is_none());
    let found = revoking().looked(
        evident(Evidence::Expired { at: exposed_until }),
        exposed_until,
    );
    assert!(over(found).is_some());
}

#[test]
fn what_was_written_before_the_end_cannot_have_settled_it() {
    let settled = |at| {
        evident(Evidence::Settled {
            written_at: at,
            settle_seconds: 10,
        })
    };
    assert!(over(revoking().looked(settled(after(59)), after(80))).is_none());
    assert!(over(revoking().looked(settled(after(60)), after(80))).is_some());
}

#[test]
fn a_probe_from_before_the_end_proves_nothing() {
    let probed = |at| evident(Evidence::Probed { at });
    assert!(over(revoking().looked(probed(after(59)), after(80))).is_none());
    assert!(over(revoking().looked(probed(after(60)), after(80))).is_some());
}

#[test]
fn a_refused_piece_of_evidence_keeps_the_lease_under_revocation() {
    let Looked::Again(step) = doubted().looked(evident(Evidence::Absent { at: START }), after(30))
    else {
        panic!("absence before lands_by was believed");
    };
    assert_eq!(step.next().look_again, doubted().lands_by());
    assert_eq!(step.next().attempts(), 1);
}

#[test]
fn the_hold_is_placed_by_the_step_that_ends_the_lease() {
    let step =
        over(revoking().looked(evident(Evidence::Probed { at: after(70) }), after(70))).unwrap();
    let hold = step.hold().unwrap();
    assert_eq!(
        (hold.until, hold.grant().unwrap()),
        (after(5000), &step.next().terms().handle)
    );
}

#[test]
fn written_is_told_once_and_forgotten_when_a_stranger_undoes_it() {
    let not_yet = |written| Revocation::NotYet {
        written,
        look_again: after(80),
        exposed_until: after(75),
    };
    let again = |lease: Recorded<Revoking>, written, at| match lease.looked(not_yet(written), at) {
        Looked::Again(step) => step,
        Looked::Over(_) => panic!("not yet was taken for over"),
    };
    let first = again(revoking(), true, after(61));
    assert_eq!(first.entries().len(), 1);
    assert_eq!(first.next().written_at(), Some(after(61)));
    assert_eq!(first.next().told_exposed_until(), after(75));
    // What the adapter told is never evidence: the credential's own end stays what it was.
    assert_eq!(first.next().exposed_until(), after(901));
    let second = again(first.committed_in_test(), true, after(62));
    assert_eq!(
        (second.entries().len(), second.next().written_at()),
        (0, Some(after(61)))
    );
    let undone = again(second.committed_in_test(), false, after(63));
    assert_eq!(undone.next().written_at(), None);
}

#[test]
fn pauses_grow_to_a_minute_and_there_is_no_last_attempt() {
    let mut lease = revoking();
    let mut longest = Duration::ZERO;
    for round in 0..2000 {
        let now = after(100 + round * 100);
        let step = lease.stumbled(None, now);
        let pause = step.next().look_again.since(now);
        assert!(pause >= longest && pause <= Duration::from_secs(60));
        longest = pause;
        lease = step.committed_in_test();
    }
    assert_eq!(longest, Duration::from_secs(60));
    assert_eq!(lease.attempts(), 2000);
}

#[test]
fn a_provider_that_asks_for_patience_gets_no_more_than_a_minute() {
    let step = revoking().stumbled(Some(Duration::from_secs(3600)), after(100));
    assert_eq!(step.next().look_again, after(160));
}

#[test]
fn renewing_raises_the_exposure_before_the_call_and_stops_at_the_absolute_end() {
    let step = active()
        .renewing(after(520), Life::Proved, after(500))
        .unwrap();
    assert_eq!(step.next().ends_at(), after(1100));
    let lands_by = 520 + u64::from(LANDS_WITHIN_SECONDS);
    assert_eq!(
        step.next().exposed_until,
        after(lands_by + u64::from(LIVES_SECONDS))
    );
    assert_eq!(step.next().mints(), 2);
    assert_eq!(step.next().answer_by(), after(520));
    let late = active()
        .renewing(after(1720), Life::Proved, after(1700))
        .unwrap();
    assert_eq!(late.next().ends_at(), after(1800));
    let (_, why) = active()
        .renewing(after(1820), Life::Proved, after(1800))
        .unwrap_err();
    assert_eq!(why, CannotRenew::AtAbsoluteEnd(after(1800)));
}

#[test]
fn a_sign_of_life_never_moves_backwards() {
    let step = active().alive(START);
    assert_eq!(step.next().alive_at(), after(1));
    assert!(step.entries().is_empty());
}

#[test]
fn writing_a_lease_off_keeps_its_hold() {
    let step = doubted().written_off(
        "people|7".to_owned(),
        "target deleted".to_owned(),
        after(90),
    );
    let exposed_until = doubted().exposed_until();
    assert_eq!(
        step.hold().unwrap().until,
        exposed_until.plus(Duration::from_secs(30)).plus(SKEW_MAX)
    );
}

#[test]
fn a_grant_that_cannot_be_used_is_exposed_until_its_credential_ends() {
    let step = intent().unusable(&elevation(after(900)), End::PeerFailed, after(2));
    assert_eq!(step.next().exposed_until(), after(900));
    assert_eq!(step.next().why(), End::PeerFailed);
}

#[test]
fn every_state_but_the_last_is_due() {
    let silence = Duration::from_secs(45);
    let due = |lease: Lease| lease.written().due_at(silence);
    assert_eq!(due(Lease::Elevating((*intent()).clone())), Some(after(20)));
    assert_eq!(due(Lease::Active((*active()).clone())), Some(after(46)));
    assert_eq!(due(Lease::Revoking((*revoking()).clone())), Some(after(60)));
    let step =
        over(revoking().looked(evident(Evidence::Probed { at: after(70) }), after(70))).unwrap();
    assert_eq!(due(Lease::Ended(step.next().clone())), None);
}

#[test]
fn what_is_written_reads_back_whatever_stands_first() {
    let over =
        over(revoking().looked(evident(Evidence::Probed { at: after(70) }), after(70))).unwrap();
    for lease in [
        Lease::Elevating((*intent()).clone()),
        Lease::Active((*active()).clone()),
        Lease::Revoking((*revoking()).clone()),
        Lease::Ended(over.next().clone()),
    ] {
        let body = serde_json::to_string(&lease).unwrap();
        assert!(body.starts_with(&format!("{{\"state\":\"{}\",", lease.state())));
        assert_eq!(read_lease(&body).unwrap(), lease);
        // A database may keep members in an order of its own.
        let state = format!("\"state\":\"{}\",", lease.state());
        let moved = body.replacen(&state, "", 1);
        let others = moved.strip_suffix('}').unwrap();
        let moved = format!("{others},{}}}", state.strip_suffix(',').unwrap());
        assert_eq!(read_lease(&moved).unwrap(), lease);
    }
    assert!(read_lease("{\"state\":\"active\"}").is_err());
    assert!(read_lease("{\"state\":\"forgotten\"}").is_err());
}

#[test]
fn a_look_before_its_time_is_written_down_only_when_it_tells_something_new() {
    let told = |written, again, exposed| Revocation::NotYet {
        written,
        look_again: after(again),
        exposed_until: after(exposed),
    };
    let Looked::Again(step) = revoking().looked(told(true, 80, 80), after(70)) else {
        panic!("not yet was taken for over")
    };
    let settling = step.committed_in_test();
    let heard = |found, now| settling.is_as_told(&found, after(now));
    assert!(heard(told(true, 80, 80), 71));
    assert!(heard(told(true, 90, 80), 79));
    // It is due: whoever looked must say when to look again.
    assert!(!heard(told(true, 80, 80), 80));
    assert!(!heard(told(true, 79, 80), 71));
    assert!(!heard(told(true, 80, 81), 71));
    // A stranger undid it.
    assert!(!heard(told(false, 80, 80), 71));
    assert!(!heard(evident(Evidence::Probed { at: after(71) }), 71));
    // And what was not written yet is news once it is.
    assert!(!revoking().is_as_told(&told(true, 60, 60), after(59)));
}
