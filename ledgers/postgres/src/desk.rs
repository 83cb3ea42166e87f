//! Where the writing is done: what waits is decided together under the lock on `log`, and
//! committed once.
//!
//! What each caller hears follows from what became of the common commit, and from that alone:
//!
//! ```text
//! COMMIT returned                ► each its own answer
//! anything failed before COMMIT  ► nothing happened: once more, if that may help, then unavailable
//! COMMIT did not return          ► what the lost commit wrote is written again, after its end
//!   its number is stored         ► each its own answer, once a commit after it is durable
//!   its number is not            ► not applied: unavailable
//!   that cannot be done          ► unknown
//! ```

use std::time::Duration;

use jitney_core::audit::Frontier;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::book::Grown;
use crate::columns::{Read, plain};
use crate::failure;
use crate::load;
use crate::open::{CannotOpen, Server};
use crate::save::{self, NotSaved};
use crate::touched::Touched;
use crate::writer::Write;

/// The most transactions that share one commit. It bounds how long the first of them waits.
const BATCH_MAX: usize = 256;
/// How often a batch is tried while nothing of it happened.
const ATTEMPTS_MAX: u32 = 3;
/// The pause before it is tried again.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);
/// How long everything before COMMIT may take.
const DECIDE_WITHIN: Duration = Duration::from_secs(15);
/// How long COMMIT may take before its outcome is in doubt: it waits for the disk and for standbys.
const COMMIT_WITHIN: Duration = Duration::from_secs(10);
/// How long the outcome of a commit that was not answered is looked for.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);
/// The pause between two looks.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// What became of a batch as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is durable.
    Committed,
    /// None of it is there, nor will be.
    NotApplied(String),
    /// It may be there, or come.
    Unknown(String),
}

impl Fate {
    /// What commit number `ours` came to, of which there was no answer. `shown` is the number of
    /// this broker's last commit, read after the lost one's end.
    pub(crate) fn of_lost_commit(why: &str, ours: i64, shown: i64) -> Self {
        if shown == ours {
            Self::Committed
        } else if shown == ours - 1 {
            Self::NotApplied(why.to_owned())
        } else {
            Self::Unknown(format!(
                "{why}; then it showed commit {shown} instead of {ours}"
            ))
        }
    }
}

/// What one attempt at a batch came to, when not to an error.
enum Attempt {
    /// It is durable, or there was nothing to write.
    Done,
    /// COMMIT was sent, as this broker's commit of that number, and not answered.
    InDoubt { ours: i64, why: String },
}

/// Why a batch did not come as far as COMMIT. Nothing of it happened.
pub(crate) struct Stopped {
    pub(crate) why: String,
    may_pass: bool,
}

impl From<sqlx::Error> for Stopped {
    fn from(error: sqlx::Error) -> Self {
        Self {
            why: failure::words(&error),
            may_pass: failure::may_pass(&error),
        }
    }
}

impl From<NotSaved> for Stopped {
    fn from(error: NotSaved) -> Self {
        match error {
            NotSaved::Failed(error) => error.into(),
            NotSaved::PastTheLock(table) => Self::for_good(format!(
                "`{table}` was changed by somebody who does not take the brokers' lock"
            )),
        }
    }
}

impl Stopped {
    const fn for_good(why: String) -> Self {
        let may_pass = false;
        Self { why, may_pass }
    }
}

/// Where the writing is done.
pub(crate) struct Desk {
    server: Server,
    /// None after anything failed: a connection is never used again once something about it is
    /// uncertain.
    connection: Option<PgConnection>,
    /// Tells this broker's commits from those of others. Never used again.
    broker: Uuid,
    /// How many entries the log has been seen with.
    size: u64,
    /// The log as this broker's last commit that added to it left it.
    left: Option<Grown>,
}

/// What a batch comes to once it is committed.
struct Decided {
    /// This broker's commit of that number.
    ours: i64,
    size: u64,
    left: Option<Grown>,
}

impl Desk {
    pub(crate) async fn set_up(server: Server, broker: Uuid) -> Result<Self, CannotOpen> {
        let (connection, size) = server.open().await?;
        Ok(Self {
            server,
            connection: Some(connection),
            broker,
            size,
            left: None,
        })
    }

