//! Opening: everything that must be true of a ledger before anything is written to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::failure;
use crate::head::Head;
use crate::options::SqliteOptions;
use crate::place::Place;
use crate::schema::{self, Found, STEPS};

/// The oldest SQLite that is used, as it numbers itself. Up to 3.51.2 a checkpoint could, with
/// two connections, reset a write-ahead log that was still being written, and so lose commits.
pub const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// How long to wait for a process that is not a broker and locks the file: a shell, a backup.
const BUSY_WAIT: Duration = Duration::from_secs(2);
/// Prepared statements kept per connection; more than there are.
const STATEMENTS_MAX: usize = 128;
/// After so many pages in the write-ahead log, a commit copies what the [copier](crate::copier) has
/// not: little, unless it cannot keep up.
const LOG_PAGES_MAX: u32 = 8_000;
/// What the write-ahead log is cut back to after it grew larger.
const LOG_BYTES_KEPT: u32 = 64 * 1024 * 1024;
/// The page cache of a connection, in KiB. SQLite takes it as a negative number.
const CACHE_KIB: i32 = 16 * 1024;
const BYTES_PER_MIB: u64 = 1024 * 1024;

/// Why a ledger was not opened. Nothing in it was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    /// This program was built with a SQLite that can lose commits.
    #[error(
        "SQLite is version {seen}, expected {SQLITE_VERSION_MIN} or later: build with `bundled`"
    )]
    OldSqlite {
        /// Its version, as it numbers itself.
        seen: i32,
    },
    /// An option is out of its range.
    #[error("the ledger's option {0}")]
    BadOption(String),
    /// The operating system does not give us the file, or a thread to work on it.
    #[error("the ledger `{}` cannot be opened: {reason}", path.display())]
    Refused {
        /// Which ledger.
        path: PathBuf,
        /// What it says.
        reason: String,
    },
    /// Another broker has it open.
    #[error(
        "the ledger `{}` is in use by another broker: stop that one, or give this one a ledger of \
         its own",
        path.display()
    )]
    InUse {
        /// Which ledger.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("the file `{}` is not a ledger: another program made it", path.display())]
    NotALedger {
        /// Which file.
        path: PathBuf,
    },
    /// A later version of this program wrote it.
    #[error(
        "the ledger `{}` has schema {seen}, this version knows schemas up to {known}: start the \
         version that wrote it, or a later one",
        path.display()
    )]
    NewerSchema {
        /// Which ledger.
        path: PathBuf,
        /// Its schema.
        seen: usize,
        /// The latest schema that this version knows.
        known: usize,
    },
    /// The file may be read but not written.
    #[error("the ledger `{}` may not be written: see its permissions and its disk", path.display())]
    ReadOnly {
        /// Which ledger.
        path: PathBuf,
    },
    /// It was to be filled, and there is something in it.
    #[error("the ledger `{}` is not empty: name one that no broker has used yet", path.display())]
    NotEmpty {
        /// Which ledger.
        path: PathBuf,
    },
    /// Its parts contradict each other.
    #[error("the ledger `{}` is damaged: {reason}", path.display())]
    Damaged {
        /// Which ledger.
        path: PathBuf,
        /// The contradiction.
        reason: String,
    },
    /// SQLite cannot open or prepare it.
    #[error("the ledger `{}` cannot be opened: {reason}", path.display())]
    Failed {
        /// Which ledger.
        path: PathBuf,
        /// What stood against it.
        reason: String,
    },
}

impl CannotOpen {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OldSqlite { .. } => "ledger_sqlite_too_old",
            Self::BadOption(_) => "ledger_option_bad",
            Self::Refused { .. } => "ledger_refused",
            Self::InUse { .. } => "ledger_in_use",
            Self::NotALedger { .. } => "ledger_not_a_ledger",
            Self::NewerSchema { .. } => "ledger_schema_newer",
            Self::ReadOnly { .. } => "ledger_read_only",
            Self::NotEmpty { .. } => "ledger_not_empty",
            Self::Damaged { .. } => "ledger_damaged",
            Self::Failed { .. } => "ledger_failed",
        }
    }

    /// The operating system did not do what it was asked.
    pub(crate) fn refused(path: &Path, reason: &std::io::Error) -> Self {
        Self::Refused {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn failed(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(rusqlite::ErrorCode::NotADatabase) => Self::NotALedger { path },
            _ => Self::Failed {
                path,
                reason: failure::words(error),
            },
        }
    }
}

