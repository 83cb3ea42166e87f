//! IAM v1: service accounts, their state, and their policies.
//!
//! Judges: google-api-python-client, whose requests and answers are held against its own description of the API, and
//! gcloud.

mod changes;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::access::Target;
use super::directory::{Account, Face, Project, Resource};
use super::errors::ApiError;
use super::policies::{self, Owner};
use super::policy::SET_POLICY;
use super::projects::TEST_PERMISSIONS;
use super::route::{Body, CallerBy, Failure, Incoming, Route, Service};
use super::schema::{And, Kind, listed, said};
use crate::call::Answer;

const PAGE_DEFAULT: usize = 20;
const PAGE_MAX: usize = 100;

const ACCOUNT: Kind = Kind::Object(&[
    ("name", Kind::Text),
    ("projectId", Kind::Text),
    ("uniqueId", Kind::Text),
    ("email", Kind::Text),
    ("displayName", Kind::Text),
    ("etag", Kind::Bytes),
    ("description", Kind::Text),
    ("oauth2ClientId", Kind::Text),
    ("disabled", Kind::Flag),
]);
const CREATE: Kind = Kind::Object(&[("accountId", Kind::Text), ("serviceAccount", ACCOUNT)]);
const PATCH: Kind = Kind::Object(&[("serviceAccount", ACCOUNT), ("updateMask", Kind::Mask)]);
const NOTHING: Kind = Kind::Object(&[]);

macro_rules! route {
    ($action:literal, $method:ident $path:literal, $query:expr, $body:expr, $handler:expr) => {
        Route {
            service: Service::Iam,
            action: $action,
            method: Method::$method,
            path: concat!("/v1/projects/{project}/serviceAccounts", $path),
            query: $query,
            body: $body,
            caller: CallerBy::Token,
            handler: $handler,
        }
    };
}

pub(crate) const ROUTES: &[Route] = &[
    route!("ListServiceAccounts", GET "", &["pageSize", "pageToken"], Body::Nothing, list),
    route!("CreateServiceAccount", POST "", &[], Body::Json(&CREATE), changes::create),
    route!("GetServiceAccount", GET "/{account}", &[], Body::Nothing, get),
    route!("PatchServiceAccount", PATCH "/{account}", &[], Body::Json(&PATCH), changes::patch),
    route!("DeleteServiceAccount", DELETE "/{account}", &[], Body::Nothing, changes::delete),
    route!("EnableServiceAccount", POST "/{account}:enable", &[], Body::Json(&NOTHING), changes::enable),
    route!("DisableServiceAccount", POST "/{account}:disable", &[], Body::Json(&NOTHING), changes::disable),
    route!("GetIamPolicy", POST "/{account}:getIamPolicy", &["options.requestedPolicyVersion"], Body::Nothing, get_policy),
    route!("SetIamPolicy", POST "/{account}:setIamPolicy", &[], Body::Json(&SET_POLICY), set_policy),
    route!("TestIamPermissions", POST "/{account}:testIamPermissions", &[], Body::Json(&TEST_PERMISSIONS), test_permissions),
];

impl Account {
    fn resource(&self) -> Resource {
        Resource::Account(self.unique_id.clone())
    }

    pub(crate) fn target(&self) -> Target {
        Target::account(&self.project, &self.unique_id)
    }

    fn name(&self) -> String {
        format!("projects/{}/serviceAccounts/{}", self.project, self.email)
    }

    /// As reads show it now.
    fn as_json(&self, now: Timestamp) -> Value {
        let shown = self
            .face
            .enforced(now)
            .unwrap_or_else(|| self.face.written());
        self.with(shown)
    }

    fn with(&self, face: &Face) -> Value {
        json!({
            "name": self.name(),
            "projectId": self.project,
            "uniqueId": self.unique_id,
            "email": self.email,
            "etag": face.etag,
            "oauth2ClientId": self.unique_id,
        })
        .and("displayName", said(&face.display_name))
        .and("description", said(&face.description))
        .and("disabled", face.disabled.then(|| json!(true)))
    }
}

