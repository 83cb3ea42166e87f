//! One Azure subscription as core sees it.

use std::sync::Arc;

use jitney_core::fault::{Fault, FaultKind};
use jitney_core::id::{BadId, CloudName, InstallationName, TargetName};
use jitney_core::time::Clock;

use crate::calm::Calms;
use crate::config::AzureTarget;
use crate::connect::{Clients, Identities};
use crate::plan::Planner;
use crate::watch::{Stopwatch, Watch};

/// The name by which the catalogue's columns and the configuration call this cloud.
pub const CLOUD: &str = "azure";

/// What a job may read of a revocation that did not go through: there is nothing it could do.
pub(crate) const TOLD_REVOKING: &str = "what was granted is still being taken back";

/// Elevates and revokes in one Azure subscription.
#[derive(Debug)]
pub struct AzureAdapter {
    pub(crate) planner: Planner,
    pub(crate) clients: Clients,
    pub(crate) identities: Identities,
    pub(crate) watch: Watch,
    pub(crate) calms: Calms,
}

impl AzureAdapter {
    /// The adapter of one target. Makes no call.
    ///
    /// # Errors
    /// Never in practice: when [`CLOUD`] is not a cloud's name.
    pub fn new(
        target: TargetName,
        config: AzureTarget,
        installation: InstallationName,
        identities: Identities,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BadId> {
        Ok(Self {
            clients: Clients::new(&config, &identities),
            identities,
            planner: Planner {
                cloud: CLOUD.parse::<CloudName>()?,
                target,
                installation,
                config,
            },
            watch: Watch::new(clock),
            calms: Calms::default(),
        })
    }

    /// The same, with another clock for the time that passes: where ten minutes are not waited for.
    #[must_use]
    pub fn timed_by(self, stopwatch: Arc<dyn Stopwatch>) -> Self {
        Self {
            watch: self.watch.by(stopwatch),
            ..self
        }
    }

    pub(crate) const fn config(&self) -> &AzureTarget {
        &self.planner.config
    }
}

/// A fault that Azure has no part in.
pub(crate) fn own_fault(kind: FaultKind, code: &'static str, told: &str, logged: String) -> Fault {
    Fault {
        kind,
        code,
        told: told.to_owned(),
        logged,
    }
}
