//! What exists in the cloud when it starts: projects, service accounts, buckets, policies, identity pools,
//! entitlements. Built in code or read from TOML or JSON.
//!
//! ```
//! use jitney_sandbox::gcp::estate::{Binding, Bucket, Estate, Project, ServiceAccount};
//!
//! let broker = "serviceAccount:broker@acme-prod.iam.gserviceaccount.com";
//! let estate = Estate::new().project(
//!     Project::new("acme-prod", 111_122_223_333)
//!         .account(ServiceAccount::new("broker"))
//!         .account(
//!             ServiceAccount::new("slot-1")
//!                 .disabled()
//!                 .binding(Binding::new("roles/iam.serviceAccountTokenCreator", &[broker])),
//!         )
//!         .bucket(Bucket::new("artifacts-prod").object("releases/old.txt", "old"))
//!         .binding(Binding::new("roles/iam.serviceAccountAdmin", &[broker])),
//! );
//! # let _ = estate;
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::estate_file::{self, EstateFileError};

/// The whole estate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estate {
    /// The projects.
    #[serde(default)]
    pub projects: Vec<Project>,
    /// People, by address: they exist so that tokens can be had for them.
    #[serde(default)]
    pub users: Vec<String>,
    /// The address of the service account that the metadata server speaks for; without one there is none.
    #[serde(default)]
    pub metadata_account: Option<String>,
}

impl Estate {
    /// An empty estate.
    pub fn new() -> Estate {
        Estate::default()
    }

    /// One more project.
    #[must_use]
    pub fn project(mut self, project: Project) -> Estate {
        self.projects.push(project);
        self
    }

    /// One more person.
    #[must_use]
    pub fn user(mut self, email: &str) -> Estate {
        self.users.push(email.to_owned());
        self
    }

    /// The metadata server gives tokens of this account.
    #[must_use]
    pub fn metadata_account(mut self, email: &str) -> Estate {
        self.metadata_account = Some(email.to_owned());
        self
    }

    /// Reads an estate from a file: JSON when its name ends in `.json`, TOML otherwise.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not an estate.
    pub fn read(path: &Path) -> Result<Estate, EstateFileError> {
        estate_file::read(path)
    }
}

/// What things with a policy have in common.
macro_rules! bindings {
    ($owner:ident) => {
        impl $owner {
            /// One more binding of its policy.
            #[must_use]
            pub fn binding(mut self, binding: Binding) -> $owner {
                self.bindings.push(binding);
                self
            }
        }
    };
}

/// One project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// As `acme-prod`.
    pub id: String,
    /// As `111122223333`.
    pub number: u64,
    /// Its service accounts.
    #[serde(default)]
    pub accounts: Vec<ServiceAccount>,
    /// Its buckets.
    #[serde(default)]
    pub buckets: Vec<Bucket>,
    /// Its policy.
    #[serde(default)]
    pub bindings: Vec<Binding>,
    /// Custom roles: the last part of their name, and their permissions.
    #[serde(default)]
    pub custom_roles: BTreeMap<String, Vec<String>>,
    /// Its workload identity pools.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// Its entitlements of Privileged Access Manager.
    #[serde(default)]
    pub entitlements: Vec<Entitlement>,
}

impl Project {
    /// An empty project.
    pub fn new(id: &str, number: u64) -> Project {
        Project {
            id: id.to_owned(),
            number,
            accounts: Vec::new(),
            buckets: Vec::new(),
            bindings: Vec::new(),
            custom_roles: BTreeMap::new(),
            pools: Vec::new(),
            entitlements: Vec::new(),
        }
    }

    /// One more service account.
    #[must_use]
    pub fn account(mut self, account: ServiceAccount) -> Project {
        self.accounts.push(account);
        self
    }

    /// One more bucket.
    #[must_use]
    pub fn bucket(mut self, bucket: Bucket) -> Project {
        self.buckets.push(bucket);
        self
    }

    /// One more custom role, as `projects/ID/roles/NAME`.
    #[must_use]
    pub fn custom_role(mut self, name: &str, permissions: &[&str]) -> Project {
        let permissions = permissions.iter().map(|text| (*text).to_owned()).collect();
        self.custom_roles.insert(name.to_owned(), permissions);
        self
    }

    /// One more workload identity pool.
    #[must_use]
    pub fn pool(mut self, pool: Pool) -> Project {
        self.pools.push(pool);
        self
    }

    /// One more entitlement.
    #[must_use]
    pub fn entitlement(mut self, entitlement: Entitlement) -> Project {
        self.entitlements.push(entitlement);
        self
    }
}

bindings!(Project);

