//! Waiting until a lease is in force: the command starts when the cloud accepts its credential, and
//! otherwise not at all.

use nix::sys::signal::Signal;

use crate::broker::{Broker, CANARY, Fault};
use crate::world::no;
use crate::wrapper::{Ended, Job};
use jitney_api::ProblemCode;

const PROBE: &str = "POST /v1/leases/{id}/probe";

fn assert_not_started(broker: &Broker, ended: &Ended, code: i32, said: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "", "the command must not start");
    assert!(ended.stderr.contains(said), "{ended:?}");
    assert_eq!(broker.world().only_lease().why, Some("released"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_starts_when_the_cloud_accepts() {
    let broker = Broker::start().await;
    broker.world().probes = ["refused", "unknown", "refused"].into();
    let job = Job::new(&broker).args(&["--wait-effective"]);
    let ended = job.sh("echo runs").end().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "runs\n"));
    let said = &ended.stderr;
    assert!(
        said.contains("not in force yet, 0 s; the cloud says up to 2 minutes"),
        "{said}"
    );
    assert!(said.contains("is in force, after"), "{said}");
    assert!(!said.contains(CANARY), "{said}");
    assert_eq!(broker.world().count(PROBE), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_who_does_not_ask_to() {
    let broker = Broker::start().await;
    broker.world().probes_end_with = "refused";
    let ended = Job::new(&broker).sh("echo runs").end().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "runs\n"));
    assert_eq!(broker.world().count(PROBE), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_whose_credentials_work_at_once_is_not_waited_for() {
    let broker = Broker::start().await;
    broker.world().in_force_within_seconds = 0;
    broker.world().probes_end_with = "cannot-tell";
    let job = Job::new(&broker).args(&["--wait-effective"]);
    let ended = job.sh("echo runs").end().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "runs\n"));
    assert!(ended.stderr.contains("is in force: "), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_bound_the_lease_is_given_back() {
    for (answer, said) in [
        ("refused", "the cloud refuses the credential"),
        (
            "unknown",
            "there is no clear answer: because of the weather",
        ),
    ] {
        let broker = Broker::start().await;
        broker.world().probes_end_with = answer;
        let job = Job::new(&broker).args(&["--wait-at-most", "2"]);
        let ended = job.sh("echo must-not-run").end().await;
        assert_not_started(&broker, &ended, 75, said);
        assert!(ended.stderr.contains("not in force after 2 s"), "{ended:?}");
        assert!(ended.took.as_secs() < 8, "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bound_the_clouds_own_word_is_one() {
    let broker = Broker::start().await;
    broker.world().probes_end_with = "refused";
    broker.world().in_force_within_seconds = 1;
    let job = Job::new(&broker).args(&["--wait-effective"]);
    let ended = job.sh("echo must-not-run").end().await;
    assert_not_started(&broker, &ended, 75, "not in force after 1 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_not_taken_for_a_yes() {
    let broker = Broker::start().await;
    broker.world().probes_end_with = "cannot-tell";
    let job = Job::new(&broker).args(&["--wait-effective"]);
    let ended = job.sh("echo must-not-run").end().await;
    assert_not_started(
        &broker,
        &ended,
        78,
        "cannot be told: because of the weather",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_for_a_while_is_asked_again_and_one_that_cannot_is_named() {
    let broker = Broker::start().await;
    broker.fault(PROBE, Fault::Gateway);
    broker.fault(PROBE, Fault::LoseAnswer);
    let job = Job::new(&broker).args(&["--wait-effective"]);
    let ended = job.sh("echo runs").end().await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "runs\n"),
        "{ended:?}"
    );
    let broker = Broker::start().await;
    broker.fault(PROBE, Fault::Say(*no(ProblemCode::NotFound)));
    let job = Job::new(&broker).args(&["--wait-effective"]);
    let ended = job.sh("echo must-not-run").end().await;
    assert_not_started(&broker, &ended, 78, "leave `--wait-effective` out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_it_waits_gives_the_lease_back() {
    let broker = Broker::start().await;
    broker.world().probes_end_with = "refused";
    let run = Job::new(&broker)
        .args(&["--wait-effective"])
        .sh("echo must-not-run");
    broker.until(|world| world.count(PROBE) > 1).await;
    run.signal(Signal::SIGTERM);
    let ended = run.end().await;
    assert_not_started(&broker, &ended, 143, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ends_while_it_waits_is_told() {
    let broker = Broker::start().await;
    broker.world().probes_end_with = "refused";
    let run = Job::new(&broker)
        .args(&["--wait-effective"])
        .sh("echo must-not-run");
    broker.until(|world| world.count(PROBE) > 0).await;
    broker.world().end("killed");
    let ended = run.end().await;
    assert_eq!(ended.stdout, "", "the command must not start");
    assert_eq!(ended.code, Some(77), "{ended:?}");
}
