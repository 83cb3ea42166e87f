//! The keys that sign and open notes.
//!
//! A key has a name, which is also the log's origin. Its id is the beginning of a hash over name,
//! kind and public key, so that one key under two names is two keys.

use core::fmt;
use core::str::FromStr;

use aws_lc_rs::digest;
use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The most bytes a key's name may have.
pub const KEY_NAME_LENGTH_MAX: usize = 255;
/// Bytes in an Ed25519 seed: the whole secret of a signing key.
pub const SEED_LENGTH: usize = 32;

const PUBLIC_KEY_LENGTH: usize = 32;
const KEY_ID_LENGTH: usize = 4;
/// The kind of signature, as signed-note numbers them: Ed25519.
const KIND_ED25519: u8 = 0x01;

/// Why something is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long, or has spaces, `+` or control characters.
    #[error(
        "`{seen}` is not a key name: expected 1 to {KEY_NAME_LENGTH_MAX} bytes without spaces \
         and `+`, as in `jitney.example/audit`"
    )]
    BadName {
        /// What was given, shortened and escaped.
        seen: String,
    },
    /// The text is not `name+id+base64`.
    #[error("the verifier key is not a name, eight hexadecimal digits and base64, joined by `+`")]
    BadForm,
    /// The key is of another kind.
    #[error("the verifier key is of kind `{seen}`, expected `1` (Ed25519)")]
    UnknownKind {
        /// Its kind.
        seen: u8,
    },
    /// The id in the text is not that of the key in the text.
    #[error("the verifier key states the id `{seen}`, but name and key give `{expected}`")]
    WrongId {
        /// What is stated.
        seen: KeyId,
        /// What it is.
        expected: KeyId,
    },
    /// The secret is not an Ed25519 key. It is not shown.
    #[error("the secret of the signing key `{name}` is not an Ed25519 key")]
    BadSecret {
        /// The key's name.
        name: String,
    },
    /// The system has no randomness to give.
    #[error("the system gave no random bytes for a signing key")]
    NoRandomness,
}

impl KeyError {
    /// A stable name for the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadName { .. } => "key_name_bad",
            Self::BadForm => "key_form_bad",
            Self::UnknownKind { .. } => "key_kind_unknown",
            Self::WrongId { .. } => "key_id_wrong",
            Self::BadSecret { .. } => "key_secret_bad",
            Self::NoRandomness => "key_no_randomness",
        }
    }
}

/// Which of a name's keys: four bytes, shown as eight hexadecimal digits. Not a secret, and not
/// proof of anything.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; KEY_ID_LENGTH]);

impl KeyId {
    fn of(name: &str, public_key: &[u8; PUBLIC_KEY_LENGTH]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(name.as_bytes());
        context.update(&[b'\n', KIND_ED25519]);
        context.update(public_key);
        let hash = context.finish();
        let start = hash.as_ref().first_chunk();
        Self(start.copied().unwrap_or_default())
    }

    pub(super) const fn from_bytes(bytes: [u8; KEY_ID_LENGTH]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Whether a text can be the name of a key.
pub(super) fn is_key_name(name: &str) -> bool {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    (1..=KEY_NAME_LENGTH_MAX).contains(&name.len()) && name.chars().all(allowed)
}

fn must_be_name(name: &str) -> Result<String, KeyError> {
    if is_key_name(name) {
        return Ok(name.to_owned());
    }
    let seen = name.chars().take(80).flat_map(char::escape_default);
    Err(KeyError::BadName {
        seen: seen.collect(),
    })
}

/// The public half: who must have signed. Its text is `name+id+base64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: KeyId,
    public_key: [u8; PUBLIC_KEY_LENGTH],
}

impl VerifierKey {
    fn new(name: String, public_key: [u8; PUBLIC_KEY_LENGTH]) -> Self {
        Self {
            id: KeyId::of(&name, &public_key),
            name,
            public_key,
        }
    }

    /// The key's name, and the origin of the log it signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which of the name's keys.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    pub(super) const fn public_key(&self) -> &[u8; PUBLIC_KEY_LENGTH] {
        &self.public_key
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [[KIND_ED25519].as_slice(), &self.public_key].concat();
        write!(f, "{}+{}+{}", self.name, self.id, STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // Base64 has `+` too, so only the first two part the text.
        let mut parts = text.splitn(3, '+');
        let mut next = || parts.next().ok_or(KeyError::BadForm);
        let (name, id, base64) = (next()?, next()?, next()?);
        let key = STANDARD.decode(base64).map_err(|_| KeyError::BadForm)?;
        let (kind, public_key) = key.split_first().ok_or(KeyError::BadForm)?;
        if *kind != KIND_ED25519 {
            return Err(KeyError::UnknownKind { seen: *kind });
        }
        let public_key = public_key.try_into().map_err(|_| KeyError::BadForm)?;
        let key = Self::new(must_be_name(name)?, public_key);
        let seen = read_id(id).ok_or(KeyError::BadForm)?;
        if seen != key.id {
            let expected = key.id;
            return Err(KeyError::WrongId { seen, expected });
        }
        Ok(key)
    }
}

fn read_id(text: &str) -> Option<KeyId> {
    let id = KeyId(u32::from_str_radix(text, 16).ok()?.to_be_bytes());
    // One spelling only: the number's reader would also take `+`, capitals and fewer digits.
    (id.to_string() == text).then_some(id)
}

/// The secret half. Its bytes live in the crypto library, which wipes them when the key is
/// dropped; here they can be neither read, copied nor printed.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl SigningKey {
    /// The key that grows from `seed`.
    ///
    /// # Errors
    /// When the name is not one that a key may have.
    pub fn from_seed(name: &str, seed: &[u8; SEED_LENGTH]) -> Result<Self, KeyError> {
        Self::new(name, Ed25519KeyPair::from_seed_unchecked(seed).ok())
    }

