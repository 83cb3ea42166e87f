//! An end that comes from elsewhere than the job or an operator: its CI says that it is over.

use super::Core;
use crate::books::FoundLease;
use crate::lease::End;
use crate::ledger::LeaseFilter;
use crate::principal::JobKey;
use crate::refusal::Refusal;

impl Core {
    /// The CI said that this job is over: ends its leases, and no other job's. Gives how many were
    /// not yet ending. Told again, it changes nothing.
    ///
    /// # Errors
    /// A ledger that cannot be used. Leases that could be ended are; telling it again ends the rest.
    pub async fn job_ended(&self, job: &JobKey) -> Result<u32, Refusal> {
        let filter = LeaseFilter {
            job: Some(job.as_str().to_owned()),
            // However many there are: a limit would leave some alive without a word.
            limit: u32::MAX,
            ..LeaseFilter::default()
        };
        let mut ended = 0_u32;
        let mut outcome = Ok(());
        for lease in self.books.leases(filter).await? {
            let (FoundLease::Active(_) | FoundLease::Doubtful(_)) = &lease else {
                continue;
            };
            // One that could not be ended is no reason to leave the others alive.
            match self.end_for_sure(lease, End::JobEnded).await {
                Ok(_) => ended = ended.saturating_add(1),
                Err(error) => outcome = Err(error),
            }
        }
        outcome?;
        Ok(ended)
    }
}
