//! What a broker of a world can be made to do wrong, so that it is seen that a world would tell.

use std::sync::Arc;

use jitney_core::adapter::Adapter;
use jitney_core::ledger::Ledger;

use super::process::Process;

/// Something between a broker's core and its ports that makes it, in effect, another core.
pub trait Mutant: Send + Sync {
    /// The ledger as core sees it.
    fn ledger(&self, real: Arc<dyn Ledger>, _process: &Arc<Process>) -> Arc<dyn Ledger> {
        real
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
