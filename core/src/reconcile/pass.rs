//! One pass over one lane: the adapter is asked to end what is due and to keep ended what is held,
//! and what it found is recorded.

use core::time::Duration;

use super::compaction::{FROM, covered, watermark};
use super::lanes::Stands;
use super::{Stumble, fenced};
use crate::adapter::{Epoch, Hand, Pass, Reach, Revocations};
use crate::audit::{Entry, Event};
use crate::books::{FoundLease, Recorded, Step};
use crate::evidence::Hold;
use crate::fault::{Fault, FaultKind};
use crate::lease::{Ended, Looked, Revoking};
use crate::ledger::{CommitError, Look, Transaction};
use crate::plan::LaneId;
use crate::time::Timestamp;
use crate::usecase::Core;

/// How often what keeps ended leases ended is read back from the cloud while it must stay.
/// Terraform or a person may have undone it.
const READ_BACK: Duration = Duration::from_secs(60);
/// How soon a lane is looked at again in which a later hand, or a later ledger, was found.
const AGAIN: Duration = Duration::from_secs(1);

impl Core {
    /// Ends what is due in a lane and keeps ended what is held there.
    pub(super) async fn pass(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        revoking: Vec<Recorded<Revoking>>,
        holds: Vec<Hold>,
    ) -> Result<Vec<Recorded<Ended>>, Stumble> {
        let now = self.clock.now();
        let (held, spent): (Vec<Hold>, Vec<Hold>) =
            holds.into_iter().partition(|hold| hold.until > now);
        if revoking.is_empty() && spent.is_empty() && self.is_at_rest(lane, &held, now) {
            return Ok(Vec::new());
        }
        let adapter = self
            .adapters
            .get(&lane.target)
            .ok_or_else(|| Stumble::NoAdapter(lane.clone()))?;
        let reach = adapter.reach();
        let (held, spent) = self.overstayed(lane, epoch, (held, spent), reach).await?;
        let held = self.compacted(lane, epoch, held, reach).await?;
        let hand = Hand {
            epoch,
            // A mark that is too old would make this hand look outdone.
            mark: self.books.mark_now().await?,
        };
        match adapter.revoke(lane, hand, &revoking, &held).await {
            Ok(pass) => self.passed(lane, hand, revoking, (held, spent), pass).await,
            Err(fault) => self.not_passed(lane, epoch, revoking, &fault).await,
        }
    }

    /// Whether nothing needs to be asked of the cloud: nothing is held, or that it still is was
    /// seen of late.
    fn is_at_rest(&self, lane: &LaneId, held: &[Hold], now: Timestamp) -> bool {
        held.is_empty() || self.lanes.passed_within(lane, READ_BACK, now)
    }

    /// Prolongs the holds whose time is over and of which this process has not seen for long enough
    /// that nothing is left: a lease was written off, a lane was cut while its cloud was away, a
    /// stranger gave back what was taken. A slot would carry the next lease beside it.
    async fn overstayed(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        (mut held, spent): (Vec<Hold>, Vec<Hold>),
        reach: Reach,
    ) -> Result<(Vec<Hold>, Vec<Hold>), Stumble> {
        let now = self.clock.now();
        if spent.is_empty() || !reach.grants_stay || self.lanes.stands(lane, reach.settles, now) {
            return Ok((held, spent));
        }
        let until = now.plus(reach.settles).plus(READ_BACK);
        let prolonged = spent.into_iter().map(|hold| Hold { until, ..hold });
        let prolonged: Vec<Hold> = prolonged.collect();
        let also = Transaction {
            holds_placed: prolonged.clone(),
            ..fenced(lane, epoch)
        };
        match self.books.note(also).await {
            // What must be taken away does not wait for a ledger that cannot be written.
            Ok(()) | Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => {}
            Err(error) => return Err(error.into()),
        }
        held.extend(prolonged);
        Ok((held, Vec::new()))
    }

    /// Brings a watermark in for many holds, in the ledger first, and lets go of what one covers
    /// that has been in force for long enough.
    async fn compacted(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        mut held: Vec<Hold>,
        reach: Reach,
    ) -> Result<Vec<Hold>, Stumble> {
        if held.len() < FROM || !reach.watermarks {
            return Ok(held);
        }
        let now = self.clock.now();
        let as_it_was = held.clone();
        let mut also = fenced(lane, epoch);
        let settled = reach.settles.max(READ_BACK);
        let stands = self.lanes.watermark(lane, settled, &held, now);
        if let Some(Stands::Settled(watermark)) = &stands {
            also.holds_dropped = covered(watermark, &held).cloned().collect();
            also.entries = vec![
                Entry::new(now, Event::HoldsCompacted)
                    .field("lane", lane)
                    .field("watermark", &watermark.held)
                    .field("replaced", also.holds_dropped.len())
                    .field("until", watermark.until),
            ];
            held.retain(|hold| !also.holds_dropped.contains(hold));
        }
        // One at a time: a later one would begin to settle anew, and in a rush none ever would.
        if also.holds_dropped.is_empty() {
            also.entries.clear();
            if !matches!(stands, Some(Stands::Settling))
                && let Some(placed) = watermark(lane, &held, self.live_since(lane).await?, now)
            {
                also.holds_placed = vec![placed.clone()];
                held.push(placed);
            }
        }
        if !also.holds_dropped.is_empty() || !also.holds_placed.is_empty() {
            match self.books.note(also).await {
                // Room can wait for a ledger that cannot be written; what ends here cannot.
                Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => return Ok(as_it_was),
                noted => noted?,
            }
        }
        Ok(held)
    }

