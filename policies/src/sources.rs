//! The operator's files, as text. Reading is apart from understanding: everything after this
//! works on names and texts alone.

use std::fs;
use std::path::Path;

use crate::problem::{CannotLoad, Problem};

/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The most policy files of one broker.
pub const FILES_MAX: usize = 1024;

/// One file of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The name by which messages and decisions call it.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Reads a file of rules, or every `.cedar` file of a directory, ordered by name.
///
/// # Errors
/// When a file cannot be read, is too large or is not UTF-8, and when the directory holds anything
/// else than rules: a `forbid` in a file that was passed over for its name would be a rule that
/// everybody believes in and nobody obeys. Names that begin with `.` and `README.md` are let be.
pub fn read_policies(path: &Path) -> Result<Vec<SourceFile>, CannotLoad> {
    let shown = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        CannotLoad::one(
            Problem::new(&shown, None, "unreadable", error.to_string())
                .advise("name a `.cedar` file, or a directory of them"),
        )
    };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![read_text(path)?]);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        names.push(entry.map_err(unreadable)?.file_name());
    }
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let shown = name.to_string_lossy();
        if shown.starts_with('.') || shown == "README.md" {
            continue;
        }
        if !shown.ends_with(".cedar") {
            return Err(CannotLoad::one(
                Problem::new(
                    &path.join(&name).display().to_string(),
                    None,
                    "not_a_policy_file",
                    "the directory holds something that is not a file of rules",
                )
                .advise("name it `*.cedar`, or move it elsewhere"),
            ));
        }
        files.push(read_text(&path.join(&name))?);
    }
    Ok(files)
}

/// Reads one file.
///
/// # Errors
/// When it cannot be read, is larger than [`FILE_BYTES_MAX`], or is not UTF-8.
pub fn read_text(path: &Path) -> Result<SourceFile, CannotLoad> {
    let name = path.display().to_string();
    let wrong = |code, message: String| CannotLoad::one(Problem::new(&name, None, code, message));
    let length = fs::metadata(path)
        .map_err(|error| wrong("unreadable", error.to_string()))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(wrong(
            "too_large",
            format!("the file has {length} bytes, at most {FILE_BYTES_MAX} are read"),
        ));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong("unreadable", error.to_string()))?;
    let name = path
        .file_name()
        .map_or(name.clone(), |last| last.to_string_lossy().into_owned());
    Ok(SourceFile { name, text })
}
