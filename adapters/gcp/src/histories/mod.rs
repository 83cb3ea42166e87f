//! One account through long histories in which everything goes wrong: calls are refused, are lost,
//! land late; the ledger is restored from a backup and has forgotten; strangers enable the account.
//!
//! What must never happen: that an account is enabled for one lease while a token of another can be
//! alive, or a grant of another gives. To enable it is to wake every token that was ever minted for
//! it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod broker;
mod world;

use proptest::prelude::*;

use crate::limits::LANDS_LATE_SECONDS;
use broker::{By, History, Ledger, Step};
use world::Luck;

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        8 => Just(Luck::Done),
        1 => Just(Luck::Refused),
        1 => Just(Luck::Lost),
        1 => (1_i64..i64::from(LANDS_LATE_SECONDS)).prop_map(Luck::Late),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let lucks = || prop::collection::vec(luck(), 0..6);
    prop_oneof![
        3 => (1_i64..90).prop_map(Step::Wait),
        1 => (90_i64..2_000).prop_map(Step::Wait),
        4 => lucks().prop_map(Step::Lend),
        1 => lucks().prop_map(Step::Renew),
        3 => Just(Step::End),
        6 => lucks().prop_map(Step::Look),
        1 => Just(Step::Restore),
        1 => Just(Step::StrangerEnables),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn an_account_is_never_enabled_for_a_lease_while_a_token_of_another_is_alive(
        steps in prop::collection::vec(step(), 1..60),
        by in prop_oneof![Just(By::Binding), Just(By::Grant)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut history = History::new(by);
            for step in &steps {
                history.take(step).await;
            }
        });
    }
}

async fn one_lease(history: &mut History) {
    let look = Step::Look(Vec::new());
    let lend = Step::Lend(Vec::new());
    for step in [&lend, &Step::End, &look, &Step::Wait(61), &look] {
        history.take(step).await;
    }
    assert_eq!(history.fake.with(|world| world.ended.len()), 1);
    // It rests: the ledger does not let it be lent.
    let minted = history.fake.with(|world| world.minted.len());
    history.take(&lend).await;
    assert_eq!(history.fake.with(|world| world.minted.len()), minted);
}

/// The histories do come to where it matters.
#[tokio::test(flavor = "current_thread")]
async fn a_lease_follows_another_once_the_account_has_rested() {
    for by in [By::Binding, By::Grant] {
        let mut history = History::new(by);
        one_lease(&mut history).await;
        let once = history.fake.with(|world| world.minted.len());
        history.take(&Step::Wait(1_200)).await;
        history.take(&Step::Look(Vec::new())).await;
        assert_eq!(history.fake.with(|world| world.stamp.clone()), None);
        history.take(&Step::Lend(Vec::new())).await;
        assert_eq!(history.fake.with(|world| world.minted.len()), 2 * once);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_account_itself_knows_what_the_ledger_has_forgotten() {
    let mut history = History::new(By::Binding);
    one_lease(&mut history).await;
    let forgotten = |sequence| Ledger {
        sequence,
        ..Ledger::default()
    };
    // A ledger that is behind the stamp, and one that has gone on since it was restored.
    for sequence in [0, 1_000] {
        history.ledger = forgotten(sequence);
        history.take(&Step::Lend(Vec::new())).await;
        assert_eq!(history.fake.with(|world| world.minted.len()), 1);
    }
    history.take(&Step::Wait(1_200)).await;
    history.ledger = forgotten(0);
    history.take(&Step::Lend(Vec::new())).await;
    assert_eq!(history.fake.with(|world| world.minted.len()), 1);
    history.ledger = forgotten(1_000);
    history.take(&Step::Lend(Vec::new())).await;
    assert_eq!(history.fake.with(|world| world.minted.len()), 2);
}

/// What is refused before anything was given leaves the account free; what is refused later is in
/// doubt, and taken back.
#[tokio::test(flavor = "current_thread")]
async fn a_call_that_is_refused_is_in_doubt_once_another_has_given() {
    for (by, at, what, in_doubt) in [
        (By::Binding, 0, "the stamp", false),
        (By::Binding, 1, "the binding", false),
        (By::Binding, 2, "the enabling", true),
        (By::Binding, 3, "the mint", true),
        (By::Grant, 0, "the stamp", false),
        (By::Grant, 1, "the enabling", false),
        (By::Grant, 2, "the token to ask with", true),
        (By::Grant, 3, "the grant", true),
        (By::Grant, 4, "the mint", true),
    ] {
        let mut history = History::new(by);
        // The last is taken first.
        let mut luck = vec![Luck::Done; 5];
        luck[4 - at] = Luck::Refused;
        history.take(&Step::Lend(luck)).await;
        assert_eq!(history.ledger.open.is_some(), in_doubt, "{what}");
        let stamped = history.fake.with(|world| world.stamp.is_some());
        assert_eq!(stamped, in_doubt, "{what}");
    }
}

/// Whatever the ledger says, an account that has a grant is not lent: its token would have both.
#[tokio::test(flavor = "current_thread")]
async fn an_account_that_still_has_a_grant_is_lent_to_nobody() {
    let mut history = History::new(By::Grant);
    history.take(&Step::Lend(Vec::new())).await;
    let minted = history.fake.with(|world| world.minted.len());
    // The ledger has forgotten, and so has the account.
    history.ledger = Ledger {
        sequence: 1_000,
        ..Ledger::default()
    };
    history.fake.with(|world| {
        world.enabled = false;
        world.stamp = None;
        world.lent_to = None;
    });
    history.take(&Step::Lend(Vec::new())).await;
    assert_eq!(history.fake.with(|world| world.minted.len()), minted);
    assert!(!history.fake.with(|world| world.enabled));
}
