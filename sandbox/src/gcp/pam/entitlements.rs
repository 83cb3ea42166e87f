//! Entitlements: who may ask for which roles, and who must agree.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::pages::page;
use crate::call::Answer;
use crate::gcp::access::Target;
use crate::gcp::errors::{ApiError, Code};
use crate::gcp::estate;
use crate::gcp::expressions::Expression;
use crate::gcp::principals::Principal;
use crate::gcp::route::{Failure, Incoming};
use crate::gcp::schema::{And, written_duration};

#[derive(Clone, Debug)]
pub(crate) struct Entitlement {
    pub(super) project: String,
    /// `projects/ID/locations/global/entitlements/ID`.
    pub(crate) name: String,
    pub(super) requesters: Vec<String>,
    pub(super) approvers: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) condition: Option<String>,
    pub(super) duration_max: SignedDuration,
    created: Timestamp,
    etag: String,
}

impl Entitlement {
    /// Why an estate's entitlement cannot be is told in words.
    pub(crate) fn new(
        project: &str,
        entitlement: &estate::Entitlement,
        created: Timestamp,
        etag: String,
    ) -> Result<Entitlement, String> {
        let is_plain =
            |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
        if !(4..=63).contains(&entitlement.id.len()) || !entitlement.id.chars().all(is_plain) {
            return Err("its id is not 4 to 63 lower-case letters, digits and hyphens".to_owned());
        }
        if entitlement.roles.is_empty() || entitlement.requesters.is_empty() {
            return Err("it has no roles or no requesters".to_owned());
        }
        if entitlement
            .roles
            .iter()
            .any(|role| crate::gcp::roles::is_basic(role))
        {
            return Err("basic roles cannot be granted".to_owned());
        }
        if let Some(condition) = &entitlement.condition {
            Expression::condition(condition)?;
        }
        Ok(Entitlement {
            project: project.to_owned(),
            name: format!(
                "projects/{project}/locations/global/entitlements/{}",
                entitlement.id
            ),
            requesters: entitlement.requesters.clone(),
            approvers: entitlement.approvers.clone(),
            roles: entitlement.roles.clone(),
            condition: entitlement.condition.clone(),
            duration_max: SignedDuration::from_secs(i64::from(entitlement.max_duration_seconds)),
            created,
            etag,
        })
    }

    /// What a grant of it gives.
    pub(super) fn access(&self) -> Value {
        let bindings = self.roles.iter().map(|role| {
            let condition = self.condition.as_ref().map(|text| json!(text));
            json!({ "role": role }).and("conditionExpression", condition)
        });
        json!({
            "gcpIamAccess": {
                "resourceType": "cloudresourcemanager.googleapis.com/Project",
                "resource": format!("//cloudresourcemanager.googleapis.com/projects/{}", self.project),
                "roleBindings": bindings.collect::<Vec<_>>(),
            }
        })
    }

    fn as_json(&self) -> Value {
        let created = self.created.to_string();
        let workflow = (!self.approvers.is_empty()).then(|| {
            let approvers = json!([{ "principals": self.approvers }]);
            let step = json!({ "approvers": approvers, "approvalsNeeded": 1 });
            json!({ "manualApprovals": { "steps": [step] } })
        });
        json!({
            "name": self.name,
            "createTime": created,
            "updateTime": created,
            "eligibleUsers": [{ "principals": self.requesters }],
            "privilegedAccess": self.access(),
            "maxRequestDuration": written_duration(self.duration_max),
            "state": "AVAILABLE",
            "requesterJustificationConfig": { "notMandatory": {} },
            "etag": self.etag,
        })
        .and("approvalWorkflow", workflow)
    }

    pub(super) fn may_request(&self, principal: &Principal) -> bool {
        self.requesters
            .iter()
            .any(|member| principal.is_meant_by(member))
    }

