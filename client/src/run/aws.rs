//! An AWS session in a command's environment: the container credentials protocol, or static
//! variables. Nothing of AWS is linked: these are names and a JSON object.

use std::ffi::OsString;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jitney_api::aws_session;
use serde::Serialize;

use super::export::CannotExport;
use super::handing::Handing;
use super::held::{Held, Serving};
use super::loopback::Protocol;
use super::options::Output;

/// What could make an SDK use other credentials than the lease's. In a default chain the
/// environment and the shared files come before the container endpoint, and its relative form
/// before the full one.
const CONFLICTING: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIAL_FILE",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
];

/// Names the endpoint to the SDKs.
const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
/// Names the file with the endpoint's secret: not in the environment, which is inherited and
/// printed too easily.
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// Where SDKs read profiles: an empty file of our own, or a `[default]` of the runner's would win.
const CONFIG_FILE: &str = "AWS_CONFIG_FILE";
/// As [`CONFIG_FILE`].
const CREDENTIALS_FILE: &str = "AWS_SHARED_CREDENTIALS_FILE";
/// Keeps an SDK from falling back on the machine's own role once the lease is over.
const NO_METADATA: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

/// Hands a lease over.
pub(crate) fn hand_over(
    to: &mut Handing,
    lease: &Arc<Held>,
    output: Output,
) -> Result<(), CannotExport> {
    let incomplete = || CannotExport::Incomplete(lease.target.clone());
    let serving = lease.serving().ok_or_else(incomplete)?;
    let variables = variables(&serving).ok_or_else(incomplete)?;
    to.unset(CONFLICTING);
    let config = to.file("aws-config", "")?;
    to.set(CONFIG_FILE, config);
    let credentials = to.file("aws-credentials", "")?;
    to.set(CREDENTIALS_FILE, credentials);
    to.set(NO_METADATA.0, NO_METADATA.1);
    for (name, value) in region(&serving) {
        to.set(name, value);
    }
    match output {
        Output::Env => {
            for (name, value) in variables {
                to.set(name, value);
            }
        }
        Output::Loopback => {
            let opened = to.open(Protocol::AwsContainer, "aws", lease)?;
            to.set(FULL_URI, opened.url);
            // Without a line's end: SDKs send the file as it is.
            let file = to.file("aws-endpoint-token", &opened.secret)?;
            to.set(TOKEN_FILE, file);
        }
    }
    Ok(())
}

/// The container protocol's answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerCredentials<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
}

/// In whole seconds, as the SDKs read it.
fn expiration(serving: &Serving) -> String {
    let end = serving.usable_until().to_zoned(TimeZone::UTC);
    end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Writes the answer to an SDK; nothing when the credential lacks a part.
pub(crate) fn write(serving: &Serving) -> Option<String> {
    let answer = ContainerCredentials {
        access_key_id: serving.field(aws_session::ACCESS_KEY_ID)?,
        secret_access_key: serving.field(aws_session::SECRET_ACCESS_KEY)?,
        token: serving.field(aws_session::SESSION_TOKEN)?,
        expiration: expiration(serving),
        account_id: serving.setting(aws_session::ACCOUNT_ID),
    };
    serde_json::to_string(&answer).ok()
}

/// The region the command should talk to, under both names SDKs look for.
fn region(serving: &Serving) -> Vec<(&'static str, OsString)> {
    let region = serving.setting(aws_session::REGION);
    let names = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    region
        .map(|region| names.map(|name| (name, OsString::from(region))).to_vec())
        .unwrap_or_default()
}

/// Static variables; nothing when the credential lacks a part.
fn variables(serving: &Serving) -> Option<Vec<(&'static str, OsString)>> {
    let parts = [
        ("AWS_ACCESS_KEY_ID", aws_session::ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", aws_session::SECRET_ACCESS_KEY),
        ("AWS_SESSION_TOKEN", aws_session::SESSION_TOKEN),
    ];
    let mut variables = Vec::new();
    for (variable, name) in parts {
        variables.push((variable, OsString::from(serving.field(name)?)));
    }
    // The credential's own end, not the lease's: the lease is prolonged, these variables are not.
    let end = serving.expires_at.to_zoned(TimeZone::UTC);
    let end = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    variables.push(("AWS_CREDENTIAL_EXPIRATION", OsString::from(end)));
    Some(variables)
}
