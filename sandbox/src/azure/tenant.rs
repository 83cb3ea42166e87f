//! What does not change while the cloud runs: which places exist, which roles there are, who is who.

use std::collections::BTreeMap;
use std::collections::HashSet;

use thiserror::Error;
use uuid::Uuid;

use super::estate::{
    Estate, FEDERATED_CREDENTIALS_MAX, KeyVault, KeyVersion, PrincipalType, ResourceGroup,
    StorageAccount, Subscription,
};
use super::roles::{self, RoleDefinition};
use super::scope::{Hierarchy, Kind, Scope};

/// First path segments that are not storage accounts.
const RESERVED_NAMES: [&str; 5] = ["subscriptions", "providers", "tenants", "metadata", "keys"];

/// Why an estate cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EstateError {
    /// Something is there twice.
    #[error("`{0}` appears twice in the estate")]
    Twice(String),
    /// A scope cannot be read, or is nowhere in the estate.
    #[error("the estate has no scope `{0}`")]
    Scope(String),
    /// A role is nowhere in the estate.
    #[error("the estate has no role `{0}`")]
    Role(Uuid),
    /// A principal is nowhere in the estate.
    #[error("the estate has no principal `{0}`")]
    Principal(Uuid),
    /// A condition is not understood.
    #[error("the condition of `{principal}` is not understood: {reason}")]
    Condition {
        /// Whose.
        principal: Uuid,
        /// Why not.
        reason: String,
    },
    /// A storage account cannot be called that.
    #[error(
        "a storage account cannot be called `{0}`: 3 to 24 small letters and digits, and no word of the API"
    )]
    AccountName(String),
    /// An app trusts too many.
    #[error("the app `{0}` has more than {FEDERATED_CREDENTIALS_MAX} federated credentials")]
    FederatedCredentials(String),
    /// A key cannot be called that.
    #[error(
        "`{0}` is not a key's name and version: letters, digits and `-`, and 32 hexadecimal digits"
    )]
    Key(String),
    /// A duration of a policy cannot be read.
    #[error("`{0}` is not a duration such as `PT8H` or `P90D`")]
    Duration(String),
}

/// Who an object id is.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) name: String,
    pub(crate) kind: PrincipalType,
}

pub(crate) struct Tenant {
    pub(crate) id: Uuid,
    pub(crate) roles: BTreeMap<Uuid, RoleDefinition>,
    pub(crate) hierarchy: Hierarchy,
    /// Display names of subscriptions.
    pub(crate) subscriptions: BTreeMap<Uuid, String>,
    /// Where each storage account is.
    pub(crate) accounts: BTreeMap<String, Scope>,
    /// Where each key is.
    pub(crate) keys: BTreeMap<String, Scope>,
    principals: BTreeMap<Uuid, Principal>,
    places: HashSet<Scope>,
}

impl Tenant {
    pub(crate) fn found(estate: &Estate) -> Result<Tenant, EstateError> {
        let mut tenant = Tenant {
            id: estate.tenant_id,
            roles: BTreeMap::new(),
            hierarchy: Hierarchy::default(),
            subscriptions: BTreeMap::new(),
            accounts: BTreeMap::new(),
            keys: BTreeMap::new(),
            principals: BTreeMap::new(),
            places: HashSet::from([Scope::tenant()]),
        };
        for role in roles::built_in()
            .into_iter()
            .chain(estate.roles.iter().cloned())
        {
            if let Some(twice) = tenant.roles.insert(role.id, role) {
                return Err(EstateError::Twice(twice.name));
            }
        }
        tenant.add_principals(estate)?;
        for subscription in &estate.subscriptions {
            tenant.add_subscription(subscription)?;
        }
        Ok(tenant)
    }

    fn add_principals(&mut self, estate: &Estate) -> Result<(), EstateError> {
        for app in &estate.apps {
            if app.federated.len() > FEDERATED_CREDENTIALS_MAX {
                return Err(EstateError::FederatedCredentials(app.name.clone()));
            }
        }
        let apps = estate.apps.iter().map(|app| {
            let kind = PrincipalType::ServicePrincipal;
            (app.object_id, app.name.clone(), kind)
        });
        let people = estate
            .people
            .iter()
            .map(|person| (person.object_id, person.name.clone(), person.kind));
        for (id, name, kind) in apps.chain(people) {
            if let Some(twice) = self.principals.insert(id, Principal { name, kind }) {
                return Err(EstateError::Twice(twice.name));
            }
        }
        Ok(())
    }

