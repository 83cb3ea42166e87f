//! What an operator says about one AWS account. Everything is checked while it is read, so that a
//! target that exists is one that can be used; nothing is taken from the environment.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arn::{is_account, is_name_character, is_partition};
use crate::limits::{
    CLOCK_SKEW_SECONDS_MAX, LANDS_LATE_SECONDS, ROLE_INLINE_CHARACTERS, SESSION_POLICY_CHARACTERS,
    SESSION_SECONDS_MAX, SESSION_SECONDS_MIN, WRITE_ALLOWANCE_SECONDS,
};

/// Where the credentials come from with which Jitney itself calls AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CredentialSource {
    /// What the machine offers: environment, the default profile, a web identity, a container's
    /// endpoint, and the instance's metadata where `instance_metadata` allows it.
    #[default]
    Ambient,
    /// One profile of the shared configuration files.
    Profile {
        /// Its name.
        name: String,
    },
}

/// How the Deny that ends a session is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DenyList {
    /// In an inline policy of the role.
    #[default]
    Inline,
    /// In the role's permissions boundary, which can deny and cannot grant.
    Boundary,
}

/// One AWS account behind one adapter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct AwsTarget {
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) partition: String,
    pub(crate) external_id: Option<String>,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) credentials: CredentialSource,
    pub(crate) revoker_credentials: Option<CredentialSource>,
    pub(crate) instance_metadata: bool,
    pub(crate) elevate_deadline_seconds: u32,
    pub(crate) settle_seconds: u32,
    pub(crate) write_interval_milliseconds: u32,
    pub(crate) iam_writes_per_second: u32,
    pub(crate) iam_reads_per_second: u32,
    pub(crate) clock_skew_seconds: u32,
    pub(crate) max_session_seconds: u32,
    pub(crate) session_policy_characters: u32,
    pub(crate) operator_inline_characters: u32,
    pub(crate) job_tags: bool,
    pub(crate) protected_roles: Vec<String>,
}

/// The keys as they stand in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    account: String,
    region: String,
    #[serde(default = "partition")]
    partition: String,
    external_id: Option<String>,
    endpoint_url: Option<String>,
    #[serde(default)]
    credentials: CredentialSource,
    revoker_credentials: Option<CredentialSource>,
    #[serde(default)]
    instance_metadata: bool,
    #[serde(default = "ten")]
    elevate_deadline_seconds: u32,
    #[serde(default = "ten")]
    settle_seconds: u32,
    #[serde(default = "thousand")]
    write_interval_milliseconds: u32,
    #[serde(default = "ten")]
    iam_writes_per_second: u32,
    #[serde(default = "fifty")]
    iam_reads_per_second: u32,
    #[serde(default = "skew")]
    clock_skew_seconds: u32,
    #[serde(default = "hour")]
    max_session_seconds: u32,
    #[serde(default = "policy_characters")]
    session_policy_characters: u32,
    #[serde(default = "operator_characters")]
    operator_inline_characters: u32,
    #[serde(default)]
    deny_list: DenyList,
    #[serde(default = "yes")]
    job_tags: bool,
    #[serde(default)]
    protected_roles: Vec<String>,
}

fn partition() -> String {
    "aws".to_owned()
}
const fn ten() -> u32 {
    10
}
const fn fifty() -> u32 {
    50
}
const fn thousand() -> u32 {
    1_000
}
const fn skew() -> u32 {
    CLOCK_SKEW_SECONDS_MAX
}
const fn hour() -> u32 {
    3_600
}
const fn policy_characters() -> u32 {
    SESSION_POLICY_CHARACTERS
}
const fn operator_characters() -> u32 {
    1_024
}
const fn yes() -> bool {
    true
}

/// Why a target cannot be used as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// A text is not what its key takes.
    #[error("`{key}` is `{seen}`: expected {expected}")]
    Text {
        /// The key.
        key: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was given, escaped and cut.
        seen: String,
    },
    /// A number is outside its range.
    #[error("`{key}` is {seen}: expected {least} to {most}")]
    Number {
        /// The key.
        key: &'static str,
        /// The number.
        seen: u32,
        /// The least it may be.
        least: u32,
        /// The most it may be.
        most: u32,
    },
    /// A mode that is not there.
    #[error(
        "`deny_list` is `boundary`: this version keeps the list of ended sessions in an inline \
         policy of the role only; write `inline` or leave the key out"
    )]
    NoBoundary,
}

