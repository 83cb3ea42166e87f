//! What the file must survive: a stop in the middle of a write, a bit that changed, a full file,
//! a second process, and records of an earlier run behind the present ones.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn open_in(folder: &TempDir) -> (SpoolFile, Found) {
    SpoolFile::open(&place(folder), "acme", BYTES_MIN).unwrap()
}

fn place(folder: &TempDir) -> PathBuf {
    folder.path().join("spool")
}

fn found(payloads: &[&[u8]], unreadable: u32) -> Found {
    Found {
        payloads: payloads.iter().map(|payload| payload.to_vec()).collect(),
        unreadable,
    }
}

#[test]
fn what_is_noted_is_found_in_order_in_a_file_that_does_not_grow() {
    let folder = TempDir::new().unwrap();
    let (mut spool, nothing) = open_in(&folder);
    assert_eq!(nothing, Found::default());
    for payload in [&b"one"[..], b"two", b"three"] {
        spool.append(payload, 0).unwrap();
    }
    drop(spool);
    let metadata = fs::metadata(place(&folder)).unwrap();
    assert_eq!(metadata.len(), BYTES_MIN);
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(open_in(&folder).1, found(&[b"one", b"two", b"three"], 0));
}

#[test]
fn every_block_of_it_is_there_from_the_beginning() {
    use std::os::unix::fs::MetadataExt;
    let folder = TempDir::new().unwrap();
    let _spool = open_in(&folder);
    let metadata = fs::metadata(place(&folder)).unwrap();
    assert!(metadata.blocks() * 512 >= BYTES_MIN, "{metadata:?}");
}

#[test]
fn a_record_that_was_torn_is_told_of_and_written_over() {
    let folder = TempDir::new().unwrap();
    let (mut spool, _) = open_in(&folder);
    spool.append(b"acknowledged", 0).unwrap();
    let begin = usize::try_from(spool.end).unwrap();
    spool.append(b"on its way", 0).unwrap();
    let end = usize::try_from(spool.end).unwrap();
    drop(spool);
    let whole = fs::read(place(&folder)).unwrap();
    for cut in begin..end {
        let mut torn = whole.clone();
        torn[cut..end].fill(0);
        fs::write(place(&folder), &torn).unwrap();
        let (mut spool, seen) = open_in(&folder);
        assert_eq!(seen.payloads, found(&[b"acknowledged"], 0).payloads);
        // A length that never came looks like no record at all.
        let has_length = torn[begin..begin + LENGTH_LENGTH] != [0; LENGTH_LENGTH];
        let has_run = cut >= begin + LENGTH_LENGTH + RUN_LENGTH;
        assert_eq!(seen.unreadable, u32::from(has_length && has_run), "{cut}");
        spool.append(b"next", 0).unwrap();
        drop(spool);
        assert_eq!(open_in(&folder).1, found(&[b"acknowledged", b"next"], 0));
    }
}

#[test]
fn a_changed_bit_costs_one_record_and_is_told_of() {
    let folder = TempDir::new().unwrap();
    let (mut spool, _) = open_in(&folder);
    spool.append(b"one", 0).unwrap();
    let second = usize::try_from(spool.end).unwrap();
    spool.append(b"two", 0).unwrap();
    spool.append(b"three", 0).unwrap();
    drop(spool);
    let whole = fs::read(place(&folder)).unwrap();
    for byte in second + LENGTH_LENGTH + RUN_LENGTH..second + FRAME_LENGTH + 3 {
        let mut changed = whole.clone();
        changed[byte] ^= 1;
        fs::write(place(&folder), &changed).unwrap();
        assert_eq!(open_in(&folder).1, found(&[b"one", b"three"], 1), "{byte}");
    }
}

#[test]
fn what_was_emptied_does_not_come_back_behind_later_records() {
    let folder = TempDir::new().unwrap();
    let (mut spool, _) = open_in(&folder);
    for payload in [&b"old 1"[..], b"old 2", b"old 3"] {
        spool.append(payload, 0).unwrap();
    }
    spool.clear().unwrap();
    // As long as the old one, so the second old one follows it exactly.
    spool.append(b"new 1", 0).unwrap();
    drop(spool);
    let (mut spool, seen) = open_in(&folder);
    assert_eq!(seen, found(&[b"new 1"], 0));
    spool.clear().unwrap();
    drop(spool);
    assert_eq!(open_in(&folder).1, Found::default());
}

