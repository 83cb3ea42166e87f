//! The issuer table: whose tokens are taken, and on which terms. It is fixed by configuration at
//! the start. An issuer that is not in it is refused before anything is fetched, so a token can
//! never choose what the broker connects to.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use jitney_core::principal::Provider;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::addresses::{Reach, is_loopback_host};
use crate::algorithm::Algorithm;
use crate::refusal::{Refusal, RefusalCode, seen};

/// The most issuers one broker serves.
pub const ISSUERS_MAX: usize = 64;
/// The least clock skew that is tolerated, in seconds.
pub const LEEWAY_SECONDS_MIN: u64 = 30;
/// The most clock skew that is tolerated, in seconds.
pub const LEEWAY_SECONDS_MAX: u64 = 60;
/// The longest that a token may be allowed to live or to be used after it was issued, in seconds.
pub const TOKEN_SECONDS_MAX: u64 = 3600;
/// The same for GitLab, whose jobs get one token that lives for as long as the job may.
pub const GITLAB_TOKEN_SECONDS_MAX: u64 = 86_400;

/// The longest issuer name, for logs and metrics.
const NAME_BYTES_MAX: usize = 64;
/// The longest URL in the configuration.
const URL_BYTES_MAX: usize = 512;

/// One issuer as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// A short name for logs, metrics and `doctor`.
    pub name: String,
    /// The `iss` of its tokens, exactly: case, path and trailing slash included.
    pub url: String,
    /// Whose claims these are.
    pub provider: Provider,
    /// The `aud` that tokens for this broker carry. A URL that no other service uses.
    pub audience: String,
    /// Whether a job can get another token at any time while it runs. Where it cannot, no token
    /// shows that a job still lives, and its leases end 15 minutes after their grant. True unless
    /// said otherwise, but never for GitLab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_tokens: Option<bool>,
    /// The `aud` of tokens that come with signs of life and are good for nothing else; otherwise
    /// the audience and `/beat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beat_audience: Option<String>,
    /// The algorithms it may sign with.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// How long after `iat` a token may be used, in seconds; otherwise 120, and 3600 for GitLab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_token_age_seconds: Option<u64>,
    /// The longest time between `iat` and `exp`, in seconds; otherwise 600, and 3600 for GitLab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lifetime_seconds: Option<u64>,
    /// The clock skew that is tolerated, in seconds: 30 to 60.
    #[serde(default = "default_leeway_seconds")]
    pub leeway_seconds: u64,
    /// Where its keys are, when they are not on its own host. Without it, its discovery document
    /// says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// Whether it may be on a private or loopback address. Plain HTTP is possible on loopback only,
    /// and only with this.
    #[serde(default)]
    pub allow_private: bool,
}

fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256]
}

/// The audience of tokens that come with signs of life, where no other is configured.
#[must_use]
pub fn default_beat_audience(audience: &str) -> String {
    format!("{}/beat", audience.trim_end_matches('/'))
}

/// How a provider's tokens are, where the configuration says nothing else.
struct Usual {
    max_token_age_seconds: u64,
    max_lifetime_seconds: u64,
    /// The most that can be configured for either.
    token_seconds_max: u64,
}

const fn usual(provider: Provider) -> Usual {
    match provider {
        // No issuer is an operator; the strictest there is.
        Provider::GithubActions | Provider::Operator => Usual {
            max_token_age_seconds: 120,
            max_lifetime_seconds: 600,
            token_seconds_max: TOKEN_SECONDS_MAX,
        },
        // Minted when the job begins, for as long as the job may run: an hour, unless the project
        // says otherwise.
        Provider::GitlabCi => Usual {
            max_token_age_seconds: 3600,
            max_lifetime_seconds: 3600,
            token_seconds_max: GITLAB_TOKEN_SECONDS_MAX,
        },
    }
}

const fn default_leeway_seconds() -> u64 {
    30
}

/// What is wrong with an issuer's configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("issuer `{issuer}`: {wrong}")]
pub struct BadIssuer {
    issuer: String,
    wrong: String,
}

/// One row of the table, checked.
#[derive(Debug, Clone)]
pub(crate) struct Issuer {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) provider: Provider,
    pub(crate) audience: String,
    /// The audience of signs of life; absent where a token cannot be one.
    pub(crate) beat_audience: Option<String>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) max_token_age: Duration,
    pub(crate) max_lifetime: Duration,
    pub(crate) leeway: Duration,
    pub(crate) keys_at: KeysAt,
    pub(crate) reach: Reach,
}