fn text(key: &'static str, expected: &'static str, seen: &str) -> BadTarget {
    let seen = seen.chars().take(80).flat_map(char::escape_default);
    BadTarget::Text {
        key,
        expected,
        seen: seen.collect(),
    }
}

fn within(key: &'static str, seen: u32, least: u32, most: u32) -> Result<(), BadTarget> {
    if (least..=most).contains(&seen) {
        Ok(())
    } else {
        Err(BadTarget::Number {
            key,
            seen,
            least,
            most,
        })
    }
}

impl TryFrom<Written> for AwsTarget {
    type Error = BadTarget;

    fn try_from(written: Written) -> Result<Self, BadTarget> {
        written.check_texts()?;
        written.check_numbers()?;
        match written.deny_list {
            DenyList::Inline => {}
            DenyList::Boundary => return Err(BadTarget::NoBoundary),
        }
        Ok(Self {
            account: written.account,
            region: written.region,
            partition: written.partition,
            external_id: written.external_id,
            endpoint_url: written.endpoint_url,
            credentials: written.credentials,
            revoker_credentials: written.revoker_credentials,
            instance_metadata: written.instance_metadata,
            elevate_deadline_seconds: written.elevate_deadline_seconds,
            settle_seconds: written.settle_seconds,
            write_interval_milliseconds: written.write_interval_milliseconds,
            iam_writes_per_second: written.iam_writes_per_second,
            iam_reads_per_second: written.iam_reads_per_second,
            clock_skew_seconds: written.clock_skew_seconds,
            max_session_seconds: written.max_session_seconds,
            session_policy_characters: written.session_policy_characters,
            operator_inline_characters: written.operator_inline_characters,
            job_tags: written.job_tags,
            protected_roles: written.protected_roles,
        })
    }
}

impl Written {
    fn check_texts(&self) -> Result<(), BadTarget> {
        if !is_account(&self.account) {
            let expected = "the twelve digits of an account, in quotes";
            return Err(text("account", expected, &self.account));
        }
        if !is_region(&self.region) {
            let expected = "a region, as in `eu-central-1`";
            return Err(text("region", expected, &self.region));
        }
        if !is_partition(&self.partition) {
            let expected = "`aws`, `aws-cn` or `aws-us-gov`";
            return Err(text("partition", expected, &self.partition));
        }
        if let Some(id) = self.external_id.as_deref().filter(|id| !is_external_id(id)) {
            let expected = "2 to 1224 of `A-Z a-z 0-9 _ + = , . @ : / -`";
            return Err(text("external_id", expected, id));
        }
        if let Some(url) = self.endpoint_url.as_deref().filter(|url| !is_endpoint(url)) {
            let expected = "`https://HOST[:PORT]`, or `http://127.0.0.1:PORT`: only loopback may \
                            be plain";
            return Err(text("endpoint_url", expected, url));
        }
        for source in [Some(&self.credentials), self.revoker_credentials.as_ref()] {
            if let Some(CredentialSource::Profile { name }) = source
                && (name.is_empty() || name.len() > 128)
            {
                let expected = "the name of a profile, 1 to 128 characters";
                return Err(text("name", expected, name));
            }
        }
        let bad = |arn: &&String| !is_role_or_pattern(arn);
        if let Some(arn) = self.protected_roles.iter().find(bad) {
            let expected = "ARNs of roles, each whole or ending in `*`: \
                            `arn:aws:iam::111122223333:role/jitney/*`";
            return Err(text("protected_roles", expected, arn));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), BadTarget> {
        within(
            "elevate_deadline_seconds",
            self.elevate_deadline_seconds,
            1,
            60,
        )?;
        within("settle_seconds", self.settle_seconds, 0, 900)?;
        within(
            "write_interval_milliseconds",
            self.write_interval_milliseconds,
            0,
            60_000,
        )?;
        let writes = self.iam_writes_per_second;
        within("iam_writes_per_second", writes, 1, 1_000)?;
        let reads = self.iam_reads_per_second;
        within("iam_reads_per_second", reads, 1, 10_000)?;
        within(
            "clock_skew_seconds",
            self.clock_skew_seconds,
            1,
            CLOCK_SKEW_SECONDS_MAX,
        )?;
        within(
            "max_session_seconds",
            self.max_session_seconds,
            SESSION_SECONDS_MIN,
            SESSION_SECONDS_MAX,
        )?;
        within(
            "session_policy_characters",
            self.session_policy_characters,
            256,
            4 * SESSION_POLICY_CHARACTERS,
        )?;
        within(
            "operator_inline_characters",
            self.operator_inline_characters,
            0,
            ROLE_INLINE_CHARACTERS - 1_024,
        )
    }
}

impl AwsTarget {
    /// Whether calls go unencrypted; then they stay on this machine.
    pub(crate) fn is_plain_http(&self) -> bool {
        let url = self.endpoint_url.as_deref();
        url.is_some_and(|url| url.starts_with("http://"))
    }

