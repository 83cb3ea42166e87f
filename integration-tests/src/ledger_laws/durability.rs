//! Laws about what was acknowledged, and about callers who do not wait for it.

use jitney_core::audit::{Entry, Event};
use jitney_core::ledger::{CommitError, Fence, LeaseFilter, Share, Transaction};
use tokio::time::timeout;

use super::sample::{
    ALL, all_entries, at, budget, claim, crowd, entry, hold, lane, lease, moment, moved, of_rows,
    once, request,
};
use super::{Broken, Stores, refused, same};

pub(super) async fn what_was_acknowledged_survives(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    let (row, asked) = (lease(&here, at(10)), request(at(20)));
    let (used, held) = (once("token", asked.request), hold(&here, 1, &row, at(30)));
    let transaction = Transaction {
        once: vec![used.clone()],
        holds_placed: vec![held.clone()],
        entries: vec![entry(Event::LeaseIntended, &row)],
        ..of_rows([row.clone(), asked.clone()])
    };
    ledger.commit(transaction).await?;
    let next = moved(&row, "revoking");
    let transaction = Transaction {
        entries: vec![entry(Event::LeaseEnding, &next)],
        ..of_rows([next.clone()])
    };
    ledger.commit(transaction).await?;
    ledger.store_checkpoint(2, "signed".to_owned()).await?;
    let before = (
        ledger.frontier().await?,
        all_entries(ledger.as_ref()).await?,
    );
    drop(ledger);

    for _ in 0..2 {
        let ledger = store.open().await?;
        same(
            "the lease",
            &ledger.row(row.id).await?.as_ref(),
            &Some(&next),
        )?;
        same(
            "the request",
            &ledger.row(asked.id).await?.as_ref(),
            &Some(&asked),
        )?;
        same(
            "the once-key",
            &ledger.once(&used.key).await?.as_ref(),
            &Some(&used),
        )?;
        let seen = ledger.lane(&here, at(0)).await?;
        same(
            "the leases under revocation",
            &seen.rows,
            &vec![next.clone()],
        )?;
        same("the holds", &seen.holds, &vec![held.clone()])?;
        same(
            "the next due time",
            &ledger.next_due().await?,
            &Some(at(10)),
        )?;
        let log = (
            ledger.frontier().await?,
            all_entries(ledger.as_ref()).await?,
        );
        same("the audit log", &log, &before)?;
        let checkpoints = vec![(2, "signed".to_owned())];
        same(
            "the checkpoints",
            &ledger.checkpoints().await?,
            &checkpoints,
        )?;
    }
    let ledger = store.open().await?;
    let later = Transaction {
        entries: vec![entry(Event::LeaseEnded, &next)],
        ..Transaction::default()
    };
    same("the next sequence", &ledger.commit(later).await?, &3)
}

pub(super) async fn epochs_and_claims_survive(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    let (row, other) = (lease(&here, at(10)), lease(&here, at(10)));
    let first = ledger.claim_lane(&here, "one", at(0), at(60)).await?;
    let transaction = Transaction {
        claims: vec![claim("slot-1", &row)],
        ..of_rows([row])
    };
    ledger.commit(transaction).await?;
    ledger.claim_lane(&here, "one", at(10), at(70)).await?;
    drop(ledger);

    let ledger = store.open().await?;
    // A store that one process at a time can open knows that the first hand is gone; any other
    // waits for its claim to run out. Either way the next epoch is a higher one.
    let at_once = ledger.claim_lane(&here, "two", at(69), at(200)).await?;
    let second = match at_once {
        None => ledger.claim_lane(&here, "two", at(70), at(200)).await?,
        claimed => claimed,
    };
    if first.is_none() || second <= first {
        let how = format!("after reopening, epoch {second:?} came after {first:?}");
        return Err(Broken::because(how));
    }
    let fence = first.map(|epoch| Fence {
        lane: here.clone(),
        epoch,
    });
    let late = Transaction {
        fences: Vec::from_iter(fence.clone()),
        ..Transaction::default()
    };
    let fenced = fence.map(CommitError::Fenced);
    same("the first hand", &ledger.commit(late).await.err(), &fenced)?;
    let claiming = Transaction {
        claims: vec![claim("slot-1", &other)],
        ..Transaction::default()
    };
    let taken = CommitError::Taken(claim("slot-1", &other));
    refused("the claimed name", ledger.commit(claiming).await, taken)?;
    let limit = budget(Share::Lane(here), 1);
    let over = Transaction {
        budgets: vec![limit.clone()],
        ..of_rows([other])
    };
    refused(
        "the budget",
        ledger.commit(over).await,
        CommitError::OverBudget(limit),
    )
}

