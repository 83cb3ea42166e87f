//! Signature algorithms and public keys. Only algorithms with a public key exist here: there is no
//! value for `none` or for a shared secret, so no configuration and no token can ask for one.

use core::fmt;
use std::collections::BTreeMap;

use aws_lc_rs::signature::{
    self as sig, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// RSA moduli shorter than this are not keys any more; longer than the upper end they are a way to
/// burn our time.
const RSA_MODULUS_BYTES: core::ops::RangeInclusive<usize> = 256..=1024;
/// RSA exponents are 65537 nearly everywhere; a long one only slows verification down.
const RSA_EXPONENT_BYTES_MAX: usize = 4;

/// Members of a JWK that hold a private or shared key. A published key that carries one is known to
/// everyone and proves nothing.
const SECRET_MEMBERS: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A signature algorithm (RFC 7518, RFC 8037) that can be verified with a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSA PKCS#1 v1.5 with SHA-256, which GitHub uses.
    RS256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    RS384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    RS512,
    /// RSA PSS with SHA-256.
    PS256,
    /// RSA PSS with SHA-384.
    PS384,
    /// RSA PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// Every algorithm that can be configured.
    pub const ALL: &'static [Self] = &[
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The name in a token's header, case and all.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The algorithm of exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|algorithm| algorithm.name() == name)
    }

    /// All names, for people.
    pub(crate) fn names() -> String {
        let names: Vec<_> = Self::ALL.iter().map(|a| format!("`{a}`")).collect();
        names.join(", ")
    }

    fn scheme(self) -> Scheme {
        match self {
            Self::RS256 => Scheme::Rsa(&sig::RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Scheme::Rsa(&sig::RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Scheme::Rsa(&sig::RSA_PKCS1_2048_8192_SHA512),
            Self::PS256 => Scheme::Rsa(&sig::RSA_PSS_2048_8192_SHA256),
            Self::PS384 => Scheme::Rsa(&sig::RSA_PSS_2048_8192_SHA384),
            Self::PS512 => Scheme::Rsa(&sig::RSA_PSS_2048_8192_SHA512),
            Self::ES256 => Scheme::Curve("P-256", 32, &sig::ECDSA_P256_SHA256_FIXED),
            Self::ES384 => Scheme::Curve("P-384", 48, &sig::ECDSA_P384_SHA384_FIXED),
            Self::EdDSA => Scheme::Edwards,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a key for an algorithm is written in a JWK, and what verifies with it.
enum Scheme {
    Rsa(&'static RsaParameters),
    /// The curve's name, the bytes of a coordinate, the verifier.
    Curve(&'static str, usize, &'static dyn VerificationAlgorithm),
    Edwards,
}

/// A public key together with the algorithms it may verify.
pub(crate) struct VerifyingKey {
    /// Parsed once when the key is learned, not once per token.
    usable: Vec<(Algorithm, ParsedPublicKey)>,
}

impl VerifyingKey {
    /// Reads a JWK (RFC 7517) for use with those of `allowed` that fit its type, curve, `alg`,
    /// `use` and `key_ops`. The error says what is wrong in words for the log.
    pub(crate) fn from_jwk(
        jwk: &BTreeMap<String, Value>,
        allowed: &[Algorithm],
    ) -> Result<Self, &'static str> {
        if SECRET_MEMBERS.iter().any(|name| jwk.contains_key(*name)) {
            return Err("carries a private or shared key");
        }
        if text(jwk, "use")?.is_some_and(|usage| usage != "sig") {
            return Err("is not for signatures (`use`)");
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(operations)) if operations.iter().any(|o| o == "verify") => {}
            Some(_) => return Err("is not for verifying (`key_ops`)"),
        }
        let named = text(jwk, "alg")?;
        let mut usable = Vec::new();
        let mut wrong = "fits none of the configured algorithms";
        for algorithm in allowed {
            if named.is_some_and(|name| name != algorithm.name()) {
                continue;
            }
            match parse_for(*algorithm, jwk) {
                Ok(Some(key)) => usable.push((*algorithm, key)),
                Ok(None) => {}
                Err(why) => wrong = why,
            }
        }
        if usable.is_empty() {
            Err(wrong)
        } else {
            Ok(Self { usable })
        }
    }

    /// Whether this key may be used with `algorithm` at all.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.usable.iter().any(|(fits, _)| *fits == algorithm)
    }

    /// Whether `signature` (base64url) is this key's signature of `message`.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        let Some((_, key)) = self.usable.iter().find(|(fits, _)| *fits == algorithm) else {
            return false;
        };
        URL_SAFE_NO_PAD
            .decode(signature)
            .is_ok_and(|signature| key.verify_sig(message, &signature).is_ok())
    }
}

