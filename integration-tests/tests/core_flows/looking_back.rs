//! A broker that has just begun gives and prolongs nothing on a target before it has looked there
//! for traces of a later ledger.

use jitney_core::id::TargetName;
use jitney_core::refusal::Refusal;
use jitney_core::usecase::{Ask, Core, LookedBack, NOT_LOOKED_BACK};
use jitney_integration_tests::fake_cloud::{SETTLE, Style};
use jitney_integration_tests::fixtures::{BACKUP, BACKUP_SCOPE, PROD, PROD_SCOPE, ask, proof};

use crate::recovering::{backup, restored};
use crate::{refused, seconds, submit, wish, world, world_that};

/// A broker that has just begun.
fn begun(core: Core) -> Core {
    Core {
        looked_back: LookedBack::default(),
        ..core
    }
}

fn prod() -> TargetName {
    PROD.parse().unwrap()
}

fn on_both() -> Ask {
    ask("2", "2", "2", &[PROD_SCOPE, BACKUP_SCOPE])
}

fn must_be_too_early(refusal: &Refusal) {
    let found = (refusal.code, refusal.cause, refusal.retry_after);
    let come_again = Some(seconds(1));
    assert_eq!(found, ("try_again", Some(NOT_LOOKED_BACK), come_again));
}

#[tokio::test]
async fn nothing_is_granted_before_the_target_was_looked_back_at() {
    let (world, _folder) = world();
    let core = begun(world.broker("a"));
    must_be_too_early(&refused(&core, wish()).await);
    assert_eq!(world.cloud(PROD).mint_calls(), 0);
    assert_eq!(world.leases().await.len(), 0);
    core.look_back_at(&prod()).await.unwrap();
    // Each target for itself; and nothing of a refused wish was used up.
    must_be_too_early(&refused(&core, on_both()).await);
    submit(&core, wish()).await;
    assert!(core.look_back().await.is_empty());
    submit(&core, on_both()).await;
    world.live_out(&core).await;
}

/// A restored ledger may know a lease as active that has ended, and whose slot another one is on.
#[tokio::test]
async fn nothing_is_prolonged_before_the_target_was_looked_back_at() {
    let (world, _folder) = world();
    let lost = world.broker("a");
    let lease = submit(&lost, wish()).await.only().0;
    let before = world.lease(lease).await;
    drop(lost);
    let core = begun(world.broker("b"));
    world.clock.pass(seconds(10));
    must_be_too_early(&core.renew(lease, &proof("key")).await.unwrap_err());
    assert_eq!(
        format!("{:?}", world.lease(lease).await),
        format!("{before:?}")
    );
    assert_eq!(world.cloud(PROD).mint_calls(), 1);
    // What takes back waits for nothing.
    core.release(lease, &proof("key")).await.unwrap();
    world.live(&core, SETTLE + seconds(1)).await;
    assert_eq!(world.lease(lease).await.state(), "ended");
    world.live_out(&core).await;
}

#[tokio::test]
async fn a_restored_ledger_grants_nothing_between_its_start_and_the_halt() {
    let (world, folder) = world_that(Style::Slots);
    let copy = backup(folder.path());
    let lost = world.broker("a");
    submit(&lost, wish()).await;
    drop(lost);
    let (core, _ledger) = restored(&world, &copy, "b");
    let core = begun(core);
    must_be_too_early(&refused(&core, on_both()).await);
    assert!(core.look_back().await.is_empty());
    assert_eq!(refused(&core, on_both()).await.code, "halted");
    assert_eq!(world.cloud(PROD).mint_calls(), 1);
}

#[tokio::test]
async fn a_target_that_cannot_be_looked_through_is_shut_and_the_others_are_not() {
    let (world, _folder) = world();
    let core = begun(world.broker("a"));
    world.cloud(BACKUP).set_looking_down(true);
    let unseen = core.look_back().await;
    assert_eq!(unseen.len(), 1, "{unseen:?}");
    submit(&core, wish()).await;
    let refusal = refused(&core, on_both()).await;
    assert_eq!(
        (refusal.code, refusal.cause),
        ("try_again", Some("fake_unseen"))
    );
    assert!(refusal.retry_after.is_some());
    world.cloud(BACKUP).set_looking_down(false);
    assert!(core.look_back().await.is_empty());
    submit(&core, on_both()).await;
    // What was seen once stays seen.
    world.cloud(BACKUP).set_looking_down(true);
    assert_eq!(core.look_back().await.len(), 1);
    submit(&core, ask("3", "3", "3", &[BACKUP_SCOPE])).await;
    world.live_out(&core).await;
}