    /// When the oldest lease of a lane was intended that is neither ended nor ending.
    async fn live_since(&self, lane: &LaneId) -> Result<Option<Timestamp>, Stumble> {
        let open = self.books.lane(lane, Timestamp::FAR_FUTURE).await?;
        let live = open.leases.iter().filter(|lease| match lease {
            FoundLease::Doubtful(_) | FoundLease::Active(_) => true,
            FoundLease::Revoking(_) | FoundLease::Ended(_) => false,
        });
        Ok(live.map(|lease| lease.terms().intended_at).min())
    }

    /// Records what a pass found.
    async fn passed(
        &self,
        lane: &LaneId,
        hand: Hand,
        revoking: Vec<Recorded<Revoking>>,
        (held, spent): (Vec<Hold>, Vec<Hold>),
        pass: Pass,
    ) -> Result<Vec<Recorded<Ended>>, Stumble> {
        let now = self.clock.now();
        let brought = pass.is_brought(hand);
        if brought {
            self.lanes.passed(lane, &held, &pass.undone, now);
        } else if pass.unreached {
            self.lanes.failed(lane, None, now);
        }
        self.heed(lane, hand, &held, &pass).await?;
        let (over, again) = conclude(revoking, Ok(pass.leases), now);
        let mut also = fenced(lane, hand.epoch);
        let undone = pass.undone.iter();
        also.entries.extend(undone.map(|held| {
            Entry::new(now, Event::HoldUndone)
                .field("lane", lane)
                .field("held", held)
        }));
        // Spent holds go only after the cloud was brought to a state without them.
        if brought {
            let dropped = spent.iter().map(|hold| dropped(hold, now));
            also.entries.extend(dropped);
            also.holds_dropped = spent;
        }
        let holds_on = !held.is_empty() || over.iter().any(|step| step.hold().is_some());
        also.looks = vec![Look {
            lane: lane.clone(),
            at: holds_on.then(|| now.plus(if brought { READ_BACK } else { AGAIN })),
        }];
        let (over, _) = self.record_in_lane(lane, (over, again), also).await?;
        Ok(over)
    }

    /// Records that the cloud did not do it. Everything stays due.
    async fn not_passed(
        &self,
        lane: &LaneId,
        epoch: Epoch,
        revoking: Vec<Recorded<Revoking>>,
        fault: &Fault,
    ) -> Result<Vec<Recorded<Ended>>, Stumble> {
        let now = self.clock.now();
        self.lanes.failed(lane, retry_after(fault), now);
        let (over, again) = conclude(revoking, Err(fault), now);
        let also = fenced(lane, epoch);
        self.record_in_lane(lane, (over, again), also).await?;
        Err(Stumble::Cloud {
            lane: lane.clone(),
            fault: format!("{}: {}", fault.code, fault.logged),
        })
    }
}

/// What each lease under revocation comes to. One that the adapter does not mention is treated
/// like one whose call had no answer: it is looked at again.
fn conclude(
    revoking: Vec<Recorded<Revoking>>,
    answer: Result<Revocations, &Fault>,
    now: Timestamp,
) -> (Vec<Step<Ended>>, Vec<Step<Revoking>>) {
    let (mut over, mut again) = (Vec::new(), Vec::new());
    for lease in revoking {
        let found = match &answer {
            Ok(found) => found.get(&lease.terms().id).cloned(),
            Err(fault) => Some(Err((*fault).clone())),
        };
        match found {
            // The lane was driven for another of its leases.
            Some(Ok(revocation)) if lease.is_as_told(&revocation, now) => {}
            Some(Ok(revocation)) => match lease.looked(revocation, now) {
                Looked::Over(step) => over.push(step),
                Looked::Again(step) => again.push(step),
            },
            Some(Err(fault)) => again.push(lease.stumbled(retry_after(&fault), now)),
            None => again.push(lease.stumbled(None, now)),
        }
    }
    (over, again)
}

const fn retry_after(fault: &Fault) -> Option<Duration> {
    match fault.kind {
        FaultKind::Retryable { after } => after,
        FaultKind::Ambiguous | FaultKind::Permanent | FaultKind::LedgerBehind { .. } => None,
    }
}

fn dropped(hold: &Hold, now: Timestamp) -> Entry {
    let entry = Entry::new(now, Event::HoldDropped)
        .field("held", &hold.held)
        .field("lane", &hold.lane);
    match hold.lease {
        Some(lease) => entry.lease(lease),
        None => entry,
    }
}
