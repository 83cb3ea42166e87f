#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::collections::BTreeMap;

use jitney_core::evidence::Held;
use jitney_core::handle::Handle;
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::ledger::Owner;
use jitney_core::principal::{KeyThumbprint, OnceKey};
use proptest::prelude::*;

use super::*;
use crate::schema::{STEPS, migrate};

pub(crate) fn some_row() -> RowId {
    RowId::Lease(LeaseId::fresh())
}

fn empty() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, STEPS).unwrap();
    connection
}

/// What may happen to one of a few leases, each with one of a few owners and lanes.
#[derive(Debug, Clone)]
enum Happening {
    Write {
        lease: usize,
        owner: usize,
        lane: usize,
        is_final: bool,
    },
    Hold {
        lease: usize,
        lane: usize,
    },
    Drop {
        lease: usize,
        lane: usize,
    },
}

fn happenings() -> impl Strategy<Value = Happening> {
    let (few, bit) = (0..3_usize, any::<bool>());
    prop_oneof![
        3 => (few.clone(), few.clone(), few.clone(), bit).prop_map(
            |(lease, owner, lane, is_final)| Happening::Write { lease, owner, lane, is_final }
        ),
        1 => (few.clone(), few.clone()).prop_map(|(lease, lane)| Happening::Hold { lease, lane }),
        1 => (few.clone(), few).prop_map(|(lease, lane)| Happening::Drop { lease, lane }),
    ]
}

fn lane(number: usize) -> LaneId {
    LaneId {
        target: ["prod", "prod", "staging"][number].parse().unwrap(),
        name: ["a", "b", "a"][number].to_owned(),
    }
}

fn hold(lease: LeaseId, number: usize, on: usize) -> Hold {
    Hold {
        lane: lane(on),
        held: Held::Grant(Handle::try_from(format!("{number:019}")).unwrap()),
        lease: Some(lease),
        until: Timestamp::from_seconds(1),
        issued_by: None,
    }
}

fn row(lease: LeaseId, version: u64, owner: usize, on: usize, is_final: bool) -> Row {
    Row {
        id: RowId::Lease(lease),
        version,
        state: "active".to_owned(),
        is_final,
        request: RequestId::from_uuid(lease.as_uuid()),
        lane: Some(lane(on)),
        owner: Owner {
            job: format!("job {owner}"),
            repository: format!("repository {}", owner / 2),
            tenant: "tenant".to_owned(),
        },
        due_at: None,
        body: String::new(),
    }
}

type Counts = BTreeMap<(String, String), i64>;

fn counts(connection: &Connection, sql: &str) -> Counts {
    let mut statement = connection.prepare(sql).unwrap();
    let found = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)));
    found.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Counted anew from what is open, instead of kept by triggers.
const RECOUNT: &str = "
    WITH open AS (
        SELECT job, repository, tenant, target || '/' || lane AS lane FROM rows
        WHERE kind = 1 AND is_final = 0
        UNION ALL SELECT job, repository, tenant, target || '/' || lane FROM holds)
    SELECT 'job', job, count(*) FROM open WHERE job IS NOT NULL GROUP BY job
    UNION ALL SELECT 'repository', repository, count(*) FROM open
        WHERE repository IS NOT NULL GROUP BY repository
    UNION ALL SELECT 'tenant', tenant, count(*) FROM open
        WHERE tenant IS NOT NULL GROUP BY tenant
    UNION ALL SELECT 'lane', lane, count(*) FROM open GROUP BY lane";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn shares_are_what_a_recount_gives(past in proptest::collection::vec(happenings(), 1..40)) {
        let connection = empty();
        let mut writing = Writing::new(&connection, Frontier::new());
        let leases = [LeaseId::fresh(), LeaseId::fresh(), LeaseId::fresh()];
        let mut versions = [0; 3];
        for happening in past {
            let mut transaction = Transaction::default();
            match happening {
                Happening::Write { lease, owner, lane, is_final } => {
                    versions[lease] += 1;
                    let version = versions[lease];
                    transaction.rows = vec![row(leases[lease], version, owner, lane, is_final)];
                }
                Happening::Hold { lease, lane } => {
                    transaction.holds_placed = vec![hold(leases[lease], lease, lane)];
                }
                Happening::Drop { lease, lane } => {
                    transaction.holds_dropped = vec![hold(leases[lease], lease, lane)];
                }
            }
            writing.transaction(&transaction).unwrap();
            let kept = counts(&connection, "SELECT kind, name, count FROM shares");
            prop_assert_eq!(kept, counts(&connection, RECOUNT));
        }
    }
}

