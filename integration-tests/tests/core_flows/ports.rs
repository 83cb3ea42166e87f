//! What tests put between a broker and its ledger or cloud: a process that dies at a chosen call,
//! a commit that goes wrong, a call that waits.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use jitney_core::adapter::{Adapter, Elevate, Epoch, Hand, Page, Pass, Reach, Revoke};
use jitney_core::audit::Frontier;
use jitney_core::books::Recorded;
use jitney_core::catalogue::{Resource, Wanted};
use jitney_core::credential::{Elevation, Shown};
use jitney_core::evidence::Hold;
use jitney_core::fault::Fault;
use jitney_core::id::{CloudName, RequestId, TargetName};
use jitney_core::lease::{Active, Elevating, Revoking, Terms};
use jitney_core::ledger::{
    CannotRead, CommitError, LaneRows, LeaseFilter, Ledger, OnceUse, Row, RowId, Sheet,
    StoredEntry, Transaction,
};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::principal::OnceKey;
use jitney_core::probe::{InForce, Probe, Probed};
use jitney_core::question::{Inquire, Inquiry, Question};
use jitney_core::time::Timestamp;
use jitney_core::usecase::Core;
use jitney_integration_tests::fake_cloud::FakeCloud;
use jitney_integration_tests::fixtures::World;
use tokio::sync::Notify;

/// Where in a call a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the call leaves.
    Before,
    /// When the call has done its work and before its answer is read.
    After,
}

/// Something to do around every call that leaves a broker.
#[async_trait]
pub trait Around: Send + Sync {
    /// Before a call of any kind. Gives the call's number; never returns if the process dies.
    async fn before(&self) -> u64 {
        0
    }
    /// After the call with that number.
    async fn after(&self, _call: u64) {}
    /// What a commit comes to instead: its outcome, and whether it is applied.
    fn instead_of_commit(&self, _commit: &Transaction) -> Option<(CommitError, bool)> {
        None
    }
    /// Whether other brokers write the ledger too.
    fn is_shared(&self) -> bool {
        false
    }
    /// Whether it cannot be seen what is due.
    fn is_dark(&self) -> bool {
        false
    }
    /// Before a commit is given to the ledger.
    async fn before_commit(&self) {}
    /// What claiming a lane comes to instead.
    fn instead_of_claim(&self) -> Option<CommitError> {
        None
    }
    /// When a lane was read, and before anybody knows of it.
    async fn after_reading_a_lane(&self) {}
    /// Before a call that takes back.
    async fn before_revoking(&self) {}
}

/// Dies at its `at`-th call, and counts all of them.
pub struct Fuse {
    at: u64,
    moment: Moment,
    calls: AtomicU64,
    blown: Notify,
}

impl Fuse {
    pub fn new(at: u64, moment: Moment) -> Arc<Self> {
        Arc::new(Self {
            at,
            moment,
            calls: AtomicU64::new(0),
            blown: Notify::new(),
        })
    }

    /// Counts calls, and never blows.
    pub fn counting() -> Arc<Self> {
        Self::new(u64::MAX, Moment::Before)
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Runs a process until it is done or dies. Says whether it was done.
    pub async fn run(&self, process: impl Future<Output = ()>) -> bool {
        tokio::select! {
            biased;
            () = self.blown.notified() => false,
            () = process => true,
        }
    }

    async fn die(&self) {
        self.blown.notify_one();
        pending::<()>().await;
    }
}

#[async_trait]
impl Around for Fuse {
    async fn before(&self) -> u64 {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if call > self.at {
            // Another call of the same process is the one it dies in.
            pending::<()>().await;
        }
        if call == self.at && self.moment == Moment::Before {
            self.die().await;
        }
        call
    }

