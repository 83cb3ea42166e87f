//! Taking back: one list of Denies on each role, brought to what is due and what is held.

use core::time::Duration;

use async_trait::async_trait;
use jitney_core::adapter::{Hand, Page, Pass, Revoke};
use jitney_core::books::Recorded;
use jitney_core::evidence::Hold;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::lease::Revoking;
use jitney_core::plan::LaneId;
use jitney_core::quota::Errand;
use jitney_core::time::Timestamp;

use crate::adapter::{AwsAdapter, TOLD_REVOKING, own_fault};
use crate::judge::Case;
use crate::plan::LANE_PREFIX;
use crate::role_policies::RolePolicies;
use crate::writing::{Times, pass};

#[async_trait]
impl Revoke for AwsAdapter {
    async fn revoke(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Fault> {
        let role = self.role_of(lane)?;
        let times = self.times();
        let cloud_now = self.cloud_now(due, times.skew).await;
        let pen = self.pens.of(role);
        let mut pen = pen.lock().await;
        let policies = self.policies_of(role, Errand::TakesBack);
        pass(&policies, &mut pen, hand, (due, holds), cloud_now, times).await
    }

    async fn sweep(&self, after: Option<String>) -> Result<Page, Fault> {
        self.look_through(after).await
    }
}

impl AwsAdapter {
    fn role_of<'a>(&self, lane: &'a LaneId) -> Result<&'a str, Fault> {
        let role = lane.name.strip_prefix(LANE_PREFIX);
        let is_role = |role: &&str| crate::arn::is_role_name(role);
        match role.filter(is_role) {
            Some(role) if lane.target == self.planner.target => Ok(role),
            _ => {
                let logged = format!("`{lane}` is not a lane of `{}`", self.planner.target);
                Err(own_fault(
                    FaultKind::Permanent,
                    "aws_not_our_lane",
                    TOLD_REVOKING,
                    logged,
                ))
            }
        }
    }

    /// AWS's time, if it may decide about a lease.
    async fn cloud_now(&self, due: &[Recorded<Revoking>], skew: Duration) -> Option<Timestamp> {
        let latest = self.clock.now().plus(skew);
        let may_be_dead = |lease: &Recorded<Revoking>| latest > Case::of(lease).dead_at(skew);
        if !due.iter().any(may_be_dead) {
            return None;
        }
        if self.clock.at_least().is_none()
            && let Err(fault) = self.look_at_clock().await
        {
            tracing::warn!(code = fault.code, fault = %fault.logged,
                "AWS's clock could not be looked at: what time has ended stays open");
        }
        self.clock.at_least()
    }

    pub(crate) fn policies_of<'a>(&'a self, role: &'a str, errand: Errand) -> RolePolicies<'a> {
        RolePolicies {
            clients: &self.clients,
            installation: &self.planner.installation,
            clock: &self.clock,
            quotas: &self.quotas,
            role,
            errand,
        }
    }

    fn times(&self) -> Times {
        let config = self.config();
        Times {
            settle: config.settle(),
            skew: config.skew(),
            interval: Duration::from_millis(config.write_interval_milliseconds.into()),
        }
    }
}
