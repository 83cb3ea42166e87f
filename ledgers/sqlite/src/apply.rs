//! One transaction, part by part. The first part that something stands against stops it; the
//! writer then takes back all of it.

use jitney_core::adapter::Epoch;
use jitney_core::audit::{Entry, Frontier, LeafHash};
use jitney_core::evidence::Hold;
use jitney_core::id::LeaseId;
use jitney_core::ledger::{
    Budget, Claim, CommitError, Fence, Look, OnceUse, Row, RowId, Share, Sheet, SheetAt,
    Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Params};
use std::time::Duration;

use crate::columns::{count, key};

/// How long a once-key is kept after it need not be. A clock that was wrong by less than this
/// when the key was forgotten has not let a token be used twice.
const FORGET_AFTER: Duration = Duration::from_secs(60 * 60);
/// How many once-keys are forgotten for each that is learnt: more than one, so that the table
/// shrinks again after a rush, and few, so that nobody waits for it.
const FORGET_PER_USE: usize = 4;

/// The job, repository and tenant that a hold counts against; absent where no lease says.
type Counted = (Option<String>, Option<String>, Option<String>);

/// Why a transaction was not applied.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something stands against it.
    Refused(CommitError),
    /// SQLite could not do it.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<CommitError> for Stop {
    fn from(why: CommitError) -> Self {
        Self::Refused(why)
    }
}

/// A ledger being written.
pub(crate) struct Writing<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) frontier: Frontier,
}

impl<'c> Writing<'c> {
    pub(crate) const fn new(connection: &'c Connection, frontier: Frontier) -> Self {
        Self {
            connection,
            frontier,
        }
    }

    /// Applies a transaction and gives the ledger's sequence after it.
    ///
    /// Fences come first: a hand that lost its lane is told so whatever else is wrong. Once-keys
    /// come before budgets: an answer that was lost is given again, also when nothing is left.
    pub(crate) fn transaction(&mut self, transaction: &Transaction) -> Result<u64, Stop> {
        transaction
            .fences
            .iter()
            .try_for_each(|it| self.fence(it))?;
        for sheet in &transaction.sheets_unchanged {
            self.unchanged(sheet)?;
        }
        transaction
            .once
            .iter()
            .try_for_each(|it| self.use_once(it))?;
        transaction.rows.iter().try_for_each(|it| self.row(it))?;
        transaction
            .sheets
            .iter()
            .try_for_each(|it| self.sheet(it))?;
        for claim in &transaction.claims_released {
            self.release(claim)?;
        }
        transaction
            .claims
            .iter()
            .try_for_each(|it| self.claim(it))?;
        for hold in &transaction.holds_dropped {
            self.drop_hold(hold)?;
        }
        for hold in &transaction.holds_placed {
            self.place_hold(hold)?;
        }
        transaction.looks.iter().try_for_each(|it| self.look(it))?;
        for lane in &transaction.epochs_raised {
            self.raise_epoch(lane)?;
        }
        transaction
            .budgets
            .iter()
            .try_for_each(|it| self.budget(it))?;
        for entry in &transaction.entries {
            self.entry(entry)?;
        }
        if !transaction.once.is_empty() {
            self.forget(transaction)?;
        }
        Ok(self.frontier.size())
    }