/// The account of the path, if the caller holds the permission on it. Named under `-`, a missing account looks like a
/// missing right; named under its project, it is not found.
fn found(incoming: &Incoming<'_>, permission: &str) -> Result<Account, ApiError> {
    incoming.caller(&[])?;
    let (project, name) = (incoming.capture("project"), incoming.capture("account"));
    let shown = format!("projects/{project}/serviceAccounts/{name}");
    let directory = incoming.cloud.directory.read();
    let owner = directory.project(project).map(|project| project.id.clone());
    let account = directory.account(name).cloned();
    drop(directory);
    let account =
        account.filter(|account| project == "-" || owner.as_ref() == Some(&account.project));
    match (account, owner) {
        (Some(account), _) => {
            incoming.demand(permission, &account.target(), &shown)?;
            Ok(account)
        }
        (None, Some(owner)) => {
            incoming.demand(permission, &Target::project(&owner), &shown)?;
            Err(ApiError::not_found(format!(
                "Unknown service account: {name}"
            )))
        }
        (None, None) => Err(ApiError::denied(permission, &shown)),
    }
}

/// The project of the path, if the caller holds the permission on it.
fn project(incoming: &Incoming<'_>, permission: &str) -> Result<Project, ApiError> {
    incoming.caller(&[])?;
    let name = incoming.capture("project");
    let shown = format!("projects/{name}");
    let project = incoming.cloud.directory.read().project(name).cloned();
    let project = project.ok_or_else(|| ApiError::denied(permission, &shown))?;
    incoming.demand(permission, &Target::project(&project.id), &shown)?;
    Ok(project)
}

fn list(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let project = project(incoming, "iam.serviceAccounts.list")?;
    incoming.cloud.rates.take_iam_read(&project.id)?;
    let size = match incoming.query("pageSize").map(|size| size.parse::<usize>()) {
        None | Some(Ok(0)) => PAGE_DEFAULT,
        Some(Ok(size)) => size.min(PAGE_MAX),
        Some(Err(_)) => return Err(ApiError::bad_field("page_size", "Invalid page size.").into()),
    };
    let after = incoming.query("pageToken").unwrap_or_default();
    let directory = incoming.cloud.directory.read();
    let mut accounts: Vec<&Account> = directory
        .accounts
        .values()
        .filter(|account| {
            account.project == project.id && !account.deleted && account.email > after
        })
        .collect();
    accounts.sort_by(|one, other| one.email.cmp(&other.email));
    let more = accounts.len() > size;
    accounts.truncate(size);
    let next = accounts
        .last()
        .filter(|_| more)
        .map(|account| account.email.clone());
    let accounts = accounts
        .iter()
        .map(|account| account.as_json(incoming.now))
        .collect();
    let json = json!({})
        .and("accounts", listed(accounts))
        .and("nextPageToken", next.map(Value::from));
    Ok(incoming.ok(&json))
}

fn get(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let account = found(incoming, "iam.serviceAccounts.get")?;
    incoming.cloud.rates.take_iam_read(&account.project)?;
    Ok(incoming.ok(&account.as_json(incoming.now)))
}

fn owner(account: &Account) -> Owner {
    Owner {
        resource: account.resource(),
        target: account.target(),
        may_ask_for_modified_grants: false,
    }
}

fn get_policy(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let account = found(incoming, "iam.serviceAccounts.getIamPolicy")?;
    incoming.cloud.rates.take_iam_read(&account.project)?;
    let version = incoming
        .query("options.requestedPolicyVersion")
        .map(|text| text.parse::<i64>().unwrap_or(-1));
    let document = policies::shown(incoming, &account.resource())?;
    Ok(incoming.ok(&document.as_json(policies::requested(version)?)))
}

fn set_policy(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    const PERMISSION: &str = "iam.serviceAccounts.setIamPolicy";
    let account = found(incoming, PERMISSION)?;
    incoming.cloud.rates.take_iam_write(&account.project)?;
    let refusal = ApiError::denied(PERMISSION, &account.name());
    let document = policies::replace(incoming, &owner(&account), PERMISSION, refusal)?;
    Ok(incoming.ok(&document.as_json(3)))
}

fn test_permissions(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    incoming.caller(&[])?;
    let account = incoming
        .cloud
        .directory
        .read()
        .account(incoming.capture("account"))
        .cloned();
    let target = account.map(|account| account.target());
    Ok(incoming.ok(&policies::granted(incoming, target.as_ref())?))
}
