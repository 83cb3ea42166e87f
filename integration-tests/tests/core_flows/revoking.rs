//! Revocation when the cloud does not do it, undoes it, answers nothing, or grants late.

use core::time::Duration;

use jitney_core::books::FoundLease;
use jitney_core::evidence::{Evidence, Held};
use jitney_core::id::LeaseId;
use jitney_core::lease::Outcome;
use jitney_core::ledger::RowId;
use jitney_core::usecase::Core;
use jitney_integration_tests::fake_cloud::{MintMishap, RevokeMishap, SETTLE, Style};
use jitney_integration_tests::fixtures::{
    BACKUP_SCOPE, PROD, PROD_SCOPE, START, World, ask, proof,
};

use crate::{outcome, refused, seconds, submit, wish, world, world_that};

/// The longest pause between two looks at a lease under revocation.
const PAUSE_MAX: Duration = seconds(60);

async fn attempts(world: &World, lease: LeaseId) -> u32 {
    match world.lease(lease).await {
        FoundLease::Revoking(revoking) => revoking.attempts(),
        other => panic!("expected a lease under revocation, got {other:?}"),
    }
}

async fn pause(world: &World, lease: LeaseId) -> Duration {
    let row = world.ledger.row(RowId::Lease(lease)).await.unwrap();
    let due_at = row.unwrap().due_at.unwrap();
    due_at.since(world.now())
}

async fn released(world: &World, core: &Core) -> LeaseId {
    let grant = submit(core, wish()).await;
    let (lease, secret) = grant.only();
    assert!(world.cloud(PROD).would_allow(secret));
    core.release(lease, &proof("key")).await.unwrap();
    lease
}

#[tokio::test]
async fn a_cloud_that_is_down_for_a_day_is_asked_for_a_day() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = released(&world, &core).await;
    world.cloud(PROD).set_revoking_down(true);
    let mut last = 0;
    let end = START.plus(seconds(24 * 60 * 60));
    while world.now() < end {
        let (_, stumbles) = world.turn(&core).await;
        assert!(!stumbles.is_empty(), "a cloud that is down is told of");
        let now = attempts(&world, lease).await;
        assert_eq!(now, last + 1);
        last = now;
        let pause = pause(&world, lease).await;
        assert!(pause > Duration::ZERO && pause <= PAUSE_MAX, "{pause:?}");
        world.clock.pass(pause);
    }
    assert!(last >= 24 * 60, "{last} attempts in a day");
    assert!(world.cloud(PROD).is_bare());
    world.cloud(PROD).set_revoking_down(false);
    world.live(&core, PAUSE_MAX).await;
    assert_eq!(world.lease(lease).await.state(), "ended");
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_cloud_that_comes_back_is_used_within_one_pause() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = released(&world, &core).await;
    world.cloud(PROD).set_revoking_down(true);
    world.live(&core, seconds(300)).await;
    assert_eq!(world.lease(lease).await.state(), "revoking");
    world.cloud(PROD).set_revoking_down(false);
    world.live(&core, PAUSE_MAX + SETTLE).await;
    let ended = world.lease(lease).await;
    let Some(Outcome::Revoked { evidence, .. }) = outcome(&ended) else {
        panic!("{ended:?}");
    };
    assert!(matches!(evidence, Evidence::Settled { .. }));
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_target_that_is_down_does_not_starve_the_others() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let down = submit(&core, wish()).await;
    core.release(down.only().0, &proof("key")).await.unwrap();
    world.live(&core, SETTLE + seconds(1)).await;
    // Its hold is spent, and stays due for as long as the cloud does not answer.
    world.cloud(PROD).set_revoking_down(true);
    world.clock.set(START.plus(seconds(3000)));
    core.turn(world.now(), 1).await;
    let grant = submit(&core, ask("2", "2", "key-2", &[BACKUP_SCOPE])).await;
    let lease = grant.only().0;
    core.release(lease, &proof("key-2")).await.unwrap();
    for _ in 0..10 {
        core.turn(world.now(), 1).await;
        world.clock.pass(seconds(1));
    }
    assert_eq!(world.lease(lease).await.state(), "ended");
    world.cloud(PROD).set_revoking_down(false);
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_throttled_revocation_waits_as_told_and_never_longer_than_the_cap() {
    for (told, least) in [(seconds(7), seconds(7)), (seconds(3600), PAUSE_MAX)] {
        let (world, _folder) = world();
        let core = world.broker("a");
        let lease = released(&world, &core).await;
        world.cloud(PROD).next_revoke(RevokeMishap::Throttled(told));
        world.turn(&core).await;
        assert_eq!(pause(&world, lease).await, least);
        // Not asked again in the meantime.
        world.clock.pass(least - seconds(1));
        world.turn(&core).await;
        assert_eq!(world.cloud(PROD).revoke_calls(), 1);
        world.clock.pass(seconds(1));
        world.turn(&core).await;
        assert_eq!(world.cloud(PROD).revoke_calls(), 2);
        world.live_out(&core).await;
    }
}

