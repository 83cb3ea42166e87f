//! What exists when the cloud starts: a tenant, subscriptions with groups and storage, app registrations, roles and
//! who has them. Built in code or read from TOML or JSON.
//!
//! ```
//! use jitney_sandbox::azure::estate::{App, Estate, ResourceGroup, StorageAccount, Subscription};
//! use jitney_sandbox::azure::builtin;
//! use uuid::uuid;
//!
//! let subscription = uuid!("11111111-1111-1111-1111-111111111111");
//! let broker = uuid!("22222222-2222-2222-2222-222222222222");
//! let estate = Estate::new(uuid!("99999999-9999-9999-9999-999999999999"))
//!     .subscription(Subscription::new(subscription, "prod").group(
//!         ResourceGroup::new("artifacts").account(StorageAccount::new("artifactsprod").container("releases")),
//!     ))
//!     .app(App::new(uuid!("33333333-3333-3333-3333-333333333333"), broker, "broker"))
//!     .assignment(&format!("/subscriptions/{subscription}"), builtin::USER_ACCESS_ADMINISTRATOR, broker, None);
//! # let _ = estate;
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::roles::RoleDefinition;

use crate::estate_file::{self, EstateFileError};

/// The audience that assertions are made for.
pub const EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";
/// Role assignments a subscription may have.
pub const ROLE_ASSIGNMENTS_MAX: usize = 4_000;
/// Federated credentials an app may have.
pub const FEDERATED_CREDENTIALS_MAX: usize = 20;

/// The whole estate: one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estate {
    /// The tenant's id.
    pub tenant_id: Uuid,
    /// Which of Azure's clouds it is in.
    #[serde(default)]
    pub environment: Environment,
    /// Its subscriptions.
    #[serde(default)]
    pub subscriptions: Vec<Subscription>,
    /// App registrations, each with its service principal.
    #[serde(default)]
    pub apps: Vec<App>,
    /// Users and groups.
    #[serde(default)]
    pub people: Vec<Person>,
    /// Roles beside the built-in ones.
    #[serde(default)]
    pub roles: Vec<RoleDefinition>,
    /// Who has which role from the start.
    #[serde(default)]
    pub assignments: Vec<Assignment>,
    /// Role management policies that differ from [`PolicyRules::default`].
    #[serde(default)]
    pub management_policies: Vec<ManagementPolicy>,
    /// Role assignments a subscription may have.
    #[serde(default = "role_assignments_max")]
    pub role_assignments_max: usize,
}

fn role_assignments_max() -> usize {
    ROLE_ASSIGNMENTS_MAX
}

impl Default for Estate {
    fn default() -> Estate {
        Estate::new(Uuid::from_u128(0x9999_9999_9999_9999_9999_9999_9999_9999))
    }
}

impl Estate {
    /// An empty tenant.
    pub fn new(tenant_id: Uuid) -> Estate {
        Estate {
            tenant_id,
            environment: Environment::default(),
            subscriptions: Vec::new(),
            apps: Vec::new(),
            people: Vec::new(),
            roles: Vec::new(),
            assignments: Vec::new(),
            management_policies: Vec::new(),
            role_assignments_max: ROLE_ASSIGNMENTS_MAX,
        }
    }

    /// Reads an estate from a file: JSON when its name ends in `.json`, TOML otherwise.
    ///
    /// # Errors
    /// The file cannot be read, or what is in it is not an estate.
    pub fn read(path: &Path) -> Result<Estate, EstateFileError> {
        estate_file::read(path)
    }

    /// It is in this cloud.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Estate {
        self.environment = environment;
        self
    }

    /// One more subscription.
    #[must_use]
    pub fn subscription(mut self, subscription: Subscription) -> Estate {
        self.subscriptions.push(subscription);
        self
    }

    /// One more app registration.
    #[must_use]
    pub fn app(mut self, app: App) -> Estate {
        self.apps.push(app);
        self
    }

    /// One more user or group.
    #[must_use]
    pub fn person(mut self, person: Person) -> Estate {
        self.people.push(person);
        self
    }

    /// One more role.
    #[must_use]
    pub fn role(mut self, role: RoleDefinition) -> Estate {
        self.roles.push(role);
        self
    }

    /// One more role assignment, perhaps under a condition of version 2.0.
    #[must_use]
    pub fn assignment(
        mut self,
        scope: &str,
        role: Uuid,
        principal: Uuid,
        condition: Option<&str>,
    ) -> Estate {
        self.assignments.push(Assignment {
            scope: scope.to_owned(),
            role,
            principal,
            condition: condition.map(str::to_owned),
        });
        self
    }

    /// What PIM demands for a role at a scope.
    #[must_use]
    pub fn management_policy(mut self, scope: &str, role: Uuid, rules: PolicyRules) -> Estate {
        self.management_policies.push(ManagementPolicy {
            scope: scope.to_owned(),
            role,
            rules,
        });
        self
    }

    /// How many role assignments a subscription may have.
    #[must_use]
    pub fn role_assignments_max(mut self, most: usize) -> Estate {
        self.role_assignments_max = most;
        self
    }
}

