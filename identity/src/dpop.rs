//! Proof that the caller holds a key (DPoP, RFC 9449). The client makes a key, signs each call with
//! it, and its first call binds request and lease to the key's thumbprint. A token copied from a log
//! is then worth nothing without the key, and a proof copied from the wire is good for one call that
//! was already made.

use core::time::Duration;
use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jitney_core::principal::{KeyThumbprint, OnceKey};
use jitney_core::time::Timestamp;
use serde_json::Value;
use url::Url;

use crate::algorithm::{Algorithm, VerifyingKey};
use crate::compact::{Object, Parts, is_printable, named_algorithm};
use crate::once::once_key;
use crate::refusal::{Refusal, RefusalCode, seen};

pub use crate::replay::{ReplayBounds, ReplayWindow};

/// The longest proof that is read, in bytes.
pub const PROOF_BYTES_MAX: usize = 4096;
/// How far a proof's `iat` may be from our clock, before and after.
pub const PROOF_AGE_MAX: Duration = Duration::from_secs(60);
/// The longest `jti` of a proof.
pub const PROOF_JTI_BYTES_MAX: usize = 128;

/// The algorithms that clients may use: short keys, made in no time.
const ALGORITHMS: &[Algorithm] = &[Algorithm::ES256, Algorithm::EdDSA];

/// How much longer than it is valid a proof is remembered.
const REMEMBER_MARGIN: Duration = Duration::from_secs(5);

/// Header members that are never honoured. `jwk` is the point of a proof and is not among them.
const NEVER_HONOURED: &[&str] = &["jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty"];

/// What a proof has to prove.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The call's method, upper case.
    pub method: &'a str,
    /// The address of the call as the client knows it. Query and fragment do not count.
    pub url: &'a Url,
    /// The present instant.
    pub now: Timestamp,
    /// The key that the call is bound to; none on the first call.
    pub key: Option<&'a KeyThumbprint>,
    /// The token that comes with the call; its hash then has to be in the proof.
    pub token: Option<&'a str>,
}

/// A proof that was believed. It says nothing about having been used before: that is for
/// [`ReplayWindow::admit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpopProof {
    /// The key that signed.
    pub thumbprint: KeyThumbprint,
    /// What makes the proof usable once.
    pub once: OnceKey,
    /// `iat`.
    pub issued_at: Timestamp,
    /// Until when `once` is remembered: past the last instant at which the proof is believed.
    pub remember_until: Timestamp,
}

/// Checks a proof against the call that it came with.
///
/// # Errors
/// `proof_too_long`, `bad_proof`, `bad_alg`, `bad_signature`, `proof_mismatch`, `proof_too_old`,
/// `proof_not_yet_valid` or `proof_key_mismatch`.
pub fn verify(unverified_proof: &str, expected: &Expected<'_>) -> Result<DpopProof, Refusal> {
    if unverified_proof.len() > PROOF_BYTES_MAX {
        return Err(Refusal::new(
            RefusalCode::ProofTooLong,
            format!(
                "the proof has {} bytes, at most {PROOF_BYTES_MAX} are read",
                unverified_proof.len()
            ),
        ));
    }
    let parts = Parts::split(unverified_proof)
        .ok_or_else(|| bad("the proof has not three parts of base64url with dots between them"))?;
    let header = Object::from_part(parts.header)
        .map_err(|wrong| bad(&format!("the proof's header {wrong}")))?;
    let (algorithm, key, thumbprint) = judge_header(&header)?;
    if !key.verifies(algorithm, parts.signed.as_bytes(), parts.signature) {
        return Err(Refusal::new(
            RefusalCode::BadSignature,
            "the proof's signature does not fit the key in its header",
        ));
    }
    let claims = Object::from_part(parts.payload)
        .map_err(|wrong| bad(&format!("the proof's payload {wrong}")))?;
    let jti = text(&claims, "jti")?;
    if jti.len() > PROOF_JTI_BYTES_MAX || !is_printable(jti) {
        return Err(bad(
            "the proof's `jti` is not 1 to 128 printable characters",
        ));
    }
    judge_call(&claims, expected)?;
    let issued_at = judge_time(&claims, expected.now)?;
    if let Some(bound) = expected.key
        && *bound != thumbprint
    {
        return Err(Refusal::with_log(
            RefusalCode::ProofKeyMismatch,
            "the proof was made by another key than the one this request or lease is bound to",
            format!("the proof was made by key `{thumbprint}`, expected `{bound}`"),
        ));
    }
    Ok(DpopProof {
        once: once_key(&["dpop", &thumbprint.0, jti]),
        thumbprint,
        issued_at,
        remember_until: issued_at.plus(PROOF_AGE_MAX).plus(REMEMBER_MARGIN),
    })
}

