//! Fetching an issuer's documents: bounded in time and size, without redirects, proxies or retries,
//! and only from addresses that the issuer may be at. Whoever can make the broker fetch should find
//! nothing to gain from it.

use core::time::Duration;

use jitney_core::time::Timestamp;
use reqwest::header::{ACCEPT, CACHE_CONTROL};
use reqwest::redirect::Policy;
use serde::Deserialize;
use url::Url;

use crate::addresses::{JudgingResolver, Reach};
use crate::issuers::{Issuer, KeysAt};
use crate::keys::KeySet;
use crate::refusal::seen;

/// The longest that one document may take, from connecting to its last byte.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 100 * 1024;

/// How long keys are fresh when the issuer does not say.
const FRESH_DEFAULT: Duration = Duration::from_secs(300);
/// The shortest and the longest time an issuer can choose.
const FRESH_LEAST: Duration = Duration::from_secs(60);
const FRESH_MOST: Duration = Duration::from_secs(3600);

/// The client could not be set up; the text says why.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up HTTPS for fetching issuers' keys: {0}")]
pub struct NoClient(String);

/// Keys as they were fetched.
pub(crate) struct Fetched {
    pub(crate) keys: KeySet,
    pub(crate) fetched_at: Timestamp,
    /// How long they are used without looking again.
    pub(crate) fresh_for: Duration,
}

struct Document {
    body: Vec<u8>,
    fresh_for: Duration,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Fetches for one issuer.
pub(crate) struct Fetcher {
    client: reqwest::Client,
    reach: Reach,
}

impl Fetcher {
    pub(crate) fn new(reach: Reach) -> Result<Self, NoClient> {
        let client = reqwest::Client::builder()
            .user_agent("jitney")
            .timeout(FETCH_TIMEOUT)
            .connect_timeout(FETCH_TIMEOUT)
            // A redirect would let the issuer's host choose another one for us.
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            // A proxy would resolve names for us, and our judgement of addresses would be void.
            .no_proxy()
            .https_only(reach != Reach::Loopback)
            .dns_resolver(JudgingResolver::new(reach))
            .build()
            .map_err(|error| NoClient(chain(&error)))?;
        Ok(Self { client, reach })
    }

    /// The issuer's keys as they are published now. The error is for the log.
    pub(crate) async fn keys(&self, issuer: &Issuer, now: Timestamp) -> Result<Fetched, String> {
        let at = match &issuer.keys_at {
            KeysAt::Pinned(url) => url.clone(),
            KeysAt::Discovered(url) => {
                let document = self.get(url).await?;
                published_at(issuer, url, &document.body)?
            }
        };
        let document = self.get(&at).await?;
        let keys = KeySet::read(&document.body, &issuer.algorithms)
            .map_err(|why| format!("`{at}`: {why}"))?;
        Ok(Fetched {
            keys,
            fetched_at: now,
            fresh_for: document.fresh_for,
        })
    }

