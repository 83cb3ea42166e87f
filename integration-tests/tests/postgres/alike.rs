//! Both ledgers are asked the same, at random, and must say the same. SQLite takes one transaction
//! after the other; PostgreSQL decides those that wait together in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jitney_core::adapter::Epoch;
use jitney_core::audit::{Entry, Event};
use jitney_core::evidence::{Held, Hold};
use jitney_core::handle::Handle;
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::ledger::{
    Budget, Claim, CommitError, Fence, LaneRows, LeaseFilter, Ledger, Look, Owner, Row, RowId,
    Share, Sheet, SheetAt, Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use jitney_integration_tests::postgres::Server;
use jitney_ledger_postgres::{ClaimClock, PostgresOptions};
use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use sqlx::{AssertSqlSafe, Row as _};

use super::sample::{AT, brokers, lane, once, server};

const PASTS: u64 = 6;
const BURSTS: usize = 40;
const BURST_MAX: u64 = 9;
/// How many there are of everything: few, so that they get into each other's way.
const FEW: u64 = 3;

/// What comes next is decided by a seed alone (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.roll(many) == 0
    }

    fn lane(&mut self) -> LaneId {
        lane(["a", "b", "c\u{0}"][self.roll(FEW) as usize])
    }

    fn moment(&mut self) -> Timestamp {
        AT.plus(Duration::from_secs(self.roll(50)))
    }
}

/// What a random transaction is made of, and how far each thing has come.
struct World {
    dice: Dice,
    leases: Vec<LeaseId>,
    versions: BTreeMap<LeaseId, u64>,
    sheet: u64,
    said: u32,
}

impl World {
    fn of(seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            leases: (0..FEW).map(|_| LeaseId::fresh()).collect(),
            versions: BTreeMap::new(),
            sheet: 0,
            said: 0,
        }
    }

    fn lease(&mut self) -> LeaseId {
        self.leases[self.dice.roll(FEW) as usize]
    }

    /// Mostly the version after the last one asked for; whether that one was taken is for the
    /// ledgers to know.
    fn row(&mut self) -> Row {
        let lease = self.lease();
        let version = self.versions.entry(lease).or_default();
        if !self.dice.one_in(8) {
            *version += 1;
        }
        let version = *version;
        let owner = self.dice.roll(FEW);
        Row {
            id: RowId::Lease(lease),
            version,
            state: ["active", "revoking"][self.dice.roll(2) as usize].to_owned(),
            is_final: self.dice.one_in(4),
            request: RequestId::from_uuid(lease.as_uuid()),
            lane: (!self.dice.one_in(9)).then(|| self.dice.lane()),
            owner: Owner {
                job: format!("job {owner}"),
                repository: format!("repository {}", owner / 2),
                tenant: "tenant".to_owned(),
            },
            due_at: (!self.dice.one_in(3)).then(|| self.dice.moment()),
            body: format!("{{\"version\":{version}}}"),
        }
    }

    fn hold(&mut self) -> Hold {
        let held = match self.dice.roll(3) {
            0 => Held::IssuedBefore(AT),
            number => Held::Grant(Handle::try_from(format!("{number:019}")).unwrap()),
        };
        Hold {
            lane: self.dice.lane(),
            held,
            lease: (!self.dice.one_in(4)).then(|| self.lease()),
            until: self.dice.moment(),
            issued_by: (!self.dice.one_in(3)).then(|| self.dice.moment()),
        }
    }

    fn claim(&mut self) -> Claim {
        let name = format!("slot {}", self.dice.roll(FEW));
        let lease = self.lease();
        Claim { name, lease }
    }

    fn budget(&mut self) -> Budget {
        let number = self.dice.roll(FEW);
        let share = match self.dice.roll(4) {
            0 => Share::Job(format!("job {number}")),
            1 => Share::Repository(format!("repository {}", number / 2)),
            2 => Share::Tenant("tenant".to_owned()),
            _ => Share::Lane(self.dice.lane()),
        };
        let leases_max = u32::try_from(self.dice.roll(7)).unwrap();
        Budget { share, leases_max }
    }

    fn transaction(&mut self) -> Transaction {
        self.said += 1;
        let mut transaction = Transaction {
            entries: vec![Entry::new(AT, Event::BrokerStarted).field("number", self.said)],
            ..Transaction::default()
        };
        for _ in 0..=self.dice.roll(3) {
            match self.dice.roll(12) {
                0..=3 => transaction.rows.push(self.row()),
                4 => transaction
                    .once
                    .push(once(&format!("key {}", self.dice.roll(40)))),
                5 => transaction.claims.push(self.claim()),
                6 => transaction.claims_released.push(self.claim()),
                7 => transaction.holds_placed.push(self.hold()),
                8 => transaction.holds_dropped.push(self.hold()),
                9 => transaction.budgets.push(self.budget()),
                10 => transaction.looks.push(Look {
                    lane: self.dice.lane(),
                    at: (!self.dice.one_in(3)).then(|| self.dice.moment()),
                }),
                _ => self.sheets(&mut transaction),
            }
        }
        if self.dice.one_in(4) {
            let (lane, epoch) = (self.dice.lane(), Epoch(self.dice.roll(5)));
            transaction.fences.push(Fence { lane, epoch });
        }
        transaction
    }

    fn sheets(&mut self, transaction: &mut Transaction) {
        let name = "standing".to_owned();
        if self.dice.one_in(2) {
            let version = self.sheet;
            transaction.sheets_unchanged.push(SheetAt { name, version });
        } else {
            self.sheet += 1;
            let (version, body) = (self.sheet, format!("{{\"of\":{}}}", self.said));
            transaction.sheets.push(Sheet {
                name,
                version,
                body,
            });
        }
    }
}

