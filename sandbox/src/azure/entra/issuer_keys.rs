//! The keys of issuers that apps trust, fetched from the issuers themselves and kept for a while.
//!
//! They are fetched anew when they are a day old, and when an assertion names a key that is not among them. A key
//! that an issuer withdrew is therefore still good for the rest of the day, as it is at Entra.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};

/// How long keys are kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);
/// The longest an issuer may take.
const FETCH_MAX: Duration = Duration::from_secs(5);
/// The largest document an issuer may answer.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

#[derive(Default)]
pub(crate) struct IssuerKeys {
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Clone)]
struct Kept {
    fetched: Timestamp,
    keys: Vec<IssuerKey>,
}

/// A public RSA key.
#[derive(Clone, Debug)]
pub(super) struct IssuerKey {
    id: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl IssuerKey {
    pub(super) fn verifies(&self, message: &str, signature: &[u8]) -> bool {
        let public = RsaPublicKeyComponents {
            n: &self.modulus,
            e: &self.exponent,
        };
        public
            .verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), signature)
            .is_ok()
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl IssuerKeys {
    /// The issuer's key of this id; `Ok(None)` when it has none, `Err` when the issuer cannot be asked.
    pub(super) async fn find(
        &self,
        issuer: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<IssuerKey>, String> {
        let kept = self
            .kept(issuer)
            .filter(|kept| now.duration_since(kept.fetched) < KEPT_FOR);
        let named = |keys: &[IssuerKey]| keys.iter().find(|key| key.id == id).cloned();
        if let Some(key) = kept.and_then(|kept| named(&kept.keys)) {
            return Ok(Some(key));
        }
        let keys = fetch(issuer).await?;
        let found = named(&keys);
        self.lock()
            .insert(issuer.to_owned(), Kept { fetched: now, keys });
        Ok(found)
    }

    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    fn kept(&self, issuer: &str) -> Option<Kept> {
        self.lock().get(issuer).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(issuer: &str) -> Result<Vec<IssuerKey>, String> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(FETCH_MAX)
        .build()
        .map_err(|error| error.to_string())?;
    let place = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let discovery: Discovery = document(&client, &place).await?;
    if discovery.issuer != issuer {
        return Err(format!("`{place}` says that it is `{}`", discovery.issuer));
    }
    let set: KeySet = document(&client, &discovery.jwks_uri).await?;
    Ok(set.keys.into_iter().filter_map(read_key).collect())
}

async fn document<T: DeserializeOwned>(client: &reqwest::Client, place: &str) -> Result<T, String> {
    let failed = |error: reqwest::Error| format!("`{place}`: {error}");
    let url: Url = place
        .parse()
        .map_err(|error| format!("`{place}`: {error}"))?;
    if !is_loopback(&url) {
        return Err(format!(
            "`{place}` is not on loopback, and the sandbox asks nobody else"
        ));
    }
    let mut response = client.get(url).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(format!("`{place}` answers {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > DOCUMENT_BYTES_MAX {
            return Err(format!(
                "`{place}` is larger than {DOCUMENT_BYTES_MAX} bytes"
            ));
        }
    }
    serde_json::from_slice(&body).map_err(|error| format!("`{place}`: {error}"))
}

/// Plain HTTP is fine here and nowhere else: nobody but this machine can listen.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn read_key(jwk: Jwk) -> Option<IssuerKey> {
    if jwk.kty != "RSA" {
        return None;
    }
    Some(IssuerKey {
        id: jwk.kid?,
        modulus: URL_SAFE_NO_PAD.decode(jwk.n?).ok()?,
        exponent: URL_SAFE_NO_PAD.decode(jwk.e?).ok()?,
    })
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
    fn only_loopback_is_asked() {
        for (url, asked) in [
            ("http://127.0.0.1:1/", true),
            ("http://localhost/", true),
            ("https://[::1]/", true),
            ("http://localhost.example.org/", false),
            ("https://login.example.org/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), asked, "{url}");
        }
    }
}
