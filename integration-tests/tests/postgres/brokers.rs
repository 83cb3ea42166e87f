//! Several brokers on one database: what one of them may have is never had by two.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jitney_core::adapter::Epoch;
use jitney_core::ledger::{
    Budget, Claim, CommitError, Fence, Ledger, RowId, Share, SheetAt, Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use jitney_ledger_postgres::PostgresLedger;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::proxy::{Loses, Network};
use super::sample::{AT, brokers, lane, lease, once, said, saying, server, sheet, sheet_at};

/// How many callers each broker has.
const CALLERS: usize = 24;

/// Has every caller of every broker commit what `make` makes of its number.
async fn crowd(
    ledgers: &[Arc<PostgresLedger>],
    make: impl Fn(usize) -> Transaction,
) -> Vec<(Transaction, Result<u64, CommitError>)> {
    let mut tasks = JoinSet::new();
    for number in 0..CALLERS * ledgers.len() {
        let ledger = Arc::clone(&ledgers[number % ledgers.len()]);
        let transaction = make(number);
        tasks.spawn(async move {
            let outcome = ledger.commit(transaction.clone()).await;
            (transaction, outcome)
        });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_used_once() {
    let Some(server) = server("once-keys of several brokers").await else {
        return;
    };
    let ledgers = brokers::<2>(&server.fresh().unwrap()).await;
    for round in 0..5 {
        let key = format!("token {round}");
        let outcomes = crowd(&ledgers, |_| Transaction {
            once: vec![once(&key)],
            ..saying("used")
        });
        let outcomes = outcomes.await;
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.iter().partition(|(_, it)| it.is_ok());
        assert_eq!(won.len(), 1);
        let told = Err(CommitError::Replayed(won[0].0.once[0].clone()));
        assert!(
            lost.iter().all(|(_, outcome)| *outcome == told),
            "{lost:#?}"
        );
    }
    assert_eq!(said(&*ledgers[0]).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_has_one_lease() {
    let Some(server) = server("claims of several brokers").await else {
        return;
    };
    let ledgers = brokers::<2>(&server.fresh().unwrap()).await;
    let claiming = |_| {
        let row = lease(&lane("pool"));
        let RowId::Lease(lease) = row.id else {
            unreachable!()
        };
        let name = "slot".to_owned();
        Transaction {
            rows: vec![row],
            claims: vec![Claim { name, lease }],
            ..Transaction::default()
        }
    };
    let outcomes = crowd(&ledgers, claiming).await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.iter().partition(|(_, it)| it.is_ok());
    assert_eq!(won.len(), 1);
    for (asked, outcome) in lost {
        assert_eq!(*outcome, Err(CommitError::Taken(asked.claims[0].clone())));
        assert_eq!(ledgers[0].row(asked.rows[0].id).await, Ok(None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_is_kept_by_all_of_them_together() {
    const LIMIT: u32 = 7;
    let Some(server) = server("budgets of several brokers").await else {
        return;
    };
    let ledgers = brokers::<2>(&server.fresh().unwrap()).await;
    // Each lane's budget is asked for in another order: brokers that locked what they count would
    // lock each other out.
    let shares = [
        Share::Job("job".to_owned()),
        Share::Tenant("tenant".to_owned()),
        Share::Lane(lane("a")),
    ];
    let outcomes = crowd(&ledgers, |number| {
        let mut shares = shares.clone();
        shares.rotate_left(number % 3);
        let budgets = shares.map(|share| Budget {
            share,
            leases_max: LIMIT,
        });
        Transaction {
            rows: vec![lease(&lane("a"))],
            budgets: budgets.into(),
            ..Transaction::default()
        }
    });
    let outcomes = outcomes.await;
    let taken = outcomes.iter().filter(|(_, it)| it.is_ok()).count();
    let over = |it: &Result<u64, CommitError>| matches!(it, Err(CommitError::OverBudget(_)));
    let refused = outcomes.iter().filter(|(_, it)| over(it)).count();
    assert_eq!(
        (taken, refused),
        (LIMIT as usize, 2 * CALLERS - LIMIT as usize)
    );
}

/// Whoever minted under a sheet minted before it was changed: the order of the audit log shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_minted_under_a_sheet_that_was_changed() {
    let Some(server) = server("sheets of several brokers").await else {
        return;
    };
    let ledgers = brokers::<2>(&server.fresh().unwrap()).await;
    let outcomes = crowd(&ledgers, |number| {
        let version = number as u64 / 6;
        if number % 6 == 5 {
            return Transaction {
                sheets: vec![sheet(version + 1, "{}")],
                ..saying(format!("changed {version}"))
            };
        }
        Transaction {
            sheets_unchanged: vec![sheet_at(version)],
            ..saying(format!("minted {version}"))
        }
    });
    for (asked, outcome) in outcomes.await {
        let moved = Err(CommitError::Moved("standing".to_owned()));
        assert!(
            outcome.is_ok() || outcome == moved,
            "{asked:?}: {outcome:?}"
        );
    }
    let mut present = 0;
    for words in said(&*ledgers[1]).await {
        let (what, version) = words.split_once(' ').unwrap();
        assert_eq!(
            version,
            present.to_string(),
            "{words} under version {present}"
        );
        present += u64::from(what == "changed");
    }
    assert!(present > 0, "no sheet was ever changed");
    let stored = ledgers[0].sheet("standing").await.unwrap().unwrap();
    assert_eq!(stored.version, present);
    let absent = SheetAt {
        name: "another".to_owned(),
        version: 0,
    };
    let unchanged = Transaction {
        sheets_unchanged: vec![absent],
        ..Transaction::default()
    };
    ledgers[0].commit(unchanged).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_of_all_of_them_is_one() {
    let Some(server) = server("the audit log of several brokers").await else {
        return;
    };
    let ledgers = brokers::<3>(&server.fresh().unwrap()).await;
    assert!(ledgers[0].is_shared());
    let outcomes = crowd(&ledgers, saying).await;
    let mut sequences: Vec<u64> = outcomes.into_iter().map(|(_, it)| it.unwrap()).collect();
    sequences.sort_unstable();
    let all = 3 * CALLERS;
    assert_eq!(sequences, (1..=all as u64).collect::<Vec<_>>());
    let mut seen: Vec<usize> = said(&*ledgers[0])
        .await
        .iter()
        .map(|it| it.parse().unwrap())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..all).collect::<Vec<_>>());
}

const LASTING: Duration = Duration::from_millis(600);

/// A claim by a broker whose clock shows `now`.
async fn claim(
    ledger: &PostgresLedger,
    lane: &LaneId,
    hand: &str,
    now: Timestamp,
) -> Option<Epoch> {
    ledger
        .claim_lane(lane, hand, now, now.plus(LASTING))
        .await
        .unwrap()
}

/// Ahead by half a minute, a broker would take every lane from whoever drives it; behind, it would
/// never take over from one that died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_runs_by_the_servers_clock_whatever_the_brokers_clocks_show() {
    let Some(server) = server("claims of lanes").await else {
        return;
    };
    let [one, two] = brokers::<2>(&server.fresh().unwrap()).await;
    let here = lane("role/a");
    let skew = Duration::from_secs(30);
    let first = claim(&one, &here, "one", AT).await.unwrap();
    assert_eq!(claim(&two, &here, "two", AT.plus(skew)).await, None);
    assert_eq!(claim(&one, &here, "one", AT).await, Some(first));
    sleep(LASTING / 2).await;
    assert_eq!(claim(&two, &here, "two", AT.plus(skew)).await, None);
    sleep(LASTING).await;
    let second = claim(&two, &here, "two", AT.minus(skew)).await.unwrap();
    assert!(second > first);
    assert_eq!(claim(&one, &here, "one", AT).await, None);
    let late = Fence {
        lane: here,
        epoch: first,
    };
    let outcome = one
        .commit(Transaction {
            fences: vec![late.clone()],
            ..saying("late")
        })
        .await;
    assert_eq!(outcome, Err(CommitError::Fenced(late)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_another_drives_is_not_shown_as_due() {
    let Some(server) = server("due lanes").await else {
        return;
    };
    let [one, two] = brokers::<2>(&server.fresh().unwrap()).await;
    let lanes = ["a", "b", "c"].map(lane);
    let rows = lanes.iter().map(lease).collect();
    one.commit(Transaction {
        rows,
        ..Transaction::default()
    })
    .await
    .unwrap();
    let epoch = claim(&one, &lanes[0], "one", AT).await.unwrap();
    assert_eq!(one.due_lanes(AT, 9).await.unwrap(), lanes);
    // Also with little room: what others do does not hide what nobody does.
    assert_eq!(two.due_lanes(AT, 2).await.unwrap(), lanes[1..]);
    let raised = Fence {
        lane: lanes[0].clone(),
        epoch,
    };
    let taken_away = Transaction {
        epochs_raised: vec![raised.clone()],
        ..Transaction::default()
    };
    two.commit(taken_away).await.unwrap();
    assert_eq!(two.due_lanes(AT, 9).await.unwrap(), lanes);
    let outcome = one
        .commit(Transaction {
            fences: vec![raised.clone()],
            ..saying("late")
        })
        .await;
    assert_eq!(outcome, Err(CommitError::Fenced(raised)));

    claim(&two, &lanes[0], "two", AT).await.unwrap();
    assert_eq!(one.due_lanes(AT, 9).await.unwrap(), lanes[1..]);
    sleep(LASTING).await;
    assert_eq!(one.due_lanes(AT, 9).await.unwrap(), lanes);
}

/// Two brokers that take lanes from each other as fast as they can. Each driver writes down its
/// epoch under its fence; nobody may write after a later one did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_only_grow_while_brokers_take_a_lane_from_each_other() {
    const SHORT: Duration = Duration::from_millis(3);
    let Some(server) = server("epochs").await else {
        return;
    };
    let ledgers = brokers::<2>(&server.fresh().unwrap()).await;
    let mut drivers = JoinSet::new();
    for (number, ledger) in ledgers.iter().cloned().enumerate() {
        drivers.spawn(async move {
            let (here, hand) = (lane("role/a"), format!("hand {number}"));
            for _ in 0..150 {
                let claimed = ledger
                    .claim_lane(&here, &hand, AT, AT.plus(SHORT))
                    .await
                    .unwrap();
                let Some(epoch) = claimed else { continue };
                sleep(SHORT / 2).await;
                let fences = vec![Fence {
                    lane: here.clone(),
                    epoch,
                }];
                let words = format!("{} {number}", epoch.0);
                match ledger
                    .commit(Transaction {
                        fences,
                        ..saying(words)
                    })
                    .await
                {
                    Ok(_) | Err(CommitError::Fenced(_)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    drivers.join_all().await;
    let said = said(&*ledgers[0]).await;
    let epochs: Vec<(u64, &str)> = said
        .iter()
        .map(|words| words.split_once(' ').unwrap())
        .map(|(epoch, hand)| (epoch.parse().unwrap(), hand))
        .collect();
    assert!(
        epochs.windows(2).all(|two| two[0].0 <= two[1].0),
        "{epochs:?}"
    );
    for two in epochs.windows(2).filter(|two| two[0].0 == two[1].0) {
        assert_eq!(two[0].1, two[1].1, "an epoch of two hands");
    }
    let hands = |hand| epochs.iter().filter(|(_, it)| *it == hand).count();
    assert!(
        hands("0") > 0 && hands("1") > 0,
        "one of them never drove: {epochs:?}"
    );
}

/// A broker that was stopped between two statements, or whose machine is gone without a word, has
/// the lock that everybody waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stands_still_in_its_turn_stops_the_others_for_seconds_only() {
    let Some(server) = server("a broker that stands still").await else {
        return;
    };
    let options = server.fresh().unwrap();
    let network = Network::to(server).await;
    let [still] = brokers::<1>(&network.through(&options)).await;
    let [other] = brokers::<1>(&options).await;
    network.loses(Loses::CommitInSilence);
    let standing = tokio::spawn(async move { still.commit(saying("still")).await });
    while network.lost() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    assert_eq!(other.commit(saying("other")).await, Ok(1));
    let waited = began.elapsed();
    assert!(
        waited > Duration::from_secs(1),
        "the lock was not held: {waited:?}"
    );
    assert!(waited < Duration::from_secs(9), "{waited:?}");
    let outcome = standing.await.unwrap();
    assert!(
        matches!(outcome, Err(CommitError::Unavailable(_))),
        "{outcome:?}"
    );
    assert_eq!(said(&*other).await, ["other"]);
}
