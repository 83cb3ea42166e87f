//! IAM v1: service accounts, their state, and their policies.
//!
//! Judges: google-api-python-client, whose requests and answers are held against its own description of the API, and
//! gcloud.

use http::Method;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::access::Target;
use super::cloud::BLANK_ETAG;
use super::directory::{Account, Project, Resource, Switch};
use super::errors::{ApiError, Code};
use super::policies::{self, Owner};
use super::policy::{Document, PolicyState, SET_POLICY};
use super::projects::TEST_PERMISSIONS;
use super::route::{Body, CallerBy, Failure, Incoming, Route, Service};
use super::schema::{Fields, Kind};
use crate::call::Answer;
use crate::lagged::Lagged;

const ACCOUNTS_MAX: usize = 100;
const PAGE_DEFAULT: usize = 20;
const PAGE_MAX: usize = 100;
const DESCRIPTION_BYTES_MAX: usize = 256;
const DISPLAY_NAME_BYTES_MAX: usize = 100;

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
    route!("CreateServiceAccount", POST "", &[], Body::Json(&CREATE), create),
    route!("GetServiceAccount", GET "/{account}", &[], Body::Nothing, get),
    route!("PatchServiceAccount", PATCH "/{account}", &[], Body::Json(&PATCH), patch),
    route!("DeleteServiceAccount", DELETE "/{account}", &[], Body::Nothing, delete),
    route!("EnableServiceAccount", POST "/{account}:enable", &[], Body::Json(&NOTHING), enable),
    route!("DisableServiceAccount", POST "/{account}:disable", &[], Body::Json(&NOTHING), disable),
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

    /// As it is shown now.
    fn as_json(&self, incoming: &Incoming<'_>) -> Value {
        let mut json = json!({
            "name": self.name(),
            "projectId": self.project,
            "uniqueId": self.unique_id,
            "email": self.email,
            "etag": self.etag,
            "oauth2ClientId": self.unique_id,
        });
        let Some(fields) = json.as_object_mut() else {
            return json;
        };
        for (name, text) in [
            ("displayName", &self.display_name),
            ("description", &self.description),
        ] {
            if !text.is_empty() {
                fields.insert(name.to_owned(), json!(text));
            }
        }
        if self.disabled.shown.enforced(incoming.now) == Some(&true) {
            fields.insert("disabled".to_owned(), json!(true));
        }
        json
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
            incoming.cloud.rates.take_iam_read(&account.project)?;
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
    let accounts: Vec<Value> = accounts
        .iter()
        .map(|account| account.as_json(incoming))
        .collect();
    let mut json = json!({});
    if let Some(fields) = json.as_object_mut() {
        if !accounts.is_empty() {
            fields.insert("accounts".to_owned(), Value::Array(accounts));
        }
        if let Some(next) = next {
            fields.insert("nextPageToken".to_owned(), json!(next));
        }
    }
    Ok(incoming.ok(&json))
}

fn get(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let account = found(incoming, "iam.serviceAccounts.get")?;
    Ok(incoming.ok(&account.as_json(incoming)))
}

fn create(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let project = project(incoming, "iam.serviceAccounts.create")?;
    incoming.cloud.rates.take_iam_write(&project.id)?;
    let name = incoming.body.text("accountId").unwrap_or_default();
    if !is_account_id(name) {
        let message = format!(
            "Invalid account ID {name}: it must match [a-z]([-a-z0-9]*[a-z0-9]), 6 to 30 characters."
        );
        return Err(ApiError::bad_field("account_id", message).into());
    }
    let email = format!("{name}@{}.iam.gserviceaccount.com", project.id);
    let given = incoming
        .body
        .get("serviceAccount")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let mut account = Account {
        unique_id: incoming.cloud.identifiers.account_id(),
        email,
        project: project.id.clone(),
        display_name: String::new(),
        description: String::new(),
        long_lifetimes: false,
        disabled: Switch {
            enforced: Lagged::settled(false),
            shown: Lagged::settled(false),
        },
        deleted: false,
        etag: incoming.cloud.identifiers.etag(),
    };
    describe(&mut account, &given, &["displayName", "description"])?;
    let mut directory = incoming.cloud.directory.write();
    if directory.account(&account.email).is_some() {
        let message = format!(
            "Service account {name} already exists within project projects/{}.",
            project.id
        );
        return Err(ApiError::new(Code::AlreadyExists, message).into());
    }
    let held = directory
        .accounts
        .values()
        .filter(|held| held.project == project.id && !held.deleted);
    if held.count() >= ACCOUNTS_MAX {
        return Err(ApiError::new(
            Code::Exhausted,
            "Maximum number of service accounts on project reached.",
        )
        .into());
    }
    directory.policies.insert(
        account.resource(),
        PolicyState::settled(Document::blank(BLANK_ETAG)),
    );
    directory
        .accounts
        .insert(account.unique_id.clone(), account.clone());
    Ok(incoming.ok(&account.as_json(incoming)))
}

