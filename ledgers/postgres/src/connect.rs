//! Connections, and what holds for each of them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::open::CannotOpen;
use crate::options::PostgresOptions;
use crate::url::Place;

/// The permissions that a password's file may give to nobody but its owner.
const OTHERS: u32 = 0o077;
/// The longest password file that is read.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// What holds for every connection. Set when connecting, so that what the server, the database or
/// the user have by default does not matter.
const ALWAYS: [(&str, &str); 3] = [
    // Under the lock on `log`, each statement must see what was committed before it.
    ("default_transaction_isolation", "read committed"),
    // A broker that was stopped, or whose machine is gone, must not keep the lock.
    ("idle_in_transaction_session_timeout", "5s"),
    ("client_min_messages", "warning"),
];

/// What holds for the connection that writes.
const WRITING: [(&str, &str); 3] = [
    ("default_transaction_read_only", "off"),
    // Longer than a broker that stands still keeps the lock.
    ("lock_timeout", "10s"),
    // The writer has its own limits, for its whole turn and for COMMIT.
    ("statement_timeout", "0"),
];

/// What holds for the connections that read.
const READING: [(&str, &str); 2] = [
    ("default_transaction_read_only", "on"),
    ("statement_timeout", "10s"),
];

/// How to connect for writing and for reading.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) writing: PgConnectOptions,
    pub(crate) reading: PgConnectOptions,
}

impl Access {
    pub(crate) fn of(options: &PostgresOptions) -> Result<Self, CannotOpen> {
        let base = base(options)?;
        let with = |name: &str, settings: &[(&str, &str)]| {
            let path = [("search_path", options.schema.as_str())];
            let all = ALWAYS.iter().chain(settings).chain(&path).copied();
            base.clone().application_name(name).options(all)
        };
        Ok(Self {
            writing: with("jitney writing", &WRITING),
            reading: with("jitney reading", &READING),
        })
    }
}

/// Where, as whom, and how safely. Everything is said, so that no `PG…` variable of the
/// environment says it instead.
fn base(options: &PostgresOptions) -> Result<PgConnectOptions, CannotOpen> {
    let url = &options.url;
    let mut base = PgConnectOptions::new_without_pgpass()
        .port(url.port())
        .username(url.user())
        .database(url.database())
        .password("")
        .disable_statement_logging();
    base = match url.place() {
        Place::Socket(folder) => base.socket(folder).ssl_mode(PgSslMode::Disable),
        Place::Loopback(host) => base.host(host).ssl_mode(PgSslMode::Prefer),
        Place::Network(host) => base.host(host).ssl_mode(PgSslMode::VerifyFull),
    };
    if let Some(file) = &options.certificate_authorities_file {
        base = base.ssl_root_cert(file);
    }
    if let Some(file) = &options.password_file {
        base = base.password(&password(file)?);
    }
    Ok(base)
}

fn password(file: &Path) -> Result<String, CannotOpen> {
    let bad = |why: String| {
        let file = file.display();
        CannotOpen::BadOption(format!("`password_file`: the file `{file}` {why}"))
    };
    let cannot = |error: std::io::Error| bad(format!("cannot be read: {error}"));
    let about = fs::metadata(file).map_err(cannot)?;
    if about.mode() & OTHERS != 0 {
        let mode = about.mode() & 0o777;
        return Err(bad(format!(
            "can be read by others (mode {mode:03o}): run `chmod 600` on it, and choose a new \
             password if it may have been read"
        )));
    }
    if !about.is_file() || about.len() > PASSWORD_BYTES_MAX {
        return Err(bad("does not hold a password".to_owned()));
    }
    let text = fs::read_to_string(file).map_err(cannot)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_password_is_read_from_a_file_that_nobody_else_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, "hunter 2 \n").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password(&file).unwrap(), "hunter 2 ");
        for mode in [0o640, 0o604] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let error = password(&file).unwrap_err();
            assert_eq!(error.code(), "ledger_option_bad");
            assert!(!error.to_string().contains("hunter"), "{error}");
        }
        assert!(password(&folder.path().join("none")).is_err());
        assert!(password(folder.path()).is_err());
    }

    #[test]
    fn over_a_network_the_server_proves_who_it_is() {
        let access = |url: &str| {
            let url = url.to_owned().try_into().unwrap();
            Access::of(&PostgresOptions::at(url)).unwrap()
        };
        let far = access("postgres://jitney@db.example.com/jitney");
        for options in [&far.writing, &far.reading] {
            assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
        }
        let near = access("postgres://jitney@localhost/jitney");
        assert!(matches!(near.writing.get_ssl_mode(), PgSslMode::Prefer));
    }
}
