//! One transaction, part by part, on the book of its batch. The first part that something stands
//! against stops it; the writer then takes back all of it.

use std::time::Duration;

use jitney_core::adapter::Epoch;
use jitney_core::audit::Entry;
use jitney_core::evidence::Hold;
use jitney_core::ledger::{
    Budget, Claim, CommitError, Fence, Look, OnceUse, Row, RowId, Sheet, SheetAt, Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;

use crate::book::{Book, Counted, Driven};
use crate::cells::NotRead;
use crate::columns::count;
use crate::touched::{Touched, holding, lane_share, owned, share};

type Decided<T = ()> = Result<T, CommitError>;

/// Something that can be decided on a book.
pub(crate) trait Work: Send {
    /// What it comes to.
    type Done: Send + 'static;
    /// Says what the book must have read for it.
    fn touch(&self, touched: &mut Touched);
    /// Does it. What it did is kept or taken back by whoever calls.
    fn decide(&self, book: &mut Book) -> Decided<Self::Done>;
}

impl Work for Transaction {
    type Done = u64;

    fn touch(&self, touched: &mut Touched) {
        touched.transaction(self);
    }

    /// Fences come first: a hand that lost its lane is told so whatever else is wrong. Once-keys
    /// come before budgets: an answer that was lost is given again, also when nothing is left.
    fn decide(&self, book: &mut Book) -> Decided<u64> {
        self.fences.iter().try_for_each(|it| book.fence(it))?;
        let unchanged = &self.sheets_unchanged;
        unchanged.iter().try_for_each(|it| book.unchanged(it))?;
        self.once.iter().try_for_each(|it| book.use_once(it))?;
        self.rows.iter().try_for_each(|it| book.row(it))?;
        let released = &self.claims_released;
        released.iter().try_for_each(|it| book.release(it))?;
        self.claims.iter().try_for_each(|it| book.claim(it))?;
        let dropped = &self.holds_dropped;
        dropped.iter().try_for_each(|it| book.drop_hold(it))?;
        let placed = &self.holds_placed;
        placed.iter().try_for_each(|it| book.place_hold(it))?;
        self.sheets.iter().try_for_each(|it| book.sheet(it))?;
        self.looks.iter().for_each(|it| book.look(it));
        let raised = &self.epochs_raised;
        raised.iter().try_for_each(|it| book.raise_epoch(it))?;
        self.budgets.iter().try_for_each(|it| book.budget(it))?;
        self.entries.iter().for_each(|it| book.log.append(it));
        if !self.once.is_empty() {
            let told = self.entries.iter().map(Entry::at).max();
            book.told = book.told.max(told);
        }
        Ok(book.log.size())
    }
}

/// A hand claims a lane, see [`jitney_core::ledger::Ledger::claim_lane`].
#[derive(Debug)]
pub(crate) struct LaneClaim {
    pub(crate) lane: LaneId,
    pub(crate) hand: String,
    pub(crate) time: ClaimTime,
}

/// Until when a lane is claimed.
#[derive(Debug)]
pub(crate) enum ClaimTime {
    /// For so long from when the server decides it.
    Lasting(Duration),
    /// Within times that the caller says.
    AsGiven { now: Timestamp, until: Timestamp },
}

impl Work for LaneClaim {
    type Done = Option<Epoch>;

    fn touch(&self, touched: &mut Touched) {
        touched.lanes.insert(self.lane.clone());
        touched.time |= matches!(self.time, ClaimTime::Lasting(_));
    }

    fn decide(&self, book: &mut Book) -> Decided<Option<Epoch>> {
        let (now, until) = match self.time {
            ClaimTime::AsGiven { now, until } => (now, until),
            ClaimTime::Lasting(duration) => {
                let now = book.time.ok_or(NotRead)?;
                (now, now.plus(duration))
            }
        };
        let next = match book.lanes.get(&self.lane)? {
            None => (Epoch(1), until),
            Some(lane) if lane.hand.as_ref() == Some(&self.hand) => {
                (lane.epoch, until.max(lane.until))
            }
            Some(lane) if lane.until <= now => (Epoch(lane.epoch.0.saturating_add(1)), until),
            Some(_) => return Ok(None),
        };
        let driven = Driven {
            epoch: next.0,
            hand: Some(self.hand.clone()),
            broker: Some(book.broker),
            until: next.1,
        };
        book.lanes.set(self.lane.clone(), Some(driven));
        Ok(Some(next.0))
    }
}

/// A signed checkpoint of the tree at `size`.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) size: u64,
    pub(crate) note: String,
}

impl Work for Checkpoint {
    type Done = ();

    fn touch(&self, _: &mut Touched) {}

    /// One for a tree that the log has not grown to is none of this log.
    fn decide(&self, book: &mut Book) -> Decided {
        let (size, entries) = (self.size, book.log.size());
        if size > entries {
            let words = format!("a checkpoint for {size} entries, but it holds {entries}");
            return Err(CommitError::Unavailable(words));
        }
        book.log.sign(size, &self.note);
        Ok(())
    }
}

impl Book {
    fn fence(&self, fence: &Fence) -> Decided {
        match self.lanes.get(&fence.lane)? {
            Some(lane) if lane.epoch == fence.epoch && lane.hand.is_some() => Ok(()),
            Some(_) | None => Err(CommitError::Fenced(fence.clone())),
        }
    }