/// One of Azure's clouds: each takes tokens that the others do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// The public one.
    #[default]
    Public,
    /// That of the government of the United States.
    UsGovernment,
    /// That in China.
    China,
}

impl Environment {
    /// What Resource Manager takes tokens for.
    pub(crate) fn management(self) -> &'static [&'static str] {
        match self {
            Environment::Public => &[
                "https://management.azure.com",
                "https://management.core.windows.net",
            ],
            Environment::UsGovernment => &[
                "https://management.usgovcloudapi.net",
                "https://management.core.usgovcloudapi.net",
            ],
            Environment::China => &[
                "https://management.chinacloudapi.cn",
                "https://management.core.chinacloudapi.cn",
            ],
        }
    }

    /// What Key Vault takes tokens for.
    pub(crate) fn vault(self) -> &'static str {
        match self {
            Environment::Public => "https://vault.azure.net",
            Environment::UsGovernment => "https://vault.usgovcloudapi.net",
            Environment::China => "https://vault.azure.cn",
        }
    }

    /// What follows the name of a storage account.
    pub(crate) fn blobs(self) -> &'static str {
        match self {
            Environment::Public => ".blob.core.windows.net",
            Environment::UsGovernment => ".blob.core.usgovcloudapi.net",
            Environment::China => ".blob.core.chinacloudapi.cn",
        }
    }
}

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// The management group it is in, if any.
    #[serde(default)]
    pub management_group: Option<String>,
    /// Its resource groups.
    #[serde(default)]
    pub groups: Vec<ResourceGroup>,
}

impl Subscription {
    /// An empty subscription directly under the tenant.
    pub fn new(id: Uuid, name: &str) -> Subscription {
        Subscription {
            id,
            name: name.to_owned(),
            management_group: None,
            groups: Vec::new(),
        }
    }

    /// It is in this management group.
    #[must_use]
    pub fn management_group(mut self, name: &str) -> Subscription {
        self.management_group = Some(name.to_owned());
        self
    }

    /// One more resource group.
    #[must_use]
    pub fn group(mut self, group: ResourceGroup) -> Subscription {
        self.groups.push(group);
        self
    }
}

/// One resource group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceGroup {
    /// Unique in the subscription, without regard to case.
    pub name: String,
    /// Storage accounts in it.
    #[serde(default)]
    pub accounts: Vec<StorageAccount>,
    /// Key vaults in it.
    #[serde(default)]
    pub vaults: Vec<KeyVault>,
    /// Other resources, as `Microsoft.KeyVault/vaults/prod`.
    #[serde(default)]
    pub resources: Vec<String>,
}

impl ResourceGroup {
    /// An empty resource group.
    pub fn new(name: &str) -> ResourceGroup {
        ResourceGroup {
            name: name.to_owned(),
            accounts: Vec::new(),
            vaults: Vec::new(),
            resources: Vec::new(),
        }
    }

    /// One more storage account.
    #[must_use]
    pub fn account(mut self, account: StorageAccount) -> ResourceGroup {
        self.accounts.push(account);
        self
    }

    /// One more key vault.
    #[must_use]
    pub fn vault(mut self, vault: KeyVault) -> ResourceGroup {
        self.vaults.push(vault);
        self
    }

    /// One more resource of another kind, as `Microsoft.KeyVault/vaults/prod`.
    #[must_use]
    pub fn resource(mut self, id: &str) -> ResourceGroup {
        self.resources.push(id.to_owned());
        self
    }
}

/// One storage account. Its blobs are served at `/NAME/CONTAINER/BLOB`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageAccount {
    /// 3 to 24 small letters and digits, unique in the estate.
    pub name: String,
    /// Text blobs by path, by container.
    #[serde(default)]
    pub containers: BTreeMap<String, BTreeMap<String, String>>,
}

impl StorageAccount {
    /// An account without containers.
    pub fn new(name: &str) -> StorageAccount {
        StorageAccount {
            name: name.to_owned(),
            containers: BTreeMap::new(),
        }
    }

    /// One more container.
    #[must_use]
    pub fn container(mut self, name: &str) -> StorageAccount {
        self.containers.entry(name.to_owned()).or_default();
        self
    }

    /// One more text blob.
    #[must_use]
    pub fn blob(mut self, container: &str, path: &str, text: &str) -> StorageAccount {
        let blobs = self.containers.entry(container.to_owned()).or_default();
        blobs.insert(path.to_owned(), text.to_owned());
        self
    }
}

/// One key vault. All vaults of an estate answer at `/keys/KEY/VERSION`, so a key's name is unique in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyVault {
    /// Unique in the estate.
    pub name: String,
    /// Versions of RSA keys of 2048 bits, by the key's name, the oldest first.
    #[serde(default)]
    pub keys: BTreeMap<String, Vec<KeyVersion>>,
}

impl KeyVault {
    /// An empty vault.
    pub fn new(name: &str) -> KeyVault {
        KeyVault {
            name: name.to_owned(),
            keys: BTreeMap::new(),
        }
    }

