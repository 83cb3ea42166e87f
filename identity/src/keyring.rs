//! An issuer's keys, remembered. A token whose key is known costs no fetch and no lock. Fetches
//! happen one at a time, run to their end even when whoever caused them is gone, and are bounded:
//! tokens with invented key names cause at most one per minute. An error or an empty set never
//! makes us forget the keys we have; only time does.

use core::time::Duration;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jitney_core::time::Timestamp;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::algorithm::{Algorithm, VerifyingKey};
use crate::fetch::{Fetched, Fetcher, NoClient};
use crate::issuers::Issuer;
use crate::keys::Found;
use crate::refusal::{Refusal, RefusalCode, seen};

/// Between two fetches that tokens with unknown keys cause, and between two attempts to renew keys
/// that are no longer fresh.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(60);
/// Between two attempts while there are no keys at all.
pub const FIRST_FETCH_INTERVAL: Duration = Duration::from_secs(5);
/// How long past their freshness keys serve while they are renewed in the background. Later, the
/// next token waits for the renewal: a key that was withdrawn overnight must not be good for one
/// more token in the morning.
pub const BACKGROUND_PERIOD: Duration = Duration::from_secs(300);
/// How long keys serve while the issuer cannot be reached. Someone who can keep it unreachable must
/// not be able to keep a withdrawn key alive for ever.
pub const STALE_MAX: Duration = Duration::from_secs(24 * 3600);

/// When fetches were last tried.
#[derive(Default)]
struct Attempts {
    last: Option<Timestamp>,
    last_for_unknown_key: Option<Timestamp>,
}

/// Why a fetch is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    NoKeys,
    NotFresh,
    UnknownKey,
    Asked,
}

impl Attempts {
    /// Whether a fetch may start now. Distances are absolute: a clock that was set back does not
    /// postpone fetches.
    fn due(&self, why: Why, now: Timestamp) -> bool {
        let passed = |last: Option<Timestamp>, interval| {
            last.is_none_or(|last| distance(last, now) >= interval)
        };
        match why {
            Why::NoKeys => passed(self.last, FIRST_FETCH_INTERVAL),
            Why::NotFresh => passed(self.last, REFRESH_INTERVAL),
            Why::UnknownKey => passed(self.last_for_unknown_key, REFRESH_INTERVAL),
            Why::Asked => true,
        }
    }

    fn note(&mut self, why: Why, now: Timestamp) {
        self.last = Some(now);
        if why == Why::UnknownKey {
            self.last_for_unknown_key = Some(now);
        }
    }
}

/// One issuer's keys.
pub(crate) struct Keyring {
    issuer: Arc<Issuer>,
    fetcher: Fetcher,
    remembered: ArcSwapOption<Fetched>,
    last_error: ArcSwapOption<String>,
    attempts: Arc<Mutex<Attempts>>,
}

/// What a keyring holds, for `doctor` and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerStatus {
    /// The issuer's name in the configuration.
    pub name: String,
    /// Its `iss`.
    pub url: String,
    /// Usable keys that are remembered, however old.
    pub keys: usize,
    /// When they were fetched.
    pub fetched_at: Option<Timestamp>,
    /// How old they are.
    pub age: Option<Duration>,
    /// Whether tokens of this issuer can be verified without a fetch.
    pub usable: bool,
    /// Why the last fetch failed, if it did.
    pub last_error: Option<String>,
}

impl Keyring {
    pub(crate) fn new(issuer: Arc<Issuer>) -> Result<Self, NoClient> {
        Ok(Self {
            fetcher: Fetcher::new(issuer.reach)?,
            issuer,
            remembered: ArcSwapOption::empty(),
            last_error: ArcSwapOption::empty(),
            attempts: Arc::default(),
        })
    }

    /// Gives the key of this name to `use_key`.
    ///
    /// # Errors
    /// `unknown_key`, `bad_alg` or `issuer_unreachable`, and what `use_key` refuses.
    pub(crate) async fn with_key<T>(
        self: &Arc<Self>,
        kid: &str,
        algorithm: Algorithm,
        now: Timestamp,
        use_key: impl FnOnce(&VerifyingKey) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut fetched = self.make_usable(now).await;
        loop {
            let remembered = self.usable(now).ok_or_else(|| self.unreachable())?;
            match remembered.keys.find(kid, algorithm) {
                Found::Key(key) => return use_key(key),
                Found::OtherAlgorithm => return Err(self.other_algorithm(kid, algorithm)),
                Found::Nothing if fetched => return Err(self.unknown_key(kid)),
                Found::Nothing => {
                    self.fetch(Why::UnknownKey, now).await;
                    fetched = true;
                }
            }
        }
    }