    async fn after(&self, call: u64) {
        if call == self.at {
            self.die().await;
        }
    }
}

/// Lets the `at`-th commit end in `outcome`.
pub struct BadCommit {
    at: u64,
    outcome: CommitError,
    applied: bool,
    commits: AtomicU64,
}

impl BadCommit {
    pub fn new(at: u64, outcome: CommitError, applied: bool) -> Arc<Self> {
        Arc::new(Self {
            at,
            outcome,
            applied,
            commits: AtomicU64::new(0),
        })
    }

    /// Counts commits, and lets all of them pass.
    pub fn counting() -> Arc<Self> {
        Self::new(u64::MAX, CommitError::Unknown(String::new()), false)
    }

    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Around for BadCommit {
    fn instead_of_commit(&self, _commit: &Transaction) -> Option<(CommitError, bool)> {
        let commit = self.commits.fetch_add(1, Ordering::SeqCst);
        (commit == self.at).then(|| (self.outcome.clone(), self.applied))
    }
}

/// A ledger that other brokers write too.
#[derive(Default)]
pub struct Shared {
    calls: AtomicU64,
    commits: AtomicU64,
    is_dark: AtomicBool,
}

impl Shared {
    /// How often it was asked or written.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// How often it was written.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// From now on it cannot be seen what is due, or it can.
    pub fn cannot_be_read(&self, is_dark: bool) {
        self.is_dark.store(is_dark, Ordering::SeqCst);
    }
}

#[async_trait]
impl Around for Shared {
    async fn before(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::SeqCst)
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn before_commit(&self) {
        self.commits.fetch_add(1, Ordering::SeqCst);
    }

    fn is_dark(&self) -> bool {
        self.is_dark.load(Ordering::SeqCst)
    }
}

/// Holds a call that takes back until it is let go.
#[derive(Default)]
pub struct Gate {
    pub reached: Notify,
    pub open: Notify,
}

#[async_trait]
impl Around for Gate {
    async fn before_revoking(&self) {
        self.reached.notify_one();
        self.open.notified().await;
    }
}

/// A broker with something around each of its calls.
pub fn broker_with(world: &World, hand: &str, around: &Arc<dyn Around>) -> Core {
    let ledger = ledger_with(&world.ledger, around);
    let adapters: BTreeMap<TargetName, Arc<dyn Adapter>> = world
        .clouds
        .iter()
        .map(|(name, cloud)| {
            let adapter: Arc<dyn Adapter> = Arc::new(WrappedCloud {
                inner: Arc::clone(cloud),
                around: Arc::clone(around),
            });
            (name.clone(), adapter)
        })
        .collect();
    world.broker_over(hand, ledger, adapters)
}

/// A ledger with something around each of its calls.
pub fn ledger_with(inner: &Arc<dyn Ledger>, around: &Arc<dyn Around>) -> Arc<dyn Ledger> {
    Arc::new(WrappedLedger {
        inner: Arc::clone(inner),
        around: Arc::clone(around),
    })
}

struct WrappedCloud {
    inner: Arc<FakeCloud>,
    around: Arc<dyn Around>,
}

#[async_trait]
impl Elevate for WrappedCloud {
    fn cloud(&self) -> &CloudName {
        self.inner.cloud()
    }

    fn slots(&self, wanted: &[Wanted]) -> Vec<LaneId> {
        self.inner.slots(wanted)
    }

    fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        self.inner.plan(order)
    }

    async fn elevate(&self, intent: &Recorded<Elevating>) -> Result<Elevation, Fault> {
        let call = self.around.before().await;
        let answer = self.inner.elevate(intent).await;
        self.around.after(call).await;
        answer
    }

    fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        self.inner.lanes(resources)
    }

    fn reach(&self) -> Reach {
        self.inner.reach()
    }

    async fn renew(&self, lease: &Recorded<Active>) -> Result<Elevation, Fault> {
        let call = self.around.before().await;
        let answer = self.inner.renew(lease).await;
        self.around.after(call).await;
        answer
    }
}

