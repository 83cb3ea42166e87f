//! Taking back from a slot: its identity loses the right, and the slot stays empty while something
//! is held in it.

use core::time::Duration;
use std::collections::BTreeSet;

use jitney_core::adapter::{Hand, Mark, Pass};
use jitney_core::books::Recorded;
use jitney_core::evidence::{Evidence, Held, Hold, Revocation};
use jitney_core::fault::{Fault as Believed, FaultKind};
use jitney_core::handle::Handle;
use jitney_core::lease::{Revoking, Terms};
use jitney_core::plan::LaneId;
use jitney_core::time::{Clock as _, Timestamp};

use super::port::{CloudPort, believed};
use super::slots::{Cleared, Removal, SLOT_SETTLE};
use super::taking::{Seen, due_handles};
use super::{Cloud, SKEW};
use crate::simulation::executor::lock;
use crate::simulation::fault::{Call, Fault};

/// How soon the adapter tries again what the cloud does not let happen yet.
const AGAIN: Duration = Duration::from_secs(30);

impl CloudPort {
    /// Makes sure that a slot gives nothing, and was not written from a later ledger: one that was
    /// restored thinks slots free that are not.
    pub(super) async fn ensure_at_rest(&self, terms: &Terms, mark: Mark) -> Result<(), Believed> {
        let slot = terms.plan.lane.clone();
        let asked = self.send(self.fair(), move |cloud: &Cloud| cloud.slot(&slot));
        // Nothing was given by looking.
        let (gives, seen) = asked.await.map_err(|_| {
            let retryable = FaultKind::Retryable { after: None };
            believed(retryable, "sim_slot_unseen")
        })?;
        if gives || seen > Some(mark) {
            return Err(believed(FaultKind::Permanent, "sim_slot_not_at_rest"));
        }
        Ok(())
    }

    /// Takes from a slot what is due, and what is held to be gone.
    pub(super) async fn clear(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Believed> {
        self.process.step().await;
        let met: &[&str] = match (due.is_empty(), holds.is_empty()) {
            (false, false) => &["revoking", "ended"],
            (false, true) => &["revoking"],
            (true, _) => &["ended"],
        };
        let fate = self.fate(Call::Revoke, met)?;
        self.process.step().await;
        let at = self.process.clock().now();
        let grants = holds.iter().filter_map(Hold::grant);
        let handles = due_handles(due).chain(grants);
        let handles: BTreeSet<Handle> = handles.cloned().collect();
        let moments = holds.iter().filter_map(|hold| match hold.held {
            Held::IssuedBefore(moment) => Some(moment),
            Held::Grant(_) => None,
        });
        let (moment, there) = (moments.max(), lane.clone());
        let answer = self
            .send(fate, move |cloud: &Cloud| {
                cloud.clear(&there, (&handles, moment), hand.mark)
            })
            .await;
        let cleared = answer.inspect_err(|_| self.unsettle(due_handles(due)))?;
        self.process.step().await;
        self.tell_cleared(lane, &cleared, met);
        let leases = due.iter().map(|lease| {
            let found = self.judge(lease, &cleared, at);
            (lease.terms().id, Ok(found))
        });
        let mut pass = Pass {
            leases: leases.collect(),
            mark_seen: cleared.mark,
            ..Pass::default()
        };
        for hold in holds {
            self.judge_hold(lane, &hold.held, &cleared, &mut pass);
        }
        Ok(pass)
    }

    fn tell_cleared(&self, lane: &LaneId, cleared: &Cleared, met: &[&str]) {
        let weather = &self.process.scene().weather;
        for (_, _, removal) in &cleared.found {
            self.process.tell(|| format!("{lane}: {removal:?}"));
            let fault = match removal {
                Removal::Done => continue,
                Removal::TooEarly => Fault::Floor,
                Removal::Unseen => Fault::Unseen,
            };
            weather.met(fault, met.iter().copied());
        }
    }

    /// Absence counts from a look made after nothing can land any more, and once it has stood for
    /// the settle time before this process's eyes.
    fn judge(&self, lease: &Recorded<Revoking>, cleared: &Cleared, at: Timestamp) -> Revocation {
        let handle = &lease.terms().handle;
        let found = cleared.found.iter().find(|(it, ..)| it == handle);
        let seen = match found.map(|(_, _, removal)| removal) {
            Some(Removal::TooEarly | Removal::Unseen) => Seen::There,
            Some(Removal::Done) => Seen::Taken,
            None if at < lease.lands_by() => Seen::There,
            None => Seen::Gone,
        };
        let settled_in = self.settles(handle, seen, SLOT_SETTLE);
        if settled_in.is_zero() {
            let until = lease.exposed_until().plus(SKEW);
            return Revocation::Evident {
                evidence: Evidence::Absent { at },
                hold_until: Some(until).filter(|until| *until > at),
            };
        }
        let is_gone = seen != Seen::There;
        let pause = if is_gone { settled_in } else { AGAIN };
        Revocation::NotYet {
            written: is_gone,
            look_again: self.process.clock().now().plus(pause),
            exposed_until: lease.exposed_until(),
        }
    }

    fn judge_hold(&self, lane: &LaneId, held: &Held, cleared: &Cleared, pass: &mut Pass) {
        let covered = cleared
            .found
            .iter()
            .filter(|(handle, given_at, _)| match held {
                Held::Grant(grant) => grant == handle,
                Held::IssuedBefore(moment) => given_at < moment,
            });
        let removals: Vec<Removal> = covered.map(|(_, _, removal)| *removal).collect();
        if removals.iter().any(|removal| *removal != Removal::Done) {
            pass.unreached = true;
            return;
        }
        let is_new = lock(&self.memory)
            .seen_gone
            .insert((lane.clone(), held.clone()));
        if !removals.is_empty() && !is_new {
            pass.undone.push(held.clone());
        }
    }
}
