//! The ways out of a run: on each of them the lease is given back and the code is the right one.

use std::time::Duration;

use jitney_api::{Problem, ProblemCode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::broker::{Broker, CANARY, Fault};
use crate::wrapper::{Ended, Job, WAIT};

const ASK: &str = "POST /v1/requests";
const RELEASE: &str = "POST /v1/requests/{id}/release";
const RENEW: &str = "POST /v1/leases/{id}/renew";

fn assert_released(broker: &Broker) {
    assert_eq!(broker.world().only_lease().why, Some("released"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_own_code_comes_back_exactly() {
    for code in [0, 1, 7, 64, 77, 128, 255] {
        let broker = Broker::start().await;
        let run = Job::new(&broker).sh(&format!("echo to-stdout; exit {code}"));
        let ended = run.end().await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        // Standard output is the command's alone.
        assert_eq!(ended.stdout, "to-stdout\n");
        assert_released(&broker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_ends_the_command_is_told_as_a_shell_does() {
    let broker = Broker::start().await;
    let ended = Job::new(&broker).sh("kill -KILL $$").end().await;
    assert_eq!(ended.code, Some(128 + 9));
    assert_released(&broker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_us_ends_the_command_and_releases() {
    for (signal, code) in [
        (Signal::SIGTERM, 143),
        (Signal::SIGINT, 130),
        (Signal::SIGHUP, 129),
    ] {
        let broker = Broker::start().await;
        let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
        run.file("env").await;
        run.signal(signal);
        assert_eq!(run.end().await.code, Some(code), "{signal}");
        assert_released(&broker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_started_releases() {
    for (command, code) in [
        ("no-such-command-here", 127),
        ("/etc/passwd", 126),
        ("/", 126),
    ] {
        let broker = Broker::start().await;
        let ended = Job::new(&broker).start(&[command]).end().await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(command), "{ended:?}");
        assert_released(&broker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_the_broker_grants_releases_what_comes() {
    let broker = Broker::start().await;
    broker.fault(ASK, Fault::Slow(Duration::from_millis(800)));
    let run = Job::new(&broker).sh("echo must-not-run");
    broker.until(|world| world.count(ASK) == 1).await;
    run.signal(Signal::SIGTERM);
    let ended = run.end().await;
    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert_eq!(ended.stdout, "", "the command must not start");
    assert_released(&broker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_does_not_skip_the_release() {
    let broker = Broker::start().await;
    broker.fault(RELEASE, Fault::Slow(Duration::from_millis(700)));
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    run.file("env").await;
    run.signal(Signal::SIGINT);
    broker.until(|world| world.count(RELEASE) == 1).await;
    for _ in 0..3 {
        run.signal(Signal::SIGINT);
        run.signal(Signal::SIGTERM);
    }
    assert_eq!(run.end().await.code, Some(130));
    assert_released(&broker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_not_heard_is_tried_again_and_then_left() {
    let broker = Broker::start().await;
    broker.fault(RELEASE, Fault::Gateway);
    assert_eq!(Job::new(&broker).sh("exit 3").end().await.code, Some(3));
    assert_released(&broker);

    let broker = Broker::start().await;
    broker.fault(RELEASE, Fault::Slow(Duration::from_secs(20)));
    let ended = Job::new(&broker).sh("exit 3").end().await;
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.stderr.contains("could not be given back"),
        "{ended:?}"
    );
    assert!(ended.took < Duration::from_secs(6), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_leaves_behind_is_ended() {
    let broker = Broker::start().await;
    let script = "sleep 300 & echo $! > $DIR/pid; (trap '' TERM; echo ready > $DIR/deaf; \
                  while :; do sleep 0.1; done) & echo $! >> $DIR/pid; \
                  while [ ! -e $DIR/deaf ]; do sleep 0.02; done; exit 5";
    let run = Job::new(&broker).sh(script);
    run.file("deaf").await;
    let pids = run.file("pid").await;
    let ended = run.end().await;
    assert_eq!(ended.code, Some(5));
    let pids: Vec<i32> = pids.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    for pid in pids {
        let mut gone = false;
        for _ in 0..100 {
            gone = kill(Pid::from_raw(pid), None).is_err() || is_zombie(pid);
            if gone {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(gone, "process {pid} lives on");
    }
    assert_released(&broker);
}

fn is_zombie(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("State:\tZ")
}

async fn refused(problem: Problem) -> Ended {
    let broker = Broker::start().await;
    for _ in 0..20 {
        broker.fault(ASK, Fault::Say(problem.clone()));
    }
    let job = Job::new(&broker).args(&["--patience", "1"]);
    job.sh("echo must-not-run").end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_codes_of_their_own() {
    for (code, exit) in [
        (ProblemCode::BadScope, 64),
        (ProblemCode::OverBudget, 75),
        (ProblemCode::LedgerUnavailable, 75),
        (ProblemCode::NotGranted, 75),
        (ProblemCode::Denied, 77),
        (ProblemCode::TokenReplayed, 77),
        (ProblemCode::UnknownResource, 78),
    ] {
        let ended = refused(Problem::new(code, "so it is")).await;
        assert_eq!(ended.code, Some(exit), "{ended:?}");
        assert!(ended.stderr.contains(code.as_str()), "{ended:?}");
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_told_with_its_rule_and_cannot_act_on_the_terminal() {
    let mut problem = Problem::new(ProblemCode::Denied, "forks get nothing");
    problem.rules = vec!["guardrail-forks".to_owned()];
    problem.reasons = vec!["\u{1b}[2Jthe event is\n::error::`fork`".to_owned()];
    let ended = refused(problem).await;
    assert!(ended.stderr.contains("guardrail-forks"), "{ended:?}");
    assert!(!ended.stderr.contains('\u{1b}'), "{ended:?}");
    assert!(
        ended
            .stderr
            .lines()
            .all(|line| line.starts_with("jitney: "))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_unreachable() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "ci-token-of-a-file").unwrap();
    let file = token.path().to_str().unwrap();
    let job = Job::without_runner(&address).args(&["--token-file", file, "--patience", "1"]);
    let ended = job.sh("echo must-not-run").end().await;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.stderr.contains("broker_unreachable"), "{ended:?}");
    assert!(!ended.stderr.contains("ci-token-of-a-file"));
    assert_eq!(ended.stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_token_is_told_what_to_write_where() {
    let broker = Broker::start().await;
    let job = Job::without_runner(&broker.url()).env("GITHUB_ACTIONS", "true");
    let ended = job.sh("true").end().await;
    assert_eq!(ended.code, Some(78));
    let lines: Vec<_> = ended.stderr.lines().collect();
    let at = lines
        .iter()
        .position(|line| *line == "jitney: permissions:")
        .unwrap();
    assert_eq!(lines[at + 1], "jitney:   id-token: write");
    assert!(
        broker.world().calls.is_empty(),
        "the broker is not bothered"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_got_lost_is_one_request_and_the_lease_is_renewed_for_a_credential() {
    let broker = Broker::start().await;
    broker.fault(ASK, Fault::LoseAnswer);
    broker.fault(ASK, Fault::Gateway);
    broker.fault(RENEW, Fault::Gateway);
    let ended = Job::new(&broker)
        .args(&["--env"])
        .sh("echo $AWS_SECRET_ACCESS_KEY")
        .end()
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, format!("{CANARY}-secret-1\n"));
    let world = broker.world();
    assert_eq!((world.requests.len(), world.count(ASK)), (1, 3));
    // A fresh token for each of the two attempts that reached the broker.
    assert_eq!(world.tokens_used.len(), 2);
    drop(world);
    assert_released(&broker);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_broker_knows_lost_is_asked_for_anew() {
    let broker = Broker::start().await;
    broker.fault(ASK, Fault::Undelivered);
    let ended = Job::new(&broker).sh("exit 3").end().await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let world = broker.world();
    let whys: Vec<_> = world.leases.values().map(|lease| lease.why).collect();
    assert_eq!(whys, [Some("undelivered"), Some("released")]);
    assert_eq!((world.requests.len(), world.count(ASK)), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_service_that_stumbles_is_asked_again() {
    let broker = Broker::start().await;
    broker.fault("GET /github/token", Fault::Gateway);
    broker.fault("GET /github/token", Fault::LoseAnswer);
    let ended = Job::new(&broker).sh("exit 3").end().await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(broker.world().count(ASK), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_cannot_be_used_is_given_back() {
    let broker = Broker::start().await;
    broker.world().kind = "telepathy";
    let ended = Job::new(&broker).sh("echo must-not-run").end().await;
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("telepathy"), "{ended:?}");
    assert_released(&broker);

    let broker = Broker::start().await;
    broker.world().targets = vec!["prod", "staging"];
    let ended = Job::new(&broker).sh("echo must-not-run").end().await;
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("`prod`") && ended.stderr.contains("`staging`"));
    let world = broker.world();
    assert!(
        world
            .leases
            .values()
            .all(|lease| lease.why == Some("released"))
    );
}
