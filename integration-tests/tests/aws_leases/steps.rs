//! Steps that many tests take.

use core::time::Duration;
use std::sync::atomic::{AtomicI64, Ordering};

use jitney_aws::AwsAdapter;
use jitney_core::adapter::{Elevate, Revoke};
use jitney_core::books::Recorded;
use jitney_core::evidence::Revocation;
use jitney_core::fault::Fault;
use jitney_core::lease::Revoking;
use jitney_core::time::{Clock, Timestamp};
use jitney_integration_tests::adapter_laws::{Revealed, Stage, SystemClock, writing_as};
use serde_json::json;

use crate::stage::AwsStage;

pub const FIRST: jitney_core::adapter::Hand = writing_as(1);

pub fn adapter(stage: &AwsStage) -> AwsAdapter {
    stage.adapter_with(&stage.relay.url(), &json!({}))
}

pub async fn refused(stage: &AwsStage, adapter: &AwsAdapter) -> Fault {
    let intent = stage
        .scribe
        .intend(adapter, &[stage.wanted()])
        .await
        .unwrap();
    adapter.elevate(&intent).await.unwrap_err()
}

/// How often an action was called and handled.
pub fn calls(stage: &AwsStage, action: &str) -> usize {
    let journal = stage.sandbox.as_ref().unwrap().journal();
    journal
        .iter()
        .filter(|entry| entry.action == action)
        .count()
}

pub async fn ending(stage: &AwsStage, adapter: &AwsAdapter) -> (Recorded<Revoking>, Revealed) {
    let taken = stage.scribe.take(adapter, &[stage.wanted()]).await.unwrap();
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    (lease, taken.credential)
}

pub async fn revoked(
    adapter: &AwsAdapter,
    hand: jitney_core::adapter::Hand,
    lease: Recorded<Revoking>,
) -> Result<Revocation, Fault> {
    let lane = lease.terms().plan.lane.clone();
    let id = lease.terms().id;
    let mut found = adapter.revoke(&lane, hand, &[lease], &[]).await?;
    found.leases.remove(&id).unwrap()
}

/// A clock that can be set ahead.
#[derive(Debug, Default)]
pub struct Hand(AtomicI64);

impl Hand {
    pub fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        let ahead = u64::try_from(self.0.load(Ordering::SeqCst)).unwrap();
        SystemClock.now().plus(Duration::from_secs(ahead))
    }
}
