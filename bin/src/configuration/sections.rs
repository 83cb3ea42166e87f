//! What can be configured, section by section.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jitney_aws::AwsTarget;
use jitney_azure::AzureTarget;
use jitney_core::catalogue::Resource;
use jitney_core::id::{CloudName, InstallationName, ResourceName, TargetName};
use jitney_core::usecase::Limits;
use jitney_gcp::GcpTarget;
use jitney_identity::IssuerConfig;
use jitney_ledger_postgres::PostgresOptions;
use jitney_ledger_sqlite::SqliteOptions;
use serde::Deserialize;

use super::issuer::IssuerSection;
use super::surroundings::{AdminSection, AlarmsSection, MetricsSection, WebhooksSection};

/// A whole configuration. Paths are absolute, or as the process's own folder has them.
#[derive(Debug)]
pub struct Configuration {
    /// Where it was read, for messages.
    pub file: PathBuf,
    /// The installation's name: part of every stamp in a cloud.
    pub installation: InstallationName,
    /// The broker itself.
    pub broker: BrokerSection,
    /// The ledger.
    pub ledger: LedgerSection,
    /// Where ends are noted while the ledger cannot be written.
    pub spool: Spool,
    /// The keys.
    pub keys: KeysSection,
    /// The policies.
    pub policies: PoliciesSection,
    /// Whose tokens are believed.
    pub issuers: Vec<IssuerConfig>,
    /// The broker as an issuer.
    pub issuer: Option<IssuerSection>,
    /// The accounts, subscriptions and projects.
    pub targets: BTreeMap<TargetName, CloudTarget>,
    /// The operator's names for things.
    pub resources: BTreeMap<ResourceName, Resource>,
    /// The numbers that bound requests.
    pub limits: Limits,
    /// How long a job may be silent.
    pub silence: Duration,
    /// What CI systems tell it.
    pub webhooks: WebhooksSection,
    /// Where it shows what it counts.
    pub metrics: MetricsSection,
    /// The socket for its operators.
    pub admin_socket: PathBuf,
    /// Where it tells alarms.
    pub alarms: AlarmsSection,
}

/// The keys of the file, before targets are given to their adapters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub installation: InstallationName,
    pub broker: BrokerSection,
    pub ledger: serde_json::Value,
    #[serde(default)]
    pub spool: SpoolSection,
    pub keys: KeysSection,
    pub policies: PoliciesSection,
    pub issuers: Vec<IssuerConfig>,
    #[serde(default)]
    pub issuer: Option<IssuerSection>,
    pub targets: BTreeMap<TargetName, serde_json::Value>,
    pub resources: BTreeMap<ResourceName, Resource>,
    #[serde(default)]
    pub limits: LimitsSection,
    #[serde(default)]
    pub silence: SilenceSection,
    #[serde(default)]
    pub webhooks: WebhooksSection,
    #[serde(default)]
    pub metrics: MetricsSection,
    #[serde(default)]
    pub admin: AdminSection,
    #[serde(default)]
    pub alarms: AlarmsSection,
}

/// `[broker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerSection {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The address by which clients know the broker, when that is another one.
    #[serde(default)]
    pub public_url: Option<String>,
    /// The certificate; without it the broker serves loopback only.
    #[serde(default)]
    pub tls: Option<TlsSection>,
    /// The shortest time between two drives of one lane, in milliseconds.
    #[serde(default = "lane_pause_milliseconds")]
    pub lane_pause_milliseconds: u32,
}

const fn lane_pause_milliseconds() -> u32 {
    1_000
}

/// `[broker.tls]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// The certificate chain, PEM.
    pub certificate_file: PathBuf,
    /// Its key, PEM; readable by its owner only.
    pub key_file: PathBuf,
}

/// The spool: a file of a fixed size.
#[derive(Debug, Clone)]
pub struct Spool {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// `[spool]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SpoolSection {
    /// The file; without it, one beside the ledger.
    pub path: Option<PathBuf>,
    size_mib: u32,
}

impl Default for SpoolSection {
    fn default() -> Self {
        Self {
            path: None,
            size_mib: 16,
        }
    }
}

impl SpoolSection {
    pub(super) fn checked(self, ledger: &Path) -> Result<Spool, (&'static str, String)> {
        within("spool.size_mib", self.size_mib, 1, 1_024)?;
        let beside = || {
            let mut name = ledger.as_os_str().to_owned();
            name.push("-spool");
            name.into()
        };
        Ok(Spool {
            path: self.path.unwrap_or_else(beside),
            bytes: u64::from(self.size_mib).saturating_mul(1024 * 1024),
        })
    }
}

/// `[ledger]`: one file for one broker, or `[ledger.postgres]` for several.
#[derive(Debug, Clone)]
pub enum LedgerSection {
    /// One file.
    Sqlite(SqliteOptions),
    /// A schema on a server.
    Postgres(Box<PostgresOptions>),
}

/// `[keys]`: files, never the keys themselves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSection {
    /// The secret with which this installation stamps what it makes in clouds.
    pub stamp_secret_file: PathBuf,
    /// The key that signs the audit log.
    pub audit_key_file: PathBuf,
}