    /// Writes what comes, until nobody can send any more.
    pub(crate) async fn serve(mut self, mut waiting: mpsc::Receiver<Box<dyn Write>>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let fate = self.batch(&mut batch).await;
            if let Fate::NotApplied(why) | Fate::Unknown(why) = &fate {
                let count = batch.len();
                tracing::error!(why, count, ?fate, "the ledger did not take a batch");
            }
            for write in batch.drain(..) {
                write.answer(&fate);
            }
        }
        if let Some(connection) = self.connection {
            // The server sees that we are gone, told or not.
            let _ = timeout(SETTLE_PAUSE, connection.close()).await;
        }
    }

    async fn batch(&mut self, batch: &mut [Box<dyn Write>]) -> Fate {
        let mut attempts = 1;
        loop {
            match self.attempt(batch).await {
                Ok(Attempt::Done) => return Fate::Committed,
                Ok(Attempt::InDoubt { ours, why }) => return self.settle(ours, &why).await,
                Err(stopped) if stopped.may_pass && attempts < ATTEMPTS_MAX => {
                    tracing::warn!(why = stopped.why, attempts, "a batch is tried again");
                    attempts += 1;
                    sleep(ATTEMPT_PAUSE).await;
                }
                Err(stopped) => return Fate::NotApplied(stopped.why),
            }
        }
    }

    /// Tries the batch once. The connection is kept only when all went well.
    async fn attempt(&mut self, batch: &mut [Box<dyn Write>]) -> Result<Attempt, Stopped> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reconnect().await?,
        };
        let deciding = timeout(DECIDE_WITHIN, self.decide(&mut connection, batch)).await;
        let Ok(decided) = deciding else {
            let seconds = DECIDE_WITHIN.as_secs();
            let why = format!("the server took more than {seconds} s");
            return Err(Stopped::for_good(why));
        };
        let Some(decided) = decided? else {
            self.connection = Some(connection);
            return Ok(Attempt::Done);
        };
        let commit = sqlx::raw_sql("COMMIT").execute(&mut connection);
        let why = match timeout(COMMIT_WITHIN, commit).await {
            Ok(Ok(_)) => {
                self.size = decided.size;
                self.left = decided.left.or_else(|| self.left.take());
                self.connection = Some(connection);
                return Ok(Attempt::Done);
            }
            Ok(Err(error)) => failure::words(&error),
            Err(_) => format!("COMMIT took more than {} s", COMMIT_WITHIN.as_secs()),
        };
        let ours = decided.ours;
        Ok(Attempt::InDoubt { ours, why })
    }

    async fn reconnect(&self) -> Result<PgConnection, Stopped> {
        match self.server.session().await {
            Ok((connection, _)) => Ok(connection),
            Err(error) => Err(Stopped {
                may_pass: matches!(error, CannotOpen::Unreachable { .. }),
                why: error.to_string(),
            }),
        }
    }

    /// Everything but COMMIT. Nothing when there is nothing to commit, and the transaction is closed.
    async fn decide(
        &self,
        connection: &mut PgConnection,
        batch: &mut [Box<dyn Write>],
    ) -> Result<Option<Decided>, Stopped> {
        sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
        let frontier = load::lock(connection).await?;
        if frontier.size() < self.size {
            return Err(Stopped::for_good(went_back(self.size, frontier.size())));
        }
        if !self.leads_to(&frontier, connection).await? {
            return Err(Stopped::for_good(OTHER_HISTORY.to_owned()));
        }
        let mut touched = Touched::default();
        batch.iter().for_each(|write| write.touch(&mut touched));
        let mut book = load::book(connection, touched, frontier, self.broker).await?;
        batch.iter_mut().for_each(|write| write.decide(&mut book));
        let (size, left) = (book.log.size(), book.log.grown());
        if !save::save(connection, book).await? {
            sqlx::raw_sql("ROLLBACK").execute(connection).await?;
            return Ok(None);
        }
        let counted = sqlx::query(COUNT_COMMIT).bind(self.broker);
        let counted = counted.fetch_one(connection).await?;
        let ours = plain(&counted, 0)?;
        Ok(Some(Decided { ours, size, left }))
    }

    /// Whether the log is what this broker left, or has grown out of it. One that was lost and has
    /// grown past it since has as many entries, and others.
    async fn leads_to(&self, found: &Frontier, connection: &mut PgConnection) -> Read<bool> {
        let Some(left) = &self.left else {
            return Ok(true);
        };
        if found.size() == left.tree.size() {
            return Ok(*found == left.tree);
        }
        let last = left.tree.size().saturating_sub(1);
        Ok(load::leaf(connection, last).await? == Some(left.last))
    }

    /// Finds out what became of a commit that was not answered.
    async fn settle(&self, ours: i64, why: &str) -> Fate {
        let until = Instant::now() + SETTLE_WITHIN;
        let mut then;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            then = match timeout(left, self.look()).await {
                Ok(Ok(shown)) => return Fate::of_lost_commit(why, ours, shown),
                Ok(Err(stopped)) => stopped.why,
                Err(_) => "no answer in time".to_owned(),
            };
            if left < SETTLE_PAUSE {
                return Fate::Unknown(format!("{why}; then {then}"));
            }
            sleep(SETTLE_PAUSE).await;
        }
    }

    /// The number of this broker's last commit. Its row is the one that a lost commit wrote: writing
    /// it again waits for that one's end. And it is told only after another commit: one that was
    /// found may not have reached the standbys yet, and what is after it has only when it has.
    async fn look(&self) -> Result<i64, Stopped> {
        let mut connection = self.reconnect().await?;
        let mut transaction = connection.begin().await?;
        let seen = sqlx::query(SEEN).bind(self.broker);
        let seen = seen.fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(plain(&seen, 0)?)
    }
}

/// A failover to a standby that lagged, or a backup that was put back under a running broker.
fn went_back(seen: u64, found: u64) -> String {
    format!(
        "it has gone back in time: it held {seen} audit entries and now holds {found}; stop the \
         brokers, then see `jitney recover`"
    )
}

const OTHER_HISTORY: &str = "it has gone back in time and has grown anew since: an audit entry that \
                             this broker wrote is not there any more; stop the brokers, then see \
                             `jitney recover`";
const COUNT_COMMIT: &str = concat!(
    "INSERT INTO writers VALUES ($1, 1, ",
    load::server_time!(),
    ") ON CONFLICT (broker)
       DO UPDATE SET batch = writers.batch + 1, seen_at = excluded.seen_at RETURNING batch"
);
const SEEN: &str = concat!(
    "INSERT INTO writers VALUES ($1, 0, ",
    load::server_time!(),
    ") ON CONFLICT (broker) DO UPDATE SET seen_at = excluded.seen_at RETURNING batch"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_number_and_the_one_before_it_tell_what_became_of_a_commit() {
        let fate = |shown| Fate::of_lost_commit("why", 7, shown);
        assert_eq!(fate(7), Fate::Committed);
        assert_eq!(fate(6), Fate::NotApplied("why".to_owned()));
        for other in [0, 5, 8] {
            assert!(matches!(fate(other), Fate::Unknown(_)), "{other}");
        }
    }
}
