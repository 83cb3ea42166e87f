//! Names the cloud gives: unique ids, access keys, secrets, tokens, request ids.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::draws::Draws;

const BASE32: [char; 32] = [
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S',
    'T', 'U', 'V', 'W', 'X', 'Y', 'Z', '2', '3', '4', '5', '6', '7',
];

/// The stream of names.
pub(crate) struct Identifiers(Draws);

impl Identifiers {
    /// With a seed the names repeat from run to run; without one they do not.
    pub(crate) fn new(seed: Option<u64>) -> Identifiers {
        Identifiers(Draws::new(seed))
    }

    /// A unique id: `AROA` (role), `AIDA` (user), `ANPA` (policy), then 17 characters.
    pub(crate) fn unique_id(&self, prefix: &str) -> String {
        self.base32(prefix, 17)
    }

    /// An access key id: `AKIA` (long-lived) or `ASIA` (temporary), then 16 characters.
    pub(crate) fn access_key_id(&self, prefix: &str) -> String {
        self.base32(prefix, 16)
    }

    /// A secret access key of 40 characters.
    pub(crate) fn secret(&self) -> String {
        STANDARD.encode(self.bytes(30))
    }

    /// A session token of at least this many characters. It says nothing; the sandbox knows it by heart.
    pub(crate) fn session_token(&self, characters: usize) -> String {
        STANDARD.encode(self.bytes(characters.div_ceil(4) * 3))
    }

    /// A request id, shaped like a UUID.
    pub(crate) fn request_id(&self) -> String {
        let bytes = self.0.draw();
        let first: [u8; 16] = bytes.first_chunk().copied().unwrap_or_default();
        uuid::Builder::from_random_bytes(first)
            .into_uuid()
            .to_string()
    }

    fn base32(&self, prefix: &str, length: usize) -> String {
        let chars = self
            .bytes(length)
            .into_iter()
            .filter_map(|byte| BASE32.get(usize::from(byte % 32)));
        prefix.chars().chain(chars.copied()).collect()
    }

    fn bytes(&self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.0.draw());
        }
        bytes.truncate(count);
        bytes
    }
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
        let ids = |seed| Identifiers::new(seed).unique_id("AROA");
        assert_eq!(ids(Some(7)), ids(Some(7)));
        assert_ne!(ids(Some(7)), ids(Some(8)));
        assert_ne!(ids(None), ids(None));
    }

    #[test]
    fn names_have_the_shapes_of_aws() {
        let ids = Identifiers::new(Some(1));
        assert_eq!(ids.unique_id("AROA").len(), 21);
        assert_eq!(ids.access_key_id("ASIA").len(), 20);
        assert_eq!(ids.secret().len(), 40);
        assert!(ids.session_token(350).len() >= 350);
        assert_eq!(ids.request_id().len(), 36);
    }
}