    /// The longest an elevation may take.
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_secs(self.elevate_deadline_seconds.into())
    }

    /// The time after which a Deny that was read back counts as in force.
    pub(crate) fn settle(&self) -> Duration {
        Duration::from_secs(self.settle_seconds.into())
    }

    /// How far the cloud's clock may be from ours.
    pub(crate) fn skew(&self) -> Duration {
        Duration::from_secs(self.clock_skew_seconds.into())
    }

    /// From recording an intent to the last moment at which AWS may still act on its call.
    pub(crate) const fn lands_within_seconds(&self) -> u32 {
        self.elevate_deadline_seconds + LANDS_LATE_SECONDS + self.clock_skew_seconds
    }

    /// From the end of a lease to the moment its sessions are refused.
    pub(crate) const fn severs_within_seconds(&self) -> u32 {
        self.settle_seconds + WRITE_ALLOWANCE_SECONDS
    }
}

fn is_region(text: &str) -> bool {
    let mut words = text.split('-');
    let number = words.next_back().unwrap_or_default();
    let words: Vec<&str> = words.collect();
    words.len() >= 2
        && text.len() <= 32
        && words
            .iter()
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

fn is_external_id(text: &str) -> bool {
    (2..=1_224).contains(&text.len())
        && text
            .bytes()
            .all(|b| is_name_character(b) || b == b':' || b == b'/')
}

/// `https://HOST[:PORT]`, or plain http to a literal loopback address. A name such as `localhost`
/// is not taken for plain http: whoever answers the lookup would read every credential.
fn is_endpoint(text: &str) -> bool {
    let plain = text.strip_prefix("http://");
    let Some(authority) = plain.or_else(|| text.strip_prefix("https://")) else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-[]:".contains(&b));
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let is_allowed = plain.is_none() || host == "127.0.0.1" || host == "[::1]";
    is_host && is_port && is_allowed
}

fn is_role_or_pattern(text: &str) -> bool {
    let whole = text
        .strip_suffix('*')
        .map_or_else(|| text.to_owned(), |start| format!("{start}x"));
    whole.parse::<crate::arn::RoleArn>().is_ok()
}

/// Why the environment is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the environment sets `{variable}`, which would send every call, credentials included, to an \
     address nobody configured: unset it, and write `endpoint_url` in the target's configuration \
     if another address is meant"
)]
pub struct AmbientEndpoint {
    /// The variable.
    pub variable: String,
}

/// Refuses an environment that redirects AWS calls. A region in the environment is harmless: it
/// is never read, because the target's own is always given.
///
/// # Errors
/// When one of `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_STS`, … is among the names.
pub fn refuse_ambient_endpoints(
    names: impl IntoIterator<Item = String>,
) -> Result<(), AmbientEndpoint> {
    let redirects = |name: &String| name.to_ascii_uppercase().starts_with("AWS_ENDPOINT_URL");
    match names.into_iter().find(redirects) {
        Some(variable) => Err(AmbientEndpoint { variable }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