/// Most steps set few columns, and a change of any other must not be lost for it.
#[test]
fn each_change_of_a_row_is_read_back() {
    let changes: [fn(&mut Row); 9] = [
        |row| row.state = "revoking".to_owned(),
        |row| row.is_final = true,
        |row| row.request = RequestId::fresh(),
        |row| row.lane = Some(lane(1)),
        |row| row.owner.job = "another".to_owned(),
        |row| row.owner.repository = "another".to_owned(),
        |row| row.owner.tenant = "another".to_owned(),
        |row| row.due_at = Some(Timestamp::from_seconds(1)),
        |row| row.body = "another".to_owned(),
    ];
    for change in changes {
        let connection = empty();
        let mut writing = Writing::new(&connection, Frontier::new());
        let mut write = |row: &Row| {
            let rows = vec![row.clone()];
            let transaction = Transaction {
                rows,
                ..Transaction::default()
            };
            writing.transaction(&transaction)
        };
        let first = row(LeaseId::fresh(), 1, 0, 0, false);
        let mut changed = first.clone();
        change(&mut changed);
        // There, and back.
        let steps = [(1, &first), (2, &changed), (3, &first)];
        for (version, step) in steps {
            let step = Row {
                version,
                ..step.clone()
            };
            write(&step).unwrap();
            let found = crate::read::row(&connection, step.id).unwrap();
            assert_eq!(found, Some(step));
        }
        let again = write(&first);
        assert!(
            matches!(again, Err(Stop::Refused(CommitError::Conflict(id))) if id == first.id),
            "{again:?}"
        );
    }
}

fn using(key: &str, remember_until: Timestamp, now: Timestamp) -> Transaction {
    Transaction {
        once: vec![OnceUse {
            key: OnceKey(key.to_owned()),
            bound_to: KeyThumbprint("thumbprint".to_owned()),
            asked: "digest".to_owned(),
            request: RequestId::fresh(),
            remember_until,
        }],
        entries: vec![Entry::new(now, jitney_core::audit::Event::RequestSubmitted)],
        ..Transaction::default()
    }
}

#[test]
fn a_once_key_is_forgotten_late_and_a_few_at_a_time() {
    let connection = empty();
    let mut writing = Writing::new(&connection, Frontier::new());
    let at = Timestamp::from_seconds;
    let count = || -> i64 {
        let sql = "SELECT count(*) FROM once";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    for number in 0..10 {
        writing
            .transaction(&using(&format!("old {number}"), at(100), at(0)))
            .unwrap();
    }
    let edge = at(100).plus(FORGET_AFTER);
    writing
        .transaction(&using("first", at(90_000), edge))
        .unwrap();
    assert_eq!(count(), 11);
    let past = edge.plus(Duration::from_micros(1));
    writing
        .transaction(&using("second", at(90_000), past))
        .unwrap();
    assert_eq!(count(), 12 - 4);
    // One that is forgotten may be used anew; one that must be remembered may not.
    let replayed = writing.transaction(&using("first", at(90_000), past));
    assert!(matches!(
        replayed,
        Err(Stop::Refused(CommitError::Replayed(_)))
    ));
    for number in 0..2 {
        writing
            .transaction(&using(&format!("new {number}"), at(90_000), past))
            .unwrap();
    }
    assert_eq!(count(), 4);
    writing
        .transaction(&using("old 3", at(90_000), past))
        .unwrap();
}