fn is_account_id(name: &str) -> bool {
    let is_inner = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    (6..=30).contains(&name.len())
        && name.starts_with(|char: char| char.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(is_inner)
}

/// Takes over the fields of this mask.
fn describe(account: &mut Account, given: &Value, mask: &[&str]) -> Result<(), ApiError> {
    for name in mask {
        let text = given.text(name).unwrap_or_default();
        let (field, bytes_max) = match *name {
            "displayName" | "display_name" => (&mut account.display_name, DISPLAY_NAME_BYTES_MAX),
            "description" => (&mut account.description, DESCRIPTION_BYTES_MAX),
            other => {
                return Err(ApiError::bad_field(
                    "update_mask",
                    format!("Invalid field mask: {other}."),
                ));
            }
        };
        if text.len() > bytes_max {
            let message = format!("The {name} is longer than {bytes_max} bytes.");
            return Err(ApiError::bad_field(name, message));
        }
        text.clone_into(field);
    }
    Ok(())
}

fn patch(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let account = found(incoming, "iam.serviceAccounts.update")?;
    incoming.cloud.rates.take_iam_write(&account.project)?;
    let given = incoming
        .body
        .get("serviceAccount")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let mask = incoming.body.text("updateMask");
    let mask: Vec<&str> = mask
        .map(|mask| mask.split(',').map(str::trim).collect())
        .unwrap_or_default();
    if mask.is_empty() {
        return Err(ApiError::bad_field("update_mask", "An update mask is required.").into());
    }
    let mut directory = incoming.cloud.directory.write();
    let account = directory.account_mut(&account.unique_id)?;
    if given.text("etag").is_some_and(|etag| etag != account.etag) {
        let message = "There were concurrent changes. Please retry the whole read-modify-write.";
        return Err(ApiError::new(Code::Stale, message).into());
    }
    describe(account, &given, &mask)?;
    account.etag = incoming.cloud.identifiers.etag();
    let account = account.clone();
    drop(directory);
    Ok(incoming.ok(&account.as_json(incoming)))
}

fn delete(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let account = found(incoming, "iam.serviceAccounts.delete")?;
    incoming.cloud.rates.take_iam_write(&account.project)?;
    incoming
        .cloud
        .directory
        .write()
        .account_mut(&account.unique_id)?
        .deleted = true;
    Ok(incoming.ok(&json!({})))
}

fn enable(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let account = found(incoming, "iam.serviceAccounts.enable")?;
    turn(incoming, &account, false)
}

fn disable(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let account = found(incoming, "iam.serviceAccounts.disable")?;
    turn(incoming, &account, true)
}

/// Enables or disables an account. Whether it already was is not told.
fn turn(incoming: &Incoming<'_>, account: &Account, disabled: bool) -> Result<Answer, Failure> {
    incoming.cloud.rates.take_iam_write(&account.project)?;
    let lags = incoming.cloud.settings.lags();
    let lag = if disabled {
        lags.disable_seconds
    } else {
        lags.enable_seconds
    };
    let later = |seconds| {
        let lag = SignedDuration::from_secs(seconds);
        incoming
            .now
            .saturating_add(lag)
            .unwrap_or(jiff::Timestamp::MAX)
    };
    let mut directory = incoming.cloud.directory.write();
    let account = directory.account_mut(&account.unique_id)?;
    account.etag = incoming.cloud.identifiers.etag();
    account
        .disabled
        .enforced
        .write(incoming.now, later(lag), disabled);
    account
        .disabled
        .shown
        .write(incoming.now, later(lags.read_seconds), disabled);
    Ok(incoming.ok(&json!({})))
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