/// The key that a proof shows, with its algorithm and thumbprint.
fn judge_header(header: &Object) -> Result<(Algorithm, VerifyingKey, KeyThumbprint), Refusal> {
    for name in NEVER_HONOURED {
        if header.0.contains_key(*name) {
            return Err(bad(&format!(
                "the proof's header carries `{name}`, which is never honoured"
            )));
        }
    }
    // Without this an identity token signed by a key of the caller's choosing could be a proof.
    if header.0.get("typ") != Some(&Value::from("dpop+jwt")) {
        return Err(bad("the proof's header has a `typ` other than `dpop+jwt`"));
    }
    let algorithm = named_algorithm(header)?;
    if !ALGORITHMS.contains(&algorithm) {
        return Err(Refusal::new(
            RefusalCode::BadAlg,
            format!("the proof's algorithm is `{algorithm}`; expected `ES256` or `EdDSA`"),
        ));
    }
    let jwk: BTreeMap<String, Value> = match header.0.get("jwk") {
        Some(Value::Object(members)) => members.clone().into_iter().collect(),
        _ => return Err(bad("the proof's header shows no key (`jwk`)")),
    };
    let key = VerifyingKey::from_jwk(&jwk, &[algorithm])
        .map_err(|wrong| bad(&format!("the proof's key {wrong}")))?;
    let thumbprint = thumbprint(&jwk).ok_or_else(|| bad("the proof's key lacks a part"))?;
    Ok((algorithm, key, thumbprint))
}

/// The thumbprint of a public key (RFC 7638): the hash of its required members in a fixed order.
fn thumbprint(jwk: &BTreeMap<String, Value>) -> Option<KeyThumbprint> {
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    let names: &[&str] = match member("kty")? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let mut members = Vec::new();
    for name in names {
        // Checked before: base64url and names of curves need no escapes.
        members.push(format!("\"{name}\":\"{}\"", member(name)?));
    }
    let canonical = format!("{{{}}}", members.join(","));
    Some(KeyThumbprint(hash(&canonical)))
}

/// The proof is for this method, this address and, when one came along, this token.
fn judge_call(claims: &Object, expected: &Expected<'_>) -> Result<(), Refusal> {
    let mismatch = |what: &str, proved: &str, wanted: &str| {
        Refusal::new(
            RefusalCode::ProofMismatch,
            format!(
                "the proof is for {what} `{}`, the call is `{wanted}`",
                seen(proved)
            ),
        )
    };
    let method = text(claims, "htm")?;
    if method != expected.method {
        return Err(mismatch("method", method, expected.method));
    }
    let address = text(claims, "htu")?;
    let called = bare(expected.url);
    let proved = Url::parse(address).map_err(|_| bad("the proof's `htu` is not a URL"))?;
    if bare(&proved) != called {
        return Err(mismatch("address", address, &called));
    }
    if let Some(token) = expected.token
        && text(claims, "ath")? != hash(token)
    {
        return Err(Refusal::new(
            RefusalCode::ProofMismatch,
            "the proof is for another token than the one it came with (`ath`)",
        ));
    }
    Ok(())
}

/// A URL as it is compared: normalised, without query and fragment (RFC 9449, section 4.3).
fn bare(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn judge_time(claims: &Object, now: Timestamp) -> Result<Timestamp, Refusal> {
    let issued_at = claims
        .0
        .get("iat")
        .and_then(Value::as_i64)
        .map(Timestamp::from_seconds)
        .ok_or_else(|| bad("the proof has no `iat` in whole seconds since 1970"))?;
    let window = PROOF_AGE_MAX.as_secs();
    if now > issued_at.plus(PROOF_AGE_MAX) {
        return Err(Refusal::new(
            RefusalCode::ProofTooOld,
            format!("the proof was made at {issued_at}, it is {now}; at most {window} s may pass"),
        ));
    }
    if issued_at > now.plus(PROOF_AGE_MAX) {
        return Err(Refusal::new(
            RefusalCode::ProofNotYetValid,
            format!("the proof was made at {issued_at}, it is {now}; check the client's clock"),
        ));
    }
    Ok(issued_at)
}

fn text<'a>(claims: &'a Object, name: &str) -> Result<&'a str, Refusal> {
    claims
        .0
        .get(name)
        .and_then(Value::as_str)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| bad(&format!("the proof has no `{name}`")))
}

/// base64url of the SHA-256 digest, as thumbprints and `ath` are written.
fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

fn bad(wrong: &str) -> Refusal {
    Refusal::new(RefusalCode::BadProof, wrong)
}
