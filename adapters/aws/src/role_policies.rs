//! A role's inline policies in IAM, as far as they are lists of this installation. No other
//! policy is read, changed or removed.

use core::time::Duration;

use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use jitney_core::adapter::Mark;
use jitney_core::cloud_clock::CloudClock;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::id::InstallationName;
use jitney_core::quota::{Errand, Quota};
use jitney_core::time::Timestamp;
use tokio::time::sleep;

use crate::adapter::{Quotas, TOLD_REVOKING, own_fault, read_fault};
use crate::classify::{Call, fault, is_absent};
use crate::connect::Clients;
use crate::deny_list::{Denied, List, document, parse};
use crate::limits::POLICY_PAGES_MAX;
use crate::list_name::ListName;
use crate::writing::RoleLists;

/// The lists on one role.
pub(crate) struct RolePolicies<'a> {
    pub(crate) clients: &'a Clients,
    pub(crate) installation: &'a InstallationName,
    pub(crate) clock: &'a CloudClock,
    pub(crate) quotas: &'a Quotas,
    pub(crate) role: &'a str,
    /// What its policies are read for.
    pub(crate) errand: Errand,
}

/// Waits until a quota has room for one more call.
pub(crate) async fn room(quota: &Quota, errand: Errand, clock: &CloudClock) {
    while let Err(wait) = quota.take(errand, clock.passed()) {
        sleep(wait).await;
    }
}

impl RolePolicies<'_> {
    async fn room_to_read(&self) {
        room(&self.quotas.reads, self.errand, self.clock).await;
    }

    /// A list that is written takes something back; one that is removed can wait.
    async fn room_to_write(&self, errand: Errand) {
        room(&self.quotas.writes, errand, self.clock).await;
    }
}

impl RoleLists for RolePolicies<'_> {
    fn role(&self) -> &str {
        self.role
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn passed(&self) -> Duration {
        self.clock.passed()
    }

    fn skew(&self) -> Option<Duration> {
        self.clock.skew()
    }

    async fn rest_until(&self, passed: Duration) {
        sleep(passed.saturating_sub(self.clock.passed())).await;
    }

    /// The names of the lists on the role; nothing when there is no such role.
    async fn names(&self) -> Result<Option<Vec<ListName>>, Fault> {
        let mut names = Vec::new();
        let mut marker = None;
        for _ in 0..POLICY_PAGES_MAX {
            self.room_to_read().await;
            let call = self.clients.reading.list_role_policies();
            let page = match call.role_name(self.role).set_marker(marker).send().await {
                Ok(page) => page,
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => return Err(read_fault("ListRolePolicies", &error)),
            };
            let read = |name: &String| ListName::read(name, self.installation);
            names.extend(page.policy_names().iter().filter_map(read));
            marker = page.marker().map(str::to_owned);
            if !page.is_truncated() || marker.is_none() {
                return Ok(Some(names));
            }
        }
        let kind = FaultKind::Retryable { after: None };
        let logged = format!(
            "role {} has more inline policies than can be read",
            self.role
        );
        Err(own_fault(
            kind,
            "aws_too_many_policies",
            TOLD_REVOKING,
            logged,
        ))
    }

    /// What a list says. Nothing when it is not there; one that denies nothing when it is not a
    /// list as we write it.
    async fn list(&self, name: ListName) -> Result<Option<List>, Fault> {
        let text = name.of(self.installation);
        self.room_to_read().await;
        let call = self.clients.reading.get_role_policy();
        let found = match call.role_name(self.role).policy_name(&text).send().await {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(read_fault("GetRolePolicy", &error)),
        };
        let list = parse(found.policy_document());
        if list.is_none() {
            tracing::error!(
                role = self.role,
                policy = text,
                "a list of ended sessions was changed by somebody else; it is not relied on"
            );
        }
        Ok(Some(list.unwrap_or_default()))
    }

    /// Writes a list whole. False when there is no such role.
    async fn put(&self, name: ListName, list: &Denied, mark: Mark) -> Result<bool, Fault> {
        let text = document(list, mark).map_err(|error| {
            let logged = format!("a list of ended sessions cannot be written as JSON: {error}");
            own_fault(
                FaultKind::Permanent,
                "aws_request_invalid",
                TOLD_REVOKING,
                logged,
            )
        })?;
        self.room_to_write(Errand::TakesBack).await;
        let call = self.clients.changing.put_role_policy();
        let call = call
            .role_name(self.role)
            .policy_name(name.of(self.installation))
            .policy_document(text);
        present("PutRolePolicy", call.send().await)
    }

    /// Removes a list. One that is not there is removed.
    async fn remove(&self, name: ListName) -> Result<(), Fault> {
        self.room_to_write(Errand::Other).await;
        let call = self.clients.changing.delete_role_policy();
        let call = call
            .role_name(self.role)
            .policy_name(name.of(self.installation));
        present("DeleteRolePolicy", call.send().await).map(|_| ())
    }
}

/// Whether what a change was about is there.
fn present<T, E>(
    operation: &str,
    answer: Result<T, SdkError<E, HttpResponse>>,
) -> Result<bool, Fault>
where
    E: ProvideErrorMetadata + core::error::Error + 'static,
{
    match answer {
        Ok(_) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(fault(Call::Changes, operation, &error)),
    }
}
