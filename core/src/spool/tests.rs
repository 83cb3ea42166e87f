//! What may be noted, and what becomes of it. Each part that may not is added to an end that may.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::adapter::Epoch;
use crate::audit::Event;
use crate::books::{Record, Recorded, Step};
use crate::credential::{Credential, Elevation};
use crate::evidence::{Evidence, Held, Hold, Revocation};
use crate::guarantee::{Guarantees, Recall};
use crate::handle::StampKey;
use crate::id::RequestId;
use crate::lease::{Active, Doubtful, Elevating, End, Life, Looked, Terms, intend};
use crate::ledger::{Budget, Claim, Fence, Look, OnceUse, Owner, Share, Sheet, SheetAt};
use crate::plan::{LaneId, Plan};
use crate::principal::{KeyThumbprint, OnceKey};

const START: Timestamp = Timestamp::from_seconds(1_000_000);
const SILENCE: Duration = Duration::from_secs(45);

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn lane() -> LaneId {
    LaneId {
        target: "acme-prod".parse().unwrap(),
        name: "role/deploy".to_owned(),
    }
}

fn fence() -> Fence {
    Fence {
        lane: lane(),
        epoch: Epoch(7),
    }
}

fn terms() -> Terms {
    let id = LeaseId::fresh();
    let stamp = StampKey::new("acme".parse().unwrap(), &[1; 32]).unwrap();
    Terms {
        id,
        request: RequestId::fresh(),
        handle: stamp.handle(id),
        owner: Owner {
            job: "job".to_owned(),
            repository: "repository".to_owned(),
            tenant: "tenant".to_owned(),
        },
        key: KeyThumbprint("thumbprint".to_owned()),
        scopes: vec!["object-storage:write@artifacts-prod".parse().unwrap()],
        plan: Plan {
            lane: lane(),
            lane_capacity: 10,
            terms: serde_json::Value::Null,
            summary: Vec::new(),
            answers_within_seconds: 0,
            lands_within_seconds: 300,
            lives_seconds: 900,
            derived_seconds: 0,
            guarantees: Guarantees {
                ttl_seconds_min: 60,
                ttl_seconds_max: 3600,
                recall: Recall::Severs { within_seconds: 15 },
                ends_by_itself: true,
                because: Vec::new(),
            },
        },
        ttl_seconds: 600,
        intended_at: START,
        answer_by: after(20),
        absolute_end: after(3600),
    }
}

fn elevation() -> Elevation {
    Elevation {
        credential: Credential::new("test", [], after(901)),
        fingerprint: "AKIA".to_owned(),
        provider_request: None,
    }
}

/// A transaction that does what a step does.
fn of<S>(mut step: Step<S>) -> (Transaction, Recorded<S>)
where
    Step<S>: Record,
{
    let mut transaction = Transaction::default();
    step.write(&mut transaction, SILENCE).unwrap();
    (transaction, step.committed_in_test())
}

fn intent() -> (Transaction, Recorded<Elevating>) {
    of(intend(terms()))
}

fn active() -> (Transaction, Recorded<Active>) {
    of(intent().1.granted(&elevation(), after(1)))
}

fn end() -> (Transaction, Recorded<Revoking>) {
    of(active().1.ending(End::Released, after(60)))
}

/// What a look at a lease comes to that is written and not yet evident.
fn look(lease: Recorded<Revoking>, at: u64) -> (Transaction, Recorded<Revoking>) {
    let found = Revocation::NotYet {
        written: true,
        look_again: after(at + 5),
        exposed_until: after(901),
    };
    match lease.looked(found, after(at)) {
        Looked::Again(step) => of(step),
        Looked::Over(_) => panic!("nothing evident was found"),
    }
}

fn note(transaction: &Transaction) -> Note {
    let mut ends = ends_only(transaction).unwrap();
    assert_eq!((ends.notes.len(), ends.looks.len()), (1, 0));
    ends.notes.remove(0)
}

