//! Noticing that the ledger went back in time, and recovering from it.
//!
//! A ledger restored from a backup has forgotten leases, and nothing in it tells so. The clouds
//! do: whatever is written there bears the mark of the ledger that wrote it, and a lane's writer
//! its epoch. A later one than ours means that elevations stop until an operator has ordered
//! everything to be cut that could have been issued.

use super::{Stumble, fenced};
use crate::adapter::{Hand, Pass};
use crate::audit::{Entry, Event};
use crate::books::Posted;
use crate::evidence::{Held, Hold};
use crate::ledger::{CommitError, Fence, Transaction};
use crate::plan::LaneId;
use crate::standing::{Halt, Recovery, Seen, Standing};
use crate::usecase::Core;

impl Core {
    /// Draws the consequences of what a pass saw of other ledgers and of later hands.
    pub(super) async fn heed(
        &self,
        lane: &LaneId,
        hand: Hand,
        held: &[Hold],
        pass: &Pass,
    ) -> Result<(), Stumble> {
        let known = self.books.standing_as_known().await?;
        let recovery = known
            .says
            .halt
            .as_ref()
            .and_then(|halt| halt.recovery.as_ref());
        match (self.later_than_ours(lane, hand, pass).await?, recovery) {
            (Some(seen), None) => self.halt(lane, seen).await,
            (Some(seen), Some(_)) => self.outgrow(lane, seen).await,
            (None, Some(recovery)) if pass.is_brought(hand) && is_cut(recovery, lane, held) => {
                self.cut(|in_lane| in_lane == lane).await
            }
            (None, _) => Ok(()),
        }
    }

    /// What the cloud bore that this ledger cannot have led to.
    async fn later_than_ours(
        &self,
        lane: &LaneId,
        hand: Hand,
        pass: &Pass,
    ) -> Result<Option<Seen>, Stumble> {
        // Other brokers bring the ledger further than this process knows, so the ledger is asked.
        if let Some(seen) = pass.mark_seen.filter(|seen| *seen > hand.mark)
            && seen > self.books.mark_now().await?
        {
            return Ok(Some(Seen::Mark(seen)));
        }
        let Some(newer) = pass.superseded_by else {
            return Ok(None);
        };
        self.lanes.lost(lane);
        // A broker that took the lane over has it in the ledger: then it does not become ours
        // again, or only in an epoch that is higher still.
        let ours = self.claim(lane, self.clock.now()).await?;
        let Some(ours) = ours.filter(|ours| *ours < newer) else {
            return Ok(None);
        };
        // While the ledger cannot be written, a hand goes on in an epoch that may be an old one.
        // Only one that the ledger confirms shows that it went back in time.
        self.books.note(fenced(lane, ours)).await?;
        Ok(Some(Seen::Epoch(newer)))
    }

    /// No more elevations, on any broker. Whatever else is ordered at the same moment, it holds
    /// when this returns.
    pub(crate) async fn halt(&self, lane: &LaneId, seen: Seen) -> Result<(), Stumble> {
        let now = self.clock.now();
        loop {
            let posted = self.books.standing().await?;
            if posted.says.halt.is_some() {
                return Ok(());
            }
            let ledger = self.books.mark();
            let entry = Entry::new(now, Event::Halted)
                .field("lane", lane)
                .field("seen", describe(seen))
                .field("ledger", ledger);
            let halt = Halt {
                since: now,
                lane: lane.clone(),
                seen,
                ledger,
                recovery: None,
            };
            let says = Standing {
                halt: Some(halt),
                ..posted.says.clone()
            };
            self.post(&posted, &says, vec![entry]).await?;
        }
    }

    /// A trace that even the recovery did not know of: the ledger is brought past it too.
    async fn outgrow(&self, lane: &LaneId, seen: Seen) -> Result<(), Stumble> {
        match seen {
            Seen::Epoch(epoch) => {
                self.lanes.lost(lane);
                let raised = Transaction {
                    epochs_raised: vec![Fence {
                        lane: lane.clone(),
                        epoch,
                    }],
                    ..Transaction::default()
                };
                Ok(self.books.note(raised).await?)
            }
            Seen::Mark(mark) => {
                let posted = self.books.standing().await?;
                let mut says = posted.says.clone();
                says.era = says.era.max(mark.era.saturating_add(1));
                self.post(&posted, &says, Vec::new()).await
            }
        }
    }

    /// Lets go of a recovery whose lanes could not all be reached until nothing was left to cut: a
    /// cloud that was away, a target that is no longer set up.
    pub(super) async fn outlive(&self, standing: &Standing) -> Result<(), Stumble> {
        let recovery = standing
            .halt
            .as_ref()
            .and_then(|halt| halt.recovery.as_ref());
        match recovery {
            Some(recovery) if self.clock.now() >= recovery.over_at => self.cut(|_| true).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Lanes were read back as cut. With the last of them, the recovery is done.
    async fn cut(&self, is_cut: impl Fn(&LaneId) -> bool) -> Result<(), Stumble> {
        let now = self.clock.now();
        let posted = self.books.standing().await?;
        let mut says = posted.says.clone();
        says.tidy(now);
        let Some(recovery) = says.halt.as_mut().and_then(|halt| halt.recovery.as_mut()) else {
            return Ok(());
        };
        let before = recovery.lanes.len();
        recovery.lanes.retain(|lane| !is_cut(lane));
        if recovery.lanes.len() == before {
            return Ok(());
        }
        let mut entries = Vec::new();
        if recovery.lanes.is_empty() {
            let entry = Entry::new(now, Event::Recovered)
                .field("person", &recovery.person)
                .field("cut_before", recovery.cut_before)
                .field("era", says.era);
            entries.push(entry);
            says.halt = None;
        }
        self.post(&posted, &says, entries).await
    }

    /// Changes the standing orders, unless somebody else did at the same moment: then whoever
    /// looks next finds what is still to be done.
    pub(crate) async fn post(
        &self,
        posted: &Posted<Standing>,
        says: &Standing,
        entries: Vec<Entry>,
    ) -> Result<(), Stumble> {
        let change = Transaction {
            sheets: vec![posted.changed(says)?],
            entries,
            ..Transaction::default()
        };
        match self.books.note(change).await {
            Ok(()) | Err(CommitError::Moved(_)) => {
                self.books.standing().await?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the pass enforced the cut that a recovery waits for in this lane.
fn is_cut(recovery: &Recovery, lane: &LaneId, held: &[Hold]) -> bool {
    let reaches = |hold: &Hold| match hold.held {
        Held::IssuedBefore(moment) => moment >= recovery.cut_before,
        Held::Grant(_) => false,
    };
    recovery.lanes.contains(lane) && held.iter().any(reaches)
}

pub(crate) fn describe(seen: Seen) -> String {
    match seen {
        Seen::Mark(mark) => format!("mark {mark}"),
        Seen::Epoch(epoch) => format!("epoch {}", epoch.0),
    }
}
