//! Lists of ended sessions, as AWS has them: a policy is replaced as a whole by whoever writes
//! last, there is no compare-and-swap, and a write that was given up on may still land. They are
//! written by the AWS adapter's own hand; only IAM is simulated.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_aws::simulated::{Denied, List, ListName, Pen, RoleLists, Times, pass};
use jitney_core::adapter::{Hand, Mark, Pass};
use jitney_core::books::Recorded;
use jitney_core::evidence::Hold;
use jitney_core::fault::{Fault as Believed, FaultKind};
use jitney_core::lease::Revoking;
use jitney_core::plan::LaneId;
use jitney_core::time::{Clock as _, Timestamp};

use super::port::{CloudPort, believed};
use super::{Cloud, SETTLE, SKEW};
use crate::fixtures::START;
use crate::simulation::executor::lock;
use crate::simulation::fault::Call;

/// How long the adapter waits between two writes.
const INTERVAL: Duration = Duration::from_secs(1);

impl CloudPort {
    /// Brings the lane's list to what is due and held.
    pub(super) async fn deny(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Believed> {
        let cloud_now = self.cloud_now(due).await;
        let lists = Lists {
            port: self,
            lane,
            met: match (due.is_empty(), holds.is_empty()) {
                (false, false) => &["revoking", "ended"],
                (false, true) => &["revoking"],
                (true, _) => &["ended"],
            },
        };
        let times = Times {
            settle: SETTLE,
            skew: SKEW,
            interval: INTERVAL,
        };
        // One pass over a lane at a time: that is the driver's promise.
        let pens = &self.memory;
        let mut pen = lock(pens).pens.remove(lane).unwrap_or_default();
        let passed = pass(&lists, &mut pen, hand, (due, holds), cloud_now, times).await;
        lock(pens).pens.insert(lane.clone(), pen);
        passed
    }

    /// The cloud's time, when it may decide about a lease.
    async fn cloud_now(&self, due: &[Recorded<Revoking>]) -> Option<Timestamp> {
        let latest = self.process.clock().now().plus(SKEW);
        if due.iter().all(|lease| latest < lease.exposed_until()) {
            return None;
        }
        let asked = self.send(self.fair(), |cloud: &Cloud| cloud.stage.now());
        asked.await.ok()
    }
}

/// The lists of one lane, as one process reaches them.
struct Lists<'a> {
    port: &'a CloudPort,
    lane: &'a LaneId,
    /// The states of leases that a change is about.
    met: &'static [&'static str],
}

impl Lists<'_> {
    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Cloud, &LaneId) -> T + Send + 'static,
    ) -> Result<T, Believed> {
        self.port.process.step().await;
        let lane = self.lane.clone();
        let asked = self
            .port
            .send(self.port.fair(), move |cloud| question(cloud, &lane));
        // A question that is not answered has changed nothing.
        let kind = FaultKind::Retryable { after: None };
        asked.await.map_err(|_| believed(kind, "sim_cannot_read"))
    }

    async fn change(&self, name: ListName, list: Option<List>) -> Result<(), Believed> {
        self.port.process.step().await;
        let fate = self.port.fate(Call::Revoke, self.met)?;
        self.port.process.step().await;
        let (lane, trace) = (self.lane.clone(), self.port.process.scene().trace.clone());
        let told = list.as_ref().map_or_else(
            || "is removed".to_owned(),
            |list| format!("names {}", list.denied.len()),
        );
        let changing = self.port.send(fate, move |cloud: &Cloud| {
            cloud.write(&lane, name, list);
            trace.tell(|| format!("{lane}: the list of epoch {} {told}", name.epoch.0));
        });
        changing.await?;
        self.port.process.step().await;
        Ok(())
    }
}

impl RoleLists for Lists<'_> {
    fn role(&self) -> &str {
        &self.lane.name
    }

    fn now(&self) -> Timestamp {
        self.port.process.clock().now()
    }

    fn passed(&self) -> Duration {
        self.port.process.stage().now().since(START)
    }

    fn skew(&self) -> Option<Duration> {
        let (ours, theirs) = (self.now(), self.port.process.stage().now());
        Some(ours.since(theirs).max(theirs.since(ours)))
    }

    async fn rest_until(&self, passed: Duration) {
        let rest = passed.saturating_sub(self.passed());
        self.port.process.stage().sleep(rest).await;
    }

    async fn names(&self) -> Result<Option<Vec<ListName>>, Believed> {
        self.read(|cloud, lane| Some(cloud.look(|estate| estate.list_names(lane))))
            .await
    }

    async fn list(&self, name: ListName) -> Result<Option<List>, Believed> {
        self.read(move |cloud, lane| cloud.look(|estate| estate.list(lane, name)))
            .await
    }

    async fn put(&self, name: ListName, denied: &Denied, mark: Mark) -> Result<bool, Believed> {
        let denied: BTreeSet<_> = denied.clone();
        self.change(name, Some(List { denied, mark })).await?;
        Ok(true)
    }

    async fn remove(&self, name: ListName) -> Result<(), Believed> {
        self.change(name, None).await
    }
}

/// What a process remembers of the lists it writes.
pub(super) type Pens = std::collections::BTreeMap<LaneId, Pen>;
