//! Laws about the audit log: what is stored is what was said, and the tree is the one over it.

use jitney_core::audit::{Entry, Event, Frontier, LeafHash};
use jitney_core::ledger::{CommitError, Ledger};

use super::sample::{all_entries, at, crowd, entry, lane, lease, of_entries};
use super::{Broken, Stores, same};

/// Entries that say which they are.
fn numbered(numbers: impl IntoIterator<Item = u32>) -> Vec<Entry> {
    let row = lease(&lane("role/a"), at(1));
    let of_number = |number| entry(Event::LeaseIntended, &row).field("number", number);
    numbers.into_iter().map(of_number).collect()
}

/// That the stored entries are numbered without a gap and the tree is the one over their bytes.
async fn log_is_sound(ledger: &dyn Ledger, size: u64) -> Result<Vec<Vec<u8>>, Broken> {
    let stored = all_entries(ledger).await?;
    let places: Vec<u64> = stored.iter().map(|entry| entry.index).collect();
    same("the entries' places", &places, &(0..size).collect())?;
    let mut frontier = Frontier::new();
    for entry in &stored {
        frontier.append(LeafHash::of(&entry.bytes));
    }
    same("the tree", &ledger.frontier().await?, &frontier)?;
    Ok(stored.into_iter().map(|entry| entry.bytes).collect())
}

pub(super) async fn the_sequence_is_the_number_of_entries(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let mut size = 0;
    for count in [0, 1, 0, 3, 2, 0] {
        let sequence = ledger.commit(of_entries(numbered(0..count))).await?;
        size += u64::from(count);
        same("the sequence", &sequence, &size)?;
        same("the tree's size", &ledger.frontier().await?.size(), &size)?;
    }
    Ok(())
}

pub(super) async fn entries_are_their_canonical_bytes(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    log_is_sound(ledger.as_ref(), 0).await?;
    let mut said: Vec<Entry> = numbered(0..40);
    let big = said.iter().cycle().take(60).cloned().enumerate();
    let long = "'\u{0}ü\n".repeat(700);
    let big: Vec<Entry> = big
        .map(|(n, e)| e.field("long", &long).field(&format!("k{n}"), n))
        .collect();
    said.extend(big);
    for some in said.chunks(7) {
        ledger.commit(of_entries(some.to_vec())).await?;
    }
    let stored = log_is_sound(ledger.as_ref(), said.len() as u64).await?;
    let expected: Vec<Vec<u8>> = said.iter().map(Entry::encode).collect();
    same("the entries' bytes", &stored, &expected)
}

pub(super) async fn the_tree_is_the_one_over_the_entries(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    const CROWD: u32 = 64;
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let sequences = crowd(&ledger, CROWD, |ledger, number| async move {
        // Every fourth is refused, and must leave no leaf behind.
        let mut transaction = of_entries(numbered([number]));
        if number % 4 == 0 {
            let mut row = lease(&lane("role/a"), at(1));
            row.version = 2;
            transaction.rows.push(row);
        }
        ledger.commit(transaction).await
    })
    .await?;
    let taken = CROWD * 3 / 4;
    let mut sequences: Vec<u64> = sequences.into_iter().filter_map(Result::ok).collect();
    sequences.sort_unstable();
    same(
        "the sequences",
        &sequences,
        &(1..=u64::from(taken)).collect(),
    )?;
    let stored = log_is_sound(ledger.as_ref(), taken.into()).await?;
    let mut expected: Vec<String> = (0..CROWD)
        .filter(|n| n % 4 != 0)
        .map(|n| n.to_string())
        .collect();
    let mut seen: Vec<String> = Vec::new();
    for bytes in stored {
        seen.extend(number_of(&bytes)?);
    }
    seen.sort();
    expected.sort();
    same("which entries are stored", &seen, &expected)
}

fn number_of(bytes: &[u8]) -> Result<Option<String>, Broken> {
    let entry = Entry::decode(bytes).map_err(|error| Broken::because(error.to_string()))?;
    Ok(entry.fields().get("number").cloned())
}

pub(super) async fn entries_of_one_transaction_stand_together(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    const CROWD: u32 = 32;
    const EACH: u32 = 3;
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let sequences = crowd(&ledger, CROWD, |ledger, number| async move {
        let said = numbered(number * EACH..(number + 1) * EACH);
        let bytes: Vec<Vec<u8>> = said.iter().map(Entry::encode).collect();
        (bytes, ledger.commit(of_entries(said)).await)
    })
    .await?;
    log_is_sound(ledger.as_ref(), u64::from(CROWD * EACH)).await?;
    for (said, sequence) in sequences {
        let from = sequence?.saturating_sub(u64::from(EACH));
        let stored = ledger.entries(from, EACH).await?;
        let stored: Vec<Vec<u8>> = stored.into_iter().map(|entry| entry.bytes).collect();
        same(
            "the entries just before a commit's sequence",
            &stored,
            &said,
        )?;
    }
    Ok(())
}

pub(super) async fn entries_are_read_in_pages(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    ledger.commit(of_entries(numbered(0..10))).await?;
    for (from, limit, expected) in [
        (0, 4, 0..4),
        (4, 4, 4..8),
        (8, 4, 8..10),
        (9, 1, 9..10),
        (3, 0, 0..0),
        (10, 4, 0..0),
        (u64::MAX, 4, 0..0),
    ] {
        let page = ledger.entries(from, limit).await?;
        let places: Vec<u64> = page.iter().map(|entry| entry.index).collect();
        same(
            &format!("{limit} entries from {from}"),
            &places,
            &expected.collect(),
        )?;
    }
    Ok(())
}

pub(super) async fn checkpoints_are_kept_oldest_first(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    same("no checkpoints", &ledger.checkpoints().await?, &Vec::new())?;
    ledger.commit(of_entries(numbered(0..5))).await?;
    // Two notes for one size are two signed statements: none may push out the other.
    let notes = [
        (0, "zero"),
        (3, "three\nü\n"),
        (5, "five"),
        (5, "five, again"),
    ];
    for (size, note) in notes {
        ledger.store_checkpoint(size, note.to_owned()).await?;
    }
    ledger.store_checkpoint(3, "three\nü\n".to_owned()).await?;
    let expected: Vec<(u64, String)> = notes.map(|(size, note)| (size, note.to_owned())).into();
    same("the checkpoints", &ledger.checkpoints().await?, &expected)
}

pub(super) async fn no_checkpoint_is_ahead_of_the_log(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    ledger.commit(of_entries(numbered(0..5))).await?;
    for size in [6, u64::MAX] {
        let outcome = ledger.store_checkpoint(size, "ahead".to_owned()).await;
        if !matches!(outcome, Err(CommitError::Unavailable(_))) {
            let how = format!("a checkpoint for {size} of 5 entries gave {outcome:?}");
            return Err(Broken::because(how));
        }
    }
    same("the checkpoints", &ledger.checkpoints().await?, &Vec::new())
}
