//! The ledgers that are measured.

use std::io::{Write as _, stderr};

use clap::ValueEnum;
use jitney_integration_tests::kills::LedgerKind;
use jitney_integration_tests::postgres::{NoServer, Server};

/// The name of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LedgerName {
    Sqlite,
    Postgres,
}

impl LedgerName {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// The ledger, empty; nothing where there is no PostgreSQL, which is said aloud.
    pub async fn ready(self) -> Option<LedgerKind> {
        match self {
            Self::Sqlite => Some(LedgerKind::Sqlite),
            Self::Postgres => match Server::shared().await {
                Ok(server) => Some(LedgerKind::Postgres(server)),
                Err(why @ NoServer::NotInstalled) => {
                    let _ = writeln!(stderr(), "NOT MEASURED: {why}");
                    None
                }
                Err(why) => panic!("{why}"),
            },
        }
    }
}

/// Those of the ledgers that are there.
pub async fn ready(names: &[LedgerName]) -> Vec<(LedgerName, LedgerKind)> {
    let mut ready = Vec::new();
    for name in names {
        ready.extend(name.ready().await.map(|kind| (*name, kind)));
    }
    ready
}
