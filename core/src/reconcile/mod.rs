//! The reconciler: brings the clouds to what the ledger says. It takes no hints.
//!
//! Whatever is due is found by its due time, and a lane is driven one step: intents without an
//! answer are doubted, leases whose time is up or whose job is silent are ended, what is under
//! revocation is revoked, and what must stay in force is kept in force. The happy path, a crash,
//! a restart and the background all come through here.

mod beats;
mod behind;
mod compaction;
mod lanes;
mod orders;
mod pass;

use core::time::Duration;
use std::collections::BTreeSet;

use futures_util::future::join_all;

pub(crate) use behind::describe;
pub use lanes::{CLAIM, Lanes};
pub use orders::Untold;
pub(crate) use orders::is_ended_by;

use crate::adapter::Epoch;
use crate::books::{FoundLease, FoundRequest, OpenLane, Recorded, Step};
use crate::evidence::Hold;
use crate::id::RequestId;
use crate::lease::{Active, End, Revoking};
use crate::ledger::{CannotRead, CommitError, Fence, Transaction};
use crate::plan::LaneId;
use crate::request::{Closed, Granted};
use crate::time::Timestamp;
use crate::usecase::Core;

/// How soon a request with leases still open is looked at again.
const REQUEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a lane could not be driven to its end this time. It stays due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stumble {
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] CannotRead),
    /// The ledger did not take what was found.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The lane's target is not set up in this broker.
    #[error("lane `{0}` is due, but its target is not in this broker's configuration")]
    NoAdapter(LaneId),
    /// The cloud did not do it.
    #[error("the cloud did not end what is due in lane `{lane}`: {fault}")]
    Cloud {
        /// The lane.
        lane: LaneId,
        /// The fault's code and what the log should say.
        fault: String,
    },
}

impl Core {
    /// Drives everything that is due, at most `budget` lanes, and says when to come again. What
    /// went wrong is given back for the log; it stays due.
    pub async fn turn(&self, now: Timestamp, budget: u32) -> (Option<Timestamp>, Vec<Stumble>) {
        let lanes = match self.due_lanes(now, budget).await {
            Ok(lanes) => lanes,
            Err(error) => return (None, vec![error.into()]),
        };
        let heard = self.write_beats_down().await.err();
        let obeyed = self.obey().await.err();
        let driven = join_all(lanes.iter().map(|lane| self.drive(lane))).await;
        let failed = driven.into_iter().filter_map(Result::err);
        let first = heard.into_iter().chain(obeyed);
        let mut stumbles: Vec<Stumble> = first.chain(failed).collect();
        stumbles.extend(self.close_due_requests(now, budget).await.err());
        match self.books.ledger().next_due().await {
            Ok(next) => (next, stumbles),
            Err(error) => {
                stumbles.push(error.into());
                (None, stumbles)
            }
        }
    }

