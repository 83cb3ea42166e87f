//! Jobs that go silent, jobs that are heard, and brokers that cannot hear.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jitney_core::audit::SigningKey;
use jitney_core::books::FoundLease;
use jitney_core::id::LeaseId;
use jitney_core::lease::{End, Outcome};
use jitney_core::usecase::{Core, Proof, Submission};
use jitney_integration_tests::fixtures::{PROD, PROD_SCOPE, SILENCE, ask, proof};

use crate::ports::{Around, BadCommit, Shared, broker_with};
use crate::{outcome, seconds, submit, wish, world};

#[tokio::test]
async fn a_silent_job_loses_its_lease_after_its_silence_and_not_sooner() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, wish()).await;
    let (lease, _) = grant.only();
    world.clock.pass(SILENCE - seconds(1));
    world.turn(&core).await;
    assert_eq!(world.lease(lease).await.state(), "active");
    world.clock.pass(seconds(1));
    world.turn(&core).await;
    assert_eq!(world.lease(lease).await.state(), "revoking");
    world.live_out(&core).await;
    let ended = world.lease(lease).await;
    let Some(Outcome::Revoked { why, .. }) = outcome(&ended) else {
        panic!("{ended:?}");
    };
    assert_eq!(*why, End::Silent);
}

#[tokio::test]
async fn beats_keep_a_lease_alive_at_few_commits() {
    let (world, _folder) = world();
    let counter = BadCommit::counting();
    let around: Arc<dyn Around> = counter.clone();
    let core = broker_with(&world, "a", &around);
    let grant = submit(&core, wish()).await;
    let (lease, secret) = grant.only();
    let before = counter.commits();
    let heard_for = 600;
    for second in 0..heard_for {
        if second % 15 == 0 {
            let beat = core.beat(lease, &proof("key")).await.unwrap();
            assert_eq!((beat.state, beat.silence), ("active", SILENCE));
        }
        if second % 5 == 0 {
            world.turn(&core).await;
        }
        world.clock.pass(seconds(1));
    }
    assert!(world.cloud(PROD).would_allow(secret));
    let commits = counter.commits() - before;
    let most = heard_for / (SILENCE.as_secs() - 15) + 1;
    assert!(commits <= most, "{commits} commits in {heard_for} s");
    assert!(
        commits > 0,
        "what was heard must be written down in the end"
    );
    // Then the job is killed, and is silent.
    world.live(&core, SILENCE + seconds(10)).await;
    assert!(!world.cloud(PROD).would_allow(secret));
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_broker_that_could_not_hear_blames_no_job() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, wish()).await;
    let (lease, _) = grant.only();
    world.clock.pass(seconds(300));
    // It slept, and hears again from now on.
    core.pulse.ready(world.now());
    world.turn(&core).await;
    assert_eq!(world.lease(lease).await.state(), "active");
    // A restart is no different: it knows of no beats, and could have heard none.
    world.clock.pass(seconds(100));
    let restarted = world.broker("b");
    world.turn(&restarted).await;
    assert_eq!(world.lease(lease).await.state(), "active");
    world.clock.pass(SILENCE - seconds(1));
    world.turn(&restarted).await;
    assert_eq!(world.lease(lease).await.state(), "active");
    world.clock.pass(seconds(1));
    world.live_out(&restarted).await;
    let ended = world.lease(lease).await;
    assert!(matches!(
        outcome(&ended),
        Some(Outcome::Revoked {
            why: End::Silent,
            ..
        })
    ));
}

#[tokio::test]
async fn a_beat_does_not_bring_an_ended_lease_back() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let grant = submit(&core, wish()).await;
    let (lease, _) = grant.only();
    core.release(lease, &proof("key")).await.unwrap();
    let beat = core.beat(lease, &proof("key")).await.unwrap();
    assert_eq!((beat.state, beat.ends_at), ("revoking", None));
    world.live_out(&core).await;
    let beat = core.beat(lease, &proof("key")).await.unwrap();
    assert_eq!((beat.state, beat.ends_at), ("ended", None));
}

