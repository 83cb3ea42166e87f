//! The ledger in front of the ledger.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jitney_core::adapter::Epoch;
use jitney_core::audit::Frontier;
use jitney_core::id::RequestId;
use jitney_core::ledger::{
    CannotRead, CommitError, LaneRows, LeaseFilter, Ledger, OnceUse, Row, RowId, Sheet,
    StoredEntry, Transaction,
};
use jitney_core::plan::LaneId;
use jitney_core::principal::OnceKey;
use jitney_core::spool::{Ends, Note, ends_only, may_only_end};
use jitney_core::time::{Clock, Timestamp};

use crate::file::{CannotNote, CannotOpen, Found, SpoolFile};
use crate::ground::{Disk, Ground, Records};
use crate::merging::Tally;
use crate::noted::Noted;

/// How long an end waits for the ledger's word before it is noted.
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon a lane is opened again while what was found in it cannot be recorded. Whatever ends in
/// it meanwhile opens it at once.
const LANE_PAUSE: Duration = Duration::from_secs(5);
/// The epoch of a hand that never claimed the lane here: lower than every claimed one, so it can
/// only add to what is denied.
const NEVER_CLAIMED: Epoch = Epoch(0);

/// A ledger that goes on taking ends while the one behind it takes nothing.
pub struct Spooled<G: Ground = Disk> {
    pub(crate) ground: G,
    pub(crate) inner: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared<G::Records>>,
    /// One merge at a time.
    pub(crate) merging: tokio::sync::Mutex<()>,
}

/// Locked in this order. The file is locked only by threads that may wait for a disk.
pub(crate) struct Shared<R> {
    file: Mutex<R>,
    desk: Mutex<Desk>,
}

/// What this process knows.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) noted: Noted,
    pub(crate) tally: Tally,
    /// The number of audit entries when the ledger last told.
    pub(crate) sequence: u64,
    /// Whether the ledger did not take what it was last given.
    is_away: bool,
    /// The epoch in which a hand of this process last claimed a lane.
    epochs: HashMap<(LaneId, String), Epoch>,
    /// When a lane was last opened while the ledger was away.
    opened: HashMap<LaneId, Timestamp>,
}

impl Spooled {
    /// Puts the spool in `path` before a ledger. Whatever is noted in it is merged before the
    /// ledger is given anything else.
    ///
    /// # Errors
    /// When the spool cannot be used.
    pub fn open(
        inner: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        path: &Path,
        installation: &str,
        bytes: u64,
    ) -> Result<Self, CannotOpen> {
        let (file, found) = SpoolFile::open(path, installation, bytes)?;
        Ok(Self::upon(Disk, inner, clock, (file, found)))
    }
}

impl<G: Ground> Spooled<G> {
    /// Puts a spool before a ledger, wherever it is kept, with what was found in it.
    pub fn upon(
        ground: G,
        inner: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        (records, found): (G::Records, Found),
    ) -> Self {
        let mut desk = Desk::default();
        let mut unreadable = found.unreadable;
        for payload in found.payloads {
            match Note::decode_all(&payload) {
                Ok(notes) => desk.noted.note(Ends {
                    notes,
                    looks: Vec::new(),
                }),
                Err(error) => {
                    tracing::error!(%error, "a record of the spool cannot be read");
                    unreadable = unreadable.saturating_add(1);
                }
            }
        }
        if unreadable > 0 {
            tracing::error!(
                unreadable,
                "records of the spool cannot be read; what ended in them ends again by silence \
                 or time"
            );
        }
        if desk.noted.waiting() > 0 {
            let leases = desk.noted.waiting();
            tracing::warn!(leases, "ends are noted in the spool; they are merged first");
        }
        desk.tally.unreadable = unreadable;
        Self {
            ground,
            inner,
            clock,
            shared: Arc::new(Shared {
                file: Mutex::new(records),
                desk: Mutex::new(desk),
            }),
            merging: tokio::sync::Mutex::new(()),
        }
    }

    /// Waits for the ledger, but not for ever. Who is no longer waited for may still be heard of.
    async fn in_time<T: Send>(
        &self,
        work: impl Future<Output = Result<T, CommitError>> + Send,
    ) -> Result<T, CommitError> {
        let answer = self.ground.in_time(PATIENCE, work).await;
        answer.unwrap_or_else(|| {
            let seconds = PATIENCE.as_secs();
            Err(CommitError::Unknown(format!("no answer in {seconds} s")))
        })
    }

    /// Takes note of whether the ledger is there.
    fn heard<T>(&self, answer: Result<T, CommitError>) -> Result<T, CommitError> {
        let is_away = match &answer {
            Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => true,
            Ok(_) | Err(_) => false,
        };
        let mut desk = self.shared.desk();
        if let Err(error) = &answer
            && is_away
            && !desk.is_away
        {
            tracing::error!(%error, "the ledger takes nothing: elevations stop; what ends is \
                noted in the spool and revoked");
        }
        if !is_away {
            desk.opened.clear();
            desk.noted.forget_looks();
        }
        desk.is_away = is_away;
        answer
    }

