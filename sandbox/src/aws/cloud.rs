//! The running cloud: everything the services share, and how an estate becomes one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use crate::clock::SandboxClock;
use crate::faults::Faults;
use crate::journal::Journal;

use super::credentials::{Key, Keyring, Principal};
use super::directory::{
    AccountEntry, Directory, ManagedPolicy, PolicyVersion, Role, RoleRules, User,
};
use super::estate::{self, AccessKey, Estate, PolicyText};
use super::evaluate::{Malformed, Policy, PolicyKind, PrincipalName};
use super::identifiers::Identifiers;
use super::limits::{RateLimits, Rates};
use super::s3::Storage;
use super::tags::Tags;
use crate::lagged::Lagged;
use crate::shared::Shared;

/// Why an estate cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EstateError {
    /// An account id is not twelve digits.
    #[error("the account id `{0}` is not twelve digits")]
    AccountId(String),
    /// Something is there twice.
    #[error("`{0}` appears twice in the estate")]
    Twice(String),
    /// A policy does not parse.
    #[error("the policy of `{owner}` is malformed: {reason}")]
    Policy {
        /// What it is attached to.
        owner: String,
        /// What is wrong with it.
        reason: Malformed,
    },
    /// A policy names a principal the estate does not have.
    #[error("the policy of `{owner}` names `{principal}`, which the estate does not have")]
    Principal {
        /// What it is attached to.
        owner: String,
        /// The missing principal.
        principal: String,
    },
    /// A managed policy that is attached somewhere does not exist.
    #[error(
        "`{owner}` refers to the managed policy `{policy_arn}`, which the estate does not have"
    )]
    Attachment {
        /// Who refers to it.
        owner: String,
        /// The missing policy.
        policy_arn: String,
    },
    /// A role's longest session is out of bounds.
    #[error("the role `{0}` allows sessions outside 3600..=43200 seconds")]
    MaxSession(String),
}

/// Settings that can be changed while the cloud runs.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    ignore_deny: AtomicBool,
    iam_lag_seconds: AtomicI64,
}

impl Settings {
    pub(crate) fn ignore_deny(&self) -> bool {
        self.ignore_deny.load(Ordering::SeqCst)
    }

    pub(crate) fn set_ignore_deny(&self, ignore: bool) {
        self.ignore_deny.store(ignore, Ordering::SeqCst);
    }

    pub(crate) fn iam_lag_seconds(&self) -> i64 {
        self.iam_lag_seconds.load(Ordering::SeqCst)
    }

    pub(crate) fn set_iam_lag_seconds(&self, seconds: i64) {
        self.iam_lag_seconds.store(seconds, Ordering::SeqCst);
    }
}

/// Everything behind the port.
pub(crate) struct Cloud {
    /// The estate it was built from, with every made-up key filled in.
    pub(crate) estate: Estate,
    pub(crate) settings: Settings,
    pub(crate) clock: SandboxClock,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) identifiers: Identifiers,
    pub(crate) directory: Shared<Directory>,
    pub(crate) keyring: Keyring,
    pub(crate) storage: Storage,
    pub(crate) rates: Rates,
}

impl Cloud {
    pub(crate) fn found(
        mut estate: Estate,
        seed: Option<u64>,
        rates: RateLimits,
    ) -> Result<Cloud, EstateError> {
        let identifiers = Identifiers::new(seed);
        fill_in_keys(&mut estate, &identifiers);
        let cloud = Cloud {
            estate,
            settings: Settings::default(),
            clock: SandboxClock::default(),
            faults: Faults::default(),
            journal: Journal::default(),
            identifiers,
            directory: Shared::default(),
            keyring: Keyring::default(),
            storage: Storage::default(),
            rates: Rates::new(rates),
        };
        cloud.populate()?;
        Ok(cloud)
    }

