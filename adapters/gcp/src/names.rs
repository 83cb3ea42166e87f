//! The names that this adapter takes from an operator, read whole: what is not exactly of its kind
//! is refused, so that later code may compare and interpolate it.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not the kind of name that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{seen}` is not {expected}")]
pub struct BadName {
    expected: &'static str,
    seen: String,
}

impl BadName {
    fn new(expected: &'static str, seen: &str) -> Self {
        let seen = seen.chars().take(200).flat_map(char::escape_default);
        Self {
            expected,
            seen: seen.collect(),
        }
    }
}

/// Reads and writes a name as the text it is.
macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }
    };
}

/// The id of a project: `acme-prod`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectId(String);

impl ProjectId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProjectId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if is_id(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName::new("the id of a project, `acme-prod`", text))
        }
    }
}

as_text!(ProjectId);

/// The email address of a service account that a project made: `NAME@PROJECT.iam.gserviceaccount.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountEmail {
    email: String,
    project: ProjectId,
}

impl AccountEmail {
    const DOMAIN: &'static str = ".iam.gserviceaccount.com";

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.email
    }

    /// The project that it lies in.
    #[must_use]
    pub const fn project(&self) -> &ProjectId {
        &self.project
    }

    /// Its name in a policy.
    #[must_use]
    pub fn member(&self) -> String {
        format!("{MEMBER}{}", self.email)
    }

    /// The account that a policy names, if it is one.
    pub(crate) fn of_member(member: &str) -> Option<Self> {
        member.strip_prefix(MEMBER)?.parse().ok()
    }
}

const MEMBER: &str = "serviceAccount:";

impl fmt::Display for AccountEmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.email)
    }
}

impl FromStr for AccountEmail {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let parsed = || {
            let (name, domain) = text.split_once('@')?;
            let project = domain.strip_suffix(Self::DOMAIN)?.parse().ok()?;
            is_id(name).then(|| Self {
                email: text.to_owned(),
                project,
            })
        };
        let expected =
            "the email of a service account, `jitney-001@acme-pool.iam.gserviceaccount.com`";
        parsed().ok_or_else(|| BadName::new(expected, text))
    }
}

as_text!(AccountEmail);

/// The name of a role: `roles/storage.objectViewer`, or one that a project or an organisation made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleName(String);

impl RoleName {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of the three that take no condition ("You cannot use conditions with
    /// legacy basic roles").
    fn is_basic(text: &str) -> bool {
        matches!(text, "roles/owner" | "roles/editor" | "roles/viewer")
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RoleName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let is_role = match text.split('/').collect::<Vec<_>>().as_slice() {
            ["roles", id] => is_role_id(id),
            ["projects", project, "roles", id] => is_id(project) && is_role_id(id),
            ["organizations", number, "roles", id] => is_number(number) && is_role_id(id),
            _ => false,
        };
        if is_role && !Self::is_basic(text) {
            Ok(Self(text.to_owned()))
        } else {
            let expected = "a role that takes a condition, `roles/storage.objectViewer` or \
                            `projects/acme-prod/roles/deployer`";
            Err(BadName::new(expected, text))
        }
    }
}

as_text!(RoleName);

/// Something that has an allow policy of its own, by its full resource name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PolicyName {
    /// `//storage.googleapis.com/projects/_/buckets/NAME`.
    Bucket(BucketName),
    /// `//cloudresourcemanager.googleapis.com/projects/ID`.
    Project(ProjectId),
}

const BUCKETS: &str = "//storage.googleapis.com/projects/_/buckets/";
const PROJECTS: &str = "//cloudresourcemanager.googleapis.com/projects/";

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(bucket) => write!(f, "{BUCKETS}{bucket}"),
            Self::Project(project) => write!(f, "{PROJECTS}{project}"),
        }
    }
}

impl FromStr for PolicyName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if let Some(bucket) = text.strip_prefix(BUCKETS) {
            return bucket.parse().map(Self::Bucket);
        }
        match text.strip_prefix(PROJECTS) {
            Some(project) => project.parse().map(Self::Project),
            None => Err(BadName::new(
                "the full name of a bucket or a project, \
                 `//storage.googleapis.com/projects/_/buckets/artifacts-prod`",
                text,
            )),
        }
    }
}