    async fn get(&self, url: &Url) -> Result<Document, String> {
        // The resolver is not asked about a host that is an address already.
        self.reach
            .admits_literal(url)
            .map_err(|why| format!("`{url}`: {why}"))?;
        let mut answer = self
            .client
            .get(url.clone())
            .header(ACCEPT, "application/json")
            .send()
            .await
            .map_err(|error| format!("`{url}`: {}", chain(&error.without_url())))?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(format!(
                "`{url}` answered {status}; redirects are not followed"
            ));
        }
        if status != reqwest::StatusCode::OK {
            return Err(format!("`{url}` answered {status}"));
        }
        let fresh_for = freshness(
            answer
                .headers()
                .get(CACHE_CONTROL)
                .and_then(|value| value.to_str().ok()),
        );
        let mut body = Vec::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| format!("`{url}`: {}", chain(&error.without_url())))?
        {
            if body.len().saturating_add(chunk.len()) > DOCUMENT_BYTES_MAX {
                return Err(format!(
                    "`{url}` answered with more than {DOCUMENT_BYTES_MAX} bytes"
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Document { body, fresh_for })
    }
}

/// Where the discovery document says the keys are.
fn published_at(issuer: &Issuer, discovery: &Url, body: &[u8]) -> Result<Url, String> {
    let document: Discovery = serde_json::from_slice(body)
        .map_err(|_| format!("`{discovery}` is not JSON with `issuer` and `jwks_uri`"))?;
    if document.issuer != issuer.url {
        return Err(format!(
            "`{discovery}` speaks for `{}`, expected `{}`",
            seen(&document.issuer),
            issuer.url
        ));
    }
    let at = Url::parse(&document.jwks_uri)
        .map_err(|_| format!("`{discovery}` has a `jwks_uri` that is not a URL"))?;
    // A document that could point anywhere would make its author the owner of every key.
    if at.origin() != discovery.origin() || !at.username().is_empty() || at.password().is_some() {
        return Err(format!(
            "`{discovery}` points to keys at `{}`, which is another host; if that is right, set \
             `jwks_url` for this issuer",
            seen(&document.jwks_uri)
        ));
    }
    Ok(at)
}

/// How long an answer with this `Cache-Control` is fresh, within our own bounds.
fn freshness(cache_control: Option<&str>) -> Duration {
    let Some(directives) = cache_control else {
        return FRESH_DEFAULT;
    };
    let mut fresh = FRESH_DEFAULT;
    for directive in directives.split(',').map(str::trim) {
        if directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache")
        {
            return FRESH_LEAST;
        }
        if let Some((name, value)) = directive.split_once('=')
            && name.eq_ignore_ascii_case("max-age")
            && let Ok(seconds) = value.trim_matches('"').parse()
        {
            fresh = Duration::from_secs(seconds);
        }
    }
    fresh.clamp(FRESH_LEAST, FRESH_MOST)
}

/// An error with its causes, which `reqwest` does not print by itself.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::issuers::{IssuerConfig, Issuers};
    use serde_json::json;

    #[test]
    fn freshness_is_the_issuers_within_our_bounds() {
        for (header, seconds) in [
            (None, 300),
            (Some("max-age=600"), 600),
            (Some("public, Max-Age=\"900\", must-revalidate"), 900),
            (Some("max-age=0"), 60),
            (Some("max-age=31536000"), 3600),
            (Some("max-age=99999999999999999999999"), 300),
            (Some("max-age=-1"), 300),
            (Some("no-store"), 60),
            (Some("max-age=3000, no-cache"), 60),
            (Some(""), 300),
        ] {
            assert_eq!(
                freshness(header),
                Duration::from_secs(seconds),
                "{header:?}"
            );
        }
    }

    fn discovered(document: &serde_json::Value) -> Result<Url, String> {
        let config: IssuerConfig = serde_json::from_value(json!({
            "name": "ci", "url": "https://ci.example/token", "provider": "github-actions",
            "audience": "https://jitney.example"}))
        .unwrap();
        let table = Issuers::new(vec![config]).unwrap();
        let issuer = table.choose("https://ci.example/token").unwrap();
        let KeysAt::Discovered(at) = &issuer.keys_at else {
            panic!("pinned")
        };
        published_at(issuer, at, document.to_string().as_bytes())
    }

    #[test]
    fn a_discovery_document_speaks_for_its_own_issuer_and_host_only() {
        let good = json!({"issuer": "https://ci.example/token",
                          "jwks_uri": "https://ci.example/other/jwks"});
        assert_eq!(
            discovered(&good).unwrap().as_str(),
            "https://ci.example/other/jwks"
        );
        for (name, value) in [
            ("issuer", "https://ci.example"),
            ("issuer", "https://ci.example/token/"),
            ("issuer", "https://evil.example/token"),
            ("jwks_uri", "https://evil.example/jwks"),
            ("jwks_uri", "https://ci.example.evil.example/jwks"),
            ("jwks_uri", "https://ci.example:8443/jwks"),
            ("jwks_uri", "http://ci.example/jwks"),
            ("jwks_uri", "https://user@ci.example/jwks"),
            ("jwks_uri", "/jwks"),
            ("jwks_uri", "file:///etc/passwd"),
        ] {
            let mut document = good.clone();
            document
                .as_object_mut()
                .unwrap()
                .insert(name.to_owned(), json!(value));
            assert!(discovered(&document).is_err(), "{name} {value}");
        }
        assert!(discovered(&json!({})).is_err());
        assert!(discovered(&json!([])).is_err());
    }
}
