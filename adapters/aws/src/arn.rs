//! The two kinds of Amazon resource name this adapter takes from an operator, read whole: a name
//! that is not exactly of its kind is refused, so that later code may compare and interpolate it.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{ROLE_NAME_LENGTH_MAX, ROLE_PATH_LENGTH_MAX};

/// Why a text is not the kind of resource name that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{seen}` is not {expected}")]
pub struct BadArn {
    expected: &'static str,
    seen: String,
}

impl BadArn {
    fn new(expected: &'static str, seen: &str) -> Self {
        let seen = seen.chars().take(200).flat_map(char::escape_default);
        Self {
            expected,
            seen: seen.collect(),
        }
    }
}

/// `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn {
    partition: String,
    account: String,
    /// With its slashes: `/`, or `/ci/deploy/`.
    path: String,
    name: String,
}

impl RoleArn {
    const EXPECTED: &'static str = "the ARN of a role, `arn:aws:iam::111122223333:role/deploy`";

    /// The partition: `aws`.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The twelve digits of the account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The role's name, which is unique in its account whatever its path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (partition, account) = (&self.partition, &self.account);
        write!(
            f,
            "arn:{partition}:iam::{account}:role{}{}",
            self.path, self.name
        )
    }
}

impl FromStr for RoleArn {
    type Err = BadArn;

    fn from_str(text: &str) -> Result<Self, BadArn> {
        let wrong = || BadArn::new(Self::EXPECTED, text);
        let rest = text.strip_prefix("arn:").ok_or_else(wrong)?;
        let (partition, rest) = rest.split_once(":iam::").ok_or_else(wrong)?;
        let (account, rest) = rest.split_once(":role").ok_or_else(wrong)?;
        let (path, name) = rest.rsplit_once('/').ok_or_else(wrong)?;
        let path = format!("{path}/");
        let is_right = is_partition(partition)
            && is_account(account)
            && is_role_path(&path)
            && is_role_name(name);
        if !is_right {
            return Err(wrong());
        }
        Ok(Self {
            partition: partition.to_owned(),
            account: account.to_owned(),
            path,
            name: name.to_owned(),
        })
    }
}

impl TryFrom<String> for RoleArn {
    type Error = BadArn;
    fn try_from(text: String) -> Result<Self, BadArn> {
        text.parse()
    }
}

impl From<RoleArn> for String {
    fn from(arn: RoleArn) -> Self {
        arn.to_string()
    }
}

/// `arn:PARTITION:s3:::BUCKET`: a general purpose bucket, named as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketArn {
    partition: String,
    name: String,
}

impl BucketArn {
    const EXPECTED: &'static str = "the ARN of a bucket, `arn:aws:s3:::artifacts-prod`";

    /// The partition: `aws`.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The bucket's name, which is unique in its partition.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for BucketArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:{}:s3:::{}", self.partition, self.name)
    }
}

impl FromStr for BucketArn {
    type Err = BadArn;

    fn from_str(text: &str) -> Result<Self, BadArn> {
        let wrong = || BadArn::new(Self::EXPECTED, text);
        let rest = text.strip_prefix("arn:").ok_or_else(wrong)?;
        let (partition, name) = rest.split_once(":s3:::").ok_or_else(wrong)?;
        if !is_partition(partition) || !is_bucket_name(name) {
            return Err(wrong());
        }
        Ok(Self {
            partition: partition.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// `aws`, `aws-cn`, `aws-us-gov`: lower-case words joined by `-`.
pub(crate) fn is_partition(text: &str) -> bool {
    text.starts_with("aws")
        && text.len() <= 32
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// IAM's alphabet of names: `[\w+=,.@-]`.
pub(crate) fn is_name_character(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b)
}

pub(crate) fn is_role_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= ROLE_NAME_LENGTH_MAX && text.bytes().all(is_name_character)
}

/// A path within the alphabet of names. IAM takes more, `*` and `$` among it, which would have a
/// meaning of their own inside a policy.
fn is_role_path(text: &str) -> bool {
    text.len() <= ROLE_PATH_LENGTH_MAX
        && text.starts_with('/')
        && text.bytes().all(|b| b == b'/' || is_name_character(b))
        && !text.contains("//")
}

fn is_bucket_name(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    (3..=63).contains(&text.len())
        && edge(text.as_bytes().first())
        && edge(text.as_bytes().last())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_role_is_read_whole_and_printed_as_it_was() {
        for text in [
            "arn:aws:iam::111122223333:role/deploy",
            "arn:aws-us-gov:iam::111122223333:role/ci/prod/deploy",
        ] {
            let arn: RoleArn = text.parse().unwrap();
            assert_eq!(arn.to_string(), text);
            assert_eq!((arn.name(), arn.account()), ("deploy", "111122223333"));
        }
    }

    #[test]
    fn what_is_not_exactly_a_role_is_refused() {
        let long = format!("arn:aws:iam::111122223333:role/{}", "r".repeat(65));
        for bad in [
            "",
            "deploy",
            "arn:aws:iam::111122223333:user/deploy",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:roledeploy",
            "arn:aws:iam::111122223333:role//deploy",
            "arn:aws:iam::11112222333:role/deploy",
            "arn:aws:iam::11112222333x:role/deploy",
            "arn:aws:iam::*:role/deploy",
            "arn:*:iam::111122223333:role/deploy",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:role/de?loy",
            "arn:aws:iam::111122223333:role/${aws:username}/deploy",
            "arn:aws:iam::111122223333:role/deploy\"",
            "arn:aws:iam::111122223333:role/deploy ",
            "arn:aws:sts::111122223333:assumed-role/deploy/session",
            long.as_str(),
        ] {
            assert!(bad.parse::<RoleArn>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_bucket_is_a_whole_bucket_and_nothing_in_it() {
        let arn: BucketArn = "arn:aws:s3:::artifacts.prod-1".parse().unwrap();
        assert_eq!(arn.to_string(), "arn:aws:s3:::artifacts.prod-1");
        for bad in [
            "arn:aws:s3:::artifacts/releases",
            "arn:aws:s3:::artifacts*",
            "arn:aws:s3:::*",
            "arn:aws:s3:::Artifacts",
            "arn:aws:s3:::ab",
            "arn:aws:s3:::-artifacts",
            "arn:aws:s3:::artifacts.",
            "arn:aws:s3:eu-central-1:111122223333:accesspoint/a",
            "arn:aws:s3express:eu-central-1:111122223333:bucket/b--x-s3",
            "artifacts",
        ] {
            assert!(bad.parse::<BucketArn>().is_err(), "{bad:?}");
        }
    }
}