    /// The same of a commit, which tells how far the ledger is.
    fn told(&self, committed: Result<u64, CommitError>) -> Result<u64, CommitError> {
        let sequence = self.heard(committed)?;
        self.shared.desk().sequence = sequence;
        Ok(sequence)
    }

    /// Notes ends that the ledger did not take.
    async fn note(&self, ends: Ends, why: CommitError) -> Result<u64, CommitError> {
        if self.has_already(&ends).await? {
            return Ok(self.shared.desk().sequence);
        }
        let shared = Arc::clone(&self.shared);
        let noted = self.ground.at_the_disk(move || shared.note(ends)).await;
        match noted? {
            Ok(sequence) => Ok(sequence),
            Err(NotNoted::Changed(row)) => Err(CommitError::Conflict(row)),
            Err(NotNoted::Cannot(error)) => {
                tracing::error!(%error, ledger = %why, "an end is noted nowhere");
                Err(CommitError::Unavailable(format!("{why}; {error}")))
            }
        }
    }

    /// Whether the ledger has all of it: a commit whose answer was lost took place. A ledger that
    /// cannot be read is not waited for; the merge will look again.
    async fn has_already(&self, ends: &Ends) -> Result<bool, CommitError> {
        let mut has_all = true;
        for row in ends.notes.iter().map(Note::row).chain(&ends.looks) {
            let noted = self.shared.desk().noted.over_one(row.id, None);
            let stored = match noted {
                Some(_) => None,
                None => {
                    let asked = self.inner.row(row.id);
                    self.ground.in_time(PATIENCE, asked).await
                }
            };
            match stored {
                Some(Ok(Some(stored))) if stored == *row => {}
                Some(Ok(Some(stored))) if stored.version.saturating_add(1) != row.version => {
                    return Err(CommitError::Conflict(row.id));
                }
                _ => has_all = false,
            }
        }
        Ok(has_all)
    }
}

/// Why ends were not noted.
enum NotNoted {
    Changed(RowId),
    Cannot(CannotNote),
}

impl<R: Records> Shared<R> {
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn file(&self) -> MutexGuard<'_, R> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes ends: on disk first, then in memory. Waits for the disk.
    fn note(&self, ends: Ends) -> Result<u64, NotNoted> {
        // Held to the end, so that of two who note the same, one comes first.
        let mut file = self.file();
        if let Some(row) = self.desk().noted.conflict(&ends) {
            return Err(NotNoted::Changed(row));
        }
        if !ends.notes.is_empty() {
            let mut payload = Vec::new();
            ends.notes.iter().for_each(|note| note.encode(&mut payload));
            // What only says how an end went on may fill half: the rest is for ends.
            let says_an_end = ends.notes.iter().any(Note::is_end);
            let reserved = if says_an_end { 0 } else { file.room() / 2 };
            file.append(&payload, reserved).map_err(NotNoted::Cannot)?;
        }
        let mut desk = self.desk();
        for note in ends.notes.iter().filter(|note| note.is_end()) {
            if let Some(lane) = &note.row().lane {
                desk.opened.remove(lane);
            }
        }
        desk.noted.note(ends);
        Ok(desk.sequence)
    }
}

impl Desk {
    /// Whether something keeps this process from recording what it finds.
    fn is_cut_off(&self) -> bool {
        self.is_away || self.noted.waiting() > 0
    }

    /// A lane is opened.
    fn open(&mut self, lane: &LaneId, now: Timestamp) {
        if self.is_cut_off() {
            self.opened.insert(lane.clone(), now);
        }
    }

    /// Whether a lane was opened a moment ago and has nothing new. What was found in it cannot be
    /// recorded, so it stays due, and its cloud would be asked without a pause.
    fn rests(&self, lane: &LaneId, now: Timestamp) -> bool {
        let opened = self.opened.get(lane);
        self.is_cut_off() && opened.is_some_and(|at| now < at.plus(LANE_PAUSE))
    }
}

