//! What an operator says about one Google Cloud target. Everything is checked while it is read, so
//! that a target that exists is one that can be used; nothing is taken from the environment but
//! credentials, and those only from the sources named here.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::capability::is_role_name;
use crate::lane_name::Carries;
use crate::limits::{
    CLOCK_SKEW_SECONDS_MAX, DERIVED_SECONDS_MAX, LANDS_LATE_SECONDS, TOKEN_SECONDS,
    TOKEN_SECONDS_MAX, WRITE_ALLOWANCE_SECONDS,
};
use crate::names::{AccountEmail, EntitlementName, PolicyName, ProjectId, RoleName};

/// Where the credentials come from with which Jitney itself calls Google.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CredentialSource {
    /// Application Default Credentials: the file that `GOOGLE_APPLICATION_CREDENTIALS` names,
    /// gcloud's own file, or the machine's metadata server.
    #[default]
    Ambient,
    /// A credential configuration: workload identity federation, a service account's key.
    File {
        /// Its path.
        path: PathBuf,
    },
    /// A file that holds an access token, which somebody else keeps fresh.
    TokenFile {
        /// Its path.
        path: PathBuf,
    },
}

/// Some accounts, and how they carry leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pool {
    /// Each account carries one lease at a time, by bindings of that lease's own.
    Exclusive(Vec<AccountEmail>),
    /// Each account carries one lease at a time, by bindings that stand for ever: being disabled is
    /// all that keeps an idle one from them.
    Standing(Vec<AccountEmail>, BTreeSet<Stands>),
    /// One account carries many leases, by bindings of their own.
    Shared(AccountEmail),
    /// One account carries many leases, each narrowed by an access boundary.
    Boundary(AccountEmail, u32),
    /// Each account carries one lease at a time, by grants that Privileged Access Manager makes of
    /// these entitlements.
    Entitled(Vec<AccountEmail>, BTreeSet<EntitlementName>),
}

/// A binding that stands for every account of a pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stands {
    /// On what.
    pub(crate) on: PolicyName,
    /// Which role.
    pub(crate) role: RoleName,
}

impl Pool {
    /// Its accounts.
    pub(crate) fn accounts(&self) -> &[AccountEmail] {
        match self {
            Self::Exclusive(accounts)
            | Self::Standing(accounts, _)
            | Self::Entitled(accounts, _) => accounts,
            Self::Shared(account) | Self::Boundary(account, _) => core::slice::from_ref(account),
        }
    }

    /// What each of them carries.
    pub(crate) const fn carries(&self) -> Carries {
        match self {
            Self::Exclusive(_) | Self::Standing(..) | Self::Entitled(..) => Carries::One,
            Self::Shared(_) => Carries::Many,
            Self::Boundary(..) => Carries::Bounded,
        }
    }
}

/// One Google Cloud target behind one adapter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct GcpTarget {
    pub(crate) project: ProjectId,
    pub(crate) pools: BTreeMap<String, Pool>,
    pub(crate) roles: BTreeMap<String, RoleName>,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) credentials: CredentialSource,
    pub(crate) revoker_credentials: Option<CredentialSource>,
    pub(crate) elevate_deadline_seconds: u32,
    pub(crate) settle_seconds: u32,
    pub(crate) write_interval_milliseconds: u32,
    pub(crate) account_writes_per_minute: u32,
    pub(crate) clock_skew_seconds: u32,
    pub(crate) max_token_seconds: u32,
    pub(crate) max_derived_seconds: u32,
}

/// The keys as they stand in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    project: ProjectId,
    pools: BTreeMap<String, WrittenPool>,
    #[serde(default)]
    roles: BTreeMap<String, RoleName>,
    endpoint_url: Option<String>,
    #[serde(default)]
    credentials: CredentialSource,
    revoker_credentials: Option<CredentialSource>,
    #[serde(default = "deadline")]
    elevate_deadline_seconds: u32,
    #[serde(default = "settle")]
    settle_seconds: u32,
    #[serde(default = "interval")]
    write_interval_milliseconds: u32,
    #[serde(default = "writes")]
    account_writes_per_minute: u32,
    #[serde(default = "skew")]
    clock_skew_seconds: u32,
    #[serde(default = "token_seconds")]
    max_token_seconds: u32,
    #[serde(default = "derived_seconds")]
    max_derived_seconds: u32,
}

