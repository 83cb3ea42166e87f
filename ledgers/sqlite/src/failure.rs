//! What SQLite's errors mean to an operator.

use rusqlite::{Error, ErrorCode};

/// Says in plain words what an error of SQLite is about. It never repeats a stored value.
pub(crate) fn words(error: &Error) -> String {
    let Error::SqliteFailure(failure, detail) = error else {
        return format!("it holds something that it should not: {error}");
    };
    match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            "another process keeps its file locked for writing".to_owned()
        }
        ErrorCode::DiskFull => {
            "the disk is full, or its file has reached `size_max_mib`".to_owned()
        }
        ErrorCode::ReadOnly => "its file may not be written".to_owned(),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            "its file is damaged: restore it from a backup, then recover".to_owned()
        }
        ErrorCode::SystemIoFailure => {
            let code = failure.extended_code;
            format!("the disk failed (SQLite's code {code})")
        }
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            "its file cannot be opened".to_owned()
        }
        _ => {
            let detail = detail.as_deref().unwrap_or("no detail");
            format!("SQLite says `{detail}` (code {})", failure.extended_code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn the_usual_troubles_have_words_of_their_own() {
        let cases = [
            (ffi::SQLITE_BUSY, "locked for writing"),
            (ffi::SQLITE_FULL, "disk is full"),
            (ffi::SQLITE_READONLY_DBMOVED, "may not be written"),
            (ffi::SQLITE_CORRUPT_INDEX, "damaged"),
            (ffi::SQLITE_NOTADB, "damaged"),
            (ffi::SQLITE_IOERR_FSYNC, "code 1034"),
            (ffi::SQLITE_CANTOPEN, "cannot be opened"),
            (ffi::SQLITE_CONSTRAINT_CHECK, "SQLite says `no detail`"),
        ];
        for (code, expected) in cases {
            let said = words(&Error::SqliteFailure(ffi::Error::new(code), None));
            assert!(said.contains(expected), "{code}: {said}");
        }
    }
}