    fn add_subscription(&mut self, subscription: &Subscription) -> Result<(), EstateError> {
        let scope = Scope::subscription(subscription.id);
        if let Some(group) = &subscription.management_group {
            let path = format!("/providers/Microsoft.Management/managementGroups/{group}");
            let group = Scope::parse(&path).ok_or_else(|| EstateError::Scope(path.clone()))?;
            self.places.insert(group.clone());
            self.hierarchy.group_of.insert(subscription.id, group);
        }
        self.subscriptions
            .insert(subscription.id, subscription.name.clone());
        self.add_place(scope.clone())?;
        for group in &subscription.groups {
            self.add_group(&scope, group)?;
        }
        Ok(())
    }

    fn add_group(
        &mut self,
        subscription: &Scope,
        group: &ResourceGroup,
    ) -> Result<(), EstateError> {
        let scope = subscription.below(&format!("resourceGroups/{}", group.name));
        self.add_place(scope.clone())?;
        for resource in &group.resources {
            let place = scope.below(&format!("providers/{resource}"));
            let path = place.to_string();
            self.add_place(Scope::parse(&path).ok_or(EstateError::Scope(path))?)?;
        }
        for account in &group.accounts {
            self.add_account(&scope, account)?;
        }
        for vault in &group.vaults {
            self.add_vault(&scope, vault)?;
        }
        Ok(())
    }

    fn add_vault(&mut self, group: &Scope, vault: &KeyVault) -> Result<(), EstateError> {
        let scope = group.below(&format!(
            "providers/Microsoft.KeyVault/vaults/{}",
            vault.name
        ));
        for (name, versions) in &vault.keys {
            let plain = |char: char| char.is_ascii_alphanumeric() || char == '-';
            let hex = |char: char| char.is_ascii_digit() || ('a'..='f').contains(&char);
            let is_name = !name.is_empty() && name.chars().all(plain);
            for KeyVersion { version, .. } in versions {
                if !is_name || version.len() != 32 || !version.chars().all(hex) {
                    return Err(EstateError::Key(format!("{name}/{version}")));
                }
            }
            let place = scope.below(&format!("keys/{name}"));
            if self.keys.insert(name.clone(), place.clone()).is_some() {
                return Err(EstateError::Twice(name.clone()));
            }
            self.add_place(place)?;
        }
        self.add_place(scope)
    }

    fn add_account(&mut self, group: &Scope, account: &StorageAccount) -> Result<(), EstateError> {
        let name = &account.name;
        let is_name = (3..=24).contains(&name.len())
            && name
                .chars()
                .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit())
            && !RESERVED_NAMES.contains(&name.as_str());
        if !is_name {
            return Err(EstateError::AccountName(name.clone()));
        }
        let scope = group.below(&format!(
            "providers/Microsoft.Storage/storageAccounts/{name}"
        ));
        if self.accounts.insert(name.clone(), scope.clone()).is_some() {
            return Err(EstateError::Twice(name.clone()));
        }
        for container in account.containers.keys() {
            self.add_place(container_scope(&scope, container))?;
        }
        self.add_place(scope)
    }

    fn add_place(&mut self, scope: Scope) -> Result<(), EstateError> {
        if self.places.contains(&scope) {
            return Err(EstateError::Twice(scope.to_string()));
        }
        self.places.insert(scope);
        Ok(())
    }

    pub(crate) fn exists(&self, scope: &Scope) -> bool {
        self.places.contains(scope)
    }

    pub(crate) fn principal(&self, id: Uuid) -> Option<&Principal> {
        self.principals.get(&id)
    }

    /// Every place below a scope of this kind, in a stable order.
    pub(crate) fn places_in(&self, scope: &Scope, kind: Kind) -> Vec<&Scope> {
        let is_meant = |place: &&Scope| place.kind() == kind && self.hierarchy.covers(scope, place);
        let mut places: Vec<&Scope> = self.places.iter().filter(is_meant).collect();
        places.sort_by_key(|place| place.to_string());
        places
    }

    /// What people call a scope.
    pub(crate) fn display_name(&self, scope: &Scope) -> String {
        let subscription = scope
            .subscription_id()
            .filter(|_| scope.kind() == Kind::Subscription)
            .and_then(|id| self.subscriptions.get(&id));
        subscription
            .cloned()
            .unwrap_or_else(|| scope.last_name().to_owned())
    }
}

/// Where a container is.
pub(crate) fn container_scope(account: &Scope, container: &str) -> Scope {
    account.below(&format!("blobServices/default/containers/{container}"))
}