/// A pool as it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPool {
    #[serde(default)]
    mode: Mode,
    accounts: Vec<AccountEmail>,
    #[serde(default)]
    standing: BTreeSet<Stands>,
    leases_max: Option<u32>,
    #[serde(default)]
    entitlements: BTreeSet<EntitlementName>,
}

/// How a pool's accounts carry leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    SaPool,
    SaBinding,
    Cab,
    Pam,
}

const fn deadline() -> u32 {
    45
}
const fn settle() -> u32 {
    60
}
const fn interval() -> u32 {
    1_000
}
const fn writes() -> u32 {
    600
}
const fn skew() -> u32 {
    CLOCK_SKEW_SECONDS_MAX
}
const fn token_seconds() -> u32 {
    TOKEN_SECONDS
}
const fn derived_seconds() -> u32 {
    DERIVED_SECONDS_MAX
}

/// The leases that an account with an access boundary carries at a time, where nothing is said.
const BOUNDARY_LEASES: u32 = 1_000;

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
    /// A target without any account.
    #[error("`pools` is empty: expected at least one pool, with the accounts that carry leases")]
    NoPool,
    /// A pool that cannot be one.
    #[error("`pools.{pool}`: {why}")]
    Pool {
        /// The pool.
        pool: String,
        /// What is wrong with it.
        why: String,
    },
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

impl TryFrom<Written> for GcpTarget {
    type Error = BadTarget;

    fn try_from(written: Written) -> Result<Self, BadTarget> {
        written.check_numbers()?;
        let url = written.endpoint_url.as_deref();
        if let Some(url) = url.filter(|url| !is_endpoint(url)) {
            let expected = "`https://HOST[:PORT]`, or `http://127.0.0.1:PORT`: only loopback may \
                            be plain";
            return Err(text("endpoint_url", expected, url));
        }
        if let Some(name) = written.roles.keys().find(|name| !is_role_name(name)) {
            let expected = "names of `a-z 0-9 -`, at most 64, as the catalogue has them";
            return Err(text("roles", expected, name));
        }
        Ok(Self {
            pools: pools(written.pools, &written.project)?,
            roles: written.roles,
            project: written.project,
            endpoint_url: written.endpoint_url,
            credentials: written.credentials,
            revoker_credentials: written.revoker_credentials,
            elevate_deadline_seconds: written.elevate_deadline_seconds,
            settle_seconds: written.settle_seconds,
            write_interval_milliseconds: written.write_interval_milliseconds,
            account_writes_per_minute: written.account_writes_per_minute,
            clock_skew_seconds: written.clock_skew_seconds,
            max_token_seconds: written.max_token_seconds,
            max_derived_seconds: written.max_derived_seconds,
        })
    }
}

impl Written {
    fn check_numbers(&self) -> Result<(), BadTarget> {
        let deadline = self.elevate_deadline_seconds;
        within("elevate_deadline_seconds", deadline, 1, 45)?;
        within("settle_seconds", self.settle_seconds, 0, 900)?;
        let interval = self.write_interval_milliseconds;
        within("write_interval_milliseconds", interval, 0, 60_000)?;
        let writes = self.account_writes_per_minute;
        within("account_writes_per_minute", writes, 12, 60_000)?;
        let skew = self.clock_skew_seconds;
        within("clock_skew_seconds", skew, 1, CLOCK_SKEW_SECONDS_MAX)?;
        let token = self.max_token_seconds;
        within("max_token_seconds", token, 60, TOKEN_SECONDS_MAX)?;
        let derived = self.max_derived_seconds;
        within("max_derived_seconds", derived, 0, DERIVED_SECONDS_MAX)
    }
}