#[derive(Debug, PartialEq)]
struct Seen {
    leases: Vec<Row>,
    lanes: Vec<LaneRows>,
    due: Vec<LaneId>,
    next_due: Option<Timestamp>,
    sheets: Vec<Sheet>,
    entries: u64,
}

async fn seen(ledger: &dyn Ledger) -> Seen {
    let filter = LeaseFilter {
        ended_too: true,
        limit: 100,
        ..LeaseFilter::default()
    };
    let mut lanes = Vec::new();
    for name in ["a", "b", "c\u{0}"] {
        let mut rows = ledger.lane(&lane(name), AT).await.unwrap();
        rows.rows.sort_by_key(|row| row.id);
        rows.holds.sort_by(|one, other| one.held.cmp(&other.held));
        lanes.push(rows);
    }
    Seen {
        leases: ledger.leases(filter).await.unwrap(),
        lanes,
        due: ledger.due_lanes(AT, 9).await.unwrap(),
        next_due: ledger.next_due().await.unwrap(),
        sheets: ledger.sheets("").await.unwrap(),
        entries: ledger.frontier().await.unwrap().size(),
    }
}

type Outcome = Result<u64, CommitError>;

async fn ask(ledger: &dyn Ledger, burst: &[Transaction]) -> Vec<Outcome> {
    join_all(burst.iter().cloned().map(|asked| ledger.commit(asked))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ledgers_say_the_same() {
    let Some(server) = server("both ledgers beside each other").await else {
        return;
    };
    let (mut taken, mut refused) = (0, BTreeMap::<&str, u32>::new());
    for seed in 0..PASTS {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteLedger::open(&SqliteOptions::at(folder.path().join("a.db"))).unwrap();
        let options = PostgresOptions {
            claims_by: ClaimClock::Caller,
            ..server.fresh().unwrap()
        };
        let [postgres] = brokers::<1>(&options).await;
        let mut world = World::of(seed);
        for burst in 0..BURSTS {
            if world.dice.one_in(3) {
                let (lane, now) = (world.dice.lane(), world.dice.moment());
                let (hand, until) = (["one", "two"][burst % 2], now.plus(Duration::from_secs(9)));
                let ours = postgres.claim_lane(&lane, hand, now, until).await;
                assert_eq!(ours, sqlite.claim_lane(&lane, hand, now, until).await);
            }
            let count = 1 + world.dice.roll(BURST_MAX);
            let asked: Vec<Transaction> = (0..count).map(|_| world.transaction()).collect();
            let ours = ask(&*postgres, &asked).await;
            let theirs = ask(&sqlite, &asked).await;
            assert_eq!(ours, theirs, "seed {seed}, burst {burst}: {asked:#?}");
            // What was not taken is asked for again later: the versions are set back.
            world.versions.clear();
            for row in seen(&sqlite).await.leases {
                let RowId::Lease(lease) = row.id else {
                    continue;
                };
                world.versions.insert(lease, row.version);
            }
            let sheet = sqlite.sheet("standing").await.unwrap();
            world.sheet = sheet.map_or(0, |sheet| sheet.version);
            for outcome in ours {
                match outcome {
                    Ok(_) => taken += 1,
                    Err(error) => *refused.entry(kind(&error)).or_default() += 1,
                }
            }
        }
        assert_eq!(seen(&*postgres).await, seen(&sqlite).await, "seed {seed}");
        assert_eq!(
            shares(server, &options, KEPT).await,
            shares(server, &options, RECOUNT).await
        );
    }
    // The test has seen what it is about.
    assert!(taken > 200, "{taken}");
    for kind in [
        "conflict",
        "taken",
        "replayed",
        "over budget",
        "fenced",
        "moved",
    ] {
        assert!(
            refused.get(kind).is_some_and(|count| *count > 3),
            "{kind}: {refused:?}"
        );
    }
}

fn kind(error: &CommitError) -> &'static str {
    match error {
        CommitError::Conflict(_) => "conflict",
        CommitError::Taken(_) => "taken",
        CommitError::Replayed(_) => "replayed",
        CommitError::OverBudget(_) => "over budget",
        CommitError::Fenced(_) => "fenced",
        CommitError::Moved(_) => "moved",
        CommitError::Unknown(_) | CommitError::Unavailable(_) => panic!("{error:?}"),
    }
}

const KEPT: &str = "SELECT kind, name, count FROM {schema}.shares";
/// Counted anew from what is open, instead of kept by every commit.
const RECOUNT: &str = "
    WITH open AS (
        SELECT job, repository, tenant, target || '/' || lane AS lane FROM {schema}.rows
        WHERE kind = 1 AND NOT is_final
        UNION ALL SELECT job, repository, tenant, target || '/' || lane FROM {schema}.holds)
    SELECT 'job', job, count(*) FROM open WHERE job IS NOT NULL GROUP BY job
    UNION ALL SELECT 'repository', repository, count(*) FROM open
        WHERE repository IS NOT NULL GROUP BY repository
    UNION ALL SELECT 'tenant', tenant, count(*) FROM open WHERE tenant IS NOT NULL GROUP BY tenant
    UNION ALL SELECT 'lane', lane, count(*) FROM open WHERE lane IS NOT NULL GROUP BY lane";

async fn shares(
    server: &Server,
    options: &PostgresOptions,
    question: &str,
) -> BTreeMap<(String, String), i64> {
    let mut connection = server.connect().await.unwrap();
    let sql = AssertSqlSafe(question.replace("{schema}", &options.schema));
    let found = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    let share = |row: &sqlx::postgres::PgRow| ((row.get(0), row.get(1)), row.get(2));
    found.iter().map(share).collect()
}
