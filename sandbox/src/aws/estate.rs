//! What exists in the cloud when it starts: accounts, users, roles, policies, buckets. Built in code or read
//! from TOML or JSON.
//!
//! ```
//! use jitney_sandbox::aws::estate::{Account, Bucket, Estate, Role};
//!
//! let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",
//!     "Principal":{"AWS":"arn:aws:iam::111122223333:root"}}]}"#;
//! let estate = Estate::new().account(
//!     Account::new("111122223333")
//!         .role(Role::new("deploy", trust).max_session_seconds(3_600))
//!         .bucket(Bucket::new("artifacts-prod")),
//! );
//! # let _ = estate;
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::estate_file::{self, EstateFileError};

/// The whole estate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estate {
    /// Where buckets are unless they say otherwise.
    #[serde(default = "default_region")]
    pub region: String,
    /// The value of `aws:PrincipalOrgID` for every caller; absent when there is no organization.
    #[serde(default)]
    pub organization_id: Option<String>,
    /// The accounts.
    #[serde(default)]
    pub accounts: Vec<Account>,
}

/// The region of an estate that does not name one.
pub const DEFAULT_REGION: &str = "eu-central-1";
/// A role's longest session unless it says otherwise, in seconds; also the least it may say.
pub const DEFAULT_MAX_SESSION_SECONDS: u32 = 3_600;

fn default_region() -> String {
    DEFAULT_REGION.to_owned()
}

fn default_path() -> String {
    "/".to_owned()
}

fn default_max_session_seconds() -> u32 {
    DEFAULT_MAX_SESSION_SECONDS
}

impl Default for Estate {
    fn default() -> Estate {
        Estate {
            region: default_region(),
            organization_id: None,
            accounts: Vec::new(),
        }
    }
}

impl Estate {
    /// An empty estate in [`DEFAULT_REGION`].
    pub fn new() -> Estate {
        Estate::default()
    }

    /// Buckets are here unless they say otherwise.
    #[must_use]
    pub fn region(mut self, region: &str) -> Estate {
        region.clone_into(&mut self.region);
        self
    }

    /// All accounts belong to this organization.
    #[must_use]
    pub fn organization_id(mut self, id: &str) -> Estate {
        self.organization_id = Some(id.to_owned());
        self
    }

    /// Reads an estate from a file: JSON when its name ends in `.json`, TOML otherwise.
    ///
    /// # Errors
    /// The file cannot be read, or what is in it is not an estate.
    pub fn read(path: &Path) -> Result<Estate, EstateFileError> {
        estate_file::read(path)
    }

    /// One more account.
    #[must_use]
    pub fn account(mut self, account: Account) -> Estate {
        self.accounts.push(account);
        self
    }
}

/// A long-lived access key. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// `AKIA…`
    pub access_key_id: String,
    /// The secret that signs.
    pub secret_access_key: String,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccessKey")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// A policy document as an estate writes it: JSON in a string, or the same as a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PolicyText(pub String);

impl From<&str> for PolicyText {
    fn from(text: &str) -> PolicyText {
        PolicyText(text.to_owned())
    }
}

impl From<String> for PolicyText {
    fn from(text: String) -> PolicyText {
        PolicyText(text)
    }
}

impl From<serde_json::Value> for PolicyText {
    fn from(value: serde_json::Value) -> PolicyText {
        PolicyText(value.to_string())
    }
}

impl<'de> Deserialize<'de> for PolicyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PolicyText, D::Error> {
        Ok(match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => PolicyText(text),
            other => PolicyText(other.to_string()),
        })
    }
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Twelve digits.
    pub id: String,
    /// The account's own key; made up when absent.
    #[serde(default)]
    pub root: Option<AccessKey>,
    /// IAM users.
    #[serde(default)]
    pub users: Vec<User>,
    /// Roles.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Customer managed policies.
    #[serde(default)]
    pub managed_policies: Vec<ManagedPolicy>,
    /// Buckets the account owns.
    #[serde(default)]
    pub buckets: Vec<Bucket>,
}

impl Account {
    /// An empty account.
    pub fn new(id: &str) -> Account {
        Account {
            id: id.to_owned(),
            root: None,
            users: Vec::new(),
            roles: Vec::new(),
            managed_policies: Vec::new(),
            buckets: Vec::new(),
        }
    }

    /// The account's own key.
    #[must_use]
    pub fn root_key(mut self, access_key_id: &str, secret_access_key: &str) -> Account {
        self.root = Some(AccessKey {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
        });
        self
    }

    /// One more user.
    #[must_use]
    pub fn user(mut self, user: User) -> Account {
        self.users.push(user);
        self
    }

    /// One more role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Account {
        self.roles.push(role);
        self
    }

    /// One more managed policy.
    #[must_use]
    pub fn managed_policy(mut self, policy: ManagedPolicy) -> Account {
        self.managed_policies.push(policy);
        self
    }

    /// One more bucket.
    #[must_use]
    pub fn bucket(mut self, bucket: Bucket) -> Account {
        self.buckets.push(bucket);
        self
    }
}