/// An account stands in one pool and once, or two leases would meet on it.
fn pools(
    written: BTreeMap<String, WrittenPool>,
    project: &ProjectId,
) -> Result<BTreeMap<String, Pool>, BadTarget> {
    if written.is_empty() {
        return Err(BadTarget::NoPool);
    }
    let (mut pools, mut known) = (BTreeMap::new(), BTreeSet::new());
    for (name, pool) in written {
        let bad = |why: String| BadTarget::Pool {
            pool: name
                .chars()
                .take(80)
                .flat_map(char::escape_default)
                .collect(),
            why,
        };
        let foreign = pool.entitlements.iter().find(|it| it.project() != project);
        if let Some(foreign) = foreign {
            return Err(bad(format!(
                "`{foreign}` is not one of project `{project}`"
            )));
        }
        let pool = pool.read().map_err(|why| bad(why.to_owned()))?;
        if let Some(twice) = pool
            .accounts()
            .iter()
            .find(|it| !known.insert((*it).clone()))
        {
            return Err(bad(format!("`{twice}` is named twice")));
        }
        pools.insert(name, pool);
    }
    Ok(pools)
}

impl WrittenPool {
    fn read(self) -> Result<Pool, &'static str> {
        let one = || match <[AccountEmail; 1]>::try_from(self.accounts.clone()) {
            Ok([account]) => Ok(account),
            Err(_) => Err("in this mode one account carries all leases: name exactly one"),
        };
        match (self.mode, self.entitlements.is_empty()) {
            (Mode::Pam, true) => {
                return Err("it has no `entitlements`: name those that give roles");
            }
            (Mode::SaPool | Mode::SaBinding | Mode::Cab, false) => {
                return Err("`entitlements` are for `pam`");
            }
            (Mode::Pam, false) | (Mode::SaPool | Mode::SaBinding | Mode::Cab, true) => {}
        }
        match (self.mode, self.standing.is_empty(), self.leases_max) {
            (Mode::Cab, true, most @ (None | Some(1..))) => {
                Ok(Pool::Boundary(one()?, most.unwrap_or(BOUNDARY_LEASES)))
            }
            (_, _, Some(_)) => Err("`leases_max` is for `cab`, and at least 1"),
            (Mode::SaBinding | Mode::Cab | Mode::Pam, false, _) => {
                Err("`standing` is for `sa-pool`")
            }
            (Mode::SaPool | Mode::Pam, _, _) if self.accounts.is_empty() => {
                Err("it has no accounts")
            }
            (Mode::Pam, true, _) => Ok(Pool::Entitled(self.accounts, self.entitlements)),
            (Mode::SaPool, true, _) => Ok(Pool::Exclusive(self.accounts)),
            (Mode::SaPool, false, _) => Ok(Pool::Standing(self.accounts, self.standing)),
            (Mode::SaBinding, true, _) => Ok(Pool::Shared(one()?)),
        }
    }
}

impl GcpTarget {
    /// The same with every path taken from a folder.
    #[must_use]
    pub fn below(mut self, folder: &Path) -> Self {
        let own = [
            Some(&mut self.credentials),
            self.revoker_credentials.as_mut(),
        ];
        for source in own.into_iter().flatten() {
            match source {
                CredentialSource::File { path } | CredentialSource::TokenFile { path } => {
                    *path = folder.join(&*path);
                }
                CredentialSource::Ambient => {}
            }
        }
        self
    }

    /// Whether calls go unencrypted; then they stay on this machine.
    pub(crate) fn is_plain_http(&self) -> bool {
        let url = self.endpoint_url.as_deref();
        url.is_some_and(|url| url.starts_with("http://"))
    }

    /// The time after which an account that was read back as disabled counts as cut off.
    pub(crate) fn settle(&self) -> Duration {
        Duration::from_secs(self.settle_seconds.into())
    }

    /// How far the cloud's clock may be from ours.
    pub(crate) fn skew(&self) -> Duration {
        Duration::from_secs(self.clock_skew_seconds.into())
    }

    /// Between two writes of one policy.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis(self.write_interval_milliseconds.into())
    }

    /// From our own deadline to the last moment at which Google may still act on a call.
    pub(crate) const fn lands_within_seconds(&self) -> u32 {
        LANDS_LATE_SECONDS + self.clock_skew_seconds
    }

    /// From the end of a lease to the moment its account's tokens are refused.
    pub(crate) const fn severs_within_seconds(&self) -> u32 {
        self.settle_seconds + WRITE_ALLOWANCE_SECONDS
    }
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

#[cfg(test)]
mod tests;
