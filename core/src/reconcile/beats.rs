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
    pub async fn share_beats(&self) -> Result<(), Stumble> {
        if !self.books.ledger().is_shared() {
            return Ok(());
        }
        let heard = self.pulse.to_write_down(self.books.silence() / 3);
        for beats in heard.chunks(BATCH) {
            let mut steps = Vec::new();
            for (lease, at) in beats {
                steps.extend(self.beat_to_share(*lease, *at).await?);
            }
            if steps.is_empty() {
                continue;
            }
            let many = steps.len() > 1;
            match self.books.record(steps).await {
                // One of them was changed by its job or by another broker: one by one.
                Err(CommitError::Conflict(_)) if many => self.share_each(beats).await?,
                Err(CommitError::Conflict(_)) => {}
                Ok(shared) => self.shared(&shared),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn share_each(&self, beats: &[(LeaseId, Timestamp)]) -> Result<(), Stumble> {
        for (lease, at) in beats {
            if let Some(step) = self.beat_to_share(*lease, *at).await? {
                match self.books.record(step).await {
                    Ok(shared) => self.shared(&[shared]),
                    Err(CommitError::Conflict(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn shared(&self, leases: &[Recorded<Active>]) {
        for lease in leases {
            self.pulse.wrote_down(lease.terms().id, lease.alive_at());
        }
    }

    /// The step that writes a beat down, unless somebody else did.
    async fn beat_to_share(
        &self,
        lease: LeaseId,
        at: Timestamp,
    ) -> Result<Option<Step<Active>>, Stumble> {
        match self.books.lease(lease).await? {
            Some(FoundLease::Active(active)) if active.alive_at() < at => {
                Ok(Some(active.alive(at)))
            }
            Some(FoundLease::Active(active)) => {
                self.pulse.wrote_down(lease, active.alive_at());
                Ok(None)
            }
            Some(_) | None => {
                self.pulse.forget(lease);
                Ok(None)
            }
        }
    }
}
