//! Laws about who drives a lane.

use jitney_core::adapter::Epoch;
use jitney_core::ledger::{CommitError, Fence, Ledger, Transaction};
use jitney_core::plan::LaneId;

use super::sample::{at, crowd, lane, lane_in, lease, of_rows};
use super::{Broken, Stores, refused, same};

/// A claim at `now` until `until`, in seconds.
async fn claim(
    ledger: &dyn Ledger,
    lane: &LaneId,
    hand: &str,
    now: i64,
    until: i64,
) -> Result<Option<Epoch>, Broken> {
    Ok(ledger.claim_lane(lane, hand, at(now), at(until)).await?)
}

fn fenced(lane: &LaneId, epoch: Epoch) -> Transaction {
    let lane = lane.clone();
    Transaction {
        fences: vec![Fence { lane, epoch }],
        ..Transaction::default()
    }
}

fn present(epoch: Option<Epoch>) -> Result<Epoch, Broken> {
    epoch.ok_or_else(|| Broken::because("a lane that nobody owns could not be claimed"))
}

pub(super) async fn a_lane_has_one_hand(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let (ledger, here) = (ledger.as_ref(), lane("role/a"));
    let epoch = present(claim(ledger, &here, "one", 0, 60).await?)?;
    let mine = claim(ledger, &here, "one", 5, 65).await?;
    same("the owner's next claim", &mine, &Some(epoch))?;
    same(
        "another's claim",
        &claim(ledger, &here, "two", 59, 200).await?,
        &None,
    )?;
    // The owner's claim was prolonged to 65, and one for less time does not shorten it.
    let shorter = claim(ledger, &here, "one", 6, 20).await?;
    same("the owner's shorter claim", &shorter, &Some(epoch))?;
    same(
        "another's claim",
        &claim(ledger, &here, "two", 64, 200).await?,
        &None,
    )?;
    same(
        "a hand with a like name",
        &claim(ledger, &here, "One", 64, 200).await?,
        &None,
    )?;
    // Another lane is another matter, also under the same name in another target.
    for free in [lane("role/b"), lane_in("staging", "role/a")] {
        present(claim(ledger, &free, "two", 0, 60).await?)?;
    }
    present(claim(ledger, &here, "two", 65, 200).await?)?;
    same(
        "the first hand's claim",
        &claim(ledger, &here, "one", 66, 300).await?,
        &None,
    )
}

pub(super) async fn epochs_only_grow(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let (ledger, here) = (ledger.as_ref(), lane("role/a"));
    let mut before: Option<Epoch> = None;
    for turn in 0..5_i64 {
        let hand = if turn % 2 == 0 { "one" } else { "two" };
        let now = turn * 100;
        let epoch = present(claim(ledger, &here, hand, now, now + 100).await?)?;
        if before >= Some(epoch) {
            let how = format!("epoch {epoch:?} came after {before:?}");
            return Err(Broken::because(how));
        }
        let row = lease(&here, at(1));
        let lawful = Transaction {
            rows: vec![row.clone()],
            ..fenced(&here, epoch)
        };
        ledger.commit(lawful).await?;
        if let Some(epoch) = before {
            let late = fenced(&here, epoch);
            let lost = late.fences.first().cloned().map(CommitError::Fenced);
            same("the earlier hand", &ledger.commit(late).await.err(), &lost)?;
        }
        before = Some(epoch);
    }
    Ok(())
}

pub(super) async fn a_hand_that_was_not_relieved_keeps_its_epoch(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let (ledger, here) = (ledger.as_ref(), lane("role/a"));
    let epoch = present(claim(ledger, &here, "one", 0, 10).await?)?;
    for (now, until) in [(10, 20), (500, 510)] {
        let again = claim(ledger, &here, "one", now, until).await?;
        same("the epoch of a hand that comes back", &again, &Some(epoch))?;
        ledger.commit(fenced(&here, epoch)).await?;
        let another = claim(ledger, &here, "two", until - 1, 900).await?;
        same("another's claim while it runs", &another, &None)?;
    }
    // Once another hand had the lane in between, coming back is beginning anew.
    let other = present(claim(ledger, &here, "two", 510, 520).await?)?;
    let anew = present(claim(ledger, &here, "one", 520, 530).await?)?;
    if epoch < other && other < anew {
        Ok(())
    } else {
        let how = format!("epochs {epoch:?}, {other:?} and {anew:?} of three hands");
        Err(Broken::because(how))
    }
}

