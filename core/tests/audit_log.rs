//! A log that was tampered with in any way does not verify, and the verifier says where.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use jitney_core::audit::{
    CHECKPOINTS_AHEAD_MAX, Checkpoint, Entry, Event, Frontier, LeafHash, Piece, SigningKey,
    Verified, Verifier, VerifyError,
};
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;
use uuid::Uuid;

const ENTRIES: usize = 200;
/// After how many entries a checkpoint is signed.
const PERIOD: usize = 50;

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Entry(Vec<u8>),
    Checkpoint(String),
}

fn key() -> SigningKey {
    SigningKey::from_seed("jitney.example/audit", &[7; 32]).unwrap()
}

fn entry(index: usize) -> Entry {
    let id = Uuid::from_u128(index as u128 / 3);
    Entry::new(
        Timestamp::from_seconds(1_795_392_000 + index as i64),
        Event::ALL[index % Event::ALL.len()],
    )
    .request(RequestId::from_uuid(id))
    .lease(LeaseId::from_uuid(id))
    .field("role", "arn:aws:iam::111122223333:role/deploy")
    .field("attempt", index % 4)
}

fn note(frontier: &Frontier) -> String {
    let note = Checkpoint::of(frontier).sign(&key()).unwrap();
    note.to_string()
}

/// An honest log, its checkpoints right after the entries they cover.
fn log(entries: usize, period: usize) -> Vec<Item> {
    let (mut items, mut frontier) = (Vec::new(), Frontier::new());
    for index in 0..entries {
        let bytes = entry(index).encode();
        frontier.append(LeafHash::of(&bytes));
        items.push(Item::Entry(bytes));
        if frontier.size() % period as u64 == 0 {
            items.push(Item::Checkpoint(note(&frontier)));
        }
    }
    items
}

fn verifier() -> Verifier {
    Verifier::new(key().verifier())
}

fn verify(items: &[Item], mut verifier: Verifier) -> Result<Verified, VerifyError> {
    for item in items {
        match item {
            Item::Entry(bytes) => verifier.entry(bytes)?,
            Item::Checkpoint(note) => verifier.checkpoint(note)?,
        }
    }
    verifier.finish()
}

/// The same, so many pieces at a time.
fn verify_in_pages(
    items: &[Item],
    mut verifier: Verifier,
    page: usize,
) -> Result<Verified, VerifyError> {
    let piece = |item: &Item| match item {
        Item::Entry(bytes) => Piece::Entry(bytes.clone()),
        Item::Checkpoint(note) => Piece::Checkpoint(note.clone()),
    };
    for items in items.chunks(page) {
        let pieces: Vec<Piece> = items.iter().map(piece).collect();
        verifier.take(&pieces)?;
    }
    verifier.finish()
}

fn verify_witnessed(items: &[Item], kept: &str) -> Result<Verified, VerifyError> {
    let mut verifier = verifier();
    verifier.witness(kept)?;
    verify(items, verifier)
}

fn last_note(items: &[Item]) -> &str {
    match items.last().unwrap() {
        Item::Checkpoint(note) => note,
        Item::Entry(_) => panic!("the log ends in an entry"),
    }
}

/// Places of the entries among the items.
fn entry_places(items: &[Item]) -> Vec<usize> {
    let is_entry = |place: &usize| matches!(items[*place], Item::Entry(_));
    (0..items.len()).filter(is_entry).collect()
}

#[derive(Clone, Debug)]
enum Mutation {
    FlipBit { place: Index, byte: Index, bit: u8 },
    Rewrite { place: Index },
    Remove { place: Index, count: usize },
    Swap { one: Index, other: Index },
    Repeat { from: Index, to: Index },
    Invent { to: Index },
    CutOff { place: Index },
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let place = any::<Index>;
    prop_oneof![
        2 => (place(), place(), 0..8_u8)
            .prop_map(|(place, byte, bit)| Mutation::FlipBit { place, byte, bit }),
        1 => place().prop_map(|place| Mutation::Rewrite { place }),
        1 => (place(), 1..60_usize).prop_map(|(place, count)| Mutation::Remove { place, count }),
        1 => (place(), place()).prop_map(|(one, other)| Mutation::Swap { one, other }),
        1 => (place(), place()).prop_map(|(from, to)| Mutation::Repeat { from, to }),
        1 => place().prop_map(|to| Mutation::Invent { to }),
        1 => place().prop_map(|place| Mutation::CutOff { place }),
    ]
}