/// Where an issuer's keys are found.
#[derive(Debug, Clone)]
pub(crate) enum KeysAt {
    /// At this address; configured.
    Pinned(Url),
    /// Where the discovery document at this address says, on the same host.
    Discovered(Url),
}

/// The issuers whose tokens are taken.
#[derive(Debug, Clone)]
pub struct Issuers {
    by_url: BTreeMap<String, Arc<Issuer>>,
}

impl Issuers {
    /// Checks a configuration and makes the table.
    ///
    /// # Errors
    /// Says which issuer is wrong and what is expected there.
    pub fn new(configs: Vec<IssuerConfig>) -> Result<Self, BadIssuer> {
        let mut by_url = BTreeMap::new();
        let mut names = std::collections::BTreeSet::new();
        for config in configs {
            let issuer = check(config).map_err(|(name, wrong)| BadIssuer {
                issuer: seen(&name),
                wrong,
            })?;
            let refuse = |wrong: String| BadIssuer {
                issuer: issuer.name.clone(),
                wrong,
            };
            if !names.insert(issuer.name.clone()) {
                return Err(refuse("the name is used twice".into()));
            }
            if by_url.len() == ISSUERS_MAX {
                return Err(refuse(format!("there are more than {ISSUERS_MAX} issuers")));
            }
            if let Some(other) = by_url.insert(issuer.url.clone(), Arc::new(issuer.clone())) {
                return Err(refuse(format!(
                    "`url` is also that of issuer `{}`",
                    other.name
                )));
            }
        }
        Ok(Self { by_url })
    }

    /// The issuer of exactly this `iss`.
    pub(crate) fn choose(&self, unverified_issuer: &str) -> Result<&Arc<Issuer>, Refusal> {
        self.by_url.get(unverified_issuer).ok_or_else(|| {
            Refusal::new(
                RefusalCode::UnknownIssuer,
                format!(
                    "tokens from `{}` are not taken here; the broker's `issuers` table says whose \
                     are",
                    seen(unverified_issuer)
                ),
            )
        })
    }

    /// All issuers, sorted by URL.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.by_url.values()
    }
}

/// Checks one row. The error carries the row's name as it was given.
fn check(config: IssuerConfig) -> Result<Issuer, (String, String)> {
    let name = config.name.clone();
    check_row(config).map_err(|wrong| (name, wrong))
}

fn check_row(config: IssuerConfig) -> Result<Issuer, String> {
    let named = !config.name.is_empty()
        && config.name.len() <= NAME_BYTES_MAX
        && config
            .name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !named {
        return Err("`name` is 1 to 64 of `a-z`, `0-9` and `-`".into());
    }
    if config.provider == Provider::Operator {
        return Err("`provider` is `operator`, which is no CI system".into());
    }
    within(
        "leeway_seconds",
        config.leeway_seconds,
        LEEWAY_SECONDS_MIN,
        LEEWAY_SECONDS_MAX,
    )?;
    let usual = usual(config.provider);
    let most = usual.token_seconds_max;
    let max_token_age = config
        .max_token_age_seconds
        .unwrap_or(usual.max_token_age_seconds);
    within("max_token_age_seconds", max_token_age, 1, most)?;
    let max_lifetime = config
        .max_lifetime_seconds
        .unwrap_or(usual.max_lifetime_seconds);
    within("max_lifetime_seconds", max_lifetime, 1, most)?;
    if config.algorithms.is_empty() {
        return Err(format!(
            "`algorithms` is empty; expected one or more of {}",
            Algorithm::names()
        ));
    }
    let url = address("url", &config.url, config.allow_private)?;
    let keys_at = match &config.jwks_url {
        Some(pinned) => KeysAt::Pinned(address("jwks_url", pinned, config.allow_private)?),
        None => KeysAt::Discovered(discovery(&url)),
    };
    check_audience("audience", &config.audience, &url, config.allow_private)?;
    let beat_audience = check_beats(&config, &url)?;
    let plain = url.scheme() == "http"
        || matches!(&keys_at, KeysAt::Pinned(pinned) if pinned.scheme() == "http");
    Ok(Issuer {
        reach: Reach::new(config.allow_private, plain),
        name: config.name,
        url: config.url,
        provider: config.provider,
        audience: config.audience,
        beat_audience,
        algorithms: config.algorithms,
        max_token_age: Duration::from_secs(max_token_age),
        max_lifetime: Duration::from_secs(max_lifetime),
        leeway: Duration::from_secs(config.leeway_seconds),
        keys_at,
    })
}

