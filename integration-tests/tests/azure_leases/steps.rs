//! Steps that many tests take.

use core::time::Duration;

use jitney_azure::AzureAdapter;
use jitney_core::adapter::{Elevate, Hand, Revoke};
use jitney_core::books::Recorded;
use jitney_core::evidence::Revocation;
use jitney_core::fault::Fault;
use jitney_core::lease::{Elevating, Revoking};
use jitney_integration_tests::adapter_laws::{Revealed, Stage as _, StageClock as _, writing_as};

use crate::stage::AzureStage;

pub const FIRST: Hand = writing_as(1);

/// An intent for what the stage wants.
pub async fn intent(stage: &AzureStage, adapter: &AzureAdapter) -> Recorded<Elevating> {
    let wanted = [stage.wanted()];
    stage.scribe.intend(adapter, &wanted).await.unwrap()
}

/// The fault that an elevation comes to.
pub async fn refused(stage: &AzureStage, adapter: &AzureAdapter, scope: &str) -> Fault {
    let wanted = [stage.wish(scope)];
    let intent = stage.scribe.intend(adapter, &wanted).await.unwrap();
    adapter.elevate(&intent).await.unwrap_err()
}

/// A lease that has just ended, and what its job kept.
pub async fn ending(stage: &AzureStage, adapter: &AzureAdapter) -> (Recorded<Revoking>, Revealed) {
    let taken = stage.scribe.take(adapter, &[stage.wanted()]).await.unwrap();
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    (lease, taken.credential)
}

/// What one pass over a lease's slot finds.
pub async fn looked(
    adapter: &AzureAdapter,
    lease: Recorded<Revoking>,
) -> Result<Revocation, Fault> {
    let (lane, id) = (lease.terms().plan.lane.clone(), lease.terms().id);
    let mut found = adapter.revoke(&lane, FIRST, &[lease], &[]).await?;
    found.leases.remove(&id).unwrap()
}

/// Lets time pass, for the broker and for Azure.
pub async fn pass(stage: &AzureStage, seconds: u64) {
    stage.clock.pass(Duration::from_secs(seconds)).await;
}

/// How often an operation was called.
pub fn calls(stage: &AzureStage, operation: &str) -> usize {
    let journal = stage.sandbox.journal();
    journal
        .iter()
        .filter(|entry| entry.action == operation)
        .count()
}