    /// Claims a lane, see [`jitney_core::ledger::Ledger::claim_lane`].
    pub(crate) fn claim_lane(
        &mut self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Epoch>, Stop> {
        let (now, until) = (now.as_micros(), until.as_micros());
        let sql = "SELECT epoch, hand, until FROM lanes WHERE target = ?1 AND lane = ?2";
        let place = (lane.target.as_str(), lane.name.as_str());
        let owned: Option<(i64, String, i64)> = self
            .connection
            .prepare_cached(sql)?
            .query_row(place, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let (epoch, until) = match owned {
            None => (1, until),
            Some((epoch, owner, owned_until)) if owner == hand => (epoch, until.max(owned_until)),
            Some((epoch, _, owned_until)) if owned_until <= now => (epoch.saturating_add(1), until),
            Some(_) => return Ok(None),
        };
        self.execute(
            "INSERT INTO lanes VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET epoch = excluded.epoch, hand = excluded.hand,
                                       until = excluded.until",
            (place.0, place.1, epoch, hand, until),
        )?;
        Ok(Some(Epoch(epoch.unsigned_abs())))
    }

    /// Stores a checkpoint. One for a tree that the log has not grown to is none of this log.
    pub(crate) fn checkpoint(&mut self, size: u64, note: &str) -> Result<(), Stop> {
        let entries = self.frontier.size();
        if size > entries {
            let words = format!("a checkpoint for {size} entries, but it holds {entries}");
            return Err(CommitError::Unavailable(words).into());
        }
        self.execute(
            "INSERT INTO checkpoints (size, note) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            (count(size), note),
        )?;
        Ok(())
    }

    fn execute(&self, sql: &str, values: impl Params) -> Result<usize, rusqlite::Error> {
        self.connection.prepare_cached(sql)?.execute(values)
    }

    fn fence(&self, fence: &Fence) -> Result<(), Stop> {
        let sql = "SELECT 1 FROM lanes
                   WHERE target = ?1 AND lane = ?2 AND epoch = ?3 AND hand <> ''";
        let LaneId { target, name } = &fence.lane;
        let ours = (target.as_str(), name.as_str(), count(fence.epoch.0));
        if self.connection.prepare_cached(sql)?.exists(ours)? {
            Ok(())
        } else {
            Err(CommitError::Fenced(fence.clone()).into())
        }
    }

    fn use_once(&self, wanted: &OnceUse) -> Result<(), Stop> {
        let sql = "INSERT INTO once VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
        let values = (
            wanted.key.0.as_str(),
            wanted.bound_to.0.as_str(),
            wanted.asked.as_str(),
            wanted.request.as_uuid().into_bytes(),
            wanted.remember_until.as_micros(),
        );
        if self.execute(sql, values)? == 1 {
            return Ok(());
        }
        let stored = crate::read::once(self.connection, &wanted.key)?;
        Err(CommitError::Replayed(stored.unwrap_or_else(|| wanted.clone())).into())
    }

    /// Writes a row over the version before it, or as the first.
    fn row(&self, row: &Row) -> Result<(), Stop> {
        const FIRST: &str = "
            INSERT INTO rows (kind, id, version, state, is_final, request, target, lane, job,
                              repository, tenant, due_at, body)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
            ON CONFLICT DO NOTHING";
        // Most steps move neither the lane nor the owner of what stays open. SQLite writes an index
        // anew when one of its columns is set, also to what it is.
        const STEP: &str = "
            UPDATE rows SET version = ?3, state = ?4, due_at = ?12, body = ?13
            WHERE kind = ?1 AND id = ?2 AND version = ?3 - 1 AND is_final = ?5 AND request = ?6
              AND target IS ?7 AND lane IS ?8 AND job = ?9 AND repository = ?10 AND tenant = ?11";
        const NEXT: &str = "
            UPDATE rows SET version = ?3, state = ?4, is_final = ?5, request = ?6, target = ?7,
                            lane = ?8, job = ?9, repository = ?10, tenant = ?11, due_at = ?12,
                            body = ?13
            WHERE kind = ?1 AND id = ?2 AND version = ?3 - 1";
        let conflict = || Stop::Refused(CommitError::Conflict(row.id));
        if row.version == 0 || count(row.version) == i64::MAX {
            return Err(conflict());
        }
        let ways: &[&str] = match (row.version, row.is_final) {
            (1, _) => &[FIRST],
            (_, false) => &[STEP, NEXT],
            (_, true) => &[NEXT],
        };
        for sql in ways {
            if self.write_row(sql, row)? == 1 {
                return Ok(());
            }
        }
        Err(conflict())
    }

    fn write_row(&self, sql: &str, row: &Row) -> Result<usize, rusqlite::Error> {
        let (kind, id) = key(row.id);
        self.execute(
            sql,
            (
                kind,
                id,
                count(row.version),
                row.state.as_str(),
                row.is_final,
                row.request.as_uuid().into_bytes(),
                row.lane.as_ref().map(|lane| lane.target.as_str()),
                row.lane.as_ref().map(|lane| lane.name.as_str()),
                row.owner.job.as_str(),
                row.owner.repository.as_str(),
                row.owner.tenant.as_str(),
                row.due_at.map(Timestamp::as_micros),
                row.body.as_str(),
            ),
        )
    }

    /// Frees a name, if it is this lease that has it.
    fn release(&self, claim: &Claim) -> Result<(), Stop> {
        let sql = "DELETE FROM claims WHERE name = ?1 AND lease = ?2";
        self.execute(sql, (claim.name.as_str(), key(RowId::Lease(claim.lease)).1))?;
        Ok(())
    }

    fn claim(&self, claim: &Claim) -> Result<(), Stop> {
        // Claimed again by the lease that has it, the name stays as it is, and counts as written.
        let sql = "INSERT INTO claims VALUES (?1, ?2)
                   ON CONFLICT DO UPDATE SET lease = lease WHERE lease = excluded.lease";
        let values = (claim.name.as_str(), key(RowId::Lease(claim.lease)).1);
        if self.execute(sql, values)? == 1 {
            Ok(())
        } else {
            Err(CommitError::Taken(claim.clone()).into())
        }
    }

    /// Drops a hold, unless it was prolonged since the hand that drops it looked.
    fn drop_hold(&self, hold: &Hold) -> Result<(), Stop> {
        let sql = "DELETE FROM holds
                   WHERE target = ?1 AND lane = ?2 AND held = ?3 AND until <= ?4";
        let LaneId { target, name } = &hold.lane;
        let (held, until) = (hold.held.to_string(), hold.until.as_micros());
        self.execute(sql, (target.as_str(), name.as_str(), held, until))?;
        Ok(())
    }

    fn place_hold(&self, hold: &Hold) -> Result<(), Stop> {
        // What is not known of one of them is not known of both: `max` of nothing is nothing.
        let sql = "INSERT INTO holds VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                   ON CONFLICT DO UPDATE SET until = max(until, excluded.until),
                                             issued_by = max(issued_by, excluded.issued_by)";
        let LaneId { target, name } = &hold.lane;
        let (job, repository, tenant) = self.owner(hold.lease)?.unwrap_or_default();
        let values = (
            target.as_str(),
            name.as_str(),
            hold.held.to_string(),
            hold.lease.map(|lease| lease.as_uuid().into_bytes()),
            hold.until.as_micros(),
            hold.issued_by.map(Timestamp::as_micros),
            job,
            repository,
            tenant,
        );
        self.execute(sql, values)?;
        Ok(())
    }

    /// The job, repository and tenant that a lease counts against.
    fn owner(&self, lease: Option<LeaseId>) -> Result<Option<Counted>, rusqlite::Error> {
        let sql = "SELECT job, repository, tenant FROM rows WHERE kind = ?1 AND id = ?2";
        let Some(lease) = lease else {
            return Ok(None);
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row(key(RowId::Lease(lease)), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        });
        found.optional()
    }

    fn look(&self, look: &Look) -> Result<(), Stop> {
        let LaneId { target, name } = &look.lane;
        let lane = (target.as_str(), name.as_str());
        match look.at {
            Some(at) => self.execute(
                "INSERT INTO looks VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET at = excluded.at",
                (lane.0, lane.1, at.as_micros()),
            )?,
            None => self.execute("DELETE FROM looks WHERE target = ?1 AND lane = ?2", lane)?,
        };
        Ok(())
    }

    /// Nobody owns the lane any more, and who claims it next has a higher epoch.
    fn raise_epoch(&self, least: &Fence) -> Result<(), Stop> {
        let LaneId { target, name } = &least.lane;
        self.execute(
            "INSERT INTO lanes VALUES (?1, ?2, ?3, '', 0)
             ON CONFLICT DO UPDATE SET epoch = max(epoch, excluded.epoch), hand = '', until = 0",
            (target.as_str(), name.as_str(), count(least.epoch.0)),
        )?;
        Ok(())
    }

    fn unchanged(&self, asserted: &SheetAt) -> Result<(), Stop> {
        let sql = "SELECT version FROM sheets WHERE name = ?1";
        let stored: Option<i64> = self
            .connection
            .prepare_cached(sql)?
            .query_row([asserted.name.as_str()], |row| row.get(0))
            .optional()?;
        if stored.unwrap_or(0) == count(asserted.version) {
            Ok(())
        } else {
            Err(CommitError::Moved(asserted.name.clone()).into())
        }
    }

    /// Writes a sheet over the version before it, or as the first.
    fn sheet(&self, sheet: &Sheet) -> Result<(), Stop> {
        const FIRST: &str = "INSERT INTO sheets VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        const NEXT: &str =
            "UPDATE sheets SET version = ?2, body = ?3 WHERE name = ?1 AND version = ?2 - 1";
        let values = (
            sheet.name.as_str(),
            count(sheet.version),
            sheet.body.as_str(),
        );
        let moved = || Stop::Refused(CommitError::Moved(sheet.name.clone()));
        let written = match sheet.version {
            0 | u64::MAX => return Err(moved()),
            1 => self.execute(FIRST, values)?,
            _ => self.execute(NEXT, values)?,
        };
        if written == 1 { Ok(()) } else { Err(moved()) }
    }

    fn budget(&self, budget: &Budget) -> Result<(), Stop> {
        let sql = "SELECT count FROM shares WHERE kind = ?1 AND name = ?2";
        let (kind, name) = match &budget.share {
            Share::Job(job) => ("job", job.clone()),
            Share::Repository(repository) => ("repository", repository.clone()),
            Share::Tenant(tenant) => ("tenant", tenant.clone()),
            // No target has a slash in its name, so no two lanes are written alike.
            Share::Lane(lane) => ("lane", lane.to_string()),
        };
        let used: Option<i64> = self
            .connection
            .prepare_cached(sql)?
            .query_row((kind, name), |row| row.get(0))
            .optional()?;
        if used.unwrap_or(0) > i64::from(budget.leases_max) {
            return Err(CommitError::OverBudget(budget.clone()).into());
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Stop> {
        let bytes = entry.encode();
        let sql = "INSERT INTO entries VALUES (?1, ?2)";
        self.execute(sql, (count(self.frontier.size()), bytes.as_slice()))?;
        self.frontier.append(LeafHash::of(&bytes));
        Ok(())
    }

    /// Forgets some once-keys whose time is long over by this transaction's own clock.
    fn forget(&self, transaction: &Transaction) -> Result<(), Stop> {
        let Some(now) = transaction.entries.iter().map(Entry::at).max() else {
            return Ok(());
        };
        // Two statements: one would lay out a table for what it finds, and mostly finds nothing.
        let past = "SELECT key FROM once WHERE remember_until < ?1
                    ORDER BY remember_until LIMIT ?2";
        let most = transaction.once.len().saturating_mul(FORGET_PER_USE);
        let before = now.minus(FORGET_AFTER).as_micros();
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let past: Vec<String> = self
            .connection
            .prepare_cached(past)?
            .query_map((before, most), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for key in past {
            self.execute("DELETE FROM once WHERE key = ?1", [key])?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
