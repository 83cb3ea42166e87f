//! Laws about rows: what is written, over what, and how it is found again.

use std::collections::BTreeMap;

use jitney_core::id::RequestId;
use jitney_core::ledger::{CommitError, LeaseFilter, Owner, Row, RowId};
use jitney_core::time::Timestamp;

use super::sample::{
    ALL, at, crowd, ended, lane, lane_in, lease, lease_id, moved, of_rows, owner, request,
};
use super::{Broken, Stores, refused, same};

/// Text that breaks what is not told apart from the language it is put into.
const HOSTILE: &str = "a'b\"c;--\\ \u{0}\n\r\t%s {{}} \u{202e}ü \u{1F6D1} NULL ";

pub(super) async fn a_row_is_read_back_as_it_was_written(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let hostile = Row {
        state: HOSTILE.to_owned(),
        owner: Owner {
            job: HOSTILE.to_owned(),
            repository: String::new(),
            tenant: HOSTILE.repeat(20),
        },
        lane: Some(lane_in("staging", HOSTILE)),
        due_at: Some(Timestamp::from_micros(-1)),
        body: HOSTILE.repeat(2_000),
        ..lease(&lane("role/a"), at(0))
    };
    let never_due = Row {
        due_at: None,
        ..request(at(0))
    };
    let at_the_end = Row {
        due_at: Some(Timestamp::FAR_FUTURE),
        ..request(at(0))
    };
    let over = Row {
        version: 1,
        ..ended(&lease(&lane("role/a"), at(1)))
    };
    let plain = lease(&lane("role/a"), at(1));
    let rows = [hostile, never_due, at_the_end, over, plain];
    ledger.commit(of_rows(rows.clone())).await?;
    for row in rows {
        same("a row", &ledger.row(row.id).await?, &Some(row))?;
    }
    let unwritten = RowId::Request(RequestId::fresh());
    same(
        "a row that is not there",
        &ledger.row(unwritten).await?,
        &None,
    )
}

pub(super) async fn a_row_is_written_over_the_version_before_it(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let first = lease(&lane("role/a"), at(1));
    let (second, conflict) = (moved(&first, "revoking"), || {
        CommitError::Conflict(first.id)
    });
    let version = |version| Row {
        version,
        ..second.clone()
    };
    for early in [0, 2, u64::MAX] {
        let outcome = ledger.commit(of_rows([version(early)])).await;
        refused("a version without the one before it", outcome, conflict())?;
    }
    ledger.commit(of_rows([first.clone()])).await?;
    for wrong in [0, 1, 3, u64::MAX] {
        let outcome = ledger.commit(of_rows([version(wrong)])).await;
        refused("a version that is not the next", outcome, conflict())?;
    }
    same(
        "the row",
        &ledger.row(first.id).await?,
        &Some(first.clone()),
    )?;
    ledger.commit(of_rows([second.clone()])).await?;
    let outcome = ledger.commit(of_rows([second.clone()])).await;
    refused("the same version again", outcome, conflict())?;
    same(
        "the row",
        &ledger.row(first.id).await?,
        &Some(second.clone()),
    )?;

    // A request and a lease of the same UUID are two rows.
    let twin = match first.id {
        RowId::Lease(id) => RequestId::from_uuid(id.as_uuid()),
        RowId::Request(id) => id,
    };
    let twin = Row {
        id: RowId::Request(twin),
        ..request(at(2))
    };
    ledger.commit(of_rows([twin.clone()])).await?;
    same("the twin", &ledger.row(twin.id).await?, &Some(twin))?;
    same("the row", &ledger.row(first.id).await?, &Some(second))
}