#[tokio::test]
async fn a_beat_is_heard_by_brokers_that_it_was_not_sent_to() {
    let (world, _folder) = world();
    let around: Arc<dyn Around> = Arc::new(Shared::default());
    let (one, other) = (
        broker_with(&world, "a", &around),
        broker_with(&world, "b", &around),
    );
    let grant = submit(&one, wish()).await;
    let (lease, secret) = grant.only();
    for second in 0..300 {
        if second % 15 == 0 {
            one.beat(lease, &proof("key")).await.unwrap();
        }
        // The other one drives the lane, and hears nothing.
        world.turn(&other).await;
        world.turn(&one).await;
        world.clock.pass(seconds(1));
    }
    assert!(world.cloud(PROD).would_allow(secret));
    world.live(&other, SILENCE + seconds(10)).await;
    assert!(!world.cloud(PROD).would_allow(secret));
}

/// What a broker dies with, nobody knows. Wherever in a silence it dies, the job's next beat comes to
/// another one, a little late, and in time.
#[tokio::test]
async fn a_broker_that_dies_with_beats_in_memory_costs_no_job_its_lease() {
    for died_at in 0..=50 {
        let (world, _folder) = world();
        let around: Arc<dyn Around> = Arc::new(Shared::default());
        let (one, other) = (
            broker_with(&world, "a", &around),
            broker_with(&world, "b", &around),
        );
        let grant = submit(&one, wish()).await;
        let (lease, secret) = grant.only();
        for second in 0..200 {
            let (to, late) = if second > died_at {
                (&other, 2)
            } else {
                (&one, 0)
            };
            if second >= 15 && second % 15 == late {
                to.beat(lease, &proof("key")).await.unwrap();
            }
            if second < died_at {
                world.turn(&one).await;
            }
            world.turn(&other).await;
            world.clock.pass(seconds(1));
        }
        let lives = world.cloud(PROD).would_allow(secret);
        assert!(lives, "the broker that heard died after {died_at} s");
        world.live(&other, SILENCE + seconds(10)).await;
        assert!(!world.cloud(PROD).would_allow(secret));
        world.live_out(&other).await;
    }
}

/// The other way round: a silent job is silent for every broker after the same time.
#[tokio::test]
async fn silence_is_noticed_in_time_by_brokers_that_heard_nothing() {
    let (world, _folder) = world();
    let around: Arc<dyn Around> = Arc::new(Shared::default());
    let (one, other) = (
        broker_with(&world, "a", &around),
        broker_with(&world, "b", &around),
    );
    let grant = submit(&one, wish()).await;
    let (lease, _) = grant.only();
    for second in 0..=90 {
        if second % 15 == 0 {
            one.beat(lease, &proof("key")).await.unwrap();
        }
        world.turn(&one).await;
        world.turn(&other).await;
        world.clock.pass(seconds(1));
    }
    // A second of it is over. The broker that heard dies.
    world.live(&other, SILENCE - seconds(2)).await;
    assert_eq!(world.lease(lease).await.state(), "active");
    world.live(&other, seconds(6)).await;
    assert_eq!(world.lease(lease).await.state(), "revoking");
    world.live_out(&other).await;
}

/// What another broker heard cannot be known while the ledger cannot be read.
#[tokio::test]
async fn a_broker_that_could_not_read_what_others_heard_blames_no_job() {
    let (world, _folder) = world();
    let dark = Arc::new(Shared::default());
    let around: Arc<dyn Around> = dark.clone();
    let other = broker_with(&world, "b", &around);
    let grant = submit(&other, wish()).await;
    let (lease, _) = grant.only();
    world.clock.pass(SILENCE + seconds(10));
    dark.cannot_be_read(true);
    world.turn(&other).await;
    dark.cannot_be_read(false);
    world.turn(&other).await;
    assert_eq!(world.lease(lease).await.state(), "active");
    world.clock.pass(SILENCE + seconds(5));
    world.turn(&other).await;
    assert_eq!(world.lease(lease).await.state(), "revoking");
    world.live_out(&other).await;
}

#[tokio::test]
async fn writing_beats_down_asks_a_ledger_nothing_that_it_was_told() {
    let (world, _folder) = world();
    let shared = Arc::new(Shared::default());
    let around: Arc<dyn Around> = shared.clone();
    let core = broker_with(&world, "a", &around);
    let grant = submit(&core, wish()).await;
    let (lease, _) = grant.only();
    let asked_by_five = async || {
        let before = shared.calls();
        for _ in 0..5 {
            core.write_beats_down().await.unwrap();
        }
        shared.calls() - before
    };
    // Half of the silence is not over yet, then it is: one look and one commit, and no more.
    for (pause, calls) in [(22, 0), (1, 2), (22, 0), (1, 2)] {
        world.clock.pass(seconds(pause));
        core.beat(lease, &proof("key")).await.unwrap();
        assert_eq!(asked_by_five().await, calls);
    }
    // No other beat came, and there is not much time left.
    world.clock.pass(seconds(15));
    core.beat(lease, &proof("key")).await.unwrap();
    world.clock.pass(seconds(16));
    assert_eq!(asked_by_five().await, 0);
    world.clock.pass(seconds(1));
    assert_eq!(asked_by_five().await, 2);
    // What has ended is asked about once more, and forgotten.
    world.clock.pass(seconds(15));
    core.beat(lease, &proof("key")).await.unwrap();
    let other = broker_with(&world, "b", &around);
    other.release(lease, &proof("key")).await.unwrap();
    world.clock.pass(seconds(20));
    assert_eq!(asked_by_five().await, 1);
}

