//! Projects, service accounts and buckets, and the policy of each.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::errors::{ApiError, Code};
use super::federation::Provider;
use super::pam::Entitlement;
use super::policy::{PolicyState, Surroundings};
use super::roles;
use crate::lagged::Lagged;

/// Something that has a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Resource {
    /// By id.
    Project(String),
    /// By unique id.
    Account(String),
    /// By name.
    Bucket(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) number: u64,
    /// Custom roles by full name.
    pub(crate) custom_roles: BTreeMap<String, Vec<String>>,
}

/// What of an account can be read and changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Face {
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) disabled: bool,
    pub(crate) etag: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) unique_id: String,
    pub(crate) email: String,
    pub(crate) project: String,
    pub(crate) long_lifetimes: bool,
    /// Reads may lag behind what is written.
    pub(crate) face: Lagged<Face>,
    /// As it is enforced, which is not as it is written.
    pub(crate) disabled: Lagged<bool>,
    pub(crate) deleted: bool,
}

impl Account {
    /// An account that was always there.
    pub(crate) fn new(unique_id: String, project: &str, name: &str, face: Face) -> Account {
        Account {
            unique_id,
            email: format!("{name}@{project}.iam.gserviceaccount.com"),
            project: project.to_owned(),
            long_lifetimes: false,
            disabled: Lagged::settled(face.disabled),
            face: Lagged::settled(face),
            deleted: false,
        }
    }

    /// Whether its tokens are refused now.
    pub(crate) fn is_disabled(&self, now: Timestamp) -> bool {
        self.disabled.enforced(now) == Some(&true)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) project: String,
    pub(crate) created: Timestamp,
}

/// Everything that policies are about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    pub(crate) projects: BTreeMap<String, Project>,
    /// By unique id.
    pub(crate) accounts: BTreeMap<String, Account>,
    pub(crate) buckets: BTreeMap<String, Bucket>,
    pub(crate) policies: BTreeMap<Resource, PolicyState>,
    /// Workload identity providers by resource name.
    pub(crate) providers: BTreeMap<String, Provider>,
    /// Entitlements by resource name.
    pub(crate) entitlements: BTreeMap<String, Entitlement>,
}

impl Directory {
    /// A project by id or number.
    pub(crate) fn project(&self, name: &str) -> Option<&Project> {
        self.projects.get(name).or_else(|| {
            let number: u64 = name.parse().ok()?;
            self.projects
                .values()
                .find(|project| project.number == number)
        })
    }

    /// A service account by address or unique id, unless it was deleted.
    pub(crate) fn account(&self, name: &str) -> Option<&Account> {
        let by_email = || {
            self.accounts
                .values()
                .find(|account| account.email == name && !account.deleted)
        };
        self.accounts
            .get(name)
            .filter(|account| !account.deleted)
            .or_else(by_email)
    }

    pub(crate) fn account_mut(&mut self, unique_id: &str) -> Result<&mut Account, ApiError> {
        self.accounts
            .get_mut(unique_id)
            .ok_or_else(|| ApiError::new(Code::Internal, "An account is gone that was just there."))
    }

    pub(crate) fn policy_mut(&mut self, resource: &Resource) -> Result<&mut PolicyState, ApiError> {
        self.policies
            .get_mut(resource)
            .ok_or_else(|| ApiError::new(Code::Internal, "A policy is gone that was just there."))
    }

    pub(crate) fn policy(&self, resource: &Resource) -> Result<&PolicyState, ApiError> {
        self.policies
            .get(resource)
            .ok_or_else(|| ApiError::new(Code::Internal, "A policy is gone that was just there."))
    }

    /// The project a resource belongs to.
    pub(crate) fn project_of(&self, resource: &Resource) -> Option<&str> {
        match resource {
            Resource::Project(id) => self.projects.get(id).map(|project| project.id.as_str()),
            Resource::Account(id) => self
                .accounts
                .get(id)
                .map(|account| account.project.as_str()),
            Resource::Bucket(name) => self.buckets.get(name).map(|bucket| bucket.project.as_str()),
        }
    }

    /// Whether a role, predefined or custom, holds a permission.
    pub(crate) fn role_holds(&self, role: &str, permission: &str) -> bool {
        roles::holds(role, permission)
            || self
                .custom_role(role)
                .is_some_and(|holds| holds.iter().any(|own| own == permission))
    }

    /// Whether any role at all holds the permission: nothing can be asked about others.
    pub(crate) fn has_permission(&self, permission: &str) -> bool {
        let mut custom = self
            .projects
            .values()
            .flat_map(|project| project.custom_roles.values());
        roles::is_permission(permission)
            || custom.any(|holds| holds.iter().any(|own| own == permission))
    }

    fn custom_role(&self, role: &str) -> Option<&Vec<String>> {
        self.projects
            .values()
            .find_map(|project| project.custom_roles.get(role))
    }
}

impl Surroundings for Directory {
    fn has_role(&self, role: &str) -> bool {
        roles::is_predefined(role) || self.custom_role(role).is_some()
    }

    fn has_account(&self, email: &str) -> bool {
        self.account(email).is_some()
    }
}
