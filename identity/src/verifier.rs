//! From an unverified token to a job. The order of the checks is the order of trust: the header,
//! then the issuer table, then the key, then the signature, and only then what the token says.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jitney_core::principal::{Job, JobKey, Provider, TokenFacts};
use jitney_core::time::Timestamp;
use serde_json::Value;

use crate::claims::bad;
use crate::compact::{SignedClaims, Unverified};
use crate::fetch::NoClient;
use crate::github::{self, GithubClaims};
use crate::gitlab::{self, GitlabClaims};
use crate::issuers::{Issuer, Issuers, LEEWAY_SECONDS_MAX};
use crate::keyring::{IssuerStatus, Keyring};
use crate::once::once_key;
use crate::refusal::{Refusal, RefusalCode, seen};

/// The longest token that is read, in bytes. Real ones have about 2 000.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How much longer than the token a once-key is remembered, beyond the leeway.
const REMEMBER_MARGIN: Duration = Duration::from_secs(5);

/// A job that proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The job.
    pub job: Job,
    /// The token that proved it.
    pub token: TokenFacts,
    /// All its claims, in the CI's own words.
    pub claims: ProviderClaims,
}

/// What a token proved that came with a sign of life: that this job lived when it was minted. It
/// names no principal, so that nothing can be asked for with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvedLife {
    /// Which job.
    pub job: JobKey,
    /// When its CI minted the token.
    pub minted_at: Timestamp,
}

/// The typed claims of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderClaims {
    /// Of GitHub Actions.
    GithubActions(Box<GithubClaims>),
    /// Of GitLab CI.
    GitlabCi(Box<GitlabClaims>),
}

/// Verifies tokens of CI jobs. Cheap to clone; all clones share the remembered keys.
#[derive(Clone)]
pub struct Verifier {
    shared: Arc<Shared>,
}

struct Shared {
    issuers: Issuers,
    keyrings: BTreeMap<String, Arc<Keyring>>,
    unknown_claims: AtomicU64,
}

impl Verifier {
    /// A verifier for these issuers. Nothing is fetched yet.
    ///
    /// # Errors
    /// When HTTPS cannot be set up, for lack of root certificates for example.
    pub fn new(issuers: Issuers) -> Result<Self, NoClient> {
        let mut keyrings = BTreeMap::new();
        for issuer in issuers.all() {
            let keyring = Keyring::new(Arc::clone(issuer))?;
            keyrings.insert(issuer.url.clone(), Arc::new(keyring));
        }
        Ok(Self {
            shared: Arc::new(Shared {
                issuers,
                keyrings,
                unknown_claims: AtomicU64::new(0),
            }),
        })
    }

    /// Says which job a token proves, at `now`. A key that is remembered costs no fetch; otherwise
    /// the issuer is asked, within the bounds of [`crate::keyring`].
    ///
    /// The token may be one that was used before: whoever grants something for it claims
    /// [`TokenFacts::once`] in the same transaction.
    ///
    /// # Errors
    /// A refusal with a stable code.
    pub async fn verify(
        &self,
        unverified_token: &str,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let (issuer, claims) = self.signed(unverified_token, now).await?;
        judge_audience(&issuer.audience, &claims)?;
        self.judge(&issuer, &claims, now)
    }

    /// Says which job a token proves alive that came with a sign of life. Its audience is another
    /// one than that of [`verify`](Self::verify): neither token does for the other's purpose.
    ///
    /// # Errors
    /// A refusal with a stable code.
    pub async fn verify_beat(
        &self,
        unverified_token: &str,
        now: Timestamp,
    ) -> Result<ProvedLife, Refusal> {
        let (issuer, claims) = self.signed(unverified_token, now).await?;
        let Some(audience) = &issuer.beat_audience else {
            return Err(Refusal::new(
                RefusalCode::BadAudience,
                format!(
                    "tokens of issuer `{}` are no signs of life here: it mints none while a job \
                     runs, as GitLab never does and the broker's configuration may say of others \
                     (`fresh_tokens = false`)",
                    issuer.name
                ),
            ));
        };
        judge_audience(audience, &claims)?;
        let verified = self.judge(&issuer, &claims, now)?;
        Ok(ProvedLife {
            job: verified.job.key,
            minted_at: verified.token.issued_at,
        })
    }

    /// The token's issuer and what that issuer signed. Nothing of it is judged yet.
    async fn signed(
        &self,
        unverified_token: &str,
        now: Timestamp,
    ) -> Result<(Arc<Issuer>, SignedClaims), Refusal> {
        let unverified = Unverified::read(unverified_token, TOKEN_BYTES_MAX)?;
        let chosen = self
            .shared
            .issuers
            .choose(unverified.unverified_issuer()?)?;
        let algorithm = unverified.algorithm();
        if !chosen.algorithms.contains(&algorithm) {
            return Err(Refusal::new(
                RefusalCode::BadAlg,
                format!(
                    "the algorithm `{algorithm}` is not one that issuer `{}` may use",
                    chosen.name
                ),
            ));
        }
        let keyring = self.keyring(chosen)?;
        let kid = unverified.kid().to_owned();
        let claims = keyring
            .with_key(&kid, algorithm, now, |key| unverified.signed_by(key))
            .await?;
        Ok((Arc::clone(chosen), claims))
    }

    /// Fetches the keys of all issuers, at the same time, and says how it went.
    pub async fn warm(&self, now: Timestamp) -> Vec<IssuerStatus> {
        let fetches: Vec<_> = self
            .shared
            .keyrings
            .values()
            .cloned()
            .map(|keyring| tokio::spawn(async move { keyring.warm(now).await }))
            .collect();
        for fetch in fetches {
            if let Err(error) = fetch.await {
                tracing::error!(%error, "fetching keys was cut short");
            }
        }
        self.status(now)
    }

