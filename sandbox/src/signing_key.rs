//! RSA keys that sign tokens, and how they are published.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// One RSA key of 2048 bits, with the id it is published under.
pub(crate) struct SigningKey {
    pair: RsaKeyPair,
    kid: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl SigningKey {
    /// A fresh key; `None` when the system gives no randomness.
    pub(crate) fn generate() -> Option<Self> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
        let (modulus, exponent) = public_integers(pair.public_key().as_ref())?;
        // GitHub's key ids are 40 capital hex digits.
        let thumbprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &modulus);
        let kid = thumbprint
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        Some(Self {
            pair,
            kid,
            modulus,
            exponent,
        })
    }

    pub(crate) fn pair(&self) -> &RsaKeyPair {
        &self.pair
    }

    /// The id the key is published under.
    pub(crate) fn id(&self) -> &str {
        &self.kid
    }

    /// The header of an honest token under this key.
    pub(crate) fn header(&self) -> Value {
        let x5t = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &self.modulus));
        json!({ "alg": "RS256", "kid": self.kid, "typ": "JWT", "x5t": x5t })
    }

    /// The public half as a JSON Web Key.
    pub(crate) fn jwk(&self) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": URL_SAFE_NO_PAD.encode(&self.modulus),
            "e": URL_SAFE_NO_PAD.encode(&self.exponent),
        })
    }

    /// A token of these claims, signed with RS256.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> Option<String> {
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = rand::SystemRandom::new();
        self.pair
            .sign(&RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature)
            .ok()?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Some(token)
    }

    /// The signature over a SHA-256 digest, RSA PKCS#1 v1.5.
    pub(crate) fn sign_digest(&self, digest: &[u8]) -> Option<Vec<u8>> {
        let digest = digest::Digest::import_less_safe(digest, &digest::SHA256).ok()?;
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature)
            .ok()?;
        Some(signature)
    }

    /// The public half as a PEM file: what a thief feeds to a verifier that takes the algorithm
    /// from the token, so that a published key becomes a shared secret.
    pub(crate) fn public_pem(&self) -> Option<String> {
        let der: PublicKeyX509Der<'_> = self.pair.public_key().as_der().ok()?;
        let body = STANDARD.encode(der.as_ref());
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for (position, letter) in body.chars().enumerate() {
            if position > 0 && position % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push_str("\n-----END PUBLIC KEY-----\n");
        Some(pem)
    }
}

/// The modulus and exponent of an `RSAPublicKey` (RFC 8017, A.1.1): a sequence of two integers.
fn public_integers(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (sequence, _) = der_value(der, 0x30)?;
    let (modulus, rest) = der_value(sequence, 0x02)?;
    let (exponent, _) = der_value(rest, 0x02)?;
    Some((unsigned(modulus), unsigned(exponent)))
}

/// The value of the first element, which must have this tag, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(first) {
        short @ 0..=0x7f => (short, rest),
        long => {
            let (digits, rest) = rest.split_at_checked(long & 0x7f)?;
            let length = digits
                .iter()
                .fold(0_usize, |sum, &d| (sum << 8) | usize::from(d));
            (length, rest)
        }
    };
    if found == tag {
        rest.split_at_checked(length)
    } else {
        None
    }
}

/// An integer without the zero byte that DER puts in front to keep it positive.
fn unsigned(integer: &[u8]) -> Vec<u8> {
    let zeros = integer.iter().take_while(|&&byte| byte == 0).count();
    integer.iter().skip(zeros).copied().collect()
}