    /// One more version of a key.
    #[must_use]
    pub fn key(mut self, name: &str, version: KeyVersion) -> KeyVault {
        self.keys.entry(name.to_owned()).or_default().push(version);
        self
    }
}

/// One version of a key. It is made when the cloud starts and does not leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyVersion {
    /// 32 hexadecimal digits.
    pub version: String,
    /// Whether it does anything.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// From when, in seconds since 1970.
    #[serde(default)]
    pub not_before: Option<i64>,
    /// Until when, in seconds since 1970.
    #[serde(default)]
    pub expires: Option<i64>,
    /// What may be done with it.
    #[serde(default = "key_operations")]
    pub operations: Vec<String>,
}

fn enabled() -> bool {
    true
}

fn key_operations() -> Vec<String> {
    ["sign", "verify"].map(str::to_owned).to_vec()
}

impl KeyVersion {
    /// A version that signs from now on.
    pub fn new(version: &str) -> KeyVersion {
        KeyVersion {
            version: version.to_owned(),
            enabled: true,
            not_before: None,
            expires: None,
            operations: key_operations(),
        }
    }
}

/// An app registration and its service principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The application's id, which clients send.
    pub client_id: Uuid,
    /// The service principal's object id, which roles are assigned to.
    pub object_id: Uuid,
    /// What people call it.
    pub name: String,
    /// Its sign-in is switched off.
    #[serde(default)]
    pub disabled: bool,
    /// Whose assertions it trusts.
    #[serde(default)]
    pub federated: Vec<FederatedCredential>,
}

impl App {
    /// An app that trusts nobody yet.
    pub fn new(client_id: Uuid, object_id: Uuid, name: &str) -> App {
        App {
            client_id,
            object_id,
            name: name.to_owned(),
            disabled: false,
            federated: Vec::new(),
        }
    }

    /// It trusts this subject of this issuer.
    #[must_use]
    pub fn trusts(mut self, issuer: &str, subject: &str) -> App {
        self.federated
            .push(FederatedCredential::new(issuer, subject));
        self
    }

    /// Its sign-in is switched off.
    #[must_use]
    pub fn disabled(mut self) -> App {
        self.disabled = true;
        self
    }
}

/// A federated identity credential: all three are compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedCredential {
    /// The `iss` of assertions. On loopback it may be plain HTTP.
    pub issuer: String,
    /// The `sub` of assertions.
    pub subject: String,
    /// The `aud` of assertions.
    #[serde(default = "exchange_audience")]
    pub audience: String,
}

fn exchange_audience() -> String {
    EXCHANGE_AUDIENCE.to_owned()
}

impl FederatedCredential {
    /// Trust in this subject of this issuer, for [`EXCHANGE_AUDIENCE`].
    pub fn new(issuer: &str, subject: &str) -> FederatedCredential {
        FederatedCredential {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audience: exchange_audience(),
        }
    }
}

/// A user or a group. Neither can sign in here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The object id.
    pub object_id: Uuid,
    /// What people call it.
    pub name: String,
    /// `User` or `Group`.
    #[serde(default)]
    pub kind: PrincipalType,
}

/// What kind of principal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalType {
    /// A person.
    #[default]
    User,
    /// A group.
    Group,
    /// An application's own identity.
    ServicePrincipal,
    /// A group of another tenant.
    ForeignGroup,
    /// A device.
    Device,
}

impl PrincipalType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            PrincipalType::User => "User",
            PrincipalType::Group => "Group",
            PrincipalType::ServicePrincipal => "ServicePrincipal",
            PrincipalType::ForeignGroup => "ForeignGroup",
            PrincipalType::Device => "Device",
        }
    }
}

/// A role assignment that is there from the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Where, as `/subscriptions/…`.
    pub scope: String,
    /// The role.
    pub role: Uuid,
    /// The principal's object id.
    pub principal: Uuid,
    /// Under which condition, version 2.0.
    #[serde(default)]
    pub condition: Option<String>,
}

/// What PIM demands for a role at a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagementPolicy {
    /// Where, as `/subscriptions/…`. Policies are not inherited.
    pub scope: String,
    /// The role.
    pub role: Uuid,
    /// The rules.
    #[serde(default)]
    pub rules: PolicyRules,
}

/// The rules for an administrator's active assignments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyRules {
    /// What a request must bring.
    pub required: Vec<EnabledRule>,
    /// Whether an assignment must end.
    pub expiration_required: bool,
    /// The longest assignment, ISO 8601.
    pub maximum_duration: String,
}

impl Default for PolicyRules {
    fn default() -> PolicyRules {
        PolicyRules {
            required: vec![EnabledRule::Justification],
            expiration_required: true,
            maximum_duration: "P180D".to_owned(),
        }
    }
}

/// What a request must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnabledRule {
    /// A second factor, which no application has.
    MultiFactorAuthentication,
    /// A justification.
    Justification,
    /// A ticket's number and system.
    Ticketing,
}