#[test]
fn a_full_spool_takes_nothing_and_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let (mut spool, _) = open_in(&folder);
    let payload = vec![7; 10_000];
    let half = spool.room() / 2;
    let mut taken = 0;
    while spool.append(&payload, half).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, half / (10_000 + FRAME_LENGTH as u64));
    while spool.append(&payload, 0).is_ok() {
        taken += 1;
    }
    assert!(matches!(spool.append(&payload, 0), Err(CannotNote::Full)));
    assert_eq!(taken, spool.room() / (10_000 + FRAME_LENGTH as u64));
    drop(spool);
    let (mut spool, seen) = open_in(&folder);
    assert_eq!((seen.payloads.len() as u64, seen.unreadable), (taken, 0));
    assert_eq!(fs::metadata(place(&folder)).unwrap().len(), BYTES_MIN);
    spool.clear().unwrap();
    spool.append(&payload, 0).unwrap();
}

#[test]
fn a_second_process_another_installation_and_another_file_are_refused() {
    let folder = TempDir::new().unwrap();
    let (spool, _) = open_in(&folder);
    let again = SpoolFile::open(&place(&folder), "acme", BYTES_MIN).unwrap_err();
    assert!(matches!(again, CannotOpen::InUse(_)), "{again}");
    drop(spool);
    let foreign = SpoolFile::open(&place(&folder), "umbrella", BYTES_MIN).unwrap_err();
    assert!(
        matches!(&foreign, CannotOpen::Foreign { seen, .. } if seen == "acme"),
        "{foreign}"
    );
    let ledger = folder.path().join("ledger.db");
    for text in [&b"x"[..], b"SQLite format 3\0", b"jitney spool 2\n"] {
        fs::write(&ledger, text).unwrap();
        let other = SpoolFile::open(&ledger, "acme", BYTES_MIN).unwrap_err();
        assert!(matches!(other, CannotOpen::NotASpool(_)), "{other}");
        assert_eq!(fs::read(&ledger).unwrap(), text);
    }
}

#[test]
fn a_spool_whose_making_was_interrupted_is_made_and_one_that_is_too_small_grows() {
    let folder = TempDir::new().unwrap();
    fs::write(place(&folder), vec![0; 70_000]).unwrap();
    let (mut spool, _) = open_in(&folder);
    spool.append(b"kept", 0).unwrap();
    drop(spool);
    let (spool, seen) = SpoolFile::open(&place(&folder), "acme", 2 * BYTES_MIN).unwrap();
    assert_eq!(seen, found(&[b"kept"], 0));
    assert_eq!(spool.room(), 2 * BYTES_MIN - HEADER_LENGTH);
}

#[derive(Debug, Clone)]
enum Act {
    Append(Vec<u8>),
    Clear,
    Reopen,
    Tear(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 1..200).prop_map(Act::Append),
        1 => Just(Act::Clear),
        2 => Just(Act::Reopen),
        1 => (1_usize..60).prop_map(Act::Tear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is done to it, what was acknowledged since it was last emptied is found, and
    /// nothing else.
    #[test]
    fn it_holds_what_was_acknowledged_and_nothing_else(acts in prop::collection::vec(act(), 1..40)) {
        let folder = TempDir::new().unwrap();
        let (mut spool, _) = open_in(&folder);
        let mut model: Vec<Vec<u8>> = Vec::new();
        for act in acts {
            match act {
                Act::Append(payload) => {
                    spool.append(&payload, 0).unwrap();
                    model.push(payload);
                }
                Act::Clear => {
                    spool.clear().unwrap();
                    model.clear();
                }
                Act::Reopen | Act::Tear(_) => {
                    if let Act::Tear(bytes) = act {
                        // The beginning of a record that was never acknowledged.
                        let mut record = 40_u32.to_be_bytes().to_vec();
                        record.extend_from_slice(&spool.run);
                        record.extend_from_slice(&[3; 40]);
                        record.truncate(bytes);
                        spool.file.write_all_at(&record, spool.end).unwrap();
                    }
                    drop(spool);
                    let (reopened, seen) = open_in(&folder);
                    prop_assert_eq!(&seen.payloads, &model);
                    spool = reopened;
                }
            }
        }
    }
}