#[async_trait]
impl Revoke for WrappedCloud {
    async fn revoke(
        &self,
        lane: &LaneId,
        hand: Hand,
        due: &[Recorded<Revoking>],
        holds: &[Hold],
    ) -> Result<Pass, Fault> {
        let call = self.around.before().await;
        self.around.before_revoking().await;
        let answer = self.inner.revoke(lane, hand, due, holds).await;
        self.around.after(call).await;
        answer
    }

    async fn sweep(&self, after: Option<String>) -> Result<Page, Fault> {
        let call = self.around.before().await;
        let answer = self.inner.sweep(after).await;
        self.around.after(call).await;
        answer
    }
}

#[async_trait]
impl Probe for WrappedCloud {
    fn in_force(&self, plan: &Plan) -> InForce {
        self.inner.in_force(plan)
    }

    async fn probe(&self, lease: &Terms, wanted: &Wanted, shown: &Shown) -> Probed {
        self.inner.probe(lease, wanted, shown).await
    }
}

impl Inquire for WrappedCloud {
    fn questions(&self) -> &'static [Question] {
        self.inner.questions()
    }

    fn inquire(self: Arc<Self>, lease: &Terms, wanted: &[Wanted]) -> Box<dyn Inquiry> {
        Arc::clone(&self.inner).inquire(lease, wanted)
    }
}

struct WrappedLedger {
    inner: Arc<dyn Ledger>,
    around: Arc<dyn Around>,
}

impl WrappedLedger {
    async fn around<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        let call = self.around.before().await;
        let answer = work.await;
        self.around.after(call).await;
        answer
    }
}

#[async_trait]
impl Ledger for WrappedLedger {
    async fn commit(&self, transaction: Transaction) -> Result<u64, CommitError> {
        self.around.before_commit().await;
        match self.around.instead_of_commit(&transaction) {
            Some((outcome, applied)) => {
                if applied {
                    self.inner.commit(transaction).await?;
                }
                Err(outcome)
            }
            None => self.around(self.inner.commit(transaction)).await,
        }
    }

    fn is_shared(&self) -> bool {
        self.around.is_shared()
    }

    async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        self.around(self.inner.row(id)).await
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<Row>, CannotRead> {
        self.around(self.inner.rows(ids)).await
    }

    async fn leases_of(&self, request: RequestId) -> Result<Vec<Row>, CannotRead> {
        self.around(self.inner.leases_of(request)).await
    }

    async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        self.around(self.inner.leases(filter)).await
    }

    async fn sheet(&self, name: &str) -> Result<Option<Sheet>, CannotRead> {
        self.around(self.inner.sheet(name)).await
    }

    async fn sheets(&self, prefix: &str) -> Result<Vec<Sheet>, CannotRead> {
        self.around(self.inner.sheets(prefix)).await
    }

    async fn once(&self, key: &OnceKey) -> Result<Option<OnceUse>, CannotRead> {
        self.around(self.inner.once(key)).await
    }

    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, CannotRead> {
        if self.around.is_dark() {
            return Err(CannotRead("it is dark".to_owned()));
        }
        self.around(self.inner.due_lanes(now, limit)).await
    }

    async fn due_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<Row>, CannotRead> {
        self.around(self.inner.due_requests(now, limit)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, CannotRead> {
        self.around(self.inner.next_due()).await
    }

    async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<LaneRows, CannotRead> {
        let found = self.around(self.inner.lane(lane, now)).await;
        self.around.after_reading_a_lane().await;
        found
    }

    async fn claim_lane(
        &self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Epoch>, CommitError> {
        if let Some(outcome) = self.around.instead_of_claim() {
            return Err(outcome);
        }
        self.around(self.inner.claim_lane(lane, hand, now, until))
            .await
    }

    async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        self.around(self.inner.entries(from, limit)).await
    }

    async fn frontier(&self) -> Result<Frontier, CannotRead> {
        self.around(self.inner.frontier()).await
    }

    async fn store_checkpoint(&self, size: u64, note: String) -> Result<(), CommitError> {
        self.around(self.inner.store_checkpoint(size, note)).await
    }

    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        self.around(self.inner.checkpoints()).await
    }
}
