//! An export can be verified by anybody who holds the key, and no byte of it is there in vain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use jitney_core::audit::{
    Checkpoint, Entry, Event, ExportError, ExportWriter, Frontier, LINE_LENGTH_MAX, LeafHash,
    SigningKey, Verifier, verify_export,
};
use jitney_core::time::Timestamp;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed("jitney.example/audit", &[seed; 32]).unwrap()
}

fn verifier() -> Verifier {
    Verifier::new(key(7).verifier())
}

fn entries(count: i64) -> Vec<Vec<u8>> {
    let entry = |index| {
        let at = Timestamp::from_seconds(1_795_392_000 + index);
        Entry::new(at, Event::LeaseEnded).field("evidence", "expired")
    };
    (0..count).map(|index| entry(index).encode()).collect()
}

/// Writes `entries` with the checkpoints that an honest log of `signed` has.
fn export(entries: &[Vec<u8>], signed: &[Vec<u8>], period: usize) -> Vec<u8> {
    let mut writer = ExportWriter::begin(Vec::new(), &key(7).verifier()).unwrap();
    let mut frontier = Frontier::new();
    for (index, entry) in entries.iter().enumerate() {
        writer.entry(entry).unwrap();
        frontier.append(LeafHash::of(&signed[index]));
        if (index + 1) % period == 0 {
            let note = Checkpoint::of(&frontier).sign(&key(7)).unwrap();
            writer.checkpoint(&note).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn honest(count: i64, period: usize) -> Vec<u8> {
    export(&entries(count), &entries(count), period)
}

fn lines(export: &[u8]) -> Vec<&[u8]> {
    export.split_inclusive(|byte| *byte == b'\n').collect()
}

fn code_of(export: &[u8]) -> &'static str {
    verify_export(export, verifier()).unwrap_err().code()
}

#[test]
fn an_export_verifies_with_and_without_its_first_line() {
    let bytes = honest(200, 50);
    let verified = verify_export(bytes.as_slice(), verifier()).unwrap();
    assert_eq!((verified.size, verified.checkpoints), (200, 4));
    let without_key = lines(&bytes)[1..].concat();
    assert_eq!(
        verify_export(without_key.as_slice(), verifier()).unwrap(),
        verified
    );
}

#[test]
fn no_bit_of_an_export_may_change_and_no_byte_be_missing() {
    let bytes = honest(3, 3);
    assert!(verify_export(bytes.as_slice(), verifier()).is_ok());
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            let outcome = verify_export(changed.as_slice(), verifier());
            assert!(outcome.is_err(), "bit {bit} of byte {place}");
        }
    }
    // The very last byte is the line feed after the last checkpoint.
    for length in 0..bytes.len() - 1 {
        let outcome = verify_export(&bytes[..length], verifier());
        assert!(outcome.is_err(), "cut after {length} bytes");
    }
}

#[test]
fn no_entry_line_may_be_missing_moved_or_repeated() {
    let bytes = honest(6, 3);
    let lines = lines(&bytes);
    let entry_lines = [1, 2, 3, 5, 6, 7];
    for (position, &line) in entry_lines.iter().enumerate() {
        let mut missing = lines.clone();
        missing.remove(line);
        let mut repeated = lines.clone();
        repeated.insert(line, lines[line]);
        let mut moved = lines.clone();
        moved.swap(line, entry_lines[(position + 1) % entry_lines.len()]);
        for (what, changed) in [("missing", missing), ("twice", repeated), ("moved", moved)] {
            let outcome = verify_export(changed.concat().as_slice(), verifier());
            assert!(outcome.is_err(), "line {line} {what}");
        }
    }
    assert_eq!(code_of(&lines[..8].concat()), "export_end_missing");
    assert_eq!(code_of(&lines[..1].concat()), "audit_nothing_signed");
}

