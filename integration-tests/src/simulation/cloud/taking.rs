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

/// How a call found a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is there, or may still land.
    There,
    /// The call took it away.
    Taken,
    /// It is not there.
    Gone,
}

impl CloudPort {
    /// How long until a grant has been gone for the settle time before this process's eyes.
    pub(super) fn settles(&self, handle: &Handle, seen: Seen, settle: Duration) -> Duration {
        let now = self.process.stage().now();
        let gone_since = &mut lock(&self.memory).gone_since;
        if seen != Seen::Gone {
            gone_since.remove(handle);
        }
        if seen == Seen::There {
            return settle;
        }
        let since = gone_since.entry(handle.clone()).or_insert(now);
        since.plus(settle).since(now)
    }

    /// A call was not answered that may have taken these away: how long they are gone is unknown.
    pub(super) fn unsettle<'a>(&self, handles: impl IntoIterator<Item = &'a Handle>) {
        let gone_since = &mut lock(&self.memory).gone_since;
        for handle in handles {
            gone_since.remove(handle);
        }
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
        let handles: Vec<Handle> = due_handles(due).cloned().collect();
        let watermarks = holds.iter().filter_map(|hold| match hold.held {
            Held::IssuedBefore(moment) => Some(moment),
            Held::Grant(_) => None,
        });
        let (watermark, there) = (watermarks.max(), lane.clone());
        let trace = self.process.scene().trace.clone();
        let answer = self
            .send(fate, move |cloud: &Cloud| {
                let found = cloud.delete(&there, &handles, watermark);
                if !found.1.is_empty() {
                    trace.tell(|| format!("{there}: {} are deleted", found.1.len()));
                }
                found
            })
            .await;
        let (mark_seen, deleted) = answer.inspect_err(|_| self.unsettle(due_handles(due)))?;
        self.process.step().await;
        let leases = due.iter().map(|lease| {
            let handle = &lease.terms().handle;
            let seen = match (at >= lease.lands_by(), deleted.contains(handle)) {
                (false, _) => Seen::There,
                (true, true) => Seen::Taken,
                (true, false) => Seen::Gone,
            };
            let settled_in = self.settles(handle, seen, SETTLE);
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

/// The handles of what is due.
pub(super) fn due_handles(due: &[Recorded<Revoking>]) -> impl Iterator<Item = &Handle> {
    due.iter().map(|lease| &lease.terms().handle)
}
