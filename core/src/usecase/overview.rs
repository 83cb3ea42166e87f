//! Looking over all leases: what is open, and what is stuck.

use core::time::Duration;

use super::Core;
use crate::books::{FoundLease, Recorded, found_lease};
use crate::guarantee::Recall;
use crate::id::{LeaseId, RequestId};
use crate::lease::{End, Revoking};
use crate::ledger::{CannotRead, LeaseFilter};
use crate::plan::LaneId;
use crate::spool::lease_of;
use crate::time::Timestamp;

/// How many leases are read at a time when all are looked at.
const PAGE: u32 = 500;
/// How much later than promised a lease may be before it is stuck.
pub const STUCK_GRACE: Duration = Duration::from_secs(60);

/// A lease that is under revocation for longer than was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The lease.
    pub lease: LeaseId,
    /// Its request.
    pub request: RequestId,
    /// The lane it lies in.
    pub lane: LaneId,
    /// Why it ends.
    pub why: End,
    /// Since when it is being revoked.
    pub since: Timestamp,
    /// How many times it was tried.
    pub attempts: u32,
    /// Whether what ends it is written in the cloud.
    pub written: bool,
    /// The last moment at which something may still work if no one comes back.
    pub exposed_until: Timestamp,
}

impl Core {
    /// The leases that are stuck: what ends them is not written a minute after it should have
    /// been, or they are not over a minute after it was promised.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn stuck(&self) -> Result<Vec<Stuck>, CannotRead> {
        let now = self.clock.now();
        let revoking = self.all_revoking().await?;
        Ok(revoking
            .iter()
            .filter(|lease| now >= overdue_at(lease))
            .map(|lease| stuck(lease))
            .collect())
    }

    /// Every lease under revocation.
    pub(super) async fn all_revoking(&self) -> Result<Vec<Recorded<Revoking>>, CannotRead> {
        let (mut all, mut older_than) = (Vec::new(), None);
        loop {
            let filter = LeaseFilter {
                state: Some("revoking".to_owned()),
                older_than,
                limit: PAGE,
                ..LeaseFilter::default()
            };
            let (page, last) = self.page(filter).await?;
            if last.is_none() {
                return Ok(all);
            }
            older_than = last;
            all.extend(page.into_iter().filter_map(|lease| match lease {
                FoundLease::Revoking(lease) => Some(lease),
                FoundLease::Doubtful(_) | FoundLease::Active(_) | FoundLease::Ended(_) => None,
            }));
        }
    }

    /// A page of the open leases, newest first, and below which one the next begins.
    pub(super) async fn open_leases(
        &self,
        older_than: Option<LeaseId>,
    ) -> Result<(Vec<FoundLease>, Option<LeaseId>), CannotRead> {
        let filter = LeaseFilter {
            older_than,
            limit: PAGE,
            ..LeaseFilter::default()
        };
        self.page(filter).await
    }

    /// A page without what cannot be read: one such lease must not hide the others.
    async fn page(
        &self,
        filter: LeaseFilter,
    ) -> Result<(Vec<FoundLease>, Option<LeaseId>), CannotRead> {
        let rows = self.books.ledger().leases(filter).await?;
        let last = rows.last().and_then(lease_of);
        let readable = rows.iter().filter_map(|row| found_lease(row).ok());
        Ok((readable.collect(), last))
    }
}

/// From when on a lease counts as stuck.
fn overdue_at(lease: &Revoking) -> Timestamp {
    let promised = match (lease.terms().recall(), lease.written_at()) {
        (_, None) => Duration::ZERO,
        (Recall::Severs { within_seconds } | Recall::Lapses { within_seconds }, Some(_)) => {
            Duration::from_secs(u64::from(within_seconds))
        }
    };
    lease.since().plus(promised).plus(STUCK_GRACE)
}

fn stuck(lease: &Revoking) -> Stuck {
    let terms = lease.terms();
    Stuck {
        lease: terms.id,
        request: terms.request,
        lane: terms.plan.lane.clone(),
        why: lease.why(),
        since: lease.since(),
        attempts: lease.attempts(),
        written: lease.written_at().is_some(),
        exposed_until: lease.told_exposed_until(),
    }
}