fn within(name: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("`{name}` is {value}; expected {least} to {most}"))
    }
}

/// A URL that the broker may connect to.
fn address(name: &str, text: &str, allow_private: bool) -> Result<Url, String> {
    let given = seen(text);
    if text.len() > URL_BYTES_MAX {
        return Err(format!("`{name}` is longer than {URL_BYTES_MAX} bytes"));
    }
    let url = Url::parse(text).map_err(|_| format!("`{name}` is `{given}`, which is not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("`{name}` may not hold a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{name}` may not hold `?` or `#`"));
    }
    let loopback = is_loopback_host(&url);
    match url.scheme() {
        "https" => {}
        "http" if loopback && allow_private => {}
        "http" if loopback => {
            return Err(format!(
                "`{name}` is `{given}`: plain HTTP on loopback needs `allow_private = true`"
            ));
        }
        _ => {
            return Err(format!(
                "`{name}` is `{given}`; expected a URL that begins with `https://`"
            ));
        }
    }
    Reach::new(allow_private, false)
        .admits_literal(&url)
        .map_err(|why| format!("`{name}` is `{given}`: {why}"))?;
    Ok(url)
}

/// Where an issuer publishes its discovery document (OpenID Connect Discovery 1.0, section 4).
fn discovery(issuer: &Url) -> Url {
    let mut url = issuer.clone();
    let path = format!(
        "{}/.well-known/openid-configuration",
        issuer.path().trim_end_matches('/')
    );
    url.set_path(&path);
    url
}

/// The audience has to be this broker's alone. A token with a shared audience was perhaps minted
/// for someone else, who can then use it here.
fn check_audience(
    name: &str,
    audience: &str,
    issuer: &Url,
    allow_private: bool,
) -> Result<(), String> {
    let given = seen(audience);
    let url = Url::parse(audience)
        .ok()
        .filter(|url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback_host(url)))
        .ok_or_else(|| {
            format!(
                "`{name}` is `{given}`; expected the broker's own URL, which no other service \
                 uses as audience"
            )
        })?;
    if audience.len() > URL_BYTES_MAX || audience.chars().any(|c| c.is_control() || c == ' ') {
        return Err(format!("`{name}` is too long or holds spaces"));
    }
    let host = url.host_str().unwrap_or_default();
    let issuer_host = issuer.host_str().unwrap_or_default();
    let local = allow_private && is_loopback_host(&url);
    let forge = host == "github.com"
        || host == issuer_host
        || (host.ends_with(".ghe.com") && issuer_host.ends_with(&format!(".{host}")));
    if forge && !local {
        return Err(format!(
            "`{name}` is `{given}`, which the CI gives to every job by default; expected the \
             broker's own URL"
        ));
    }
    Ok(())
}

/// The audience of signs of life has to be one of its own: a token that came with a beat could
/// otherwise be exchanged by whoever saw it.
fn check_beats(config: &IssuerConfig, issuer: &Url) -> Result<Option<String>, String> {
    if config.provider == Provider::GitlabCi {
        return no_beats_of_gitlab(config).map(|()| None);
    }
    if config.fresh_tokens == Some(false) {
        return match &config.beat_audience {
            None => Ok(None),
            Some(_) => Err("`beat_audience` is of no use with `fresh_tokens = false`".into()),
        };
    }
    let beats = config
        .beat_audience
        .clone()
        .unwrap_or_else(|| default_beat_audience(&config.audience));
    check_audience("beat_audience", &beats, issuer, config.allow_private)?;
    if beats == config.audience {
        return Err("`beat_audience` is also `audience`; expected one of its own".into());
    }
    Ok(Some(beats))
}

/// Refuses to demand of GitLab what it cannot give. Every lease would end for want of it.
fn no_beats_of_gitlab(config: &IssuerConfig) -> Result<(), String> {
    let asked = if config.fresh_tokens == Some(true) {
        "`fresh_tokens` is true"
    } else if config.beat_audience.is_some() {
        "`beat_audience` is set"
    } else {
        return Ok(());
    };
    Err(format!(
        "{asked}, and `provider` is `gitlab-ci`: a job of GitLab gets its tokens when it begins and \
         none while it runs, so none can show that it lives; remove the key"
    ))
}

#[cfg(test)]
mod tests;
