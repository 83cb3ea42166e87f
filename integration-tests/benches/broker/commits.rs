//! The durable commits of a ledger alone: how many a second, and how long each waits.
//!
//! Two transactions are measured. *grant*: one lease and one audit entry. *intent*: what a job's
//! first commit is made of: a request and its lease, a once-key, four budgets, two entries.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use jitney_core::audit::{Entry, Event};
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::ledger::{Budget, Ledger, OnceUse, Owner, Row, RowId, Share, Transaction};
use jitney_core::plan::LaneId;
use jitney_core::principal::{KeyThumbprint, OnceKey};
use jitney_core::time::Timestamp;
use jitney_integration_tests::kills::LedgerKind;
use jitney_ledger_postgres::PostgresLedger;
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};

use crate::ledger::{self, LedgerName};
use crate::measure::{all_of, quantile};

const LANES: u128 = 16;
/// As long as the JSON of a lease with a short session policy.
const BODY_BYTES: usize = 900;
const NOW: Timestamp = Timestamp::from_seconds(1_795_392_000);

/// What is measured, and for how long.
#[derive(Args)]
pub struct Arguments {
    /// How long one round takes, in seconds.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// How many rounds, each on an empty ledger; the median is told.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many clients commit at a time.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    clients: Vec<usize>,
    /// How many brokers share a ledger on PostgreSQL. SQLite has one.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    brokers: Vec<usize>,
    /// Which ledgers are measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [LedgerName::Sqlite, LedgerName::Postgres])]
    ledger: Vec<LedgerName>,
}

struct Round {
    per_second: f64,
    waits: Vec<Duration>,
}

/// Measures, and tells.
pub async fn run(arguments: &Arguments, directory: &Path) {
    println!("ledger   transaction brokers clients  commits/s   p50 ms   p95 ms   p99 ms");
    for (name, kind) in ledger::ready(&arguments.ledger).await {
        let brokers = match kind {
            LedgerKind::Sqlite => &[1][..],
            LedgerKind::Postgres(_) => &arguments.brokers,
        };
        for (what, make) in [("grant", grant as fn() -> Transaction), ("intent", intent)] {
            for &brokers in brokers {
                for &clients in &arguments.clients {
                    let round = median(arguments, (kind, brokers), directory, clients, make).await;
                    let [p50, p95, p99] =
                        [0.50, 0.95, 0.99].map(|share| quantile(round.waits.clone(), share));
                    let (name, per_second) = (name.as_str(), round.per_second);
                    println!(
                        "{name:<8} {what:<11} {brokers:>7} {clients:>7} {per_second:>10.0} \
                         {p50:>8.2} {p95:>8.2} {p99:>8.2}"
                    );
                }
            }
        }
    }
}

async fn median(
    arguments: &Arguments,
    (kind, brokers): (LedgerKind, usize),
    directory: &Path,
    clients: usize,
    make: fn() -> Transaction,
) -> Round {
    let length = Duration::from_secs(arguments.seconds);
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        let folder = tempfile::tempdir_in(directory).unwrap();
        let ledgers = open(kind, brokers, folder.path()).await;
        rounds.push(commits(&ledgers, clients, length, make).await);
    }
    rounds.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
    rounds.swap_remove(rounds.len() / 2)
}

/// An empty ledger, as so many brokers have it open.
async fn open(kind: LedgerKind, brokers: usize, folder: &Path) -> Vec<Arc<dyn Ledger>> {
    match kind {
        LedgerKind::Sqlite => {
            let options = SqliteOptions::at(folder.join("jitney.db"));
            vec![Arc::new(SqliteLedger::open(&options).unwrap())]
        }
        LedgerKind::Postgres(server) => {
            let options = server.fresh().unwrap();
            let mut ledgers: Vec<Arc<dyn Ledger>> = Vec::new();
            for _ in 0..brokers {
                ledgers.push(Arc::new(PostgresLedger::open(&options).await.unwrap()));
            }
            ledgers
        }
    }
}

/// So many clients, spread over the brokers, each with the next commit as soon as its last one is
/// durable.
async fn commits(
    ledgers: &[Arc<dyn Ledger>],
    clients: usize,
    length: Duration,
    make: fn() -> Transaction,
) -> Round {
    let began = Instant::now();
    let client = |ledger: Arc<dyn Ledger>| async move {
        let mut waits = Vec::new();
        while began.elapsed() < length {
            let asked = Instant::now();
            ledger.commit(make()).await.unwrap();
            waits.push(asked.elapsed());
        }
        waits
    };
    let at_work = ledgers.iter().cycle().take(clients);
    let at_work = at_work.map(|ledger| tokio::spawn(client(Arc::clone(ledger))));
    let waits: Vec<Duration> = all_of(at_work.collect()).await.concat();
    Round {
        per_second: waits.len() as f64 / began.elapsed().as_secs_f64(),
        waits,
    }
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
