//! Carrying out kill orders, page by page: leases are ended, and then it is remembered that they
//! were seen. A crash in between repeats a look and forgets nothing. While the ledger cannot be
//! written and ends are noted elsewhere, how far an order is stays in mind.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Stumble;
use crate::audit::{Entry, Event};
use crate::books::{FoundLease, Posted, Step, found_lease};
use crate::id::OrderId;
use crate::lease::{End, Revoking};
use crate::ledger::{CommitError, LeaseFilter, Row, SheetAt, Transaction};
use crate::order::{Order, sheet};
use crate::spool::lease_of;
use crate::usecase::Core;

/// How many leases one page looks at. What ends among them is one commit.
const PAGE: u32 = 250;

/// Whether an order has more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    Done,
    /// Another broker is at it.
    Elsewhere,
}

/// Orders as far as this process has carried them out beyond what the ledger could be told, each
/// with the sheet from which it went on.
#[derive(Debug, Default)]
pub struct Untold(Mutex<BTreeMap<OrderId, (SheetAt, Order)>>);

impl Untold {
    /// The order as it stands, for whoever goes on with it.
    pub(crate) fn latest(&self, id: OrderId, posted: &Posted<Option<Order>>) -> Option<Order> {
        let mut untold = self.lock();
        match untold.get(&id) {
            Some((at, order)) if *at == posted.at() => Some(order.clone()),
            // Another broker has told more of it since.
            Some(_) | None => {
                untold.remove(&id);
                posted.says.clone()
            }
        }
    }

    fn keep(&self, id: OrderId, posted: &Posted<Option<Order>>, order: Order) {
        self.lock().insert(id, (posted.at(), order));
    }

    fn told(&self, id: OrderId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OrderId, (SheetAt, Order)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let Some(mut order) = self.untold.latest(id, &posted) else {
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
        self.end_page(&mut order, &rows).await?;
        self.remember(id, &posted, order).await
    }

    /// Ends what an order is about among these leases. First and by itself: ends need not wait for
    /// a ledger that cannot be written, and how far the order is must.
    async fn end_page(&self, order: &mut Order, rows: &[Row]) -> Result<(), Stumble> {
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
        order.ended = order.ended.saturating_add(already_ended(&aimed_at, order));
        let ids: Vec<_> = aimed_at.iter().map(|lease| lease.terms().id).collect();
        let steps = self.endings(aimed_at, order);
        if steps.is_empty() {
            return Ok(());
        }
        order.ended = order.ended.saturating_add(whole(steps.len()));
        match self.books.record(steps).await {
            Ok(_) => {}
            // Some job changed its lease at the same moment. One by one, each for sure.
            Err(CommitError::Conflict(_)) => {
                for id in &ids {
                    self.kill_for_sure(*id, why(order)).await?;
                }
            }
            Err(error) => return Err(error.into()),
        }
        for id in ids {
            self.pulse.forget(id);
        }
        Ok(())
    }

    /// Tells the ledger how far an order is, or keeps it in mind.
    async fn remember(
        &self,
        id: OrderId,
        posted: &Posted<Option<Order>>,
        order: Order,
    ) -> Result<Progress, Stumble> {
        let is_there = self.books.ledger().is_there();
        let told = if is_there {
            let seen = Transaction {
                sheets: vec![posted.changed(&Some(order.clone()))?],
                ..Transaction::default()
            };
            self.books.note(seen).await
        } else {
            Err(CommitError::Unavailable("it takes nothing".to_owned()))
        };
        match told {
            Ok(()) => {
                self.untold.told(id);
                Ok(Progress::More)
            }
            Err(CommitError::Moved(_)) => Ok(Progress::Elsewhere),
            Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => {
                self.untold.keep(id, posted, order);
                Ok(Progress::More)
            }
            Err(error) => Err(error.into()),
        }
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
            Ok(()) => self.untold.told(id),
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

/// How many of these leases the order has ended before: the process died, or lost the answer,
/// before it could say so.
fn already_ended(leases: &[FoundLease], order: &Order) -> u32 {
    let is_ended = |lease: &&FoundLease| match lease {
        FoundLease::Revoking(lease) => is_ended_by(order, lease),
        FoundLease::Doubtful(_) | FoundLease::Active(_) | FoundLease::Ended(_) => false,
    };
    whole(leases.iter().filter(is_ended).count())
}

/// Whether it was an order like this one, since it was given, that ended a lease.
pub(crate) fn is_ended_by(order: &Order, lease: &Revoking) -> bool {
    lease.why() == why(order) && lease.since() >= order.ordered_at
}

fn whole(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
