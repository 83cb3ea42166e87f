//! What a broker of a world can be made to do wrong, so that it is seen that a world would tell.

use std::sync::Arc;

use jitney_core::adapter::Adapter;
use jitney_core::id::TargetName;
use jitney_core::ledger::Ledger;
use jitney_core::usecase::LookedBack;
use serde_json::Value;

use super::process::Process;

/// Something between a broker's core and its ports that makes it, in effect, another core.
pub trait Mutant: Send + Sync {
    /// The ledger as core sees it.
    fn ledger(&self, real: Arc<dyn Ledger>, _process: &Arc<Process>) -> Arc<dyn Ledger> {
        real
    }

    /// Where a broker that begins has looked back already.
    fn looked_back(&self, _targets: &[TargetName]) -> LookedBack {
        LookedBack::default()
    }

    /// What reaches a spool of what is noted in it.
    fn noted(&self, payload: Vec<u8>) -> Option<Vec<u8>> {
        Some(payload)
    }

    /// What an adapter makes of an account's description.
    fn description(&self, text: String) -> String {
        text
    }

    /// What an adapter sends when it writes a policy.
    fn policy(&self, written: Value) -> Value {
        written
    }

    /// A cloud's adapter as core sees it.
    fn adapter(&self, real: Arc<dyn Adapter>) -> Arc<dyn Adapter> {
        real
    }
}

/// Nothing is wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sound;

impl Mutant for Sound {}