    /// Fetches the keys now.
    pub(crate) async fn warm(self: &Arc<Self>, now: Timestamp) {
        self.fetch(Why::Asked, now).await;
    }

    pub(crate) fn status(&self, now: Timestamp) -> IssuerStatus {
        let remembered = self.remembered.load();
        IssuerStatus {
            name: self.issuer.name.clone(),
            url: self.issuer.url.clone(),
            keys: remembered.as_ref().map_or(0, |fetched| fetched.keys.len()),
            fetched_at: remembered.as_ref().map(|fetched| fetched.fetched_at),
            age: remembered
                .as_ref()
                .map(|fetched| distance(fetched.fetched_at, now)),
            usable: self.usable(now).is_some(),
            last_error: self.last_error.load().as_deref().cloned(),
        }
    }

    /// The remembered keys, unless they are too old for anything.
    fn usable(&self, now: Timestamp) -> Option<Arc<Fetched>> {
        self.remembered
            .load_full()
            .filter(|fetched| distance(fetched.fetched_at, now) <= STALE_MAX)
    }

    /// Sees to it that there are keys to look into, if that is possible. True when it had to wait
    /// for a fetch.
    async fn make_usable(self: &Arc<Self>, now: Timestamp) -> bool {
        let Some(fetched) = self.usable(now) else {
            self.fetch(Why::NoKeys, now).await;
            return true;
        };
        let age = distance(fetched.fetched_at, now);
        if age > fetched.fresh_for.saturating_add(BACKGROUND_PERIOD) {
            self.fetch(Why::NotFresh, now).await;
            return true;
        }
        if age > fetched.fresh_for {
            self.fetch_in_background(now);
        }
        false
    }

    /// Fetches, unless it is too soon; waits for a fetch that is under way. The work is spawned: a
    /// client that hangs up would otherwise use up the minute's one fetch without a result.
    async fn fetch(self: &Arc<Self>, why: Why, now: Timestamp) {
        let keyring = Arc::clone(self);
        let work = tokio::spawn(async move {
            let attempts = Arc::clone(&keyring.attempts).lock_owned().await;
            keyring.fetch_if_due(attempts, why, now).await;
        });
        if let Err(error) = work.await {
            tracing::error!(issuer = self.issuer.name, %error, "fetching keys was cut short");
        }
    }

    fn fetch_in_background(self: &Arc<Self>, now: Timestamp) {
        let Ok(attempts) = Arc::clone(&self.attempts).try_lock_owned() else {
            return;
        };
        if attempts.due(Why::NotFresh, now) {
            let keyring = Arc::clone(self);
            tokio::spawn(async move {
                keyring.fetch_if_due(attempts, Why::NotFresh, now).await;
            });
        }
    }

    /// Holding `attempts` throughout is what makes fetches come one at a time.
    async fn fetch_if_due(
        &self,
        mut attempts: OwnedMutexGuard<Attempts>,
        why: Why,
        now: Timestamp,
    ) {
        if !attempts.due(why, now) {
            return;
        }
        attempts.note(why, now);
        match self.fetcher.keys(&self.issuer, now).await {
            Ok(fetched) => {
                tracing::info!(
                    issuer = self.issuer.name,
                    keys = fetched.keys.len(),
                    fresh_seconds = fetched.fresh_for.as_secs(),
                    "fetched the issuer's keys"
                );
                self.remembered.store(Some(Arc::new(fetched)));
                self.last_error.store(None);
            }
            Err(error) => {
                tracing::warn!(
                    issuer = self.issuer.name,
                    error,
                    "cannot fetch the issuer's keys; keeping those there are"
                );
                self.last_error.store(Some(Arc::new(error)));
            }
        }
    }

    fn unreachable(&self) -> Refusal {
        let error = self.last_error.load();
        let why = error.as_deref().map_or("no attempt was made yet", |e| e);
        Refusal::with_log(
            RefusalCode::IssuerUnreachable,
            format!(
                "the keys of issuer `{}` cannot be fetched at the moment; try again",
                self.issuer.name
            ),
            format!(
                "the keys of issuer `{}` cannot be fetched: {why}",
                self.issuer.name
            ),
        )
    }

    fn unknown_key(&self, kid: &str) -> Refusal {
        Refusal::new(
            RefusalCode::UnknownKey,
            format!(
                "issuer `{}` publishes no key `{}`",
                self.issuer.name,
                seen(kid)
            ),
        )
    }

    fn other_algorithm(&self, kid: &str, algorithm: Algorithm) -> Refusal {
        Refusal::new(
            RefusalCode::BadAlg,
            format!(
                "the key `{}` of issuer `{}` is not for `{algorithm}`",
                seen(kid),
                self.issuer.name
            ),
        )
    }
}

/// How far apart two instants are, whichever came first.
fn distance(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}
