//! Names the cloud gives: tokens, account ids, upload ids, etags.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::draws::Draws;

/// The stream of names.
pub(crate) struct Identifiers(Draws);

impl Identifiers {
    /// With a seed the names repeat from run to run; without one they do not.
    pub(crate) fn new(seed: Option<u64>) -> Identifiers {
        Identifiers(Draws::new(seed))
    }

    /// An access token. It says nothing; the sandbox knows it by heart.
    pub(crate) fn access_token(&self) -> String {
        format!(
            "ya29.c.{}",
            URL_SAFE_NO_PAD.encode([self.0.draw(), self.0.draw()].concat())
        )
    }

    /// The unique id of a service account: 21 digits.
    pub(crate) fn account_id(&self) -> String {
        let bytes = self.0.draw();
        let digits: String = bytes
            .iter()
            .take(20)
            .map(|byte| char::from(b'0' + byte % 10))
            .collect();
        format!("1{digits}")
    }

    /// A policy's etag: base64 of eight bytes that never repeat.
    pub(crate) fn etag(&self) -> String {
        let bytes: [u8; 8] = self.0.draw().first_chunk().copied().unwrap_or_default();
        STANDARD.encode(bytes)
    }

    /// The secret part of a resumable upload's URI.
    pub(crate) fn upload_id(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.draw())
    }

    /// An id shaped like a UUID.
    pub(crate) fn uuid(&self) -> String {
        let bytes: [u8; 16] = self.0.draw().first_chunk().copied().unwrap_or_default();
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }
}

/// How the journal and the books name a token: sixteen hex digits of its hash, never the token.
pub fn fingerprint(token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    hash.as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    #[test]
    fn a_seed_repeats_and_no_seed_does_not() {
        let id = |seed| Identifiers::new(seed).account_id();
        assert_eq!(id(Some(7)), id(Some(7)));
        assert_ne!(id(Some(7)), id(Some(8)));
        assert_ne!(id(None), id(None));
    }

    #[test]
    fn names_have_the_shapes_of_google() {
        let ids = Identifiers::new(Some(1));
        let account = ids.account_id();
        assert!(account.len() == 21 && account.chars().all(|char| char.is_ascii_digit()));
        assert!(ids.access_token().starts_with("ya29."));
        assert_eq!(STANDARD.decode(ids.etag()).unwrap().len(), 8);
        assert_eq!(fingerprint("a").len(), 16);
    }
}
