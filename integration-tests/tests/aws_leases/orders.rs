//! Kill orders on AWS: they are carried out no faster than the role's list may be written.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jitney_core::adapter::Adapter;
use jitney_core::catalogue::{Inventory, Resource, Tier};
use jitney_core::id::LeaseId;
use jitney_core::standing::Aim;
use jitney_core::time::Clock as _;
use jitney_core::usecase::{Core, Signed, Submission};
use jitney_integration_tests::adapter_laws::SystemClock;
use jitney_integration_tests::fake_cloud::Style;
use jitney_integration_tests::fixtures::{World, ask};
use jitney_sandbox::aws::RateLimits;
use serde_json::{Value, json};

use crate::stage::{AwsStage, TARGET, ours, ours_with};

const INTERVAL_MILLISECONDS: u32 = 400;
const SCOPE: &str = "object-storage:write@artifacts-prod/releases/";

/// How many writes an account takes in a second, and over how many roles an order goes.
const WRITES_PER_SECOND: u32 = 10;
const ROLES: usize = 120;

/// A broker on the stage, by the real time.
fn broker(stage: &AwsStage, world: &World, inventory: Inventory, paced: &Value) -> Core {
    let adapter: Arc<dyn Adapter> = Arc::new(stage.adapter_with(&stage.relay.url(), paced));
    let adapters = BTreeMap::from([(TARGET.parse().unwrap(), adapter)]);
    let core = Core {
        inventory,
        catalogue: jitney_policies::catalogue(None).unwrap(),
        clock: Arc::new(SystemClock),
        ..world.broker_over("a", Arc::clone(&world.ledger), adapters)
    };
    core.pulse.ready(SystemClock.now());
    core
}

async fn lease(core: &Core, job: usize, scope: &str) -> LeaseId {
    let job = job.to_string();
    match core.submit(ask(&job, &job, &job, &[scope])).await.unwrap() {
        Submission::Granted { leases, .. } => leases[0].0.terms().id,
        other => panic!("{other:?}"),
    }
}

/// So few lanes that all of them have had their write before the claims of this turn are over.
const LANES_PER_TURN: u32 = WRITES_PER_SECOND;

async fn drive(core: &Core) {
    core.turn(SystemClock.now(), LANES_PER_TURN).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Every try to write a role's policies, as the cloud saw it.
fn tries(stage: &AwsStage) -> Vec<jitney_sandbox::Entry> {
    let mut journal = stage.sandbox.as_ref().unwrap().journal();
    let writes = ["PutRolePolicy", "DeleteRolePolicy"];
    journal.retain(|call| writes.contains(&call.action.as_str()));
    journal
}

/// The moments of these tries, in milliseconds.
fn writes(stage: &AwsStage) -> Vec<i64> {
    let tries = tries(stage);
    let moments = tries.iter().map(|call| call.arrived.as_millisecond());
    moments.collect()
}

fn signed() -> Signed {
    Signed {
        person: "ada".to_owned(),
        reason: "one after another".to_owned(),
    }
}

#[tokio::test]
async fn orders_are_carried_out_at_the_rate_that_is_configured() {
    let (stage, folder) = (ours(0, 1).await, tempfile::tempdir().unwrap());
    let world = World::new(folder.path(), Style::Denies);
    let paced = json!({ "write_interval_milliseconds": INTERVAL_MILLISECONDS });
    let core = broker(&stage, &world, stage.inventory(), &paced);
    let mut leases = Vec::new();
    for job in 0..16 {
        leases.push(lease(&core, job, SCOPE).await);
    }
    let (began, mut orders) = (Instant::now(), Vec::new());
    let signed = signed();
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

/// A bucket for each role.
fn a_resource_on_each(stage: &AwsStage, roles: &[String]) -> Inventory {
    let resource = |role: &String| Resource {
        target: TARGET.parse().unwrap(),
        native_id: format!("arn:aws:s3:::for-{role}"),
        via: Some(stage.names.role_arn(role)),
        tier: Tier::High,
        owner: "platform".to_owned(),
    };
    let named = roles.iter().map(|it| (it.parse().unwrap(), resource(it)));
    Inventory::new(named.collect())
}

#[tokio::test]
async fn an_order_over_many_roles_keeps_to_the_quota_of_the_account() {
    let roles: Vec<String> = (0..ROLES).map(|role| format!("role-{role:03}")).collect();
    let (stage, folder) = (ours_with(&roles, 0, 1).await, tempfile::tempdir().unwrap());
    let sandbox = stage.sandbox.as_ref().unwrap();
    sandbox.set_limits(RateLimits {
        iam_writes_per_second: WRITES_PER_SECOND,
        iam_writes_burst: 2 * WRITES_PER_SECOND,
        ..RateLimits::unlimited()
    });
    let mut world = World::new(folder.path(), Style::Denies);
    world.limits.leases_per_repository_max = u32::try_from(ROLES).unwrap();
    let paced = json!({
        "iam_writes_per_second": WRITES_PER_SECOND,
        "iam_reads_per_second": 1_000,
    });
    let core = broker(&stage, &world, a_resource_on_each(&stage, &roles), &paced);
    for (job, role) in roles.iter().enumerate() {
        lease(
            &core,
            job,
            &format!("object-storage:write@{role}/releases/"),
        )
        .await;
    }
    let (began, aim) = (
        Instant::now(),
        Aim {
            target: Some(TARGET.parse().unwrap()),
            ..Aim::default()
        },
    );
    let order = core.order_kill(aim, false, &signed()).await.unwrap();
    let all = u32::try_from(ROLES).unwrap();
    let mut progress = core.order(order).await.unwrap();
    while progress.over < all {
        assert!(began.elapsed() < Duration::from_secs(90), "{progress:?}");
        drive(&core).await;
        progress = core.order(order).await.unwrap();
    }
    let too_many: Vec<_> = tries(&stage)
        .into_iter()
        .filter(|call| call.outcome == "Throttling")
        .collect();
    assert!(too_many.is_empty(), "{too_many:?}");
    let writes = writes(&stage);
    let took = f64::from(u32::try_from(writes[writes.len() - 1] - writes[0]).unwrap()) / 1e3;
    let rate = (writes.len() - 1) as f64 / took;
    assert!(writes.len() >= ROLES, "{}", writes.len());
    assert!(
        rate <= 1.1 * f64::from(WRITES_PER_SECOND),
        "{} writes in {took} s",
        writes.len()
    );
}
