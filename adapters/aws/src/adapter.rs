//! One AWS account as core sees it.

use core::time::Duration;
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use jitney_core::cloud_clock::CloudClock;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::id::{BadId, CloudName, InstallationName, TargetName};
use jitney_core::quota::Quota;
use jitney_core::time::Clock;

use crate::classify::{Call, fault};
use crate::cloud_clock::cloud_clock;
use crate::config::AwsTarget;
use crate::connect::{Clients, Identities};
use crate::pen::Pens;
use crate::plan::Planner;

/// The name by which the catalogue's columns and the configuration call this cloud.
pub const CLOUD: &str = "aws";

/// What a job may read of a revocation that did not go through: there is nothing it could do.
pub(crate) const TOLD_REVOKING: &str = "what was granted is still being taken back";

/// How many calls to IAM may come at once. AWS publishes neither how fast its buckets fill nor how many
/// calls they hold.
const AT_ONCE: u32 = 4;

/// How many calls the account's IAM leaves, over all its roles. Those that change something and
/// those that read do not share a quota.
#[derive(Debug)]
pub(crate) struct Quotas {
    pub(crate) writes: Quota,
    pub(crate) reads: Quota,
}

impl Quotas {
    fn of(config: &AwsTarget) -> Self {
        let paced = |per_second: u32| {
            let window = Duration::from_secs(AT_ONCE.into()) / per_second.max(1);
            Quota::of(AT_ONCE, window)
        };
        Self {
            writes: paced(config.iam_writes_per_second),
            reads: paced(config.iam_reads_per_second),
        }
    }
}

/// Elevates and revokes in one AWS account.
#[derive(Debug)]
pub struct AwsAdapter {
    pub(crate) planner: Planner,
    pub(crate) clients: Clients,
    pub(crate) clock: Arc<CloudClock>,
    pub(crate) pens: Pens,
    pub(crate) quotas: Quotas,
}

impl AwsAdapter {
    /// The adapter of one target. Makes no call.
    ///
    /// # Errors
    /// Never in practice: when [`CLOUD`] is not a cloud's name.
    pub fn new(
        target: TargetName,
        config: AwsTarget,
        installation: InstallationName,
        identities: &Identities,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BadId> {
        let clock = cloud_clock(clock);
        Ok(Self {
            clients: Clients::new(&config, identities, &clock),
            quotas: Quotas::of(&config),
            planner: Planner {
                cloud: CLOUD.parse::<CloudName>()?,
                target,
                installation,
                config,
            },
            clock,
            pens: Pens::default(),
        })
    }

    pub(crate) const fn config(&self) -> &AwsTarget {
        &self.planner.config
    }

    /// Looks at AWS's clock, unless that was done of late. The call needs no permission and
    /// changes nothing.
    pub(crate) async fn look_at_clock(&self) -> Result<(), Fault> {
        let asked = self.clients.looking.get_caller_identity().send().await;
        asked
            .map(|_| ())
            .map_err(|error| read_fault("GetCallerIdentity", &error))
    }
}

/// The fault of a call that only looked.
pub(crate) fn read_fault<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Fault
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata + core::error::Error + 'static,
{
    fault(Call::Reads, operation, error)
}

/// A fault that AWS has no part in.
pub(crate) fn own_fault(kind: FaultKind, code: &'static str, told: &str, logged: String) -> Fault {
    Fault {
        kind,
        code,
        told: told.to_owned(),
        logged,
    }
}
