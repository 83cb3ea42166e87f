//! Sheets of the ledger as what they say.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ledger::{CannotRead, CommitError, Sheet, SheetAt};

/// What a sheet says, in the version that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted<T> {
    /// What it says.
    pub says: T,
    pub(super) name: String,
    pub(super) version: u64,
}

impl<T> Posted<T> {
    /// That it still says this when something is committed.
    #[must_use]
    pub fn at(&self) -> SheetAt {
        SheetAt {
            name: self.name.clone(),
            version: self.version,
        }
    }
}

impl<T: Serialize> Posted<T> {
    /// The sheet that says something else from now on, unless somebody changes it first.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn changed(&self, says: &T) -> Result<Sheet, CommitError> {
        let body = serde_json::to_string(says)
            .map_err(|error| CommitError::Unavailable(format!("a sheet has no JSON: {error}")))?;
        Ok(Sheet {
            name: self.name.clone(),
            version: self.version.saturating_add(1),
            body,
        })
    }
}

impl<T: DeserializeOwned> Posted<T> {
    /// Reads a stored sheet.
    ///
    /// # Errors
    /// When it says something else than it should.
    pub fn read(sheet: &Sheet) -> Result<Self, CannotRead> {
        let says = serde_json::from_str(&sheet.body).map_err(|error| {
            CannotRead(format!(
                "the sheet `{}` is not what it should be: {error}",
                sheet.name
            ))
        })?;
        Ok(Self {
            says,
            name: sheet.name.clone(),
            version: sheet.version,
        })
    }
}
