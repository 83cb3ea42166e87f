//! A broker's spool: where its ends are noted while the ledger cannot be written. It outlives the
//! broker's lives; what one of them noted the next one finds.

use core::pin::pin;
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex};

use futures_util::future::{Either, select};
use jitney_core::ledger::{CommitError, Ledger};
use jitney_ledger_spool::{CannotNote, Found, Ground, Records, Spooled};

use super::executor::lock;
use super::mutant::Mutant;
use super::process::Process;

/// More than a world notes.
const BYTES: u64 = 1024 * 1024;

/// What is on a broker's disk.
#[derive(Clone, Default)]
pub struct Spool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Spool {
    /// Puts it before a ledger, for one life of its broker.
    #[must_use]
    pub fn before(
        &self,
        ledger: Arc<dyn Ledger>,
        process: &Arc<Process>,
        mutant: &Arc<dyn Mutant>,
    ) -> Arc<dyn Ledger> {
        let found = Found {
            payloads: lock(&self.0).clone(),
            ..Found::default()
        };
        let notes = Notes {
            kept: self.clone(),
            process: Arc::clone(process),
            mutant: Arc::clone(mutant),
        };
        let (life, clock) = (Life(Arc::clone(process)), process.clock().clone());
        Arc::new(Spooled::upon(life, ledger, clock, (notes, found)))
    }
}

/// The disk, as one life writes it.
struct Notes {
    kept: Spool,
    process: Arc<Process>,
    mutant: Arc<dyn Mutant>,
}

impl Records for Notes {
    fn append(&mut self, payload: &[u8], _reserved: u64) -> Result<(), CannotNote> {
        self.process.scene().notary.noted();
        self.process.tell(|| "notes an end in its spool".to_owned());
        let noted = self.mutant.noted(payload.to_vec());
        lock(&self.kept.0).extend(noted);
        Ok(())
    }

    fn room(&self) -> u64 {
        BYTES
    }

    fn clear(&mut self) -> io::Result<()> {
        lock(&self.kept.0).clear();
        Ok(())
    }
}

/// One life of a broker, in which a spool waits.
struct Life(Arc<Process>);

impl Ground for Life {
    type Records = Notes;

    async fn in_time<T: Send>(
        &self,
        most: Duration,
        work: impl Future<Output = T> + Send,
    ) -> Option<T> {
        match select(pin!(work), self.0.stage().sleep(most)).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => None,
        }
    }

    /// It may die before it is done, or when it is done and nobody was told.
    async fn at_the_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CommitError> {
        self.0.step().await;
        let done = work();
        self.0.step().await;
        Ok(done)
    }
}
