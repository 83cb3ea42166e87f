//! The broker as an issuer of its own tokens.

use std::path::PathBuf;

use jitney_identity::IssuerConfig;
use serde::Deserialize;

/// `[issuer]`: by whose tokens clouds know the broker's slots. Needed for Azure alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSection {
    /// The `iss` of its tokens: where clouds can fetch its documents.
    pub url: String,
    /// The key that signs, PEM; readable by the broker's user only.
    pub key_file: PathBuf,
    /// The key that will sign next: published already.
    #[serde(default)]
    pub next_key_file: Option<PathBuf>,
    /// Keys that signed before: published still.
    #[serde(default)]
    pub previous_key_files: Vec<PathBuf>,
}

impl IssuerSection {
    /// All files, the one that signs first.
    pub fn key_files(&self) -> impl Iterator<Item = &PathBuf> {
        let others = self.next_key_file.iter().chain(&self.previous_key_files);
        core::iter::once(&self.key_file).chain(others)
    }

    /// The same, to be changed.
    pub(super) fn key_files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let others = self
            .next_key_file
            .iter_mut()
            .chain(&mut self.previous_key_files);
        core::iter::once(&mut self.key_file).chain(others)
    }

    /// What does not go together with those whose tokens the broker takes. A job can hold a token
    /// of ours; taken for a CI system's it would be a job of its own making.
    pub(super) fn conflict(&self, believed: &[IssuerConfig]) -> Option<String> {
        let own = believed.iter().find(|issuer| issuer.url == self.url)?;
        Some(format!(
            "is the `url` of the issuer `{}` too: the broker must not take tokens that it signs \
             itself",
            own.name
        ))
    }
}
