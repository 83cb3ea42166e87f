//! A ledger for looking at, while a broker writes it or none does. It takes no lock, makes no
//! file and has no way to write.

use std::path::Path;

use jitney_core::audit::Frontier;
use jitney_core::ledger::{CannotRead, LeaseFilter, Row, RowId, StoredEntry};

use crate::open::{self, CannotOpen};
use crate::read;
use crate::readers::Readers;
use crate::schema::{self, Found, STEPS};

/// Reads a ledger. Each question sees one snapshot of its own.
pub struct SqliteReader {
    readers: Readers,
}

impl SqliteReader {
    /// Opens a ledger that is there.
    ///
    /// # Errors
    /// When there is none, or the file is not a ledger that this version can read.
    pub fn open(path: &Path) -> Result<Self, CannotOpen> {
        if !path.is_file() {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(CannotOpen::refused(path, &missing));
        }
        let connection = open::open_reader(path)?;
        let path = path.to_owned();
        match schema::recognise(&connection, STEPS) {
            Ok(Found::Ready) => {}
            Ok(Found::Newer { seen }) => {
                let known = STEPS.len();
                return Err(CannotOpen::NewerSchema { path, seen, known });
            }
            Ok(Found::Foreign) => return Err(CannotOpen::NotALedger { path }),
            Err(error) => return Err(CannotOpen::failed(&path, &error)),
        }
        let readers = Readers::start(vec![connection])
            .map_err(|reason| CannotOpen::refused(&path, &reason))?;
        Ok(Self { readers })
    }

    /// One row.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        self.readers.read(move |file| read::row(file, id)).await
    }

    /// Leases by what they are.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        self.readers
            .read(move |file| read::leases(file, &filter))
            .await
    }

    /// Entries of the audit log from `from` on, at most `limit`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        self.readers
            .read(move |file| read::entries(file, from, limit))
            .await
    }

    /// The peaks of the audit log's tree.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn frontier(&self) -> Result<Frontier, CannotRead> {
        self.readers.read(read::frontier).await
    }

    /// The signed checkpoints, oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        self.readers.read(read::checkpoints).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{SqliteLedger, SqliteOptions};
    use jitney_core::audit::{Entry, Event};
    use jitney_core::ledger::{Ledger as _, Transaction};
    use jitney_core::time::Timestamp;

    #[tokio::test]
    async fn a_ledger_can_be_looked_at_while_a_broker_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let ledger = SqliteLedger::open(&SqliteOptions::at(&path)).unwrap();
        let reader = SqliteReader::open(&path).unwrap();
        assert_eq!(reader.frontier().await.unwrap().size(), 0);
        let entry = Entry::new(Timestamp::from_seconds(1), Event::RequestSubmitted);
        let written = Transaction {
            entries: vec![entry],
            ..Transaction::default()
        };
        ledger.commit(written).await.unwrap();
        assert_eq!(reader.frontier().await.unwrap().size(), 1);
        assert_eq!(reader.entries(0, 10).await.unwrap().len(), 1);
        drop(ledger);
        let reader = SqliteReader::open(&path).unwrap();
        assert_eq!(reader.frontier().await.unwrap().size(), 1);
    }

    #[tokio::test]
    async fn looking_makes_nothing_and_takes_nothing_for_a_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let code = |path: &Path| SqliteReader::open(path).err().unwrap().code();
        assert_eq!(code(&path), "ledger_refused");
        assert!(!path.exists());
        std::fs::write(&path, b"").unwrap();
        assert_eq!(code(&path), "ledger_not_a_ledger");
        std::fs::write(&path, b"not a database, but long enough to be looked at").unwrap();
        assert_eq!(code(&path), "ledger_not_a_ledger");
        let other = rusqlite::Connection::open(folder.path().join("other.db")).unwrap();
        other.execute_batch("CREATE TABLE t (x)").unwrap();
        assert_eq!(code(&folder.path().join("other.db")), "ledger_not_a_ledger");
    }
}
