//! What bears our stamp and belongs to nothing, what a stranger undid, and many holds in one.

use jitney_core::audit::Event;
use jitney_core::evidence::Held;
use jitney_core::id::LeaseId;
use jitney_core::ledger::Transaction;
use jitney_core::usecase::{Core, Signed};
use jitney_integration_tests::fake_cloud::{RevokeMishap, SETTLE};
use jitney_integration_tests::fixtures::{PROD, PROD_SCOPE, World, ask, proof};

use crate::{seconds, submit, times, world};

fn signed() -> Signed {
    Signed {
        person: "ada@example.org".to_owned(),
        reason: "spring cleaning".to_owned(),
    }
}

async fn ended(world: &World, core: &Core, job: &str) -> LeaseId {
    let lease = submit(core, ask(job, job, job, &[PROD_SCOPE]))
        .await
        .only()
        .0;
    core.release(lease, &proof(job)).await.unwrap();
    world.live(core, SETTLE + seconds(2)).await;
    assert_eq!(world.lease(lease).await.state(), "ended");
    lease
}

#[tokio::test]
async fn a_stray_is_found_held_for_as_long_as_it_may_matter_and_let_go() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let prod = PROD.parse().unwrap();
    let lease = ended(&world, &core, "1").await;
    // Known by its hold: no stray.
    let swept = core.sweep(&prod, None, 10).await.unwrap();
    assert_eq!((swept.seen, swept.foreign, swept.strays.len()), (1, 0, 0));
    // Somebody deletes the hold from the ledger. The cloud still bears the entry.
    let lane = world.lease(lease).await.terms().plan.lane.clone();
    let holds = world.ledger.lane(&lane, world.now()).await.unwrap().holds;
    let forget = Transaction {
        holds_dropped: holds,
        ..Transaction::default()
    };
    world.ledger.commit(forget).await.unwrap();
    let swept = core.sweep(&prod, None, 10).await.unwrap();
    assert_eq!(swept.strays.len(), 1);
    assert!(!swept.strays[0].held, "to look is not to act");
    // No more than the cap.
    let capped = core.sweep(&prod, Some(&signed()), 0).await.unwrap();
    assert!(!capped.strays[0].held);
    let acted = core.sweep(&prod, Some(&signed()), 1).await.unwrap();
    assert!(acted.strays[0].held);
    assert_eq!(times(&world, Event::StrayFound).await, 1);
    // It is accounted for, stays for as long as anything may live, and goes.
    world.turn(&core).await;
    assert_eq!(core.sweep(&prod, None, 10).await.unwrap().strays, []);
    assert_eq!(world.cloud(PROD).denied(&lane).len(), 1);
    world.live_out(&core).await;
}

#[tokio::test]
async fn what_does_not_prove_our_stamp_is_left_alone() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let foreign = world.broker_of_another_installation("x");
    let lease = ended(&world, &foreign, "1").await;
    let lane = world.lease(lease).await.terms().plan.lane.clone();
    let holds = world.ledger.lane(&lane, world.now()).await.unwrap().holds;
    let forget = Transaction {
        holds_dropped: holds,
        ..Transaction::default()
    };
    world.ledger.commit(forget).await.unwrap();
    let swept = core
        .sweep(&PROD.parse().unwrap(), Some(&signed()), 10)
        .await
        .unwrap();
    assert_eq!((swept.seen, swept.foreign, swept.strays.len()), (1, 1, 0));
}

#[tokio::test]
async fn a_hold_outlives_a_clock_that_jumped() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = ended(&world, &core, "1").await;
    let lane = world.lease(lease).await.terms().plan.lane.clone();
    let holds = world.ledger.lane(&lane, world.now()).await.unwrap().holds;
    // It is over by our clock; the cloud says that it is another time.
    world.clock.set(holds[0].until.plus(seconds(1)));
    world.cloud(PROD).next_revoke(RevokeMishap::ClockDisagrees);
    core.turn(world.now(), 16).await;
    let still = world.ledger.lane(&lane, world.now()).await.unwrap().holds;
    assert_eq!(still, holds);
    world.clock.pass(seconds(2));
    core.turn(world.now(), 16).await;
    let gone = world.ledger.lane(&lane, world.now()).await.unwrap().holds;
    assert_eq!(gone, []);
    world.live_out(&core).await;
}

#[tokio::test]
async fn what_a_stranger_undid_is_put_back_within_a_minute() {
    let (world, _folder) = world();
    let core = world.broker("a");
    let lease = ended(&world, &core, "1").await;
    let (lane, handle) = {
        let lease = world.lease(lease).await;
        (
            lease.terms().plan.lane.clone(),
            lease.terms().handle.clone(),
        )
    };
    world.cloud(PROD).stranger_empties(&lane);
    assert!(world.cloud(PROD).is_bare());
    // Nothing is due but the look itself.
    let next = world.ledger.next_due().await.unwrap().unwrap();
    assert!(next <= world.now().plus(seconds(60)), "{next}");
    world.clock.set(next);
    core.turn(world.now(), 16).await;
    assert_eq!(world.cloud(PROD).denied(&lane), [Held::Grant(handle)]);
    world.clock.pass(SETTLE);
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_lane_with_holds_is_not_asked_at_every_turn() {
    let (world, _folder) = world();
    let core = world.broker("a");
    ended(&world, &core, "1").await;
    submit(&core, ask("2", "2", "2", &[PROD_SCOPE])).await;
    let calls = world.cloud(PROD).revoke_calls();
    // The other lease falls due for its silence again and again.
    for _ in 0..10 {
        world.clock.pass(seconds(4));
        core.turn(world.now(), 16).await;
    }
    assert!(world.cloud(PROD).revoke_calls() <= calls + 1);
    world.live_out(&core).await;
}

#[tokio::test]
async fn many_holds_become_one_watermark_and_nothing_wakes_up() {
    let (mut world, _folder) = world();
    let limits = &mut world.limits;
    limits.leases_per_repository_max = 100;
    limits.leases_per_tenant_max = 100;
    world.cloud(PROD).set_lane_capacity(100);
    let core = world.broker("a");
    let mut lane = None;
    for job in 0..40 {
        let job = job.to_string();
        let lease = submit(&core, ask(&job, &job, &job, &[PROD_SCOPE]))
            .await
            .only()
            .0;
        core.release(lease, &proof(&job)).await.unwrap();
        lane = Some(world.lease(lease).await.terms().plan.lane.clone());
    }
    let lane = lane.unwrap();
    world.live(&core, SETTLE + seconds(2)).await;
    let before = world.ledger.lane(&lane, world.now()).await.unwrap().holds;
    assert_eq!(before.len(), 40);
    // A neighbour that lives on, issued well after.
    world.clock.pass(seconds(130));
    let neighbour = submit(&core, ask("x", "x", "x", &[PROD_SCOPE])).await;
    let (alive, secret) = neighbour.only();
    for _ in 0..10 {
        core.beat(alive, &proof("x")).await.unwrap();
        world.live(&core, seconds(20)).await;
    }
    let after = world.ledger.lane(&lane, world.now()).await.unwrap().holds;
    assert_eq!(after.len(), 1, "{after:?}");
    assert!(matches!(after[0].held, Held::IssuedBefore(_)));
    assert_eq!(
        after[0].until,
        before.iter().map(|hold| hold.until).max().unwrap()
    );
    assert_eq!(times(&world, Event::HoldsCompacted).await, 1);
    // Room was made, none of the forty wakes up (the world looks at every turn), and the
    // neighbour works.
    assert!(world.cloud(PROD).would_allow(secret));
    world.live_out(&core).await;
}