    pub(super) fn may_approve(&self, principal: &Principal) -> bool {
        self.approvers
            .iter()
            .any(|member| principal.is_meant_by(member))
    }
}

/// The project of the path; entitlements are global.
fn project(incoming: &Incoming<'_>) -> Result<String, ApiError> {
    incoming.caller(&[])?;
    let location = incoming.capture("location");
    if location != "global" {
        return Err(ApiError::not_found(format!(
            "Location '{location}' was not found."
        )));
    }
    let project = incoming
        .cloud
        .directory
        .read()
        .project(incoming.capture("project"))
        .map(|known| known.id.clone());
    project.ok_or_else(|| refused(incoming))
}

/// What everybody is told who may not, and about what is not there.
pub(super) fn refused(incoming: &Incoming<'_>) -> ApiError {
    ApiError::new(
        Code::PermissionDenied,
        format!(
            "The caller does not have permission on '{}' (or it may not exist).",
            incoming.call.path
        ),
    )
}

/// The caller must hold a permission on the project.
pub(super) fn demand(
    incoming: &Incoming<'_>,
    project: &str,
    permission: &str,
) -> Result<(), ApiError> {
    incoming.demand(
        permission,
        &Target::project(project),
        &format!("projects/{project}"),
    )
}

/// The entitlement of the path.
pub(super) fn found(incoming: &Incoming<'_>) -> Result<Entitlement, ApiError> {
    let project = project(incoming)?;
    let name = format!(
        "projects/{project}/locations/global/entitlements/{}",
        incoming.capture("entitlement")
    );
    let entitlement = incoming
        .cloud
        .directory
        .read()
        .entitlements
        .get(&name)
        .cloned();
    entitlement.ok_or_else(|| refused(incoming))
}

pub(super) fn get(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let entitlement = found(incoming)?;
    let principal = &incoming.caller(&[])?.principal;
    if !entitlement.may_request(principal) && !entitlement.may_approve(principal) {
        demand(
            incoming,
            &entitlement.project,
            "privilegedaccessmanager.entitlements.get",
        )?;
    }
    Ok(incoming.ok(&entitlement.as_json()))
}

pub(super) fn list(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let project = project(incoming)?;
    demand(
        incoming,
        &project,
        "privilegedaccessmanager.entitlements.list",
    )?;
    Ok(incoming.ok(&listed(incoming, &project, |_| true)?))
}

pub(super) fn search(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let project = project(incoming)?;
    let principal = &incoming.caller(&[])?.principal;
    let asked = incoming.query("callerAccessType");
    let listed = match asked.as_deref() {
        Some("GRANT_REQUESTER" | "1") => {
            listed(incoming, &project, |known| known.may_request(principal))
        }
        Some("GRANT_APPROVER" | "2") => {
            listed(incoming, &project, |known| known.may_approve(principal))
        }
        _ => {
            return Err(
                ApiError::bad_field("caller_access_type", "Invalid caller access type.").into(),
            );
        }
    };
    Ok(incoming.ok(&listed?))
}

fn listed(
    incoming: &Incoming<'_>,
    project: &str,
    wanted: impl Fn(&Entitlement) -> bool,
) -> Result<Value, ApiError> {
    let directory = incoming.cloud.directory.read();
    let known = directory
        .entitlements
        .values()
        .filter(|known| known.project == project && wanted(known));
    let known = known.map(Entitlement::as_json).collect();
    page(incoming, "entitlements", known)
}

/// The sandbox's own service agent lacks nothing.
pub(super) fn onboarding(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let project = project(incoming)?;
    demand(
        incoming,
        &project,
        "privilegedaccessmanager.locations.checkOnboardingStatus",
    )?;
    let number = incoming
        .cloud
        .directory
        .read()
        .project(&project)
        .map_or(0, |project| project.number);
    let agent = format!("service-{number}@gcp-sa-pam.iam.gserviceaccount.com");
    Ok(incoming.ok(&json!({ "serviceAccount": agent })))
}
