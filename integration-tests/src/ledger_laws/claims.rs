//! Laws about names that one lease at a time may have.

use jitney_core::ledger::{Claim, CommitError, Row, Transaction};

use super::sample::{at, claim, crowd, lane, lease, of_rows};
use super::{Broken, Stores, refused, same};

fn claiming(claim: Claim) -> Transaction {
    Transaction {
        claims: vec![claim],
        ..Transaction::default()
    }
}

fn giving_back(claim: Claim) -> Transaction {
    Transaction {
        claims_released: vec![claim],
        ..Transaction::default()
    }
}

fn some_lease() -> Row {
    lease(&lane("pool"), at(1))
}

pub(super) async fn a_name_belongs_to_one_lease(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let (one, other) = (some_lease(), some_lease());
    ledger.commit(of_rows([one.clone(), other.clone()])).await?;
    let (by_one, by_other) = (claim("slot-1", &one), claim("slot-1", &other));
    let taken = || CommitError::Taken(by_other.clone());
    ledger.commit(claiming(by_one.clone())).await?;
    // Asked again by the lease that has it, it is no news.
    ledger.commit(claiming(by_one.clone())).await?;
    let outcome = ledger.commit(claiming(by_other.clone())).await;
    refused("another lease's claim", outcome, taken())?;
    ledger.commit(claiming(claim("slot-2", &other))).await?;

    // Only the lease that has a name can give it back.
    ledger.commit(giving_back(by_other.clone())).await?;
    let outcome = ledger.commit(claiming(by_other.clone())).await;
    refused(
        "a claim after a stranger gave the name back",
        outcome,
        taken(),
    )?;
    ledger.commit(giving_back(by_one.clone())).await?;
    ledger.commit(claiming(by_other.clone())).await?;

    // From one lease to the next in one transaction.
    let handed_over = Transaction {
        claims_released: vec![by_other],
        ..claiming(by_one.clone())
    };
    ledger.commit(handed_over).await?;
    let outcome = ledger.commit(claiming(claim("slot-1", &other))).await;
    let taken = CommitError::Taken(claim("slot-1", &other));
    refused("a claim after the name was handed over", outcome, taken)
}

pub(super) async fn of_many_claims_of_one_name_one_succeeds(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    const LEASES: u32 = 32;
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let outcomes = crowd(&ledger, LEASES, |ledger, _| async move {
        let row = some_lease();
        let mine = claim("slot-1", &row);
        let transaction = Transaction {
            claims: vec![mine.clone()],
            ..of_rows([row])
        };
        (mine, ledger.commit(transaction).await)
    })
    .await?;
    let won = outcomes.iter().filter(|(_, it)| it.is_ok()).count();
    let lost = outcomes
        .iter()
        .filter(|(mine, it)| *it == Err(CommitError::Taken(mine.clone())));
    same(
        "who got it",
        &(won, lost.count()),
        &(1, LEASES as usize - 1),
    )
}