#[test]
fn renumbered_lines_do_not_hide_what_was_done() {
    let signed = entries(6);
    let mut shorter = signed.clone();
    shorter.remove(2);
    let cut = export(&shorter, &signed, 6);
    assert_eq!(code_of(&cut), "audit_nothing_signed");
    let whole = honest(6, 6);
    let last_checkpoint = lines(&whole)[7];
    assert_eq!(
        code_of(&[&cut, last_checkpoint].concat()),
        "audit_truncated"
    );
    let mut moved = signed.clone();
    moved.swap(1, 4);
    assert_eq!(code_of(&export(&moved, &signed, 6)), "audit_root_differs");
}

#[test]
fn an_export_that_brings_its_own_key_is_refused() {
    let mut writer = ExportWriter::begin(Vec::new(), &key(66).verifier()).unwrap();
    let note = Checkpoint::of(&Frontier::new()).sign(&key(66)).unwrap();
    writer.checkpoint(&note).unwrap();
    let forged = writer.finish().unwrap();
    assert_eq!(code_of(&forged), "export_of_other_key");
    let without_key = lines(&forged)[1..].concat();
    assert_eq!(code_of(&without_key), "audit_checkpoint_unbelievable");
}

#[test]
fn only_export_lines_are_export_lines() {
    let text = String::from_utf8(honest(3, 3)).unwrap();
    let key_line = text.lines().next().unwrap();
    let cases = [
        "\n".to_owned(),
        "{}\n".to_owned(),
        "[]\n".to_owned(),
        "\u{0}\n".to_owned(),
        format!("{text}{key_line}\n"),
        format!("\n{text}"),
        text.replace("\"index\"", "\"place\""),
        text.replace("\"index\":0,", "\"index\":0,\"note\":\"approved\","),
        text.replace("\"index\":0,", ""),
        text.replace("\"index\":0", "\"index\":0,\"index\":0"),
        text.replace("\"index\":0", "\"index\":-1"),
        text.replace("\"entry\":\"", "\"entry\":\"*"),
    ];
    for export in cases {
        assert_eq!(
            code_of(export.as_bytes()),
            "export_line_unclear",
            "{export}"
        );
    }
    let skipped = text.replace("\"index\":1", "\"index\":2");
    assert_eq!(code_of(skipped.as_bytes()), "export_out_of_order");
    assert_eq!(code_of(b""), "audit_nothing_signed");
}

#[test]
fn a_line_is_bounded() {
    let endless = "x".repeat(LINE_LENGTH_MAX + 1);
    assert_eq!(code_of(endless.as_bytes()), "export_line_too_long");
    let longest = "x".repeat(LINE_LENGTH_MAX);
    assert_eq!(code_of(longest.as_bytes()), "export_line_unclear");
}

/// Lines are looked at many at a time; what is said of the first bad one is the same.
#[test]
fn a_bad_line_far_down_is_the_one_that_is_named() {
    let bytes = honest(6_000, 1_000);
    assert!(verify_export(bytes.as_slice(), verifier()).is_ok());
    let lines = lines(&bytes);
    for bad in [1_999, 2_000, 2_001, 4_500] {
        // What comes after it is worse.
        let endless = "x".repeat(LINE_LENGTH_MAX + 1);
        let before = lines[..bad - 1].concat();
        let changed = [&before, b"{}\n".as_slice(), endless.as_bytes()].concat();
        let refusal = verify_export(changed.as_slice(), verifier()).unwrap_err();
        let line = u64::try_from(bad).unwrap();
        assert!(
            matches!(refusal, ExportError::LineUnclear { line: seen } if seen == line),
            "{refusal:?}"
        );
    }
}

#[test]
fn a_disk_that_fails_is_not_a_log_that_was_changed() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let input = std::io::BufReader::new(Failing);
    let refusal = verify_export(input, verifier()).unwrap_err();
    assert!(matches!(refusal, ExportError::Unreadable { line: 1, .. }));
}
