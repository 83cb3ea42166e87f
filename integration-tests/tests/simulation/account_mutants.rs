//! Adapters that do one thing wrong with accounts and their shared policy. Each is caught.

use std::sync::Arc;

use jitney_core::ledger::Ledger;
use jitney_integration_tests::simulation::mutant::Mutant;
use jitney_integration_tests::simulation::process::Process;
use serde_json::Value;

use crate::mutants::{NOTHING_LEFT, bending, caught};
use crate::slot_mutants::{IgnoresQuarantine, OF_ONE_LEASE};

const FOREIGN: &str = "of a shared policy nothing foreign is dropped or changed";

/// Writes a policy without saying which one it read.
struct WritesBlindly;

impl Mutant for WritesBlindly {
    fn policy(&self, mut written: Value) -> Value {
        if let Some(policy) = written.as_object_mut() {
            policy.remove("etag");
        }
        written
    }
}

#[test]
fn a_policy_that_is_written_without_its_etag_is_caught() {
    caught(WritesBlindly, &[FOREIGN]);
}

/// Enables an account that must rest: neither what the ledger holds nor what the account itself
/// says keeps it from that.
struct WakesTheSleeping;

impl Mutant for WakesTheSleeping {
    fn ledger(&self, real: Arc<dyn Ledger>, process: &Arc<Process>) -> Arc<dyn Ledger> {
        bending(IgnoresQuarantine).ledger(real, process)
    }

    fn description(&self, _: String) -> String {
        String::new()
    }
}

#[test]
fn an_account_that_is_enabled_inside_its_quarantine_is_caught() {
    caught(WakesTheSleeping, &[OF_ONE_LEASE, NOTHING_LEFT]);
}