#[tokio::test]
async fn beats_that_two_brokers_hear_in_turn_are_written_down_by_one_of_them() {
    let (world, _folder) = world();
    let shared = Arc::new(Shared::default());
    let around: Arc<dyn Around> = shared.clone();
    let brokers = [
        broker_with(&world, "a", &around),
        broker_with(&world, "b", &around),
    ];
    let grant = submit(&brokers[0], wish()).await;
    let (lease, _) = grant.only();
    let before = shared.commits();
    let heard_for = 900_usize;
    for second in 1..=heard_for {
        world.clock.pass(seconds(1));
        if second % 15 == 0 {
            let to = &brokers[second / 15 % 2];
            to.beat(lease, &proof("key")).await.unwrap();
        }
        for broker in &brokers {
            broker.write_beats_down().await.unwrap();
        }
    }
    assert_eq!(shared.commits() - before, heard_for as u64 / 30);
}

#[tokio::test]
async fn beats_of_many_jobs_are_one_commit_and_none_waits_for_one_that_changed() {
    let (world, _folder) = world();
    let meddler = Arc::new(Meddler::default());
    let around: Arc<dyn Around> = meddler.clone();
    let core = broker_with(&world, "a", &around);
    let mut leases = Vec::new();
    for job in ["1", "2", "3", "4"] {
        let Ok(Submission::Granted {
            leases: granted, ..
        }) = core.submit(ask(job, job, job, &[PROD_SCOPE])).await
        else {
            panic!("job {job} is not granted");
        };
        leases.push((granted[0].0.terms().id, proof(job)));
    }
    world.clock.pass(seconds(30));
    for (lease, proof) in &leases {
        core.beat(*lease, proof).await.unwrap();
    }
    // Between the look and the commit, another broker ends one of them.
    *meddler.ends.lock().unwrap() = Some((world.broker("b"), leases[1].clone()));
    let before = meddler.commits.load(Ordering::SeqCst);
    core.write_beats_down().await.unwrap();
    assert_eq!(meddler.commits.load(Ordering::SeqCst) - before, 2);
    for (place, (lease, _)) in leases.iter().enumerate() {
        match world.lease(*lease).await {
            FoundLease::Active(active) => assert_eq!(active.alive_at(), world.now()),
            FoundLease::Revoking(_) => assert_eq!(place, 1),
            other => panic!("{other:?}"),
        }
    }
}

/// Ends a lease through another broker just before the next commit.
#[derive(Default)]
struct Meddler {
    commits: AtomicU64,
    ends: Mutex<Option<(Core, (LeaseId, Proof))>>,
}

#[async_trait]
impl Around for Meddler {
    async fn before_commit(&self) {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let ends = self.ends.lock().unwrap().take();
        if let Some((other, (lease, proof))) = ends {
            other.release(lease, &proof).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_log_that_has_not_grown_is_sealed_once_and_what_is_stored_is_not_read() {
    let (world, _folder) = world();
    let shared = Arc::new(Shared::default());
    let around: Arc<dyn Around> = shared.clone();
    let core = broker_with(&world, "a", &around);
    submit(&core, wish()).await;
    let key = SigningKey::from_seed("jitney.test/log", &[7; 32]).unwrap();
    let before = shared.calls();
    core.seal_audit_log(&key).await.unwrap();
    assert_eq!(
        shared.calls() - before,
        2,
        "the tree is read, the note stored"
    );
    core.seal_audit_log(&key).await.unwrap();
    assert_eq!(shared.calls() - before, 3, "the tree is read");
    // The next process cannot know of it; what it stores is there already.
    world.broker("b").seal_audit_log(&key).await.unwrap();
    assert_eq!(world.ledger.checkpoints().await.unwrap().len(), 1);
}
