//! Recovering from a ledger that went back in time: everything that could have been issued is cut,
//! whether the ledger remembers it or not.

use std::collections::BTreeSet;

use super::operator::Cuts;
use super::{Core, Signed};
use crate::adapter::Mark;
use crate::audit::{Entry, Event};
use crate::ledger::Transaction;
use crate::plan::LaneId;
use crate::reconcile::describe;
use crate::refusal::Refusal;
use crate::standing::{Aim, Halt, Recovery, Seen, Standing};
use crate::time::Timestamp;

/// What a recovery cuts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovering {
    /// Every lane in which something may have been issued.
    pub lanes: BTreeSet<LaneId>,
    /// How far the latest ledger had come whose stamp was found.
    pub latest_mark: Option<Mark>,
    /// What was issued before this is cut, and nothing is elevated before it.
    pub cut_before: Option<Timestamp>,
}

impl Core {
    /// Looks through every target for the lanes that a recovery would have to cut. Changes nothing.
    ///
    /// # Errors
    /// When a target cannot be looked through: what cannot be seen cannot be cut.
    pub async fn would_recover(&self) -> Result<Recovering, Refusal> {
        let resources: Vec<_> = self
            .inventory
            .iter()
            .map(|(_, resource)| resource)
            .collect();
        let mut recovering = Recovering {
            lanes: BTreeSet::new(),
            latest_mark: None,
            cut_before: None,
        };
        for (target, adapter) in &self.adapters {
            let here: Vec<_> = resources
                .iter()
                .copied()
                .filter(|resource| resource.target == *target)
                .collect();
            recovering.lanes.extend(adapter.lanes(&here));
            for stamped in self.all_stamped(target).await? {
                recovering.latest_mark = recovering.latest_mark.max(stamped.mark);
                recovering.lanes.insert(stamped.lane);
            }
        }
        Ok(recovering)
    }

    /// Orders everything to be cut that could have been issued before now, in every lane of every
    /// target. Elevations go on once each lane was read back as cut.
    ///
    /// # Errors
    /// `bad_request` when the ledger was not found to have gone back in time, or a recovery is
    /// under way; a target that cannot be looked through; a ledger that cannot be used.
    pub async fn recover(&self, signed: &Signed) -> Result<Recovering, Refusal> {
        signed.check()?;
        let found = self.would_recover().await?;
        let posted = self.books.standing().await?;
        let mut says = posted.says.clone();
        let mut change = Transaction::default();
        let recovering = self.put_recovery(&mut says, &mut change, found, signed)?;
        change.sheets.push(posted.changed(&says)?);
        self.books.note(change).await?;
        self.books.standing().await?;
        Ok(recovering)
    }

    /// Halts because a person knows what no cloud tells: that the ledger was restored. Where nothing
    /// is left of a slot's leases, some clouds bear no mark of them.
    ///
    /// # Errors
    /// `bad_request` when nothing could have been issued anywhere; a target that cannot be looked
    /// through; a ledger that cannot be used.
    pub async fn declare_restored(&self, signed: &Signed) -> Result<(), Refusal> {
        signed.check()?;
        let found = self.would_recover().await?;
        let Some(lane) = found.lanes.first().cloned() else {
            let told = "nothing can have been issued: no target has a lane";
            return Err(Refusal::new("bad_request", told));
        };
        let posted = self.books.standing().await?;
        if posted.says.halt.is_some() {
            return Ok(());
        }
        let (since, ledger) = (self.clock.now(), self.books.mark_now().await?);
        let seen = Seen::Mark(found.latest_mark.map_or(ledger, |mark| mark.max(ledger)));
        let entry = Entry::new(since, Event::Halted)
            .field("lane", &lane)
            .field("seen", describe(seen))
            .field("ledger", ledger);
        let halt = Halt {
            since,
            lane,
            seen,
            ledger,
            recovery: None,
        };
        let says = Standing {
            halt: Some(halt),
            ..posted.says.clone()
        };
        let change = Transaction {
            sheets: vec![posted.changed(&says)?],
            entries: vec![signed.sign(entry)],
            ..Transaction::default()
        };
        self.books.note(change).await?;
        self.books.standing().await?;
        Ok(())
    }

    fn put_recovery(
        &self,
        says: &mut Standing,
        change: &mut Transaction,
        found: Recovering,
        signed: &Signed,
    ) -> Result<Recovering, Refusal> {
        let now = self.clock.now();
        let Some(mut halt) = says.halt.clone() else {
            return Err(Refusal::new(
                "bad_request",
                "there is nothing to recover from: no cloud bears a later stamp than the ledger's, \
                 and nobody said that it was restored",
            ));
        };
        if halt.recovery.is_some() {
            return Err(Refusal::new(
                "bad_request",
                "a recovery is under way already",
            ));
        }
        let seen_era = match halt.seen {
            Seen::Mark(mark) => mark.era,
            Seen::Epoch(_) => 0,
        };
        let swept_era = found.latest_mark.map_or(0, |mark| mark.era);
        says.era = says.era.max(seen_era).max(swept_era).saturating_add(1);
        // A lease on a lane that is no longer in the inventory is ended too.
        let everything = Aim {
            since: Some(Timestamp::default()),
            ..Aim::default()
        };
        let cuts = Cuts {
            lanes: found.lanes.clone(),
            forgotten: true,
        };
        self.put_order(says, change, everything, cuts, signed)?;
        let cuts = &change.holds_placed;
        let cut_before = cuts.iter().filter_map(|hold| hold.issued_by).max();
        let over_at = cuts.iter().map(|hold| hold.until).max();
        let entry = Entry::new(now, Event::RecoveryOrdered)
            .field("lanes", found.lanes.len())
            .field("seen", describe(halt.seen))
            .field("era", says.era);
        change.entries.push(signed.sign(entry));
        halt.recovery = Some(Recovery {
            person: signed.person.clone(),
            reason: signed.reason.clone(),
            began_at: now,
            cut_before: cut_before.unwrap_or(now),
            over_at: over_at.unwrap_or(now),
            lanes: found.lanes.clone(),
        });
        says.halt = Some(halt);
        // The uses of tokens since the backup are forgotten, so none of those tokens counts.
        says.tokens_since = Some(now);
        Ok(Recovering {
            cut_before,
            ..found
        })
    }
}
