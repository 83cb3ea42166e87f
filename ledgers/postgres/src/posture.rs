//! How a server stands: what it promises of a commit that it answered.

use sqlx::PgConnection;

use crate::columns::{Read, plain};
use crate::open::{CannotOpen, Server};
use crate::options::PostgresOptions;

/// What a server says of itself, and what our commits wait for on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posture {
    /// Its version, as it numbers itself: 150018 is 15.18.
    pub server_version: u32,
    /// The database's encoding.
    pub encoding: String,
    /// Whether it only reads: a standby.
    pub in_recovery: bool,
    /// Whether it writes through to its disk.
    pub fsync: bool,
    /// Whether it survives a page that was written by half.
    pub full_page_writes: bool,
    /// What a commit of the ledger waits for, whatever the server has by default.
    pub synchronous_commit: String,
    /// The standbys that a commit waits for; empty when it waits for none.
    pub synchronous_standby_names: String,
    /// How many standbys are connected.
    pub standbys: u32,
}

/// A ledger's commits wait for the disk at least, and for as much more as the server would.
const WAIT_FOR_THE_DISK: &str = "
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')";
const QUESTION: &str = "
    SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding'),
           pg_is_in_recovery(), current_setting('fsync') = 'on',
           current_setting('full_page_writes') = 'on', current_setting('synchronous_commit'),
           current_setting('synchronous_standby_names'),
           (SELECT count(*) FROM pg_stat_replication)";

impl Posture {
    /// Readies a session for writing and asks how the server stands.
    pub(crate) async fn of_writer(connection: &mut PgConnection) -> Read<Self> {
        let ready = sqlx::query(WAIT_FOR_THE_DISK);
        ready.execute(&mut *connection).await?;
        let told = sqlx::query(QUESTION).fetch_one(connection).await?;
        let number = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Self {
            server_version: number(plain(&told, 0)?),
            encoding: plain(&told, 1)?,
            in_recovery: plain(&told, 2)?,
            fsync: plain(&told, 3)?,
            full_page_writes: plain(&told, 4)?,
            synchronous_commit: plain(&told, 5)?,
            synchronous_standby_names: plain(&told, 6)?,
            standbys: number(plain(&told, 7)?),
        })
    }

    /// Why a commit that was answered may be gone after the power was, if it may.
    pub(crate) fn forgets_without_power(&self) -> Option<String> {
        let off = "`fsync` is off; switch it on in its configuration";
        (!self.fsync).then(|| off.to_owned())
    }

    /// What an operator should know of, in words.
    #[must_use]
    pub fn concerns(&self) -> Vec<String> {
        let mut concerns = Vec::from_iter(self.forgets_without_power());
        if !self.full_page_writes {
            concerns.push(
                "`full_page_writes` is off: that is safe only on a file system that never leaves a \
                 page half written"
                    .to_owned(),
            );
        }
        if self.synchronous_standby_names.is_empty() && self.standbys > 0 {
            let standbys = self.standbys;
            concerns.push(format!(
                "{standbys} standby(s), and no commit waits for any of them: after a failover to \
                 one, leases that were granted may be forgotten; set `synchronous_standby_names`"
            ));
        }
        concerns
    }
}

/// How the server of a ledger stands. Nothing is changed and nothing is made.
///
/// # Errors
/// When the server cannot be used for a ledger.
pub async fn posture(options: &PostgresOptions) -> Result<Posture, CannotOpen> {
    let (_, posture) = Server::of(options)?.session().await?;
    Ok(posture)
}

/// Whether a broker is at work on a ledger, or something else that writes it: what it does while
/// the ledger is moved is not moved.
///
/// # Errors
/// When the server does not say.
pub async fn is_in_use(options: &PostgresOptions) -> Result<bool, CannotOpen> {
    Server::of(options)?.is_in_use().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Posture {
        Posture {
            server_version: 150_018,
            encoding: "UTF8".to_owned(),
            in_recovery: false,
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".to_owned(),
            synchronous_standby_names: String::new(),
            standbys: 0,
        }
    }

    #[test]
    fn a_standby_that_no_commit_waits_for_is_told() {
        assert_eq!(sound().concerns(), Vec::<String>::new());
        let alone = Posture {
            standbys: 1,
            ..sound()
        };
        assert_eq!(alone.concerns().len(), 1);
        let waited_for = Posture {
            synchronous_standby_names: "ANY 1 (b, c)".to_owned(),
            ..alone
        };
        assert_eq!(waited_for.concerns(), Vec::<String>::new());
    }

    #[test]
    fn what_loses_commits_with_the_power_is_told() {
        let careless = Posture {
            fsync: false,
            full_page_writes: false,
            ..sound()
        };
        assert!(careless.forgets_without_power().is_some());
        assert_eq!(careless.concerns().len(), 2);
        assert_eq!(sound().forgets_without_power(), None);
    }
}