as_text!(PolicyName);

/// The name of a bucket, which is unique among all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketName(String);

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BucketName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        let is_bucket = (3..=222).contains(&text.len())
            && edge(text.as_bytes().first())
            && edge(text.as_bytes().last())
            && text.split('.').all(|part| part.len() <= 63)
            && text.bytes().all(allowed);
        if is_bucket {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName::new("the name of a bucket, `artifacts-prod`", text))
        }
    }
}

as_text!(BucketName);

/// An entitlement of Privileged Access Manager, by its name:
/// `projects/PROJECT/locations/global/entitlements/ID`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntitlementName {
    name: String,
    project: ProjectId,
}

impl EntitlementName {
    /// The project on which it gives roles.
    #[must_use]
    pub const fn project(&self) -> &ProjectId {
        &self.project
    }

    /// Its id within the project.
    pub(crate) fn id(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// Its name without the project's: `/locations/global/entitlements/ID`.
    pub(crate) fn within_project(&self) -> &str {
        let project = self.project.as_str();
        let beneath = self.name.strip_prefix("projects/");
        beneath
            .and_then(|it| it.strip_prefix(project))
            .unwrap_or(&self.name)
    }
}

impl fmt::Display for EntitlementName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for EntitlementName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let parsed = match text.split('/').collect::<Vec<_>>().as_slice() {
            [
                "projects",
                project,
                "locations",
                "global",
                "entitlements",
                id,
            ] if is_entitlement_id(id) => project.parse().ok(),
            _ => None,
        };
        let expected = "the name of an entitlement of a project, \
                        `projects/acme-prod/locations/global/entitlements/release-readers`";
        parsed
            .map(|project| Self {
                name: text.to_owned(),
                project,
            })
            .ok_or_else(|| BadName::new(expected, text))
    }
}

as_text!(EntitlementName);

