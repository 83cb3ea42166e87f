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
//! - No call that gives leaves after the `answer_by` of what it is for. What lands later than that
//!   allows, the ledger does not reckon with.
//! - `revoke` is idempotent. What it enforces is rebuilt from what it is given, and from nothing
//!   else: the leases under revocation and the holds of the lane.
//! - No credential is kept, logged or put into an error.
//! - An adapter reads no ledger and knows no other adapter.
//! - It can be [probed](crate::probe) what the cloud accepts, or says that it cannot.
//! - What nobody knows about the cloud it [says](crate::question), and asks in rehearsals.

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::books::Recorded;
use crate::catalogue::{Resource, Wanted};
use crate::credential::Elevation;
use crate::evidence::{Held, Hold, Revocation};
use crate::fault::Fault;
use crate::guarantee::Guarantees;
use crate::id::{CloudName, LeaseId};
use crate::lease::{Active, Elevating, Revoking};
use crate::plan::{CannotPlan, LaneId, Order, Plan};
use crate::probe::Probe;
use crate::question::Inquire;

/// Gives privileges. The permission to call is the type: only the books make a [`Recorded`].
#[async_trait]
pub trait Elevate: Send + Sync {
    /// The cloud whose column of the catalogue this adapter reads.
    fn cloud(&self) -> &CloudName;

    /// The slots that can carry what is wanted, in a cloud that grants to identities of ours: each
    /// a lane of its own, in which one lease has room. Core chooses among them. Nothing where
    /// leases share a lane.
    fn slots(&self, wanted: &[Wanted]) -> Vec<LaneId> {
        let _ = wanted;
        Vec::new()
    }

    /// Translates an order into this cloud's terms.
    ///
    /// # Errors
    /// When the order cannot be expressed exactly, or exceeds one of the cloud's limits.
    fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan>;

    /// What this adapter promises for a plan.
    fn guarantees(&self, plan: &Plan) -> Guarantees {
        plan.guarantees.clone()
    }

    /// The lanes in which leases on these resources can lie: what a recovery must cut, because
    /// the ledger no longer knows what was granted there.
    fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId>;

    /// How far anything it ever issued can reach.
    fn reach(&self) -> Reach;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// How far the ledger had come, as stamps in the clouds tell it: a ledger that finds a later mark
/// than its own has gone back in time. Ordered by era, then by sequence.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Mark {
    /// Grows with every recovery from a ledger that went back in time.
    pub era: u32,
    /// The number of audit entries that the ledger held at least.
    pub sequence: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.era, self.sequence)
    }
}

/// The hand that writes a lane, as what it writes tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hand {
    /// Under which epoch it owns the lane.
    pub epoch: Epoch,
    /// How far its ledger has come.
    pub mark: Mark,
}

/// What one pass over a lane found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    /// What became of the leases that were due.
    pub leases: Revocations,
    /// The latest mark of this installation that the lane bore before the pass.
    pub mark_seen: Option<Mark>,
    /// The epoch of a later hand that has written the lane. Then nothing was taken away in it.
    pub superseded_by: Option<Epoch>,
    /// What this process had seen in force and what somebody else has undone since. It is put
    /// back.
    pub undone: Vec<Held>,
    /// Whether the lane could not be brought to what was asked, although some leases are over by
    /// themselves. Nothing that is held may be taken for being in force.
    pub unreached: bool,
    /// Whether the broker's clock is too far from the cloud's to tell what is still held. Then
    /// nothing was taken away.
    pub clock_disagrees: bool,
}

impl Pass {
    /// Whether nothing was taken away in the lane, because this hand cannot know what must stay: a
    /// later hand or a later ledger has written there, or the clocks disagree.
    #[must_use]
    pub fn took_nothing_away(&self, hand: Hand) -> bool {
        self.superseded_by.is_some() || self.mark_seen > Some(hand.mark) || self.clock_disagrees
    }

    /// Whether the lane was brought to exactly what was asked.
    #[must_use]
    pub fn is_brought(&self, hand: Hand) -> bool {
        !self.took_nothing_away(hand) && !self.unreached
    }
}

impl From<Revocations> for Pass {
    /// A pass that found nothing worth telling beside what became of the leases.
    fn from(leases: Revocations) -> Self {
        Self {
            leases,
            ..Self::default()
        }
    }
}

/// Whether something that bears a stamp gives a privilege or takes it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampedKind {
    /// It gives: a role assignment, a binding, an enabled account.
    Grant,
    /// It takes away: a Deny.
    Enforcement,
}

/// Something in a cloud that bears this installation's stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// The lane it lies in.
    pub lane: LaneId,
    /// What it grants or keeps ended.
    pub held: Held,
    /// How far the ledger was when it was written, where it tells.
    pub mark: Option<Mark>,
    /// Whether it gives or takes.
    pub kind: StampedKind,
    /// The cloud's own name for it, for people.
    pub native: String,
}

/// Some of what bears the stamp in a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What was found.
    pub found: Vec<Stamped>,
    /// Where to go on; absent when everything was seen.
    pub next: Option<String>,
}

/// How far something that an adapter ever issued can reach into the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The longest time from a call until the cloud may still act on it.
    pub issues_within: Duration,
    /// The longest that anything issued lives, with everything derived from it.
    pub lives: Duration,
    /// How long a change of what keeps something ended takes until it is in force.
    pub settles: Duration,
    /// Whether one entry can keep ended all that was issued in a lane before a moment, while what
    /// is issued later goes on.
    pub watermarks: bool,
    /// Whether what is granted in a lane stays there until it is taken away, although every
    /// credential has ended: what is held there is let go only once it was seen to be gone.
    pub grants_stay: bool,
}

/// Takes privileges back.
#[async_trait]
pub trait Revoke: Send + Sync {
    /// Ends what `due` names and keeps ended what `holds` names, in one lane, as this hand. Called
    /// again and again until every lease is evident; with no lease due it still brings the lane
    /// to what the holds say, and drops what they no longer name. A hand that finds a later epoch
    /// than its own, or the mark of a later ledger, takes nothing away: it may have forgotten what
    /// must stay. It adds what it knows of.
    ///
    /// # Errors
    /// When the lane as a whole could not be brought to what was asked; then it is asked again.
    async fn revoke(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Fault>;

    /// Some of what bears this installation's name in the target, beginning after `after`. It
    /// changes nothing. Whether a stamp is genuine is core's to judge. A process mints on the target
    /// only after it has looked through it once.
    ///
    /// # Errors
    /// When the target cannot be looked through.
    async fn sweep(&self, after: Option<String>) -> Result<Page, Fault>;
}

/// A cloud's adapter.
pub trait Adapter: Elevate + Revoke + Probe + Inquire {}

impl<T: Elevate + Revoke + Probe + Inquire> Adapter for T {}
