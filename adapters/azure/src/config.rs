//! What an operator says about one Azure subscription. Everything is checked while it is read, so
//! that a target that exists is one that can be used; nothing is taken from the environment.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::capability::{Carries, is_role_name};
use crate::environment::Environment;
use crate::limits::{
    ASSERTION_SECONDS_MAX, ASSERTION_SECONDS_MIN, ASSIGNMENT_SECONDS_MIN, CLOCK_SKEW_SECONDS,
    FLOOR_MARGIN_SECONDS, FLOOR_SECONDS, LANDS_LATE_SECONDS, REMOVAL_ALLOWANCE_SECONDS,
    SETTLE_SECONDS,
};
use crate::scope::guid;

/// The most slots of a pool.
const SLOTS_MAX: usize = 500;
/// The longest name of a slot: it ends up in the subject of an assertion.
const SLOT_NAME_LENGTH_MAX: usize = 64;

/// How roles are given and taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By Privileged Identity Management, which ends an assignment by itself, and lets none be
    /// removed in its first five minutes.
    #[default]
    Pim,
    /// By plain role assignments: removed at once, and never by themselves.
    Rbac,
}

/// What stops an ended lease whose role PIM does not let anybody take yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FastStop {
    /// A deny assignment for its slot.
    DenyAssignment,
}

/// What a job receives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HandsOut {
    /// An access token for what was asked.
    #[default]
    Token,
    /// A short assertion, by which `az` and Terraform log in themselves. What they get by it lives
    /// on, so the slot rests longer.
    Assertion,
}

/// Where the credentials come from with which Jitney itself calls Azure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WrittenSource")]
pub enum CredentialSource {
    /// An assertion of the broker's own issuer, which the application trusts.
    Issuer {
        /// The application.
        client_id: Uuid,
    },
    /// The platform's word.
    OfPlatform(PlatformIdentity),
}

/// An identity that the platform gives to whoever runs here, whatever our own issuer does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PlatformIdentity {
    /// A token that the platform writes into a file, as Kubernetes does.
    WorkloadIdentity {
        /// The application.
        client_id: Uuid,
        /// The file.
        token_file: PathBuf,
    },
    /// The identity of the machine.
    ManagedIdentity {
        /// Which, when it has several.
        #[serde(default)]
        client_id: Option<Uuid>,
    },
}

/// A source as it stands in a file: all three are told apart by the same key.
#[derive(Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case", deny_unknown_fields)]
enum WrittenSource {
    Issuer {
        client_id: Uuid,
    },
    WorkloadIdentity {
        client_id: Uuid,
        token_file: PathBuf,
    },
    ManagedIdentity {
        #[serde(default)]
        client_id: Option<Uuid>,
    },
}

impl From<WrittenSource> for CredentialSource {
    fn from(written: WrittenSource) -> Self {
        match written {
            WrittenSource::Issuer { client_id } => Self::Issuer { client_id },
            WrittenSource::WorkloadIdentity {
                client_id,
                token_file,
            } => Self::OfPlatform(PlatformIdentity::WorkloadIdentity {
                client_id,
                token_file,
            }),
            WrittenSource::ManagedIdentity { client_id } => {
                Self::OfPlatform(PlatformIdentity::ManagedIdentity { client_id })
            }
        }
    }
}

/// An identity of ours that carries one lease at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// The application, as it logs in.
    pub client_id: Uuid,
    /// Its service principal, as roles are assigned to it.
    pub object_id: Uuid,
    /// What it is for.
    pub(crate) carries: Carries,
}

/// One Azure subscription behind one adapter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct AzureTarget {
    pub(crate) tenant: Uuid,
    pub(crate) subscription: Uuid,
    pub(crate) environment: Environment,
    pub(crate) mode: Mode,
    pub(crate) fast_stop: Option<FastStop>,
    pub(crate) slots: BTreeMap<String, Slot>,
    pub(crate) roles: BTreeMap<String, Uuid>,
    pub(crate) hands_out: HandsOut,
    pub(crate) credentials: CredentialSource,
    pub(crate) revoker_credentials: Option<CredentialSource>,
    pub(crate) endpoint: Url,
    pub(crate) authority: Url,
    pub(crate) blob_endpoint: Option<Url>,
    pub(crate) certificate_authorities_file: Option<PathBuf>,
    pub(crate) elevate_deadline_seconds: u32,
    pub(crate) settle_seconds: u32,
    pub(crate) assertion_seconds: u32,
    pub(crate) max_lease_seconds: u32,
}

