//! The set of keys that an issuer publishes (JWKS, RFC 7517), bounded and reduced to what can be
//! used. Keys of types, curves or uses that are not ours are passed over; a set without one usable
//! key is refused, so that an issuer's mishap does not make us forget the keys we have.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::algorithm::{Algorithm, VerifyingKey};
use crate::compact::{KID_BYTES_MAX, is_printable};
use crate::refusal::seen;

/// The most keys one issuer may publish.
pub(crate) const KEYS_MAX: usize = 64;

/// Usable keys by name.
pub(crate) struct KeySet {
    keys: Vec<(String, VerifyingKey)>,
}

/// What became of a search for a key.
pub(crate) enum Found<'a> {
    /// This key, which fits the algorithm.
    Key(&'a VerifyingKey),
    /// A key of that name that may not be used with the algorithm.
    OtherAlgorithm,
    /// No key of that name.
    Nothing,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a published set for use with the `allowed` algorithms. The error is for the log.
    pub(crate) fn read(body: &[u8], allowed: &[Algorithm]) -> Result<Self, String> {
        let published: Published = serde_json::from_slice(body)
            .map_err(|_| "the key set is not JSON with an array `keys`".to_owned())?;
        if published.keys.len() > KEYS_MAX {
            return Err(format!(
                "the key set has {} keys; at most {KEYS_MAX} are read",
                published.keys.len()
            ));
        }
        let mut keys: Vec<(String, VerifyingKey)> = Vec::new();
        let mut passed_over = Vec::new();
        for value in published.keys {
            match usable(value, allowed) {
                // Of two keys with one name and one use the first counts, as everywhere else.
                Ok((kid, key)) => keys.push((kid, key)),
                Err((kid, why)) => passed_over.push(format!("`{}` {why}", seen(&kid))),
            }
        }
        if !passed_over.is_empty() {
            tracing::debug!(keys = passed_over.join(", "), "keys passed over");
        }
        if keys.is_empty() {
            return Err(format!(
                "the key set has no usable key ({})",
                if passed_over.is_empty() {
                    "it is empty".to_owned()
                } else {
                    passed_over.join(", ")
                }
            ));
        }
        Ok(Self { keys })
    }

    /// The key of this name for this algorithm.
    pub(crate) fn find(&self, kid: &str, algorithm: Algorithm) -> Found<'_> {
        let mut named = self.keys.iter().filter(|(name, _)| name == kid).peekable();
        if named.peek().is_none() {
            return Found::Nothing;
        }
        named
            .find(|(_, key)| key.fits(algorithm))
            .map_or(Found::OtherAlgorithm, |(_, key)| Found::Key(key))
    }

    /// How many keys are usable.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

fn usable(
    value: Value,
    allowed: &[Algorithm],
) -> Result<(String, VerifyingKey), (String, &'static str)> {
    let jwk: BTreeMap<String, Value> =
        serde_json::from_value(value).map_err(|_| (String::new(), "is not a JSON object"))?;
    let kid = match jwk.get("kid") {
        Some(Value::String(kid)) => kid.clone(),
        _ => return Err((String::new(), "has no name (`kid`)")),
    };
    if kid.is_empty() || kid.len() > KID_BYTES_MAX || !is_printable(&kid) {
        return Err((kid, "has a name that no token may use"));
    }
    match VerifyingKey::from_jwk(&jwk, allowed) {
        Ok(key) => Ok((kid, key)),
        Err(why) => Err((kid, why)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn jwk(kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid,
               "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    fn read(keys: &Value) -> Result<KeySet, String> {
        let body = serde_json::to_vec(&json!({ "keys": keys })).unwrap();
        KeySet::read(&body, Algorithm::ALL)
    }

    #[test]
    fn keys_are_found_by_name_and_algorithm() {
        let set = read(&json!([jwk("a"), jwk("b")])).ok().unwrap();
        assert_eq!(set.len(), 2);
        assert!(matches!(set.find("a", Algorithm::EdDSA), Found::Key(_)));
        assert!(matches!(
            set.find("a", Algorithm::RS256),
            Found::OtherAlgorithm
        ));
        assert!(matches!(set.find("c", Algorithm::EdDSA), Found::Nothing));
        assert!(matches!(set.find("", Algorithm::EdDSA), Found::Nothing));
        assert!(matches!(set.find("A", Algorithm::EdDSA), Found::Nothing));
    }

    #[test]
    fn what_cannot_be_used_is_passed_over() {
        let long = "k".repeat(KID_BYTES_MAX + 1);
        let set = read(&json!([
            7,
            "key",
            {"kty": "oct", "k": "AAAA", "kid": "shared"},
            {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            jwk(""),
            jwk("a\u{0}"),
            jwk(&long),
            jwk("good"),
        ]))
        .ok()
        .unwrap();
        assert_eq!(set.len(), 1);
        assert!(matches!(set.find("good", Algorithm::EdDSA), Found::Key(_)));
    }

    #[test]
    fn a_set_without_a_usable_key_is_refused() {
        for keys in [
            json!([]),
            json!(null),
            json!({}),
            json!("keys"),
            json!([{"kty": "oct", "k": "AAAA", "kid": "shared"}]),
        ] {
            assert!(read(&keys).is_err(), "{keys}");
        }
        assert!(KeySet::read(b"<html>", Algorithm::ALL).is_err());
        assert!(KeySet::read(b"", Algorithm::ALL).is_err());
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let keys =
            |count: usize| json!((0..count).map(|n| jwk(&n.to_string())).collect::<Vec<_>>());
        assert_eq!(read(&keys(KEYS_MAX)).ok().unwrap().len(), KEYS_MAX);
        assert!(
            read(&keys(KEYS_MAX + 1))
                .err()
                .unwrap()
                .contains("at most 64")
        );
    }
}