/// A ledger that is ours, up to date and sound, with the one connection that writes.
pub(crate) struct Opened {
    pub(crate) place: Place,
    pub(crate) connection: Connection,
    pub(crate) head: Head,
}

/// Opens the file that `options` name.
pub(crate) fn open(options: &SqliteOptions) -> Result<Opened, CannotOpen> {
    let seen = rusqlite::version_number();
    if seen < SQLITE_VERSION_MIN {
        return Err(CannotOpen::OldSqlite { seen });
    }
    if let Some(words) = options.out_of_range() {
        return Err(CannotOpen::BadOption(words));
    }
    let place = Place::take(&options.path)?;
    let path = place.path().to_owned();
    let failed = |error: rusqlite::Error| CannotOpen::failed(&path, &error);
    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    // SQLite opens a file that may not be written for reading, and says nothing.
    if connection.is_readonly("main").map_err(failed)? {
        return Err(CannotOpen::ReadOnly { path });
    }
    match schema::migrate(&mut connection, STEPS).map_err(failed)? {
        Found::Ready => {}
        Found::Foreign => return Err(CannotOpen::NotALedger { path }),
        Found::Newer { seen } => {
            let known = STEPS.len();
            return Err(CannotOpen::NewerSchema { path, seen, known });
        }
    }
    place
        .close_to_others()
        .map_err(|error| CannotOpen::Refused {
            path: path.clone(),
            reason: error.to_string(),
        })?;
    make_durable(&connection, options).map_err(failed)?;
    let head = Head::read(&connection).map_err(failed)?;
    if let Some(reason) = head.contradiction(&connection).map_err(failed)? {
        return Err(CannotOpen::Damaged { path, reason });
    }
    free_lanes(&connection).map_err(failed)?;
    Ok(Opened {
        place,
        connection,
        head,
    })
}

/// Frees the lanes. Having the file's lock proves that whoever claimed them is gone: nobody needs
/// to wait for their claims to run out, and leases are taken back at once after a crash. Epochs
/// stay, so that the next claim is told from theirs.
fn free_lanes(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection
        .execute("UPDATE lanes SET until = 0 WHERE until > 0", [])
        .map(|_| ())
}

/// A connection for copying the write-ahead log. What it does to the file is on disk before the log
/// may be written over.
pub(crate) fn open_copier(path: &Path) -> Result<Connection, CannotOpen> {
    let open = || {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(connection)
    };
    open().map_err(|error| CannotOpen::failed(path, &error))
}

/// A connection for reading only.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, CannotOpen> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|error| CannotOpen::failed(path, &error))
}

/// A connection, as each of ours is set up.
pub(crate) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, rusqlite::Error> {
    // Each connection stays with one thread. Never `SQLITE_OPEN_URI`: a path is not a place for
    // options such as `?immutable=1`.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_WAIT)?;
    // SQLite would plan a statement anew for other values. Ours name their indexes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// Sees to it that a commit is on disk when it returns.
fn make_durable(connection: &Connection, options: &SqliteOptions) -> Result<(), rusqlite::Error> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
        let mode: String = row.get(0)?;
        (mode == "wal").then_some(()).ok_or_else(|| {
            let cannot = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
            let why = "the file system has no write-ahead log".to_owned();
            rusqlite::Error::SqliteFailure(cannot, Some(why))
        })
    })?;
    // Not `NORMAL`, as so often advised: that loses the last commits when the power fails.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES_MAX)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    if let Some(mib) = options.size_max_mib {
        let page: u64 = connection
            .pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0).map(u64::from))?;
        let pages = u64::from(mib).saturating_mul(BYTES_PER_MIB) / page.max(1);
        let pages = u32::try_from(pages).unwrap_or(u32::MAX - 1);
        connection.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}
