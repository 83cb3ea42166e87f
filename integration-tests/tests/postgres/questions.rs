//! How questions are answered: from an index, however long the past is. A broker whose look at what
//! is due read every lease there ever was would be busy with nothing else.

use std::time::Duration;

use jitney_core::adapter::Epoch;
use jitney_core::id::RequestId;
use jitney_core::ledger::{Budget, Claim, Fence, LeaseFilter, Ledger, RowId, Share, Transaction};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tokio::time::sleep;

use super::sample::{AT, brokers, lane, lease, once, own_server};

/// A long past: everything ended, every hold far from over.
const PAST: &str = "
    INSERT INTO {schema}.rows
    SELECT 1, gen_random_uuid(), 1, 'ended', true, gen_random_uuid(), 'prod', 'role/' || n % 100,
           'job ' || n, 'repository', 'tenant', NULL, '{}' FROM generate_series(1, 20000) AS n;
    INSERT INTO {schema}.rows
    SELECT 0, gen_random_uuid(), 1, 'closed', true, gen_random_uuid(), NULL, NULL,
           'job ' || n, 'repository', 'tenant', NULL, '{}' FROM generate_series(1, 20000) AS n;
    INSERT INTO {schema}.holds
    SELECT 'prod', 'role/' || n % 100, 'before:' || n, NULL, 9223372036854775807
    FROM generate_series(1, 20000) AS n;
    INSERT INTO {schema}.once
    SELECT 'key ' || n, '', '', gen_random_uuid(), 9223372036854775807
    FROM generate_series(1, 20000) AS n;
    INSERT INTO {schema}.claims
    SELECT 'slot ' || n, gen_random_uuid() FROM generate_series(1, 20000) AS n;
    INSERT INTO {schema}.shares
    SELECT 'job', 'job ' || n, 1 FROM generate_series(1, 20000) AS n;
    INSERT INTO {schema}.lanes
    SELECT 'prod', 'old/' || n, 1, 'hand', gen_random_uuid(), 0 FROM generate_series(1, 20000) AS n;
    ANALYZE;";

/// How long the sessions of a ledger that was dropped may take to end.
const SESSIONS_END: Duration = Duration::from_secs(2);

async fn run(connection: &mut PgConnection, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

async fn ask_everything(ledger: &dyn Ledger) {
    let (here, row) = (lane("role/1"), lease(&lane("role/1")));
    ledger.row(row.id).await.unwrap();
    ledger.leases_of(RequestId::fresh()).await.unwrap();
    for job in [None, Some("job 5".to_owned())] {
        for state in [None, Some("revoking".to_owned())] {
            let filter = LeaseFilter {
                job: job.clone(),
                state,
                limit: 10,
                ..LeaseFilter::default()
            };
            ledger.leases(filter).await.unwrap();
        }
    }
    let all = LeaseFilter {
        ended_too: true,
        limit: 10,
        ..LeaseFilter::default()
    };
    assert_eq!(ledger.leases(all).await.unwrap().len(), 10);
    assert!(ledger.once(&once("key 7").key).await.unwrap().is_some());
    ledger.due_lanes(AT, 10).await.unwrap();
    ledger.due_requests(AT, 10).await.unwrap();
    ledger.next_due().await.unwrap();
    assert_eq!(ledger.lane(&here, AT).await.unwrap().holds.len(), 200);
    let RowId::Lease(id) = row.id else {
        unreachable!()
    };
    let epoch = ledger
        .claim_lane(&here, "hand", AT, AT)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(epoch, Epoch(1));
    let transaction = Transaction {
        once: vec![once("new")],
        claims: vec![Claim {
            name: "slot".to_owned(),
            lease: id,
        }],
        budgets: vec![Budget {
            share: Share::Job("job 5".to_owned()),
            leases_max: 9,
        }],
        fences: vec![Fence { lane: here, epoch }],
        rows: vec![row],
        ..Transaction::default()
    };
    ledger.commit(transaction).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_question_reads_a_whole_table() {
    let Some(server) = own_server("how questions are answered").await else {
        return;
    };
    let options = server.fresh().unwrap();
    // Making an index reads its table, and a session tells of that when it ends.
    drop(brokers::<1>(&options).await);
    sleep(SESSIONS_END).await;
    let mut shell = server.connect().await.unwrap();
    run(&mut shell, &PAST.replace("{schema}", &options.schema)).await;
    run(&mut shell, "SELECT pg_stat_reset()").await;
    for _ in 0..3 {
        ask_everything(&*brokers::<1>(&options).await[0]).await;
        let undo = "DELETE FROM {schema}.once WHERE key = 'new';
                    DELETE FROM {schema}.claims WHERE name = 'slot';
                    DELETE FROM {schema}.lanes WHERE target = 'prod' AND lane = 'role/1'";
        run(&mut shell, &undo.replace("{schema}", &options.schema)).await;
    }
    sleep(SESSIONS_END).await;
    let sql = "SELECT relname, seq_scan, idx_scan FROM pg_stat_user_tables
               WHERE relname IN ('rows', 'holds', 'once', 'claims', 'shares', 'lanes')";
    let tables = sqlx::query(sql).fetch_all(&mut shell).await.unwrap();
    assert_eq!(tables.len(), 6);
    for table in tables {
        let (name, whole): (String, i64) = (table.get(0), table.get(1));
        let by_index: Option<i64> = table.get(2);
        assert_eq!(whole, 0, "`{name}` was read as a whole");
        assert!(by_index > Some(0), "`{name}` was not read at all");
    }
}
