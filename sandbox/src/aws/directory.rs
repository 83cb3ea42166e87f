//! What IAM knows: accounts with their users, roles and managed policies.
//!
//! Reads show what was written; [`Directory::enforced_role`] and [`Directory::enforced_document`] show what is enforced.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::evaluate::Policy;
use super::tags::Tags;
use crate::lagged::Lagged;

/// Every account, by its twelve digits.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) accounts: BTreeMap<String, AccountEntry>,
}

#[derive(Debug, Default)]
pub(crate) struct AccountEntry {
    /// By name in lower case: names that differ only in case are one name.
    pub(crate) roles: BTreeMap<String, Role>,
    /// Deleted roles, by unique id, whose deletion may not be enforced yet.
    pub(crate) departed: BTreeMap<String, Role>,
    pub(crate) users: BTreeMap<String, User>,
    /// By ARN.
    pub(crate) policies: BTreeMap<String, ManagedPolicy>,
}

#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) arn: String,
    pub(crate) created: Timestamp,
    pub(crate) description: Option<String>,
    pub(crate) max_session_seconds: i64,
    pub(crate) tags: Tags,
    pub(crate) rules: Lagged<RoleRules>,
}

/// What makes a role's rights.
#[derive(Clone, Debug)]
pub(crate) struct RoleRules {
    /// False once the role is deleted.
    pub(crate) exists: bool,
    pub(crate) trust: Policy,
    pub(crate) inline: BTreeMap<String, Policy>,
    /// ARNs of managed policies.
    pub(crate) attached: BTreeSet<String>,
    /// ARN of the boundary policy.
    pub(crate) boundary: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) inline: Vec<Policy>,
    pub(crate) attached: Vec<String>,
    pub(crate) boundary: Option<String>,
    pub(crate) tags: Tags,
}

#[derive(Clone, Debug)]
pub(crate) struct ManagedPolicy {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) arn: String,
    pub(crate) description: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) tags: Tags,
    /// Oldest first; at most five.
    pub(crate) versions: Vec<PolicyVersion>,
    pub(crate) default_version: u32,
    /// The highest number ever given: numbers are not used twice.
    pub(crate) last_version: u32,
    pub(crate) enforced: Lagged<Policy>,
}

#[derive(Clone, Debug)]
pub(crate) struct PolicyVersion {
    pub(crate) number: u32,
    pub(crate) document: Policy,
    pub(crate) created: Timestamp,
}

impl ManagedPolicy {
    pub(crate) fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions
            .iter()
            .find(|version| version.number == number)
    }
}

impl Directory {
    pub(crate) fn account(&self, id: &str) -> Option<&AccountEntry> {
        self.accounts.get(id)
    }

    /// The managed policy of this ARN, in whatever account.
    pub(crate) fn managed_policy(&self, arn: &str) -> Option<&ManagedPolicy> {
        self.accounts.get(account_of(arn)?)?.policies.get(arn)
    }

    /// The document of a managed policy that is enforced now.
    pub(crate) fn enforced_document(&self, arn: &str, now: Timestamp) -> Option<Policy> {
        self.managed_policy(arn)?.enforced.enforced(now).cloned()
    }

    /// A role by ARN, as it is enforced now: it may be on its way in, or deleted but still in force.
    pub(crate) fn enforced_role(&self, arn: &str, now: Timestamp) -> Option<(&Role, &RoleRules)> {
        let account = self.accounts.get(account_of(arn)?)?;
        account
            .roles
            .values()
            .chain(account.departed.values())
            .filter(|role| role.arn == arn)
            .filter_map(|role| role.rules.enforced(now).map(|rules| (role, rules)))
            .find(|(_, rules)| rules.exists)
    }

    /// A role by name and unique id, as it is enforced now. A new role under an old name is somebody else.
    pub(crate) fn role_by_id(&self, account: &str, name: &str, id: &str) -> Option<&Role> {
        let account = self.accounts.get(account)?;
        let living = account
            .roles
            .get(&name.to_lowercase())
            .filter(|role| role.id == id);
        living.or_else(|| account.departed.get(id))
    }

    /// The unique id behind the ARN of a user or role.
    pub(crate) fn id_of(&self, arn: &str) -> Option<String> {
        let account = self.accounts.get(account_of(arn)?)?;
        let role = account
            .roles
            .values()
            .find(|role| role.arn == arn)
            .map(|role| &role.id);
        role.or_else(|| {
            account
                .users
                .values()
                .find(|user| user.arn == arn)
                .map(|user| &user.id)
        })
        .cloned()
    }
}

/// The account in an ARN.
pub(crate) fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4)
}

/// How long a document is for IAM's quotas: white space is not counted.
pub(crate) fn counted_length(text: &str) -> usize {
    text.chars().filter(|char| !char.is_whitespace()).count()
}
