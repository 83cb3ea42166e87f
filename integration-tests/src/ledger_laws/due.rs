//! Laws about what must be looked at, and when. A ledger that hides something due hides a
//! privilege that nobody takes back.

use std::sync::Arc;
use std::time::Duration;

use jitney_core::books::{Books, FoundLease};
use jitney_core::guarantee::{Guarantees, Recall};
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::lease::{self, Terms};
use jitney_core::ledger::{LaneRows, Look, Row, RowId, Transaction};
use jitney_core::plan::{LaneId, Plan};
use jitney_core::principal::KeyThumbprint;
use jitney_core::time::Timestamp;

use super::sample::{
    ALL, at, ended, handle, hold, lane, lane_in, lease, moved, of_holds, of_rows, owner, request,
};
use super::{Broken, Stores, same};

pub(super) async fn due_lanes_come_longest_due_first(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(lane);
    let b_elsewhere = lane_in("staging", "b");
    let owner_of_hold = lease(&c, at(90));
    ledger
        .commit(of_rows([
            lease(&a, at(50)),
            lease(&b, at(70)),
            lease(&b, at(20)),
            lease(&b, at(60)),
            lease(&b_elsewhere, at(30)),
            owner_of_hold.clone(),
            lease(&e, at(95)),
            Row {
                due_at: None,
                ..lease(&e, at(0))
            },
            request(at(1)),
        ]))
        .await?;
    let holds = [
        hold(&c, 1, &owner_of_hold, at(40)),
        hold(&d, 1, &owner_of_hold, at(10)),
        hold(&a, 1, &owner_of_hold, at(80)),
    ];
    ledger.commit(of_holds(holds)).await?;
    let all = [d, b, b_elsewhere, c, a, e];
    let due_at = [10, 20, 30, 40, 50, 95];
    for (now, count) in [(9, 0), (10, 1), (19, 1), (20, 2), (45, 4), (94, 5), (95, 6)] {
        let expected: Vec<LaneId> = all.iter().take(count).cloned().collect();
        let seen = ledger.due_lanes(at(now), ALL).await?;
        same(
            &format!("the lanes due at {now} of {due_at:?}"),
            &seen,
            &expected,
        )?;
    }
    for limit in 0..7 {
        let expected: Vec<LaneId> = all.iter().take(limit as usize).cloned().collect();
        let seen = ledger.due_lanes(at(100), limit).await?;
        same(&format!("the first {limit} lanes"), &seen, &expected)?;
    }
    Ok(())
}

pub(super) async fn what_is_over_is_not_due(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    let (row, asked) = (lease(&here, at(1)), request(at(2)));
    let placed = hold(&here, 1, &row, at(3));
    let first = Transaction {
        holds_placed: vec![placed.clone()],
        ..of_rows([row.clone(), asked.clone()])
    };
    ledger.commit(first).await?;
    same("next due", &ledger.next_due().await?, &Some(at(1)))?;
    // Over is over, also for a row that still says when it was due.
    let over = |row: &Row| Row {
        due_at: row.due_at,
        ..ended(row)
    };
    ledger.commit(of_rows([over(&row), over(&asked)])).await?;
    same("next due", &ledger.next_due().await?, &Some(at(3)))?;
    same(
        "due lanes",
        &ledger.due_lanes(at(2), ALL).await?,
        &Vec::new(),
    )?;
    same(
        "due requests",
        &ledger.due_requests(at(9), ALL).await?,
        &Vec::new(),
    )?;
    let shown = ledger.lane(&here, at(9)).await?;
    let expected = LaneRows {
        rows: Vec::new(),
        holds: vec![placed.clone()],
    };
    same("the lane", &shown, &expected)?;
    let dropped = Transaction {
        holds_dropped: vec![placed],
        ..Transaction::default()
    };
    ledger.commit(dropped).await?;
    same("next due", &ledger.next_due().await?, &None)?;
    same(
        "due lanes",
        &ledger.due_lanes(at(9), ALL).await?,
        &Vec::new(),
    )?;
    same(
        "the lane",
        &ledger.lane(&here, at(9)).await?,
        &LaneRows::default(),
    )
}

