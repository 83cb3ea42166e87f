//! Resource Manager, v1 and v3: projects and their policies.
//!
//! Judges: google-cloud-resource-manager (v3), google-api-python-client (both), gcloud (v1).

use http::Method;
use serde_json::{Value, json};

use super::access::Target;
use super::directory::{Project, Resource};
use super::errors::ApiError;
use super::policies::{self, Owner};
use super::policy::SET_POLICY;
use super::route::{Body, CallerBy, Failure, Incoming, Route, Service};
use super::schema::Kind;
use super::tokens::CLOUD_PLATFORM_READ_ONLY;
use crate::call::Answer;

pub(crate) const GET_POLICY: Kind = Kind::Object(&[(
    "options",
    Kind::Object(&[("requestedPolicyVersion", Kind::Int32)]),
)]);
pub(crate) const TEST_PERMISSIONS: Kind = Kind::Object(&[("permissions", Kind::List(&Kind::Text))]);

/// The two versions of the API differ in how they describe a project and in nothing else here.
macro_rules! routes {
    ($prefix:literal, $get:expr) => {
        &[
            Route {
                service: Service::ResourceManager,
                action: "GetProject",
                method: Method::GET,
                path: concat!($prefix, "/projects/{project}"),
                query: &[],
                body: Body::Nothing,
                caller: CallerBy::Token,
                handler: $get,
            },
            Route {
                service: Service::ResourceManager,
                action: "GetIamPolicy",
                method: Method::POST,
                path: concat!($prefix, "/projects/{project}:getIamPolicy"),
                query: &[],
                body: Body::Json(&GET_POLICY),
                caller: CallerBy::Token,
                handler: get_policy,
            },
            Route {
                service: Service::ResourceManager,
                action: "SetIamPolicy",
                method: Method::POST,
                path: concat!($prefix, "/projects/{project}:setIamPolicy"),
                query: &[],
                body: Body::Json(&SET_POLICY),
                caller: CallerBy::Token,
                handler: set_policy,
            },
            Route {
                service: Service::ResourceManager,
                action: "TestIamPermissions",
                method: Method::POST,
                path: concat!($prefix, "/projects/{project}:testIamPermissions"),
                query: &[],
                body: Body::Json(&TEST_PERMISSIONS),
                caller: CallerBy::Token,
                handler: test_permissions,
            },
        ]
    };
}

pub(crate) const ROUTES_V1: &[Route] = routes!("/v1", get_v1);
pub(crate) const ROUTES_V3: &[Route] = routes!("/v3", get_v3);

fn get_v1(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let project = found(incoming, "resourcemanager.projects.get")?;
    Ok(incoming.ok(&json!({
        "projectId": project.id,
        "projectNumber": project.number.to_string(),
        "name": project.id,
        "lifecycleState": "ACTIVE",
    })))
}

fn get_v3(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let project = found(incoming, "resourcemanager.projects.get")?;
    Ok(incoming.ok(&json!({
        "name": format!("projects/{}", project.number),
        "projectId": project.id,
        "displayName": project.id,
        "state": "ACTIVE",
    })))
}

/// The project of the path, if the caller holds the permission on it; a missing one looks like a missing right.
fn found(incoming: &Incoming<'_>, permission: &str) -> Result<Project, ApiError> {
    incoming.caller(&[CLOUD_PLATFORM_READ_ONLY])?;
    let name = incoming.capture("project");
    let project = incoming.cloud.directory.read().project(name).cloned();
    let project = project.ok_or_else(|| denied(permission, name))?;
    if incoming.cloud.may(
        incoming.token.as_deref(),
        permission,
        &Target::project(&project.id),
    ) {
        Ok(project)
    } else {
        Err(denied(permission, name))
    }
}

fn denied(permission: &str, project: &str) -> ApiError {
    ApiError::denied(
        permission,
        &format!("//cloudresourcemanager.googleapis.com/projects/{project}"),
    )
}

fn owner(project: &Project) -> Owner {
    Owner {
        resource: Resource::Project(project.id.clone()),
        target: Target::project(&project.id),
        may_ask_for_modified_grants: true,
    }
}

fn get_policy(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let project = found(incoming, "resourcemanager.projects.getIamPolicy")?;
    let version = incoming
        .body
        .pointer("/options/requestedPolicyVersion")
        .and_then(Value::as_i64);
    let document = policies::shown(incoming, &owner(&project).resource)?;
    Ok(incoming.ok(&document.as_json(policies::requested(version)?)))
}

fn set_policy(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    const PERMISSION: &str = "resourcemanager.projects.setIamPolicy";
    incoming.caller(&[])?;
    let name = incoming.capture("project");
    let project = incoming.cloud.directory.read().project(name).cloned();
    let project = project.ok_or_else(|| denied(PERMISSION, name))?;
    let refusal = denied(PERMISSION, name);
    let document = policies::replace(incoming, &owner(&project), PERMISSION, refusal)?;
    Ok(incoming.ok(&document.as_json(3)))
}

fn test_permissions(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    incoming.caller(&[CLOUD_PLATFORM_READ_ONLY])?;
    let project = incoming
        .cloud
        .directory
        .read()
        .project(incoming.capture("project"))
        .cloned();
    let target = project.map(|project| Target::project(&project.id));
    let granted = policies::granted(incoming, target.as_ref())?;
    Ok(incoming.ok(&granted))
}
