//! A lease while its command runs: beats, renewals, and what happens when they are not heard.

use std::time::Duration;

use jiff::SignedDuration;
use jitney_api::{Problem, ProblemCode};
use nix::sys::signal::Signal;

use crate::broker::{Broker, CANARY, Fault};
use crate::endpoint::Endpoint;
use crate::wrapper::{Job, WAIT};

const BEAT: &str = "POST /v1/leases/{id}/heartbeat";
const RENEW: &str = "POST /v1/leases/{id}/renew";

#[tokio::test(flavor = "multi_thread")]
async fn beats_come_as_often_as_the_broker_needs_and_carry_proof_of_life() {
    let broker = Broker::start().await;
    broker.world().next_within_seconds = 1;
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    broker
        .until(|world| world.leases.values().any(|lease| lease.beats >= 5))
        .await;
    {
        let world = broker.world();
        let lease = world.only_lease();
        // The first and the fifth carried a token of their own; the others did not.
        assert!(lease.beats_with_token >= 2 && lease.beats_with_token < lease.beats);
        assert_eq!(
            world.tokens_used.len(),
            1,
            "a token of a beat is not exchanged"
        );
    }
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_we_are_killed_the_broker_hears_nothing_more() {
    let broker = Broker::start().await;
    broker.world().next_within_seconds = 1;
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = Endpoint::of(&run).await;
    broker.until(|world| world.only_lease().beats >= 1).await;
    run.signal(Signal::SIGKILL);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let beats = broker.world().only_lease().beats;
    assert!(
        tokio::net::TcpStream::connect(&endpoint.host)
            .await
            .is_err()
    );
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(broker.world().only_lease().beats, beats);
    // The command is nobody's child now, and has an end of its own.
    run.touch("go");
    assert_eq!(run.end().await.code, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_renewed_when_two_thirds_are_over_and_the_new_credential_served() {
    let broker = Broker::start().await;
    broker.world().ttl = SignedDuration::from_secs(3);
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = Endpoint::of(&run).await;
    let first = endpoint.ask().await.json();
    assert_eq!(first["SecretAccessKey"], format!("{CANARY}-secret-0"));
    broker.until(|world| world.only_lease().renewals == 2).await;
    assert_eq!(broker.world().only_lease().state, "active");
    let mut second = endpoint.ask().await.json();
    for _ in 0..100 {
        if second["AccessKeyId"] == "ASIA2" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        second = endpoint.ask().await.json();
    }
    assert_eq!(second["SecretAccessKey"], format!("{CANARY}-secret-2"));
    assert!(second["Expiration"].as_str() > first["Expiration"].as_str());
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_ends_before_its_lease_is_renewed_in_time() {
    let broker = Broker::start().await;
    broker.world().credential_ttl = SignedDuration::from_secs(2);
    // The renewal begins before the credential's end and comes after it: askers wait for it.
    broker.fault(RENEW, Fault::Slow(Duration::from_millis(1200)));
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = Endpoint::of(&run).await;
    let mut keys = Vec::new();
    for _ in 0..35 {
        let answer = endpoint.ask().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        keys.push(answer.json()["AccessKeyId"].as_str().unwrap().to_owned());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    keys.dedup();
    assert_eq!(keys[..2], ["ASIA0", "ASIA1"]);
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asker_is_not_kept_longer_than_it_would_wait() {
    let broker = Broker::start().await;
    broker.world().credential_ttl = SignedDuration::from_secs(2);
    broker.fault(RENEW, Fault::Slow(Duration::from_secs(6)));
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = Endpoint::of(&run).await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let asked = std::time::Instant::now();
    let answer = endpoint.ask().await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["code"], "RefreshPending");
    assert!(asked.elapsed() < Duration::from_secs(2));
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_askers_cost_the_broker_no_more_than_one() {
    let broker = Broker::start().await;
    // Less than five minutes are left from the beginning: everybody would like a fresh one.
    broker.world().ttl = SignedDuration::from_secs(120);
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = Endpoint::of(&run).await;
    for _ in 0..50 {
        assert_eq!(endpoint.ask().await.status, 200);
    }
    assert_eq!(broker.world().count(RENEW), 0);
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_renewal_the_end_is_the_end() {
    let broker = Broker::start().await;
    {
        let mut world = broker.world();
        world.ttl = SignedDuration::from_secs(2);
        world.at_absolute_end = true;
    }
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = Endpoint::of(&run).await;
    assert_eq!(endpoint.ask().await.status, 200);
    tokio::time::sleep(Duration::from_millis(2300)).await;
    let answer = endpoint.ask().await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.body.contains("its time is up"), "{answer:?}");
    run.touch("go");
    let ended = run.end().await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("no renewal passes"), "{ended:?}");
    // It was told once that there is no more, and did not ask again.
    assert_eq!(broker.world().count(RENEW), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn static_variables_are_not_renewed_beyond_their_own_end() {
    let broker = Broker::start().await;
    {
        let mut world = broker.world();
        world.ttl = SignedDuration::from_secs(2);
        world.credential_ttl = SignedDuration::from_secs(2);
    }
    let job = Job::new(&broker).args(&["--env"]);
    let ended = job.sh("sleep 3").end().await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(broker.world().count(RENEW), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_for_a_while_disturbs_nobody() {
    let broker = Broker::start().await;
    broker.world().next_within_seconds = 2;
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 9"));
    let endpoint = Endpoint::of(&run).await;
    broker.until(|world| world.only_lease().beats >= 1).await;
    broker.world().away = true;
    let calls = broker.world().count(BEAT);
    broker.until(|world| world.count(BEAT) >= calls + 2).await;
    assert_eq!(endpoint.ask().await.status, 200, "served from memory");
    broker.world().away = false;
    let beats = broker.world().only_lease().beats;
    broker.until(|world| world.only_lease().beats > beats).await;
    run.touch("go");
    let ended = run.end().await;
    assert_eq!(ended.code, Some(9), "{ended:?}");
    assert!(ended.stderr.contains("did not answer"), "{ended:?}");
    assert!(ended.stderr.contains("hears this job again"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stays_away_is_told_and_the_command_runs_on() {
    let broker = Broker::start().await;
    broker.world().next_within_seconds = 1;
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 9"));
    run.file("env").await;
    broker.until(|world| world.only_lease().beats >= 1).await;
    broker.world().away = true;
    tokio::time::sleep(Duration::from_millis(1800)).await;
    run.touch("go");
    let ended = run.end().await;
    assert_eq!(ended.code, Some(9), "{ended:?}");
    assert!(
        ended.stderr.contains("has not heard from this job"),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains("could not be given back"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_kill_a_lost_broker_ends_the_command() {
    let broker = Broker::start().await;
    broker.world().next_within_seconds = 1;
    let run = Job::new(&broker)
        .args(&["--kill"])
        .sh(&format!("{WAIT} exit 9"));
    run.file("env").await;
    broker.until(|world| world.only_lease().beats >= 1).await;
    broker.world().away = true;
    let ended = run.end().await;
    assert_eq!(ended.code, Some(69), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_kill_a_lost_lease_ends_the_command() {
    let broker = Broker::start().await;
    broker.world().next_within_seconds = 1;
    let run = Job::new(&broker)
        .args(&["--kill"])
        .sh(&format!("{WAIT} exit 9"));
    run.file("env").await;
    broker.world().end("killed");
    let ended = run.end().await;
    assert_eq!(ended.code, Some(77), "{ended:?}");
    assert!(ended.stderr.contains("an operator ended it"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_is_tried_again_before_the_end() {
    let broker = Broker::start().await;
    broker.world().ttl = SignedDuration::from_secs(6);
    broker.fault(RENEW, Fault::Gateway);
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = Endpoint::of(&run).await;
    broker.until(|world| world.only_lease().renewals == 1).await;
    assert_eq!(broker.world().only_lease().state, "active");
    assert_eq!(endpoint.ask().await.status, 200);
    run.touch("go");
    let ended = run.end().await;
    assert!(ended.stderr.contains("was not renewed"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_renewal_brings_proof_that_the_job_lives() {
    let broker = Broker::start().await;
    broker.world().ttl = SignedDuration::from_secs(2);
    broker.world().unproved = Some(SignedDuration::from_secs(2));
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    broker
        .until(|world| world.leases.values().any(|lease| lease.renewals >= 3))
        .await;
    {
        let world = broker.world();
        let lease = world.only_lease();
        assert_eq!(lease.renewals_with_token, lease.renewals);
        assert!(lease.ends_at > lease.granted_at + SignedDuration::from_secs(3));
        assert_eq!(
            world.tokens_used.len(),
            1,
            "no token of a renewal is exchanged"
        );
    }
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_can_prove_nothing_is_told_and_does_not_ask_again() {
    let broker = Broker::start().await;
    // As a broker bounds a lease; the credential lasts as long.
    broker.world().ttl = SignedDuration::from_secs(3);
    broker.world().unproved = Some(SignedDuration::from_mins(15));
    let files = tempfile::tempdir().unwrap();
    let token = files.path().join("token");
    std::fs::write(&token, "ci-token-of-the-whole-job").unwrap();
    let run = Job::without_runner(&broker.url())
        .args(&["--token-file", token.to_str().unwrap()])
        .sh(&format!("{WAIT} exit 0"));
    broker
        .until(|world| world.leases.values().any(|lease| lease.renewals == 1))
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    {
        let world = broker.world();
        let lease = world.only_lease();
        assert_eq!((lease.renewals, lease.renewals_with_token), (1, 0));
        assert_eq!((lease.beats_with_token, lease.state), (0, "active"));
    }
    run.touch("go");
    let ended = run.end().await;
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stderr.contains("ends 15 minutes after its grant"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_want_of_proof_is_final_only_where_there_is_none() {
    let refusal = || Fault::Say(Problem::new(ProblemCode::NeedsProofOfLife, "show a token"));
    let broker = Broker::start().await;
    broker.world().ttl = SignedDuration::from_secs(3);
    broker.fault(RENEW, refusal());
    let run = Job::new(&broker).sh(&format!("{WAIT} exit 0"));
    // The token service may have been away for a moment: it is asked again.
    broker
        .until(|world| world.leases.values().any(|lease| lease.renewals == 1))
        .await;
    run.touch("go");
    assert!(run.end().await.stderr.contains("show a token"));

    let broker = Broker::start().await;
    broker.world().ttl = SignedDuration::from_secs(3);
    broker.fault(RENEW, refusal());
    let files = tempfile::tempdir().unwrap();
    let token = files.path().join("token");
    std::fs::write(&token, "ci-token-of-the-whole-job").unwrap();
    let run = Job::without_runner(&broker.url())
        .args(&["--token-file", token.to_str().unwrap()])
        .sh("sleep 3.5");
    let ended = run.end().await;
    assert_eq!(broker.world().count(RENEW), 1);
    assert!(
        ended.stderr.contains("ends 15 minutes after its grant"),
        "{ended:?}"
    );
}
