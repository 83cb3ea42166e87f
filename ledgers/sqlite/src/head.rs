//! Where the ledger stands: the row that every commit builds on and moves.

use jitney_core::audit::Frontier;
use rusqlite::Connection;

/// Where the ledger stands: what the next commit builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// How many commits the writer has made.
    pub(crate) batch: i64,
    /// The peaks of the audit log's tree.
    pub(crate) frontier: Frontier,
}

impl Head {
    /// Reads it, and makes it in a ledger that has none yet.
    pub(crate) fn read(connection: &Connection) -> Result<Self, rusqlite::Error> {
        connection.execute(
            "INSERT INTO log VALUES (1, 0, ?1) ON CONFLICT DO NOTHING",
            [Frontier::new().to_bytes()],
        )?;
        Self::read_again(connection)
    }

    pub(crate) fn read_again(connection: &Connection) -> Result<Self, rusqlite::Error> {
        let mut statement = connection.prepare_cached("SELECT batch, frontier FROM log")?;
        statement.query_row([], |row| {
            Ok(Self {
                batch: row.get(0)?,
                frontier: crate::columns::frontier(row, 1)?,
            })
        })
    }

    /// In what the entries and the tree over them contradict each other, if they do.
    pub(crate) fn contradiction(
        &self,
        connection: &Connection,
    ) -> Result<Option<String>, rusqlite::Error> {
        let sql = "SELECT coalesce(max(idx) + 1, 0) FROM entries";
        let entries: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        let size = self.frontier.size();
        Ok((u64::try_from(entries) != Ok(size))
            .then(|| format!("it holds {entries} audit entries, but a tree over {size}")))
    }

    /// Writes it over the one that `before` counted. False when somebody else wrote meanwhile.
    pub(crate) fn write(
        &self,
        connection: &Connection,
        before: i64,
    ) -> Result<bool, rusqlite::Error> {
        let sql = "UPDATE log SET batch = ?1, frontier = ?2 WHERE batch = ?3";
        let frontier = self.frontier.to_bytes();
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.execute((self.batch, frontier, before))? == 1)
    }
}
