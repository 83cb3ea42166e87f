//! Estates come from files.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why an estate file was not read.
#[derive(Debug, Error)]
pub enum EstateFileError {
    /// The file cannot be read.
    #[error("cannot read the estate file `{path}`: {source}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The file is not an estate.
    #[error("the estate file `{path}` is not an estate: {reason}")]
    NotAnEstate {
        /// Which file.
        path: String,
        /// Where it goes wrong.
        reason: String,
    },
}

/// Reads an estate: JSON when the file's name ends in `.json`, TOML otherwise.
pub(crate) fn read<Estate: DeserializeOwned>(path: &Path) -> Result<Estate, EstateFileError> {
    let place = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| EstateFileError::Unreadable {
        path: place(),
        source,
    })?;
    let is_json = path
        .extension()
        .is_some_and(|extension| extension == "json");
    let estate = if is_json {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str(&text).map_err(|error| error.to_string())
    };
    estate.map_err(|reason| EstateFileError::NotAnEstate {
        path: place(),
        reason,
    })
}
