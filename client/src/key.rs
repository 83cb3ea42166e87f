//! The key of one run, and the proofs it makes (DPoP, RFC 9449). It lives in this process's memory
//! and nowhere else: whoever has only the CI token, or only a lease's id, can do nothing with it.

use core::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::Url;

use crate::token::CiToken;

/// Bytes of one coordinate of a P-256 point.
const COORDINATE_BYTES: usize = 32;

/// The system gave no randomness, or would not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's cryptography does not work: no key could be made or used")]
pub struct NoKey;

/// An ES256 key, made for one run.
pub struct Key {
    pair: EcdsaKeyPair,
    x: String,
    y: String,
}

impl Key {
    /// A fresh key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, NoKey> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| NoKey)?;
        // SEC 1, 2.3.3: 0x04, then x, then y.
        let point = pair.public_key().as_ref();
        let coordinates = point.strip_prefix(&[4]).ok_or(NoKey)?;
        let (x, y) = coordinates
            .split_at_checked(COORDINATE_BYTES)
            .filter(|(_, y)| y.len() == COORDINATE_BYTES)
            .ok_or(NoKey)?;
        let (x, y) = (encode(x), encode(y));
        Ok(Self { pair, x, y })
    }

    /// Proves possession for one call. `issued_at` is in seconds since 1970, by the broker's
    /// clock; with a CI token the proof is good beside that token only.
    pub(crate) fn prove(
        &self,
        method: &str,
        url: &Url,
        token: Option<&CiToken>,
        issued_at: i64,
    ) -> Result<String, NoKey> {
        let mut address = url.clone();
        address.set_query(None);
        address.set_fragment(None);
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() });
        let mut claims = json!({
            "jti": random_name()?,
            "htm": method,
            "htu": address.as_str(),
            "iat": issued_at,
        });
        if let (Some(token), Some(claims)) = (token, claims.as_object_mut()) {
            let hash = encode(digest(&SHA256, token.reveal().as_bytes()).as_ref());
            claims.insert("ath".to_owned(), Value::String(hash));
        }
        let signed = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let signature = self
            .pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| NoKey)?;
        Ok(format!("{signed}.{}", encode(signature.as_ref())))
    }

    fn jwk(&self) -> Value {
        json!({ "kty": "EC", "crv": "P-256", "x": self.x, "y": self.y })
    }

    /// The key's name: RFC 7638 over SHA-256, in base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // The members in this order and without blanks are the RFC's canonical form.
        let canonical = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            self.x, self.y
        );
        encode(digest(&SHA256, canonical.as_bytes()).as_ref())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("thumbprint", &self.thumbprint())
            .finish_non_exhaustive()
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// 256 random bits in base64url: a name nobody else has, or a secret nobody can guess.
pub(crate) fn random_name() -> Result<String, NoKey> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).map_err(|_| NoKey)?;
    Ok(encode(&bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

    /// Reads a proof with other code than wrote it.
    fn read(proof: &str, key: &Jwk) -> jsonwebtoken::errors::Result<Value> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let key = DecodingKey::from_jwk(key)?;
        decode::<Value>(proof, &key, &validation).map(|data| data.claims)
    }

    #[test]
    fn a_proof_is_one_by_rfc_9449() {
        let key = Key::generate().unwrap();
        let url = Url::parse("https://broker.example/v1/requests?wait_seconds=5").unwrap();
        let token = CiToken::new("a.b.c".to_owned());
        let proof = key
            .prove("POST", &url, Some(&token), 1_795_392_000)
            .unwrap();
        let header = decode_header(&proof).unwrap();
        assert_eq!(header.typ.as_deref(), Some("dpop+jwt"));
        let jwk = header.jwk.unwrap();
        let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).unwrap();
        assert_eq!(thumbprint, key.thumbprint());
        let claims = read(&proof, &jwk).unwrap();
        assert_eq!(claims["htm"], "POST");
        assert_eq!(claims["htu"], "https://broker.example/v1/requests");
        assert_eq!(claims["iat"], 1_795_392_000);
        // SHA-256 of `a.b.c`, computed by `printf a.b.c | openssl dgst -sha256 -binary | basenc --base64url`.
        assert_eq!(claims["ath"], "hF4wRIgJ4ryJWOsCW_x5UjXROwd6U9DDq70jhRcNybg");
    }

    #[test]
    fn no_two_proofs_and_no_two_keys_are_the_same() {
        let (one, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        assert_ne!(one.thumbprint(), other.thumbprint());
        let url = Url::parse("https://broker.example/").unwrap();
        let first = one.prove("GET", &url, None, 1).unwrap();
        let second = one.prove("GET", &url, None, 1).unwrap();
        let jwk = decode_header(&first).unwrap().jwk.unwrap();
        assert_ne!(
            read(&first, &jwk).unwrap()["jti"],
            read(&second, &jwk).unwrap()["jti"]
        );
        assert_eq!(read(&first, &jwk).unwrap()["ath"], Value::Null);
        // The other key's proof does not pass for this one's.
        let foreign = other.prove("GET", &url, None, 1).unwrap();
        assert!(read(&foreign, &jwk).is_err());
    }

    #[test]
    fn debug_shows_the_thumbprint_alone() {
        let key = Key::generate().unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains(&key.thumbprint()) && !shown.contains(&key.x));
    }
}