pub(super) async fn a_lane_shows_all_that_must_be_done(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let (here, beside, elsewhere) = (lane("a"), lane("b"), lane_in("staging", "a"));
    let revoking = |lane: &LaneId, due| moved(&lease(lane, at(due)), "revoking");
    let mut later = revoking(&here, 900);
    let mut soon = revoking(&here, 10);
    let due = lease(&here, at(50));
    let not_due = lease(&here, at(51));
    let mut over = ended(&lease(&here, at(1)));
    let mut foreign = revoking(&beside, 10);
    for row in [&mut later, &mut soon, &mut over, &mut foreign] {
        row.version = 1;
    }
    let written = [
        later.clone(),
        soon.clone(),
        due.clone(),
        not_due.clone(),
        over,
        foreign,
        lease(&elsewhere, at(1)),
    ];
    ledger.commit(of_rows(written)).await?;
    let mut holds = vec![hold(&here, 1, &due, at(5)), hold(&here, 2, &due, at(9_000))];
    let foreign = [
        hold(&beside, 1, &due, at(5)),
        hold(&elsewhere, 1, &due, at(5)),
    ];
    ledger
        .commit(of_holds(holds.iter().cloned().chain(foreign)))
        .await?;

    for (now, expected) in [
        (49, vec![later.clone(), soon.clone()]),
        (50, vec![later.clone(), soon.clone(), due.clone()]),
        (
            51,
            vec![later.clone(), soon.clone(), due.clone(), not_due.clone()],
        ),
    ] {
        let mut seen = ledger.lane(&here, at(now)).await?;
        seen.holds.sort_by(|one, other| one.held.cmp(&other.held));
        holds.sort_by(|one, other| one.held.cmp(&other.held));
        same("the holds of the lane", &seen.holds, &holds)?;
        same(
            &format!("the leases at {now}"),
            &sorted(seen.rows),
            &sorted(expected),
        )?;
    }
    let nowhere = ledger.lane(&lane("c"), at(9_000)).await?;
    same("a lane with nothing in it", &nowhere, &LaneRows::default())
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| row.id);
    rows
}

/// Core names its states, and the ledger finds leases under revocation by that name. Should the
/// two ever differ, revoking leases would be seen only when due.
pub(super) async fn a_lane_shows_what_core_revokes(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let books = Books::new(Arc::clone(&ledger), Duration::from_secs(45));
    let here = lane("role/a");
    let terms = terms(&here);
    let id = terms.id;
    books.record(lease::intend(terms)).await?;
    let Some(FoundLease::Doubtful(intent)) = books.lease(id).await? else {
        return Err(Broken::because(
            "an intent was not found as a doubtful lease",
        ));
    };
    books.record(intent.doubted(at(60))).await?;
    let row = ledger.row(RowId::Lease(id)).await?;
    let due_at = row.as_ref().and_then(|row| row.due_at);
    same("when the lease is due", &due_at, &Some(at(60)))?;
    let seen = ledger.lane(&here, at(0)).await?;
    same("the lane before that", &seen.rows, &Vec::from_iter(row))
}

fn terms(lane: &LaneId) -> Terms {
    Terms {
        id: LeaseId::fresh(),
        request: RequestId::fresh(),
        handle: handle(1),
        owner: owner("job"),
        key: KeyThumbprint("thumbprint".to_owned()),
        scopes: Vec::new(),
        plan: Plan {
            lane: lane.clone(),
            lane_capacity: 10,
            terms: serde_json::Value::Null,
            summary: Vec::new(),
            answers_within_seconds: 0,
            lands_within_seconds: 900,
            lives_seconds: 900,
            derived_seconds: 0,
            guarantees: Guarantees {
                ttl_seconds_min: 60,
                ttl_seconds_max: 900,
                recall: Recall::Severs { within_seconds: 10 },
                ends_by_itself: true,
                because: Vec::new(),
            },
        },
        ttl_seconds: 900,
        intended_at: at(0),
        answer_by: at(30),
        absolute_end: at(3_600),
    }
}

