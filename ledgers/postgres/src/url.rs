//! The address of a server: where, which database, as whom. A password has no place in it, so it
//! may be shown.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use url::{Host, Url};

/// Where a PostgreSQL server is: `postgres://USER@HOST:PORT/DATABASE`, or with
/// `?host=/FOLDER` the server whose socket lies there.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ServerUrl {
    url: Url,
    place: Place,
    database: String,
}

/// How the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// By a socket in this folder.
    Socket(PathBuf),
    /// On this machine.
    Loopback(String),
    /// Over a network: never without TLS that knows whom it speaks to.
    Network(String),
}

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is not the address of a server: {0}")]
pub struct BadUrl(String);

const PORT_DEFAULT: u16 = 5432;

impl TryFrom<String> for ServerUrl {
    type Error = BadUrl;

    fn try_from(text: String) -> Result<Self, BadUrl> {
        let bad = |why: &str| BadUrl(why.to_owned());
        let expected = "expected `postgres://USER@HOST/DATABASE`";
        // What stands in it is not told: it may be a password in the wrong place.
        let url = Url::parse(&text).map_err(|_| bad(expected))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(bad(expected));
        }
        if url.password().is_some() {
            let hint = "it holds a password; put that into a file and name it as `password_file`";
            return Err(bad(hint));
        }
        let database = url.path().trim_start_matches('/').to_owned();
        let plain = |name: &str| !name.is_empty() && !name.contains(['%', '/']);
        if !plain(&database) || !plain(url.username()) {
            return Err(bad(
                "expected a user and a database, with no character that must be escaped",
            ));
        }
        let place = place(&url)?;
        Ok(Self {
            url,
            place,
            database,
        })
    }
}

fn place(url: &Url) -> Result<Place, BadUrl> {
    let mut socket = None;
    for (key, value) in url.query_pairs() {
        if key == "host" && value.starts_with('/') {
            socket = Some(PathBuf::from(value.as_ref()));
        } else {
            let key = key.escape_debug();
            return Err(BadUrl(format!(
                "`{key}` has no meaning in it; only `host`, the folder of a socket, has"
            )));
        }
    }
    let host = match (socket, url.host()) {
        (Some(folder), _) => return Ok(Place::Socket(folder)),
        (None, None) => return Err(BadUrl("it names no host".to_owned())),
        (None, Some(host)) => host,
    };
    // A `postgres` URL's host is not read as an address by itself.
    let name = match host {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let address = name.parse::<IpAddr>();
    let loopback = name == "localhost" || address.is_ok_and(|address| address.is_loopback());
    Ok(if loopback {
        Place::Loopback(name)
    } else {
        Place::Network(name)
    })
}

impl ServerUrl {
    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.port().unwrap_or(PORT_DEFAULT)
    }

    pub(crate) fn user(&self) -> &str {
        self.url.username()
    }

    pub(crate) fn database(&self) -> &str {
        &self.database
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn url(text: &str) -> Result<ServerUrl, BadUrl> {
        text.to_owned().try_into()
    }

    #[test]
    fn only_this_machine_may_be_spoken_to_without_tls() {
        for name in ["localhost", "127.0.0.1", "127.8.9.1", "[::1]"] {
            let url = url(&format!("postgres://jitney@{name}/jitney")).unwrap();
            assert!(matches!(url.place(), Place::Loopback(_)), "{name}");
        }
        for name in [
            "db",
            "localhost.example.com",
            "10.0.0.1",
            "[2001:db8::1]",
            "128.0.0.1",
        ] {
            let url = url(&format!("postgres://jitney@{name}/jitney")).unwrap();
            assert!(matches!(url.place(), Place::Network(_)), "{name}");
        }
        let url = url("postgresql://jitney@localhost/jitney?host=/run/postgresql").unwrap();
        assert_eq!(*url.place(), Place::Socket("/run/postgresql".into()));
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for text in [
            "postgres://jitney:hunter2@db/jitney",
            "postgres://jitney@db/jitney?password=hunter2",
            "jitney:hunter2@db",
        ] {
            let error = url(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_missing_or_means_nothing_is_refused() {
        for text in [
            "",
            "mysql://jitney@db/jitney",
            "postgres://db/jitney",
            "postgres://jitney@db",
            "postgres://jitney@db/",
            "postgres://jitney@/jitney",
            "postgres://jitney@db/a%20b",
            "postgres://jitney@db/jitney?sslmode=disable",
            "postgres://jitney@db/jitney?host=elsewhere",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
