//! Taking back, as core asks for it.

use async_trait::async_trait;
use jitney_core::adapter::{Hand, Page, Pass, Revoke};
use jitney_core::books::Recorded;
use jitney_core::evidence::Hold;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::lease::Revoking;
use jitney_core::plan::LaneId;

use crate::adapter::{GcpAdapter, TOLD_REVOKING, own_fault};
use crate::connect::Purpose;
use crate::judge::{Case, Times};
use crate::lane_name::{Carries, of_lane};
use crate::sharing::take_parts_back;
use crate::slot::Slot as _;
use crate::taking::take_back;

#[async_trait]
impl Revoke for GcpAdapter {
    async fn revoke(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Fault> {
        let found = of_lane(lane).filter(|_| lane.target == self.planner.target);
        let Some((carries, account)) = found else {
            let logged = format!("`{lane}` is not a lane of `{}`", self.planner.target);
            let kind = FaultKind::Permanent;
            return Err(own_fault(kind, "gcp_not_our_lane", TOLD_REVOKING, logged));
        };
        let cases: Vec<Case> = due.iter().map(|lease| Case::of(lease)).collect();
        let slot = self.slot(&account, Purpose::Takes);
        let times = self.times();
        let watch = self.watch(lane);
        let mut watch = watch.lock().await;
        self.tell_time(&cases, times, &account).await;
        match carries {
            Carries::One => take_back(&slot, &mut watch, hand, (&cases, holds), times).await,
            Carries::Many | Carries::Bounded => {
                take_parts_back(&slot, carries, hand, (&cases, holds), times).await
            }
        }
    }

    async fn sweep(&self, after: Option<String>) -> Result<Page, Fault> {
        self.look_through(after).await
    }
}

impl GcpAdapter {
    fn times(&self) -> Times {
        Times {
            settle: self.config().settle(),
            skew: self.config().skew(),
        }
    }

    /// Looks at Google's clock, if it may decide about a lease and was not looked at of late.
    async fn tell_time(&self, cases: &[Case], times: Times, account: &crate::names::AccountEmail) {
        let latest = self.clock.now().plus(times.skew);
        let may_be_dead = |case: &Case| latest > case.dead_at(times.skew);
        if !cases.iter().any(may_be_dead) || self.clock.at_least().is_some() {
            return;
        }
        if let Err(fault) = self.slot(account, Purpose::Takes).look().await {
            tracing::warn!(code = fault.code, fault = %fault.logged,
                "Google's clock could not be looked at: what time has ended stays open");
        }
    }
}
