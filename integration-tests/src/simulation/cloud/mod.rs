//! A cloud that enforces what it was last told, after a lag, and remembers everything.
//!
//! ```text
//! CloudPort (one per broker: what core calls) ── the wire: lost, late ──► Cloud: Estate
//! ```
//!
//! What a call does, it does in the moment in which it arrives, whoever still waits for it. Whether
//! a session worked at some moment follows from the estate's past and from nothing that anybody
//! says.

mod accounts;
mod clearing;
mod estate;
mod giving;
mod google;
mod lists;
mod port;
mod slots;
mod taking;

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use jitney_aws::simulated::{Denied, List, ListName};
use jitney_core::adapter::{Mark, Stamped, StampedKind};
use jitney_core::evidence::Held;
use jitney_core::handle::Handle;
use jitney_core::id::TargetName;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;

pub use accounts::Accounts;
use accounts::{BOUND_LAG_MAX, Written};
pub use estate::{Estate, Session};
use google::account_of;
pub use port::CloudPort;
use serde_json::Value;
use slots::{Cleared, TOKEN_LIFE};
pub use slots::{Right, Rights, SLOT_LAG_MAX};

use super::dice::Dice;
use super::executor::{Stage, lock};

/// How long a session lives.
pub const SESSION_LIFE: Duration = Duration::from_secs(900);
/// For how long after it was signed a call is still acted on, by the cloud's clock.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// How far a broker's clock may be from the cloud's.
pub const SKEW: Duration = Duration::from_secs(60);
/// How long an adapter waits for an answer.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// The longest until what was written is in force.
pub const LAG_MAX: Duration = Duration::from_secs(6);
/// How long an adapter waits, after it read back what it wrote, until it calls it settled.
pub const SETTLE: Duration = Duration::from_secs(8);

/// One time in so many somebody else writes a shared policy between our read and our write.
const NEIGHBOUR_ODDS: u64 = 4;

/// How a cloud takes back what it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Lists name the sessions that are denied everything, also such as land later. They are
    /// written whole, by whoever writes last.
    Denies,
    /// The grant is deleted. One that lands later is there again.
    Deletes,
    /// A right is taken from an identity of ours, whose sessions live on. For minutes after it was
    /// given it cannot be taken, and for minutes after it was taken it works.
    Slots,
    /// An account of ours is lent: it is bound and enabled, and its tokens end when it is disabled
    /// and wake when it is enabled again. Its bindings are in a policy that others write too.
    Accounts,
}

impl Style {
    /// How long a session lives.
    #[must_use]
    pub const fn life(self) -> Duration {
        match self {
            Self::Denies | Self::Deletes | Self::Accounts => SESSION_LIFE,
            Self::Slots => TOKEN_LIFE,
        }
    }

    /// The longest until a change is in force.
    #[must_use]
    pub const fn lag_max(self) -> Duration {
        match self {
            Self::Denies | Self::Deletes | Self::Accounts => LAG_MAX,
            Self::Slots => SLOT_LAG_MAX,
        }
    }

    /// Whether it gives to identities of ours, that carry one lease at a time.
    #[must_use]
    pub const fn has_slots(self) -> bool {
        matches!(self, Self::Slots | Self::Accounts)
    }

    /// How soon what a stranger undid is done again and in force: lanes are read back every minute.
    #[must_use]
    pub const fn repaired_within(self) -> Duration {
        match self {
            Self::Denies | Self::Deletes | Self::Accounts => Duration::from_secs(600),
            Self::Slots => Duration::from_secs(1_800),
        }
    }
}

/// The cloud of one target.
pub struct Cloud {
    /// The target.
    pub target: TargetName,
    /// How it takes back.
    pub style: Style,
    stage: Stage,
    dice: Dice,
    state: Mutex<State>,
}

struct State {
    estate: Estate,
    down_until: Timestamp,
    unseen_until: Timestamp,
    changes: u64,
}

impl Cloud {
    /// An empty cloud.
    #[must_use]
    pub fn new(target: TargetName, style: Style, stage: Stage, dice: Dice) -> Self {
        Self {
            target,
            style,
            stage,
            dice,
            state: Mutex::new(State {
                estate: Estate::of(style),
                down_until: Timestamp::default(),
                unseen_until: Timestamp::default(),
                changes: 0,
            }),
        }
    }

    /// Looks at everything that it ever did.
    pub fn look<T>(&self, at: impl FnOnce(&Estate) -> T) -> T {
        at(&self.lock().estate)
    }

    /// It answers nobody until then.
    pub fn go_down(&self, until: Timestamp) {
        self.lock().down_until = until;
    }

    /// Until when it answered nobody.
    #[must_use]
    pub fn down_until(&self) -> Timestamp {
        self.lock().down_until
    }

