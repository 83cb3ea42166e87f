//! What PostgreSQL's errors mean to an operator, and to whoever may try again.

use sqlx::Error;

/// Says in plain words what an error is about. It never repeats a stored value.
pub(crate) fn words(error: &Error) -> String {
    let Some(code) = code(error) else {
        return match error {
            Error::Io(error) => format!("the connection to the server failed ({error})"),
            Error::Tls(error) => format!("no safe connection to the server ({error})"),
            Error::PoolTimedOut => {
                "no connection was free in time: the server does not answer, or `connections` is \
                 too low"
                    .to_owned()
            }
            Error::Decode(_) | Error::ColumnDecode { .. } | Error::RowNotFound => {
                format!("it holds something that it should not: {error}")
            }
            other => format!("the connection to the server failed ({other})"),
        };
    };
    let said = match code.as_str() {
        "25006" => "the server only reads: it is a standby, or a failover took place",
        "40001" | "40P01" => "the server let somebody else go first, again and again",
        "55P03" => {
            "another broker, a shell or a migration keeps it locked, or a commit waits for a \
             standby that is not there"
        }
        "53100" => "the server's disk is full",
        "53300" => "the server has no free connection",
        "54000" => "a name is longer than the server can index",
        "57P01" | "57P02" | "57P03" => "the server is stopping or starting",
        other if other.starts_with("23") => "somebody wrote past the brokers",
        other if other.starts_with("XX") => "it is damaged: restore it from a backup, then recover",
        _ => return format!("PostgreSQL says `{}` (code {code})", message(error)),
    };
    format!("{said} (code {code})")
}

/// What the server calls the error, when it is the server's.
pub(crate) fn code(error: &Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

/// The messages of these classes are about set-up and never hold a stored value.
fn message(error: &Error) -> String {
    const ABOUT_SET_UP: [&str; 6] = ["08", "0A", "28", "3D", "3F", "42"];
    let code = code(error).unwrap_or_default();
    let told = ABOUT_SET_UP.iter().any(|class| code.starts_with(class));
    match error.as_database_error() {
        Some(error) if told => error.message().to_owned(),
        Some(_) | None => "no detail".to_owned(),
    }
}

/// Whether the same may succeed if it is tried again at once, on a new connection. Said before
/// COMMIT, every error means that nothing happened.
pub(crate) fn may_pass(error: &Error) -> bool {
    match code(error) {
        Some(code) => {
            code.starts_with("08")
                || matches!(
                    code.as_str(),
                    "25P03" | "40001" | "40P01" | "57P01" | "57P02" | "57P03"
                )
        }
        None => is_connection(error),
    }
}

/// Whether it is about the connection, and not about what was asked.
fn is_connection(error: &Error) -> bool {
    matches!(
        error,
        Error::Io(_)
            | Error::Protocol(_)
            | Error::Tls(_)
            | Error::WorkerCrashed
            | Error::BeginFailed
    )
}