/// `[policies]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoliciesSection {
    /// A folder of `.cedar` files, or one file.
    pub directory: PathBuf,
    /// Capabilities of the operator's own, beside the built-in catalogue.
    #[serde(default)]
    pub catalogue_file: Option<PathBuf>,
}

/// `[targets.NAME]`, by its `cloud`.
#[derive(Debug, Clone)]
pub enum CloudTarget {
    /// An AWS account.
    Aws(Box<AwsTarget>),
    /// An Azure subscription.
    Azure(Box<AzureTarget>),
    /// A Google Cloud project.
    Gcp(Box<GcpTarget>),
}

impl CloudTarget {
    /// The clouds that targets can be in.
    pub(super) const CLOUDS: &'static [&'static str] = &["aws", "azure", "gcp"];

    /// The name of its cloud.
    pub const fn cloud(&self) -> &'static str {
        match self {
            Self::Aws(_) => "aws",
            Self::Azure(_) => "azure",
            Self::Gcp(_) => "gcp",
        }
    }

    /// The same, typed.
    pub fn cloud_name(&self) -> Option<CloudName> {
        self.cloud().parse().ok()
    }
}

/// `[limits]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    ttl_seconds_default: u32,
    ttl_seconds_min: u32,
    ttl_seconds_max: u32,
    window_seconds: u32,
    answer_within_seconds: u32,
    leases_per_job_max: u32,
    leases_per_repository_max: u32,
    leases_per_tenant_max: u32,
    reason_length_max: u32,
}

impl Default for LimitsSection {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            ttl_seconds_default: limits.ttl_seconds_default,
            ttl_seconds_min: limits.ttl_seconds_min,
            ttl_seconds_max: limits.ttl_seconds_max,
            window_seconds: limits.window_seconds,
            answer_within_seconds: u32::try_from(limits.answer_within.as_secs()).unwrap_or(20),
            leases_per_job_max: limits.leases_per_job_max,
            leases_per_repository_max: limits.leases_per_repository_max,
            leases_per_tenant_max: limits.leases_per_tenant_max,
            reason_length_max: u32::try_from(limits.reason_length_max).unwrap_or(512),
        }
    }
}

/// The longest request, in seconds: a working day.
const TTL_SECONDS_MOST: u32 = 8 * 3_600;

impl LimitsSection {
    /// The limits, if they hold together; otherwise the key that does not, and what it may be.
    pub(super) fn checked(&self) -> Result<Limits, (&'static str, String)> {
        let (least, most) = (self.ttl_seconds_min, self.ttl_seconds_max);
        within("limits.ttl_seconds_min", least, 1, TTL_SECONDS_MOST)?;
        within("limits.ttl_seconds_max", most, least, TTL_SECONDS_MOST)?;
        within(
            "limits.ttl_seconds_default",
            self.ttl_seconds_default,
            least,
            most,
        )?;
        within("limits.window_seconds", self.window_seconds, 60, 3_600)?;
        // Calls are answered within 50 s, and a cloud is waited for less than that.
        within(
            "limits.answer_within_seconds",
            self.answer_within_seconds,
            1,
            40,
        )?;
        let count = 1..=1_000_000;
        let (first, last) = (*count.start(), *count.end());
        within(
            "limits.leases_per_job_max",
            self.leases_per_job_max,
            first,
            last,
        )?;
        within(
            "limits.leases_per_repository_max",
            self.leases_per_repository_max,
            first,
            last,
        )?;
        within(
            "limits.leases_per_tenant_max",
            self.leases_per_tenant_max,
            first,
            last,
        )?;
        within("limits.reason_length_max", self.reason_length_max, 1, 1_024)?;
        Ok(Limits {
            ttl_seconds_default: self.ttl_seconds_default,
            ttl_seconds_min: self.ttl_seconds_min,
            ttl_seconds_max: self.ttl_seconds_max,
            window_seconds: self.window_seconds,
            answer_within: Duration::from_secs(self.answer_within_seconds.into()),
            leases_per_job_max: self.leases_per_job_max,
            leases_per_repository_max: self.leases_per_repository_max,
            leases_per_tenant_max: self.leases_per_tenant_max,
            reason_length_max: usize::try_from(self.reason_length_max).unwrap_or(usize::MAX),
        })
    }
}

/// `[silence]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SilenceSection {
    limit_seconds: u32,
}

impl Default for SilenceSection {
    fn default() -> Self {
        Self { limit_seconds: 45 }
    }
}

impl SilenceSection {
    pub(super) fn checked(&self) -> Result<Duration, (&'static str, String)> {
        within("silence.limit_seconds", self.limit_seconds, 5, 900)?;
        Ok(Duration::from_secs(self.limit_seconds.into()))
    }
}

/// Whether a number is within its bounds; otherwise its key, and what it may be.
pub(super) fn within(
    key: &'static str,
    seen: u32,
    least: u32,
    most: u32,
) -> Result<(), (&'static str, String)> {
    if (least..=most).contains(&seen) {
        Ok(())
    } else {
        Err((key, format!("is {seen}: expected {least} to {most}")))
    }
}
