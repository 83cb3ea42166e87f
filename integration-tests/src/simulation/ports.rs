//! A broker's way to the ledger: it takes a while, and it may go wrong.

use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use jitney_core::adapter::Epoch;
use jitney_core::audit::Frontier;
use jitney_core::id::RequestId;
use jitney_core::ledger::{
    CannotRead, CommitError, LaneRows, LeaseFilter, Ledger, OnceUse, Row, RowId, Sheet,
    StoredEntry, Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::principal::OnceKey;
use jitney_core::time::Timestamp;

use super::executor::Group;
use super::fault::{Call, Fault};
use super::process::{Process, Scene};

/// How late a commit can land whose answer was lost.
const LANDS_LATE_MAX: Duration = Duration::from_secs(30);

/// The ledger as one broker reaches it.
pub struct LedgerPort(pub Arc<Process>);

impl LedgerPort {
    async fn read<T: Send>(
        &self,
        question: impl Future<Output = Result<T, CannotRead>> + Send,
    ) -> Result<T, CannotRead> {
        self.0.step().await;
        let is_out = self.0.scene().outage.stops_reads(self.0.stage().now());
        if is_out || self.goes_wrong(Call::Read).is_some() {
            return Err(CannotRead("the simulated ledger is not there".to_owned()));
        }
        let answer = question.await;
        self.0.stage().sleep(self.0.jitter()).await;
        answer
    }

    fn goes_wrong(&self, call: Call) -> Option<(Fault, super::dice::Dice)> {
        let states = self.0.scene().states();
        self.0.struck(call, states.iter().map(String::as_str))
    }

    /// Does something durable, once: now, later, or never.
    async fn write<T, W>(&self, work: W) -> Result<T, CommitError>
    where
        T: Send,
        W: FnOnce(&Scene, &str) -> Result<T, CommitError> + Send + 'static,
    {
        self.0.step().await;
        self.0.stage().sleep(self.0.jitter()).await;
        let unknown = || CommitError::Unknown("the simulated answer was lost".to_owned());
        let scene = Arc::clone(self.0.scene());
        if scene.outage.stops_writes(scene.stage.now()) {
            let states = scene.states();
            let states = states.iter().map(String::as_str);
            scene.weather.met(Fault::LedgerOut, states);
            let words = "the simulated ledger takes nothing for a while".to_owned();
            return Err(CommitError::Unavailable(words));
        }
        match self.goes_wrong(Call::Commit) {
            Some((Fault::CommitRefused, _)) => {
                let words = "the simulated ledger takes nothing".to_owned();
                return Err(CommitError::Unavailable(words));
            }
            Some((Fault::CommitLost, mut dice)) => {
                if dice.one_in(2) {
                    let _ = work(&scene, self.0.hand());
                }
                return Err(unknown());
            }
            Some((_, mut dice)) => {
                let later = dice.between(Duration::from_millis(50), LANDS_LATE_MAX);
                let hand = self.0.hand().to_owned();
                let restored = scene.ledger.restored();
                self.0.stage().spawn(Group::WORLD, async move {
                    scene.stage.sleep(later).await;
                    let is_out = scene.outage.stops_writes(scene.stage.now());
                    if scene.ledger.restored() == restored && !is_out {
                        let _ = work(&scene, &hand);
                    }
                });
                return Err(unknown());
            }
            None => {}
        }
        let outcome = work(&scene, self.0.hand());
        self.0.step().await;
        outcome
    }
}

#[async_trait]
impl Ledger for LedgerPort {
    fn is_shared(&self) -> bool {
        true
    }

    async fn commit(&self, transaction: Transaction) -> Result<u64, CommitError> {
        self.write(move |scene, hand| {
            let sequence = scene.ledger.apply(&transaction)?;
            scene.notary.saw(scene, hand, &transaction);
            Ok(sequence)
        })
        .await
    }

    async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        self.read(self.0.scene().ledger.row(id)).await
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<Row>, CannotRead> {
        self.read(self.0.scene().ledger.rows(ids)).await
    }

    async fn leases_of(&self, request: RequestId) -> Result<Vec<Row>, CannotRead> {
        self.read(self.0.scene().ledger.leases_of(request)).await
    }

    async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        self.read(self.0.scene().ledger.leases(filter)).await
    }

    async fn sheet(&self, name: &str) -> Result<Option<Sheet>, CannotRead> {
        self.read(self.0.scene().ledger.sheet(name)).await
    }

    async fn sheets(&self, prefix: &str) -> Result<Vec<Sheet>, CannotRead> {
        self.read(self.0.scene().ledger.sheets(prefix)).await
    }

    async fn once(&self, key: &OnceKey) -> Result<Option<OnceUse>, CannotRead> {
        self.read(self.0.scene().ledger.once(key)).await
    }

    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, CannotRead> {
        self.read(self.0.scene().ledger.due_lanes(now, limit)).await
    }

    async fn due_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<Row>, CannotRead> {
        self.read(self.0.scene().ledger.due_requests(now, limit))
            .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, CannotRead> {
        self.read(self.0.scene().ledger.next_due()).await
    }

    async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<LaneRows, CannotRead> {
        self.read(self.0.scene().ledger.lane(lane, now)).await
    }

    async fn claim_lane(
        &self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Epoch>, CommitError> {
        let (lane, hand) = (lane.clone(), hand.to_owned());
        self.write(move |scene, _| {
            let epoch = scene.ledger.claim(&lane, &hand, now, until);
            if let Some(epoch) = epoch {
                scene.notary.claimed(scene, &lane, &hand, epoch);
            }
            Ok(epoch)
        })
        .await
    }

    async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        self.read(self.0.scene().ledger.entries(from, limit)).await
    }

    async fn frontier(&self) -> Result<Frontier, CannotRead> {
        self.read(self.0.scene().ledger.frontier()).await
    }

    async fn store_checkpoint(&self, size: u64, note: String) -> Result<(), CommitError> {
        self.write(move |scene, _| scene.ledger.checkpoint(size, note))
            .await
    }

    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        self.read(self.0.scene().ledger.checkpoints()).await
    }
}