    /// The key in a PKCS#8 document (DER), version 1 or 2.
    ///
    /// # Errors
    /// When the name is not one that a key may have, or the document holds no Ed25519 key.
    pub fn from_pkcs8(name: &str, der: &[u8]) -> Result<Self, KeyError> {
        Self::new(name, Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok())
    }

    fn new(name: &str, pair: Option<Ed25519KeyPair>) -> Result<Self, KeyError> {
        let name = must_be_name(name)?;
        let bad_secret = || KeyError::BadSecret { name: name.clone() };
        let pair = pair.ok_or_else(bad_secret)?;
        let public_key = pair.public_key().as_ref().try_into();
        let public_key = public_key.map_err(|_| bad_secret())?;
        Ok(Self {
            verifier: VerifierKey::new(name, public_key),
            pair,
        })
    }

    /// A seed for a new key, from the system's randomness. Whoever stores it stores the key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn fresh_seed() -> Result<Zeroizing<[u8; SEED_LENGTH]>, KeyError> {
        let mut seed = Zeroizing::new([0; SEED_LENGTH]);
        rand::fill(seed.as_mut_slice()).map_err(|_| KeyError::NoRandomness)?;
        Ok(seed)
    }

    /// The key's name, and the origin of the log it signs.
    #[must_use]
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    /// Which of the name's keys.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.verifier.id()
    }

    /// The public half, to be kept where the log is verified.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.verifier.clone()
    }

    pub(super) fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        let signature = self.pair.try_sign(text).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("name", &self.name())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aws_lc_rs::encoding::AsBigEndian as _;

    use super::*;

    const NAME: &str = "jitney.example/audit";

    fn code_of(text: &str) -> &'static str {
        text.parse::<VerifierKey>().unwrap_err().code()
    }

    #[test]
    fn a_verifier_key_reads_back_as_itself() {
        let seed = SigningKey::fresh_seed().unwrap();
        let key = SigningKey::from_seed(NAME, &seed).unwrap().verifier();
        assert_eq!(key.to_string().parse::<VerifierKey>().unwrap(), key);
        assert_ne!(*seed, *SigningKey::fresh_seed().unwrap());
    }

    #[test]
    fn a_seed_and_its_pkcs8_document_are_one_key() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let seed = pair.seed().unwrap().as_be_bytes().unwrap();
        let seed = *seed.as_ref().first_chunk().unwrap();
        let from_seed = SigningKey::from_seed(NAME, &seed).unwrap();
        for document in [pair.to_pkcs8().unwrap(), pair.to_pkcs8v1().unwrap()] {
            let from_pkcs8 = SigningKey::from_pkcs8(NAME, document.as_ref()).unwrap();
            assert_eq!(from_pkcs8.verifier(), from_seed.verifier());
        }
        let refusal = SigningKey::from_pkcs8(NAME, &seed).unwrap_err();
        assert_eq!(refusal.code(), "key_secret_bad");
    }

    #[test]
    fn a_signing_key_prints_its_name_and_nothing_secret() {
        let key = SigningKey::from_seed(NAME, b"canary-canary-canary-canary-1234").unwrap();
        let expected = format!(
            "SigningKey {{ name: \"{NAME}\", id: KeyId({}), .. }}",
            key.id()
        );
        assert_eq!(format!("{key:?}"), expected);
    }

    #[test]
    fn only_verifier_keys_are_verifier_keys() {
        let key = SigningKey::from_seed(NAME, &[7; SEED_LENGTH]).unwrap();
        let (text, id) = (key.verifier().to_string(), key.id().to_string());
        assert_eq!(code_of(""), "key_form_bad");
        assert_eq!(code_of(&text.replace('+', " ")), "key_form_bad");
        assert_eq!(
            code_of(text.trim_end_matches('=').get(..60).unwrap()),
            "key_form_bad"
        );
        assert_eq!(code_of(&text.replace(NAME, "")), "key_name_bad");
        assert_eq!(code_of(&text.replace(NAME, "a b")), "key_name_bad");
        assert_eq!(
            code_of(&text.replace(NAME, &"a".repeat(256))),
            "key_name_bad"
        );
        assert_eq!(code_of(&text.replace(NAME, "other")), "key_id_wrong");
        assert_eq!(code_of(&text.replace(&id, "00000000")), "key_id_wrong");
        assert_eq!(code_of(&text.replace(&id, "0x345678")), "key_form_bad");
        assert_eq!(code_of(&text.replace(&id, "123")), "key_form_bad");
        let capitals = id.to_ascii_uppercase();
        assert_ne!(capitals, id);
        assert_eq!(code_of(&text.replace(&id, &capitals)), "key_form_bad");
        let other_kind = STANDARD.encode([[4].as_slice(), &[0; 32]].concat());
        assert_eq!(
            code_of(&format!("{NAME}+{id}+{other_kind}")),
            "key_kind_unknown"
        );
        let too_short = STANDARD.encode([[1].as_slice(), &[0; 31]].concat());
        assert_eq!(code_of(&format!("{NAME}+{id}+{too_short}")), "key_form_bad");
    }
}