    fn unchanged(&self, sheet: &SheetAt) -> Decided {
        let stored = self.sheets.get(&sheet.name)?;
        if stored.map_or(0, |stored| stored.version) == sheet.version {
            Ok(())
        } else {
            Err(CommitError::Moved(sheet.name.clone()))
        }
    }

    fn use_once(&mut self, wanted: &OnceUse) -> Decided {
        if let Some(first) = self.once.get(&wanted.key.0)? {
            return Err(CommitError::Replayed(first.clone()));
        }
        self.once.set(wanted.key.0.clone(), Some(wanted.clone()));
        Ok(())
    }

    /// Writes a row over the version before it, or as the first.
    fn row(&mut self, row: &Row) -> Decided {
        let stored = self.rows.get(&row.id)?;
        if !follows(row.version, stored.map(|stored| stored.version)) {
            return Err(CommitError::Conflict(row.id));
        }
        for (row, by) in stored.into_iter().map(|old| (old, -1)).chain([(row, 1)]) {
            if matches!(row.id, RowId::Lease(_)) && !row.is_final {
                for owned in owned(&row.owner) {
                    self.tally.add(owned, by);
                }
                if let Some(lane) = &row.lane {
                    self.tally.add(lane_share(lane), by);
                }
            }
        }
        self.rows.set(row.id, Some(row.clone()));
        Ok(())
    }

    /// Frees a name, if it is this lease that has it.
    fn release(&mut self, claim: &Claim) -> Decided {
        if self.claims.get(&claim.name)? == Some(&claim.lease) {
            self.claims.set(claim.name.clone(), None);
        }
        Ok(())
    }

    fn claim(&mut self, claim: &Claim) -> Decided {
        match self.claims.get(&claim.name)? {
            Some(owner) if *owner == claim.lease => Ok(()),
            Some(_) => Err(CommitError::Taken(claim.clone())),
            None => {
                self.claims.set(claim.name.clone(), Some(claim.lease));
                Ok(())
            }
        }
    }

    /// Drops a hold, unless it was prolonged since the hand that drops it looked.
    fn drop_hold(&mut self, hold: &Hold) -> Decided {
        let key = holding(hold);
        let Some(stored) = self.holds.get(&key)? else {
            return Ok(());
        };
        if stored.hold.until <= hold.until {
            let stored = stored.clone();
            self.count_hold(&stored, -1);
            self.holds.set(key, None);
        }
        Ok(())
    }

    fn place_hold(&mut self, hold: &Hold) -> Decided {
        let key = holding(hold);
        if let Some(stored) = self.holds.get(&key)? {
            let mut longer = stored.clone();
            longer.hold.until = longer.hold.until.max(hold.until);
            // Nobody knows when it was issued as soon as one of the two does not.
            let both = longer.hold.issued_by.zip(hold.issued_by);
            longer.hold.issued_by = both.map(|(one, other)| one.max(other));
            self.holds.set(key, Some(longer));
            return Ok(());
        }
        let lease = match hold.lease {
            Some(lease) => self.rows.get(&RowId::Lease(lease))?,
            None => None,
        };
        let placed = Counted {
            hold: hold.clone(),
            owner: lease.map(|lease| lease.owner.clone()),
        };
        self.count_hold(&placed, 1);
        self.holds.set(key, Some(placed));
        Ok(())
    }

    fn count_hold(&mut self, counted: &Counted, by: i64) {
        self.tally.add(lane_share(&counted.hold.lane), by);
        for share in counted.owner.iter().flat_map(owned) {
            self.tally.add(share, by);
        }
    }

    fn sheet(&mut self, sheet: &Sheet) -> Decided {
        let stored = self.sheets.get(&sheet.name)?;
        if !follows(sheet.version, stored.map(|stored| stored.version)) {
            return Err(CommitError::Moved(sheet.name.clone()));
        }
        self.sheets.set(sheet.name.clone(), Some(sheet.clone()));
        Ok(())
    }

    fn look(&mut self, look: &Look) {
        self.looks.set(look.lane.clone(), look.at);
    }

    fn raise_epoch(&mut self, raised: &Fence) -> Decided {
        let stored = self.lanes.get(&raised.lane)?;
        let driven = Driven {
            epoch: raised.epoch.max(stored.map_or(Epoch(0), |lane| lane.epoch)),
            hand: None,
            broker: None,
            until: Timestamp::from_micros(0),
        };
        self.lanes.set(raised.lane.clone(), Some(driven));
        Ok(())
    }

    fn budget(&self, budget: &Budget) -> Decided {
        let share = share(&budget.share);
        let found = self.counts.get(&share).ok_or(NotRead)?;
        if found.saturating_add(self.tally.of(&share)) > i64::from(budget.leases_max) {
            return Err(CommitError::OverBudget(budget.clone()));
        }
        Ok(())
    }
}

/// Whether a version is the one after what is stored. Numbers that no column holds follow none.
fn follows(version: u64, stored: Option<u64>) -> bool {
    count(version) != i64::MAX && version.checked_sub(1) == Some(stored.unwrap_or(0))
}
