//! Signed tokens in compact form (RFC 7515), from bytes that nobody has vouched for to claims that
//! a key has signed. [`Unverified`] shows as little as possible: the header, and one claim that
//! chooses the issuer. Only [`Unverified::signed_by`] makes [`SignedClaims`].

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use crate::algorithm::{Algorithm, VerifyingKey};
use crate::refusal::{Refusal, RefusalCode, seen};

/// The longest `kid` that is looked up.
pub(crate) const KID_BYTES_MAX: usize = 256;

/// Header members that make the verifier fetch, trust or misread something the sender chose. A
/// token that carries one is refused whatever its signature.
const NEVER_HONOURED: &[&str] = &[
    "jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty",
];

/// A JSON object without repeated names. `serde_json` keeps the last of two; a reader that keeps
/// the first would then see another token than we do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object(pub(crate) BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name is repeated"));
                    }
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl Object {
    /// Reads the base64url part of a token. The error says what is wrong in words for people.
    pub(crate) fn from_part(part: &str) -> Result<Self, &'static str> {
        let bytes = URL_SAFE_NO_PAD
            .decode(part)
            .map_err(|_| "is not base64url without padding")?;
        serde_json::from_slice(&bytes)
            .map_err(|_| "is not a JSON object, or repeats one of its names")
    }
}

/// The three parts of a compact token.
pub(crate) struct Parts<'a> {
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
    /// Header and payload with the dot between them: what was signed.
    pub(crate) signed: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits a text into the three parts, of which only the signature may be empty (so that an
    /// unsigned token is refused for its algorithm and not for its shape).
    pub(crate) fn split(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let whole = !header.is_empty() && !payload.is_empty() && !payload.contains('.');
        whole.then_some(Self {
            header,
            payload,
            signature,
            signed,
        })
    }
}

/// A token of which only the shape is known.
pub(crate) struct Unverified<'a> {
    parts: Parts<'a>,
    algorithm: Algorithm,
    kid: String,
    claims: Object,
}

impl<'a> Unverified<'a> {
    /// Reads a token of at most `bytes_max` bytes. The header is judged before anything else.
    ///
    /// # Errors
    /// `token_too_long`, `bad_token`, `bad_header`, `bad_alg`, or `unknown_key` for a `kid` that
    /// no issuer would publish.
    pub(crate) fn read(unverified_token: &'a str, bytes_max: usize) -> Result<Self, Refusal> {
        if unverified_token.len() > bytes_max {
            return Err(Refusal::new(
                RefusalCode::TokenTooLong,
                format!(
                    "the token has {} bytes, at most {bytes_max} are read",
                    unverified_token.len()
                ),
            ));
        }
        let parts = Parts::split(unverified_token).ok_or_else(|| {
            Refusal::new(
                RefusalCode::BadToken,
                "a token has three parts of base64url with dots between them; this text has not",
            )
        })?;
        let header = Object::from_part(parts.header).map_err(|wrong| {
            Refusal::new(
                RefusalCode::BadHeader,
                format!("the token's header {wrong}"),
            )
        })?;
        let (algorithm, kid) = judge_header(&header)?;
        let claims = Object::from_part(parts.payload).map_err(|wrong| {
            Refusal::new(
                RefusalCode::BadToken,
                format!("the token's payload {wrong}"),
            )
        })?;
        Ok(Self {
            parts,
            algorithm,
            kid,
            claims,
        })
    }

    /// The algorithm that the header names: one of ours, not yet one of the issuer's.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that the header names: short and printable, nothing more is known.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The issuer that the token claims to come from. It may only be used to choose a row of the
    /// issuer table.
    pub(crate) fn unverified_issuer(&self) -> Result<&str, Refusal> {
        match self.claims.0.get("iss") {
            None | Some(Value::Null) => Err(Refusal::new(
                RefusalCode::MissingClaim,
                "the token has no claim `iss`",
            )),
            Some(Value::String(issuer)) => Ok(issuer),
            Some(_) => Err(Refusal::new(
                RefusalCode::BadClaim,
                "the token's claim `iss` is not a string",
            )),
        }
    }

    /// The claims, once `key` has been shown to have signed them.
    ///
    /// # Errors
    /// `bad_signature`.
    pub(crate) fn signed_by(self, key: &VerifyingKey) -> Result<SignedClaims, Refusal> {
        if key.verifies(
            self.algorithm,
            self.parts.signed.as_bytes(),
            self.parts.signature,
        ) {
            Ok(SignedClaims(self.claims.0))
        } else {
            Err(Refusal::new(
                RefusalCode::BadSignature,
                format!(
                    "the token's signature does not fit its issuer's key `{}`",
                    seen(&self.kid)
                ),
            ))
        }
    }
}

/// Claims whose signature was checked. Nothing else makes one.
pub(crate) struct SignedClaims(BTreeMap<String, Value>);

impl SignedClaims {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter()
    }

    /// Claims as if a key had signed them.
    #[cfg(test)]
    pub(crate) fn pretend_signed(claims: BTreeMap<String, Value>) -> Self {
        Self(claims)
    }
}