#[tokio::test]
async fn a_lease_that_the_answer_does_not_mention_is_looked_at_again() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = released(&world, &core).await;
    world.cloud(PROD).next_revoke(RevokeMishap::SaysNothing);
    world.turn(&core).await;
    assert_eq!(attempts(&world, lease).await, 1);
    world.live(&core, seconds(2) + SETTLE).await;
    assert_eq!(world.lease(lease).await.state(), "ended");
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_revocation_whose_answer_is_lost_is_found_and_must_settle_all_the_same() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = released(&world, &core).await;
    world.cloud(PROD).next_revoke(RevokeMishap::LostAfter);
    world.turn(&core).await;
    assert_eq!(world.cloud(PROD).working().len(), 1);
    assert_eq!(world.lease(lease).await.state(), "revoking");
    world.live_out(&core).await;
}

#[tokio::test]
async fn what_a_stranger_undid_is_written_again_and_settles_again() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = released(&world, &core).await;
    world.turn(&core).await;
    let lane = world.lease(lease).await.terms().plan.lane.clone();
    world.clock.pass(SETTLE - seconds(1));
    world.cloud(PROD).stranger_empties(&lane);
    // At this look the old settle time is over; the deny it belonged to is gone.
    world.clock.pass(seconds(1));
    world.turn(&core).await;
    assert_eq!(world.cloud(PROD).working().len(), 1);
    for _ in 0..SETTLE.as_secs() {
        assert_eq!(world.lease(lease).await.state(), "revoking");
        world.clock.pass(seconds(1));
        world.turn(&core).await;
    }
    world.live(&core, seconds(2)).await;
    assert_eq!(world.lease(lease).await.state(), "ended");
    assert!(world.cloud(PROD).working().is_empty());
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_hold_that_a_stranger_undid_is_restored_when_its_lane_is_next_written() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = released(&world, &core).await;
    world.live(&core, SETTLE + seconds(1)).await;
    let ended = world.lease(lease).await;
    let (lane, handle) = (&ended.terms().plan.lane, &ended.terms().handle);
    world.cloud(PROD).stranger_empties(lane);
    let other = submit(&core, ask("2", "2", "key-2", &[PROD_SCOPE])).await;
    let other = other.only().0;
    core.release(other, &proof("key-2")).await.unwrap();
    core.turn(world.now(), 1).await;
    assert!(
        world
            .cloud(PROD)
            .denied(lane)
            .contains(&Held::Grant(handle.clone()))
    );
    world.clock.pass(SETTLE);
    world.live_out(&core).await;
}

