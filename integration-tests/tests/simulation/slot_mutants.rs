//! Cores and adapters that do one thing wrong with slots. Each is caught.

use std::sync::Arc;

use jitney_core::adapter::Adapter;
use jitney_core::evidence::{Evidence, Revocation};
use jitney_core::lease::Revoking;
use jitney_core::ledger::{Share, Transaction};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use jitney_integration_tests::simulation::cloud::SKEW;
use jitney_integration_tests::simulation::mutant::Mutant;

use crate::bent::Bend;
use crate::mutants::{BentAdapter, NOTHING_LEFT, bending, caught};

pub const OF_ONE_LEASE: &str = "no credential does what another lease may";

fn is_slot(lane: &LaneId) -> bool {
    lane.name.starts_with("slot-")
}

/// Takes a slot for free while it is in quarantine.
pub struct IgnoresQuarantine;

impl Bend for IgnoresQuarantine {
    fn write(&self, transaction: &mut Transaction) {
        let is_of_slot = |share: &Share| matches!(share, Share::Lane(lane) if is_slot(lane));
        transaction
            .budgets
            .retain(|budget| !is_of_slot(&budget.share));
    }

    fn hides_holds(&self, lane: &LaneId, at: Timestamp) -> bool {
        // As whoever looks for a free slot asks.
        is_slot(lane) && at == Timestamp::FAR_FUTURE
    }
}

#[test]
fn a_pool_that_ignores_holds_is_caught() {
    caught(bending(IgnoresQuarantine), &[OF_ONE_LEASE, NOTHING_LEFT]);
}

/// An adapter whose answers about leases on slots are bent.
struct Finds(fn(&Revoking, Revocation) -> Revocation);

impl Mutant for Finds {
    fn adapter(&self, real: Arc<dyn Adapter>) -> Arc<dyn Adapter> {
        let bend = self.0;
        Arc::new(BentAdapter {
            real,
            epoch: Box::new(|epoch| epoch),
            found: Box::new(move |lease, found| {
                if is_slot(&lease.terms().plan.lane) {
                    bend(lease, found)
                } else {
                    found
                }
            }),
        })
    }
}

#[test]
fn a_quarantine_that_is_over_with_its_lease_is_caught() {
    let let_go = |_: &Revoking, found| match found {
        Revocation::Evident { evidence, .. } => Revocation::Evident {
            evidence,
            hold_until: None,
        },
        found @ Revocation::NotYet { .. } => found,
    };
    caught(Finds(let_go), &[OF_ONE_LEASE, NOTHING_LEFT]);
}

#[test]
fn an_adapter_that_takes_what_is_not_seen_yet_for_gone_is_caught() {
    let believe = |lease: &Revoking, found| match found {
        Revocation::NotYet {
            written: false,
            look_again,
            ..
        } => Revocation::Evident {
            evidence: Evidence::Settled {
                written_at: look_again,
                settle_seconds: 0,
            },
            hold_until: Some(lease.exposed_until().plus(SKEW)),
        },
        found => found,
    };
    caught(Finds(believe), &[OF_ONE_LEASE, NOTHING_LEFT]);
}
