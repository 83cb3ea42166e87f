//! What the cloud itself knows: sessions and deny lists. Whether a credential works follows from
//! these and the time, and from nothing that anybody says.

use std::collections::{BTreeMap, BTreeSet};

use jitney_core::adapter::Epoch;
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
    /// Each handle with the moment it was written.
    written: BTreeMap<Handle, Timestamp>,
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
        self.lists
            .get(&session.lane)
            .and_then(|list| list.written.get(&session.handle))
            .is_some_and(|written_at| written_at.plus(LAG) <= now)
    }

    pub(super) fn denied(&self, lane: &LaneId) -> Vec<Handle> {
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

    /// Takes the pen of a lane. A hand that was superseded does not get it back.
    pub(super) fn take_pen(&mut self, lane: &LaneId, epoch: Epoch) -> bool {
        let list = self.lists.entry(lane.clone()).or_default();
        let is_ours = list.epoch.is_none_or(|newest| newest <= epoch);
        if is_ours {
            list.epoch = Some(epoch);
        }
        is_ours
    }

    /// Makes a deny list name exactly these, and gives what it named before.
    pub(super) fn write_list(
        &mut self,
        lane: &LaneId,
        wanted: &BTreeSet<Handle>,
        now: Timestamp,
    ) -> BTreeSet<Handle> {
        let list = self.lists.entry(lane.clone()).or_default();
        let before = list.written.keys().cloned().collect();
        list.written.retain(|handle, _| wanted.contains(handle));
        for handle in wanted {
            list.written.entry(handle.clone()).or_insert(now);
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
