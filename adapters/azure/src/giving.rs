//! Giving one role: the one call, and waiting until the role is really there.

use jitney_core::adapter::Mark;
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::lease;
use uuid::Uuid;

use crate::adapter::{AzureAdapter, own_fault};
use crate::arm::{NoAnswer, Place};
use crate::classify::{Call, REQUEST_EXISTS, TOLD_UNKNOWN, fault};
use crate::condition;
use crate::config::Mode;
use crate::questions::told_by;
use crate::resources::{
    Asked, Assignment, Expiration, Instance, NewAssignment, NewRequest, PIM_VERSION, Progress,
    RBAC_VERSION, Request, Resource, Schedule, Ticket,
};
use crate::scope::{Scope, role};
use crate::stamp::{Stamp, gives};
use crate::terms::{Grant, Terms};

/// The system that a request's ticket belongs to.
pub(crate) const TICKET_SYSTEM: &str = "jitney";

/// On whose behalf roles are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) lease: &'a lease::Terms,
    pub(crate) terms: &'a Terms,
    /// How far the ledger had come when it held the intent.
    pub(crate) mark: Mark,
}

impl AzureAdapter {
    /// Asks for one role, once. Where Azure has had a request of this name, it was this one, and
    /// it is looked at. Gives Azure's name for the call.
    pub(crate) async fn give(
        &self,
        asking: Asking<'_>,
        grant: &Grant,
    ) -> Result<Option<String>, Fault> {
        match asking.terms.mode {
            Mode::Pim => self.request(asking, grant).await,
            Mode::Rbac => self.assign(asking, grant).await,
        }
    }

    async fn request(&self, asking: Asking<'_>, grant: &Grant) -> Result<Option<String>, Fault> {
        let body = Asked {
            properties: self.new_request(asking, grant),
        };
        let path = request_path(&grant.scope, grant.name(asking.lease.id));
        let place = at(&path, PIM_VERSION);
        let asked = self.clients.giving.put(place, &body).await;
        match asked {
            Ok(answer) => {
                let _: Resource<Request> = answer.body;
                Ok(answer.request)
            }
            Err(error) if REQUEST_EXISTS.iter().any(|code| error.is(code)) => {
                self.known_request(asking.lease, grant, &path).await
            }
            Err(error) => Err(told_by(
                &error,
                fault(Call::Gives, &named("PUT", &path), &error),
            )),
        }
    }

    /// A request of this name is there already. The name is made from the lease, and a lease asks
    /// once: the call was carried out and came twice.
    async fn known_request(
        &self,
        lease: &lease::Terms,
        grant: &Grant,
        path: &str,
    ) -> Result<Option<String>, Fault> {
        let found = self.clients.looking.get(at(path, PIM_VERSION)).await;
        let found: Resource<Request> = found
            .map_err(|error| ambiguous(&fault(Call::Gives, &named("GET", path), &error)))?
            .body;
        let it = &found.properties;
        let text = it.justification.as_deref().unwrap_or_default();
        let stamp = Stamp::read(&self.planner.installation, text);
        let is_ours = stamp.is_some_and(|stamp| stamp.handle == lease.handle)
            && role(&it.role_definition_id) == Ok(grant.role);
        if is_ours {
            Ok(None)
        } else {
            let logged = format!("{path} is there and was not asked for by us");
            Err(unknown("azure_name_taken", logged))
        }
    }

    fn new_request(&self, asking: Asking<'_>, grant: &Grant) -> NewRequest {
        let minutes = asking.terms.duration_seconds.div_ceil(60);
        NewRequest {
            principal_id: asking.terms.object_id.to_string(),
            role_definition_id: grant.role_id(),
            request_type: "AdminAssign",
            schedule_info: Some(Schedule {
                start_date_time: self.watch.now().to_string(),
                expiration: Expiration {
                    kind: "AfterDuration",
                    duration: format!("PT{minutes}M"),
                },
            }),
            justification: self.stamp(asking),
            ticket_info: Ticket {
                ticket_number: asking.lease.id.to_string(),
                ticket_system: TICKET_SYSTEM,
            },
            condition: grant.condition.clone(),
            condition_version: grant.condition.as_ref().map(|_| condition::VERSION),
        }
    }

    async fn assign(&self, asking: Asking<'_>, grant: &Grant) -> Result<Option<String>, Fault> {
        let body = Asked {
            properties: NewAssignment {
                role_definition_id: grant.role_id(),
                principal_id: asking.terms.object_id.to_string(),
                principal_type: "ServicePrincipal",
                description: self.stamp(asking),
                condition: grant.condition.clone(),
                condition_version: grant.condition.as_ref().map(|_| condition::VERSION),
            },
        };
        let path = assignment_path(&grant.scope, grant.name(asking.lease.id));
        let asked = self
            .clients
            .giving
            .put(at(&path, RBAC_VERSION), &body)
            .await;
        let answer = asked.map_err(|error| fault(Call::Gives, &named("PUT", &path), &error))?;
        let made: Resource<Assignment> = answer.body;
        narrowed_as_asked(grant, made.properties.condition.as_deref())?;
        Ok(answer.request)
    }