pub(super) async fn a_fence_knows_its_lane(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let (ledger, here) = (ledger.as_ref(), lane("role/a"));
    // The lane next to it is one epoch ahead.
    let beside = lane("role/b");
    present(claim(ledger, &beside, "one", 0, 1).await?)?;
    let ahead = present(claim(ledger, &beside, "two", 2, 60).await?)?;
    let epoch = present(claim(ledger, &here, "one", 0, 60).await?)?;
    let none = lane("role/never-claimed");
    let elsewhere = lane_in("staging", "role/a");
    let wrong = [
        (&here, ahead),
        (&here, Epoch(0)),
        (&here, Epoch(u64::MAX)),
        (&beside, epoch),
        (&none, epoch),
        (&none, Epoch(0)),
        (&elsewhere, epoch),
    ];
    for (lane, epoch) in wrong {
        let fence = Fence {
            lane: lane.clone(),
            epoch,
        };
        let outcome = ledger.commit(fenced(lane, epoch)).await;
        refused("a wrong fence", outcome, CommitError::Fenced(fence.clone()))?;
        // A right one beside it does not help.
        let both = Transaction {
            fences: vec![
                Fence {
                    lane: beside.clone(),
                    epoch: ahead,
                },
                fence.clone(),
            ],
            ..of_rows([lease(&here, at(1))])
        };
        let outcome = ledger.commit(both).await;
        refused(
            "a wrong fence beside a right one",
            outcome,
            CommitError::Fenced(fence),
        )?;
    }
    ledger.commit(fenced(&here, epoch)).await?;
    ledger.commit(fenced(&beside, ahead)).await?;
    Ok(())
}

pub(super) async fn of_many_hands_one_claims_a_lane(stores: &dyn Stores) -> Result<(), Broken> {
    const HANDS: u32 = 32;
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    for round in 0..3_i64 {
        let now = round * 100;
        let outcomes = crowd(&ledger, HANDS, |ledger, number| {
            let (here, hand) = (here.clone(), format!("hand {number}"));
            async move { claim(ledger.as_ref(), &here, &hand, now, now + 100).await }
        })
        .await?;
        let mut got = 0;
        for outcome in outcomes {
            got += u32::from(outcome?.is_some());
        }
        same("how many hands got the lane", &got, &1)?;
    }
    Ok(())
}

pub(super) async fn a_raised_epoch_takes_the_lane_away(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let (here, fresh) = (lane("role/a"), lane("role/b"));
    let claim = |lane: &LaneId, hand: &'static str, now: i64| {
        let lane = lane.clone();
        let ledger = &ledger;
        async move { ledger.claim_lane(&lane, hand, at(now), at(now + 10)).await }
    };
    let raise = |lane: &LaneId, epoch: u64| {
        ledger.commit(Transaction {
            epochs_raised: vec![Fence {
                lane: lane.clone(),
                epoch: Epoch(epoch),
            }],
            ..Transaction::default()
        })
    };
    let first = claim(&here, "one", 1).await?;
    raise(&here, 7).await?;
    raise(&fresh, 7).await?;
    let fence = Fence {
        lane: here.clone(),
        epoch: first.unwrap_or(Epoch(0)),
    };
    let late = ledger
        .commit(Transaction {
            fences: vec![fence.clone()],
            ..Transaction::default()
        })
        .await;
    refused("the hand before", late, CommitError::Fenced(fence))?;
    // Raised to the very epoch it has, it is taken away all the same.
    let again = claim(&fresh, "one", 2).await?;
    let fence = Fence {
        lane: fresh.clone(),
        epoch: again.unwrap_or(Epoch(0)),
    };
    raise(&fresh, fence.epoch.0).await?;
    let late = ledger
        .commit(Transaction {
            fences: vec![fence.clone()],
            ..Transaction::default()
        })
        .await;
    refused(
        "the hand of the same epoch",
        late,
        CommitError::Fenced(fence),
    )?;
    // Free at once, also for another hand, and higher than what was raised.
    same(
        "the next claim",
        &claim(&here, "two", 2).await?,
        &Some(Epoch(8)),
    )?;
    same(
        "a claim of a fresh lane",
        &claim(&fresh, "two", 2).await?,
        &Some(Epoch(9)),
    )?;
    // Nothing is ever lowered.
    raise(&here, 3).await?;
    same(
        "the claim after",
        &claim(&here, "one", 3).await?,
        &Some(Epoch(9)),
    )
}
