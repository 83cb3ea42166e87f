//! Laws about whole transactions: all of it is applied or nothing.
//!
//! Each refusal is shown the same way. A transaction with something of every kind is made, which
//! the ledger would take. One thing in it is changed, and it must be refused for that reason;
//! whatever can be seen of the ledger must be as before. Then the unchanged transaction is
//! committed: it is taken only if nothing of the refused one stayed behind.

use std::sync::Arc;

use jitney_core::adapter::Epoch;
use jitney_core::audit::{Event, Frontier};
use jitney_core::ledger::{
    CommitError, Fence, LaneRows, LeaseFilter, Ledger, Look, OnceUse, Row, Share, Sheet,
    StoredEntry, Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::principal::OnceKey;
use jitney_core::time::Timestamp;

use super::sample::{
    ALL, all_entries, at, budget, claim, ended, entry, hold, lane, lane_in, lease, moved, of_rows,
    once, request, sheet, sheet_at,
};
use super::{Broken, Store, Stores, refused, same};

/// Everything that can be seen of what a transaction changes.
#[derive(Debug, PartialEq)]
struct Picture {
    leases: Vec<Row>,
    requests: Vec<Row>,
    lane: LaneRows,
    due: Vec<LaneId>,
    next_due: Option<Timestamp>,
    once: Option<OnceUse>,
    sheets: Vec<Sheet>,
    entries: Vec<StoredEntry>,
    frontier: Frontier,
}

async fn picture(ledger: &dyn Ledger) -> Result<Picture, Broken> {
    let mut lane = ledger.lane(&the_lane(), Timestamp::FAR_FUTURE).await?;
    lane.rows.sort_by_key(|row| row.id);
    lane.holds.sort_by(|one, other| one.held.cmp(&other.held));
    Ok(Picture {
        leases: ledger
            .leases(LeaseFilter {
                ended_too: true,
                limit: ALL,
                ..LeaseFilter::default()
            })
            .await?,
        requests: ledger.due_requests(Timestamp::FAR_FUTURE, ALL).await?,
        lane,
        due: ledger.due_lanes(Timestamp::FAR_FUTURE, ALL).await?,
        next_due: ledger.next_due().await?,
        once: ledger.once(&OnceKey("token".to_owned())).await?,
        sheets: ledger.sheets("").await?,
        entries: all_entries(ledger).await?,
        frontier: ledger.frontier().await?,
    })
}

fn the_lane() -> LaneId {
    lane("role/a")
}

/// A ledger with a past, and a transaction of every kind that it will take.
struct Ready {
    // Dropped after the ledger that works on it.
    ledger: Arc<dyn Ledger>,
    _store: Box<dyn Store>,
    lawful: Transaction,
    /// What the past already used up, to be used again.
    used: OnceUse,
}

async fn ready(stores: &dyn Stores) -> Result<Ready, Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let lane = the_lane();
    let epoch = ledger.claim_lane(&lane, "hand", at(0), at(60)).await?;
    let epoch = epoch.ok_or_else(|| Broken::because("a free lane could not be claimed"))?;
    let (old, older) = (lease(&lane, at(50)), lease(&lane, at(40)));
    let used = once("used token", old.request);
    let old_hold = hold(&lane, 1, &older, at(30));
    ledger
        .commit(Transaction {
            once: vec![used.clone()],
            claims: vec![claim("taken", &old), claim("given back", &older)],
            holds_placed: vec![old_hold.clone()],
            sheets: vec![sheet("standing", 1), sheet("order/1", 1)],
            entries: vec![entry(Event::LeaseIntended, &old)],
            ..of_rows([old.clone(), older.clone()])
        })
        .await?;
    let new = lease(&lane, at(20));
    let asked = request(at(25));
    let lawful = Transaction {
        rows: vec![
            asked.clone(),
            new.clone(),
            moved(&old, "revoking"),
            ended(&older),
        ],
        once: vec![once("token", asked.request)],
        claims: vec![claim("free", &new), claim("given back", &new)],
        claims_released: vec![claim("given back", &older)],
        holds_placed: vec![hold(&lane, 2, &older, at(35))],
        holds_dropped: vec![old_hold],
        // Open afterwards: the new lease, the old one, and one hold.
        budgets: vec![
            budget(Share::Job("job".to_owned()), 3),
            budget(Share::Lane(lane.clone()), 3),
        ],
        fences: vec![Fence {
            lane: lane.clone(),
            epoch,
        }],
        sheets: vec![sheet("standing", 2), sheet("order/2", 1)],
        sheets_unchanged: vec![sheet_at("order/1", 1), sheet_at("order/3", 0)],
        looks: vec![Look {
            lane: lane_in("staging", "role/b"),
            at: Some(at(40)),
        }],
        epochs_raised: vec![Fence {
            lane: lane_in("staging", "role/a"),
            epoch: Epoch(7),
        }],
        entries: vec![
            entry(Event::LeaseIntended, &new),
            entry(Event::LeaseEnding, &old),
        ],
    };
    Ok(Ready {
        ledger,
        _store: store,
        lawful,
        used,
    })
}

