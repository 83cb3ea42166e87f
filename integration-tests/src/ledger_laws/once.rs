//! Laws about things that may be used once.

use jitney_core::id::RequestId;
use jitney_core::ledger::{CommitError, OnceUse, Transaction};
use jitney_core::principal::OnceKey;

use super::sample::{crowd, once};
use super::{Broken, Stores, refused, same};

fn using(uses: impl IntoIterator<Item = OnceUse>) -> Transaction {
    Transaction {
        once: uses.into_iter().collect(),
        ..Transaction::default()
    }
}

pub(super) async fn a_once_key_stays_bound_to_its_first_use(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let first = once("token", RequestId::fresh());
    same("an unused key", &ledger.once(&first.key).await?, &None)?;
    ledger.commit(using([first.clone()])).await?;
    same(
        "the first use",
        &ledger.once(&first.key).await?,
        &Some(first.clone()),
    )?;

    let other = once("token", RequestId::fresh());
    for later in [first.clone(), other] {
        let outcome = ledger.commit(using([later])).await;
        refused("a later use", outcome, CommitError::Replayed(first.clone()))?;
    }
    same(
        "the first use",
        &ledger.once(&first.key).await?,
        &Some(first.clone()),
    )?;

    // Keys are compared as they are: neither case nor space nor what follows makes two one.
    for near in ["Token", "token ", "token\u{0}", "tok", ""] {
        let near = once(near, RequestId::fresh());
        ledger.commit(using([near.clone()])).await?;
        same(
            "a key that looks alike",
            &ledger.once(&near.key).await?,
            &Some(near),
        )?;
    }
    let twice = [once("twice", first.request), once("twice", first.request)];
    if ledger.commit(using(twice)).await.is_ok() {
        return Err(Broken::because("one transaction used one key twice"));
    }
    same(
        "it",
        &ledger.once(&OnceKey("twice".to_owned())).await?,
        &None,
    )
}

pub(super) async fn of_many_uses_of_one_key_one_succeeds(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    const USERS: u32 = 32;
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let outcomes = crowd(&ledger, USERS, |ledger, _| async move {
        let mine = once("token", RequestId::fresh());
        let outcome = ledger.commit(using([mine.clone()])).await;
        (mine, outcome)
    })
    .await?;
    let won: Vec<_> = outcomes.iter().filter(|(_, it)| it.is_ok()).collect();
    let [(winner, _)] = won.as_slice() else {
        let how = format!("{} of {USERS} uses of one key succeeded", won.len());
        return Err(Broken::because(how));
    };
    let replayed = Err(CommitError::Replayed(winner.clone()));
    let told = outcomes.iter().filter(|(_, it)| *it == replayed).count();
    same(
        "who was told of the first use",
        &told,
        &(USERS as usize - 1),
    )
}
