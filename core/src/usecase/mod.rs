//! What a broker does for those who ask: submit a request, renew and release leases, hear beats.
//!
//! Use cases are async functions over ports. They hold no lock while they wait, and a process
//! that dies anywhere inside one leaves behind a ledger from which [`crate::reconcile`] goes on.

mod draft;
mod ends;
mod lease_calls;
mod looked_back;
mod operator;
mod overview;
mod probing;
mod recovery;
mod rehearsal;
mod slots;
mod submit;
mod sweep;
mod uses;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use lease_calls::{Beat, Proof, ShownProof};
pub use looked_back::{LookedBack, NOT_LOOKED_BACK};
pub use operator::{Aimed, OrderProgress, Signed};
pub use overview::{STUCK_GRACE, Stuck};
pub use recovery::Recovering;
pub use rehearsal::{Conclusion, Rehearsal, Report, Stage};
pub use slots::Slots;
pub use submit::{Ask, Submission};
pub use sweep::{Stray, Swept};

use crate::adapter::Adapter;
use crate::audit::SigningKey;
use crate::books::{Books, CannotSeal};
use crate::catalogue::{Catalogue, Inventory};
use crate::decision::Decide;
use crate::handle::StampKey;
use crate::id::TargetName;
use crate::plan::Plan;
use crate::pulse::Pulse;
use crate::reconcile::{Lanes, Untold};
use crate::refusal::Refusal;
use crate::time::{Clock, Timestamp};

/// The numbers that bound what anybody may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a request lasts when the job does not say, in seconds.
    pub ttl_seconds_default: u32,
    /// The shortest and longest time a request may ask for, in seconds.
    pub ttl_seconds_min: u32,
    /// See [`ttl_seconds_min`](Self::ttl_seconds_min).
    pub ttl_seconds_max: u32,
    /// How long a lease lives without being renewed, in seconds: the longest a credential
    /// outlives a job that nobody can reach.
    pub window_seconds: u32,
    /// How long to wait for the cloud's answer before the lease is doubted.
    pub answer_within: Duration,
    /// The most open leases and holds of one job.
    pub leases_per_job_max: u32,
    /// The most open leases and holds of one repository.
    pub leases_per_repository_max: u32,
    /// The most open leases and holds of one tenant.
    pub leases_per_tenant_max: u32,
    /// The longest reason, in characters.
    pub reason_length_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ttl_seconds_default: 900,
            ttl_seconds_min: 60,
            ttl_seconds_max: 3600,
            window_seconds: 900,
            answer_within: Duration::from_secs(20),
            leases_per_job_max: 8,
            leases_per_repository_max: 128,
            leases_per_tenant_max: 1024,
            reason_length_max: 512,
        }
    }
}

/// Everything a use case needs, behind ports.
pub struct Core {
    /// The ledger's typed face.
    pub books: Books,
    /// The adapter of each target.
    pub adapters: BTreeMap<TargetName, Arc<dyn Adapter>>,
    /// The active policy.
    pub policy: Arc<dyn Decide>,
    /// What the operator has.
    pub inventory: Inventory,
    /// What may be done with it.
    pub catalogue: Catalogue,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This installation's stamp.
    pub stamp: StampKey,
    /// The numbers that bound requests.
    pub limits: Limits,
    /// Signs of life.
    pub pulse: Pulse,
    /// The lanes that this process drives.
    pub lanes: Lanes,
    /// Which slots this process saw in use.
    pub slots: Slots,
    /// At which targets this process has looked back.
    pub looked_back: LookedBack,
    /// How far orders are carried out that the ledger could not be told of.
    pub untold: Untold,
}

impl Core {
    fn adapter(&self, target: &TargetName) -> Result<&Arc<dyn Adapter>, Refusal> {
        self.adapters.get(target).ok_or_else(|| {
            Refusal::new(
                "cannot_plan",
                "the resource's target is not set up in this broker",
            )
            .logged(format!(
                "target `{target}` has no adapter: add it to the configuration's `targets`"
            ))
        })
    }

    /// Until when the cloud is waited for that a plan is about.
    fn answer_by(&self, plan: &Plan, now: Timestamp) -> Timestamp {
        let asked = Duration::from_secs(plan.answers_within_seconds.into());
        now.plus(self.limits.answer_within.max(asked))
    }

    /// Signs the audit log as it stands, if it has grown.
    ///
    /// # Errors
    /// When the ledger cannot be read or written, or the checkpoint cannot be made.
    pub async fn seal_audit_log(&self, key: &SigningKey) -> Result<(), CannotSeal> {
        self.books.seal(key).await
    }
}
