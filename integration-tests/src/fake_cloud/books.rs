//! What the cloud itself knows: sessions and deny lists. Whether a credential works follows from
//! these and the time, and from nothing that anybody says.

use std::collections::{BTreeMap, BTreeSet};

use jitney_core::adapter::{Epoch, Hand, Mark};
use jitney_core::evidence::Held;
use jitney_core::handle::Handle;
use jitney_core::id::LeaseId;
use jitney_core::plan::LaneId;
use jitney_core::time::Timestamp;

use super::LAG;

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// What its holder presents.
    pub credential: String,
    /// The handle it carries.
    pub handle: Handle,
    /// The lane that can deny it.
    pub lane: LaneId,
    /// The lease it was made for, as the call said.
    pub lease: LeaseId,
    /// From when it is there. In the future for a call that lands late.
    pub minted_at: Timestamp,
    /// When it stops working by itself.
    pub expires_at: Timestamp,
    /// Until when the ledger, asked at the moment of the call, knew that something might work.
    /// Absent when it did not know of the lease at all.
    pub covered_until: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct DenyList {
    epoch: Option<Epoch>,
    /// How far the ledger was that led to what is written.
    mark: Option<Mark>,
    /// Each entry with the moment it was written.
    written: BTreeMap<Held, Timestamp>,
}

impl DenyList {
    fn denies(&self, session: &Session, now: Timestamp) -> bool {
        let covers = |held: &Held| match held {
            Held::Grant(handle) => *handle == session.handle,
            Held::IssuedBefore(moment) => session.minted_at < *moment,
        };
        let mut in_force = self.written.iter();
        in_force.any(|(held, written_at)| covers(held) && written_at.plus(LAG) <= now)
    }
}

/// The cloud's own books.
#[derive(Debug, Default)]
pub struct CloudBooks {
    sessions: Vec<Session>,
    lists: BTreeMap<LaneId, DenyList>,
    deleted: BTreeSet<String>,
}

impl CloudBooks {
    pub(super) fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    pub(super) fn allows(&self, credential: &str, now: Timestamp) -> bool {
        self.sessions
            .iter()
            .filter(|session| session.credential == credential)
            .any(|session| {
                let there = session.minted_at <= now && now < session.expires_at;
                there && !self.deleted.contains(credential) && !self.denies(session, now)
            })
    }

    fn denies(&self, session: &Session, now: Timestamp) -> bool {
        let list = self.lists.get(&session.lane);
        list.is_some_and(|list| list.denies(session, now))
    }

    pub(super) fn denied(&self, lane: &LaneId) -> Vec<Held> {
        let list = self.lists.get(lane);
        list.map(|list| list.written.keys().cloned().collect())
            .unwrap_or_default()
    }

    pub(super) fn denies_nothing(&self) -> bool {
        self.lists.values().all(|list| list.written.is_empty())
    }

    pub(super) fn mint(&mut self, session: Session) {
        self.sessions.push(session);
    }

    /// Takes the pen of a lane, or says which later hand has it.
    pub(super) fn take_pen(&mut self, lane: &LaneId, epoch: Epoch) -> Result<(), Epoch> {
        let list = self.lists.entry(lane.clone()).or_default();
        match list.epoch.filter(|newest| *newest > epoch) {
            Some(newer) => Err(newer),
            None => {
                list.epoch = Some(epoch);
                Ok(())
            }
        }
    }

    /// The mark that a lane bears.
    pub(super) fn mark(&self, lane: &LaneId) -> Option<Mark> {
        self.lists.get(lane).and_then(|list| list.mark)
    }

    /// Every entry of every list, with the mark of the list.
    pub(super) fn entries(&self) -> Vec<(LaneId, Held, Option<Mark>)> {
        let of = |(lane, list): (&LaneId, &DenyList)| {
            let entry = |held: &Held| (lane.clone(), held.clone(), list.mark);
            list.written.keys().map(entry).collect::<Vec<_>>()
        };
        self.lists.iter().flat_map(of).collect()
    }

    /// Makes a deny list name exactly these, and gives what it named before.
    pub(super) fn write_list(
        &mut self,
        lane: &LaneId,
        hand: Hand,
        wanted: &BTreeSet<Held>,
        now: Timestamp,
    ) -> BTreeSet<Held> {
        let list = self.lists.entry(lane.clone()).or_default();
        list.mark = Some(hand.mark);
        let before = list.written.keys().cloned().collect();
        list.written.retain(|held, _| wanted.contains(held));
        for held in wanted {
            list.written.entry(held.clone()).or_insert(now);
        }
        before
    }

    /// Deletes what is there of a handle, and says whether anything was.
    pub(super) fn delete(&mut self, handle: &Handle, now: Timestamp) -> bool {
        let there: Vec<String> = self
            .sessions
            .iter()
            .filter(|session| session.handle == *handle && session.minted_at <= now)
            .map(|session| session.credential.clone())
            .filter(|credential| !self.deleted.contains(credential))
            .collect();
        let found = !there.is_empty();
        self.deleted.extend(there);
        found
    }

    pub(super) fn empty(&mut self, lane: &LaneId) {
        if let Some(list) = self.lists.get_mut(lane) {
            list.written.clear();
        }
    }
}
