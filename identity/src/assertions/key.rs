//! Keys that sign assertions: RSA, because RS256 is all that Azure's federated credentials take. As
//! a file a key is PKCS #8 in PEM, so that other programs can make and read it too; of one that lies
//! elsewhere only the public half is here.

use core::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// The characters of a line in PEM (RFC 7468).
const LINE_CHARACTERS: usize = 64;

/// Tags of DER.
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// The fewest bits of a modulus that is safe, and the most that verifiers take.
const BITS_MIN: usize = 2_048;
/// See [`BITS_MIN`].
const BITS_MAX: usize = 8_192;

/// An RSA key, with its public half.
pub struct AssertionKey {
    pair: KeyPair,
    public: PublicKey,
}

/// The public half of an RSA key, with the name it is published under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kid: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// Why a file is not such a key. The file's content is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAssertionKey {
    /// Not one private key in PEM.
    #[error("it does not hold exactly one private key in PEM, from `{BEGIN}` to `{END}`")]
    NotPem,
    /// A key of another kind, a damaged one, or one that is too short.
    #[error("it does not hold a usable RSA key: expected at least 2048 bits, in PKCS #8")]
    NotRsa,
    /// Anybody could sign in its name one day, or nobody could check what it signed.
    #[error("it has {0} bits: expected {BITS_MIN} to {BITS_MAX}")]
    Bits(usize),
    /// The system gives no randomness.
    #[error("the system's cryptography makes no key")]
    Cryptography,
}

impl AssertionKey {
    /// Makes a key of 2048 bits, in PEM.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate_pem() -> Result<Zeroizing<String>, BadAssertionKey> {
        let failed = |_| BadAssertionKey::Cryptography;
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
        let body = Zeroizing::new(STANDARD.encode(der.as_ref()));
        // Room for everything at once: a string that grows leaves copies of the key behind.
        let mut pem = Zeroizing::new(String::with_capacity(body.len().saturating_mul(2)));
        pem.push_str(BEGIN);
        for (position, letter) in body.chars().enumerate() {
            if position.is_multiple_of(LINE_CHARACTERS) {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push('\n');
        pem.push_str(END);
        pem.push('\n');
        Ok(pem)
    }

    /// Reads a key.
    ///
    /// # Errors
    /// When it is not one RSA key in PEM, or too short to be safe.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadAssertionKey> {
        let der = der_of(pem).ok_or(BadAssertionKey::NotPem)?;
        let pair = KeyPair::from_pkcs8(&der).map_err(|_| BadAssertionKey::NotRsa)?;
        let public = public_integers(pair.public_key().as_ref());
        let (modulus, exponent) = public.ok_or(BadAssertionKey::NotRsa)?;
        let public = PublicKey::of(modulus, exponent)?;
        Ok(Self { pair, public })
    }

    /// The name it is published under.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// What is published of it.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// RSA PKCS#1 v1.5 with SHA-256.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair
            .sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
            .ok()?;
        Some(signature)
    }
}

impl PublicKey {
    /// The key of these two numbers, big-endian.
    ///
    /// # Errors
    /// When it is too short to be safe, or too long to be checked.
    pub fn of(modulus: &[u8], exponent: &[u8]) -> Result<Self, BadAssertionKey> {
        let (modulus, exponent) = (unsigned(modulus), unsigned(exponent));
        let spare = modulus.first().map_or(0, |byte| byte.leading_zeros());
        let bits = modulus.len().saturating_mul(8);
        let bits = bits.saturating_sub(usize::try_from(spare).unwrap_or_default());
        if !(BITS_MIN..=BITS_MAX).contains(&bits) {
            return Err(BadAssertionKey::Bits(bits));
        }
        let encoded = |number| URL_SAFE_NO_PAD.encode(number);
        Ok(Self {
            kid: thumbprint(&encoded(modulus), &encoded(exponent)),
            modulus: modulus.to_vec(),
            exponent: exponent.to_vec(),
        })
    }

    /// The name it is published under: its thumbprint (RFC 7638), so that two keys never share one.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// As a JSON Web Key.
    pub(super) fn jwk(&self) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": URL_SAFE_NO_PAD.encode(&self.modulus),
            "e": URL_SAFE_NO_PAD.encode(&self.exponent),
        })
    }

    /// Whether this key signed it: RSA PKCS#1 v1.5 with SHA-256.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let (n, e) = (&self.modulus, &self.exponent);
        PublicKeyComponents { n, e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .is_ok()
    }
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionKey")
            .field("kid", &self.kid())
            .finish_non_exhaustive()
    }
}

/// RFC 7638: the required members in alphabetical order, without a blank.
fn thumbprint(modulus: &str, exponent: &str) -> String {
    let members = format!(r#"{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

fn der_of(pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = core::str::from_utf8(pem).ok()?.trim();
    let body = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let mut joined = Zeroizing::new(String::with_capacity(body.len()));
    for line in body.split_ascii_whitespace() {
        joined.push_str(line);
    }
    STANDARD.decode(joined.as_bytes()).ok().map(Zeroizing::new)
}

/// The modulus and exponent of an `RSAPublicKey` (RFC 8017, A.1.1): a sequence of two integers.
fn public_integers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(der, SEQUENCE)?;
    let (modulus, rest) = element(sequence, INTEGER)?;
    let (exponent, _) = element(rest, INTEGER)?;
    Some((unsigned(modulus), unsigned(exponent)))
}

/// The content of the first element, which must have this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = digits.iter().fold(0_usize, |sum, digit| {
            sum.wrapping_shl(8) | usize::from(*digit)
        });
        (length, rest)
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

/// An integer without the zero bytes in front, as DER puts one before a first bit that is set.
fn unsigned(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|&&byte| byte == 0).count();
    integer.get(zeros..).unwrap_or_default()
}
