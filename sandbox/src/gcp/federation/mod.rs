//! The token service: a CI job's own token, or a narrower one, in exchange for another token.
//!
//! Judges: google-auth's identity pool, pluggable and downscoped credentials.

mod boundaries;
mod identities;
mod provider;

use http::Method;
use serde_json::{Map, Value, json};

use super::errors::{ApiError, OAuthError};
use super::route::{Body, CallerBy, Failure, Incoming, Route, Service};
use super::schema::{self, And, Fields, Kind};
use crate::call::{Answer, decoded_form};

pub(crate) use provider::Provider;
pub use provider::ProviderError;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

const EXCHANGE: Kind = Kind::Object(&[
    ("grantType", Kind::Text),
    ("audience", Kind::Text),
    ("scope", Kind::Text),
    ("requestedTokenType", Kind::Text),
    ("subjectToken", Kind::Text),
    ("subjectTokenType", Kind::Text),
    ("options", Kind::Text),
    ("actorToken", Kind::Text),
    ("actorTokenType", Kind::Text),
]);

pub(crate) const ROUTES: &[Route] = &[Route {
    service: Service::Sts,
    action: "Token",
    method: Method::POST,
    path: "/v1/token",
    query: &[],
    body: Body::Raw,
    // The token of the exchange is in its body.
    caller: CallerBy::Itself,
    handler: token,
}];

fn token(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let wish = read(incoming).map_err(|error| invalid(error.message))?;
    match wish.text("grantType") {
        Some(GRANT_TYPE) => {}
        Some(other) => {
            return Err(OAuthError::new(
                "unsupported_grant_type",
                format!("Unsupported grant_type: {other}."),
            )
            .into());
        }
        None => return Err(missing("grant_type").into()),
    }
    match wish.text("requestedTokenType") {
        Some(ACCESS_TOKEN) => {}
        Some(other) => {
            return Err(invalid(format!("Unsupported requested_token_type: {other}.")).into());
        }
        None => return Err(missing("requested_token_type").into()),
    }
    let subject = wish
        .text("subjectToken")
        .ok_or_else(|| missing("subject_token"))?;
    let given = match wish.text("subjectTokenType") {
        Some(JWT | ID_TOKEN) => identities::exchange(incoming, &wish, subject)?,
        Some(ACCESS_TOKEN) => boundaries::exchange(incoming, &wish, subject)?,
        Some(other) => {
            return Err(invalid(format!("Unsupported subject_token_type: {other}.")).into());
        }
        None => return Err(missing("subject_token_type").into()),
    };
    let answer = json!({
        "access_token": given.token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
    })
    .and("expires_in", given.expires_in.map(Value::from));
    Ok(incoming.ok(&answer))
}

/// What an exchange gives.
struct Given {
    token: String,
    /// Not told for a person's narrowed token.
    expires_in: Option<i64>,
}

/// The body, as a form or as JSON.
fn read(incoming: &Incoming<'_>) -> Result<Value, ApiError> {
    let content_type = incoming.call.header("content-type").unwrap_or_default();
    if content_type.starts_with("application/json") {
        return schema::read(&incoming.call.body, &EXCHANGE);
    }
    let mut fields = Map::new();
    for (name, value) in decoded_form(&incoming.call.body) {
        if fields.insert(name.clone(), Value::String(value)).is_some() {
            return Err(ApiError::invalid(format!("Duplicate parameter: {name}.")));
        }
    }
    schema::read(Value::Object(fields).to_string().as_bytes(), &EXCHANGE)
}

fn invalid(description: impl Into<String>) -> OAuthError {
    OAuthError::new("invalid_request", description)
}

fn missing(parameter: &str) -> OAuthError {
    invalid(format!("Missing required parameter: {parameter}."))
}