    /// What is remembered of each issuer.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Vec<IssuerStatus> {
        self.shared
            .keyrings
            .values()
            .map(|keyring| keyring.status(now))
            .collect()
    }

    /// How many claims were seen that are new to this version, since the start.
    #[must_use]
    pub fn unknown_claims(&self) -> u64 {
        self.shared.unknown_claims.load(Ordering::Relaxed)
    }

    fn keyring(&self, issuer: &Issuer) -> Result<&Arc<Keyring>, Refusal> {
        self.shared.keyrings.get(&issuer.url).ok_or_else(|| {
            Refusal::new(
                RefusalCode::UnknownIssuer,
                format!("tokens from `{}` are not taken here", seen(&issuer.url)),
            )
        })
    }

    /// Judges what a signed token says beside its audience.
    fn judge(
        &self,
        issuer: &Issuer,
        claims: &SignedClaims,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let token = judge_times(issuer, claims, now)?;
        claims.demand("sub")?;
        match issuer.provider {
            Provider::GithubActions => {
                self.note_unknown(issuer, github::unknown(claims));
                let claims = GithubClaims::read(claims)?;
                Ok(Verified {
                    job: claims.job(&issuer.url),
                    token,
                    claims: ProviderClaims::GithubActions(Box::new(claims)),
                })
            }
            Provider::GitlabCi => {
                self.note_unknown(issuer, gitlab::unknown(claims));
                let claims = GitlabClaims::read(claims)?;
                Ok(Verified {
                    job: claims.job(&issuer.url),
                    token,
                    claims: ProviderClaims::GitlabCi(Box::new(claims)),
                })
            }
            // The table of issuers takes no such row.
            Provider::Operator => Err(Refusal::new(
                RefusalCode::UnknownIssuer,
                "operators have no tokens",
            )),
        }
    }

    fn note_unknown<'a>(&self, issuer: &Issuer, names: impl Iterator<Item = &'a str>) {
        for name in names {
            self.shared.unknown_claims.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(
                issuer = issuer.name,
                claim = seen(name),
                "a claim new to us"
            );
        }
    }
}

/// One audience, ours. An array is refused even when it holds ours: such a token is good elsewhere
/// too, and whoever receives it there could use it here.
fn judge_audience(expected: &str, claims: &SignedClaims) -> Result<(), Refusal> {
    let refuse = |meant: &str| {
        Refusal::new(
            RefusalCode::BadAudience,
            format!(
                "the token is meant for {meant}; ask the CI for a token with the audience \
                 `{expected}` and no other"
            ),
        )
    };
    match claims.get("aud") {
        Some(Value::String(audience)) if audience == expected => Ok(()),
        Some(Value::String(audience)) => Err(refuse(&format!("`{}`", seen(audience)))),
        Some(Value::Array(_)) => Err(refuse("several")),
        None | Some(Value::Null) => Err(Refusal::new(
            RefusalCode::MissingClaim,
            "the token has no claim `aud`",
        )),
        Some(_) => Err(bad("aud", "a string")),
    }
}

/// The token's times and what makes it usable once.
fn judge_times(
    issuer: &Issuer,
    claims: &SignedClaims,
    now: Timestamp,
) -> Result<TokenFacts, Refusal> {
    let issued_at = Timestamp::from_seconds(claims.seconds("iat")?);
    let expires_at = Timestamp::from_seconds(claims.seconds("exp")?);
    let not_before = Timestamp::from_seconds(claims.seconds("nbf")?);
    let once = once_key(&[&issuer.url, claims.text("jti")?]);
    if expires_at <= issued_at {
        return Err(bad("exp", "an instant after `iat`"));
    }
    let refuse = |code, what: String| Err(Refusal::new(code, format!("the token {what}")));
    let lifetime = expires_at.since(issued_at);
    if lifetime > issuer.max_lifetime {
        return refuse(
            RefusalCode::TokenLifetimeTooLong,
            format!(
                "lives {} s, tokens of issuer `{}` may live {} s",
                lifetime.as_secs(),
                issuer.name,
                issuer.max_lifetime.as_secs()
            ),
        );
    }
    if now >= expires_at.plus(issuer.leeway) {
        return refuse(
            RefusalCode::TokenExpired,
            format!("expired at {expires_at}, it is {now}; ask the CI for a fresh one"),
        );
    }
    let soonest = now.plus(issuer.leeway);
    if not_before > soonest || issued_at > soonest {
        return refuse(
            RefusalCode::TokenNotYetValid,
            format!("was issued at {issued_at}, valid from {not_before}; it is {now}"),
        );
    }
    if now >= issued_at.plus(issuer.max_token_age).plus(issuer.leeway) {
        return refuse(
            RefusalCode::TokenTooOld,
            format!(
                "was issued at {issued_at}, it is {now}; tokens of issuer `{}` are taken for {} s; \
                 ask the CI for a fresh one",
                issuer.name,
                issuer.max_token_age.as_secs()
            ),
        );
    }
    Ok(TokenFacts {
        once,
        issued_at,
        expires_at,
        remember_until: remember_until(expires_at),
    })
}

/// Until when a once-key is remembered. It outlives the token by the *largest* leeway that can be
/// configured: with the present one, an operator who raises the leeway would reopen the door to
/// tokens whose once-keys were just forgotten. See `a_once_key_outlives_its_token`.
fn remember_until(expires_at: Timestamp) -> Timestamp {
    expires_at
        .plus(Duration::from_secs(LEEWAY_SECONDS_MAX))
        .plus(REMEMBER_MARGIN)
}