pub(super) async fn of_many_writers_of_one_version_one_succeeds(
    stores: &dyn Stores,
) -> Result<(), Broken> {
    const WRITERS: u32 = 32;
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let row = lease(&lane("role/a"), at(1));
    let conflict = Err(CommitError::Conflict(row.id));
    for version in 1..=3 {
        let outcomes = crowd(&ledger, WRITERS, |ledger, number| {
            let body = format!(r#"{{"writer":{number}}}"#);
            let row = Row {
                version,
                body,
                ..row.clone()
            };
            async move {
                let body = row.body.clone();
                (body, ledger.commit(of_rows([row])).await)
            }
        })
        .await?;
        let won: Vec<&String> = outcomes
            .iter()
            .filter(|(_, outcome)| outcome.is_ok())
            .map(|(body, _)| body)
            .collect();
        let lost = outcomes.iter().filter(|(_, outcome)| *outcome == conflict);
        same(
            "who wrote",
            &(won.len(), lost.count()),
            &(1, WRITERS as usize - 1),
        )?;
        let stored = ledger.row(row.id).await?.map(|row| row.body);
        same("what was written", &stored.as_ref(), &won.first().copied())?;
    }
    Ok(())
}

pub(super) async fn rows_are_found_many_at_once(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let made = [
        request(at(9)),
        lease(&lane("role/a"), at(1)),
        lease(&lane("role/b"), at(2)),
    ];
    let more = lease(&lane("role/a"), at(1));
    let all = made.iter().cloned().chain([more]);
    ledger.commit(of_rows(all)).await?;
    let unknown = lease(&lane("role/a"), at(1)).id;
    let wanted: Vec<RowId> = made.iter().map(|row| row.id).chain([unknown]).collect();
    let mut found = ledger.rows(&wanted).await?;
    found.sort_by_key(|row| row.id);
    let mut made = made.to_vec();
    made.sort_by_key(|row| row.id);
    same("the rows", &found, &made)?;
    same("no rows", &ledger.rows(&[]).await?, &Vec::new())
}

pub(super) async fn open_leases_are_counted(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    same("of none", &ledger.count_open().await?, &BTreeMap::new())?;
    let here = lane("role/a");
    let made: [Row; 6] = core::array::from_fn(|_| lease(&here, at(1)));
    let rows = made.iter().cloned().chain([request(at(9))]);
    ledger.commit(of_rows(rows)).await?;
    let [first, second, third, fourth, ..] = &made;
    let next = [
        ended(first),
        moved(second, "revoking"),
        moved(third, "elevating"),
        moved(fourth, "elevating"),
    ];
    ledger.commit(of_rows(next)).await?;
    let wanted = [("active", 2), ("elevating", 2), ("revoking", 1)];
    let wanted = wanted.map(|(state, count)| (state.to_owned(), count));
    let wanted: BTreeMap<String, u64> = wanted.into();
    same("of six", &ledger.count_open().await?, &wanted)
}

pub(super) async fn leases_are_found_by_their_request(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let asked = request(at(9));
    let of_it = |lane_name| Row {
        request: asked.request,
        ..lease(&lane(lane_name), at(1))
    };
    let mut leases = vec![of_it("role/a"), ended(&of_it("role/b")), of_it("role/c")];
    leases.iter_mut().for_each(|row| row.version = 1);
    let foreign = lease(&lane("role/a"), at(1));
    let all = leases.iter().cloned().chain([asked.clone(), foreign]);
    ledger.commit(of_rows(all)).await?;
    let mut found = ledger.leases_of(asked.request).await?;
    found.sort_by_key(|row| row.id);
    leases.sort_by_key(|row| row.id);
    same("the leases of a request", &found, &leases)?;
    let nobody = ledger.leases_of(RequestId::fresh()).await?;
    same("the leases of an unknown request", &nobody, &Vec::new())
}

pub(super) async fn leases_are_listed_newest_first(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let mut made: Vec<Row> = Vec::new();
    for number in 0..12 {
        let job = if number % 2 == 0 { "job" } else { "other" };
        let row = Row {
            owner: owner(job),
            ..lease(&lane("role/a"), at(1))
        };
        ledger
            .commit(of_rows([row.clone(), request(at(1))]))
            .await?;
        if number % 3 == 0 {
            let row = ended(&row);
            ledger.commit(of_rows([row.clone()])).await?;
            made.push(row);
        } else {
            made.push(row);
        }
    }
    made.reverse();
    for job in [None, Some("job"), Some("nobody")] {
        for ended_too in [false, true] {
            for limit in [0, 1, 3, ALL] {
                let filter = LeaseFilter {
                    ended_too,
                    job: job.map(str::to_owned),
                    limit,
                    ..LeaseFilter::default()
                };
                let wanted = made
                    .iter()
                    .filter(|row| ended_too || !row.is_final)
                    .filter(|row| job.is_none_or(|job| row.owner.job == job));
                let wanted: Vec<Row> = wanted.take(limit as usize).cloned().collect();
                let found = ledger.leases(filter.clone()).await?;
                same(&format!("leases by {filter:?}"), &found, &wanted)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn leases_are_listed_page_by_page(stores: &dyn Stores) -> Result<(), Broken> {
    let store = stores.empty().await?;
    let ledger = store.open().await?;
    let here = lane("role/a");
    let mut made = Vec::new();
    for number in 0..10 {
        let row = lease(&here, at(1));
        ledger.commit(of_rows([row.clone()])).await?;
        let row = match number % 3 {
            0 => ended(&row),
            1 => moved(&row, "revoking"),
            _ => moved(&row, "active"),
        };
        ledger.commit(of_rows([row.clone()])).await?;
        made.push(row);
    }
    made.reverse();
    for (ended_too, job, state) in [
        (false, None, None),
        (true, None, None),
        (false, None, Some("revoking")),
        (false, Some("job"), None),
        (true, Some("job"), None),
    ] {
        let is_wanted = |row: &&Row| {
            (ended_too || !row.is_final) && state.is_none_or(|state| row.state == state)
        };
        let wanted: Vec<Row> = made.iter().filter(is_wanted).cloned().collect();
        let (mut found, mut older_than) = (Vec::new(), None);
        loop {
            let filter = LeaseFilter {
                ended_too,
                job: job.map(str::to_owned),
                state: state.map(str::to_owned),
                older_than,
                limit: 2,
            };
            let page = ledger.leases(filter).await?;
            let Some(last) = page.last() else { break };
            older_than = Some(lease_id(last));
            found.extend(page);
            if found.len() > made.len() {
                return Err(Broken::because("a page repeats what was on an earlier one"));
            }
        }
        let which = format!("the pages of {job:?}, {state:?}, ended too: {ended_too}");
        same(&which, &found, &wanted)?;
    }
    Ok(())
}
