//! Commits whose answer does not come: what happened is found out, and what cannot be found out is
//! called unknown, never *no*.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jitney_core::ledger::{CommitError, Ledger, Row, Transaction};
use jitney_integration_tests::postgres::Server;
use jitney_ledger_postgres::PostgresLedger;
use sqlx::Row as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::proxy::{Loses, Network};
use super::sample::{brokers, lane, lease, own_server, said, saying, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_looked_up() {
    let Some(server) = server("lost answers").await else {
        return;
    };
    let options = server.fresh().unwrap();
    let network = Network::to(server).await;
    let [ledger] = brokers::<1>(&network.through(&options)).await;
    let mut expected = Vec::new();
    for (number, loses) in [
        Loses::Nothing,
        Loses::Answer,
        Loses::Commit,
        Loses::Answer,
        Loses::Nothing,
    ]
    .into_iter()
    .enumerate()
    {
        network.loses(loses);
        let outcome = ledger.commit(saying(number)).await;
        if loses == Loses::Commit {
            assert!(
                matches!(outcome, Err(CommitError::Unavailable(_))),
                "{outcome:?}"
            );
        } else {
            expected.push(number.to_string());
            assert_eq!(outcome, Ok(expected.len() as u64), "{loses:?}");
        }
        assert_eq!(said(&*ledger).await, expected);
    }
    assert_eq!(network.lost(), 3);
}

/// The lost commit's number is this broker's own: what another commits in between is not it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anothers_commit_is_not_taken_for_the_lost_one() {
    let Some(server) = server("lost commits beside another broker").await else {
        return;
    };
    let options = server.fresh().unwrap();
    let network = Network::to(server).await;
    let [ledger] = brokers::<1>(&network.through(&options)).await;
    let [other] = brokers::<1>(&options).await;
    let stop = Arc::new(AtomicBool::new(false));
    let busy = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            while !stop.load(Ordering::SeqCst) {
                other.commit(saying("other")).await.unwrap();
            }
        }
    });
    for number in 0..10 {
        network.loses(Loses::Commit);
        let outcome = ledger.commit(saying(number)).await;
        assert!(
            matches!(outcome, Err(CommitError::Unavailable(_))),
            "{outcome:?}"
        );
    }
    stop.store(true, Ordering::SeqCst);
    busy.await.unwrap();
    assert!(said(&*ledger).await.iter().all(|words| words == "other"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_looked_up_is_unknown() {
    let Some(server) = server("commits whose outcome is unknown").await else {
        return;
    };
    let options = server.fresh().unwrap();
    let network = Network::to(server).await;
    let [ledger] = brokers::<1>(&network.through(&options)).await;
    network.loses(Loses::AnswerAndEverything);
    let outcome = ledger.commit(saying("lost")).await;
    assert!(
        matches!(outcome, Err(CommitError::Unknown(_))),
        "{outcome:?}"
    );
    // While nobody reaches the server, what was not tried is certain.
    let outcome = ledger.commit(saying("not tried")).await;
    assert!(
        matches!(outcome, Err(CommitError::Unavailable(_))),
        "{outcome:?}"
    );
    network.loses(Loses::Nothing);
    assert_eq!(ledger.commit(saying("after")).await, Ok(2));
    assert_eq!(said(&*ledger).await, ["lost", "after"]);
}

/// The server has it on its own disk and waits for a standby. Nobody sees it meanwhile; whoever
/// looked without the lock would take it for not applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_no_standby_has_is_not_called_committed() {
    let Some(server) = own_server("commits that wait for a standby").await else {
        return;
    };
    let [ledger] = brokers::<1>(&server.fresh().unwrap()).await;
    ledger.commit(saying("before")).await.unwrap();
    set(&server, "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    let outcome = ledger.commit(saying("waiting")).await;
    assert!(
        matches!(outcome, Err(CommitError::Unknown(_))),
        "{outcome:?}"
    );
    set(&server, "ALTER SYSTEM RESET synchronous_standby_names").await;
    assert_eq!(ledger.commit(saying("after")).await, Ok(3));
    assert_eq!(said(&*ledger).await, ["before", "waiting", "after"]);
}

async fn set(server: &Server, setting: &'static str) {
    let mut connection = server.connect().await.unwrap();
    sqlx::raw_sql(setting)
        .execute(&mut connection)
        .await
        .unwrap();
    let reload = "SELECT pg_reload_conf()";
    sqlx::raw_sql(reload)
        .execute(&mut connection)
        .await
        .unwrap();
    sleep(Duration::from_millis(300)).await;
}

/// Ends every session of our brokers; gives how many there were.
async fn terminate(server: &Server) -> i64 {
    let mut connection = server.connect().await.unwrap();
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE application_name LIKE 'jitney %'";
    let ended = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
    ended.get(0)
}

type Answers = Vec<(String, Result<u64, CommitError>)>;

/// Writers who go on until they are stopped, and remember what they were answered.
struct Writers {
    stop: Arc<AtomicBool>,
    /// How many commits were acknowledged.
    taken: Arc<AtomicU64>,
    tasks: JoinSet<Answers>,
}

impl Writers {
    fn start(ledgers: &[Arc<PostgresLedger>], round: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let taken = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for writer in 0..8 {
            let ledger = Arc::clone(&ledgers[writer % ledgers.len()]);
            let (stop, taken) = (Arc::clone(&stop), Arc::clone(&taken));
            tasks.spawn(async move {
                let mut answers = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let words = format!("{round} {writer} {}", answers.len());
                    let answer = ledger.commit(saying(&words)).await;
                    taken.fetch_add(answer.is_ok().into(), Ordering::SeqCst);
                    answers.push((words, answer));
                }
                answers
            });
        }
        Self { stop, taken, tasks }
    }

    /// Waits until something more was acknowledged.
    async fn go_on(&self) {
        let before = self.taken.load(Ordering::SeqCst);
        while self.taken.load(Ordering::SeqCst) == before {
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn stop(self) -> Answers {
        self.stop.store(true, Ordering::SeqCst);
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_ended_at_any_moment_make_no_answer_untrue() {
    let Some(server) = own_server("sessions that are ended").await else {
        return;
    };
    let ledgers = brokers::<2>(&server.fresh().unwrap()).await;
    let writers = Writers::start(&ledgers, 0);
    let mut ended = 0;
    for round in 0..60_u64 {
        writers.go_on().await;
        sleep(Duration::from_micros(round * 131 % 5_000)).await;
        ended += terminate(&server).await;
    }
    assert!(ended > 30, "only {ended} sessions were ended");
    let answers = writers.stop().await;
    agrees(&ledgers[0], &answers).await;
}

/// That what was answered is what is there.
async fn agrees(ledger: &PostgresLedger, answers: &Answers) {
    let mut said_times: HashMap<String, usize> = HashMap::new();
    for words in said(ledger).await {
        *said_times.entry(words).or_default() += 1;
    }
    let mut taken = 0;
    for (words, answer) in answers {
        let count = said_times.get(words).copied().unwrap_or(0);
        match answer {
            Ok(_) => assert_eq!(count, 1, "{words} was acknowledged"),
            Err(CommitError::Unavailable(why)) => assert_eq!(count, 0, "{words} was not: {why}"),
            Err(CommitError::Unknown(_)) => assert!(count <= 1),
            Err(other) => panic!("{other:?}"),
        }
        taken += count;
    }
    assert_eq!(said_times.values().sum::<usize>(), taken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_and_comes_back_has_all_that_was_acknowledged() {
    let Some(server) = own_server("a server that crashes").await else {
        return;
    };
    let ledgers = brokers::<1>(&server.fresh().unwrap()).await;
    let mut answers = Vec::new();
    for round in 0..3 {
        let writers = Writers::start(&ledgers, round);
        writers.go_on().await;
        sleep(Duration::from_millis(100)).await;
        server.crash().unwrap();
        sleep(Duration::from_millis(300)).await;
        server.start_again().await.unwrap();
        writers.go_on().await;
        answers.extend(writers.stop().await);
        let words = format!("after {round}");
        let answer = ledgers[0].commit(saying(&words)).await;
        assert!(answer.is_ok(), "{answer:?}");
        answers.push((words, answer));
    }
    agrees(&ledgers[0], &answers).await;
}

/// A failover to a standby that lagged: the entries are fewer than were acknowledged. To build on
/// them would give two histories of one log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_went_back_in_time_under_a_broker_takes_nothing() {
    let Some(server) = server("a ledger that went back in time").await else {
        return;
    };
    let options = server.fresh().unwrap();
    let [ledger] = brokers::<1>(&options).await;
    ledger.commit(saying(1)).await.unwrap();
    let frontier = ledger.frontier().await.unwrap().to_bytes();
    ledger.commit(saying(2)).await.unwrap();
    let mut connection = server.connect().await.unwrap();
    let schema = &options.schema;
    let back = format!("DELETE FROM {schema}.entries WHERE idx = 1");
    sqlx::raw_sql(sqlx::AssertSqlSafe(back))
        .execute(&mut connection)
        .await
        .unwrap();
    let back = format!("UPDATE {schema}.log SET frontier = $1");
    let back = sqlx::query(sqlx::AssertSqlSafe(back)).bind(frontier);
    back.execute(&mut connection).await.unwrap();
    let Err(CommitError::Unavailable(words)) = ledger.commit(saying(3)).await else {
        panic!("it was taken")
    };
    assert!(
        words.contains("gone back in time: it held 2 audit entries and now holds 1"),
        "{words}"
    );
    // A broker that starts now knows nothing of what was. That is for core to notice, in the
    // clouds.
    let [ledger] = brokers::<1>(&options).await;
    assert_eq!(ledger.commit(saying(4)).await, Ok(2));
}

/// The same, and another broker wrote on before this one was heard of again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_went_back_and_grew_anew_under_a_broker_takes_nothing_from_it() {
    let Some(server) = server("a ledger that went back and grew anew").await else {
        return;
    };
    for behind in [1, 3] {
        let options = server.fresh().unwrap();
        let [ledger, other] = brokers::<2>(&options).await;
        ledger.commit(saying(1)).await.unwrap();
        let frontier = ledger.frontier().await.unwrap().to_bytes();
        ledger.commit(saying(2)).await.unwrap();
        let mut connection = server.connect().await.unwrap();
        let schema = &options.schema;
        let back = format!("DELETE FROM {schema}.entries WHERE idx = 1");
        sqlx::raw_sql(sqlx::AssertSqlSafe(back))
            .execute(&mut connection)
            .await
            .unwrap();
        let back = format!("UPDATE {schema}.log SET frontier = $1");
        let back = sqlx::query(sqlx::AssertSqlSafe(back)).bind(frontier);
        back.execute(&mut connection).await.unwrap();
        // As many entries as it knows of, or more, and others.
        for number in 0..behind {
            other.commit(saying(100 + number)).await.unwrap();
        }
        let Err(CommitError::Unavailable(words)) = ledger.commit(saying(3)).await else {
            panic!("it was taken")
        };
        assert!(words.contains("has grown anew since"), "{words}");
        // The other one knows of nothing else.
        other.commit(saying(200)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_that_locks_the_log_stops_writing_and_not_reading() {
    let Some(server) = server("a log that is locked").await else {
        return;
    };
    let options = server.fresh().unwrap();
    let [ledger] = brokers::<1>(&options).await;
    ledger.commit(saying(1)).await.unwrap();
    let mut shell = server.connect().await.unwrap();
    let lock = format!("BEGIN; SELECT * FROM {}.log FOR UPDATE", options.schema);
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock))
        .execute(&mut shell)
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { ledger.commit(saying(2)).await }
    });
    sleep(Duration::from_millis(200)).await;
    let reading = timeout(Duration::from_secs(5), said(&*ledger)).await;
    assert_eq!(reading.unwrap(), ["1"]);
    let outcome = waiting.await.unwrap();
    let Err(CommitError::Unavailable(words)) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(words.contains("keeps it locked"), "{words}");
    sqlx::raw_sql("ROLLBACK").execute(&mut shell).await.unwrap();
    assert_eq!(ledger.commit(saying(3)).await, Ok(2));
}

/// Whoever writes past the lock, a person in a shell, is not built upon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_past_the_lock_stops_the_batch() {
    let Some(server) = server("writes past the lock").await else {
        return;
    };
    let options = server.fresh().unwrap();
    let [ledger] = brokers::<1>(&options).await;
    ledger.commit(saying(1)).await.unwrap();
    let mut shell = server.connect().await.unwrap();
    let entry = format!("INSERT INTO {}.entries VALUES (1, 'x')", options.schema);
    sqlx::raw_sql(sqlx::AssertSqlSafe(entry))
        .execute(&mut shell)
        .await
        .unwrap();
    let outcome = ledger.commit(saying(2)).await;
    let Err(CommitError::Unavailable(words)) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(words.contains("wrote past the brokers"), "{words}");
    assert!(!words.contains("'x'"), "{words}");
}

/// The same while the batch is being decided: it reads a version that is no longer there when it is
/// written over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_was_changed_past_the_lock_is_not_written_over() {
    let Some(server) = server("versions changed past the lock").await else {
        return;
    };
    let options = server.fresh().unwrap();
    let [ledger] = brokers::<1>(&options).await;
    let first = lease(&lane("a"));
    let of = |row: &Row| Transaction {
        rows: vec![row.clone()],
        ..Transaction::default()
    };
    ledger.commit(of(&first)).await.unwrap();
    let mut shell = server.connect().await.unwrap();
    let change = format!("BEGIN; UPDATE {}.rows SET version = 2", options.schema);
    let change = sqlx::AssertSqlSafe(change);
    sqlx::raw_sql(change).execute(&mut shell).await.unwrap();
    let next = Row {
        version: 2,
        ..first
    };
    let writing = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        let next = of(&next);
        async move { ledger.commit(next).await }
    });
    sleep(Duration::from_millis(500)).await;
    sqlx::raw_sql("COMMIT").execute(&mut shell).await.unwrap();
    let outcome = writing.await.unwrap();
    let Err(CommitError::Unavailable(words)) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(words.contains("does not take the brokers' lock"), "{words}");
    let outcome = ledger.commit(of(&next)).await;
    assert_eq!(outcome, Err(CommitError::Conflict(next.id)));
}