/// What users and roles have in common: attached policies, boundary, tags.
macro_rules! attachments {
    ($owner:ident) => {
        impl $owner {
            /// Not directly under `/`.
            #[must_use]
            pub fn path(mut self, path: &str) -> $owner {
                path.clone_into(&mut self.path);
                self
            }

            /// One more inline policy.
            #[must_use]
            pub fn inline(mut self, name: &str, policy: impl Into<PolicyText>) -> $owner {
                self.inline.insert(name.to_owned(), policy.into());
                self
            }

            /// Attaches a managed policy by its ARN.
            #[must_use]
            pub fn attached(mut self, policy_arn: &str) -> $owner {
                self.attached.push(policy_arn.to_owned());
                self
            }

            /// The ARN of the managed policy that is its permissions boundary.
            #[must_use]
            pub fn boundary(mut self, policy_arn: &str) -> $owner {
                self.boundary = Some(policy_arn.to_owned());
                self
            }

            /// One more tag.
            #[must_use]
            pub fn tag(mut self, key: &str, value: &str) -> $owner {
                self.tags.insert(key.to_owned(), value.to_owned());
                self
            }
        }
    };
}

/// An IAM user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Unique in the account.
    pub name: String,
    /// Begins and ends with `/`.
    #[serde(default = "default_path")]
    pub path: String,
    /// Keys; one is made up when there is none.
    #[serde(default)]
    pub access_keys: Vec<AccessKey>,
    /// Inline policies by name.
    #[serde(default)]
    pub inline: BTreeMap<String, PolicyText>,
    /// ARNs of managed policies.
    #[serde(default)]
    pub attached: Vec<String>,
    /// ARN of the boundary policy.
    #[serde(default)]
    pub boundary: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl User {
    /// A user without rights.
    pub fn new(name: &str) -> User {
        User {
            name: name.to_owned(),
            path: default_path(),
            access_keys: Vec::new(),
            inline: BTreeMap::new(),
            attached: Vec::new(),
            boundary: None,
            tags: BTreeMap::new(),
        }
    }

    /// One more access key.
    #[must_use]
    pub fn access_key(mut self, access_key_id: &str, secret_access_key: &str) -> User {
        self.access_keys.push(AccessKey {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
        });
        self
    }
}

attachments!(User);

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Unique in the account, without regard to case.
    pub name: String,
    /// Begins and ends with `/`.
    #[serde(default = "default_path")]
    pub path: String,
    /// Who may assume it.
    pub trust: PolicyText,
    /// Inline policies by name.
    #[serde(default)]
    pub inline: BTreeMap<String, PolicyText>,
    /// ARNs of managed policies.
    #[serde(default)]
    pub attached: Vec<String>,
    /// ARN of the boundary policy.
    #[serde(default)]
    pub boundary: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The longest session, 3600..=43200 seconds.
    #[serde(default = "default_max_session_seconds")]
    pub max_session_seconds: u32,
}

impl Role {
    /// A role without rights.
    pub fn new(name: &str, trust: impl Into<PolicyText>) -> Role {
        Role {
            name: name.to_owned(),
            path: default_path(),
            trust: trust.into(),
            inline: BTreeMap::new(),
            attached: Vec::new(),
            boundary: None,
            tags: BTreeMap::new(),
            max_session_seconds: DEFAULT_MAX_SESSION_SECONDS,
        }
    }

    /// The longest session, 3600..=43200 seconds.
    #[must_use]
    pub fn max_session_seconds(mut self, seconds: u32) -> Role {
        self.max_session_seconds = seconds;
        self
    }
}

attachments!(Role);

/// A customer managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedPolicy {
    /// Unique in the account.
    pub name: String,
    /// Begins and ends with `/`.
    #[serde(default = "default_path")]
    pub path: String,
    /// Its first version.
    pub document: PolicyText,
}

impl ManagedPolicy {
    /// A policy directly under `/`.
    pub fn new(name: &str, document: impl Into<PolicyText>) -> ManagedPolicy {
        ManagedPolicy {
            name: name.to_owned(),
            path: default_path(),
            document: document.into(),
        }
    }
}

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Unique in the estate.
    pub name: String,
    /// The estate's region when absent.
    #[serde(default)]
    pub region: Option<String>,
    /// The bucket policy.
    #[serde(default)]
    pub policy: Option<PolicyText>,
    /// Text objects by key.
    #[serde(default)]
    pub objects: BTreeMap<String, String>,
}

impl Bucket {
    /// An empty bucket without a policy.
    pub fn new(name: &str) -> Bucket {
        Bucket {
            name: name.to_owned(),
            region: None,
            policy: None,
            objects: BTreeMap::new(),
        }
    }

    /// The bucket policy.
    #[must_use]
    pub fn policy(mut self, policy: impl Into<PolicyText>) -> Bucket {
        self.policy = Some(policy.into());
        self
    }

    /// One more text object.
    #[must_use]
    pub fn object(mut self, key: &str, text: &str) -> Bucket {
        self.objects.insert(key.to_owned(), text.to_owned());
        self
    }
}
