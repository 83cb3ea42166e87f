//! Opening: everything that must be true of a ledger before anything is written to it.

use std::time::Duration;

use jitney_core::audit::Frontier;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::timeout;

use crate::columns::plain;
use crate::connect::Access;
use crate::failure;
use crate::load;
use crate::options::PostgresOptions;
use crate::posture::Posture;
use crate::schema::{self, Found, STEPS};

/// The oldest server that is used, as it numbers itself: the oldest that is still maintained.
pub const SERVER_VERSION_MIN: u32 = 150_000;

/// How long a server may take to let us in.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Why a ledger was not opened. Nothing in it was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    /// An option is out of its range.
    #[error("the ledger's option {0}")]
    BadOption(String),
    /// The server does not answer, or not as a server should.
    #[error("the ledger's server `{server}` cannot be reached: {reason}")]
    Unreachable {
        /// Its address.
        server: String,
        /// What was tried and seen.
        reason: String,
    },
    /// The server does not let us in.
    #[error("the ledger's server `{server}` refuses: {reason}")]
    Refused {
        /// Its address.
        server: String,
        /// What it says.
        reason: String,
    },
    /// The server is older than what is maintained.
    #[error(
        "the ledger's server `{server}` is version {seen}, expected {SERVER_VERSION_MIN} or later"
    )]
    OldServer {
        /// Its address.
        server: String,
        /// Its version, as it numbers itself.
        seen: u32,
    },
    /// The server only reads.
    #[error(
        "the ledger's server `{server}` is a standby, which cannot be written: name the primary"
    )]
    Standby {
        /// Its address.
        server: String,
    },
    /// What the server acknowledges may be lost when the power is.
    #[error("the ledger's server `{server}` may lose what it acknowledged: {reason}")]
    NotDurable {
        /// Its address.
        server: String,
        /// The setting.
        reason: String,
    },
    /// The database cannot hold every text.
    #[error("the ledger's database has the encoding `{seen}`, expected `UTF8`: make another one")]
    Encoding {
        /// Its encoding.
        seen: String,
    },
    /// There is no ledger to look at yet, or one of an earlier version.
    #[error(
        "there is no ledger of this version in the schema `{schema}`: the next start of a broker \
         makes it"
    )]
    ToBeMade {
        /// Which schema.
        schema: String,
    },
    /// The schema holds something else.
    #[error("the schema `{schema}` is not a ledger: another program made it")]
    NotALedger {
        /// Which schema.
        schema: String,
    },
    /// A later version of this program wrote it.
    #[error(
        "the ledger has schema {seen}, this version knows schemas up to {known}: start the version \
         that wrote it, or a later one"
    )]
    NewerSchema {
        /// Its schema.
        seen: usize,
        /// The latest schema that this version knows.
        known: usize,
    },
    /// It was to be filled, and there is something in it.
    #[error("the ledger is not empty: name one that no broker has used yet")]
    NotEmpty,
    /// Its parts contradict each other.
    #[error("the ledger on `{server}` is damaged: {reason}")]
    Damaged {
        /// Its address.
        server: String,
        /// The contradiction.
        reason: String,
    },
    /// It cannot be prepared.
    #[error("the ledger on `{server}` cannot be opened: {reason}")]
    Failed {
        /// Its address.
        server: String,
        /// What stood against it.
        reason: String,
    },
}

impl CannotOpen {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadOption(_) => "ledger_option_bad",
            Self::Unreachable { .. } => "ledger_unreachable",
            Self::Refused { .. } => "ledger_refused",
            Self::OldServer { .. } => "ledger_server_too_old",
            Self::Standby { .. } => "ledger_standby",
            Self::NotDurable { .. } => "ledger_not_durable",
            Self::Encoding { .. } => "ledger_encoding",
            Self::ToBeMade { .. } => "ledger_to_be_made",
            Self::NotALedger { .. } => "ledger_not_a_ledger",
            Self::NewerSchema { .. } => "ledger_schema_newer",
            Self::NotEmpty => "ledger_not_empty",
            Self::Damaged { .. } => "ledger_damaged",
            Self::Failed { .. } => "ledger_failed",
        }
    }

    pub(crate) fn failed(server: &str, error: &sqlx::Error) -> Self {
        let (server, reason) = (server.to_owned(), failure::words(error));
        Self::Failed { server, reason }
    }

    /// It did not get as far as a session.
    fn outside(server: &str, error: &sqlx::Error) -> Self {
        let (server, reason) = (server.to_owned(), failure::words(error));
        match failure::code(error).as_deref() {
            Some(code) if ["28", "3D", "42"].iter().any(|it| code.starts_with(it)) => {
                Self::Refused { server, reason }
            }
            Some(_) | None => Self::Unreachable { server, reason },
        }
    }
}

/// A server to write to, and a way back to it when a connection is lost.
#[derive(Clone)]
pub(crate) struct Server {
    /// Its address, for messages.
    pub(crate) name: String,
    pub(crate) access: Access,
    pub(crate) schema: String,
}

impl Server {
    pub(crate) fn of(options: &PostgresOptions) -> Result<Self, CannotOpen> {
        if let Some(words) = options.out_of_range() {
            return Err(CannotOpen::BadOption(words));
        }
        Ok(Self {
            name: options.url.to_string(),
            access: Access::of(options)?,
            schema: options.schema.clone(),
        })
    }

