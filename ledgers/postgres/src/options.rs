//! What an operator may say about the ledger.

use std::path::PathBuf;

use serde::Deserialize;

use crate::url::ServerUrl;

/// How many connections read, unless told otherwise. One more writes.
pub const CONNECTIONS_DEFAULT: u16 = 4;
/// The most connections that may read.
pub const CONNECTIONS_MAX: u16 = 64;
/// How many transactions may wait for the writer, unless told otherwise.
pub const QUEUE_LENGTH_DEFAULT: u16 = 1024;
/// The most transactions that may wait for the writer.
pub const QUEUE_LENGTH_MAX: u16 = 16_384;
/// The schema that the ledger's tables are in, unless told otherwise.
pub const SCHEMA_DEFAULT: &str = "jitney";
/// The longest name that PostgreSQL does not cut.
const SCHEMA_LENGTH_MAX: usize = 63;

/// Where the ledger is and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresOptions {
    /// The server and the database, without a password.
    pub url: ServerUrl,
    /// The file that holds the password, readable by its owner only.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The certificate authorities to believe, PEM, instead of the public ones.
    #[serde(default)]
    pub certificate_authorities_file: Option<PathBuf>,
    /// The schema that holds the tables. Two installations in one database have two.
    #[serde(default = "schema_default")]
    pub schema: String,
    /// How many connections read, from 1 to [`CONNECTIONS_MAX`].
    #[serde(default = "connections_default")]
    pub connections: u16,
    /// How many transactions may wait for the writer, from 1 to [`QUEUE_LENGTH_MAX`]. Whoever
    /// comes when it is full waits for a place.
    #[serde(default = "queue_length_default")]
    pub queue_length: u16,
    /// By whose clock lanes are claimed. Not for operators.
    #[serde(skip)]
    pub claims_by: ClaimClock,
}

/// By whose clock lanes are claimed.
///
/// Brokers have clocks of their own, and one that is ahead would take lanes that another still
/// drives. So of what a caller says only the *length* of its claim is taken, and begins and ends by
/// the server's clock. It begins when the server decides it, which is later than when the caller
/// asked: a caller that counts from its own *now* stops before the server thinks so.
///
/// A test whose time is made up cannot wait for a server's clock. It says so here, and has one
/// clock for all its brokers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClaimClock {
    /// The server's.
    #[default]
    Server,
    /// The caller's, as it is given.
    Caller,
}

const fn connections_default() -> u16 {
    CONNECTIONS_DEFAULT
}

const fn queue_length_default() -> u16 {
    QUEUE_LENGTH_DEFAULT
}

fn schema_default() -> String {
    SCHEMA_DEFAULT.to_owned()
}

impl PostgresOptions {
    /// A ledger on the server at `url`, with everything else as it is by default.
    #[must_use]
    pub fn at(url: ServerUrl) -> Self {
        Self {
            url,
            password_file: None,
            certificate_authorities_file: None,
            schema: schema_default(),
            connections: CONNECTIONS_DEFAULT,
            queue_length: QUEUE_LENGTH_DEFAULT,
            claims_by: ClaimClock::Server,
        }
    }

    /// The first option that is out of its range, in words.
    pub(crate) fn out_of_range(&self) -> Option<String> {
        let within = |name: &str, seen: u16, most: u16| {
            (seen < 1 || seen > most).then(|| format!("`{name}` is {seen}, expected 1 to {most}"))
        };
        within("connections", self.connections, CONNECTIONS_MAX)
            .or_else(|| within("queue_length", self.queue_length, QUEUE_LENGTH_MAX))
            .or_else(|| {
                let bad = !is_schema(&self.schema);
                bad.then(|| {
                    format!(
                        "`schema` is `{}`, expected a lower-case letter, then at most {} lower-case \
                         letters, digits and `_`",
                        self.schema.escape_debug(),
                        SCHEMA_LENGTH_MAX - 1
                    )
                })
            })
    }
}

/// Whether a name may stand in a statement as it is. PostgreSQL keeps `pg_` for itself.
fn is_schema(name: &str) -> bool {
    let mut letters = name.bytes();
    let rest =
        |letter: u8| letter == b'_' || letter.is_ascii_lowercase() || letter.is_ascii_digit();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(rest)
        && name.len() <= SCHEMA_LENGTH_MAX
        && !name.starts_with("pg_")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn good() -> PostgresOptions {
        let url = "postgres://jitney@localhost/jitney".to_owned();
        PostgresOptions::at(url.try_into().unwrap())
    }

    #[test]
    fn each_option_has_its_edges() {
        assert_eq!(good().out_of_range(), None);
        let at_the_edge = PostgresOptions {
            connections: CONNECTIONS_MAX,
            queue_length: QUEUE_LENGTH_MAX,
            schema: "a".repeat(SCHEMA_LENGTH_MAX),
            ..good()
        };
        assert_eq!(at_the_edge.out_of_range(), None);
        let numbers = |connections, queue_length| PostgresOptions {
            connections,
            queue_length,
            ..good()
        };
        let cases = [
            ("`connections` is 0, expected 1 to 64", numbers(0, 1)),
            ("`connections` is 65, expected 1 to 64", numbers(65, 1)),
            ("`queue_length` is 0, expected 1 to 16384", numbers(1, 0)),
            (
                "`queue_length` is 16385, expected 1 to 16384",
                numbers(1, 16_385),
            ),
        ];
        for (words, options) in cases {
            assert_eq!(options.out_of_range().as_deref(), Some(words));
        }
    }

    #[test]
    fn a_schema_that_would_have_to_be_quoted_is_refused() {
        let long = "a".repeat(SCHEMA_LENGTH_MAX + 1);
        for schema in [
            "", "1a", "_a", "A", "a-b", "a\"b", "a b", "a;b", "ü", "pg_a", &long,
        ] {
            let options = PostgresOptions {
                schema: schema.to_owned(),
                ..good()
            };
            assert!(options.out_of_range().is_some(), "{schema}");
        }
    }
}