fn together(all: impl IntoIterator<Item = Transaction>) -> Transaction {
    let mut transaction = Transaction::default();
    for one in all {
        transaction.rows.extend(one.rows);
        transaction.entries.extend(one.entries);
    }
    transaction
}

#[test]
fn an_end_and_what_was_written_are_noted_and_a_repeated_look_is_remembered() {
    let (ending, lease) = end();
    let noted = note(&ending);
    assert!(noted.is_end());
    assert_eq!(noted.row(), &ending.rows[0]);
    assert_eq!(noted.entries(), ending.entries);
    let (written, lease) = look(lease, 61);
    assert!(!note(&written).is_end());
    let (again, _) = look(lease, 66);
    let remembered = ends_only(&again).unwrap();
    assert_eq!((remembered.notes, remembered.looks), (vec![], again.rows));
}

#[test]
fn a_doubted_intent_may_be_noted_and_many_ends_together() {
    let found = intent().1.quiet_step(Doubtful).committed_in_test();
    let doubted = of(found.doubted(after(20))).0;
    assert!(note(&doubted).is_end());
    let many = together([doubted, end().0, end().0, look(end().1, 61).0]);
    assert_eq!(ends_only(&many).unwrap().notes.len(), 4);
}

#[test]
fn what_a_fence_says_and_when_a_lane_is_looked_at_does_not_matter() {
    let mut ending = end().0;
    ending.fences.push(fence());
    ending.looks.push(Look {
        lane: lane(),
        at: None,
    });
    assert!(ends_only(&ending).is_some());
}

/// Adds one part to a transaction.
type Part<'a> = &'a dyn Fn(&mut Transaction);