    fn stamp(&self, asking: Asking<'_>) -> String {
        let Asking { lease, terms, mark } = asking;
        gives(&self.planner.installation, lease, mark, &terms.job)
    }

    /// Whether a role that was asked for is there. An answer of 201 only says that it was asked
    /// for.
    pub(crate) async fn is_active(&self, asking: Asking<'_>, grant: &Grant) -> Result<bool, Fault> {
        if asking.terms.mode == Mode::Rbac {
            return Ok(true);
        }
        let found = self.instance(asking.terms, grant).await?;
        if let Some(instance) = found {
            narrowed_as_asked(grant, instance.condition.as_deref())?;
            return Ok(true);
        }
        let path = request_path(&grant.scope, grant.name(asking.lease.id));
        let request = self.clients.looking.get(at(&path, PIM_VERSION)).await;
        let request: Resource<Request> = match request {
            Ok(answer) => answer.body,
            // Not there yet, or Azure is busy: it is looked at again.
            Err(_) => return Ok(false),
        };
        match (
            request.properties.progress(),
            request.properties.status.as_str(),
        ) {
            (Progress::Never, status) => Err(unknown(
                "azure_request_failed",
                format!("{path} has come to `{status}`"),
            )),
            // "If approval is required": of those who assign none is, and no job waits for people.
            (Progress::Open, status @ ("PendingApproval" | "PendingAdminDecision")) => {
                Err(unknown(
                    "azure_approval_demanded",
                    format!("{path} is at `{status}`, and a job does not wait for people"),
                ))
            }
            (Progress::Open | Progress::Done, _) => Ok(false),
        }
    }

    async fn instance(&self, terms: &Terms, grant: &Grant) -> Result<Option<Instance>, Fault> {
        let scope = &grant.scope;
        let path =
            format!("{scope}/providers/Microsoft.Authorization/roleAssignmentScheduleInstances");
        let filter = format!("principalId eq '{}'", terms.object_id);
        let place = Place {
            path: &path,
            api_version: PIM_VERSION,
            filter: Some(&filter),
        };
        let found: Result<Vec<Resource<Instance>>, NoAnswer> =
            self.clients.looking.list(place).await;
        let Ok(found) = found else {
            return Ok(None);
        };
        let mut found = found.into_iter().map(|found| found.properties);
        Ok(found.find(|it| {
            it.principal_id.parse() == Ok(terms.object_id)
                && role(&it.role_definition_id) == Ok(grant.role)
                && it.scope.parse().as_ref() == Ok(scope)
        }))
    }
}

/// A condition that Azure took and does not show would be a role without bounds.
fn narrowed_as_asked(grant: &Grant, shown: Option<&str>) -> Result<(), Fault> {
    let words = |text: Option<&str>| -> Vec<String> {
        let words = text.unwrap_or_default().split_whitespace();
        words.map(str::to_owned).collect()
    };
    if words(shown) == words(grant.condition.as_deref()) {
        return Ok(());
    }
    Err(unknown(
        "azure_condition_changed",
        format!(
            "the role {} on {} stands under another condition than was asked for; it is taken back \
             (`condition-as-written`, and under PIM `pim-narrows`: no)",
            grant.role, grant.scope
        ),
    ))
}

/// The fault of a call that may have given.
pub(crate) fn ambiguous(fault: &Fault) -> Fault {
    Fault {
        kind: FaultKind::Ambiguous,
        ..fault.clone()
    }
}

fn unknown(code: &'static str, logged: String) -> Fault {
    own_fault(FaultKind::Ambiguous, code, TOLD_UNKNOWN, logged)
}

pub(crate) fn request_path(scope: &Scope, name: Uuid) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests/{name}")
}

fn assignment_path(scope: &Scope, name: Uuid) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
}

pub(crate) fn at<'a>(path: &'a str, api_version: &'static str) -> Place<'a> {
    Place {
        path,
        api_version,
        filter: None,
    }
}

/// A call as the log names it.
pub(crate) fn named(method: &str, path: &str) -> String {
    format!("{method} {path}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::terms::Purpose;

    #[test]
    fn a_condition_that_azure_does_not_show_as_it_was_asked_for_gives_nothing() {
        let grant = |condition: Option<&str>| Grant {
            role: Uuid::nil(),
            scope: Scope::subscription(Uuid::nil()),
            purpose: Purpose::Role,
            condition: condition.map(str::to_owned),
        };
        let narrow = grant(Some("(a OR b)"));
        assert!(narrowed_as_asked(&narrow, Some("(a OR b)")).is_ok());
        assert!(narrowed_as_asked(&narrow, Some("(a\n OR  b)")).is_ok());
        assert!(narrowed_as_asked(&grant(None), None).is_ok());
        assert!(narrowed_as_asked(&grant(None), Some("")).is_ok());
        // Dropped, it would be a role without bounds.
        for shown in [None, Some(""), Some("(a OR c)"), Some("(a OR b) OR c")] {
            let fault = narrowed_as_asked(&narrow, shown).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Ambiguous, "{shown:?}");
        }
    }
}