    /// Whether it answers nobody.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.stage.now() < self.lock().down_until
    }

    /// It lists to nobody what it bears until then, and does everything else.
    pub fn hide(&self, until: Timestamp) {
        self.lock().unseen_until = until;
    }

    /// Whether it can be looked through.
    pub(super) fn is_seen(&self) -> bool {
        self.stage.now() >= self.lock().unseen_until
    }

    /// A stranger, who knows nothing of us, empties every list, or gives back what was taken. Gives
    /// what was undone.
    pub fn stranger(&self) -> Denied {
        let now = self.stage.now();
        let in_force_at = now.plus(self.lag());
        let mut state = self.lock();
        match self.style {
            Style::Denies | Style::Deletes => state.estate.empty_lists(in_force_at),
            Style::Slots => state.estate.rights.give_back(now),
            Style::Accounts => state.estate.accounts.give_back(now),
        }
    }

    /// How long the next change takes to be in force.
    fn lag(&self) -> Duration {
        self.lag_below(self.style.lag_max())
    }

    fn lag_below(&self, most: Duration) -> Duration {
        let mut state = self.lock();
        state.changes += 1;
        let mut dice = self.dice.at(state.changes);
        dice.between(Duration::ZERO, most)
    }

    /// Asks or changes accounts.
    pub(super) fn accounts<T>(&self, work: impl FnOnce(&mut Accounts) -> T) -> T {
        work(&mut self.lock().estate.accounts)
    }

    /// Enables or disables an account.
    pub(super) fn enable(&self, name: &str, enabled: bool) {
        let when = (self.stage.now(), self.lag());
        self.accounts(|it| it.enable(name, enabled, when, false));
    }

    /// Writes the policy for us.
    pub(super) fn set_policy(&self, policy: &Value) -> Written {
        let when = (self.stage.now(), self.lag_below(BOUND_LAG_MAX));
        self.accounts(|it| it.set_policy(policy, when, false))
    }

    /// The policy as it is read. Now and then one of those who have bindings of their own in it
    /// writes it right after that, if anything may still go wrong.
    pub(super) fn policy(&self, is_calm: bool) -> Value {
        let now = self.stage.now();
        let mut dice = {
            let mut state = self.lock();
            state.changes += 1;
            self.dice.named("neighbour").at(state.changes)
        };
        self.accounts(|it| {
            let policy = it.policy();
            if !is_calm && dice.one_in(NEIGHBOUR_ODDS) {
                it.neighbour(&format!("user:{}", dice.below(3)), now);
            }
            policy
        })
    }

    /// Makes a session of an account, unless that is disabled or the call was signed too long ago.
    pub(super) fn mint_for_account(
        &self,
        session: Session,
        signed_at: Timestamp,
    ) -> Option<Session> {
        let (is_enabled, _) = self.accounts(|it| it.look(&account_of(&session.lane)));
        if !is_enabled {
            return None;
        }
        let minted = self.mint(session, signed_at)?;
        self.accounts(|it| it.lent(&minted));
        Some(minted)
    }

    /// Makes a session, unless the call was signed too long ago. The clock of the cloud is true.
    pub(super) fn mint(&self, session: Session, signed_at: Timestamp) -> Option<Session> {
        let now = self.stage.now();
        if now > signed_at.plus(PATIENCE) {
            return None;
        }
        let session = Session {
            minted_at: now,
            expires_at: now.plus(self.style.life()),
            ..session
        };
        Some(self.lock().estate.mint(session))
    }

    /// Makes the first session of a lease. Where rights are given, its identity is given one.
    pub(super) fn grant(&self, session: Session, signed_at: Timestamp) -> Option<Session> {
        let minted = self.mint(session, signed_at)?;
        if self.style == Style::Slots {
            self.lock().estate.rights.give(&minted);
        }
        Some(minted)
    }

    /// Whether a slot gives something, and the mark that it bears.
    pub(super) fn slot(&self, slot: &LaneId) -> (bool, Option<Mark>) {
        self.lock().estate.rights.state(slot)
    }

    /// Takes what is named, and what was given before a moment, from a slot.
    pub(super) fn clear(
        &self,
        slot: &LaneId,
        doomed: (&BTreeSet<Handle>, Option<Timestamp>),
        mark: Mark,
    ) -> Cleared {
        let when = (self.stage.now(), self.lag());
        self.lock().estate.rights.clear(slot, doomed, mark, when)
    }

    /// Writes a list whole, or removes it.
    pub(super) fn write(&self, lane: &LaneId, name: ListName, list: Option<List>) {
        let in_force_at = self.stage.now().plus(self.lag());
        self.lock()
            .estate
            .write_list((lane, name), list, in_force_at);
    }

    /// Deletes what is there of some handles, and all that was issued in the lane before a moment.
    /// Gives the latest mark that anything in the lane bore, and what is deleted.
    pub(super) fn delete(
        &self,
        lane: &LaneId,
        handles: &[Handle],
        issued_before: Option<Timestamp>,
    ) -> (Option<Mark>, BTreeSet<Handle>) {
        let (now, lag) = (self.stage.now(), self.lag());
        let estate = &mut self.lock().estate;
        let here = estate.there(now).filter(|session| session.lane == *lane);
        let mark = here.map(|session| session.mark).max();
        (mark, estate.delete(lane, handles, issued_before, now, lag))
    }

    /// Everything that bears the installation's stamp.
    pub(super) fn stamped(&self) -> Vec<Stamped> {
        let now = self.stage.now();
        let estate = &self.lock().estate;
        let stamped = |(lane, held, mark): (LaneId, Held, Option<Mark>), kind| Stamped {
            native: format!("{held} in {lane}"),
            lane,
            held,
            mark,
            kind,
        };
        if self.style == Style::Denies {
            let entries = estate.entries().into_iter();
            return entries
                .map(|it| stamped(it, StampedKind::Enforcement))
                .collect();
        }
        if self.style == Style::Slots {
            let rights = estate.rights.stamped().into_iter();
            let kind = |held: &Held| match held {
                Held::Grant(_) => StampedKind::Grant,
                Held::IssuedBefore(_) => StampedKind::Enforcement,
            };
            return rights
                .map(|it| (kind(&it.1), it))
                .map(|(kind, it)| stamped(it, kind))
                .collect();
        }
        let grants = estate.there(now).map(|session| {
            let held = Held::Grant(session.handle.clone());
            let entry = (session.lane.clone(), held, Some(session.mark));
            stamped(entry, StampedKind::Grant)
        });
        grants.collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
