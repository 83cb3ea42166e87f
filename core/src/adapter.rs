//! What an adapter must be able to do.
//!
//! # Contract
//!
//! Between core and whoever adds a cloud. The laws in `integration-tests` say the same with
//! tests; an adapter is done when they pass.
//!
//! - `plan` is pure and refuses what it cannot express. It never widens.
//! - `elevate` and `renew` make at most one call that gives, with the SDK's retries off, and come
//!   back within the deadline they were configured with. A call without a clear answer is
//!   [`Ambiguous`](crate::fault::FaultKind::Ambiguous).
//! - `revoke` is idempotent. What it enforces is rebuilt from what it is given, and from nothing
//!   else: the leases under revocation and the holds of the lane.
//! - No credential is kept, logged or put into an error.
//! - An adapter reads no ledger and knows no other adapter.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::books::Recorded;
use crate::credential::Elevation;
use crate::evidence::{Hold, Revocation};
use crate::fault::Fault;
use crate::guarantee::Guarantees;
use crate::id::{CloudName, LeaseId};
use crate::lease::{Active, Elevating, Revoking};
use crate::plan::{CannotPlan, LaneId, Order, Plan};

/// Gives privileges. The permission to call is the type: only the books make a [`Recorded`].
#[async_trait]
pub trait Elevate: Send + Sync {
    /// The cloud whose column of the catalogue this adapter reads.
    fn cloud(&self) -> &CloudName;

    /// Translates an order into this cloud's terms.
    ///
    /// # Errors
    /// When the order cannot be expressed exactly, or exceeds one of the cloud's limits.
    fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan>;

    /// What this adapter promises for a plan.
    fn guarantees(&self, plan: &Plan) -> Guarantees {
        plan.guarantees.clone()
    }

    /// Makes the grant that was intended.
    ///
    /// # Errors
    /// A [`Fault`] that says what must now be believed.
    async fn elevate(&self, intent: &Recorded<Elevating>) -> Result<Elevation, Fault>;

    /// Mints again for an active lease, under the same handle, so that one revocation ends both.
    /// The lease's end was raised in the ledger before.
    ///
    /// # Errors
    /// A [`Fault`] that says what must now be believed.
    async fn renew(&self, lease: &Recorded<Active>) -> Result<Elevation, Fault>;
}

/// What became of each lease that was to be revoked. A lease that is missing is ambiguous.
pub type Revocations = BTreeMap<LeaseId, Result<Revocation, Fault>>;

/// Which hand writes a lane. Epochs only grow; a writer with an older one has been superseded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Takes privileges back.
#[async_trait]
pub trait Revoke: Send + Sync {
    /// Ends what `due` names and keeps ended what `holds` names, in one lane, as the hand with
    /// this epoch. Called again and again until every lease is evident; with no lease due it
    /// still brings the lane to what the holds say, and drops what they no longer name.
    ///
    /// # Errors
    /// When the lane as a whole could not be brought to what was asked; then it is asked again.
    async fn revoke(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Revocations, Fault>;
}

/// A cloud's adapter.
pub trait Adapter: Elevate + Revoke {}

impl<T: Elevate + Revoke> Adapter for T {}
