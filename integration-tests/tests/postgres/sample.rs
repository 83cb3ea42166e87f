//! What the tests write.

use std::sync::Arc;

use jitney_core::audit::{Entry, Event, Frontier, LeafHash};
use jitney_core::id::{LeaseId, RequestId};
use jitney_core::ledger::{Ledger, OnceUse, Owner, Row, RowId, Sheet, SheetAt, Transaction};
use jitney_core::plan::LaneId;
use jitney_core::principal::{KeyThumbprint, OnceKey};
use jitney_core::time::Timestamp;
use jitney_integration_tests::postgres::Server;
use jitney_ledger_postgres::{PostgresLedger, PostgresOptions};

pub const AT: Timestamp = Timestamp::from_seconds(1_795_392_000);

/// So many ledgers on one schema, each as if in a broker of its own.
pub async fn brokers<const COUNT: usize>(
    options: &PostgresOptions,
) -> [Arc<PostgresLedger>; COUNT] {
    let mut ledgers = Vec::new();
    for _ in 0..COUNT {
        ledgers.push(Arc::new(PostgresLedger::open(options).await.unwrap()));
    }
    ledgers.try_into().unwrap()
}

/// A server that the tests of this process share, or nothing where there is none to be had.
pub async fn server(what: &str) -> Option<&'static Server> {
    Server::shared_or_said(what).await.unwrap()
}

/// A server that nobody else uses: it may be stopped, and its sessions counted.
pub async fn own_server(what: &str) -> Option<Server> {
    server(what).await?;
    Some(Server::start("").await.unwrap())
}

pub fn lane(name: &str) -> LaneId {
    LaneId {
        target: "prod".parse().unwrap(),
        name: name.to_owned(),
    }
}

pub fn lease(lane: &LaneId) -> Row {
    Row {
        id: RowId::Lease(LeaseId::fresh()),
        version: 1,
        state: "active".to_owned(),
        is_final: false,
        request: RequestId::fresh(),
        lane: Some(lane.clone()),
        owner: Owner {
            job: "job".to_owned(),
            repository: "repository".to_owned(),
            tenant: "tenant".to_owned(),
        },
        due_at: Some(AT),
        body: r#"{"state":"active"}"#.to_owned(),
    }
}

pub fn once(key: &str) -> OnceUse {
    let request = RequestId::fresh();
    OnceUse {
        key: OnceKey(key.to_owned()),
        bound_to: KeyThumbprint(format!("thumbprint of {request}")),
        asked: format!("digest of {request}"),
        request,
        remember_until: AT,
    }
}

pub fn sheet(version: u64, body: &str) -> Sheet {
    Sheet {
        name: "standing".to_owned(),
        version,
        body: body.to_owned(),
    }
}

pub fn sheet_at(version: u64) -> SheetAt {
    SheetAt {
        name: "standing".to_owned(),
        version,
    }
}

/// A transaction that leaves one entry with these words.
pub fn saying(words: impl std::fmt::Display) -> Transaction {
    Transaction {
        entries: vec![Entry::new(AT, Event::BrokerStarted).field("words", words)],
        ..Transaction::default()
    }
}

/// What the entries say, in their order. Their places have no gap, and the tree is the one over
/// them.
pub async fn said(ledger: &dyn Ledger) -> Vec<String> {
    let mut frontier = Frontier::new();
    let mut said = Vec::new();
    for (place, stored) in ledger
        .entries(0, u32::MAX)
        .await
        .unwrap()
        .iter()
        .enumerate()
    {
        assert_eq!(stored.index, place as u64);
        frontier.append(LeafHash::of(&stored.bytes));
        let entry = Entry::decode(&stored.bytes).unwrap();
        said.extend(entry.fields().get("words").cloned());
    }
    assert_eq!(ledger.frontier().await.unwrap(), frontier);
    said
}
