//! How long a kill order takes: from the order to every lease durably ending, with nothing minted
//! in between. A bench, not a test: `cargo bench -p jitney-integration-tests --bench kill_switch`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use jitney_core::standing::Aim;
use jitney_core::usecase::{Signed, Submission};
use jitney_integration_tests::fake_cloud::Style;
use jitney_integration_tests::fixtures::{PROD, PROD_SCOPE, World, ask};

const LEASES: u32 = 10_000;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), Style::Denies);
    world.limits.leases_per_repository_max = LEASES;
    world.limits.leases_per_tenant_max = LEASES;
    world.cloud(PROD).set_lane_capacity(LEASES);
    let core = world.broker("a");
    for number in 0..LEASES {
        let name = number.to_string();
        let submitted = core.submit(ask(&name, &name, &name, &[PROD_SCOPE])).await;
        assert!(
            matches!(submitted, Ok(Submission::Granted { .. })),
            "{submitted:?}"
        );
    }
    let signed = Signed {
        person: "the bench".to_owned(),
        reason: "to see how long it takes".to_owned(),
    };
    let aim = Aim {
        target: Some(PROD.parse().unwrap()),
        ..Aim::default()
    };
    let looked = Instant::now();
    assert_eq!(core.aim(&aim).await.unwrap().leases.len(), LEASES as usize);
    let looked = looked.elapsed();
    let began = Instant::now();
    let order = core.order_kill(aim, false, &signed).await.unwrap();
    let ordered = began.elapsed();
    core.obey().await.unwrap();
    let ended = began.elapsed();
    let progress = core.order(order).await.unwrap();
    assert_eq!(progress.order.ended, LEASES);
    // The ends of a page, and how far it came; the order, and that it is done.
    let commits = progress.order.looked_at.div_ceil(250) * 2 + 2;
    println!("{LEASES} leases on one lane, SQLite");
    println!("dry run                    {}", seconds(looked));
    println!("nothing more is minted     {}", seconds(ordered));
    println!(
        "every lease durably ending {} in {commits} commits",
        seconds(ended)
    );
}

fn seconds(time: Duration) -> String {
    format!("{:8.3} s", time.as_secs_f64())
}