fn flip(bytes: &mut [u8], byte: &Index, bit: u8) {
    let byte = byte.index(bytes.len());
    bytes[byte] ^= 1 << bit;
}

/// Applies a mutation and gives the first place that is no longer what it was.
fn tamper(items: &mut Vec<Item>, mutation: &Mutation) -> usize {
    let entries = entry_places(items);
    let entry_place = |index: &Index| *index.get(&entries);
    match mutation {
        Mutation::FlipBit { place, byte, bit } => {
            let place = place.index(items.len());
            match &mut items[place] {
                Item::Entry(bytes) => flip(bytes, byte, *bit),
                Item::Checkpoint(note) => {
                    let mut bytes = note.clone().into_bytes();
                    flip(&mut bytes, byte, *bit);
                    // What keeps notes keeps text: bytes that are none come back as marks.
                    *note = String::from_utf8_lossy(&bytes).into_owned();
                }
            }
            place
        }
        Mutation::Rewrite { place } => {
            let place = entry_place(place);
            items[place] = Item::Entry(entry(9999).encode());
            place
        }
        Mutation::Remove { place, count } => {
            let place = entry_place(place);
            let end = (place + count).min(items.len() - 1);
            items.drain(place..end);
            place
        }
        Mutation::Swap { one, other } => {
            items.swap(entry_place(one), entry_place(other));
            entry_place(one).min(entry_place(other))
        }
        Mutation::Repeat { from, to } => {
            items.insert(entry_place(to), items[entry_place(from)].clone());
            entry_place(to)
        }
        Mutation::Invent { to } => {
            items.insert(entry_place(to), Item::Entry(entry(9999).encode()));
            entry_place(to)
        }
        Mutation::CutOff { place } => {
            let place = entry_place(place);
            items.truncate(place);
            place
        }
    }
}

#[test]
fn an_honest_log_verifies() {
    let items = log(ENTRIES, PERIOD);
    let verified = verify_witnessed(&items, last_note(&items)).unwrap();
    assert_eq!((verified.size, verified.covered), (200, 200));
    assert_eq!((verified.checkpoints, verified.uncovered()), (5, 0));
    assert_eq!(verify(&items, verifier()).unwrap().root, verified.root);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn every_mutation_is_found_and_located(mutation in mutations(), page in 1..150_usize) {
        let honest = log(ENTRIES, PERIOD);
        let mut items = honest.clone();
        let place = tamper(&mut items, &mutation);
        // However many pieces are looked at together, the answer is the one of each by itself.
        prop_assert_eq!(
            verify_in_pages(&items, verifier(), page),
            verify(&items, verifier())
        );
        // Swapping an entry with itself or repeating it beside itself changes nothing, or no
        // place before the next; the first place that differs is what a verifier can know.
        let differs = |place: &usize| items.get(*place) != honest.get(*place);
        let Some(place) = (place..honest.len()).find(differs) else {
            let is_swap = matches!(mutation, Mutation::Swap { .. });
            prop_assert!(is_swap);
            prop_assert!(verify_witnessed(&items, last_note(&honest)).is_ok());
            return Ok(());
        };
        let refusal = verify_witnessed(&items, last_note(&honest)).unwrap_err();
        let first_bad = entry_places(&honest[..place]).len() as u64;
        match refusal.entries() {
            Some(entries) => prop_assert!(entries.contains(&first_bad), "{first_bad}: {refusal}"),
            None => prop_assert!(
                matches!(honest[place], Item::Checkpoint(_)),
                "{first_bad}: {refusal}"
            ),
        }
    }
}

#[test]
fn a_cut_is_seen_only_against_a_checkpoint_kept_elsewhere() {
    let mut items = log(ENTRIES, PERIOD);
    let kept = last_note(&items).to_owned();
    items.truncate(PERIOD + 1);
    // By itself it is a shorter log that was once the whole log.
    assert_eq!(verify(&items, verifier()).unwrap().size, 50);
    let expected = VerifyError::Truncated {
        from: 50,
        size: 50,
        signed: 200,
    };
    assert_eq!(verify_witnessed(&items, &kept), Err(expected));
}