fn judge_header(header: &Object) -> Result<(Algorithm, String), Refusal> {
    for name in NEVER_HONOURED {
        if header.0.contains_key(*name) {
            return Err(Refusal::new(
                RefusalCode::BadHeader,
                format!("the token's header carries `{name}`, which is never honoured"),
            ));
        }
    }
    let algorithm = named_algorithm(header)?;
    // A proof or an access token of the same issuer must not pass for an identity token.
    match header.0.get("typ") {
        None => {}
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("JWT") => {}
        Some(_) => {
            return Err(Refusal::new(
                RefusalCode::BadHeader,
                "the token's header has a `typ` other than `JWT`",
            ));
        }
    }
    let Some(Value::String(kid)) = header.0.get("kid") else {
        return Err(Refusal::new(
            RefusalCode::BadHeader,
            "the token's header names no key (`kid`)",
        ));
    };
    if !is_printable(kid) || kid.is_empty() || kid.len() > KID_BYTES_MAX {
        return Err(Refusal::new(
            RefusalCode::UnknownKey,
            format!(
                "the key `{}` is unknown: a key's name is 1 to {KID_BYTES_MAX} printable \
                 characters",
                seen(kid)
            ),
        ));
    }
    Ok((algorithm, kid.clone()))
}

/// The `alg` of a header, if it is one that is ever honoured. `none` and the shared-secret
/// algorithms are not among them, so a public key can never be used as a secret.
pub(crate) fn named_algorithm(header: &Object) -> Result<Algorithm, Refusal> {
    let named = match header.0.get("alg") {
        Some(Value::String(name)) => name.as_str(),
        _ => "",
    };
    Algorithm::from_name(named).ok_or_else(|| {
        Refusal::new(
            RefusalCode::BadAlg,
            format!(
                "the algorithm `{}` is not accepted; expected one of {}",
                seen(named),
                Algorithm::names()
            ),
        )
    })
}

/// Printable ASCII, space included.
pub(crate) fn is_printable(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn part(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    fn refused(header: &str) -> RefusalCode {
        let token = format!("{}.{}.", part(header), part("{}"));
        match Unverified::read(&token, 10_000) {
            Ok(_) => panic!("accepted {header}"),
            Err(refusal) => refusal.code,
        }
    }

    #[test]
    fn a_plain_header_is_read() {
        let token = format!(
            "{}.{}.AA",
            part(r#"{"alg":"RS256","kid":"k 1","typ":"jwt","x5t":"thumb","unknown":1}"#),
            part(r#"{"iss":"https://ci.example"}"#)
        );
        let unverified = Unverified::read(&token, token.len()).ok().unwrap();
        assert_eq!(unverified.kid(), "k 1");
        assert_eq!(
            unverified.unverified_issuer().unwrap(),
            "https://ci.example"
        );
    }

    #[test]
    fn headers_that_ask_for_trust_are_refused() {
        for name in NEVER_HONOURED {
            for value in ["null", "true", r#""https://evil.example""#, "[]"] {
                let header = format!(r#"{{"alg":"RS256","kid":"k","{name}":{value}}}"#);
                assert_eq!(refused(&header), RefusalCode::BadHeader, "{header}");
            }
        }
    }

    #[test]
    fn algorithms_without_a_public_key_are_refused() {
        for alg in [
            "none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "", "rs256", "RS256 ",
            "ES256K",
        ] {
            let header = format!(r#"{{"alg":"{alg}","kid":"k"}}"#);
            assert_eq!(refused(&header), RefusalCode::BadAlg, "{alg}");
        }
        for header in [
            r#"{"kid":"k"}"#,
            r#"{"alg":null,"kid":"k"}"#,
            r#"{"alg":["RS256"],"kid":"k"}"#,
        ] {
            assert_eq!(refused(header), RefusalCode::BadAlg, "{header}");
        }
    }

    #[test]
    fn a_header_that_two_readers_could_read_differently_is_refused() {
        for header in [
            r#"{"alg":"none","alg":"RS256","kid":"k"}"#,
            r#"{"alg":"RS256","kid":"a","kid":"b"}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":"k","typ":"dpop+jwt"}"#,
            r#"{"alg":"RS256","kid":"k","typ":"at+jwt"}"#,
            r#"{"alg":"RS256","kid":"k","typ":7}"#,
            r#"{"alg":"RS256","kid":"k"} "#.repeat(2).as_str(),
            "[]",
            "null",
            "\"RS256\"",
        ] {
            assert_eq!(refused(header), RefusalCode::BadHeader, "{header}");
        }
    }

    #[test]
    fn a_key_name_no_issuer_would_publish_is_unknown() {
        for kid in ["", "a\\u0000b", "\\n", "ä", &"k".repeat(KID_BYTES_MAX + 1)] {
            let header = format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#);
            assert_eq!(refused(&header), RefusalCode::UnknownKey, "{kid}");
        }
    }

    #[test]
    fn texts_that_are_not_tokens_are_refused() {
        let good = part(r#"{"alg":"RS256","kid":"k"}"#);
        for text in [
            String::new(),
            "a".into(),
            "a.b".into(),
            "..".into(),
            format!("{good}..AA"),
            format!("{good}.e30.AA.BB.CC"),
            format!("{good}.bm90IGpzb24.AA"),
            format!("{good}.e30=.AA"),
            format!("{good}.{}.AA", part(r#"{"iss":"a","iss":"b"}"#)),
        ] {
            let refusal = Unverified::read(&text, 10_000).err().unwrap();
            assert_eq!(refusal.code, RefusalCode::BadToken, "{text}");
        }
    }

    #[test]
    fn length_is_judged_before_anything_is_decoded() {
        let text = "a".repeat(101);
        assert_eq!(
            Unverified::read(&text, 100).err().unwrap().code,
            RefusalCode::TokenTooLong
        );
        assert_eq!(
            Unverified::read(&text, 101).err().unwrap().code,
            RefusalCode::BadToken
        );
    }
}