/// "4-63 characters, letters, numbers and hyphens" (Privileged Access Manager, `entitlementId`).
fn is_entitlement_id(text: &str) -> bool {
    (4..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A role that a project made, by its full resource name: `//iam.googleapis.com/projects/P/roles/R`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProjectRole {
    pub(crate) project: ProjectId,
    pub(crate) role: RoleName,
}

impl FromStr for ProjectRole {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let parsed = || {
            let role = text.strip_prefix("//iam.googleapis.com/")?;
            let project = role.strip_prefix("projects/")?.split('/').next()?;
            Some(Self {
                project: project.parse().ok()?,
                role: role.parse().ok()?,
            })
        };
        let expected = "the full name of a project's own role, \
                        `//iam.googleapis.com/projects/acme-prod/roles/deployer`";
        parsed().ok_or_else(|| BadName::new(expected, text))
    }
}

/// The alphabet and the lengths of project ids and of the names of service accounts.
fn is_id(text: &str) -> bool {
    (6..=30).contains(&text.len())
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_role_id(text: &str) -> bool {
    (3..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_')
}

fn is_number(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_whole_reads_back() {
        let email: AccountEmail = "jitney-001@acme-pool.iam.gserviceaccount.com"
            .parse()
            .unwrap();
        assert_eq!(email.project().as_str(), "acme-pool");
        assert_eq!(AccountEmail::of_member(&email.member()), Some(email));
        for text in [
            "//storage.googleapis.com/projects/_/buckets/artifacts.prod-1",
            "//cloudresourcemanager.googleapis.com/projects/acme-prod",
        ] {
            assert_eq!(text.parse::<PolicyName>().unwrap().to_string(), text);
        }
        for text in [
            "roles/storage.objectViewer",
            "projects/acme-prod/roles/deployer",
            "organizations/123456789012/roles/deployer",
        ] {
            assert_eq!(text.parse::<RoleName>().unwrap().as_str(), text);
        }
        let role: ProjectRole = "//iam.googleapis.com/projects/acme-prod/roles/deployer"
            .parse()
            .unwrap();
        assert_eq!(role.project.as_str(), "acme-prod");
        assert_eq!(role.role.as_str(), "projects/acme-prod/roles/deployer");
    }

    #[test]
    fn what_is_not_exactly_an_account_is_refused() {
        for bad in [
            "",
            "jitney-001",
            "jitney-001@acme-pool.iam.gserviceaccount.com.evil.example",
            "jitney-001@acme-pool.iam.gserviceaccount.con",
            "1234567890-compute@developer.gserviceaccount.com",
            "ada@acme.example",
            "jitney-001@x@acme-pool.iam.gserviceaccount.com",
            "short@acme-pool.iam.gserviceaccount.com",
            "Jitney-001@acme-pool.iam.gserviceaccount.com",
            "jitney-001/../x@acme-pool.iam.gserviceaccount.com",
            "jitney-001@acme-pool/x.iam.gserviceaccount.com",
            "jitney-001@acme-pool.iam.gserviceaccount.com:disable",
            " jitney-001@acme-pool.iam.gserviceaccount.com",
        ] {
            assert!(bad.parse::<AccountEmail>().is_err(), "{bad:?}");
        }
        for bad in [
            "user:ada@acme.example",
            "deleted:serviceAccount:jitney-001@acme-pool.iam.gserviceaccount.com?uid=1",
            "allUsers",
        ] {
            assert!(AccountEmail::of_member(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn an_entitlement_is_that_of_one_project_and_nothing_else() {
        let good = "projects/acme-prod/locations/global/entitlements/readers";
        let name: EntitlementName = good.parse().unwrap();
        assert_eq!(name.to_string(), good);
        assert_eq!(name.project().as_str(), "acme-prod");
        assert_eq!(
            name.within_project(),
            "/locations/global/entitlements/readers"
        );
        for bad in [
            "readers",
            "folders/1234567/locations/global/entitlements/readers",
            "projects/1234567/locations/global/entitlements/readers",
            "projects/acme-prod/locations/eu/entitlements/readers",
            "projects/acme-prod/locations/global/entitlements/abc",
            "projects/acme-prod/locations/global/entitlements/Readers",
            "projects/acme-prod/locations/global/entitlements/readers/grants/1",
            "projects/acme-prod/locations/global/entitlements/readers?x=1",
        ] {
            assert!(bad.parse::<EntitlementName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_policy_is_that_of_a_whole_bucket_or_project() {
        for bad in [
            "artifacts-prod",
            "//storage.googleapis.com/projects/_/buckets/artifacts/objects/x",
            "//storage.googleapis.com/projects/_/buckets/Artifacts",
            "//storage.googleapis.com/projects/_/buckets/a?b",
            "//storage.googleapis.com/projects/_/buckets/*",
            "//storage.googleapis.com/projects/acme-prod/buckets/artifacts",
            "//cloudresourcemanager.googleapis.com/projects/1234567",
            "//cloudresourcemanager.googleapis.com/folders/1234567",
            "//cloudresourcemanager.googleapis.com/projects/acme-prod:setIamPolicy",
        ] {
            assert!(bad.parse::<PolicyName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_role_that_takes_no_condition_is_no_role_for_us() {
        for bad in [
            "roles/owner",
            "roles/editor",
            "roles/viewer",
            "storage.objectViewer",
            "roles/",
            "roles/storage.objectViewer\"",
            "roles/storage.*",
            "projects/acme-prod/roles",
            "projects/p/roles/deployer",
            "folders/1/roles/deployer",
        ] {
            assert!(bad.parse::<RoleName>().is_err(), "{bad:?}");
        }
        for bad in [
            "projects/acme-prod/roles/deployer",
            "//iam.googleapis.com/roles/storage.objectViewer",
            "//iam.googleapis.com/projects/acme-prod/roles/de ployer",
            "//iam.googleapis.com/organizations/1/roles/deployer",
        ] {
            assert!(bad.parse::<ProjectRole>().is_err(), "{bad:?}");
        }
    }
}
