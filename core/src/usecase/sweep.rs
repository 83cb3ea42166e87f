//! Looking through a target for what bears our stamp and belongs to nothing that is open.

use super::{Core, Signed};
use crate::adapter::{Mark, Stamped};
use crate::audit::{Entry, Event};
use crate::evidence::{Held, Hold};
use crate::fault::{Fault, FaultKind};
use crate::handle::Handle;
use crate::id::TargetName;
use crate::ledger::{CannotRead, Look, Transaction};
use crate::plan::LaneId;
use crate::refusal::Refusal;
use crate::standing::Seen;
use crate::time::Timestamp;

/// The most pages of a target that are looked through in one go.
const PAGES_MAX: u32 = 10_000;

/// Something that bears our stamp and belongs to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// What was found.
    pub stamped: Stamped,
    /// Whether it is now held, and so ended.
    pub held: bool,
}

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many things bear the installation's name.
    pub seen: u32,
    /// How many of them do not prove it. They are left alone.
    pub foreign: u32,
    /// What belongs to nothing that is open.
    pub strays: Vec<Stray>,
    /// Whether a stamp shows that the ledger went back in time. Then nothing was acted upon.
    pub behind: bool,
}

impl Core {
    /// Looks through a target. With `act`, at most `cap` strays are held: what grants is ended,
    /// and kept ended for as long as anything of it can live; then it is let go. Nothing is
    /// removed that does not prove by its stamp that this installation made it.
    ///
    /// # Errors
    /// `bad_request` for an unknown target; a target that cannot be looked through; a ledger that
    /// cannot be used.
    pub async fn sweep(
        &self,
        target: &TargetName,
        act: Option<&Signed>,
        cap: u32,
    ) -> Result<Swept, Refusal> {
        if let Some(signed) = act {
            signed.check()?;
        }
        let mut swept = Swept::default();
        for stamped in self.all_stamped(target).await? {
            swept.seen = swept.seen.saturating_add(1);
            if !self.proves(&stamped) {
                swept.foreign = swept.foreign.saturating_add(1);
                continue;
            }
            if self.is_later(stamped.mark).await? {
                self.halt_for(&stamped).await?;
                swept.behind = true;
            }
            if !self.is_accounted_for(&stamped).await? {
                let held = false;
                swept.strays.push(Stray { stamped, held });
            }
        }
        if let Some(signed) = act.filter(|_| !swept.behind) {
            let most = usize::try_from(cap).unwrap_or(usize::MAX);
            let acted = swept.strays.iter_mut().take(most);
            for stray in acted {
                self.hold_stray(&stray.stamped, signed).await?;
                stray.held = true;
            }
        }
        Ok(swept)
    }

    /// Whether the stamp is genuine. A watermark carries no stamp of its own: it takes privileges
    /// away and is never touched.
    pub(super) fn proves(&self, stamped: &Stamped) -> bool {
        match &stamped.held {
            Held::Grant(handle) => self.stamp.made(handle),
            Held::IssuedBefore(_) => false,
        }
    }

    pub(super) async fn is_later(&self, mark: Option<Mark>) -> Result<bool, CannotRead> {
        match mark {
            Some(mark) if mark > self.books.mark() => Ok(mark > self.books.mark_now().await?),
            _ => Ok(false),
        }
    }

    /// What a fault that stopped an elevation comes to. One that shows what only a later ledger than
    /// this one can have written stops every other elevation as well.
    pub(super) async fn stopped_by(&self, lane: &LaneId, fault: &Fault) -> Refusal {
        let refusal = Refusal::of_fault(fault);
        let FaultKind::LedgerBehind { bears } = fault.kind else {
            return refusal;
        };
        let halted = match self.is_later(Some(bears)).await {
            Ok(true) => self.halt(lane, Seen::Mark(bears)).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error.into()),
        };
        match halted {
            Ok(()) => refusal,
            Err(stumble) => Refusal {
                logged: format!(
                    "{}; the halt could not be written down: {stumble}",
                    refusal.logged
                ),
                ..refusal
            },
        }
    }

    pub(super) async fn halt_for(&self, stamped: &Stamped) -> Result<(), Refusal> {
        let seen = Seen::Mark(stamped.mark.unwrap_or_default());
        let halted = self.halt(&stamped.lane, seen).await;
        halted.map_err(|stumble| {
            Refusal::new("ledger_unavailable", "the halt could not be written down")
                .logged(stumble.to_string())
        })
    }

    /// Whether an open lease or a hold knows of it.
    async fn is_accounted_for(&self, stamped: &Stamped) -> Result<bool, CannotRead> {
        let open = self
            .books
            .lane(&stamped.lane, Timestamp::FAR_FUTURE)
            .await?;
        let is_held = open.holds.iter().any(|hold| hold.held == stamped.held);
        let is_leased = |handle: &Handle| {
            open.leases
                .iter()
                .any(|lease| lease.terms().handle == *handle)
        };
        Ok(is_held
            || match &stamped.held {
                Held::Grant(handle) => is_leased(handle),
                Held::IssuedBefore(_) => false,
            })
    }

    async fn hold_stray(&self, stamped: &Stamped, signed: &Signed) -> Result<(), Refusal> {
        let now = self.clock.now();
        let reach = self.adapter(&stamped.lane.target)?.reach();
        let entry = Entry::new(now, Event::StrayFound)
            .field("lane", &stamped.lane)
            .field("held", &stamped.held)
            .field("native", &stamped.native);
        let hold = Hold {
            lane: stamped.lane.clone(),
            held: stamped.held.clone(),
            lease: None,
            until: now.plus(reach.issues_within).plus(reach.lives),
            issued_by: None,
        };
        let held = Transaction {
            holds_placed: vec![hold],
            looks: vec![Look {
                lane: stamped.lane.clone(),
                at: Some(now),
            }],
            entries: vec![signed.sign(entry)],
            ..Transaction::default()
        };
        Ok(self.books.note(held).await?)
    }

    /// Everything in a target that bears the installation's name.
    pub(super) async fn all_stamped(&self, target: &TargetName) -> Result<Vec<Stamped>, Refusal> {
        let adapter = self.adapter(target)?;
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page = adapter.sweep(after).await;
            let page = page.map_err(|fault| {
                let told = format!("target `{target}` cannot be looked through");
                let refusal = Refusal {
                    cause: Some(fault.code),
                    ..Refusal::new("try_again", told)
                };
                refusal.logged(format!("{}: {}", fault.code, fault.logged))
            })?;
            found.extend(page.found);
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
        let told = format!("target `{target}` has more pages than are looked through");
        Err(Refusal::new("try_again", told))
    }
}
