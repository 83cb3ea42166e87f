//! Jobs that go silent, jobs that are heard, and brokers that cannot hear.

use jitney_core::audit::SigningKey;
use jitney_core::lease::{End, Outcome};
use jitney_integration_tests::fixtures::{PROD, SILENCE, proof};
use std::sync::Arc;

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
async fn beats_keep_a_lease_alive_at_one_commit_per_silence() {
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

#[tokio::test]
async fn sharing_beats_asks_a_ledger_nothing_that_it_was_told() {
    let (world, _folder) = world();
    let shared = Arc::new(Shared::default());
    let around: Arc<dyn Around> = shared.clone();
    let core = broker_with(&world, "a", &around);
    let grant = submit(&core, wish()).await;
    let (lease, _) = grant.only();
    // A third of the silence is not over yet, then it is: one look and one commit, and no more.
    for (pause, calls) in [(14, 0), (1, 2), (14, 0), (1, 2)] {
        world.clock.pass(seconds(pause));
        core.beat(lease, &proof("key")).await.unwrap();
        let before = shared.calls();
        for _ in 0..5 {
            core.share_beats().await.unwrap();
        }
        assert_eq!(shared.calls() - before, calls);
    }
    // What has ended is asked about once more, and forgotten.
    world.clock.pass(seconds(15));
    core.beat(lease, &proof("key")).await.unwrap();
    let other = broker_with(&world, "b", &around);
    other.release(lease, &proof("key")).await.unwrap();
    let before = shared.calls();
    for _ in 0..5 {
        core.share_beats().await.unwrap();
    }
    assert_eq!(shared.calls() - before, 1);
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
