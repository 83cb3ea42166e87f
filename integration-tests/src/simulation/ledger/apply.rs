//! One transaction, part by part. It works on a copy: whatever stops it leaves the ledger as it
//! was.

use std::sync::Arc;

use jitney_core::adapter::Epoch;
use jitney_core::audit::{Entry, LeafHash};
use jitney_core::evidence::Hold;
use jitney_core::ledger::{
    Budget, Claim, CommitError, Fence, Look, OnceUse, Owner, Row, RowId, Share, Sheet, SheetAt,
    Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;

use super::tables::{Kept, Owned, Tables};

impl Tables {
    /// Fences come first: a hand that lost its lane is told so whatever else is wrong. Once-keys
    /// come before budgets: an answer that was lost is given again, also when nothing is left.
    pub(super) fn apply(&mut self, transaction: &Transaction) -> Result<u64, CommitError> {
        let of = transaction;
        of.fences.iter().try_for_each(|fence| self.fence(fence))?;
        of.sheets_unchanged
            .iter()
            .try_for_each(|it| self.unchanged(it))?;
        of.once.iter().try_for_each(|using| self.use_once(using))?;
        of.rows.iter().try_for_each(|row| self.write(row))?;
        of.claims_released.iter().for_each(|it| self.release(it));
        of.claims.iter().try_for_each(|claim| self.take(claim))?;
        of.holds_dropped
            .iter()
            .for_each(|hold| self.drop_hold(hold));
        of.holds_placed.iter().for_each(|hold| self.place(hold));
        of.budgets.iter().try_for_each(|it| self.budget(it))?;
        of.sheets.iter().try_for_each(|sheet| self.post(sheet))?;
        of.looks.iter().for_each(|look| self.look_at(look));
        of.epochs_raised.iter().for_each(|least| self.raise(least));
        of.entries.iter().for_each(|entry| self.enter(entry));
        Ok(self.frontier.size())
    }

    pub(super) fn claim_lane(
        &mut self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<Epoch> {
        let (epoch, until) = match self.lanes.get(lane) {
            None => (1, until),
            Some(owned) if owned.hand == hand => (owned.epoch.0, until.max(owned.until)),
            Some(owned) if owned.until <= now => (owned.epoch.0.saturating_add(1), until),
            Some(_) => return None,
        };
        let owned = Owned {
            epoch: Epoch(epoch),
            hand: hand.to_owned(),
            until,
        };
        self.lanes.insert(lane.clone(), owned);
        Some(Epoch(epoch))
    }

    pub(super) fn checkpoint(&mut self, size: u64, note: String) -> Result<(), CommitError> {
        let entries = self.frontier.size();
        if size > entries {
            let words = format!("a checkpoint for {size} entries, but it holds {entries}");
            return Err(CommitError::Unavailable(words));
        }
        let checkpoint = (size, note);
        if !self.checkpoints.contains(&checkpoint) {
            self.checkpoints.push(checkpoint);
        }
        Ok(())
    }

    fn fence(&self, fence: &Fence) -> Result<(), CommitError> {
        match self.lanes.get(&fence.lane) {
            Some(owned) if owned.epoch == fence.epoch && !owned.hand.is_empty() => Ok(()),
            _ => Err(CommitError::Fenced(fence.clone())),
        }
    }

    fn use_once(&mut self, wanted: &OnceUse) -> Result<(), CommitError> {
        if let Some(earlier) = self.once.get(&wanted.key) {
            return Err(CommitError::Replayed(earlier.clone()));
        }
        self.once.insert(wanted.key.clone(), wanted.clone());
        Ok(())
    }

    fn write(&mut self, row: &Row) -> Result<(), CommitError> {
        let stored = self.rows.get(&row.id).map_or(0, |row| row.version);
        if row.version != stored.saturating_add(1) {
            return Err(CommitError::Conflict(row.id));
        }
        self.rows.insert(row.id, Arc::new(row.clone()));
        Ok(())
    }

    fn release(&mut self, claim: &Claim) {
        if self.claims.get(&claim.name) == Some(&claim.lease) {
            self.claims.remove(&claim.name);
        }
    }

    fn take(&mut self, claim: &Claim) -> Result<(), CommitError> {
        let owner = self.claims.entry(claim.name.clone()).or_insert(claim.lease);
        if *owner == claim.lease {
            Ok(())
        } else {
            Err(CommitError::Taken(claim.clone()))
        }
    }

    /// Drops a hold, unless it was prolonged since the hand that drops it looked.
    fn drop_hold(&mut self, hold: &Hold) {
        let key = (hold.lane.clone(), hold.held.clone());
        if self
            .holds
            .get(&key)
            .is_some_and(|kept| kept.hold.until <= hold.until)
        {
            self.holds.remove(&key);
        }
    }

    fn place(&mut self, hold: &Hold) {
        let row = hold
            .lease
            .and_then(|lease| self.rows.get(&RowId::Lease(lease)));
        let owner = row.map(|row| row.owner.clone());
        let key = (hold.lane.clone(), hold.held.clone());
        let kept = self.holds.entry(key).or_insert_with(|| Kept {
            hold: hold.clone(),
            owner,
        });
        kept.hold.until = kept.hold.until.max(hold.until);
        // What is not known of one of them is not known of both.
        let both = kept.hold.issued_by.zip(hold.issued_by);
        kept.hold.issued_by = both.map(|(one, other)| one.max(other));
    }

    fn unchanged(&self, asserted: &SheetAt) -> Result<(), CommitError> {
        let stored = self
            .sheets
            .get(&asserted.name)
            .map_or(0, |sheet| sheet.version);
        if stored == asserted.version {
            Ok(())
        } else {
            Err(CommitError::Moved(asserted.name.clone()))
        }
    }

    fn post(&mut self, sheet: &Sheet) -> Result<(), CommitError> {
        let stored = self
            .sheets
            .get(&sheet.name)
            .map_or(0, |sheet| sheet.version);
        if sheet.version != stored.saturating_add(1) {
            return Err(CommitError::Moved(sheet.name.clone()));
        }
        self.sheets.insert(sheet.name.clone(), sheet.clone());
        Ok(())
    }

    fn look_at(&mut self, look: &Look) {
        match look.at {
            Some(at) => self.looks.insert(look.lane.clone(), at),
            None => self.looks.remove(&look.lane),
        };
    }

    /// Nobody owns the lane any more, and who claims it next has a higher epoch.
    fn raise(&mut self, least: &Fence) {
        let epoch = self
            .lanes
            .get(&least.lane)
            .map_or(Epoch(0), |owned| owned.epoch);
        let nobody = Owned {
            epoch: epoch.max(least.epoch),
            hand: String::new(),
            until: Timestamp::default(),
        };
        self.lanes.insert(least.lane.clone(), nobody);
    }

    fn budget(&self, budget: &Budget) -> Result<(), CommitError> {
        let of_owner = |owner: &Owner| match &budget.share {
            Share::Job(job) => owner.job == *job,
            Share::Repository(repository) => owner.repository == *repository,
            Share::Tenant(tenant) => owner.tenant == *tenant,
            Share::Lane(_) => false,
        };
        let of_lane = |lane: &LaneId| budget.share == Share::Lane(lane.clone());
        let leases = self.rows().filter(|row| {
            let open = matches!(row.id, RowId::Lease(_)) && !row.is_final;
            open && (of_owner(&row.owner) || row.lane.as_ref().is_some_and(of_lane))
        });
        let holds = self
            .holds
            .values()
            .filter(|kept| of_lane(&kept.hold.lane) || kept.owner.as_ref().is_some_and(of_owner));
        let used = leases.count().saturating_add(holds.count());
        if used > usize::try_from(budget.leases_max).unwrap_or(usize::MAX) {
            return Err(CommitError::OverBudget(budget.clone()));
        }
        Ok(())
    }

    fn enter(&mut self, entry: &Entry) {
        let bytes = entry.encode();
        self.frontier.append(LeafHash::of(&bytes));
        Arc::make_mut(&mut self.entries).push(bytes);
    }
}