/// The keys as they stand in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    tenant: String,
    subscription: String,
    #[serde(default)]
    environment: Environment,
    #[serde(default)]
    mode: Mode,
    fast_stop: Option<FastStop>,
    slots: BTreeMap<String, Slot>,
    #[serde(default)]
    roles: BTreeMap<String, String>,
    #[serde(default)]
    hands_out: HandsOut,
    credentials: CredentialSource,
    revoker_credentials: Option<CredentialSource>,
    endpoint_url: Option<String>,
    authority_url: Option<String>,
    blob_endpoint_url: Option<String>,
    certificate_authorities_file: Option<PathBuf>,
    #[serde(default = "deadline")]
    elevate_deadline_seconds: u32,
    #[serde(default = "settle")]
    settle_seconds: u32,
    #[serde(default = "assertion")]
    assertion_seconds: u32,
    #[serde(default = "working_day")]
    max_lease_seconds: u32,
}

/// The longest that a job can be kept waiting for its answer, and so the longest for Azure.
const DEADLINE_SECONDS_MAX: u32 = 45;
/// The longest lease.
const LEASE_SECONDS_MAX: u32 = 8 * 3_600;

const fn deadline() -> u32 {
    DEADLINE_SECONDS_MAX
}
const fn settle() -> u32 {
    SETTLE_SECONDS
}
const fn assertion() -> u32 {
    ASSERTION_SECONDS_MAX
}
const fn working_day() -> u32 {
    LEASE_SECONDS_MAX
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
    /// The pool has no slot, or more than are looked through.
    #[error("`slots` has {0} entries: expected 1 to {SLOTS_MAX}")]
    Pool(usize),
    /// Two slots would be one identity.
    #[error(
        "slot `{slot}` has the `{key}` of another slot: two leases on one identity would have each \
         other's rights"
    )]
    SharedIdentity {
        /// The slot.
        slot: String,
        /// Which of its ids.
        key: &'static str,
    },
    /// Whoever gives could be given to.
    #[error("slot `{0}` is the application that Jitney itself calls Azure with")]
    OwnIdentity(String),
    /// There is nothing that a fast stop could be faster than.
    #[error(
        "`fast_stop` is set and `mode` is `rbac`: there a removal is taken at once, and a denial \
         would be in force no sooner; expected `mode` `pim`, or no `fast_stop`"
    )]
    NothingToStop,
}

