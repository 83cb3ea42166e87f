//! Carrying out kill orders, page by page. Each page ends leases and remembers how far it came in
//! one commit, so a crash repeats nothing and forgets nothing.

use super::Stumble;
use crate::audit::{Entry, Event};
use crate::books::{FoundLease, Posted, Step, found_lease};
use crate::id::OrderId;
use crate::lease::{End, Revoking};
use crate::ledger::{CommitError, LeaseFilter, Row, Transaction};
use crate::order::{Order, sheet};
use crate::spool::lease_of;
use crate::usecase::Core;

/// How many leases one page looks at. Each page is one commit.
const PAGE: u32 = 250;

/// Whether an order has more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    Done,
    /// Another broker is at it.
    Elsewhere,
}

impl Core {
    /// Reads the standing orders afresh, and carries out the kill orders among them as far as
    /// leases go that are open now.
    ///
    /// # Errors
    /// A [`Stumble`]; what is ordered stays ordered.
    pub async fn obey(&self) -> Result<(), Stumble> {
        let standing = self.books.standing().await?;
        self.outlive(&standing.says).await?;
        for order in standing.says.kills.keys() {
            while self.carry_out(*order).await? == Progress::More {}
        }
        Ok(())
    }

    async fn carry_out(&self, id: OrderId) -> Result<Progress, Stumble> {
        let posted = self.books.sheet::<Option<Order>>(&sheet(id)).await?;
        let Some(order) = posted.says.clone() else {
            return Ok(Progress::Done);
        };
        let filter = LeaseFilter {
            older_than: order.seen_down_to,
            limit: PAGE,
            ..LeaseFilter::default()
        };
        let rows = self.books.ledger().leases(filter).await?;
        if rows.is_empty() {
            return self.conclude_order(id, &posted, order).await;
        }
        self.end_page(&posted, order, &rows).await
    }

    /// Ends what an order is about among these leases, and remembers that they were seen.
    async fn end_page(
        &self,
        posted: &Posted<Option<Order>>,
        mut order: Order,
        rows: &[Row],
    ) -> Result<Progress, Stumble> {
        let mut aimed_at = Vec::new();
        for row in rows {
            order.seen_down_to = lease_of(row).or(order.seen_down_to);
            // One that cannot be read must not keep the others alive.
            let Ok(lease) = found_lease(row) else {
                order.unreadable = order.unreadable.saturating_add(1);
                continue;
            };
            if self.is_aimed_at(&order.aim, &order.lanes, &lease).await? {
                aimed_at.push(lease);
            }
        }
        order.looked_at = order.looked_at.saturating_add(whole(rows.len()));
        let ids: Vec<_> = aimed_at.iter().map(|lease| lease.terms().id).collect();
        let steps = self.endings(aimed_at, &order);
        order.ended = order.ended.saturating_add(whole(steps.len()));
        let seen = Transaction {
            sheets: vec![posted.changed(&Some(order.clone()))?],
            ..Transaction::default()
        };
        match self.books.record_with(steps, seen.clone()).await {
            Ok(_) => {}
            Err(CommitError::Moved(_)) => return Ok(Progress::Elsewhere),
            // Some job changed its lease at the same moment, or the ledger cannot be written and
            // only ends can be noted. One by one, each for sure.
            Err(
                CommitError::Conflict(_) | CommitError::Unavailable(_) | CommitError::Unknown(_),
            ) => {
                for id in &ids {
                    self.kill_for_sure(*id, why(&order)).await?;
                }
                match self.books.note(seen).await {
                    Ok(()) => {}
                    Err(CommitError::Moved(_)) => return Ok(Progress::Elsewhere),
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
        for id in ids {
            self.pulse.forget(id);
        }
        Ok(Progress::More)
    }

    fn endings(&self, leases: Vec<FoundLease>, order: &Order) -> Vec<Step<Revoking>> {
        let now = self.clock.now();
        let ending = |lease| match lease {
            FoundLease::Active(lease) => Some(lease.ending(why(order), now)),
            FoundLease::Doubtful(lease) => Some(lease.doubted(now)),
            FoundLease::Revoking(_) | FoundLease::Ended(_) => None,
        };
        leases.into_iter().filter_map(ending).collect()
    }

    /// Every lease was seen: what the order stood in the way of may go on.
    async fn conclude_order(
        &self,
        id: OrderId,
        posted: &Posted<Option<Order>>,
        mut order: Order,
    ) -> Result<Progress, Stumble> {
        let now = self.clock.now();
        let standing = self.books.standing().await?;
        let mut says = standing.says.clone();
        says.kills.remove(&id);
        order.done_at = Some(now);
        let entry = Entry::new(now, Event::KillDone)
            .field("order", id)
            .field("looked_at", order.looked_at)
            .field("ended", order.ended)
            .field("unreadable", order.unreadable);
        let done = Transaction {
            sheets: vec![posted.changed(&Some(order))?, standing.changed(&says)?],
            entries: vec![entry],
            ..Transaction::default()
        };
        match self.books.note(done).await {
            Ok(()) => {}
            Err(CommitError::Moved(_)) => return Ok(Progress::Elsewhere),
            Err(error) => return Err(error.into()),
        }
        self.books.standing().await?;
        Ok(Progress::Done)
    }
}

/// A lane that is cut takes with it leases that nobody aimed at.
fn why(order: &Order) -> End {
    if order.lanes.is_empty() {
        End::Killed
    } else {
        End::Cut
    }
}

fn whole(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
