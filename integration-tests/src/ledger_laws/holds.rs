//! Laws about holds.

use jitney_core::evidence::Hold;
use jitney_core::ledger::{Ledger, Transaction};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;

use super::sample::{at, hold, lane, lane_in, lease, of_holds, of_rows, watermark};
use super::{Broken, Stores, same};

async fn holds_of(ledger: &dyn Ledger, lane: &LaneId) -> Result<Vec<Hold>, Broken> {
    let mut holds = ledger.lane(lane, Timestamp::default()).await?.holds;
    holds.sort_by(|one, other| one.held.cmp(&other.held));
    Ok(holds)
}

fn dropping(hold: Hold) -> Transaction {
    Transaction {
        holds_dropped: vec![hold],
        ..Transaction::default()
    }
}

pub(super) async fn a_hold_is_prolonged_and_never_shortened(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    let row = lease(&here, at(1));
    ledger.commit(of_rows([row.clone()])).await?;
    for (until, stands) in [(10, 10), (30, 30), (20, 30), (30, 30), (31, 31), (-5, 31)] {
        ledger
            .commit(of_holds([hold(&here, 1, &row, at(until))]))
            .await?;
        let expected = vec![hold(&here, 1, &row, at(stands))];
        same(
            "the hold",
            &holds_of(ledger.as_ref(), &here).await?,
            &expected,
        )?;
    }
    // Also within one transaction, whichever comes first.
    let both = [hold(&here, 2, &row, at(50)), hold(&here, 2, &row, at(40))];
    ledger.commit(of_holds(both)).await?;
    let expected = vec![hold(&here, 1, &row, at(31)), hold(&here, 2, &row, at(50))];
    same(
        "the holds",
        &holds_of(ledger.as_ref(), &here).await?,
        &expected,
    )
}

pub(super) async fn a_hold_prolonged_meanwhile_stays(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    let row = lease(&here, at(1));
    let (short, long) = (hold(&here, 1, &row, at(10)), hold(&here, 1, &row, at(30)));
    ledger.commit(of_rows([row])).await?;
    ledger.commit(of_holds([short.clone()])).await?;
    ledger.commit(of_holds([long.clone()])).await?;
    ledger.commit(dropping(short)).await?;
    let stands = holds_of(ledger.as_ref(), &here).await?;
    same("the prolonged hold", &stands, &vec![long.clone()])?;
    // Dropped as it is, it goes; and it is no fault that it is gone already.
    ledger.commit(dropping(long.clone())).await?;
    ledger.commit(dropping(long)).await?;
    same(
        "the holds",
        &holds_of(ledger.as_ref(), &here).await?,
        &Vec::new(),
    )
}

pub(super) async fn holds_are_told_apart_by_lane_and_handle(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let lanes = [lane("role/a"), lane("role/b"), lane_in("staging", "role/a")];
    let row = lease(&lane("role/a"), at(1));
    ledger.commit(of_rows([row.clone()])).await?;
    let of_lane = |lane: &LaneId| vec![hold(lane, 1, &row, at(10)), hold(lane, 2, &row, at(20))];
    ledger
        .commit(of_holds(lanes.iter().flat_map(of_lane)))
        .await?;
    for lane in &lanes {
        let holds = holds_of(ledger.as_ref(), lane).await?;
        same("the holds of a lane", &holds, &of_lane(lane))?;
    }
    let [first, others @ ..] = &lanes;
    ledger
        .commit(dropping(hold(first, 2, &row, at(20))))
        .await?;
    let left = holds_of(ledger.as_ref(), first).await?;
    same("what is left", &left, &vec![hold(first, 1, &row, at(10))])?;
    for lane in others {
        let holds = holds_of(ledger.as_ref(), lane).await?;
        same("the holds of another lane", &holds, &of_lane(lane))?;
    }
    Ok(())
}

pub(super) async fn a_hold_covers_what_was_issued_last(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    let row = lease(&here, at(1));
    ledger.commit(of_rows([row.clone()])).await?;
    let issued = |issued_by: Option<i64>| Hold {
        issued_by: issued_by.map(at),
        ..hold(&here, 1, &row, at(10))
    };
    // Once it is not known until when, it stays unknown.
    for (placed, stands) in [
        (Some(5), Some(5)),
        (Some(3), Some(5)),
        (Some(8), Some(8)),
        (None, None),
        (Some(9), None),
    ] {
        ledger.commit(of_holds([issued(placed)])).await?;
        let seen = holds_of(ledger.as_ref(), &here).await?;
        same("the hold", &seen, &vec![issued(stands)])?;
    }
    Ok(())
}

pub(super) async fn a_watermark_stands_beside_the_grants(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    let row = lease(&here, at(1));
    let (grant, mark) = (
        hold(&here, 1, &row, at(50)),
        watermark(&here, at(20), at(40)),
    );
    ledger.commit(of_rows([row])).await?;
    ledger
        .commit(of_holds([grant.clone(), mark.clone()]))
        .await?;
    let both = holds_of(ledger.as_ref(), &here).await?;
    same("the holds", &both, &vec![grant.clone(), mark.clone()])?;
    // Another moment is another watermark.
    let later = watermark(&here, at(30), at(60));
    ledger.commit(of_holds([later.clone()])).await?;
    ledger.commit(dropping(mark)).await?;
    let left = holds_of(ledger.as_ref(), &here).await?;
    same("what is left", &left, &vec![grant, later])
}
