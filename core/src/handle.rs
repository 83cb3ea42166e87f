//! Handles: the names by which a cloud will know a grant, chosen by us before the call.
//!
//! A handle is 19 characters of lower-case base 32: 13 that name the lease (65 bits of a hash over
//! its id) and 6 that prove the installation (30 bits of a MAC). Short, because on AWS a role has
//! room for a limited number of characters of deny entries, and every handle under revocation
//! takes its length plus three.

use core::fmt;

use aws_lc_rs::{digest, hmac};
use serde::{Deserialize, Serialize};

use crate::id::{BadId, InstallationName, LeaseId};

const NAME_CHARS: usize = 13;
const MAC_CHARS: usize = 6;
/// The length of every handle, in characters.
pub const HANDLE_LENGTH: usize = NAME_CHARS + MAC_CHARS;

/// No `i`, `l`, `o`, `u`: handles are read aloud from logs.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The name of one grant in a cloud. Not a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

impl Handle {
    /// The handle as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Handle {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        if text.len() == HANDLE_LENGTH && text.bytes().all(|b| ALPHABET.contains(&b)) {
            Ok(Self(text))
        } else {
            Err(BadId::new("handle", "19 characters of base 32", &text))
        }
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

/// The key with which an installation stamps what it makes. It lives outside the ledger: whoever
/// has it can make foreign things look like ours, and the sweep would then remove them.
pub struct StampKey {
    installation: InstallationName,
    key: hmac::Key,
}

impl StampKey {
    /// The shortest acceptable secret, in bytes.
    pub const SECRET_LENGTH_MIN: usize = 32;

    /// Makes a stamp key, or nothing when the secret is shorter than
    /// [`SECRET_LENGTH_MIN`](Self::SECRET_LENGTH_MIN).
    #[must_use]
    pub fn new(installation: InstallationName, secret: &[u8]) -> Option<Self> {
        (secret.len() >= Self::SECRET_LENGTH_MIN).then(|| Self {
            installation,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        })
    }

    /// The installation whose stamp this is.
    #[must_use]
    pub const fn installation(&self) -> &InstallationName {
        &self.installation
    }

    /// The handle of a lease. The same lease always has the same handle, so that a restart can
    /// name what an earlier process may have made.
    #[must_use]
    pub fn handle(&self, lease: LeaseId) -> Handle {
        let hash = digest::digest(&digest::SHA256, lease.as_uuid().as_bytes());
        let name = base32(hash.as_ref(), NAME_CHARS);
        let mac = self.mac(&name);
        Handle(name + &mac)
    }

    /// Whether a handle found in a cloud was made by this installation.
    #[must_use]
    pub fn made(&self, handle: &Handle) -> bool {
        handle
            .0
            .split_at_checked(NAME_CHARS)
            .is_some_and(|(name, mac)| self.mac(name) == mac)
    }

    fn mac(&self, name: &str) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"jitney handle\0");
        context.update(self.installation.as_str().as_bytes());
        context.update(b"\0");
        context.update(name.as_bytes());
        base32(context.sign().as_ref(), MAC_CHARS)
    }
}

impl fmt::Debug for StampKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StampKey")
            .field("installation", &self.installation)
            .finish_non_exhaustive()
    }
}

/// The first `chars` base-32 digits of `bytes`, five bits each, most significant first.
fn base32(bytes: &[u8], chars: usize) -> String {
    let bit = |at: usize| {
        bytes
            .get(at / 8)
            .map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1))
    };
    (0..chars)
        .filter_map(|digit| {
            let value = (0..5).fold(0, |value, offset| value << 1 | bit(digit * 5 + offset));
            ALPHABET.get(value).map(|b| char::from(*b))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(installation: &str, secret: u8) -> StampKey {
        StampKey::new(installation.parse().unwrap(), &[secret; 32]).unwrap()
    }

    #[test]
    fn a_handle_is_stable_and_proves_its_installation() {
        let ours = key("acme", 1);
        let lease = LeaseId::fresh();
        let handle = ours.handle(lease);
        assert_eq!(handle, ours.handle(lease));
        assert_eq!(handle.as_str().len(), HANDLE_LENGTH);
        assert!(ours.made(&handle));
        assert_ne!(handle, ours.handle(LeaseId::fresh()));
        // Another secret, or the same secret under another name, did not make it.
        assert!(!key("acme", 2).made(&handle));
        assert!(!key("acme-2", 1).made(&handle));
    }

    #[test]
    fn changing_any_character_breaks_the_stamp() {
        let ours = key("acme", 1);
        let handle = ours.handle(LeaseId::fresh());
        for at in 0..HANDLE_LENGTH {
            let mut text = handle.as_str().as_bytes().to_vec();
            let byte = text.get_mut(at).unwrap();
            *byte = if *byte == b'0' { b'1' } else { b'0' };
            let forged = Handle::try_from(String::from_utf8(text).unwrap()).unwrap();
            assert!(!ours.made(&forged), "position {at}");
        }
    }

    #[test]
    fn short_secrets_and_foreign_texts_are_refused() {
        assert!(StampKey::new("acme".parse().unwrap(), &[0; 31]).is_none());
        for bad in [
            "",
            "short",
            "UPPERCASEUPPERCASE0",
            "iiiiiiiiiiiiiiiiiii",
            "0123456789abcdefgh\"",
        ] {
            assert!(Handle::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
