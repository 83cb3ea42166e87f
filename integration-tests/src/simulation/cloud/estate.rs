//! What the cloud itself knows: sessions, and what ended them when.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use jitney_aws::simulated::{Denied, List, ListName};
use jitney_core::adapter::Mark;
use jitney_core::evidence::Held;
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;

use super::google::account_of;
use super::{Accounts, Rights, Style};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The handle it carries.
    pub handle: Handle,
    /// The lane that can end it.
    pub lane: LaneId,
    /// The lease it was made for, as the call said.
    pub lease: LeaseId,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Since when it is there.
    pub minted_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Until when the ledger knew, at the moment of the call, that something might work. Absent
    /// when it did not know of an open lease at all.
    pub covered_until: Option<Timestamp>,
    /// How far the ledger was when it was asked for, where the cloud keeps that.
    pub mark: Mark,
    /// When it was deleted, with effect.
    pub deleted_at: Option<Timestamp>,
}

impl Session {
    fn is_there(&self, now: Timestamp) -> bool {
        self.deleted_at.is_none() && now < self.expires_at
    }

    /// Whether a list that names these denies it. Clouds tell the time of issue in whole seconds.
    fn is_named(&self, names: &Denied) -> bool {
        let issued_at = Timestamp::from_seconds(self.minted_at.as_seconds());
        names.iter().any(|held| match held {
            Held::Grant(handle) => *handle == self.handle,
            Held::IssuedBefore(moment) => issued_at < *moment,
        })
    }
}

/// One state of a list, from when it is in force. One that was removed names nobody.
struct Version {
    in_force_at: Timestamp,
    names: Denied,
    by_stranger: bool,
}

/// One list of a lane. Changes of one list take effect in the order in which they were made; of
/// two lists, in any order.
#[derive(Default)]
struct Listed {
    is_there: bool,
    mark: Mark,
    versions: Vec<Version>,
}

impl Listed {
    fn names(&self) -> Denied {
        let last = self.versions.last();
        last.map(|version| version.names.clone())
            .unwrap_or_default()
    }

    fn change(&mut self, names: Denied, in_force_at: Timestamp, by_stranger: bool) {
        let last = self
            .versions
            .last()
            .map_or(in_force_at, |it| it.in_force_at);
        self.versions.push(Version {
            in_force_at: in_force_at.max(last),
            names,
            by_stranger,
        });
    }

    fn at(&self, now: Timestamp) -> Option<&Version> {
        let in_force = |version: &&Version| version.in_force_at <= now;
        self.versions.iter().rev().find(in_force)
    }

    /// Whether a stranger took a session off it, and nobody has changed it since.
    fn frees(&self, session: &Session, now: Timestamp) -> bool {
        let in_force = self.versions.iter().rev();
        let mut in_force = in_force.filter(|version| version.in_force_at <= now);
        let last = in_force.next();
        let by_stranger = last.is_some_and(|version| version.by_stranger);
        by_stranger && in_force.any(|version| session.is_named(&version.names))
    }
}

/// Everything the cloud ever did.
pub struct Estate {
    sessions: Vec<Session>,
    lists: BTreeMap<LaneId, BTreeMap<ListName, Listed>>,
    /// Where rights are given to identities.
    pub(super) rights: Rights,
    /// Where accounts are lent.
    pub accounts: Accounts,
    style: Style,
}

impl Estate {
    /// An empty estate, in which sessions do what their identities may, or what they were made for.
    #[must_use]
    pub fn of(style: Style) -> Self {
        Self {
            sessions: Vec::new(),
            lists: BTreeMap::new(),
            rights: Rights::default(),
            accounts: Accounts::default(),
            style,
        }
    }

    /// Every session there ever was.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// The first moment from `from` on at which a session works. That a stranger freed it does not
    /// count before `excused_until`.
    #[must_use]
    pub fn works_after(
        &self,
        session: &Session,
        from: Timestamp,
        excused_until: Timestamp,
    ) -> Option<Timestamp> {
        let from = from.max(session.minted_at);
        let lists = self.lists_of(&session.lane);
        let versions = lists.flat_map(|list| &list.versions);
        let changes = versions.map(|version| version.in_force_at);
        let given = self.rights.moments(&session.lane);
        let account = account_of(&session.lane);
        let lent = self.accounts.moments(&account);
        let moments = changes
            .chain(given)
            .chain(lent)
            .chain([excused_until])
            .filter(|it| *it > from);
        let mut moments: BTreeSet<Timestamp> = moments.collect();
        moments.insert(from);
        let works = |now: &Timestamp| {
            let is_freed = |list: &Listed| list.frees(session, *now);
            let excused = *now < excused_until && self.lists_of(&session.lane).any(is_freed);
            let gives = || match self.style {
                Style::Denies | Style::Deletes => true,
                Style::Slots => self.rights.gives(&session.lane, *now, excused_until),
                Style::Accounts => self.accounts.gives(&account, *now, excused_until),
            };
            self.allows(session, *now) && !excused && gives()
        };
        moments.into_iter().find(works)
    }

