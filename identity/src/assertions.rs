//! The broker as an issuer of its own. Azure grants to identities of ours, and believes that a
//! caller is one of them by a token that we sign: an *assertion*. Whoever is told to trust this
//! issuer finds its keys where the discovery document says (OpenID Connect Discovery 1.0).
//!
//! Only what is [`signing`](AssertionIssuer::new) signs. Other keys are published beside it: the
//! next one, so that everybody has it before it is used, and those of before, for as long as what
//! they signed is still shown to somebody. A key may lie in this process, or with a
//! [keeper](KeptKey) that signs for us: then each assertion is a call that can fail.

mod elsewhere;
mod key;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jitney_core::time::Timestamp;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

pub use elsewhere::{IssuerKey, KeptKey, KeyAway};
pub use key::{AssertionKey, BadAssertionKey, PublicKey};

use crate::addresses::is_loopback_host;
use crate::compact::is_printable;
use crate::refusal::seen;

/// The longest that an assertion lives, in seconds. It cannot be taken back, so it is exchanged at
/// once and is dead soon.
pub const ASSERTION_SECONDS_MAX: u64 = 600;
/// The most keys that are published at a time.
pub const ASSERTION_KEYS_MAX: usize = 8;
/// The `sub` of assertions for the broker itself.
pub const BROKER_SUBJECT: &str = "jitney:broker";
/// What the `sub` of assertions for a slot begins with; the slot's name follows.
pub const SLOT_SUBJECT_PREFIX: &str = "jitney:slot:";

/// Where the discovery document is, below the issuer's URL. Fixed by OpenID Connect Discovery.
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
/// Where the keys are, below the issuer's URL.
pub const KEY_SET_PATH: &str = "/.well-known/jwks.json";

/// The longest issuer that Azure's federated credentials take.
const URL_BYTES_MAX: usize = 600;
/// The longest audience.
const AUDIENCE_BYTES_MAX: usize = 256;
/// The longest name of a slot.
const SLOT_BYTES_MAX: usize = 100;
/// How long before its issue an assertion is valid already. A verifier's clock may be behind ours:
/// by no more than this, or nothing is minted.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Signs assertions, and knows what must be published for them to be believed.
pub struct AssertionIssuer {
    url: String,
    signing: IssuerKey,
    others: Vec<IssuerKey>,
    discovery: String,
}

/// A token of the broker's own. Its text is a credential.
pub struct Assertion {
    /// The token, as it is shown.
    pub text: Zeroizing<String>,
    /// Its `jti`: what a cloud's log and ours have in common about it, and no secret.
    pub id: String,
    /// When nobody believes it any more.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion")
            .field("id", &self.id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why the broker cannot be an issuer like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAssertionIssuer {
    /// Clouds compare it byte by byte, and fetch from it.
    #[error(
        "the issuer `{0}` is not a URL that clouds take: expected `https`, a host and perhaps a \
         path, at most {URL_BYTES_MAX} bytes, without a slash at the end (plain `http` on loopback \
         only)"
    )]
    Url(String),
    /// Nobody could tell which of the two is meant by a token.
    #[error(
        "the key `{0}` is given twice: a rotation needs another key, and takes the old one out of \
         its former place"
    )]
    SameKey(String),
    /// Verifiers read only so many.
    #[error("{0} keys are to be published: expected at most {ASSERTION_KEYS_MAX}")]
    TooMany(usize),
}

/// Why there is no assertion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CannotSign {
    /// Nobody of ours is called so.
    #[error(
        "`{0}` is not a subject of ours: expected `{BROKER_SUBJECT}`, or `{SLOT_SUBJECT_PREFIX}` \
         and a slot's name of ASCII letters, digits, `-`, `_` or `.`"
    )]
    Subject(String),
    /// It would be good for everybody, or for nobody.
    #[error("`{0}` is not an audience: expected 1 to {AUDIENCE_BYTES_MAX} printable characters")]
    Audience(String),
    /// It would live longer than anybody reckons with, or not at all.
    #[error("an assertion of {0} s was asked for: expected 1 to {ASSERTION_SECONDS_MAX}")]
    Lives(u64),
    /// The system gives no randomness, or the key does not sign.
    #[error("the system's cryptography refuses to sign")]
    Cryptography,
    /// The key's keeper does not sign.
    #[error(transparent)]
    Away(#[from] KeyAway),
    /// What came back would be refused by everybody, or is good for something else.
    #[error("what came back for the key `{0}` is not its signature")]
    NotItsSignature(String),
}

impl AssertionIssuer {
    /// An issuer that signs with `signing` and publishes it together with the `others`.
    ///
    /// # Errors
    /// When clouds would not take the URL, or the keys are not a set that can be told apart.
    pub fn new(
        url: &str,
        signing: impl Into<IssuerKey>,
        others: Vec<IssuerKey>,
    ) -> Result<Self, BadAssertionIssuer> {
        if !is_issuer(url) {
            return Err(BadAssertionIssuer::Url(seen(url)));
        }
        let issuer = Self {
            url: url.to_owned(),
            signing: signing.into(),
            others,
            discovery: discovery(url).to_string(),
        };
        let published = issuer.published().count();
        if published > ASSERTION_KEYS_MAX {
            return Err(BadAssertionIssuer::TooMany(published));
        }
        let mut names = BTreeSet::new();
        for key in issuer.published() {
            if !names.insert(key.name()) {
                return Err(BadAssertionIssuer::SameKey(key.name().to_owned()));
            }
        }
        Ok(issuer)
    }

