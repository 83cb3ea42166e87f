#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
use std::path::PathBuf;

use jitney_ledger_sqlite::{SqliteLedger, SqliteOptions};
use tempfile::TempDir;

use super::*;

struct InFolders;

struct InFolder(TempDir);

impl InFolder {
    fn path(&self) -> PathBuf {
        self.0.path().join("ledger.db")
    }
}

#[async_trait]
impl Store for InFolder {
    async fn open(&self) -> Result<Arc<dyn Ledger>, Broken> {
        let opened = SqliteLedger::open(&SqliteOptions::at(self.path()));
        let ledger = opened.map_err(|error| Broken::because(error.to_string()))?;
        Ok(Arc::new(ledger))
    }
}

#[async_trait]
impl Stores for InFolders {
    async fn empty(&self) -> Result<Box<dyn Store>, Broken> {
        let folder = tempfile::tempdir().map_err(|error| Broken::because(error.to_string()))?;
        Ok(Box::new(InFolder(folder)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_every_law() {
    let broken = judge(&InFolders, LAWS).await;
    assert!(broken.is_empty(), "{broken:#?}");
}
