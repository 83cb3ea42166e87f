//! What an operator can get wrong about the server: each has its own clear refusal, and nothing is
//! changed by it.

use std::fs;

use jitney_core::ledger::Ledger;
use jitney_integration_tests::postgres::Server;
use jitney_ledger_postgres::{
    CannotOpen, PostgresLedger, PostgresOptions, PostgresReader, posture,
};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

use super::sample::{brokers, own_server, said, saying, server};

async fn code(options: &PostgresOptions) -> &'static str {
    let opened = PostgresLedger::open(options).await;
    opened.map_or_else(|error| error.code(), |_| "opened")
}

async fn shell(server: &Server, sql: impl Into<String>) {
    let mut connection = server.connect().await.unwrap();
    let sql = AssertSqlSafe(sql.into());
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

fn at(options: &PostgresOptions, from: &str, to: &str) -> PostgresOptions {
    let url = options.url.to_string().replace(from, to);
    PostgresOptions {
        url: url.try_into().unwrap(),
        ..options.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_start_at_the_same_time_make_one_ledger() {
    let Some(server) = server("brokers that start at the same time").await else {
        return;
    };
    let options = server.fresh().unwrap();
    let mut starting = JoinSet::new();
    for number in 0..6 {
        let options = options.clone();
        starting.spawn(async move {
            let ledger = PostgresLedger::open(&options).await.unwrap();
            ledger.commit(saying(number)).await.unwrap();
        });
    }
    starting.join_all().await;
    let [ledger] = brokers::<1>(&options).await;
    assert_eq!(said(&*ledger).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ours_or_newer_is_left_alone() {
    let Some(server) = server("schemas of others").await else {
        return;
    };
    let foreign = server.fresh().unwrap();
    let schema = &foreign.schema;
    shell(
        server,
        format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.notes (x text)"),
    )
    .await;
    assert_eq!(code(&foreign).await, "ledger_not_a_ledger");
    let reading = PostgresReader::open(&foreign).await.unwrap_err();
    assert_eq!(reading.code(), "ledger_not_a_ledger");

    let newer = server.fresh().unwrap();
    assert_eq!(code(&newer).await, "opened");
    shell(
        server,
        format!("UPDATE {}.jitney_schema SET step = 99", newer.schema),
    )
    .await;
    let expected = CannotOpen::NewerSchema { seen: 99, known: 1 };
    assert_eq!(PostgresLedger::open(&newer).await.unwrap_err(), expected);
    assert_eq!(PostgresReader::open(&newer).await.unwrap_err(), expected);

    let damaged = server.fresh().unwrap();
    let [ledger] = brokers::<1>(&damaged).await;
    ledger.commit(saying(1)).await.unwrap();
    drop(ledger);
    shell(server, format!("DELETE FROM {}.entries", damaged.schema)).await;
    assert_eq!(code(&damaged).await, "ledger_damaged");

    // Looking makes nothing.
    let none = server.fresh().unwrap();
    let reading = PostgresReader::open(&none).await.unwrap_err();
    assert_eq!(reading.code(), "ledger_to_be_made");
    shell(server, format!("CREATE SCHEMA {}", none.schema)).await;
    let reading = PostgresReader::open(&none).await.unwrap_err();
    assert_eq!(reading.code(), "ledger_to_be_made");
    assert_eq!(code(&none).await, "opened");
    let reader = PostgresReader::open(&none).await.unwrap();
    assert_eq!(reader.frontier().await.unwrap().size(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_let_us_in_says_why() {
    let Some(server) = server("servers that refuse").await else {
        return;
    };
    let good = server.fresh().unwrap();
    let nowhere = at(&good, "jitney-pg-", "jitney-no-");
    assert_eq!(code(&nowhere).await, "ledger_unreachable");
    assert_eq!(
        code(&at(&good, "jitney@", "nobody@")).await,
        "ledger_refused"
    );
    assert_eq!(
        code(&at(&good, "/postgres?", "/none?")).await,
        "ledger_refused"
    );
    let bad = PostgresOptions {
        connections: 0,
        ..good.clone()
    };
    assert_eq!(code(&bad).await, "ledger_option_bad");

    let name = format!("ascii_{}", good.schema);
    let make = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    shell(server, format!("CREATE DATABASE {name} {make}")).await;
    let ascii = at(&good, "/postgres?", &format!("/{name}?"));
    assert_eq!(code(&ascii).await, "ledger_encoding");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_without_power_is_refused() {
    if server("servers that forget").await.is_none() {
        return;
    }
    let server = Server::start("-c fsync=off").await.unwrap();
    let options = server.fresh().unwrap();
    assert_eq!(code(&options).await, "ledger_not_durable");
    assert_eq!(
        posture(&options).await.unwrap_err().code(),
        "ledger_not_durable"
    );
}

/// What the server waits for by default is an operator's matter for other programs; a ledger's
/// commits wait for the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_wait_for_the_disk_whatever_is_usual_on_the_server() {
    if server("servers in a hurry").await.is_none() {
        return;
    }
    for (usual, ours) in [
        ("off", "on"),
        ("local", "on"),
        ("remote_apply", "remote_apply"),
    ] {
        let server = Server::start(&format!("-c synchronous_commit={usual}"))
            .await
            .unwrap();
        let posture = posture(&server.fresh().unwrap()).await.unwrap();
        assert_eq!(posture.synchronous_commit, ours, "{usual}");
        assert!(posture.fsync && !posture.in_recovery);
        assert_eq!(posture.concerns(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_read_and_not_written() {
    let Some(server) = own_server("standbys").await else {
        return;
    };
    let options = server.fresh().unwrap();
    let [ledger] = brokers::<1>(&options).await;
    ledger.commit(saying(1)).await.unwrap();
    server.stop().unwrap();
    fs::write(server.socket_folder().join("data/standby.signal"), "").unwrap();
    server.start_again().await.unwrap();
    assert_eq!(code(&options).await, "ledger_standby");
    let reader = PostgresReader::open(&options).await.unwrap();
    assert_eq!(reader.frontier().await.unwrap().size(), 1);
    // The broker that was writing to what is a standby now.
    let outcome = ledger.commit(saying(2)).await;
    assert!(outcome.unwrap_err().to_string().contains("standby"));
}