#[tokio::test]
async fn absence_before_the_last_landing_ends_nothing() {
    let (world, _folder) = world_that(Style::Deletes);
    let core = world.broker("a");
    let cloud = world.cloud(PROD);
    cloud.next_mint(MintMishap::LandsLater(seconds(30)));
    refused(&core, wish()).await;
    let lease = world.leases().await[0].terms().id;
    // The cloud says that there is nothing, which is so, and then it lands.
    world.turn(&core).await;
    assert_eq!(cloud.revoke_calls(), 1);
    assert_eq!(world.lease(lease).await.state(), "revoking");
    world.clock.pass(seconds(31));
    world.turn(&core).await;
    assert_eq!(cloud.working().len(), 1);
    assert_eq!(world.lease(lease).await.state(), "revoking");
    world.live_out(&core).await;
    let ended = world.lease(lease).await;
    let Some(Outcome::Revoked { evidence, .. }) = outcome(&ended) else {
        panic!("{ended:?}");
    };
    let Evidence::Absent { at } = evidence else {
        panic!("{evidence:?}");
    };
    // Our deadline of 20 s, and the 300 s in which the cloud may act on what it was sent.
    assert!(*at >= START.plus(seconds(320)));
}

#[tokio::test]
async fn what_lands_after_the_end_of_a_lease_is_denied_before_it_lands() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let cloud = world.cloud(PROD);
    cloud.next_mint(MintMishap::LandsLater(seconds(200)));
    refused(&core, wish()).await;
    world.live(&core, SETTLE + seconds(1)).await;
    assert_eq!(world.leases().await[0].state(), "ended");
    // It lands at 200 s and would live until 1100 s.
    for _ in 0..120 {
        world.clock.pass(seconds(10));
        world.turn(&core).await;
        assert!(cloud.working().is_empty());
    }
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_lease_that_is_written_off_keeps_its_hold() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = released(&world, &core).await;
    let cloud = world.cloud(PROD);
    cloud.set_revoking_down(true);
    world.turn(&core).await;
    let FoundLease::Revoking(revoking) = world.lease(lease).await else {
        panic!("the cloud is down");
    };
    let until = revoking.exposed_until();
    let person = "person-7".to_owned();
    let step = revoking.written_off(person, "the cloud is gone".to_owned(), world.now());
    core.books.record(step).await.unwrap();
    let ended = world.lease(lease).await;
    let Some(Outcome::WrittenOff { person, .. }) = outcome(&ended) else {
        panic!("{ended:?}");
    };
    assert_eq!(person, "person-7");

    // The cloud is back. Whoever writes the lane next writes the hold too.
    cloud.set_revoking_down(false);
    assert_eq!(cloud.working().len(), 1);
    let other = submit(&core, ask("2", "2", "key-2", &[PROD_SCOPE])).await;
    let other = other.only().0;
    core.release(other, &proof("key-2")).await.unwrap();
    world.live(&core, PAUSE_MAX).await;
    assert!(cloud.working().is_empty());
    let lane = &ended.terms().plan.lane;
    let holds = world.ledger.lane(lane, world.now()).await.unwrap();
    let kept = holds
        .holds
        .iter()
        .find(|hold| hold.lease == Some(lease))
        .unwrap();
    assert!(kept.until >= until && kept.until >= cloud.sessions()[0].expires_at);
    world.live_out(&core).await;
}

#[tokio::test]
async fn what_only_settles_is_not_written_whenever_its_lane_is_driven() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let release = async |job: &str| {
        let lease = submit(&core, ask(job, job, job, &[PROD_SCOPE]))
            .await
            .only()
            .0;
        core.release(lease, &proof(job)).await.unwrap();
        world.turn(&core).await;
        lease
    };
    let version = async |lease| {
        let row = world.ledger.row(RowId::Lease(lease)).await.unwrap();
        row.unwrap().version
    };
    let first = release("1").await;
    release("2").await;
    let settling = version(first).await;
    for job in ["3", "4", "5"] {
        world.clock.pass(Duration::from_millis(10));
        release(job).await;
    }
    assert_eq!(world.lease(first).await.state(), "revoking");
    assert_eq!(version(first).await, settling);
    world.live_out(&core).await;
}
