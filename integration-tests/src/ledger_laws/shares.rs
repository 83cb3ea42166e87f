//! Laws about budgets: what they count, and when.

use jitney_core::ledger::{Budget, CommitError, Ledger, Owner, Row, Share, Transaction};

use super::sample::{
    at, budget, crowd, ended, hold, lane, lane_in, lease, of_holds, of_rows, request,
};
use super::{Broken, Stores, refused, same};

fn within(budget: Budget) -> Transaction {
    Transaction {
        budgets: vec![budget],
        ..Transaction::default()
    }
}

/// That exactly `count` is used of a share: a budget of so many holds, one less does not.
async fn used(ledger: &dyn Ledger, share: Share, count: u32) -> Result<(), Broken> {
    let enough = ledger.commit(within(budget(share.clone(), count))).await;
    if let Err(error) = enough {
        let how = format!("{share:?} should use {count}, and a budget of that gave {error:?}");
        return Err(Broken::because(how));
    }
    if let Some(less) = count.checked_sub(1) {
        let tight = budget(share, less);
        let outcome = ledger.commit(within(tight.clone())).await;
        refused(
            "a budget of one less",
            outcome,
            CommitError::OverBudget(tight),
        )?;
    }
    Ok(())
}

fn owned(job: &str, repository: &str, tenant: &str, row: Row) -> Row {
    let owner = Owner {
        job: job.to_owned(),
        repository: repository.to_owned(),
        tenant: tenant.to_owned(),
    };
    Row { owner, ..row }
}

pub(super) async fn each_share_is_counted_by_itself(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let (here, there) = (lane("x"), lane_in("staging", "x"));
    let rows = [
        owned("x", "x", "x", lease(&here, at(1))),
        owned("x", "x", "y", lease(&here, at(1))),
        owned("x", "y", "y", lease(&here, at(1))),
        owned("y", "y", "y", lease(&there, at(1))),
        owned("z", "x", "y", lease(&there, at(1))),
    ];
    ledger.commit(of_rows(rows)).await?;
    let (job, repository, tenant) = (
        |name: &str| Share::Job(name.to_owned()),
        |name: &str| Share::Repository(name.to_owned()),
        |name: &str| Share::Tenant(name.to_owned()),
    );
    let expected = [
        (job("x"), 3),
        (job("y"), 1),
        (job("X"), 0),
        (job(""), 0),
        (repository("x"), 3),
        (repository("y"), 2),
        (tenant("x"), 1),
        (tenant("y"), 4),
        (tenant("z"), 0),
        (Share::Lane(here), 3),
        (Share::Lane(there), 2),
        (Share::Lane(lane("staging/x")), 0),
    ];
    for (share, count) in expected {
        used(ledger.as_ref(), share, count).await?;
    }
    Ok(())
}

fn shares(row: &Row) -> [Share; 4] {
    [
        Share::Job(row.owner.job.clone()),
        Share::Repository(row.owner.repository.clone()),
        Share::Tenant(row.owner.tenant.clone()),
        Share::Lane(lane("role/a")),
    ]
}

pub(super) async fn holds_are_counted(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    let row = lease(&here, at(1));
    ledger.commit(of_rows([row.clone()])).await?;
    let over = Transaction {
        holds_placed: vec![hold(&here, 1, &row, at(10))],
        ..of_rows([ended(&row)])
    };
    ledger.commit(over).await?;
    for share in shares(&row) {
        used(ledger.as_ref(), share, 1).await?;
    }
    // Prolonged it is still one; with another handle it is another.
    ledger
        .commit(of_holds([hold(&here, 1, &row, at(20))]))
        .await?;
    ledger
        .commit(of_holds([hold(&here, 2, &row, at(20))]))
        .await?;
    for share in shares(&row) {
        used(ledger.as_ref(), share, 2).await?;
    }
    let new = lease(&here, at(1));
    ledger.commit(of_rows([new])).await?;
    for share in shares(&row) {
        used(ledger.as_ref(), share, 3).await?;
    }
    Ok(())
}

pub(super) async fn what_is_over_is_not_counted(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    let (row, held) = (lease(&here, at(1)), lease(&here, at(1)));
    let placed = hold(&here, 1, &held, at(10));
    let first = Transaction {
        holds_placed: vec![placed.clone()],
        ..of_rows([row.clone(), held.clone(), request(at(1))])
    };
    ledger.commit(first).await?;
    for share in shares(&row) {
        used(ledger.as_ref(), share, 3).await?;
    }
    ledger.commit(of_rows([ended(&row)])).await?;
    for share in shares(&row) {
        used(ledger.as_ref(), share, 2).await?;
    }
    let dropped = Transaction {
        holds_dropped: vec![placed],
        ..of_rows([ended(&held)])
    };
    ledger.commit(dropped).await?;
    // One that is written as over from the start never counted, nor is it subtracted.
    let never = Row {
        version: 1,
        ..ended(&lease(&here, at(1)))
    };
    ledger.commit(of_rows([never.clone()])).await?;
    ledger.commit(of_rows([ended(&never)])).await?;
    for share in shares(&row) {
        used(ledger.as_ref(), share, 0).await?;
    }
    Ok(())
}

pub(super) async fn a_budget_is_counted_after_the_transaction(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    let limit = budget(Share::Lane(here.clone()), 1);
    let (one, two) = (lease(&here, at(1)), lease(&here, at(1)));
    let with = |rows: Vec<Row>| Transaction {
        rows,
        ..within(limit.clone())
    };
    let outcome = ledger.commit(with(vec![one.clone(), two.clone()])).await;
    refused(
        "two at once",
        outcome,
        CommitError::OverBudget(limit.clone()),
    )?;
    ledger.commit(with(vec![one.clone()])).await?;
    let outcome = ledger.commit(with(vec![two.clone()])).await;
    refused(
        "a second one",
        outcome,
        CommitError::OverBudget(limit.clone()),
    )?;
    // Its place is free in the transaction that ends it, whichever of the two is written first.
    ledger.commit(with(vec![two.clone(), ended(&one)])).await?;
    // A hold that takes the place of its lease is no more than there was.
    let held = Transaction {
        holds_placed: vec![hold(&here, 1, &two, at(9))],
        ..with(vec![ended(&two)])
    };
    ledger.commit(held).await?;
    used(ledger.as_ref(), limit.share, 1).await
}

pub(super) async fn no_crowd_exceeds_a_budget(stores: &dyn Stores) -> Result<(), Broken> {
    const CROWD: u32 = 48;
    const LIMIT: u32 = 7;
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let share = Share::Repository("repository".to_owned());
    let limit = budget(share.clone(), LIMIT);
    let outcomes = crowd(&ledger, CROWD, |ledger, number| {
        let transaction = Transaction {
            rows: vec![lease(&lane(&format!("role/{number}")), at(1))],
            ..within(limit.clone())
        };
        async move { ledger.commit(transaction).await }
    })
    .await?;
    let full = Err(CommitError::OverBudget(limit));
    let taken = outcomes.iter().filter(|it| it.is_ok()).count();
    let refused = outcomes.iter().filter(|it| **it == full).count();
    let expected = (LIMIT as usize, (CROWD - LIMIT) as usize);
    same(
        "how many were taken and refused",
        &(taken, refused),
        &expected,
    )?;
    used(ledger.as_ref(), share, LIMIT).await
}
