//! A subset of the Blob service: put, get, delete and list, path-style at `/{account}/{container}/{blob}`.
//!
//! It authorises the token's principal by the data actions of the roles that are in force at that moment, so it
//! shows whether somebody really gained or lost access.

mod listing;
mod operations;
mod storage;

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use quick_xml::escape::escape;

use crate::call::{Answer, Call, percent_decoded};

use super::access_token::{Caller, Refusal};
use super::authority::{self, Wish};
use super::cloud::Cloud;
use super::conditions::Attribute;
use super::roles;
use super::scope::Scope;
use super::tenant::container_scope;
use super::world::World;
pub(crate) use storage::Storage;

const STORAGE: &str = "https://storage.azure.com";
/// Entra tokens are taken since this version of the protocol.
const VERSION_MIN: &str = "2017-11-09";

/// What a call to the Blob service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    PutBlob,
    GetBlob,
    GetBlobProperties,
    DeleteBlob,
    ListBlobs,
    ListContainers,
    Unknown,
}

impl Operation {
    /// As faults and the journal name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::PutBlob => "PutBlob",
            Operation::GetBlob => "GetBlob",
            Operation::GetBlobProperties => "GetBlobProperties",
            Operation::DeleteBlob => "DeleteBlob",
            Operation::ListBlobs => "ListBlobs",
            Operation::ListContainers => "ListContainers",
            Operation::Unknown => "-",
        }
    }
}

/// A call to the Blob service, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) operation: Operation,
    account: String,
    container: String,
    path: String,
}

impl Route {
    /// `None` when the path does not begin with an account of the estate.
    pub(crate) fn of(cloud: &Cloud, call: &Call) -> Option<Route> {
        let path = percent_decoded(&call.path);
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        let account = parts.next()?.to_owned();
        if !cloud.tenant.accounts.contains_key(&account) {
            return None;
        }
        let container = parts.next().unwrap_or_default().to_owned();
        let path = parts.next().unwrap_or_default().to_owned();
        let asks = |name: &str, value: &str| call.query_value(name).as_deref() == Some(value);
        let has_kind = call.query_value("comp").is_some() || call.query_value("restype").is_some();
        let is_blob = !path.is_empty() && !has_kind;
        let operation = match call.method {
            Method::GET if container.is_empty() && asks("comp", "list") => {
                Operation::ListContainers
            }
            Method::GET
                if path.is_empty() && asks("comp", "list") && asks("restype", "container") =>
            {
                Operation::ListBlobs
            }
            Method::PUT if is_blob => Operation::PutBlob,
            Method::GET if is_blob => Operation::GetBlob,
            Method::HEAD if is_blob => Operation::GetBlobProperties,
            Method::DELETE if is_blob => Operation::DeleteBlob,
            _ => Operation::Unknown,
        };
        Some(Route {
            operation,
            account,
            container,
            path,
        })
    }
}

/// An error of the Blob service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlobError {
    pub(crate) status: u16,
    pub(crate) code: String,
    message: String,
    /// Where to get a token, when there was none.
    challenge: Option<String>,
}

impl BlobError {
    pub(crate) fn new(status: u16, code: &str, message: &str) -> BlobError {
        BlobError {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            challenge: None,
        }
    }

    pub(crate) fn as_answer(&self, request_id: &str, now: Timestamp) -> Answer {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code><Message>{}\nRequestId:{request_id}\nTime:{now}</Message></Error>",
            escape(self.code.as_str()),
            escape(self.message.as_str())
        );
        let answer = Answer::xml(self.status, "application/xml", text)
            .with("x-ms-error-code", self.code.clone());
        match &self.challenge {
            Some(challenge) => answer.with("www-authenticate", challenge.clone()),
            None => answer,
        }
    }
}

/// A call whose caller is known.
struct Desk<'a> {
    cloud: &'a Cloud,
    call: &'a Call,
    route: &'a Route,
    world: &'a mut World,
    caller: &'a Caller,
    now: Timestamp,
}

/// Who called, as far as is known, and the answer.
pub(crate) struct Served {
    pub(crate) caller: Option<Caller>,
    pub(crate) answer: Result<Answer, BlobError>,
}