#[test]
fn nothing_but_ends_may_be_noted() {
    let (ending, lease) = end();
    let hold = Hold {
        lane: lane(),
        held: Held::Grant(lease.terms().handle.clone()),
        lease: Some(lease.terms().id),
        until: after(901),
        issued_by: None,
    };
    let claim = Claim {
        name: "slot".to_owned(),
        lease: lease.terms().id,
    };
    let parts: [(&str, Part<'_>); 9] = [
        ("once", &|it| {
            it.once.push(OnceUse {
                key: OnceKey("key".to_owned()),
                bound_to: KeyThumbprint("thumbprint".to_owned()),
                asked: String::new(),
                request: RequestId::fresh(),
                remember_until: after(1),
            });
        }),
        ("claims", &|it| it.claims.push(claim.clone())),
        ("claims released", &|it| {
            it.claims_released.push(claim.clone())
        }),
        ("holds placed", &|it| it.holds_placed.push(hold.clone())),
        ("holds dropped", &|it| it.holds_dropped.push(hold.clone())),
        ("sheets", &|it| {
            it.sheets.push(Sheet {
                name: "standing".to_owned(),
                version: 1,
                body: "{}".to_owned(),
            });
        }),
        ("sheets unchanged", &|it| {
            it.sheets_unchanged.push(SheetAt {
                name: "standing".to_owned(),
                version: 1,
            });
        }),
        ("epochs raised", &|it| it.epochs_raised.push(fence())),
        ("budgets", &|it| {
            it.budgets.push(Budget {
                share: Share::Lane(lane()),
                leases_max: 1,
            });
        }),
    ];
    for (part, add) in parts {
        let mut transaction = ending.clone();
        add(&mut transaction);
        assert_eq!(ends_only(&transaction), None, "{part}");
    }
    assert_eq!(ends_only(&Transaction::default()), None);
}

#[test]
fn a_row_in_another_state_keeps_all_of_it_out() {
    let renewed = active()
        .1
        .renewing(after(120), Life::Proved, after(100))
        .unwrap();
    let alive = active().1.alive(after(30));
    let evidence = Evidence::Expired { at: after(2000) };
    let evident = Revocation::Evident {
        evidence,
        hold_until: None,
    };
    let Looked::Over(over) = end().1.looked(evident, after(2000)) else {
        panic!("the evidence is enough");
    };
    let written_off = end().1.written_off("ada".into(), "gone".into(), after(70));
    let mut written_off = of(written_off).0;
    written_off.holds_placed.clear();
    let others = [
        intent().0,
        active().0,
        of(renewed).0,
        of(alive).0,
        of(over).0,
        written_off,
    ];
    for other in others {
        assert_eq!(ends_only(&other), None, "{other:?}");
        let beside_an_end = together([end().0, other]);
        assert_eq!(ends_only(&beside_an_end), None, "{beside_an_end:?}");
    }
}

#[test]
fn a_row_that_would_be_found_as_something_else_is_not_noted() {
    let changes: [&dyn Fn(&mut Row); 7] = [
        &|row| row.id = RowId::Lease(LeaseId::fresh()),
        &|row| row.state = "active".to_owned(),
        &|row| row.is_final = true,
        &|row| row.request = RequestId::fresh(),
        &|row| row.lane = None,
        &|row| row.due_at = None,
        &|row| row.owner.job = "another".to_owned(),
    ];
    for change in changes {
        let mut transaction = end().0;
        change(&mut transaction.rows[0]);
        assert_eq!(ends_only(&transaction), None, "{transaction:?}");
    }
}

#[test]
fn an_end_without_its_entry_and_an_entry_without_its_end_are_not_noted() {
    let mut quiet = end().0;
    quiet.entries.clear();
    assert_eq!(ends_only(&quiet), None);
    for stray in [
        Entry::new(after(60), Event::PolicyActivated),
        Entry::new(after(60), Event::LeaseEnding).lease(LeaseId::fresh()),
    ] {
        let mut told = end().0;
        told.entries.push(stray);
        assert_eq!(ends_only(&told), None);
    }
}

#[test]
fn notes_are_read_back_as_they_were_written_and_no_part_of_one_is_a_note() {
    let (ending, lease) = end();
    let notes = [note(&ending), note(&look(lease, 61).0), note(&end().0)];
    let mut bytes = Vec::new();
    notes.iter().for_each(|note| note.encode(&mut bytes));
    assert_eq!(Note::decode_all(&bytes).unwrap(), notes);
    let mut one = Vec::new();
    notes[0].encode(&mut one);
    for length in 1..one.len() {
        assert_eq!(Note::decode_all(&one[..length]), Err(NotANote::EndsEarly));
    }
}

#[test]
fn what_is_not_under_revocation_is_not_read_as_a_note() {
    let granted = active().0;
    let mut bytes = 2_u64.to_be_bytes().to_vec();
    for part in [granted.rows[0].body.as_bytes(), &[][..]] {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(part);
    }
    assert_eq!(Note::decode_all(&bytes), Err(NotANote::NotRevoking));
}

/// A lease's rows as it is granted, ended and written, with the notes of the last two.
fn life() -> ([Row; 3], [Note; 2]) {
    let (granted, lease) = active();
    let (ended, lease) = of(lease.ending(End::Released, after(60)));
    let (written, _) = look(lease, 61);
    let rows = [&granted, &ended, &written].map(|it| it.rows[0].clone());
    (rows, [note(&ended), note(&written)])
}

fn merged(stored: Option<&Row>, notes: &[Note]) -> Merging {
    merge(stored, None, notes, after(100)).unwrap()
}

#[test]
fn what_was_noted_is_written_over_what_is_stored_with_all_that_was_told() {
    let ([granted, _, written], notes) = life();
    let Merging::Write { row, entries } = merged(Some(&granted), &notes) else {
        panic!("the stored lease is active");
    };
    // Two notes, one row: no version is left out in the ledger.
    let expected = Row {
        version: granted.version + 1,
        ..written
    };
    assert_eq!(row, expected);
    let told: Vec<Event> = entries.iter().map(Entry::event).collect();
    assert_eq!(told, [Event::LeaseEnding, Event::LeaseWritten]);
}

#[test]
fn what_the_ledger_has_already_is_not_written_twice() {
    let ([_, ended, written], notes) = life();
    assert_eq!(merged(Some(&ended), &notes[..1]), Merging::There);
    assert_eq!(merged(Some(&written), &notes), Merging::There);
    let Merging::Write { row, entries } = merged(Some(&ended), &notes) else {
        panic!("the second note is not there");
    };
    assert_eq!(row, written);
    assert_eq!(entries, notes[1].entries());
}

#[test]
fn what_became_of_an_end_that_the_ledger_has_is_written_over_it() {
    let ([_, ended, written], notes) = life();
    let Merging::Write { row, entries } = merged(Some(&ended), &notes[1..]) else {
        panic!("the note follows on what is stored");
    };
    assert_eq!((row, &entries[..]), (written, notes[1].entries()));
}

#[test]
fn what_a_renewal_exposed_in_the_meantime_is_not_forgotten() {
    let (_, lease) = active();
    let stored = of(lease
        .renewing(after(520), Life::Proved, after(500))
        .unwrap());
    let (_, notes) = life();
    let Merging::Write { row, .. } = merged(Some(&stored.0.rows[0]), &notes[..1]) else {
        panic!("the stored lease is active");
    };
    let Lease::Revoking(state) = serde_json::from_str(&row.body).unwrap() else {
        panic!("an end is under revocation");
    };
    assert_eq!(state.exposed_until, stored.1.exposed_until);
    assert_eq!(state.told_exposed_until, stored.1.exposed_until);
    assert_eq!(state.lands_by, stored.1.lands_by);
    // A watermark may take its hold's place only once that call cannot have issued anything.
    assert_eq!(state.issued_by, stored.1.lands_by);
    assert_eq!(row.version, stored.0.rows[0].version + 1);
}

#[test]
fn a_lease_that_somebody_else_ended_is_passed_over_and_that_is_told() {
    let ([_, ended, _], notes) = life();
    let other = look(end().1, 70).0.rows.remove(0);
    let over = Row {
        state: "ended".to_owned(),
        is_final: true,
        body: "{}".to_owned(),
        ..ended
    };
    for stored in [other, over] {
        let Merging::PassedOver(entry) = merged(Some(&stored), &notes) else {
            panic!("{stored:?}");
        };
        assert_eq!(entry.event(), Event::SpoolPassedOver);
        assert_eq!(entry.lease_id(), Some(notes[0].lease()));
        assert_eq!(entry.fields()["found"], stored.state);
        // Unless it is what an earlier merge wrote: then the rest follows.
        let follows = merge(Some(&stored), Some(&stored.body), &notes, after(100)).unwrap();
        let is_open = stored.state == "revoking";
        assert_eq!(matches!(follows, Merging::Write { .. }), is_open);
    }
}

#[test]
fn a_lease_that_the_ledger_has_lost_is_taken_back_all_the_same() {
    let (_, notes) = life();
    let Merging::Write { row, entries } = merged(None, &notes) else {
        panic!("there is nothing it could give way to");
    };
    assert_eq!((row.version, row.state.as_str()), (1, "revoking"));
    assert_eq!(entries.len(), 2);
}

#[test]
fn a_noted_end_is_what_is_seen_unless_the_ledger_knows_of_more() {
    let ([granted, ended, written], _) = life();
    assert_eq!(shown(None, &ended), ended);
    assert_eq!(shown(Some(granted.clone()), &ended), ended);
    assert_eq!(shown(Some(ended.clone()), &ended), ended);
    assert_eq!(shown(Some(written.clone()), &ended), written);
    // Renewed by somebody else in the meantime: the next step must be able to follow.
    let renewed = Row {
        version: 9,
        ..granted
    };
    let seen = shown(Some(renewed), &ended);
    assert_eq!((seen.version, seen.state.as_str()), (10, "revoking"));
    let over = Row {
        state: "ended".to_owned(),
        is_final: true,
        ..ended.clone()
    };
    assert_eq!(shown(Some(over.clone()), &written), over);
}
