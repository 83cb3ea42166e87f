//! Signs of life on their way to the ledger. A beat reaches the broker it is sent to; the lane may
//! be driven by another, who would call the job silent. And a lease of which the ledger heard in time
//! never falls due: many beats are one commit, where each lane would be driven for its own.

use super::Stumble;
use crate::books::{FoundLease, Step};
use crate::id::LeaseId;
use crate::lease::Active;
use crate::ledger::{CommitError, RowId};
use crate::time::Timestamp;
use crate::usecase::Core;

/// How many beats are written in one commit.
const BATCH: usize = 250;

impl Core {
    /// Writes down what was heard and the ledger must know of by now. To be called every second:
    /// see [`Books::patience`](crate::books::Books::patience).
    ///
    /// # Errors
    /// A [`Stumble`]; what was heard is still known here, and is written down the next time.
    pub async fn write_beats_down(&self) -> Result<(), Stumble> {
        let heard = self
            .pulse
            .to_write_down(self.books.silence(), self.clock.now());
        for beats in heard.chunks(BATCH) {
            self.write_down(beats.to_vec()).await?;
        }
        Ok(())
    }

    async fn write_down(&self, mut beats: Vec<(LeaseId, Timestamp)>) -> Result<(), Stumble> {
        loop {
            let steps = self.beats_to_write(&beats).await?;
            if steps.is_empty() {
                return Ok(());
            }
            match self.books.record(steps).await {
                Ok(written) => {
                    for lease in written {
                        self.pulse.wrote_down(lease.terms().id, lease.alive_at());
                    }
                    return Ok(());
                }
                // Its job or another broker changed it: the others do not wait for it.
                Err(CommitError::Conflict(row)) => {
                    let all = beats.len();
                    beats.retain(|(lease, _)| RowId::Lease(*lease) != row);
                    if beats.len() == all {
                        return Err(CommitError::Conflict(row).into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The steps that write beats down, but for those that somebody else did.
    async fn beats_to_write(
        &self,
        beats: &[(LeaseId, Timestamp)],
    ) -> Result<Vec<Step<Active>>, Stumble> {
        let leases: Vec<LeaseId> = beats.iter().map(|(lease, _)| *lease).collect();
        let mut found = self.books.leases_by_id(&leases).await?;
        let mut steps = Vec::new();
        for (lease, at) in beats {
            match found.remove(lease) {
                Some(FoundLease::Active(active)) if active.alive_at() < *at => {
                    steps.push(active.alive(*at));
                }
                Some(FoundLease::Active(active)) => {
                    self.pulse.wrote_down(*lease, active.alive_at());
                }
                Some(FoundLease::Doubtful(_) | FoundLease::Revoking(_) | FoundLease::Ended(_))
                | None => self.pulse.forget(*lease),
            }
        }
        Ok(steps)
    }
}
