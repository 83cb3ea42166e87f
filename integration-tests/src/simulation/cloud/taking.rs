//! Taking back by deleting what was given.

use core::time::Duration;

use jitney_core::adapter::Pass;
use jitney_core::books::Recorded;
use jitney_core::evidence::{Evidence, Held, Hold, Revocation};
use jitney_core::fault::Fault as Believed;
use jitney_core::handle::Handle;
use jitney_core::lease::Revoking;
use jitney_core::plan::LaneId;
use jitney_core::time::Clock as _;

use super::port::CloudPort;
use super::{Cloud, SETTLE};
use crate::simulation::executor::lock;
use crate::simulation::fault::Call;

impl CloudPort {
    /// How long until a handle has been absent for the settle time before this process's eyes.
    fn settles(&self, handle: &Handle, is_absent: bool) -> Duration {
        let now = self.process.stage().now();
        let mut memory = lock(&self.memory);
        let since = memory.absent_since.entry(handle.clone()).or_insert(now);
        if !is_absent {
            *since = now;
        }
        since.plus(SETTLE).since(now)
    }

    /// Deletes what is there. What is not there is absent once it has been so for the settle time,
    /// counted from when nothing can land any more: before that, another hand's call that lands
    /// late may delete what landed late, with the effect still to come.
    pub(super) async fn delete(
        &self,
        lane: &LaneId,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Believed> {
        self.process.step().await;
        let met: &[&str] = if due.is_empty() {
            &["ended"]
        } else {
            &["revoking"]
        };
        let fate = self.fate(Call::Revoke, met)?;
        self.process.step().await;
        let at = self.process.clock().now();
        let handles: Vec<Handle> = due.iter().map(|it| it.terms().handle.clone()).collect();
        let watermarks = holds.iter().filter_map(|hold| match hold.held {
            Held::IssuedBefore(moment) => Some(moment),
            Held::Grant(_) => None,
        });
        let (watermark, there) = (watermarks.max(), lane.clone());
        let trace = self.process.scene().trace.clone();
        let (mark_seen, deleted) = self
            .send(fate, move |cloud: &Cloud| {
                let found = cloud.delete(&there, &handles, watermark);
                if !found.1.is_empty() {
                    trace.tell(|| format!("{there}: {} are deleted", found.1.len()));
                }
                found
            })
            .await?;
        self.process.step().await;
        let leases = due.iter().map(|lease| {
            let handle = &lease.terms().handle;
            let stays_away = !deleted.contains(handle) && at >= lease.lands_by();
            let settled_in = self.settles(handle, stays_away);
            let revocation = if settled_in.is_zero() {
                Revocation::Evident {
                    evidence: Evidence::Absent { at },
                    hold_until: None,
                }
            } else {
                Revocation::NotYet {
                    written: true,
                    look_again: self.process.clock().now().plus(settled_in),
                    exposed_until: lease.exposed_until(),
                }
            };
            (lease.terms().id, Ok(revocation))
        });
        Ok(Pass {
            leases: leases.collect(),
            mark_seen,
            ..Pass::default()
        })
    }
}