/// One service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccount {
    /// What stands before the `@`; the rest is its project's.
    pub name: String,
    /// 21 digits; made up when absent.
    #[serde(default)]
    pub unique_id: Option<String>,
    /// Whether it is disabled.
    #[serde(default)]
    pub disabled: bool,
    /// Up to 256 bytes that say what it is for.
    #[serde(default)]
    pub description: String,
    /// Whether an organization policy lets its tokens live up to 12 hours instead of one.
    #[serde(default)]
    pub long_lifetimes: bool,
    /// Its policy: who may use it.
    #[serde(default)]
    pub bindings: Vec<Binding>,
}

impl ServiceAccount {
    /// An enabled account that nobody may use.
    pub fn new(name: &str) -> ServiceAccount {
        ServiceAccount {
            name: name.to_owned(),
            unique_id: None,
            disabled: false,
            description: String::new(),
            long_lifetimes: false,
            bindings: Vec::new(),
        }
    }

    /// It begins disabled.
    #[must_use]
    pub fn disabled(mut self) -> ServiceAccount {
        self.disabled = true;
        self
    }

    /// Its unique id.
    #[must_use]
    pub fn unique_id(mut self, digits: &str) -> ServiceAccount {
        self.unique_id = Some(digits.to_owned());
        self
    }

    /// What it is for.
    #[must_use]
    pub fn description(mut self, text: &str) -> ServiceAccount {
        text.clone_into(&mut self.description);
        self
    }

    /// Its tokens may live up to 12 hours.
    #[must_use]
    pub fn long_lifetimes(mut self) -> ServiceAccount {
        self.long_lifetimes = true;
        self
    }
}

bindings!(ServiceAccount);

/// One bucket, with uniform bucket-level access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Unique in the estate.
    pub name: String,
    /// Its policy.
    #[serde(default)]
    pub bindings: Vec<Binding>,
    /// Text objects by name.
    #[serde(default)]
    pub objects: BTreeMap<String, String>,
}

impl Bucket {
    /// An empty bucket.
    pub fn new(name: &str) -> Bucket {
        Bucket {
            name: name.to_owned(),
            bindings: Vec::new(),
            objects: BTreeMap::new(),
        }
    }

    /// One more text object.
    #[must_use]
    pub fn object(mut self, name: &str, text: &str) -> Bucket {
        self.objects.insert(name.to_owned(), text.to_owned());
        self
    }
}

bindings!(Bucket);

/// Members that hold a role, perhaps under a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// As `roles/storage.objectUser`.
    pub role: String,
    /// As `serviceAccount:slot-1@acme-prod.iam.gserviceaccount.com`.
    pub members: Vec<String>,
    /// When it counts; always when absent.
    #[serde(default)]
    pub condition: Option<Condition>,
}

impl Binding {
    /// A binding without a condition.
    pub fn new(role: &str, members: &[&str]) -> Binding {
        Binding {
            role: role.to_owned(),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            condition: None,
        }
    }

    /// It only counts while the expression holds.
    #[must_use]
    pub fn when(mut self, title: &str, expression: &str) -> Binding {
        self.condition = Some(Condition {
            title: title.to_owned(),
            expression: expression.to_owned(),
        });
        self
    }
}

/// When a binding counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// What it is called.
    pub title: String,
    /// In CEL.
    pub expression: String,
}

/// A workload identity pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The last part of its name.
    pub id: String,
    /// Who vouches for identities.
    #[serde(default)]
    pub providers: Vec<Provider>,
}

/// An OpenID Connect provider of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The last part of its name.
    pub id: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Its public keys, a JSON Web Key Set. The sandbox fetches none.
    pub jwks_json: String,
    /// The `aud` of its tokens; when empty, the provider's own resource name.
    #[serde(default)]
    pub allowed_audiences: Vec<String>,
    /// From attribute, as `google.subject`, to an expression over `assertion`.
    pub attribute_mapping: BTreeMap<String, String>,
    /// An expression over `assertion`, `google` and `attribute`.
    #[serde(default)]
    pub attribute_condition: Option<String>,
    /// Whether it is disabled: no new tokens; those it gave stay.
    #[serde(default)]
    pub disabled: bool,
}

/// An entitlement of Privileged Access Manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entitlement {
    /// 4 to 63 characters.
    pub id: String,
    /// Who may ask for a grant.
    pub requesters: Vec<String>,
    /// Who may approve one; without anybody none is needed.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// The roles a grant gives on the project.
    pub roles: Vec<String>,
    /// A condition on each of them.
    #[serde(default)]
    pub condition: Option<String>,
    /// The longest grant, in seconds.
    pub max_duration_seconds: u32,
}