/// That `lawful` with one `change` is refused as `expected` and leaves nothing behind.
async fn leaves_nothing(
    stores: &dyn Stores,
    change: impl FnOnce(&mut Transaction, &OnceUse) -> Option<CommitError>,
) -> Result<(), Broken> {
    let ready = ready(stores).await?;
    let ledger = ready.ledger.as_ref();
    let before = picture(ledger).await?;
    let mut changed = ready.lawful.clone();
    let expected = change(&mut changed, &ready.used)
        .ok_or_else(|| Broken::because("the sample has nothing of the kind to change"))?;
    refused(
        "the changed transaction",
        ledger.commit(changed).await,
        expected,
    )?;
    same("the ledger afterwards", &picture(ledger).await?, &before)?;
    let sequence = ledger.commit(ready.lawful).await?;
    same("the sequence after the lawful one", &sequence, &3)
}

pub(super) async fn a_transaction_is_applied_whole(stores: &dyn Stores) -> Result<(), Broken> {
    let ready = ready(stores).await?;
    let ledger = ready.ledger.as_ref();
    let sequence = ledger.commit(ready.lawful.clone()).await?;
    same("the sequence", &sequence, &3)?;
    for row in &ready.lawful.rows {
        same("a row", &ledger.row(row.id).await?.as_ref(), &Some(row))?;
    }
    let seen = picture(ledger).await?;
    same(
        "the once-key",
        &seen.once.as_ref(),
        &ready.lawful.once.first(),
    )?;
    same("the holds", &seen.lane.holds, &ready.lawful.holds_placed)?;
    same("the next due time", &seen.next_due, &Some(at(20)))?;
    let bytes: Vec<Vec<u8>> = seen.entries.into_iter().skip(1).map(|e| e.bytes).collect();
    let expected: Vec<Vec<u8>> = ready.lawful.entries.iter().map(|e| e.encode()).collect();
    same("the audit entries", &bytes, &expected)?;
    let late = Transaction {
        claims: vec![claim("given back", &lease(&the_lane(), at(1)))],
        ..Transaction::default()
    };
    let taken = late.claims.first().cloned().map(CommitError::Taken);
    same(
        "a name claimed by it",
        &ledger.commit(late).await.err(),
        &taken,
    )
}

pub(super) async fn an_empty_transaction_changes_nothing(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    same(
        "the sequence",
        &ledger.commit(Transaction::default()).await?,
        &0,
    )?;
    let row = lease(&the_lane(), at(1));
    let transaction = Transaction {
        entries: vec![entry(Event::LeaseIntended, &row)],
        ..of_rows([row])
    };
    ledger.commit(transaction).await?;
    let before = picture(ledger.as_ref()).await?;
    same(
        "the sequence",
        &ledger.commit(Transaction::default()).await?,
        &1,
    )?;
    same("the ledger", &picture(ledger.as_ref()).await?, &before)
}

pub(super) async fn a_conflict_applies_nothing(stores: &dyn Stores) -> Result<(), Broken> {
    for place in 0..4 {
        leaves_nothing(stores, |transaction, _| {
            let row = transaction.rows.get_mut(place)?;
            row.version += 1;
            Some(CommitError::Conflict(row.id))
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn a_taken_name_applies_nothing(stores: &dyn Stores) -> Result<(), Broken> {
    for place in 0..2 {
        leaves_nothing(stores, |transaction, _| {
            let claim = transaction.claims.get_mut(place)?;
            "taken".clone_into(&mut claim.name);
            Some(CommitError::Taken(claim.clone()))
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn a_replay_applies_nothing(stores: &dyn Stores) -> Result<(), Broken> {
    leaves_nothing(stores, |transaction, used| {
        let once = transaction.once.first_mut()?;
        once.key = used.key.clone();
        Some(CommitError::Replayed(used.clone()))
    })
    .await
}

pub(super) async fn a_budget_exceeded_applies_nothing(stores: &dyn Stores) -> Result<(), Broken> {
    for place in 0..2 {
        leaves_nothing(stores, |transaction, _| {
            let budget = transaction.budgets.get_mut(place)?;
            budget.leases_max -= 1;
            Some(CommitError::OverBudget(budget.clone()))
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn a_lost_lane_applies_nothing(stores: &dyn Stores) -> Result<(), Broken> {
    for step in [1_i64, -1] {
        leaves_nothing(stores, |transaction, _| {
            let fence = transaction.fences.first_mut()?;
            fence.epoch = Epoch(fence.epoch.0.checked_add_signed(step)?);
            Some(CommitError::Fenced(fence.clone()))
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn a_sheet_that_moved_applies_nothing(stores: &dyn Stores) -> Result<(), Broken> {
    let moved = |name: &str| Some(CommitError::Moved(name.to_owned()));
    // Read too early, read too late, thought to be there, thought not to be there.
    for (name, version) in [
        ("order/1", 0),
        ("order/1", 2),
        ("order/4", 1),
        ("standing", 0),
    ] {
        leaves_nothing(stores, |changed, _| {
            changed.sheets_unchanged.push(sheet_at(name, version));
            moved(name)
        })
        .await?;
    }
    // Written over another version than the one before it.
    for (name, version) in [
        ("standing", 1),
        ("standing", 3),
        ("order/2", 2),
        ("order/2", 0),
    ] {
        leaves_nothing(stores, |changed, _| {
            changed.sheets = vec![sheet(name, version)];
            moved(name)
        })
        .await?;
    }
    Ok(())
}
