//! Merging: what is noted goes into the ledger, before the ledger is given anything else.

use jitney_core::audit::{Entry, Event};
use jitney_core::ledger::{CommitError, RowId, Transaction};
use jitney_core::spool::{Merging, merge};

use crate::ground::{Ground, Records as _};
use crate::noted::Chain;
use crate::spooled::Spooled;

/// How many leases are merged in one commit.
const LEASES_PER_COMMIT: usize = 64;
/// How often one commit is tried anew when somebody else changes its leases in between.
const ATTEMPTS_MAX: u32 = 8;

/// What has been merged since the last entry that told of it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    written: u64,
    passed_over: u64,
    /// Records of the spool that could not be read.
    pub(crate) unreadable: u32,
}

/// What one commit is to do, and the bodies that it writes.
struct Batch {
    transaction: Transaction,
    written: Vec<Option<String>>,
    tally: Tally,
}

impl<G: Ground> Spooled<G> {
    /// Merges everything that is noted. Done when there is nothing.
    ///
    /// # Errors
    /// As the ledger says. What is not merged stays noted.
    pub async fn merge(&self) -> Result<(), CommitError> {
        if self.shared.desk().noted.waiting() == 0 {
            return Ok(());
        }
        let _alone = self.merging.lock().await;
        loop {
            let chains = self.shared.desk().noted.first(LEASES_PER_COMMIT);
            if !chains.is_empty() {
                self.merge_some(&chains).await?;
            } else if self.empty().await? {
                return Ok(());
            }
        }
    }

    async fn merge_some(&self, chains: &[Chain]) -> Result<(), CommitError> {
        let mut outcome = Ok(());
        for _ in 0..ATTEMPTS_MAX {
            let batch = self.batch(chains).await?;
            match self.inner.commit(batch.transaction).await {
                Ok(sequence) => {
                    let mut desk = self.shared.desk();
                    for (chain, written) in chains.iter().zip(batch.written) {
                        desk.noted.merged(chain, written);
                    }
                    desk.tally = batch.tally;
                    desk.sequence = sequence;
                    return Ok(());
                }
                // Somebody else changed one of them: they are looked at again.
                Err(conflict @ CommitError::Conflict(_)) => outcome = Err(conflict),
                Err(error) => return Err(error),
            }
        }
        outcome.map_err(|error| CommitError::Unavailable(format!("notes are not merged: {error}")))
    }

    async fn batch(&self, chains: &[Chain]) -> Result<Batch, CommitError> {
        let now = self.clock.now();
        let (mut tally, is_last) = {
            let desk = self.shared.desk();
            (desk.tally, desk.noted.waiting() == chains.len())
        };
        let mut transaction = Transaction::default();
        let mut written = Vec::new();
        for chain in chains {
            let stored = self.inner.row(RowId::Lease(chain.lease)).await;
            let stored = stored.map_err(|error| CommitError::Unavailable(error.to_string()))?;
            let merging = merge(stored.as_ref(), chain.written.as_deref(), &chain.notes, now);
            written.push(match merging {
                Some(Merging::Write { row, entries }) => {
                    let body = row.body.clone();
                    transaction.rows.push(row);
                    transaction.entries.extend(entries);
                    tally.written = tally.written.saturating_add(1);
                    Some(body)
                }
                Some(Merging::PassedOver(entry)) => {
                    transaction.entries.push(entry);
                    tally.passed_over = tally.passed_over.saturating_add(1);
                    None
                }
                Some(Merging::There) | None => stored.map(|row| row.body),
            });
        }
        if is_last && tally.written.saturating_add(tally.passed_over) > 0 {
            let entry = Entry::new(now, Event::SpoolMerged)
                .field("leases", tally.written)
                .field("passed_over", tally.passed_over)
                .field("unreadable_records", tally.unreadable);
            transaction.entries.push(entry);
            tally = Tally::default();
        }
        Ok(Batch {
            transaction,
            written,
            tally,
        })
    }

    /// Empties the file, unless something was noted in the meantime. True when all is merged.
    async fn empty(&self) -> Result<bool, CommitError> {
        let shared = std::sync::Arc::clone(&self.shared);
        let emptied = self.ground.at_the_disk(move || {
            let mut file = shared.file();
            if shared.desk().noted.waiting() > 0 {
                return Ok(false);
            }
            file.clear().map(|()| true)
        });
        match emptied.await? {
            Ok(all) => {
                if all {
                    tracing::info!("what was noted in the spool is in the ledger");
                }
                Ok(all)
            }
            Err(error) => {
                // What is found in it again is in the ledger, and is passed over then.
                tracing::error!(%error, "the spool cannot be emptied");
                Ok(true)
            }
        }
    }
}
