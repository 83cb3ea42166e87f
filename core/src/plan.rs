//! Plans: an adapter's pure translation of what is wanted into its cloud's own terms.

use core::fmt;
use core::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::catalogue::Wanted;
use crate::guarantee::Guarantees;
use crate::handle::Handle;
use crate::id::TargetName;
use crate::principal::Job;

/// What one hand at a time must write in a cloud: on AWS a role's deny list, elsewhere a slot of a
/// pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneId {
    /// The target it lies in; tells which adapter drives it.
    pub target: TargetName,
    /// The adapter's name for it within the target.
    pub name: String,
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.target, self.name)
    }
}

/// What an adapter is asked to plan: everything one lease is about.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The scopes of the request that lie in this target, at least one.
    pub wanted: &'a [Wanted],
    /// The target.
    pub target: &'a TargetName,
    /// How long the lease is to live from one grant or renewal to the next.
    pub ttl: Duration,
    /// How long it may live at most, all renewals included.
    pub lasts: Duration,
    /// The slot that is to carry it, where this cloud grants to identities of ours: one of those
    /// that the adapter named for it.
    pub slot: Option<&'a LaneId>,
    /// The name that the cloud will know it by.
    pub handle: &'a Handle,
    /// The job, for what the cloud's own log should say of it.
    pub job: &'a Job,
}

/// An adapter's translation of an [`Order`]. It is stored with the intent, so it holds nothing
/// secret, and everything a later process needs in order to revoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What must be written by one hand to end this grant.
    pub lane: LaneId,
    /// The most leases and holds the lane has room for.
    pub lane_capacity: u32,
    /// The cloud's own terms. Only the adapter reads them.
    pub terms: serde_json::Value,
    /// What will be asked of the cloud, for people.
    pub summary: Vec<String>,
    /// How long the cloud is waited for, in seconds, where that is longer than this installation
    /// waits for clouds that answer at once.
    #[serde(default)]
    pub answers_within_seconds: u32,
    /// The longest time between our own deadline and the last moment at which the cloud may still
    /// act on a call made for the grant.
    pub lands_within_seconds: u32,
    /// The longest a credential minted for this plan lives, in seconds, with everything derived
    /// from it that ends with the grant.
    pub lives_seconds: u32,
    /// The longest that something derived may need a hold after the credential's own end.
    pub derived_seconds: u32,
    /// What the adapter promises for this plan.
    pub guarantees: Guarantees,
}

impl Plan {
    /// A digest over the whole plan, in hexadecimal: what an approval is bound to.
    ///
    /// # Errors
    /// When the plan's terms cannot be written as JSON.
    pub fn digest(&self) -> Result<String, serde_json::Error> {
        let bytes = serde_json::to_vec(self)?;
        let hash = digest::digest(&digest::SHA256, &bytes);
        Ok(hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }
}

/// Why no plan could be made. A planner refuses; it never widens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{told}")]
pub struct CannotPlan {
    /// A stable code, e.g. `plan_too_large`.
    pub code: &'static str,
    /// What the job may read.
    pub told: String,
    /// What the operator should read.
    pub logged: String,
}