/// A client that hangs up drops the future of its commit wherever it stands.
pub(super) async fn a_caller_who_is_gone_leaves_no_half(stores: &dyn Stores) -> Result<(), Broken> {
    const CALLERS: u32 = 200;
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let outcomes = crowd(&ledger, CALLERS, |ledger, number| async move {
        let here = lane(&format!("role/{number}"));
        let row = lease(&here, at(10));
        let transaction = Transaction {
            holds_placed: vec![hold(&here, 1, &row, at(30))],
            entries: vec![entry(Event::LeaseIntended, &row)],
            ..of_rows([row.clone()])
        };
        let outcome = timeout(moment(number), ledger.commit(transaction)).await;
        (row, here, outcome.is_ok())
    })
    .await?;
    // What comes after them is written after them: now each is there or never will be.
    ledger
        .commit(of_rows([lease(&lane("last"), at(1))]))
        .await?;
    drop(ledger);
    let ledger = store.open().await?;
    let entries = all_entries(ledger.as_ref()).await?;
    let mut told = Vec::new();
    for stored in &entries {
        let entry = Entry::decode(&stored.bytes);
        let entry = entry.map_err(|error| Broken::because(error.to_string()))?;
        told.extend(entry.lease_id());
    }
    let mut there = 0;
    for (row, here, answered) in outcomes {
        let stored = ledger.row(row.id).await?.is_some();
        let held = !ledger.lane(&here, at(0)).await?.holds.is_empty();
        let said = told.contains(&super::sample::lease_id(&row));
        let whole = (stored, held, said);
        if whole != (true, true, true) && (answered || whole != (false, false, false)) {
            let how = format!("row, hold and entry: {whole:?}; answered: {answered}");
            return Err(Broken::because(how));
        }
        there += usize::from(stored);
    }
    same("the audit entries", &entries.len(), &there)?;
    same(
        "the tree's size",
        &ledger.frontier().await?.size(),
        &(there as u64),
    )
}

pub(super) async fn what_was_acknowledged_can_be_read_at_once(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    const WRITERS: u32 = 16;
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let outcomes = crowd(&ledger, WRITERS, |ledger, number| async move {
        let here = lane(&format!("role/{number}"));
        for turn in 0..20 {
            let row = lease(&here, at(turn));
            let transaction = Transaction {
                entries: vec![entry(Event::LeaseIntended, &row)],
                ..of_rows([row.clone()])
            };
            let sequence = ledger.commit(transaction).await?;
            same("the row", &ledger.row(row.id).await?.as_ref(), &Some(&row))?;
            let due = ledger.lane(&here, at(turn)).await?.rows;
            same(
                "the lane's due leases",
                &due.len(),
                &(usize::try_from(turn).unwrap_or(0) + 1),
            )?;
            let size = ledger.frontier().await?.size();
            if size < sequence {
                let how = format!("sequence {sequence} was given, and the log has {size}");
                return Err(Broken::because(how));
            }
        }
        Ok(())
    })
    .await?;
    outcomes.into_iter().collect::<Result<(), Broken>>()?;
    let filter = LeaseFilter {
        limit: ALL,
        ..LeaseFilter::default()
    };
    same(
        "all leases",
        &ledger.leases(filter).await?.len(),
        &(20 * WRITERS as usize),
    )
}
