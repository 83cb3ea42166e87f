//! Signs of life that other brokers must know of. A beat reaches the broker it is sent to; the
//! lane may be driven by another, who would call the job silent.

use super::Stumble;
use crate::books::{FoundLease, Recorded, Step};
use crate::id::LeaseId;
use crate::lease::Active;
use crate::ledger::CommitError;
use crate::time::Timestamp;
use crate::usecase::Core;

/// How many beats are written in one commit.
const BATCH: usize = 250;

impl Core {
    /// Writes down what was heard of late, where others share the ledger.
    ///
    /// # Errors
    /// A [`Stumble`]; what was heard is still known here, and is written down the next time.
    pub async fn share_beats(&self, now: Timestamp) -> Result<(), Stumble> {
        if !self.books.ledger().is_shared() {
            return Ok(());
        }
        let silence = self.books.silence();
        let heard = self.pulse.heard_since(now.minus(silence));
        for beats in heard.chunks(BATCH) {
            let mut steps = Vec::new();
            for (lease, at) in beats {
                steps.extend(self.beat_to_share(*lease, *at).await?);
            }
            let many = steps.len() > 1;
            match self.books.record(steps).await {
                // One of them was changed by its job or by another broker: one by one.
                Err(CommitError::Conflict(_)) if many => self.share_each(beats).await?,
                Ok(_) | Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn share_each(&self, beats: &[(LeaseId, Timestamp)]) -> Result<(), Stumble> {
        for (lease, at) in beats {
            if let Some(step) = self.beat_to_share(*lease, *at).await? {
                match self.books.record(step).await {
                    Ok(_) | Err(CommitError::Conflict(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// The step that writes a beat down, if a third of the silence has gone by since the last one
    /// that was.
    async fn beat_to_share(
        &self,
        lease: LeaseId,
        at: Timestamp,
    ) -> Result<Option<Step<Active>>, Stumble> {
        let third = self.books.silence() / 3;
        let is_late = |active: &Recorded<Active>| at >= active.alive_at().plus(third);
        Ok(match self.books.lease(lease).await? {
            Some(FoundLease::Active(active)) if is_late(&active) => Some(active.alive(at)),
            Some(_) | None => None,
        })
    }
}
