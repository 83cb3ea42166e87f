//! The broker as an issuer of its own tokens.

use std::path::{Path, PathBuf};

use jitney_azure::KeyVault;
use jitney_identity::IssuerConfig;
use serde::Deserialize;

/// `[issuer]`: by whose tokens clouds know the broker's slots. Needed for Azure alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSection {
    /// The `iss` of its tokens: where clouds can fetch its documents.
    pub url: String,
    /// The key that signs, PEM; readable by the broker's user only. Absent when it lies in a vault.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The key that will sign next: published already.
    #[serde(default)]
    pub next_key_file: Option<PathBuf>,
    /// Keys that signed before: published still.
    #[serde(default)]
    pub previous_key_files: Vec<PathBuf>,
    /// Keys that lie in Azure Key Vault and do not leave it, instead of files or beside them.
    #[serde(default)]
    pub key_vault: Option<KeyVault>,
}

impl IssuerSection {
    /// All files, the one that signs first.
    pub fn key_files(&self) -> impl Iterator<Item = &PathBuf> {
        let others = self.next_key_file.iter().chain(&self.previous_key_files);
        self.key_file.iter().chain(others)
    }

    /// Takes every path from this folder.
    pub(super) fn below(&mut self, folder: &Path) {
        let others = self
            .next_key_file
            .iter_mut()
            .chain(&mut self.previous_key_files);
        for file in self.key_file.iter_mut().chain(others) {
            *file = folder.join(&*file);
        }
        if let Some(vault) = &mut self.key_vault {
            vault.below(folder);
        }
    }

    /// What does not go together: with itself, or with those whose tokens the broker takes. A job
    /// can hold a token of ours; taken for a CI system's it would be a job of its own making.
    pub(super) fn conflict(&self, believed: &[IssuerConfig]) -> Option<(&'static str, String)> {
        let in_vault = self.key_vault.as_ref().and_then(|vault| vault.key.as_ref());
        match (&self.key_file, in_vault) {
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) => {
                let wrong = "is missing: expected a file, or `key` in `[issuer.key_vault]`";
                return Some(("issuer.key_file", wrong.to_owned()));
            }
            (Some(_), Some(_)) => {
                let wrong = "signs already, and so does `issuer.key_vault.key`: one of them is \
                             `next_key_file` or `next_key`, or one of those before";
                return Some(("issuer.key_file", wrong.to_owned()));
            }
        }
        let own = believed.iter().find(|issuer| issuer.url == self.url)?;
        let wrong = format!(
            "is the `url` of the issuer `{}` too: the broker must not take tokens that it signs \
             itself",
            own.name
        );
        Some(("issuer.url", wrong))
    }
}
