//! A process that dies at every call it makes, before the call leaves and after it did its work.
//! Another takes over, with nothing but the ledger and what the clouds really hold.

use std::sync::Arc;

use jitney_core::usecase::{Ask, Core, Submission};
use jitney_integration_tests::fake_cloud::Style;
use jitney_integration_tests::fixtures::{BACKUP_SCOPE, PROD_SCOPE, World, ask, proof};

use crate::ports::{Around, Fuse, Moment, broker_with};
use crate::{granted, seconds, world_that};

/// Sessions that one life makes when nothing goes wrong: two grants and two renewals.
const SESSIONS: usize = 4;

fn both() -> Ask {
    Ask {
        ttl_seconds: Some(1000),
        ..ask("1", "1", "key", &[PROD_SCOPE, BACKUP_SCOPE])
    }
}

/// The whole life of a request, from its submission until nothing of it is left. A client whose
/// call is not answered asks again under the same name.
async fn life(world: &World, core: &Core) {
    if let Ok(submission @ Submission::Granted { .. }) = core.submit(both()).await {
        for (lease, _secret) in granted(submission).leases {
            world.clock.pass(seconds(10));
            core.renew(lease, &proof("key")).await.unwrap();
            core.release(lease, &proof("key")).await.unwrap();
        }
    }
    world.live_out(core).await;
}

/// One life in which each of `fuses` ends one process, and the last process ends none.
async fn dies(style: Style, fuses: &[Arc<Fuse>]) {
    let (world, _folder) = world_that(style);
    for (nth, fuse) in fuses.iter().enumerate() {
        let around: Arc<dyn Around> = fuse.clone();
        let core = broker_with(&world, &format!("broker-{nth}"), &around);
        fuse.run(life(&world, &core)).await;
        // The process is gone; what it left in the clouds and the ledger is judged as it is.
        world.must_keep_promises().await;
    }
    life(&world, &world.broker("the-last")).await;
    for cloud in world.clouds.values() {
        let mut handles: Vec<_> = cloud.sessions().into_iter().map(|it| it.handle).collect();
        assert!(handles.len() <= SESSIONS / 2, "something was minted twice");
        handles.dedup();
        assert!(handles.len() <= 1, "one wish became two leases");
    }
    assert!(world.leases().await.len() <= 2, "one wish, two requests");
}

async fn calls_of_a_life(style: Style) -> u64 {
    let (world, _folder) = world_that(style);
    let fuse = Fuse::counting();
    let around: Arc<dyn Around> = fuse.clone();
    let core = broker_with(&world, "a", &around);
    assert!(fuse.run(life(&world, &core)).await);
    let sessions = world.clouds.values().map(|cloud| cloud.sessions().len());
    assert_eq!(sessions.sum::<usize>(), SESSIONS);
    fuse.calls()
}

async fn crash_everywhere(style: Style) {
    let calls = calls_of_a_life(style).await;
    assert!(calls > 20, "{calls} calls are too few for a life");
    for at in 0..calls {
        for moment in [Moment::Before, Moment::After] {
            dies(style, &[Fuse::new(at, moment)]).await;
        }
    }
}

#[tokio::test]
async fn a_crash_at_any_call_keeps_both_promises() {
    crash_everywhere(Style::Denies).await;
}

#[tokio::test]
async fn a_crash_at_any_call_keeps_both_promises_where_grants_are_deleted() {
    crash_everywhere(Style::Deletes).await;
}

/// A quarantine is an hour of looks, so every third call must do.
#[tokio::test]
async fn a_crash_at_any_call_keeps_both_promises_where_identities_are_given_rights() {
    let calls = calls_of_a_life(Style::Slots).await;
    for at in (0..calls).step_by(3) {
        let moment = if at % 2 == 0 {
            Moment::After
        } else {
            Moment::Before
        };
        dies(Style::Slots, &[Fuse::new(at, moment)]).await;
    }
}

#[tokio::test]
async fn a_crash_while_recovering_from_a_crash_keeps_both_promises() {
    let calls = calls_of_a_life(Style::Denies).await;
    let moments = [Moment::Before, Moment::After];
    for at in (0..calls).step_by(3) {
        // A different place in each recovery; together they cover all of it.
        let (first, then) = (at, (at * 7 + 5) % 40);
        let moment = moments[usize::try_from(at).unwrap() % 2];
        let fuses = [Fuse::new(first, moment), Fuse::new(then, Moment::After)];
        dies(Style::Denies, &fuses).await;
    }
}
