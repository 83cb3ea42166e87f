//! Budgets. Holds count as leases do, so that to request and release is no way around them.

use jitney_integration_tests::fake_cloud::SETTLE;
use jitney_integration_tests::fixtures::{PROD, PROD_SCOPE, ask, proof};

use crate::{refused, seconds, submit, world};

#[tokio::test]
async fn a_job_has_room_for_so_many_leases_and_holds() {
    let (mut world, _folder) = world();
    world.limits.leases_per_job_max = 2;
    let core = world.broker("a");
    let asks = |token: &str| ask("1", token, "key", &[PROD_SCOPE]);
    let one = submit(&core, asks("1")).await.only().0;
    let two = submit(&core, asks("2")).await.only().0;
    let refusal = refused(&core, asks("3")).await;
    assert_eq!(refusal.code, "over_budget");
    assert_eq!(world.cloud(PROD).mint_calls(), 2);
    // What was refused used nothing up: the same token serves when there is room.
    for lease in [one, two] {
        core.release(lease, &proof("key")).await.unwrap();
    }
    world.live(&core, SETTLE + seconds(1)).await;
    assert_eq!(world.lease(one).await.state(), "ended");
    assert_eq!(refused(&core, asks("3")).await.code, "over_budget");
    // Another job has a budget of its own.
    submit(&core, ask("2", "4", "key-2", &[PROD_SCOPE])).await;
    world.live_out(&core).await;
    submit(&core, asks("3")).await;
    world.live_out(&core).await;
}

#[tokio::test]
async fn repositories_and_tenants_have_room_for_so_many() {
    for tenants in [false, true] {
        let (mut world, _folder) = world();
        let limits = &mut world.limits;
        if tenants {
            limits.leases_per_tenant_max = 1;
        } else {
            limits.leases_per_repository_max = 1;
        }
        let core = world.broker("a");
        submit(&core, ask("1", "1", "key", &[PROD_SCOPE])).await;
        let refusal = refused(&core, ask("2", "2", "key-2", &[PROD_SCOPE])).await;
        assert_eq!(refusal.code, "over_budget");
        world.live_out(&core).await;
    }
}

#[tokio::test]
async fn a_full_lane_stops_elevations_until_a_hold_is_dropped() {
    let (world, _folder) = world();
    world.cloud(PROD).set_lane_capacity(2);
    let core = world.broker("a");
    let asks = |job: &str| ask(job, job, job, &[PROD_SCOPE]);
    submit(&core, asks("1")).await;
    let lease = submit(&core, asks("2")).await.only().0;
    assert_eq!(refused(&core, asks("3")).await.code, "try_again");
    core.release(lease, &proof("2")).await.unwrap();
    world.live(&core, SETTLE + seconds(1)).await;
    assert_eq!(world.lease(lease).await.state(), "ended");
    // The deny entry of the ended lease takes the room that its lease took.
    assert_eq!(refused(&core, asks("3")).await.code, "try_again");
    assert_eq!(world.cloud(PROD).mint_calls(), 2);
    world.live_out(&core).await;
    submit(&core, asks("3")).await;
    world.live_out(&core).await;
}
