//! The audit log for other programs: `audit_log export N` writes an export of a made-up log of
//! N entries, signed with a fresh key; `audit_log verify KEY` reads an export and answers with one
//! line of JSON: `{"size"}`, or `{"refused": code}`.

use std::io::{Write as _, stdin, stdout};

use jitney_core::audit::{
    Checkpoint, Entry, Event, ExportWriter, Frontier, LeafHash, SigningKey, Verifier, verify_export,
};
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::time::Timestamp;

const LOG: &str = "jitney.example/audit";
const FIRST_SECOND: i64 = 1_795_392_000;

type Failure = Box<dyn std::error::Error>;

/// Entries of every event and of every shape: with and without ids, with fields from none to many.
fn entry(number: i64) -> Entry {
    let position = number.unsigned_abs() as usize % Event::ALL.len();
    let event = Event::ALL.get(position).copied();
    let at = Timestamp::from_seconds(FIRST_SECOND + number);
    let mut entry = Entry::new(at, event.unwrap_or(Event::BrokerStarted));
    if number % 2 == 0 {
        entry = entry.request(RequestId::fresh());
    }
    if number % 3 == 0 {
        entry = entry.lease(LeaseId::fresh());
    }
    for field in 0..number % 5 {
        entry = entry.field(&format!("field_{field}"), format!("{number} ✓ \n{field}"));
    }
    entry
}

fn export(size: i64) -> Result<(), Failure> {
    let key = SigningKey::from_seed(LOG, &*SigningKey::fresh_seed()?)?;
    let mut writer = ExportWriter::begin(stdout().lock(), &key.verifier())?;
    let mut frontier = Frontier::new();
    for number in 0..size {
        let bytes = entry(number).encode();
        frontier.append(LeafHash::of(&bytes));
        writer.entry(&bytes)?;
        // Now and then, and at the end: an export must end in a checkpoint.
        if number % 7 == 3 || number + 1 == size {
            writer.checkpoint(&Checkpoint::of(&frontier).sign(&key)?)?;
        }
    }
    drop(writer.finish()?);
    Ok(())
}

fn verify(key: &str) -> Result<(), Failure> {
    let answer = match verify_export(stdin().lock(), Verifier::new(key.parse()?)) {
        Ok(verified) => serde_json::json!({ "size": verified.size }),
        Err(refused) => {
            serde_json::json!({ "refused": refused.code(), "message": refused.to_string() })
        }
    };
    writeln!(stdout(), "{answer}")?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    match asked
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["export", size] => export(size.parse()?),
        ["verify", key] => verify(key),
        _ => Err("expected `export N` or `verify KEY`".into()),
    }
}
