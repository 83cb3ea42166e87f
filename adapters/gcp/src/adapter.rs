//! One Google Cloud target as core sees it.

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use jitney_core::catalogue::Resource;
use jitney_core::cloud_clock::CloudClock;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::id::{BadId, CloudName, InstallationName, TargetName};
use jitney_core::plan::LaneId;
use jitney_core::quota::Quota;
use jitney_core::time::Clock;
use tokio::time::Instant;

use crate::account_slot::AccountSlot;
use crate::config::GcpTarget;
use crate::connect::{Identities, Purpose};
use crate::names::{AccountEmail, PolicyName, ProjectRole};
use crate::notes::Notes;
use crate::plan::Planner;
use crate::policy_lane::PolicyLane;
use crate::policy_store::PolicyStore;
use crate::rest::Clients;
use crate::taking::Watch;

/// The name by which the catalogue's columns and the configuration call this cloud.
pub const CLOUD: &str = "gcp";

/// What a job may read of a revocation that did not go through: there is nothing it could do.
pub(crate) const TOLD_REVOKING: &str = "what was granted is still being taken back";

/// In which Google counts changes of accounts: 600 unless it was asked for more.
const MINUTE: Duration = Duration::from_secs(60);

/// Elevates and revokes in one Google Cloud target.
pub struct GcpAdapter {
    pub(crate) planner: Planner,
    pub(crate) clients: Arc<Clients>,
    pub(crate) clock: Arc<CloudClock>,
    pub(crate) quota: Quota,
    /// What elevations of this process met.
    pub(crate) notes: Notes,
    /// The policies in which a lease of this target can have bindings, by the inventory.
    pub(crate) known: BTreeSet<PolicyName>,
    lanes: Mutex<BTreeMap<PolicyName, Arc<PolicyLane<PolicyStore>>>>,
    watches: Mutex<BTreeMap<LaneId, Arc<tokio::sync::Mutex<Watch>>>>,
}

/// Why there is no such adapter.
#[derive(Debug, thiserror::Error)]
pub enum NoAdapter {
    /// Never in practice: when [`CLOUD`] is not a cloud's name.
    #[error(transparent)]
    Name(#[from] BadId),
    /// TLS cannot be set up.
    #[error("cannot set up HTTPS for Google: {0}")]
    Https(#[from] reqwest::Error),
}

impl GcpAdapter {
    /// The adapter of one target. Makes no call. `resources` are the inventory's entries of the
    /// target: in their policies what is left of leases is looked for.
    ///
    /// # Errors
    /// When HTTPS cannot be set up.
    pub fn new<'a>(
        target: TargetName,
        config: GcpTarget,
        installation: InstallationName,
        identities: impl Into<Identities>,
        clock: Arc<dyn Clock>,
        resources: impl IntoIterator<Item = &'a Resource>,
    ) -> Result<Self, NoAdapter> {
        let began = Instant::now();
        let clock = Arc::new(CloudClock::new(clock, move || began.elapsed()));
        Ok(Self {
            clients: Arc::new(Clients::new(
                &config,
                identities.into(),
                Arc::clone(&clock),
            )?),
            quota: Quota::of(config.account_writes_per_minute, MINUTE),
            notes: Notes::default(),
            known: policies(resources),
            lanes: Mutex::default(),
            watches: Mutex::default(),
            planner: Planner {
                cloud: CLOUD.parse::<CloudName>()?,
                target,
                installation,
                config,
            },
            clock,
        })
    }

    pub(crate) const fn config(&self) -> &GcpTarget {
        &self.planner.config
    }

    /// An account as a lease has to do with it, for whoever gives or takes back.
    pub(crate) const fn slot<'a>(
        &'a self,
        account: &'a AccountEmail,
        purpose: Purpose,
    ) -> AccountSlot<'a> {
        AccountSlot {
            adapter: self,
            account,
            purpose,
        }
    }

    /// The one hand of this process that writes a policy.
    pub(crate) fn policy(&self, on: &PolicyName) -> Arc<PolicyLane<PolicyStore>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(on.clone()).or_insert_with(|| {
            let store = PolicyStore {
                clients: Arc::clone(&self.clients),
                clock: Arc::clone(&self.clock),
            };
            let installation = self.planner.installation.clone();
            PolicyLane::new(
                on.clone(),
                Arc::new(store),
                installation,
                self.config().interval(),
            )
        });
        Arc::clone(lane)
    }

    /// What this process remembers of a lane. One call at a time holds it.
    pub(crate) fn watch(&self, lane: &LaneId) -> Arc<tokio::sync::Mutex<Watch>> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(watches.entry(lane.clone()).or_default())
    }
}

impl fmt::Debug for GcpAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcpAdapter")
            .field("target", &self.planner.target)
            .finish_non_exhaustive()
    }
}

/// The policies that leases on some resources change. An entry that names nothing with a policy is
/// one that no lease is planned on.
pub(crate) fn policies<'a>(
    resources: impl IntoIterator<Item = &'a Resource>,
) -> BTreeSet<PolicyName> {
    let named = resources.into_iter().filter_map(|resource| {
        let id = &resource.native_id;
        let own_role = || id.parse::<ProjectRole>().ok();
        id.parse()
            .ok()
            .or_else(|| Some(PolicyName::Project(own_role()?.project)))
    });
    named.collect()
}

/// A fault that Google has no part in.
pub(crate) fn own_fault(kind: FaultKind, code: &'static str, told: &str, logged: String) -> Fault {
    Fault {
        kind,
        code,
        told: told.to_owned(),
        logged,
    }
}