pub(crate) fn text(key: &'static str, expected: &'static str, seen: &str) -> BadTarget {
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

pub(crate) fn id(key: &'static str, written: &str) -> Result<Uuid, BadTarget> {
    guid(written).ok_or_else(|| text(key, "a GUID", written))
}

impl TryFrom<Written> for AzureTarget {
    type Error = BadTarget;

    fn try_from(written: Written) -> Result<Self, BadTarget> {
        if written.mode == Mode::Rbac && written.fast_stop.is_some() {
            return Err(BadTarget::NothingToStop);
        }
        written.check_pool()?;
        written.check_numbers()?;
        let roles = written.roles.iter().map(|(name, role)| {
            if is_role_name(name) && guid(name).is_none() {
                Ok((name.clone(), id("roles", role)?))
            } else {
                Err(text("roles", "names of `a-z 0-9 -`", name))
            }
        });
        Ok(Self {
            tenant: id("tenant", &written.tenant)?,
            subscription: id("subscription", &written.subscription)?,
            environment: written.environment,
            mode: written.mode,
            fast_stop: written.fast_stop,
            roles: roles.collect::<Result<_, _>>()?,
            slots: written.slots,
            hands_out: written.hands_out,
            credentials: written.credentials,
            revoker_credentials: written.revoker_credentials,
            endpoint: address(
                "endpoint_url",
                written.endpoint_url.as_deref(),
                written.environment.endpoint(),
            )?,
            authority: address(
                "authority_url",
                written.authority_url.as_deref(),
                written.environment.authority(),
            )?,
            blob_endpoint: written
                .blob_endpoint_url
                .map(|url| address("blob_endpoint_url", Some(&url), ""))
                .transpose()?,
            certificate_authorities_file: written.certificate_authorities_file,
            elevate_deadline_seconds: written.elevate_deadline_seconds,
            settle_seconds: written.settle_seconds,
            assertion_seconds: written.assertion_seconds,
            max_lease_seconds: written.max_lease_seconds,
        })
    }
}

impl Written {
    fn check_pool(&self) -> Result<(), BadTarget> {
        if self.slots.is_empty() || self.slots.len() > SLOTS_MAX {
            return Err(BadTarget::Pool(self.slots.len()));
        }
        let (mut clients, mut objects) = (BTreeSet::new(), BTreeSet::new());
        for (name, slot) in &self.slots {
            if !is_slot_name(name) {
                return Err(text("slots", "names of `a-z 0-9 -`, at most 64", name));
            }
            let shared = |key| BadTarget::SharedIdentity {
                slot: name.clone(),
                key,
            };
            if !clients.insert(slot.client_id) {
                return Err(shared("client_id"));
            }
            if !objects.insert(slot.object_id) {
                return Err(shared("object_id"));
            }
            let own = [Some(&self.credentials), self.revoker_credentials.as_ref()];
            let mut own = own.into_iter().flatten().filter_map(client);
            if own.any(|own| own == slot.client_id) {
                return Err(BadTarget::OwnIdentity(name.clone()));
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), BadTarget> {
        within(
            "elevate_deadline_seconds",
            self.elevate_deadline_seconds,
            5,
            DEADLINE_SECONDS_MAX,
        )?;
        within("settle_seconds", self.settle_seconds, 0, 3_600)?;
        within(
            "assertion_seconds",
            self.assertion_seconds,
            ASSERTION_SECONDS_MIN,
            ASSERTION_SECONDS_MAX,
        )?;
        within(
            "max_lease_seconds",
            self.max_lease_seconds,
            ASSIGNMENT_SECONDS_MIN,
            LEASE_SECONDS_MAX,
        )
    }
}

const fn client(source: &CredentialSource) -> Option<Uuid> {
    match source {
        CredentialSource::Issuer { client_id }
        | CredentialSource::OfPlatform(PlatformIdentity::WorkloadIdentity { client_id, .. }) => {
            Some(*client_id)
        }
        CredentialSource::OfPlatform(PlatformIdentity::ManagedIdentity { client_id }) => *client_id,
    }
}

/// `https://HOST[:PORT]`. Never plain: whoever listens would read every credential.
pub(crate) fn address(
    key: &'static str,
    written: Option<&str>,
    otherwise: &str,
) -> Result<Url, BadTarget> {
    let seen = written.unwrap_or(otherwise);
    let wrong = || text(key, "`https://HOST[:PORT]`, without a path", seen);
    let url = Url::parse(seen).map_err(|_| wrong())?;
    let is_bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if url.scheme() == "https" && url.host_str().is_some() && is_bare {
        Ok(url)
    } else {
        Err(wrong())
    }
}

pub(crate) fn is_slot_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= SLOT_NAME_LENGTH_MAX
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl PlatformIdentity {
    /// Takes its path from this folder.
    pub(crate) fn below(&mut self, folder: &Path) {
        if let Self::WorkloadIdentity { token_file, .. } = self {
            *token_file = folder.join(&*token_file);
        }
    }
}

impl AzureTarget {
    /// The same with every path taken from the configuration's own folder.
    #[must_use]
    pub fn below(mut self, folder: &Path) -> Self {
        let place = |path: &mut PathBuf| *path = folder.join(&*path);
        self.certificate_authorities_file.as_mut().map(place);
        let revoker = self.revoker_credentials.as_mut();
        for source in core::iter::once(&mut self.credentials).chain(revoker) {
            if let CredentialSource::OfPlatform(source) = source {
                source.below(folder);
            }
        }
        self
    }

    /// The slots that carry one kind of lease, by name.
    pub(crate) fn slots_for(&self, kind: Carries) -> impl Iterator<Item = (&String, &Slot)> {
        self.slots
            .iter()
            .filter(move |(_, slot)| slot.carries == kind)
    }

    /// Whether Resource Manager is where its environment has it.
    pub(crate) fn is_at_home(&self) -> bool {
        self.endpoint.as_str().trim_end_matches('/') == self.environment.endpoint()
    }

    /// The longest an elevation may take.
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_secs(self.elevate_deadline_seconds.into())
    }

    /// The time after which a removal that was read back counts as in force.
    pub(crate) fn settle(&self) -> Duration {
        Duration::from_secs(self.settle_seconds.into())
    }

    /// From recording an intent to the last moment at which Azure may still act on its calls.
    pub(crate) const fn lands_within_seconds(&self) -> u32 {
        self.elevate_deadline_seconds + LANDS_LATE_SECONDS
    }

    /// From the end of a lease to the moment its credentials do nothing.
    pub(crate) fn severs_within_seconds(&self) -> u32 {
        let floor = match self.mode {
            Mode::Pim => FLOOR_SECONDS + FLOOR_MARGIN_SECONDS + CLOCK_SKEW_SECONDS,
            Mode::Rbac => 0,
        };
        let floor = u32::try_from(floor).unwrap_or(u32::MAX);
        floor + self.settle_seconds + REMOVAL_ALLOWANCE_SECONDS
    }
}

#[cfg(test)]
mod tests;
