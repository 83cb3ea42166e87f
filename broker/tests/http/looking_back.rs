//! What a job meets at a broker that has just begun and is still looking back.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::world::{SCOPE, World, read};

/// A broker that has begun and cannot look its cloud through yet.
async fn begun() -> World {
    let mut world = World::start().await;
    world.broker.take().unwrap().shutdown().await;
    world.cloud.shut_looks();
    world.restart().await;
    world
}

#[tokio::test]
async fn a_job_waits_for_the_look_and_the_broker_is_ready_meanwhile() {
    let world = begun().await;
    let (granted, ()) = tokio::join!(world.submit(SCOPE), async {
        sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        let ready = read(world.raw("GET", "/readyz")).await;
        assert_eq!(ready.status, 200);
        assert!(began.elapsed() < Duration::from_secs(2));
        assert_eq!(world.cloud.minted(), 0);
        world.cloud.looks.add_permits(1);
    });
    assert_eq!(granted.status, 201, "{granted:?}");
}

#[tokio::test]
async fn a_job_that_waited_for_long_enough_is_told_to_come_again() {
    let world = begun().await;
    let refused = world.submit(SCOPE).await;
    assert_eq!(refused.problem(), "try_again");
    assert_eq!(refused.body["cause"], "not_looked_back");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(world.cloud.minted(), 0);
    world.cloud.looks.add_permits(1);
    let granted = world.submit(SCOPE).await;
    assert_eq!(granted.status, 201, "{granted:?}");
}
