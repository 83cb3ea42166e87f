//! The ledger port, put together from the writer and the readers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

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
use jitney_core::time::Timestamp;

use crate::open::{self, CannotOpen};
use crate::options::SqliteOptions;
use crate::read;
use crate::readers::Readers;
use crate::writer::Writer;

/// A ledger in one SQLite file.
///
/// Dropping it lets what waits be written, then closes the file. That takes as long as one commit
/// and one copy of the write-ahead log.
pub struct SqliteLedger {
    path: PathBuf,
    // Dropped first, so that the writer closes the file as the last.
    readers: Readers,
    writer: Writer,
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl SqliteLedger {
    /// Opens a ledger, and makes it if it is not there.
    ///
    /// # Errors
    /// When anything about the file speaks against writing to it. Nothing was changed then.
    pub fn open(options: &SqliteOptions) -> Result<Self, CannotOpen> {
        let opened = open::open(options)?;
        let path = opened.place.path().to_owned();
        let connections = (0..options.readers)
            .map(|_| open::open_reader(&path))
            .collect::<Result<_, _>>()?;
        let readers =
            Readers::start(connections).map_err(|reason| CannotOpen::refused(&path, &reason))?;
        let writer = Writer::start(opened, options.queue_length)?;
        Ok(Self {
            path,
            readers,
            writer,
        })
    }

    /// The file, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn commit(&self, transaction: Transaction) -> Result<u64, CommitError> {
        self.writer
            .write(move |ledger| ledger.transaction(&transaction))
            .await
    }

    async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        self.readers.read(move |file| read::row(file, id)).await
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<Row>, CannotRead> {
        let ids = ids.to_vec();
        self.readers.read(move |file| read::rows(file, &ids)).await
    }

    async fn leases_of(&self, request: RequestId) -> Result<Vec<Row>, CannotRead> {
        self.readers
            .read(move |file| read::leases_of(file, request))
            .await
    }

    async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        self.readers
            .read(move |file| read::leases(file, &filter))
            .await
    }

    async fn count_open(&self) -> Result<BTreeMap<String, u64>, CannotRead> {
        let counts = self.readers.read(read::count_open).await?;
        Ok(counts.into_iter().collect())
    }

    async fn sheet(&self, name: &str) -> Result<Option<Sheet>, CannotRead> {
        let name = name.to_owned();
        self.readers
            .read(move |file| read::sheet(file, &name))
            .await
    }

    async fn sheets(&self, prefix: &str) -> Result<Vec<Sheet>, CannotRead> {
        let prefix = prefix.to_owned();
        self.readers
            .read(move |file| read::sheets(file, &prefix))
            .await
    }

    async fn once(&self, key: &OnceKey) -> Result<Option<OnceUse>, CannotRead> {
        let key = key.clone();
        self.readers.read(move |file| read::once(file, &key)).await
    }

    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, CannotRead> {
        self.readers
            .read(move |file| read::due_lanes(file, now, limit))
            .await
    }

    async fn due_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<Row>, CannotRead> {
        self.readers
            .read(move |file| read::due_requests(file, now, limit))
            .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, CannotRead> {
        self.readers.read(read::next_due).await
    }

    async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<LaneRows, CannotRead> {
        let lane = lane.clone();
        self.readers
            .read(move |file| read::lane(file, &lane, now))
            .await
    }

    async fn claim_lane(
        &self,
        lane: &LaneId,
        hand: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Epoch>, CommitError> {
        let (lane, hand) = (lane.clone(), hand.to_owned());
        self.writer
            .write(move |ledger| ledger.claim_lane(&lane, &hand, now, until))
            .await
    }

    async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        self.readers
            .read(move |file| read::entries(file, from, limit))
            .await
    }

    async fn frontier(&self) -> Result<Frontier, CannotRead> {
        self.readers.read(read::frontier).await
    }

    async fn store_checkpoint(&self, size: u64, note: String) -> Result<(), CommitError> {
        self.writer
            .write(move |ledger| ledger.checkpoint(size, &note))
            .await
    }

    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        self.readers.read(read::checkpoints).await
    }
}
