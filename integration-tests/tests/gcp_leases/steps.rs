//! Steps that many tests take.

use jitney_core::adapter::{Elevate, Hand, Revoke};
use jitney_core::books::Recorded;
use jitney_core::catalogue::Wanted;
use jitney_core::evidence::Revocation;
use jitney_core::fault::Fault;
use jitney_core::lease::Revoking;
use jitney_gcp::GcpAdapter;
use jitney_integration_tests::adapter_laws::{Revealed, Stage as _, writing_as};
use serde_json::json;

use crate::stage::GcpStage;

pub const FIRST: Hand = writing_as(1);

pub fn adapter(stage: &GcpStage) -> GcpAdapter {
    stage.adapter_at(&stage.relay.url(), &json!({}))
}

pub async fn refused(stage: &GcpStage, adapter: &GcpAdapter, wanted: Wanted) -> Fault {
    let intent = stage.scribe.intend(adapter, &[wanted]).await.unwrap();
    adapter.elevate(&intent).await.unwrap_err()
}

pub async fn ending(
    stage: &GcpStage,
    adapter: &GcpAdapter,
    wanted: Wanted,
) -> (Recorded<Revoking>, Revealed) {
    let taken = stage.scribe.take(adapter, &[wanted]).await.unwrap();
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    (lease, taken.credential)
}

pub async fn revoked(adapter: &GcpAdapter, lease: Recorded<Revoking>) -> Result<Revocation, Fault> {
    let lane = lease.terms().plan.lane.clone();
    let id = lease.terms().id;
    let mut found = adapter.revoke(&lane, FIRST, &[lease], &[]).await?;
    found.leases.remove(&id).unwrap()
}

/// How often an action was called and carried out.
pub fn calls(stage: &GcpStage, action: &str) -> usize {
    let journal = stage.sandbox.journal();
    let called = journal
        .iter()
        .filter(|it| it.action == action && it.outcome == "ok");
    called.count()
}

/// The email of a lane's account.
pub fn account(lane: &jitney_core::plan::LaneId) -> &str {
    lane.name.split('/').nth(1).unwrap()
}

/// The wish of the laws.
pub fn wish(stage: &GcpStage) -> Wanted {
    stage.wanted()
}
