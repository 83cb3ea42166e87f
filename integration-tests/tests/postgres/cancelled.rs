//! Callers that give up. A client that hangs up drops its futures wherever they stand; the driver
//! that is used here leaves a connection inside a transaction when that happens within its `begin`.

use std::sync::Arc;
use std::time::Duration;

use jitney_core::ledger::{LeaseFilter, Ledger, Transaction};
use jitney_ledger_postgres::PostgresOptions;
use sqlx::{PgConnection, Row as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::sample::{AT, brokers, lane, lease, own_server, said, saying, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_gives_up_leaves_no_transaction_open() {
    const CALLERS: u64 = 3_000;
    let Some(server) = own_server("callers that give up").await else {
        return;
    };
    let options = PostgresOptions {
        connections: 2,
        ..server.fresh().unwrap()
    };
    let [ledger] = brokers::<1>(&options).await;
    ledger
        .commit(Transaction {
            rows: vec![lease(&lane("a"))],
            ..saying("first")
        })
        .await
        .unwrap();
    let mut shell = server.connect().await.unwrap();
    let mut callers = JoinSet::new();
    let mut given_up = 0;
    for number in 0..CALLERS {
        let ledger = Arc::clone(&ledger);
        let patience = Duration::from_micros(number * 37 % 3_000);
        callers.spawn(async move {
            let here = lane("a");
            let calling = async {
                match number % 6 {
                    0 => drop(ledger.commit(saying(number)).await.unwrap()),
                    1 => drop(ledger.claim_lane(&here, "hand", AT, AT).await.unwrap()),
                    2 => drop(ledger.lane(&here, AT).await.unwrap()),
                    3 => drop(ledger.leases(LeaseFilter::default()).await.unwrap()),
                    4 => drop(ledger.due_lanes(AT, 9).await.unwrap()),
                    _ => drop(ledger.next_due().await.unwrap()),
                }
            };
            timeout(patience, calling).await.is_err()
        });
        if number % 20 == 0 {
            assert_eq!(forgotten(&mut shell).await, 0, "after {number} callers");
        }
        if callers.len() >= 16 {
            given_up += u64::from(callers.join_next().await.unwrap().unwrap());
        }
    }
    while let Some(caller) = callers.join_next().await {
        given_up += u64::from(caller.unwrap());
    }
    assert!(
        given_up > CALLERS / 10,
        "only {given_up} of {CALLERS} gave up"
    );
    // What waits is written, and then nobody is in a transaction.
    ledger.commit(saying("last")).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let sql = "SELECT count(*) FILTER (WHERE state LIKE 'idle in transaction%'), count(*)
               FROM pg_stat_activity WHERE application_name LIKE 'jitney %'";
    let seen = sqlx::query(sql).fetch_one(&mut shell).await.unwrap();
    let (open, all): (i64, i64) = (seen.get(0), seen.get(1));
    assert_eq!(open, 0);
    assert!(
        (1..=3).contains(&all),
        "{all} sessions of a ledger with 2 readers"
    );
    assert_eq!(said(&*ledger).await.last().unwrap(), "last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_finds_the_queue_full_waits_and_is_answered() {
    let Some(server) = server("a full queue").await else {
        return;
    };
    let options = PostgresOptions {
        queue_length: 1,
        connections: 1,
        ..server.fresh().unwrap()
    };
    let [ledger] = brokers::<1>(&options).await;
    let mut crowd = JoinSet::new();
    for number in 0..300 {
        let ledger = Arc::clone(&ledger);
        crowd.spawn(async move {
            ledger.commit(saying(number)).await.unwrap();
            ledger.next_due().await.unwrap()
        });
    }
    assert!(crowd.join_all().await.iter().all(Option::is_none));
    assert_eq!(said(&*ledger).await.len(), 300);
}

/// How many transactions are open where none is ever begun. The writer's own are nobody else's.
async fn forgotten(shell: &mut PgConnection) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE application_name = 'jitney reading' AND state LIKE 'idle in transaction%'";
    sqlx::query(sql).fetch_one(shell).await.unwrap().get(0)
}