    /// Puts everything back to what the estate says. Keys of the estate stay, sessions are gone.
    pub(crate) fn populate(&self) -> Result<(), EstateError> {
        let mut directory = Directory::default();
        for account in &self.estate.accounts {
            let entry = self.account_entry(account)?;
            if directory
                .accounts
                .insert(account.id.clone(), entry)
                .is_some()
            {
                return Err(EstateError::Twice(account.id.clone()));
            }
        }
        bind_trust(&mut directory)?;
        check_attachments(&directory)?;
        self.storage
            .populate(&self.estate, &directory, self.clock.now())?;
        self.keyring.clear();
        for account in &self.estate.accounts {
            self.add_keys(account);
        }
        *self.directory.write() = directory;
        Ok(())
    }

    /// When a write made now begins to be enforced.
    pub(crate) fn enforced_from(&self, now: Timestamp) -> Timestamp {
        let lag = SignedDuration::from_secs(self.settings.iam_lag_seconds());
        now.saturating_add(lag).unwrap_or(Timestamp::MAX)
    }

    fn account_entry(&self, account: &estate::Account) -> Result<AccountEntry, EstateError> {
        if account.id.len() != 12 || !account.id.chars().all(|char| char.is_ascii_digit()) {
            return Err(EstateError::AccountId(account.id.clone()));
        }
        let mut entry = AccountEntry::default();
        for policy in &account.managed_policies {
            let policy = self.managed_policy(&account.id, policy)?;
            if let Some(twice) = entry.policies.insert(policy.arn.clone(), policy) {
                return Err(EstateError::Twice(twice.arn));
            }
        }
        for user in &account.users {
            let user = self.user(&account.id, user)?;
            if let Some(twice) = entry.users.insert(user.name.clone(), user) {
                return Err(EstateError::Twice(twice.arn));
            }
        }
        for role in &account.roles {
            let role = self.role(&account.id, role)?;
            if let Some(twice) = entry.roles.insert(role.name.to_lowercase(), role) {
                return Err(EstateError::Twice(twice.arn));
            }
        }
        Ok(entry)
    }

    fn managed_policy(
        &self,
        account: &str,
        policy: &estate::ManagedPolicy,
    ) -> Result<ManagedPolicy, EstateError> {
        let arn = format!(
            "arn:aws:iam::{account}:policy{}{}",
            policy.path, policy.name
        );
        let document = parsed(&arn, &policy.document, PolicyKind::Identity)?;
        let now = self.clock.now();
        Ok(ManagedPolicy {
            id: self.identifiers.unique_id("ANPA"),
            name: policy.name.clone(),
            path: policy.path.clone(),
            description: None,
            created: now,
            updated: now,
            tags: Tags::default(),
            versions: vec![PolicyVersion {
                number: 1,
                document: document.clone(),
                created: now,
            }],
            default_version: 1,
            last_version: 1,
            enforced: Lagged::settled(document),
            arn,
        })
    }

    fn user(&self, account: &str, user: &estate::User) -> Result<User, EstateError> {
        let arn = format!("arn:aws:iam::{account}:user{}{}", user.path, user.name);
        Ok(User {
            id: self.identifiers.unique_id("AIDA"),
            name: user.name.clone(),
            inline: inline(&arn, &user.inline)?.into_values().collect(),
            attached: user.attached.clone(),
            boundary: user.boundary.clone(),
            tags: Tags::from_map(&user.tags),
            arn,
        })
    }

    fn role(&self, account: &str, role: &estate::Role) -> Result<Role, EstateError> {
        let arn = format!("arn:aws:iam::{account}:role{}{}", role.path, role.name);
        if !(3_600..=43_200).contains(&role.max_session_seconds) {
            return Err(EstateError::MaxSession(arn));
        }
        let rules = RoleRules {
            exists: true,
            trust: parsed(&arn, &role.trust, PolicyKind::Trust)?,
            inline: inline(&arn, &role.inline)?,
            attached: role.attached.iter().cloned().collect(),
            boundary: role.boundary.clone(),
        };
        Ok(Role {
            id: self.identifiers.unique_id("AROA"),
            name: role.name.clone(),
            path: role.path.clone(),
            arn,
            created: self.clock.now(),
            description: None,
            max_session_seconds: i64::from(role.max_session_seconds),
            tags: Tags::from_map(&role.tags),
            rules: Lagged::settled(rules),
        })
    }