    /// A connection.
    pub(crate) async fn enter(&self, way: &PgConnectOptions) -> Result<PgConnection, CannotOpen> {
        let connecting = timeout(CONNECT_WITHIN, way.connect()).await;
        let Ok(connected) = connecting else {
            let seconds = CONNECT_WITHIN.as_secs();
            return Err(CannotOpen::Unreachable {
                server: self.name.clone(),
                reason: format!("it did not answer within {seconds} s"),
            });
        };
        connected.map_err(|error| CannotOpen::outside(&self.name, &error))
    }

    /// A session in which a commit is durable when it is answered.
    pub(crate) async fn session(&self) -> Result<(PgConnection, Posture), CannotOpen> {
        let server = self.name.clone();
        let mut connection = self.enter(&self.access.writing).await?;
        let failed = |error: sqlx::Error| CannotOpen::failed(&server, &error);
        let posture = Posture::of_writer(&mut connection).await.map_err(failed)?;
        if posture.server_version < SERVER_VERSION_MIN {
            let seen = posture.server_version;
            return Err(CannotOpen::OldServer { server, seen });
        }
        if posture.in_recovery {
            return Err(CannotOpen::Standby { server });
        }
        if posture.encoding != "UTF8" {
            let seen = posture.encoding;
            return Err(CannotOpen::Encoding { seen });
        }
        if let Some(reason) = posture.forgets_without_power() {
            return Err(CannotOpen::NotDurable { server, reason });
        }
        let present = sqlx::query(PRESENT).bind(&self.schema);
        present.execute(&mut connection).await.map_err(failed)?;
        Ok((connection, posture))
    }

    /// Whether somebody has a session for writing at this moment.
    pub(crate) async fn is_in_use(&self) -> Result<bool, CannotOpen> {
        let mut connection = self.enter(&self.access.reading).await?;
        let failed = |error: sqlx::Error| CannotOpen::failed(&self.name, &error);
        let alone = sqlx::query(ALONE).bind(&self.schema);
        let alone = alone.fetch_one(&mut connection).await.map_err(failed)?;
        Ok(!plain::<bool>(&alone, 0).map_err(failed)?)
    }

    /// A session on a ledger that is ours, up to date and sound, and how many entries it has.
    pub(crate) async fn open(&self) -> Result<(PgConnection, u64), CannotOpen> {
        let (mut connection, posture) = self.session().await?;
        for concern in posture.concerns() {
            tracing::warn!(server = self.name, concern, "the ledger's server");
        }
        let failed = |error: sqlx::Error| CannotOpen::failed(&self.name, &error);
        let found = schema::migrate(&mut connection, &self.schema, STEPS);
        self.ready(found.await.map_err(failed)?)?;
        let (size, entries) = sizes(&mut connection).await.map_err(failed)?;
        if i64::try_from(size) != Ok(entries) {
            return Err(CannotOpen::Damaged {
                server: self.name.clone(),
                reason: format!("it holds {entries} audit entries, but a tree over {size}"),
            });
        }
        Ok((connection, size))
    }

    pub(crate) fn ready(&self, found: Found) -> Result<(), CannotOpen> {
        match found {
            Found::Ready => Ok(()),
            Found::ToBeMade => Err(CannotOpen::ToBeMade {
                schema: self.schema.clone(),
            }),
            Found::Foreign => Err(CannotOpen::NotALedger {
                schema: self.schema.clone(),
            }),
            Found::Newer { seen } => Err(CannotOpen::NewerSchema {
                seen,
                known: STEPS.len(),
            }),
        }
    }
}

/// Whoever may write a ledger says so for as long as the session lasts. It waits for nobody but for
/// who asks at this moment whether somebody is there.
const PRESENT: &str = "SELECT pg_advisory_lock_shared(hashtextextended('jitney broker ' || $1, 0))";
const ALONE: &str = "SELECT pg_try_advisory_xact_lock(hashtextextended('jitney broker ' || $1, 0))";
const BEGIN_LOG: &str = "INSERT INTO log VALUES (true, $1) ON CONFLICT DO NOTHING";
const ENTRIES: &str = "SELECT coalesce(max(idx) + 1, 0) FROM entries";
/// Brokers that were not heard of for 30 days do not come back to ask what became of a commit.
const FORGET_WRITERS: &str = concat!(
    "DELETE FROM writers WHERE seen_at < ",
    load::server_time!(),
    " - 2592000000000"
);

/// How many entries the tree is over, and how many there are; the log is begun if there is none.
async fn sizes(connection: &mut PgConnection) -> Result<(u64, i64), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let empty = Frontier::new().to_bytes();
    let begin = sqlx::query(BEGIN_LOG).bind(empty);
    begin.execute(&mut *transaction).await?;
    // Under the lock: other brokers write while this one starts.
    let frontier = load::lock(&mut transaction).await?;
    let entries = sqlx::query(ENTRIES).fetch_one(&mut *transaction).await?;
    let forget = sqlx::query(FORGET_WRITERS);
    forget.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok((frontier.size(), plain(&entries, 0)?))
}