    /// The first moment at which a session does what another lease may, and that lease.
    #[must_use]
    pub fn does_anothers(
        &self,
        session: &Session,
        restored_at: Option<Timestamp>,
    ) -> Option<(Timestamp, LeaseId)> {
        match self.style {
            Style::Accounts => {
                let account = account_of(&session.lane);
                self.accounts.of_another(&account, session, restored_at)
            }
            Style::Denies | Style::Deletes | Style::Slots => {
                self.rights.of_another(session, restored_at)
            }
        }
    }

    fn allows(&self, session: &Session, now: Timestamp) -> bool {
        let is_deleted = session
            .deleted_at
            .is_some_and(|deleted_at| deleted_at <= now);
        let lives = session.minted_at <= now && now < session.expires_at && !is_deleted;
        let in_force = self.lists_of(&session.lane).filter_map(|list| list.at(now));
        lives && !in_force.into_iter().any(|it| session.is_named(&it.names))
    }

    fn lists_of(&self, lane: &LaneId) -> impl Iterator<Item = &Listed> {
        self.lists.get(lane).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn mint(&mut self, session: Session) -> Session {
        self.sessions.push(session.clone());
        session
    }

    pub(super) fn list_names(&self, lane: &LaneId) -> Vec<ListName> {
        let lists = self.lists.get(lane).into_iter().flatten();
        lists
            .filter(|(_, list)| list.is_there)
            .map(|(name, _)| *name)
            .collect()
    }

    pub(super) fn list(&self, lane: &LaneId, name: ListName) -> Option<List> {
        let list = self.lists.get(lane)?.get(&name)?;
        list.is_there.then(|| List {
            denied: list.names(),
            mark: list.mark,
        })
    }

    /// Writes a list whole, or removes it.
    pub(super) fn write_list(
        &mut self,
        (lane, name): (&LaneId, ListName),
        list: Option<List>,
        in_force_at: Timestamp,
    ) {
        let lists = self.lists.entry(lane.clone()).or_default();
        let listed = lists.entry(name).or_default();
        listed.is_there = list.is_some();
        let list = list.unwrap_or_default();
        listed.mark = list.mark;
        listed.change(list.denied, in_force_at, false);
    }

    pub(super) fn empty_lists(&mut self, in_force_at: Timestamp) -> Denied {
        let mut undone = Denied::new();
        for list in self.lists.values_mut().flat_map(BTreeMap::values_mut) {
            if list.is_there {
                undone.extend(list.names());
                list.is_there = false;
                list.change(Denied::new(), in_force_at, true);
            }
        }
        undone
    }

    /// Deletes what is there of some handles, and all that was issued in a lane before a moment.
    /// Gives the handles of what is deleted.
    pub(super) fn delete(
        &mut self,
        lane: &LaneId,
        handles: &[Handle],
        issued_before: Option<Timestamp>,
        now: Timestamp,
        lag: Duration,
    ) -> BTreeSet<Handle> {
        let doomed = |session: &Session| {
            let is_old = issued_before.is_some_and(|moment| session.minted_at < moment);
            handles.contains(&session.handle) || (session.lane == *lane && is_old)
        };
        let there = self.sessions.iter_mut().filter(|it| it.is_there(now));
        let deleted = there.filter(|session| doomed(session)).map(|session| {
            session.deleted_at = Some(now.plus(lag));
            session.handle.clone()
        });
        deleted.collect()
    }

    /// What is there of grants that could be deleted.
    pub(super) fn there(&self, now: Timestamp) -> impl Iterator<Item = &Session> {
        self.sessions
            .iter()
            .filter(move |session| session.is_there(now))
    }

    /// What lists name, with the lane and the mark of each.
    #[must_use]
    pub fn entries(&self) -> Vec<(LaneId, Held, Option<Mark>)> {
        let mut entries = Vec::new();
        for (lane, lists) in &self.lists {
            for list in lists.values().filter(|list| list.is_there) {
                let entry = |held: Held| (lane.clone(), held, Some(list.mark));
                entries.extend(list.names().into_iter().map(entry));
            }
        }
        entries
    }
}