/// The key for one algorithm; `None` when the JWK is of another type or on another curve.
fn parse_for(
    algorithm: Algorithm,
    jwk: &BTreeMap<String, Value>,
) -> Result<Option<ParsedPublicKey>, &'static str> {
    let kind = text(jwk, "kty")?.ok_or("has no type (`kty`)")?;
    let curve = text(jwk, "crv")?;
    match algorithm.scheme() {
        Scheme::Rsa(parameters) if kind == "RSA" => {
            let n = bytes(jwk, "n")?;
            let e = bytes(jwk, "e")?;
            if !RSA_MODULUS_BYTES.contains(&n.len()) || e.len() > RSA_EXPONENT_BYTES_MAX {
                return Err("has an RSA modulus or exponent of an unsafe length");
            }
            RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(parameters)
                .map(Some)
                .map_err(|_| "is not an RSA key")
        }
        Scheme::Curve(name, coordinate_bytes, verifier) if kind == "EC" && curve == Some(name) => {
            let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
            if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
                return Err("has coordinates of the wrong length");
            }
            let mut point = vec![4_u8];
            point.extend(x);
            point.extend(y);
            ParsedPublicKey::new(verifier, point)
                .map(Some)
                .map_err(|_| "is not a point of its curve")
        }
        Scheme::Edwards if kind == "OKP" && curve == Some("Ed25519") => {
            ParsedPublicKey::new(&sig::ED25519, bytes(jwk, "x")?)
                .map(Some)
                .map_err(|_| "is not an Ed25519 key")
        }
        Scheme::Rsa(_) | Scheme::Curve(..) | Scheme::Edwards => Ok(None),
    }
}

/// A text member, if the JWK has it.
fn text<'a>(jwk: &'a BTreeMap<String, Value>, name: &str) -> Result<Option<&'a str>, &'static str> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err("has a member that should be a string and is not"),
    }
}

/// A base64url member.
fn bytes(jwk: &BTreeMap<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let encoded = text(jwk, name)?.ok_or("lacks a part of the key")?;
    URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| "has a part that is not base64url without padding")
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
    use serde_json::json;

    /// The key of RFC 8037, appendix A.
    fn ed25519() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    fn p256() -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
               "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"})
    }

    fn rsa(modulus_bytes: usize) -> Value {
        let mut n = vec![0xff_u8; modulus_bytes];
        n[0] = 0x80;
        json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": "AQAB"})
    }

    fn read(jwk: &Value) -> Result<VerifyingKey, &'static str> {
        VerifyingKey::from_jwk(
            &serde_json::from_value(jwk.clone()).unwrap(),
            Algorithm::ALL,
        )
    }

    fn with(mut jwk: Value, name: &str, value: impl Into<Value>) -> Value {
        jwk[name] = value.into();
        jwk
    }

    #[test]
    fn a_key_serves_the_algorithms_of_its_kind_and_no_others() {
        for (jwk, fits) in [
            (ed25519(), vec![Algorithm::EdDSA]),
            (p256(), vec![Algorithm::ES256]),
            (
                rsa(256),
                vec![
                    Algorithm::RS256,
                    Algorithm::RS384,
                    Algorithm::RS512,
                    Algorithm::PS256,
                    Algorithm::PS384,
                    Algorithm::PS512,
                ],
            ),
            (with(rsa(256), "alg", "RS256"), vec![Algorithm::RS256]),
        ] {
            let key = read(&jwk).ok().unwrap();
            for algorithm in Algorithm::ALL {
                assert_eq!(
                    key.fits(*algorithm),
                    fits.contains(algorithm),
                    "{jwk} {algorithm}"
                );
            }
        }
    }

    #[test]
    fn the_example_signature_of_rfc_8037_verifies_and_no_other_does() {
        let key = read(&ed25519()).ok().unwrap();
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert!(key.verifies(Algorithm::EdDSA, message, signature));
        assert!(!key.verifies(Algorithm::EdDSA, b"other", signature));
        assert!(!key.verifies(Algorithm::ES256, message, signature));
        assert!(!key.verifies(Algorithm::EdDSA, message, ""));
        assert!(!key.verifies(Algorithm::EdDSA, message, "not base64url!"));
    }

    #[test]
    fn keys_that_prove_nothing_are_not_read() {
        let mut secret = Vec::new();
        for name in SECRET_MEMBERS {
            secret.push(with(p256(), name, "AAAA"));
        }
        let mut hostile = vec![
            json!({}),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "oct"}),
            json!({"kty": 7}),
            with(p256(), "crv", "P-384"),
            with(p256(), "crv", "secp256k1"),
            with(p256(), "kty", "RSA"),
            with(p256(), "use", "enc"),
            with(p256(), "use", 1),
            with(p256(), "alg", "ES384"),
            with(p256(), "alg", "none"),
            with(p256(), "alg", "HS256"),
            with(p256(), "key_ops", json!(["sign"])),
            with(p256(), "key_ops", "verify"),
            with(p256(), "x", "AAAA"),
            with(p256(), "y", p256()["x"].clone()),
            with(ed25519(), "x", "AAAA"),
            with(ed25519(), "crv", "Ed448"),
            rsa(128),
            rsa(255),
            rsa(1025),
            with(rsa(256), "e", "AQAAAAAB"),
            with(rsa(256), "n", ""),
            with(rsa(256), "n", "=="),
        ];
        hostile.append(&mut secret);
        for jwk in hostile {
            assert!(read(&jwk).is_err(), "{jwk}");
        }
    }

    #[test]
    fn uses_that_fit_are_read() {
        for jwk in [
            with(p256(), "use", "sig"),
            with(p256(), "alg", "ES256"),
            with(p256(), "key_ops", json!(["verify"])),
            with(p256(), "x5t", "whatever"),
        ] {
            assert!(read(&jwk).is_ok(), "{jwk}");
        }
    }

    #[test]
    fn only_configured_algorithms_are_served() {
        let jwk = serde_json::from_value(rsa(256)).unwrap();
        let key = VerifyingKey::from_jwk(&jwk, &[Algorithm::RS256])
            .ok()
            .unwrap();
        assert!(key.fits(Algorithm::RS256));
        assert!(!key.fits(Algorithm::RS512));
        assert!(VerifyingKey::from_jwk(&jwk, &[Algorithm::ES256]).is_err());
    }
}
