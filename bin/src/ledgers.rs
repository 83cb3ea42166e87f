//! The ledger that a configuration names, whichever kind it is: for a broker, for looking at it, and
//! for moving it.

use std::sync::Arc;

use jitney_core::audit::Frontier;
use jitney_core::dump::{Export, Import};
use jitney_core::ledger::{CannotRead, LeaseFilter, Ledger, Row, RowId, StoredEntry};
use jitney_ledger_postgres::{
    PostgresExport, PostgresImport, PostgresLedger, PostgresReader, is_in_use,
};
use jitney_ledger_sqlite::{SqliteExport, SqliteImport, SqliteLedger, SqliteReader};

use crate::configuration::LedgerSection;
use crate::failure::Failure;

/// The ledger of a broker.
pub async fn open(section: &LedgerSection) -> Result<Arc<dyn Ledger>, Failure> {
    Ok(match section {
        LedgerSection::Sqlite(options) => {
            Arc::new(SqliteLedger::open(options).map_err(|error| sqlite(&error))?)
        }
        LedgerSection::Postgres(options) => {
            let opened = PostgresLedger::open(options).await;
            Arc::new(opened.map_err(|error| postgres(&error))?)
        }
    })
}

/// A whole ledger, to be read. Not while a broker works on it: what is granted meanwhile would be
/// missing wherever it is moved to. A ledger in a file is locked by its broker.
pub async fn export(section: &LedgerSection) -> Result<Box<dyn Export>, Failure> {
    Ok(match section {
        LedgerSection::Sqlite(options) => {
            let begun = SqliteExport::begin(&options.path);
            Box::new(begun.map_err(|error| sqlite(&error))?)
        }
        LedgerSection::Postgres(options) => {
            if is_in_use(options).await.map_err(|error| postgres(&error))? {
                let told = "a broker works on the ledger: stop all that do, then move it";
                return Err(Failure::unreachable("ledger_in_use", told));
            }
            let begun = PostgresExport::begin(options).await;
            Box::new(begun.map_err(|error| postgres(&error))?)
        }
    })
}

/// An empty ledger, to be filled.
pub async fn import(section: &LedgerSection) -> Result<Box<dyn Import>, Failure> {
    Ok(match section {
        LedgerSection::Sqlite(options) => {
            let begun = SqliteImport::begin(options);
            Box::new(begun.map_err(|error| sqlite(&error))?)
        }
        LedgerSection::Postgres(options) => {
            let begun = PostgresImport::begin(options).await;
            Box::new(begun.map_err(|error| postgres(&error))?)
        }
    })
}

fn sqlite(error: &jitney_ledger_sqlite::CannotOpen) -> Failure {
    use jitney_ledger_sqlite::CannotOpen;
    match error {
        CannotOpen::BadOption(_)
        | CannotOpen::Refused { .. }
        | CannotOpen::NotEmpty { .. }
        | CannotOpen::NotALedger { .. } => Failure::configuration(error.code(), error),
        _ => Failure::unreachable(error.code(), error),
    }
}

fn postgres(error: &jitney_ledger_postgres::CannotOpen) -> Failure {
    use jitney_ledger_postgres::CannotOpen;
    match error {
        CannotOpen::BadOption(_)
        | CannotOpen::Refused { .. }
        | CannotOpen::OldServer { .. }
        | CannotOpen::NotDurable { .. }
        | CannotOpen::Encoding { .. }
        | CannotOpen::NotEmpty
        | CannotOpen::NotALedger { .. } => Failure::configuration(error.code(), error),
        CannotOpen::Unreachable { .. }
        | CannotOpen::Standby { .. }
        | CannotOpen::ToBeMade { .. }
        | CannotOpen::NewerSchema { .. }
        | CannotOpen::Damaged { .. }
        | CannotOpen::Failed { .. } => Failure::unreachable(error.code(), error),
    }
}

/// A ledger for looking at, also while a broker writes it.
pub enum LedgerToRead {
    Sqlite(SqliteReader),
    Postgres(PostgresReader),
}

/// Asks whichever it is.
macro_rules! either {
    ($ledger:ident . $question:ident ( $($value:ident),* )) => {
        match $ledger {
            Self::Sqlite(ledger) => ledger.$question($($value),*).await,
            Self::Postgres(ledger) => ledger.$question($($value),*).await,
        }
    };
}

impl LedgerToRead {
    /// Opens one that is there; one that is not is not made.
    pub async fn open(section: &LedgerSection) -> Result<Self, Failure> {
        Ok(match section {
            LedgerSection::Sqlite(options) => {
                let opened = SqliteReader::open(&options.path);
                Self::Sqlite(opened.map_err(|error| Failure::unreachable(error.code(), error))?)
            }
            LedgerSection::Postgres(options) => {
                let opened = PostgresReader::open(options).await;
                Self::Postgres(opened.map_err(|error| postgres(&error))?)
            }
        })
    }

    /// One row.
    pub async fn row(&self, id: RowId) -> Result<Option<Row>, CannotRead> {
        either!(self.row(id))
    }

    /// Leases by what they are.
    pub async fn leases(&self, filter: LeaseFilter) -> Result<Vec<Row>, CannotRead> {
        either!(self.leases(filter))
    }

    /// Entries of the audit log from `from` on, at most `limit`.
    pub async fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, CannotRead> {
        either!(self.entries(from, limit))
    }

    /// The peaks of the audit log's tree.
    pub async fn frontier(&self) -> Result<Frontier, CannotRead> {
        either!(self.frontier())
    }

    /// The signed checkpoints, oldest first.
    pub async fn checkpoints(&self) -> Result<Vec<(u64, String)>, CannotRead> {
        either!(self.checkpoints())
    }
}
