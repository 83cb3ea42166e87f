//! The metadata server, as a workload on Google finds its own identity: one account's tokens.
//!
//! Judge: google-auth's compute engine credentials.

use http::Method;
use jiff::SignedDuration;
use serde_json::json;

use super::cloud::whole_second;
use super::errors::{ApiError, Code};
use super::route::{Body, CallerBy, Failure, Incoming, Route, Service};
use super::tokens::{CLOUD_PLATFORM, Issue, Origin};
use crate::call::Answer;

const TOKEN_SECONDS: i64 = 3_600;

macro_rules! route {
    ($action:literal, $path:literal, $handler:expr) => {
        Route {
            service: Service::Metadata,
            action: $action,
            method: Method::GET,
            path: concat!("/computeMetadata/v1/", $path),
            query: &["scopes", "recursive"],
            body: Body::Nothing,
            caller: CallerBy::Itself,
            handler: $handler,
        }
    };
}

pub(crate) const ROUTES: &[Route] = &[
    route!(
        "GetToken",
        "instance/service-accounts/{account}/token",
        token
    ),
    route!(
        "GetEmail",
        "instance/service-accounts/{account}/email",
        email
    ),
    route!(
        "GetAccount",
        "instance/service-accounts/{account}/",
        account
    ),
    route!("GetProjectId", "project/project-id", project_id),
    route!("GetUniverse", "universe/universe-domain", universe),
];

fn token(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let email = asked(incoming)?;
    let principal = incoming.cloud.principal(&email).ok_or_else(absent)?;
    let scopes = incoming
        .query("scopes")
        .unwrap_or_else(|| CLOUD_PLATFORM.to_owned());
    let lifetime = SignedDuration::from_secs(TOKEN_SECONDS);
    let expires = whole_second(incoming.now)
        .saturating_add(lifetime)
        .map_err(|_| absent())?;
    let text = incoming.cloud.issue(Issue {
        principal,
        scopes: scopes.split(',').map(str::to_owned).collect(),
        expires,
        boundary: None,
        origin: Origin::Metadata,
    });
    let answer =
        json!({ "access_token": text, "expires_in": TOKEN_SECONDS, "token_type": "Bearer" });
    Ok(flavoured(incoming.ok(&answer)))
}

fn email(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    Ok(plain(asked(incoming)?))
}

fn account(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let answer =
        json!({ "aliases": ["default"], "email": asked(incoming)?, "scopes": [CLOUD_PLATFORM] });
    Ok(flavoured(incoming.ok(&answer)))
}

fn project_id(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let email = asked(incoming)?;
    let directory = incoming.cloud.directory.read();
    let project = directory
        .account(&email)
        .map(|account| account.project.clone());
    Ok(plain(project.ok_or_else(absent)?))
}

fn universe(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    asked(incoming)?;
    Ok(plain("googleapis.com".to_owned()))
}

/// The account's address, for who asks as a workload does. A page in a browser cannot set the header.
fn asked(incoming: &Incoming<'_>) -> Result<String, ApiError> {
    if incoming.call.header("metadata-flavor") != Some("Google") {
        return Err(ApiError::new(
            Code::PermissionDenied,
            "Missing Metadata-Flavor:Google header.",
        ));
    }
    let email = incoming
        .cloud
        .estate
        .metadata_account
        .clone()
        .ok_or_else(absent)?;
    match incoming.capture("account") {
        "" | "default" => Ok(email),
        named if named == email => Ok(email),
        _ => Err(absent()),
    }
}

fn absent() -> ApiError {
    ApiError::not_found("The requested metadata is not there.")
}

fn plain(text: String) -> Answer {
    let mut answer = Answer::empty(200).with("content-type", "application/text");
    answer.body = text.into();
    flavoured(answer)
}

fn flavoured(answer: Answer) -> Answer {
    answer.with("metadata-flavor", "Google")
}
