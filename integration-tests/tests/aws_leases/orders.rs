//! Kill orders on AWS: they are carried out no faster than the role's list may be written.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jitney_core::adapter::Adapter;
use jitney_core::id::LeaseId;
use jitney_core::standing::Aim;
use jitney_core::time::Clock as _;
use jitney_core::usecase::{Core, Signed, Submission};
use jitney_integration_tests::adapter_laws::SystemClock;
use jitney_integration_tests::fake_cloud::Style;
use jitney_integration_tests::fixtures::{World, ask};
use serde_json::json;

use crate::stage::{AwsStage, TARGET, ours};

const INTERVAL_MILLISECONDS: u32 = 400;
const SCOPE: &str = "object-storage:write@artifacts-prod/releases/";

/// A broker on the stage, by the real time.
fn broker(stage: &AwsStage, world: &World) -> Core {
    let paced = json!({ "write_interval_milliseconds": INTERVAL_MILLISECONDS });
    let adapter: Arc<dyn Adapter> = Arc::new(stage.adapter_with(&stage.relay.url(), &paced));
    let adapters = BTreeMap::from([(TARGET.parse().unwrap(), adapter)]);
    let core = Core {
        inventory: stage.inventory(),
        catalogue: jitney_policies::catalogue(None).unwrap(),
        clock: Arc::new(SystemClock),
        ..world.broker_over("a", Arc::clone(&world.ledger), adapters)
    };
    core.pulse.ready(SystemClock.now());
    core
}

async fn lease(core: &Core, job: u32) -> LeaseId {
    let job = job.to_string();
    match core.submit(ask(&job, &job, &job, &[SCOPE])).await.unwrap() {
        Submission::Granted { leases, .. } => leases[0].0.terms().id,
        other => panic!("{other:?}"),
    }
}

async fn drive(core: &Core) {
    core.turn(SystemClock.now(), 64).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// The moments at which the role's policies were written, as the cloud saw it, in milliseconds.
fn writes(stage: &AwsStage) -> Vec<i64> {
    let journal = stage.sandbox.as_ref().unwrap().journal();
    let writes = journal
        .iter()
        .filter(|call| matches!(call.action.as_str(), "PutRolePolicy" | "DeleteRolePolicy"));
    writes.map(|call| call.arrived.as_millisecond()).collect()
}

#[tokio::test]
async fn orders_are_carried_out_at_the_rate_that_is_configured() {
    let (stage, folder) = (ours(0, 1).await, tempfile::tempdir().unwrap());
    let world = World::new(folder.path(), Style::Denies);
    let core = broker(&stage, &world);
    let mut leases = Vec::new();
    for job in 0..16 {
        leases.push(lease(&core, job).await);
    }
    let (began, mut orders) = (Instant::now(), Vec::new());
    let signed = Signed {
        person: "ada".to_owned(),
        reason: "one after another".to_owned(),
    };
    for lease in leases {
        let aim = Aim {
            lease: Some(lease),
            ..Aim::default()
        };
        orders.push(core.order_kill(aim, false, &signed).await.unwrap());
        drive(&core).await;
    }
    for order in orders {
        let mut progress = core.order(order).await.unwrap();
        while progress.over == 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "{progress:?}");
            drive(&core).await;
            progress = core.order(order).await.unwrap();
        }
    }
    let writes = writes(&stage);
    let (first, last) = (writes[0], writes[writes.len() - 1]);
    let spans = u32::try_from(writes.len() - 1).unwrap();
    let at_least = f64::from(INTERVAL_MILLISECONDS) / 1.1 * f64::from(spans);
    assert!(spans >= 3, "{writes:?}");
    let took = f64::from(u32::try_from(last - first).unwrap());
    assert!(took >= at_least, "{spans} writes in {took} ms: {writes:?}");
}
