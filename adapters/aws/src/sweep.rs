//! Looking through an account for lists of ended sessions. A session itself cannot be found: AWS
//! lists no sessions. What bears our name there only ever takes privileges away.

use aws_sdk_iam::types::Role;
use jitney_core::adapter::{Page, Stamped, StampedKind};
use jitney_core::fault::Fault;
use jitney_core::quota::Errand;

use crate::adapter::{AwsAdapter, read_fault};
use crate::classify::ACCESS_DENIED;
use crate::limits::SWEPT_ROLES;
use crate::role_policies::room;
use crate::writing::RoleLists as _;

impl AwsAdapter {
    /// The lists on some of the account's roles.
    pub(crate) async fn look_through(&self, after: Option<String>) -> Result<Page, Fault> {
        room(&self.quotas.reads, Errand::Other, &self.clock).await;
        let call = self.clients.reading.list_roles().max_items(SWEPT_ROLES);
        let answer = call.set_marker(after).send().await;
        let answer = answer.map_err(|error| read_fault("ListRoles", &error))?;
        let mut found = Vec::new();
        for role in answer.roles() {
            self.look_at_role(role, &mut found).await?;
        }
        let next = answer.marker().filter(|_| answer.is_truncated());
        Ok(Page {
            found,
            next: next.map(str::to_owned),
        })
    }

    async fn look_at_role(&self, role: &Role, found: &mut Vec<Stamped>) -> Result<(), Fault> {
        let policies = self.policies_of(role.role_name(), Errand::Other);
        let names = match policies.names().await {
            Ok(names) => names.unwrap_or_default(),
            // Whom we may not even read we could not have written. The roles that Jitney is set up
            // for are looked at all the same, by their lanes.
            Err(fault) if fault.code == ACCESS_DENIED => {
                tracing::warn!(role = role.role_name(), "the role may not be looked at");
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        for name in names {
            let Some(list) = policies.list(name).await? else {
                continue;
            };
            let native = format!("{} of {}", name.of(&self.planner.installation), role.arn());
            found.extend(list.denied.into_iter().map(|held| Stamped {
                lane: self.planner.lane(role.role_name()),
                held,
                mark: Some(list.mark),
                kind: StampedKind::Enforcement,
                native: native.clone(),
            }));
        }
        Ok(())
    }
}
