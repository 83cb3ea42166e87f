//! How an estate becomes a cloud, and a cloud its estate again.

use std::collections::BTreeMap;

use thiserror::Error;

use super::cloud::{BLANK_ETAG, Cloud};
use super::directory::{Account, Bucket, Directory, Face, Project, Resource};
use super::estate;
use super::expressions::Expression;
use super::federation::{Provider, ProviderError};
use super::pam::{Entitlement, Grants};
use super::policy::{self, Document, PolicyState, Surroundings};
use super::principals::is_member;
use super::storage::Objects;

/// Why an estate cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EstateError {
    /// Something is there twice.
    #[error("`{0}` appears twice in the estate")]
    Twice(String),
    /// A unique id is not 21 digits.
    #[error("the unique id `{0}` is not 21 digits")]
    UniqueId(String),
    /// A binding names a role or member that cannot be, or a condition that does not parse.
    #[error("the policy of `{owner}` does not hold together: {reason}")]
    Policy {
        /// Whose policy.
        owner: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A workload identity provider that cannot be.
    #[error("the provider `{name}` does not hold together: {reason}")]
    Provider {
        /// Which one.
        name: String,
        /// What is wrong with it.
        reason: ProviderError,
    },
    /// An entitlement that cannot be.
    #[error("the entitlement `{id}` does not hold together: {reason}")]
    Entitlement {
        /// Which one.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The metadata server speaks for an account that is not there.
    #[error("the metadata account `{0}` is not in the estate")]
    MetadataAccount(String),
}

impl Cloud {
    /// Puts everything back to what the estate says. Tokens are gone.
    pub(crate) fn populate(&self) -> Result<(), EstateError> {
        let mut directory = Directory::default();
        let mut objects = Objects::default();
        for project in &self.estate.projects {
            self.add_project(&mut directory, project)?;
            for bucket in &project.buckets {
                self.add_bucket(&mut directory, &mut objects, &project.id, bucket)?;
            }
        }
        // Policies may name accounts that come later in the estate, so they follow when all are there.
        for project in &self.estate.projects {
            self.add_policies(&mut directory, project)?;
        }
        if let Some(email) = &self.estate.metadata_account
            && directory.account(email).is_none()
        {
            return Err(EstateError::MetadataAccount(email.clone()));
        }
        *self.directory.write() = directory;
        *self.objects.write() = objects;
        *self.grants.write() = Grants::default();
        self.tokens.clear();
        Ok(())
    }

    fn add_project(
        &self,
        directory: &mut Directory,
        project: &estate::Project,
    ) -> Result<(), EstateError> {
        let custom_roles = project.custom_roles.iter().map(|(name, permissions)| {
            (
                format!("projects/{}/roles/{name}", project.id),
                permissions.clone(),
            )
        });
        let entry = Project {
            id: project.id.clone(),
            number: project.number,
            custom_roles: custom_roles.collect(),
        };
        if directory.project(&project.id).is_some()
            || directory.project(&project.number.to_string()).is_some()
        {
            return Err(EstateError::Twice(project.id.clone()));
        }
        directory.projects.insert(project.id.clone(), entry);
        add_providers(directory, project)?;
        self.add_entitlements(directory, project)?;
        for account in &project.accounts {
            let account = self.account(&project.id, account)?;
            if directory.account(&account.email).is_some()
                || directory.accounts.contains_key(&account.unique_id)
            {
                return Err(EstateError::Twice(account.email));
            }
            directory
                .accounts
                .insert(account.unique_id.clone(), account);
        }
        Ok(())
    }

    fn add_entitlements(
        &self,
        directory: &mut Directory,
        project: &estate::Project,
    ) -> Result<(), EstateError> {
        for entitlement in &project.entitlements {
            let wrong = |reason| EstateError::Entitlement {
                id: entitlement.id.clone(),
                reason,
            };
            if let Some(role) = entitlement
                .roles
                .iter()
                .find(|role| !directory.has_role(role))
            {
                return Err(wrong(format!("there is no role `{role}`")));
            }
            let etag = self.identifiers.etag();
            let entry = Entitlement::new(&project.id, entitlement, self.clock.now(), etag)
                .map_err(wrong)?;
            let name = entry.name.clone();
            if directory.entitlements.insert(name.clone(), entry).is_some() {
                return Err(EstateError::Twice(name));
            }
        }
        Ok(())
    }

    fn account(
        &self,
        project: &str,
        account: &estate::ServiceAccount,
    ) -> Result<Account, EstateError> {
        let unique_id = account
            .unique_id
            .clone()
            .unwrap_or_else(|| self.identifiers.account_id());
        if unique_id.len() != 21 || !unique_id.chars().all(|char| char.is_ascii_digit()) {
            return Err(EstateError::UniqueId(unique_id));
        }
        let face = Face {
            display_name: String::new(),
            description: account.description.clone(),
            disabled: account.disabled,
            etag: self.identifiers.etag(),
        };
        Ok(Account {
            long_lifetimes: account.long_lifetimes,
            ..Account::new(unique_id, project, &account.name, face)
        })
    }

    fn add_bucket(
        &self,
        directory: &mut Directory,
        objects: &mut Objects,
        project: &str,
        bucket: &estate::Bucket,
    ) -> Result<(), EstateError> {
        let now = self.clock.now();
        let entry = Bucket {
            name: bucket.name.clone(),
            project: project.to_owned(),
            created: now,
        };
        if directory
            .buckets
            .insert(bucket.name.clone(), entry)
            .is_some()
        {
            return Err(EstateError::Twice(bucket.name.clone()));
        }
        for (name, text) in &bucket.objects {
            objects.put(
                &bucket.name,
                name,
                text.clone().into(),
                "text/plain",
                BTreeMap::new(),
                now,
            );
        }
        Ok(())
    }

    fn add_policies(
        &self,
        directory: &mut Directory,
        project: &estate::Project,
    ) -> Result<(), EstateError> {
        let mut policies = vec![(
            Resource::Project(project.id.clone()),
            project.id.clone(),
            &project.bindings,
        )];
        for account in &project.accounts {
            let email = format!("{}@{}.iam.gserviceaccount.com", account.name, project.id);
            let unique_id = directory
                .account(&email)
                .map(|account| account.unique_id.clone());
            policies.push((
                Resource::Account(unique_id.unwrap_or_default()),
                email,
                &account.bindings,
            ));
        }
        for bucket in &project.buckets {
            policies.push((
                Resource::Bucket(bucket.name.clone()),
                bucket.name.clone(),
                &bucket.bindings,
            ));
        }
        for (resource, owner, bindings) in policies {
            let document = self
                .document(directory, bindings)
                .map_err(|reason| EstateError::Policy { owner, reason })?;
            directory
                .policies
                .insert(resource, PolicyState::settled(document));
        }
        Ok(())
    }

    fn document(
        &self,
        directory: &Directory,
        bindings: &[estate::Binding],
    ) -> Result<Document, String> {
        if bindings.is_empty() {
            return Ok(Document::blank(BLANK_ETAG));
        }
        let bindings = bindings
            .iter()
            .map(|binding| self::binding(directory, binding));
        let bindings = bindings.collect::<Result<_, _>>()?;
        Ok(Document::new(bindings, Vec::new(), self.identifiers.etag()))
    }
}

fn add_providers(directory: &mut Directory, project: &estate::Project) -> Result<(), EstateError> {
    for pool in &project.pools {
        for provider in &pool.providers {
            let provider = Provider::new(project.number, &pool.id, provider).map_err(|reason| {
                EstateError::Provider {
                    name: provider.id.clone(),
                    reason,
                }
            })?;
            let name = provider.name().to_owned();
            if directory.providers.insert(name.clone(), provider).is_some() {
                return Err(EstateError::Twice(name));
            }
        }
    }
    Ok(())
}

fn binding(directory: &Directory, binding: &estate::Binding) -> Result<policy::Binding, String> {
    if !directory.has_role(&binding.role) {
        return Err(format!("there is no role `{}`", binding.role));
    }
    for member in &binding.members {
        let missing = member
            .strip_prefix("serviceAccount:")
            .is_some_and(|email| !directory.has_account(email));
        if !is_member(member) || missing {
            return Err(format!("there is no member `{member}`"));
        }
    }
    let condition = binding.condition.as_ref().map(|condition| {
        Ok::<_, String>(policy::Condition {
            title: condition.title.clone(),
            description: String::new(),
            location: String::new(),
            expression: Expression::condition(&condition.expression)?,
        })
    });
    Ok(policy::Binding {
        role: binding.role.clone(),
        members: binding.members.iter().cloned().collect(),
        condition: condition.transpose()?,
    })
}