#[async_trait]
impl<G: Ground> Ledger for Spooled<G> {
    async fn commit(&self, transaction: Transaction) -> Result<u64, CommitError> {
        if !may_only_end(&transaction) {
            self.merge().await?;
            return self.told(self.inner.commit(transaction).await);
        }
        // A copy is cheap. What is in it is read only when the ledger did not take it.
        let kept = transaction.clone();
        let committed = self.in_time(async {
            self.merge().await?;
            self.inner.commit(transaction).await
        });
        match self.told(committed.await) {
            Err(why @ (CommitError::Unavailable(_) | CommitError::Unknown(_))) => {
                match ends_only(&kept) {
                    Some(ends) => self.note(ends, why).await,
                    None => Err(why),
                }
            }
            answer => answer,
        }
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn is_there(&self) -> bool {
        !self.shared.desk().is_away
    }

    /// Without what only the spool knows: this is a number for people, and the ledger counts it
    /// without reading a lease.
    async fn count_open(&self) -> Result<BTreeMap<String, u64>, CannotRead> {
        self.inner.count_open().await
    }

    async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        let stored = self.inner.row(id).await?;
        Ok(self.shared.desk().noted.over_one(id, stored))
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<Row>, CannotRead> {
        let stored = self.inner.rows(ids).await?.into_iter();
        let mut stored: BTreeMap<RowId, Row> = stored.map(|row| (row.id, row)).collect();
        let noted = &self.shared.desk().noted;
        let rows = ids.iter().map(|id| noted.over_one(*id, stored.remove(id)));
        Ok(rows.flatten().collect())
    }

    async fn leases_of(&self, request: RequestId) -> Result<Vec<Row>, CannotRead> {
        let stored = self.inner.leases_of(request).await?;
        let noted = &self.shared.desk().noted;
        Ok(noted.over_all(stored, |row| row.request == request))
    }

    async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        let longer = LeaseFilter {
            limit: filter
                .limit
                .saturating_add(self.shared.desk().noted.over_page_by()),
            ..filter.clone()
        };
        let stored = self.inner.leases(longer).await?;
        Ok(self.shared.desk().noted.over_page(stored, &filter))
    }

    async fn sheet(&self, name: &str) -> Result<Option<Sheet>, CannotRead> {
        self.inner.sheet(name).await
    }

    async fn sheets(&self, prefix: &str) -> Result<Vec<Sheet>, CannotRead> {
        self.inner.sheets(prefix).await
    }

    async fn once(&self, key: &OnceKey) -> Result<Option<OnceUse>, CannotRead> {
        self.inner.once(key).await
    }

    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, CannotRead> {
        // The reconciler looks here all the time: that is when a ledger that is back is noticed.
        if self.shared.desk().noted.waiting() > 0 {
            let _ = self.heard(self.in_time(self.merge()).await);
        }
        let resting = self.shared.desk().opened.len();
        let resting = u32::try_from(resting).unwrap_or(u32::MAX);
        let mut lanes = self
            .inner
            .due_lanes(now, limit.saturating_add(resting))
            .await?;
        let desk = self.shared.desk();
        desk.noted.add_due(&mut lanes, now);
        lanes.retain(|lane| !desk.rests(lane, now));
        lanes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(lanes)
    }

    async fn due_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<Row>, CannotRead> {
        self.inner.due_requests(now, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, CannotRead> {
        let stored = self.inner.next_due().await?;
        let noted = self.shared.desk().noted.next_due();
        Ok(stored.into_iter().chain(noted).min())
    }

    async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<LaneRows, CannotRead> {
        let is_here = |row: &Row| row.lane.as_ref() == Some(lane);
        // Looked at before the ledger is: what is merged between the two looks is in neither the
        // ledger as it was nor the notes as they are, and would be missing from the lane.
        let noted = self.shared.desk().noted.over_all(Vec::new(), is_here);
        let stored = self.inner.lane(lane, now).await?;
        // And after it: what is noted later opens the lane again.
        let mut desk = self.shared.desk();
        desk.open(lane, self.clock.now());
        let mut rows = desk.noted.over_all(stored.rows, is_here);
        let there: BTreeSet<RowId> = rows.iter().map(|row| row.id).collect();
        rows.extend(noted.into_iter().filter(|row| !there.contains(&row.id)));
        Ok(LaneRows {
            rows,
            holds: stored.holds,
        })
    }

    async fn claim_lane(
        &self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Epoch>, CommitError> {
        let claimed = self.in_time(async {
            self.merge().await?;
            self.inner.claim_lane(lane, hand, now, until).await
        });
        let claimed = self.heard(claimed.await);
        let mut desk = self.shared.desk();
        let key = (lane.clone(), hand.to_owned());
        match claimed {
            Ok(Some(epoch)) => {
                desk.epochs.insert(key, epoch);
                Ok(Some(epoch))
            }
            Ok(None) => {
                desk.epochs.remove(&key);
                Ok(None)
            }
            // Nobody can claim it now. The hand goes on in the epoch it had: should that be an
            // old one, it can only add to what is denied.
            Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => {
                let known = desk.epochs.get(&key).copied();
                Ok(Some(known.unwrap_or(NEVER_CLAIMED)))
            }
            Err(error) => Err(error),
        }
    }

    async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        self.inner.entries(from, limit).await
    }

    async fn frontier(&self) -> Result<Frontier, CannotRead> {
        self.inner.frontier().await
    }

    async fn store_checkpoint(&self, size: u64, note: String) -> Result<(), CommitError> {
        self.merge().await?;
        self.inner.store_checkpoint(size, note).await
    }

    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        self.inner.checkpoints().await
    }
}