    /// The lanes in which something is due and which are not resting after a failure.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn due_lanes(&self, now: Timestamp, budget: u32) -> Result<Vec<LaneId>, CannotRead> {
        // A resting lane stays due, and the longest due come first. If they counted, a target that
        // is down would leave no room for the others.
        let limit = budget.saturating_add(self.lanes.resting_count(now));
        let ledger = self.books.ledger();
        let found = ledger.due_lanes(now, limit).await;
        if found.is_err() && ledger.is_shared() {
            // What other brokers heard does not come through either: silence counts anew.
            self.pulse.ready(now);
        }
        let mut lanes = found?;
        lanes.retain(|lane| !self.lanes.resting(lane, now));
        lanes.truncate(usize::try_from(budget).unwrap_or(usize::MAX));
        Ok(lanes)
    }

    /// Drives one lane one step.
    ///
    /// # Errors
    /// A [`Stumble`]; whatever was due stays due.
    pub async fn drive(&self, lane: &LaneId) -> Result<(), Stumble> {
        let now = self.clock.now();
        let Some(epoch) = self.claim(lane, now).await? else {
            return Ok(());
        };
        let open = self.books.lane(lane, now).await?;
        let (revoking, alive, holds) = self.end_what_is_due(lane, epoch, open, now).await?;
        let heard = self.note_alive(lane, epoch, alive).await;
        let over = self.pass(lane, epoch, revoking, holds).await?;
        for lease in &over {
            self.pulse.forget(lease.terms().id);
        }
        let requests: BTreeSet<RequestId> =
            over.iter().map(|lease| lease.terms().request).collect();
        self.close_requests(requests).await?;
        heard
    }

    async fn claim(&self, lane: &LaneId, now: Timestamp) -> Result<Option<Epoch>, Stumble> {
        if let Some(epoch) = self.lanes.owned(lane, now) {
            return Ok(Some(epoch));
        }
        self.claim_anew(lane, now).await
    }

    /// Keeps a lane that is being driven for longer than it was claimed for: a pass over it may
    /// wait for the cloud's pace and for a cloud that is slow, and would be in vain once another
    /// broker took the lane.
    ///
    /// # Errors
    /// A [`Stumble`]; then the lane is ours for no longer than before.
    pub async fn prolong(&self, lane: &LaneId) -> Result<(), Stumble> {
        self.claim_anew(lane, self.clock.now()).await.map(|_| ())
    }

    async fn claim_anew(&self, lane: &LaneId, now: Timestamp) -> Result<Option<Epoch>, Stumble> {
        let until = now.plus(lanes::CLAIM);
        let claimed = self
            .books
            .ledger()
            .claim_lane(lane, self.lanes.hand(), now, until)
            .await?;
        if let Some(epoch) = claimed {
            self.lanes.claimed(lane, epoch, until);
        }
        Ok(claimed)
    }

    /// Turns every due intent and every lease that is over into one under revocation. Also gives
    /// those whose jobs were heard.
    async fn end_what_is_due(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        open: OpenLane,
        now: Timestamp,
    ) -> Result<(Vec<Recorded<Revoking>>, Vec<Step<Active>>, Vec<Hold>), Stumble> {
        let mut revoking = Vec::new();
        let mut ending: Vec<Step<Revoking>> = Vec::new();
        let mut alive: Vec<Step<Active>> = Vec::new();
        for lease in open.leases {
            match lease {
                FoundLease::Revoking(lease) => revoking.push(lease),
                FoundLease::Doubtful(lease) => ending.push(lease.doubted(now)),
                FoundLease::Active(lease) => match self.why_over(&lease, now) {
                    Ok(why) => ending.push(lease.ending(why, now)),
                    Err(heard_at) => alive.push(lease.alive(heard_at)),
                },
                FoundLease::Ended(_) => {}
            }
        }
        if !ending.is_empty() {
            let also = fenced(lane, epoch);
            revoking.extend(self.record_in_lane(lane, ending, also).await?);
        }
        Ok((revoking, alive, open.holds))
    }

    /// Writes down that jobs were heard. Apart from what ends, which must not wait for it: a
    /// ledger that cannot be written may still have a place where ends are noted.
    async fn note_alive(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        alive: Vec<Step<Active>>,
    ) -> Result<(), Stumble> {
        if alive.is_empty() {
            return Ok(());
        }
        let noted = self.record_in_lane(lane, alive, fenced(lane, epoch));
        noted.await.map(|_| ())
    }

    /// Why an active lease is over, or when its job was last heard.
    fn why_over(&self, lease: &Recorded<Active>, now: Timestamp) -> Result<End, Timestamp> {
        if now >= lease.ends_at() {
            return Ok(End::Expired);
        }
        let ledger = self.books.ledger();
        if ledger.is_shared() && !ledger.is_there() {
            // Other brokers hear jobs and cannot write it down: nobody here may call them silent,
            // nor before there was time to share what was heard.
            self.pulse.ready(now);
        }
        let heard_at = self.pulse.silent_since(lease.terms().id, lease.alive_at());
        if now >= heard_at.plus(self.books.patience()) {
            Ok(End::Silent)
        } else {
            Err(heard_at)
        }
    }

    async fn record_in_lane<R: crate::books::Record>(
        &self,
        lane: &LaneId,
        record: R,
        also: Transaction,
    ) -> Result<R::Recorded, Stumble> {
        let recorded = self.books.record_with(record, also).await;
        if let Err(CommitError::Fenced(_)) = &recorded {
            self.lanes.lost(lane);
        }
        Ok(recorded?)
    }

    /// Closes those of the requests whose leases have all ended.
    async fn close_requests(&self, requests: BTreeSet<RequestId>) -> Result<(), Stumble> {
        let mut steps = Vec::new();
        for id in requests {
            if let Some(FoundRequest::Granted(request)) = self.books.request(id).await?
                && self.all_ended(id).await?
            {
                steps.push(request.done(self.clock.now()));
            }
        }
        if !steps.is_empty() {
            let _: Vec<Recorded<Closed>> = self.books.record(steps).await?;
        }
        Ok(())
    }

    async fn all_ended(&self, id: RequestId) -> Result<bool, CannotRead> {
        let leases = self.books.ledger().leases_of(id).await?;
        Ok(leases.iter().all(|lease| lease.is_final))
    }

    /// Looks at requests whose time has come: nobody answered, a process died while granting, or
    /// the last lease ended while nobody looked.
    ///
    /// # Errors
    /// A [`Stumble`]; the requests stay due.
    pub async fn close_due_requests(&self, now: Timestamp, budget: u32) -> Result<(), Stumble> {
        let mut closed: Vec<Step<Closed>> = Vec::new();
        let mut open: Vec<Step<Granted>> = Vec::new();
        for request in self.books.due_requests(now, budget).await? {
            match request {
                FoundRequest::Pending(request) => closed.push(request.timed_out(now)),
                FoundRequest::Granting(request) => {
                    closed.push(request.not_granted("interrupted", now));
                }
                FoundRequest::Granted(request) if self.all_ended(request.terms().id).await? => {
                    closed.push(request.done(now));
                }
                FoundRequest::Granted(request) => open.push(request.still_open(REQUEST_PAUSE, now)),
                FoundRequest::Closed(_) => {}
            }
        }
        if !closed.is_empty() || !open.is_empty() {
            self.books.record((closed, open)).await?;
        }
        Ok(())
    }
}

/// Asserts that the lane is still ours.
fn fenced(lane: &LaneId, epoch: Epoch) -> Transaction {
    Transaction {
        fences: vec![Fence {
            lane: lane.clone(),
            epoch,
        }],
        ..Transaction::default()
    }
}
