//! An AWS session in a command's environment: the container credentials protocol, or static
//! variables. Nothing of AWS is linked: these are names and a JSON object.

use std::ffi::OsString;

use jiff::tz::TimeZone;
use jitney_api::aws_session;
use serde::Serialize;

use super::held::Serving;

/// What could make an SDK use other credentials than the lease's. In a default chain the
/// environment and the shared files come before the container endpoint, and its relative form
/// before the full one.
pub(crate) const CONFLICTING: &[&str] = &[
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
pub(crate) const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
/// Names the file with the endpoint's secret: not in the environment, which is inherited and
/// printed too easily.
pub(crate) const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// Where SDKs read profiles: an empty file of our own, or a `[default]` of the runner's would win.
pub(crate) const CONFIG_FILE: &str = "AWS_CONFIG_FILE";
/// As [`CONFIG_FILE`].
pub(crate) const CREDENTIALS_FILE: &str = "AWS_SHARED_CREDENTIALS_FILE";
/// Keeps an SDK from falling back on the machine's own role once the lease is over.
pub(crate) const NO_METADATA: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

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

fn field<'a>(serving: &'a Serving, name: &str) -> Option<&'a str> {
    let field = serving.credential.fields.get(name)?.reveal();
    (!field.is_empty()).then_some(field)
}

fn setting<'a>(serving: &'a Serving, name: &str) -> Option<&'a str> {
    serving.credential.settings.get(name).map(String::as_str)
}

/// In whole seconds, as the SDKs read it.
fn expiration(serving: &Serving) -> String {
    let end = serving.usable_until().to_zoned(TimeZone::UTC);
    end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Writes the answer to an SDK; nothing when the credential lacks a part.
pub(crate) fn write(serving: &Serving) -> Option<String> {
    let answer = ContainerCredentials {
        access_key_id: field(serving, aws_session::ACCESS_KEY_ID)?,
        secret_access_key: field(serving, aws_session::SECRET_ACCESS_KEY)?,
        token: field(serving, aws_session::SESSION_TOKEN)?,
        expiration: expiration(serving),
        account_id: setting(serving, aws_session::ACCOUNT_ID),
    };
    serde_json::to_string(&answer).ok()
}

/// The region the command should talk to, under both names SDKs look for.
pub(crate) fn region(serving: &Serving) -> Vec<(&'static str, OsString)> {
    let region = setting(serving, aws_session::REGION);
    let names = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    region
        .map(|region| names.map(|name| (name, OsString::from(region))).to_vec())
        .unwrap_or_default()
}

/// Static variables; nothing when the credential lacks a part.
pub(crate) fn variables(serving: &Serving) -> Option<Vec<(&'static str, OsString)>> {
    let parts = [
        ("AWS_ACCESS_KEY_ID", aws_session::ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", aws_session::SECRET_ACCESS_KEY),
        ("AWS_SESSION_TOKEN", aws_session::SESSION_TOKEN),
    ];
    let mut variables = Vec::new();
    for (variable, name) in parts {
        variables.push((variable, OsString::from(field(serving, name)?)));
    }
    // The credential's own end, not the lease's: the lease is prolonged, these variables are not.
    let end = serving.expires_at.to_zoned(TimeZone::UTC);
    let end = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    variables.push(("AWS_CREDENTIAL_EXPIRATION", OsString::from(end)));
    Some(variables)
}
