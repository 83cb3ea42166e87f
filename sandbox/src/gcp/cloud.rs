//! The running cloud: everything the APIs share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::estate::Estate;
use super::founding::EstateError;
use super::identifiers::Identifiers;
use super::limits::{RateLimits, Rates};
use super::pam::Grants;
use super::policy::Delays;
use super::principals::Principal;
use super::storage::Objects;
use super::tokens::Tokens;
use crate::clock::SandboxClock;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::shared::Shared;

/// The etag of a policy that nobody has written yet.
pub(crate) const BLANK_ETAG: &str = "ACAB";

/// How long after a write its effects come, in seconds of the sandbox's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lags {
    /// Until a new binding counts.
    pub grant_seconds: i64,
    /// Until a removed binding no longer counts.
    pub revoke_seconds: i64,
    /// Until a disabled account's tokens are refused.
    pub disable_seconds: i64,
    /// Until an enabled account's tokens are taken.
    pub enable_seconds: i64,
    /// How long reads of policies and accounts show what was there before. Writes are compared with the truth.
    pub read_seconds: i64,
}

/// What Google does where it does not say. All off is worst for whoever hopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Habits {
    /// A resumable upload is refused once the account that began it is disabled.
    pub uploads_end_with_account: bool,
    /// A mint for a disabled account is answered with `FAILED_PRECONDITION`, and not as a missing right is.
    pub disabled_is_precondition: bool,
    /// A policy that is written back unchanged keeps its etag.
    pub etags_stay: bool,
    /// Privileged Access Manager says `REVOKED` while the binding still stands in the policy.
    pub revoked_before_removed: bool,
    /// A token that an access boundary narrowed works on when its account is disabled.
    pub narrowed_outlive_account: bool,
}

/// Settings that can be changed while the cloud runs.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    lags: Mutex<Lags>,
    habits: Mutex<Habits>,
    ignore_disabling: AtomicBool,
}

impl Settings {
    pub(crate) fn lags(&self) -> Lags {
        *self.lags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_lags(&self, lags: Lags) {
        *self.lags.lock().unwrap_or_else(PoisonError::into_inner) = lags;
    }

    pub(crate) fn habits(&self) -> Habits {
        *self.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_habits(&self, habits: Habits) {
        *self.habits.lock().unwrap_or_else(PoisonError::into_inner) = habits;
    }

    pub(crate) fn ignores_disabling(&self) -> bool {
        self.ignore_disabling.load(Ordering::SeqCst)
    }

    pub(crate) fn set_ignore_disabling(&self, ignore: bool) {
        self.ignore_disabling.store(ignore, Ordering::SeqCst);
    }

    /// The lags of a policy write.
    pub(crate) fn delays(&self) -> Delays {
        let lags = self.lags();
        Delays {
            grant: SignedDuration::from_secs(lags.grant_seconds),
            revoke: SignedDuration::from_secs(lags.revoke_seconds),
            read: SignedDuration::from_secs(lags.read_seconds),
        }
    }
}

/// Everything behind the port.
pub(crate) struct Cloud {
    pub(crate) estate: Estate,
    pub(crate) settings: Settings,
    pub(crate) clock: SandboxClock,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) identifiers: Identifiers,
    pub(crate) directory: Shared<Directory>,
    pub(crate) tokens: Tokens,
    pub(crate) objects: Shared<Objects>,
    pub(crate) grants: Shared<Grants>,
    pub(crate) rates: Rates,
}

impl Cloud {
    pub(crate) fn found(
        estate: Estate,
        seed: Option<u64>,
        limits: RateLimits,
    ) -> Result<Arc<Cloud>, EstateError> {
        let cloud = Cloud {
            estate,
            settings: Settings::default(),
            clock: SandboxClock::default(),
            faults: Faults::default(),
            journal: Journal::default(),
            identifiers: Identifiers::new(seed),
            directory: Shared::default(),
            tokens: Tokens::default(),
            objects: Shared::default(),
            grants: Shared::default(),
            rates: Rates::new(limits),
        };
        cloud.populate()?;
        Ok(Arc::new(cloud))
    }

    /// The principal somebody means by an address, with or without `user:` or `serviceAccount:` before it.
    pub(crate) fn principal(&self, who: &str) -> Option<Principal> {
        let email = who.split_once(':').map_or(who, |(_, email)| email);
        let directory = self.directory.read();
        if let Some(account) = directory.account(email) {
            return Some(Principal::Account {
                unique_id: account.unique_id.clone(),
                email: account.email.clone(),
            });
        }
        let user = self.estate.users.iter().find(|user| *user == email)?;
        Some(Principal::User {
            email: user.clone(),
        })
    }
}

/// A time without the fraction of its second, as Google tells times of expiry.
pub(crate) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