#[test]
fn checkpoints_may_all_come_first() {
    let (notes, entries): (Vec<Item>, Vec<Item>) = log(ENTRIES, PERIOD)
        .into_iter()
        .partition(|item| matches!(item, Item::Checkpoint(_)));
    let ordered = [notes, entries].concat();
    assert_eq!(verify(&ordered, verifier()).unwrap().checkpoints, 4);
}

#[test]
fn checkpoints_ahead_are_bounded() {
    let (mut verifier, mut frontier) = (verifier(), Frontier::new());
    for _ in 0..CHECKPOINTS_AHEAD_MAX {
        frontier.append(LeafHash::of(b""));
        verifier.checkpoint(&note(&frontier)).unwrap();
    }
    frontier.append(LeafHash::of(b""));
    let refusal = verifier.checkpoint(&note(&frontier)).unwrap_err();
    assert_eq!(refusal.code(), "audit_too_many_checkpoints_ahead");
}

#[test]
fn what_is_not_signed_yet_is_counted() {
    let verified = verify(&log(60, PERIOD), verifier()).unwrap();
    assert_eq!((verified.size, verified.uncovered()), (60, 10));
    for entries in [0, 10] {
        let unsigned = verify(&log(entries, PERIOD), verifier()).unwrap_err();
        assert_eq!(unsigned.code(), "audit_nothing_signed");
    }
    let signed_empty = [Item::Checkpoint(note(&Frontier::new()))];
    assert_eq!(verify(&signed_empty, verifier()).unwrap().size, 0);
}

#[test]
fn a_refusal_cannot_be_overlooked() {
    let mut verifier = verifier();
    let refusal = verifier.entry(b"not an entry").unwrap_err();
    for item in log(PERIOD, PERIOD) {
        let again = match item {
            Item::Entry(bytes) => verifier.entry(&bytes),
            Item::Checkpoint(note) => verifier.checkpoint(&note),
        };
        assert_eq!(again, Err(refusal.clone()));
    }
    assert_eq!(verifier.finish(), Err(refusal));
}

#[test]
fn two_signed_pasts_are_told_apart_from_a_damaged_one() {
    let honest = log(PERIOD, PERIOD);
    let mut other = Frontier::new();
    (0..PERIOD).for_each(|_| other.append(LeafHash::of(b"other")));
    let other = note(&other);
    let mut ahead = verifier();
    ahead.witness(&other).unwrap();
    let refusal = ahead.witness(last_note(&honest)).unwrap_err();
    assert_eq!(refusal.code(), "audit_two_pasts");
    let after = [honest, vec![Item::Checkpoint(other)]].concat();
    let refusal = verify(&after, verifier()).unwrap_err();
    assert_eq!(refusal.code(), "audit_two_pasts");
}

#[test]
fn a_checkpoint_after_more_entries_than_it_covers_is_refused() {
    let mut items = log(ENTRIES, PERIOD);
    items.swap(PERIOD, PERIOD + 1);
    let refusal = verify(&items, verifier()).unwrap_err();
    assert_eq!(refusal.code(), "audit_checkpoint_late");
    assert_eq!(refusal.entries(), Some(0..51));
}

#[test]
fn a_checkpoint_of_another_key_or_log_is_not_believed() {
    let items = log(PERIOD, PERIOD);
    for (name, seed) in [("jitney.example/audit", 8), ("jitney.example/other", 7)] {
        let other = SigningKey::from_seed(name, &[seed; 32]).unwrap();
        let refusal = verify(&items, Verifier::new(other.verifier())).unwrap_err();
        assert_eq!(refusal.code(), "audit_checkpoint_unbelievable");
    }
}

#[test]
fn the_first_bad_place_is_said_in_plain_words() {
    let mut items = log(ENTRIES, PERIOD);
    items[60] = Item::Entry(entry(9999).encode());
    let refusal = verify(&items, verifier()).unwrap_err().to_string();
    let expected = "an entry from 50 to 99 was changed, removed, added or moved: at 100 entries";
    assert!(refusal.starts_with(expected), "{refusal}");
    items[10] = Item::Entry(vec![9]);
    let refusal = verify(&items, verifier()).unwrap_err().to_string();
    let expected = "entry 10 was changed: the entry has layout `9`, expected `1`";
    assert_eq!(refusal, expected);
}