    fn add_keys(&self, account: &estate::Account) {
        let key = |key: &AccessKey, owner: Principal| {
            self.keyring.add(
                &key.access_key_id,
                Key {
                    secret: key.secret_access_key.clone(),
                    token: None,
                    owner,
                },
            );
        };
        if let Some(root) = &account.root {
            key(
                root,
                Principal::Root {
                    account: account.id.clone(),
                },
            );
        }
        for user in &account.users {
            for user_key in &user.access_keys {
                key(
                    user_key,
                    Principal::User {
                        account: account.id.clone(),
                        name: user.name.clone(),
                    },
                );
            }
        }
    }
}

impl Cloud {
    /// A fresh cloud behind an [`Arc`], as the server holds it.
    pub(crate) fn shared(
        estate: Estate,
        seed: Option<u64>,
        rates: RateLimits,
    ) -> Result<Arc<Cloud>, EstateError> {
        Cloud::found(estate, seed, rates).map(Arc::new)
    }
}

fn fill_in_keys(estate: &mut Estate, identifiers: &Identifiers) {
    let made_up = || AccessKey {
        access_key_id: identifiers.access_key_id("AKIA"),
        secret_access_key: identifiers.secret(),
    };
    for account in &mut estate.accounts {
        account.root.get_or_insert_with(made_up);
        for user in &mut account.users {
            if user.access_keys.is_empty() {
                user.access_keys.push(made_up());
            }
        }
    }
}

fn parsed(owner: &str, text: &PolicyText, kind: PolicyKind) -> Result<Policy, EstateError> {
    Policy::parse(&text.0, kind).map_err(|reason| EstateError::Policy {
        owner: owner.to_owned(),
        reason,
    })
}

fn inline(
    owner: &str,
    policies: &BTreeMap<String, PolicyText>,
) -> Result<BTreeMap<String, Policy>, EstateError> {
    policies
        .iter()
        .map(|(name, text)| Ok((name.clone(), parsed(owner, text, PolicyKind::Identity)?)))
        .collect()
}

/// Trust policies may name roles that come later in the estate, so they are bound once all are there.
fn bind_trust(directory: &mut Directory) -> Result<(), EstateError> {
    let mut bound = Vec::new();
    for (id, account) in &directory.accounts {
        for (name, role) in &account.roles {
            let mut rules = role.rules.written().clone();
            rules.trust =
                directory
                    .bound(&rules.trust)
                    .map_err(|principal| EstateError::Principal {
                        owner: role.arn.clone(),
                        principal,
                    })?;
            bound.push((id.clone(), name.clone(), rules));
        }
    }
    for (account, name, rules) in bound {
        if let Some(role) = directory
            .accounts
            .get_mut(&account)
            .and_then(|account| account.roles.get_mut(&name))
        {
            role.rules = Lagged::settled(rules);
        }
    }
    Ok(())
}

fn check_attachments(directory: &Directory) -> Result<(), EstateError> {
    let check = |owner: &str, arn: &String| match directory.managed_policy(arn) {
        Some(_) => Ok(()),
        None => Err(EstateError::Attachment {
            owner: owner.to_owned(),
            policy_arn: arn.clone(),
        }),
    };
    for account in directory.accounts.values() {
        for role in account.roles.values() {
            let rules = role.rules.written();
            rules
                .attached
                .iter()
                .chain(&rules.boundary)
                .try_for_each(|arn| check(&role.arn, arn))?;
        }
        for user in account.users.values() {
            user.attached
                .iter()
                .chain(&user.boundary)
                .try_for_each(|arn| check(&user.arn, arn))?;
        }
    }
    Ok(())
}

impl Directory {
    /// A policy whose user and role ARNs stand for the unique ids behind them now; `Err` names a principal
    /// that does not exist.
    pub(crate) fn bound(&self, policy: &Policy) -> Result<Policy, String> {
        for principal in policy.principals() {
            let missing = match principal {
                PrincipalName::Entity { arn, .. } if self.id_of(arn).is_none() => arn,
                PrincipalName::Account(account) if !self.accounts.contains_key(account) => account,
                _ => continue,
            };
            return Err(missing.clone());
        }
        Ok(policy.bound(|arn| self.id_of(arn)))
    }
}