    fn published(&self) -> impl Iterator<Item = &IssuerKey> {
        core::iter::once(&self.signing).chain(&self.others)
    }

    /// The `iss` of its assertions.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The discovery document, JSON.
    #[must_use]
    pub fn discovery(&self) -> &str {
        &self.discovery
    }

    /// The published keys (JWKS, RFC 7517), JSON: all of them, or none. Whoever fetched a part
    /// would believe for a day that there is no more.
    ///
    /// # Errors
    /// When a key lies elsewhere and is not to be had.
    pub async fn key_set(&self) -> Result<String, KeyAway> {
        let mut keys = Vec::new();
        for key in self.published() {
            let jwk = key.public().await?.jwk();
            // A key may have been given to a keeper, and still be named as a file too.
            if !keys.contains(&jwk) {
                keys.push(jwk);
            }
        }
        Ok(json!({ "keys": keys }).to_string())
    }

    /// Signs that the bearer is `subject`, to `audience` and nobody else, until `lives` from `now`.
    ///
    /// # Errors
    /// When the subject is none of ours, it should live longer than assertions may, or the key is
    /// not to be had.
    pub async fn assertion(
        &self,
        subject: &str,
        audience: &str,
        now: Timestamp,
        lives: Duration,
    ) -> Result<Assertion, CannotSign> {
        if !is_subject(subject) {
            return Err(CannotSign::Subject(seen(subject)));
        }
        if audience.is_empty() || audience.len() > AUDIENCE_BYTES_MAX || !is_printable(audience) {
            return Err(CannotSign::Audience(seen(audience)));
        }
        let seconds = lives.as_secs();
        if !(1..=ASSERTION_SECONDS_MAX).contains(&seconds) {
            return Err(CannotSign::Lives(seconds));
        }
        // Rounded down, both: what is reckoned with outside must not be outlived.
        let issued_at = Timestamp::from_seconds(now.as_seconds());
        let expires_at = issued_at.plus(Duration::from_secs(seconds));
        let id = fresh_id()?;
        let claims = json!({
            "iss": self.url, "sub": subject, "aud": audience, "jti": id,
            "iat": issued_at.as_seconds(), "exp": expires_at.as_seconds(),
            "nbf": issued_at.minus(CLOCK_SKEW).as_seconds(),
        });
        let text = self.sign(&claims).await?;
        Ok(Assertion {
            text,
            id,
            expires_at,
        })
    }

    async fn sign(&self, claims: &Value) -> Result<Zeroizing<String>, CannotSign> {
        let public = self.signing.public().await?;
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": public.kid() });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let mut token = Zeroizing::new(format!("{}.{}", encode(&header), encode(claims)));
        let signature = match &self.signing {
            IssuerKey::Here(key) => key.sign(token.as_bytes()).ok_or(CannotSign::Cryptography)?,
            IssuerKey::Kept(key) => {
                let mut hash = [0; 32];
                hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
                key.sign(&hash).await?
            }
        };
        // A bad assertion would look to a cloud like a forgery, and to us like a slot gone wrong.
        if !public.verifies(token.as_bytes(), &signature) {
            return Err(CannotSign::NotItsSignature(self.signing.name().to_owned()));
        }
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }
}

impl fmt::Debug for AssertionIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionIssuer")
            .field("url", &self.url)
            .field("signing", &self.signing.name())
            .finish_non_exhaustive()
    }
}

fn discovery(url: &str) -> Value {
    json!({
        "issuer": url,
        "jwks_uri": format!("{url}{KEY_SET_PATH}"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid"],
        "claims_supported": ["iss", "sub", "aud", "iat", "nbf", "exp", "jti"],
    })
}

/// Whether clouds can fetch from it and it can be written in one way only: it is compared byte by
/// byte.
fn is_issuer(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let reachable = match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback_host(&url),
        _ => false,
    };
    let bare = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let canonical = url.as_str() == text || url.as_str().strip_suffix('/') == Some(text);
    reachable && bare && canonical && !text.ends_with('/') && text.len() <= URL_BYTES_MAX
}

fn is_subject(subject: &str) -> bool {
    let is_slot = |name: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        !name.is_empty() && name.len() <= SLOT_BYTES_MAX && name.bytes().all(plain)
    };
    subject == BROKER_SUBJECT
        || subject
            .strip_prefix(SLOT_SUBJECT_PREFIX)
            .is_some_and(is_slot)
}

/// 128 random bits.
fn fresh_id() -> Result<String, CannotSign> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).map_err(|_| CannotSign::Cryptography)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
