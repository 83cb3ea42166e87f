//! Laws about sheets: what holds for the whole installation.

use futures_util::future::join_all;
use jitney_core::ledger::{CommitError, Transaction};

use super::sample::{entry_at, sheet, sheet_at};
use super::{Broken, Stores, refused, same};

/// How many hands write at once where a law is about crowds.
const CROWD: u64 = 16;

fn writing(name: &str, version: u64, by: u64) -> Transaction {
    let mut written = sheet(name, version);
    written.body = format!("{{\"by\":{by}}}");
    Transaction {
        sheets: vec![written],
        ..Transaction::default()
    }
}

pub(super) async fn a_sheet_is_written_over_the_version_before_it(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    same(
        "an unwritten sheet",
        &ledger.sheet("standing").await?,
        &None,
    )?;
    for version in 1..=3 {
        let commit = writing("standing", version, version);
        let expected = commit.sheets.first().cloned();
        ledger.commit(commit).await?;
        same("the sheet", &ledger.sheet("standing").await?, &expected)?;
    }
    for version in [0, 1, 3, 5] {
        let moved = CommitError::Moved("standing".to_owned());
        let again = ledger.commit(writing("standing", version, 9)).await;
        refused("a sheet over another version", again, moved)?;
    }
    Ok(())
}

pub(super) async fn sheets_are_found_by_how_they_begin(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let names = ["order/1", "order/2", "order", "orders/1", "standing", "%"];
    for name in names {
        ledger.commit(writing(name, 1, 1)).await?;
    }
    for (prefix, expected) in [
        ("order/", vec!["order/1", "order/2"]),
        ("order", vec!["order", "order/1", "order/2", "orders/1"]),
        ("%", vec!["%"]),
        ("_", vec![]),
        (
            "",
            vec!["%", "order", "order/1", "order/2", "orders/1", "standing"],
        ),
    ] {
        let found = ledger.sheets(prefix).await?;
        let found: Vec<&str> = found.iter().map(|sheet| sheet.name.as_str()).collect();
        same(&format!("the sheets under `{prefix}`"), &found, &expected)?;
    }
    Ok(())
}

pub(super) async fn of_many_writers_of_one_sheet_one_succeeds(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    for version in 1..=3 {
        let commits = (0..CROWD).map(|by| ledger.commit(writing("standing", version, by)));
        let outcomes = join_all(commits).await;
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        same("how many wrote one version", &won, &1)?;
        let moved = CommitError::Moved("standing".to_owned());
        for lost in outcomes.into_iter().filter(Result::is_err) {
            refused("a sheet that somebody else wrote", lost, moved.clone())?;
        }
    }
    Ok(())
}

/// An intent asserts the standing orders. Whichever comes first, the order or the intent: an order
/// that is written has no intent after it that did not know of it.
pub(super) async fn nothing_slips_past_a_sheet_that_moves(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    ledger.commit(writing("standing", 1, 0)).await?;
    for round in 1..=8 {
        let asserting = |number: u64| {
            ledger.commit(Transaction {
                sheets_unchanged: vec![sheet_at("standing", round)],
                entries: vec![entry_at(number)],
                ..Transaction::default()
            })
        };
        let before = (0..CROWD).map(asserting);
        let order = ledger.commit(Transaction {
            entries: vec![entry_at(1_000)],
            ..writing("standing", round + 1, 0)
        });
        let after = (CROWD..2 * CROWD).map(asserting);
        let (first, ordered, second) = tokio::join!(join_all(before), order, join_all(after));
        let ordered_at = ordered?;
        for outcome in first.into_iter().chain(second) {
            match outcome {
                Ok(at) if at < ordered_at => {}
                Err(CommitError::Moved(_)) => {}
                other => {
                    let how = format!("the order was entry {ordered_at}, an intent: {other:?}");
                    return Err(Broken::because(how));
                }
            }
        }
    }
    Ok(())
}
