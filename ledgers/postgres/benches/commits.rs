//! How many durable commits a second, and how long each waits, all brokers together. It needs a
//! server, in whose database it makes schemas and drops them:
//! `cargo bench --workspace --bench commits -- postgres://jitney@db/jitney`.
//!
//! Two transactions are measured. *grant*: one lease and one audit entry. *intent*: what a job's
//! first commit is made of: a request and its lease, a once-key, four budgets, two entries.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use jitney_core::audit::{Entry, Event};
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::ledger::{Budget, Ledger, OnceUse, Owner, Row, RowId, Share, Transaction};
use jitney_core::plan::LaneId;
use jitney_core::principal::{KeyThumbprint, OnceKey};
use jitney_core::time::Timestamp;
use jitney_ledger_postgres::{PostgresLedger, PostgresOptions, ServerUrl};
use sqlx::Connection as _;

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(2);
const CLIENTS: [usize; 4] = [1, 16, 64, 256];
const BROKERS: [usize; 2] = [1, 2];
const LANES: u128 = 16;
/// As long as the JSON of a lease with a short session policy.
const BODY_BYTES: usize = 900;
const NOW: Timestamp = Timestamp::from_seconds(1_795_392_000);

fn main() {
    let url = std::env::args()
        .skip(1)
        .find(|argument| argument.starts_with("postgres"));
    let Some(url) = url else {
        println!("NOT MEASURED: name a server: `-- postgres://USER@HOST/DATABASE`");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure_all(&url.try_into().unwrap()));
}

async fn measure_all(url: &ServerUrl) {
    println!("transaction brokers clients  commits/s   p50 ms   p95 ms   p99 ms");
    for (name, make) in [("grant", grant as fn() -> Transaction), ("intent", intent)] {
        for brokers in BROKERS {
            for clients in CLIENTS {
                let mut rounds = Vec::new();
                for _ in 0..ROUNDS {
                    rounds.push(measure(url, brokers, clients, make).await);
                }
                rounds.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
                let median = &rounds[ROUNDS / 2];
                let [p50, p95, p99] = median.milliseconds;
                let per_second = median.per_second;
                println!(
                    "{name:<11} {brokers:>7} {clients:>7} {per_second:>10.0} {p50:>8.2} {p95:>8.2} \
                     {p99:>8.2}"
                );
            }
        }
    }
}

struct Measured {
    per_second: f64,
    milliseconds: [f64; 3],
}

async fn measure(
    url: &ServerUrl,
    brokers: usize,
    clients: usize,
    make: fn() -> Transaction,
) -> Measured {
    let mut options = PostgresOptions::at(url.clone());
    options.schema = format!("bench_{}", uuid::Uuid::now_v7().simple());
    let mut ledgers = Vec::new();
    for _ in 0..brokers {
        ledgers.push(Arc::new(PostgresLedger::open(&options).await.unwrap()));
    }
    let began = Instant::now();
    let client = |ledger: Arc<PostgresLedger>| async move {
        let mut waits = Vec::new();
        while began.elapsed() < ROUND {
            let asked = Instant::now();
            ledger.commit(make()).await.unwrap();
            waits.push(asked.elapsed());
        }
        waits
    };
    let clients: Vec<_> = (0..clients)
        .map(|number| tokio::spawn(client(Arc::clone(&ledgers[number % brokers]))))
        .collect();
    let mut waits: Vec<Duration> = Vec::new();
    for client in clients {
        waits.extend(client.await.unwrap());
    }
    let elapsed = began.elapsed();
    drop(ledgers);
    drop_schema(&options).await;
    waits.sort();
    let at = |share: f64| waits[(waits.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    Measured {
        per_second: waits.len() as f64 / elapsed.as_secs_f64(),
        milliseconds: [at(0.50), at(0.95), at(0.99)],
    }
}

async fn drop_schema(options: &PostgresOptions) {
    let mut connection = sqlx::PgConnection::connect(&options.url.to_string())
        .await
        .unwrap();
    let drop = format!("DROP SCHEMA {} CASCADE", options.schema);
    let drop = sqlx::raw_sql(sqlx::AssertSqlSafe(drop));
    drop.execute(&mut connection).await.unwrap();
}

fn lane_of(lease: LeaseId) -> LaneId {
    LaneId {
        target: "prod".parse().unwrap(),
        name: format!("role/deployer-{}", lease.as_uuid().as_u128() % LANES),
    }
}

fn row(id: RowId, request: RequestId, lane: Option<LaneId>) -> Row {
    Row {
        id,
        version: 1,
        state: "elevating".to_owned(),
        is_final: false,
        request,
        lane,
        owner: Owner {
            job: format!("https://token.actions.githubusercontent.com {request}"),
            repository: "https://token.actions.githubusercontent.com 74".to_owned(),
            tenant: "https://token.actions.githubusercontent.com 65".to_owned(),
        },
        due_at: Some(NOW.plus(Duration::from_secs(900))),
        body: format!("{{\"body\":\"{}\"}}", "x".repeat(BODY_BYTES)),
    }
}

fn entry(event: Event, lease: LeaseId) -> Entry {
    Entry::new(NOW, event)
        .lease(lease)
        .field("handle", "0123456789abcdefghj")
        .field("target", "prod")
        .field("scopes", "object-storage:write@artifacts-prod/releases/")
        .field("ttl_seconds", 900)
}

fn grant() -> Transaction {
    let lease = LeaseId::fresh();
    let request = RequestId::from_uuid(lease.as_uuid());
    Transaction {
        rows: vec![row(RowId::Lease(lease), request, Some(lane_of(lease)))],
        entries: vec![entry(Event::LeaseIntended, lease)],
        ..Transaction::default()
    }
}

fn intent() -> Transaction {
    let (request, lease) = (RequestId::fresh(), LeaseId::fresh());
    let lane = lane_of(lease);
    let wanted = row(RowId::Request(request), request, None);
    let share = |share| Budget {
        share,
        leases_max: u32::MAX,
    };
    Transaction {
        budgets: vec![
            share(Share::Job(wanted.owner.job.clone())),
            share(Share::Repository(wanted.owner.repository.clone())),
            share(Share::Tenant(wanted.owner.tenant.clone())),
            share(Share::Lane(lane.clone())),
        ],
        rows: vec![wanted, row(RowId::Lease(lease), request, Some(lane))],
        once: vec![OnceUse {
            key: OnceKey(format!("{:0>64}", request.as_uuid().simple())),
            bound_to: KeyThumbprint("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".to_owned()),
            asked: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            request,
            remember_until: NOW.plus(Duration::from_secs(600)),
        }],
        entries: vec![
            entry(Event::RequestDecided, lease),
            entry(Event::LeaseIntended, lease),
        ],
        ..Transaction::default()
    }
}