pub(super) async fn due_requests_are_requests(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let [second, third, first] = [20, 30, 10].map(|due| request(at(due)));
    let never = Row {
        due_at: None,
        ..request(at(0))
    };
    let written = [second.clone(), third.clone(), first.clone(), never];
    let others = [
        lease(&lane("role/a"), at(5)),
        lease(&lane("role/a"), at(15)),
    ];
    ledger
        .commit(of_rows(written.into_iter().chain(others)))
        .await?;
    let all = [first, second, third];
    for (now, limit, count) in [
        (9, ALL, 0),
        (10, ALL, 1),
        (29, ALL, 2),
        (30, ALL, 3),
        (30, 2, 2),
    ] {
        let expected: Vec<Row> = all.iter().take(count).cloned().collect();
        let seen = ledger.due_requests(at(now), limit).await?;
        same(&format!("{limit} requests due at {now}"), &seen, &expected)?;
    }
    Ok(())
}

pub(super) async fn the_next_due_time_is_the_earliest(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let next_is = async |expected| same("next due", &ledger.next_due().await?, &expected);
    next_is(None).await?;
    let here = lane("role/a");
    let row = lease(&here, at(50));
    let never = Row {
        due_at: None,
        ..lease(&here, at(0))
    };
    ledger.commit(of_rows([never.clone()])).await?;
    let forever = hold(&here, 9, &never, Timestamp::FAR_FUTURE);
    ledger.commit(of_holds([forever])).await?;
    next_is(None).await?;
    ledger.commit(of_rows([row.clone()])).await?;
    next_is(Some(at(50))).await?;
    ledger
        .commit(of_holds([hold(&here, 1, &row, at(40))]))
        .await?;
    next_is(Some(at(40))).await?;
    let asked = request(at(30));
    ledger.commit(of_rows([asked.clone()])).await?;
    next_is(Some(at(30))).await?;
    ledger.commit(of_rows([lease(&here, at(-7))])).await?;
    next_is(Some(at(-7))).await?;
    ledger
        .commit(of_rows([Row {
            due_at: Some(at(-9)),
            ..moved(&asked, "granted")
        }]))
        .await?;
    next_is(Some(at(-9))).await
}

pub(super) async fn a_lane_to_be_looked_at_is_due(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let (here, there) = (lane("role/a"), lane("role/b"));
    let look = |lane: &LaneId, when: Option<i64>| {
        ledger.commit(Transaction {
            looks: vec![Look {
                lane: lane.clone(),
                at: when.map(at),
            }],
            ..Transaction::default()
        })
    };
    let due = |now: i64| ledger.due_lanes(at(now), 10);
    look(&here, Some(20)).await?;
    look(&there, Some(10)).await?;
    same(
        "the next due time",
        &ledger.next_due().await?,
        &Some(at(10)),
    )?;
    same("due just before", &due(9).await?, &Vec::new())?;
    same("due at 10", &due(10).await?, &vec![there.clone()])?;
    same(
        "due at 20",
        &due(20).await?,
        &vec![there.clone(), here.clone()],
    )?;
    // A later look replaces the earlier one; one that is taken away is gone.
    look(&there, Some(30)).await?;
    look(&here, None).await?;
    look(&here, None).await?;
    same("due at 29", &due(29).await?, &Vec::new())?;
    same("due at 30", &due(30).await?, &vec![there.clone()])?;
    // A lane that is due for several reasons comes once, by the earliest.
    let row = lease(&there, at(5));
    ledger.commit(of_rows([row])).await?;
    same("due for two reasons", &due(40).await?, &vec![there])?;
    same("the next due time", &ledger.next_due().await?, &Some(at(5)))
}