/// Answers one call.
pub(crate) fn serve(cloud: &Cloud, call: &Call, route: &Route) -> Served {
    let suffix = cloud.estate.environment.blobs();
    let own = format!("https://{}{suffix}", route.account);
    let is_audience = |audience: &str| {
        let audience = audience.trim_end_matches('/');
        audience == STORAGE || audience == own
    };
    let caller = match cloud.caller(call, is_audience) {
        Ok(caller) => caller,
        Err(refusal) => {
            return Served {
                caller: None,
                answer: Err(unauthenticated(cloud, &refusal)),
            };
        }
    };
    let now = cloud.clock.now();
    let mut world = cloud.world();
    let mut desk = Desk {
        cloud,
        call,
        route,
        world: &mut world,
        caller: &caller,
        now,
    };
    let answer = desk.answer();
    Served {
        caller: Some(caller),
        answer,
    }
}

fn unauthenticated(cloud: &Cloud, refusal: &Refusal) -> BlobError {
    let mut error = match refusal {
        Refusal::Missing => BlobError::new(
            401,
            "NoAuthenticationInformation",
            "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        ),
        Refusal::Malformed
        | Refusal::Expired { .. }
        | Refusal::Audience { .. }
        | Refusal::Tenant => BlobError::new(
            401,
            "InvalidAuthenticationInfo",
            "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        ),
    };
    error.challenge = Some(format!(
        "Bearer authorization_uri=https://login.microsoftonline.com/{}/oauth2/authorize resource_id={STORAGE}",
        cloud.tenant.id
    ));
    error
}

impl Desk<'_> {
    fn answer(&mut self) -> Result<Answer, BlobError> {
        let version = self.call.header("x-ms-version").unwrap_or_default();
        if version < VERSION_MIN {
            return Err(BlobError::new(
                400,
                "InvalidHeaderValue",
                "The value for one of the HTTP headers is not in the correct format: x-ms-version.",
            ));
        }
        match self.route.operation {
            Operation::PutBlob => self.put(),
            Operation::GetBlob => self.get(true),
            Operation::GetBlobProperties => self.get(false),
            Operation::DeleteBlob => self.delete(),
            Operation::ListBlobs => self.list_blobs(),
            Operation::ListContainers => self.list_containers(),
            Operation::Unknown => Err(BlobError::new(
                501,
                "NotImplemented",
                "The sandbox puts, gets, deletes and lists blobs.",
            )),
        }
    }

    /// Where the call is: the container, or the account when it names none.
    fn scope(&self) -> Option<Scope> {
        let account = self.cloud.tenant.accounts.get(&self.route.account)?;
        Some(match self.route.container.as_str() {
            "" => account.clone(),
            container => container_scope(account, container),
        })
    }

    /// What conditions may ask about.
    fn attributes(&self) -> Vec<(Attribute, String)> {
        let mut attributes = vec![(Attribute::AccountName, self.route.account.clone())];
        if !self.route.container.is_empty() {
            attributes.push((Attribute::ContainerName, self.route.container.clone()));
        }
        if !self.route.path.is_empty() {
            attributes.push((Attribute::BlobPath, self.route.path.clone()));
        }
        attributes
    }

    fn may(
        &self,
        operation: roles::Operation<'_>,
        sub_operation: Option<&str>,
        more: Vec<(Attribute, String)>,
    ) -> bool {
        let Some(scope) = self.scope() else {
            return false;
        };
        let mut attributes = self.attributes();
        attributes.extend(more);
        let wish = Wish {
            operation,
            scope: &scope,
            sub_operation,
            attributes,
        };
        let principal = self.caller.object_id;
        authority::may(&self.cloud.tenant, self.world, principal, &wish, self.now)
    }
}

fn not_permitted() -> BlobError {
    BlobError::new(
        403,
        "AuthorizationPermissionMismatch",
        "This request is not authorized to perform this operation using this permission.",
    )
}

fn no_container() -> BlobError {
    BlobError::new(
        404,
        "ContainerNotFound",
        "The specified container does not exist.",
    )
}

fn no_blob() -> BlobError {
    BlobError::new(404, "BlobNotFound", "The specified blob does not exist.")
}

/// A time as HTTP headers have it.
fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// An answer with a body of this kind.
fn with_body(status: u16, content_type: &str, body: Bytes) -> Answer {
    let mut answer = Answer::empty(status).with("content-type", content_type.to_owned());
    answer.body = body;
    answer
}
