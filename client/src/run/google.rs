//! A lease on Google Cloud in a command's environment: an external account whose tokens come from the
//! endpoint, or static variables. Nothing of Google is linked: these are names and JSON objects.
//!
//! Not the metadata server, which SDKs would find too: it knows no secret, so every process of the
//! machine could be the job.

use core::time::Duration;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jitney_api::gcp_token;
use serde_json::{Value, json};

use super::export::CannotExport;
use super::handing::Handing;
use super::held::{Held, Serving};
use super::loopback::{Asked, Protocol, Refusal};
use super::options::Output;

/// What could make an SDK, `gcloud` or Terraform use other credentials than the lease's.
const CONFLICTING: &[&str] = &[
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CREDENTIALS",
    "GOOGLE_CLOUD_KEYFILE_JSON",
    "GCLOUD_KEYFILE_JSON",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT",
    "GOOGLE_GHA_CREDS_PATH",
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
    "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
    "CLOUDSDK_CORE_ACCOUNT",
    "CLOUDSDK_ACTIVE_CONFIG_NAME",
    "GCE_METADATA_HOST",
    "GCE_METADATA_IP",
    "GCE_METADATA_ROOT",
];

/// Where `gcloud` keeps who is logged in: a folder of our own, or the runner's login would win.
const CONFIG_FOLDER: &str = "CLOUDSDK_CONFIG";
/// Keeps an SDK from falling back on the machine's own account once the lease is over.
const NO_METADATA: (&str, &str) = ("NO_GCE_CHECK", "true");
/// The names under which SDKs, `gcloud` and Terraform look for the project.
const PROJECT: &[&str] = &[
    "GOOGLE_CLOUD_PROJECT",
    "CLOUDSDK_CORE_PROJECT",
    "GOOGLE_PROJECT",
];

/// In which field of a form the secret is shown.
pub(crate) const SUBJECT_TOKEN: &str = "subject_token";
/// In which field of the address it is shown where the form has no room for it.
pub(crate) const SECRET: &str = "secret";

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
const SUBJECT_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Hands a lease over.
pub(crate) fn hand_over(
    to: &mut Handing,
    lease: &Arc<Held>,
    output: Output,
) -> Result<(), CannotExport> {
    let incomplete = || CannotExport::Incomplete(lease.target.clone());
    let serving = lease.serving().ok_or_else(incomplete)?;
    let token = serving.field(gcp_token::ACCESS_TOKEN);
    let token = token.ok_or_else(incomplete)?;
    to.unset(CONFLICTING);
    let folder = to.folder("gcloud")?;
    to.set(CONFIG_FOLDER, folder);
    to.set(NO_METADATA.0, NO_METADATA.1);
    for name in PROJECT {
        to.set_known(name, serving.setting(gcp_token::PROJECT_ID));
    }
    match output {
        Output::Env => {
            to.set("CLOUDSDK_AUTH_ACCESS_TOKEN", token);
            to.set("GOOGLE_OAUTH_ACCESS_TOKEN", token);
        }
        Output::Loopback => {
            let account = external_account(to, lease)?.to_string();
            let account = to.file("google-credentials.json", &account)?;
            to.set("GOOGLE_APPLICATION_CREDENTIALS", &account);
            to.set("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", &account);
        }
    }
    Ok(())
}

/// An account of another system, as Google's SDKs know it: what it shows is the door's secret, and
/// what it is given for that is the lease's token.
fn external_account(to: &mut Handing, lease: &Arc<Held>) -> Result<Value, CannotExport> {
    let exchange = to.open(Protocol::GoogleExchange, "google/token", lease)?;
    let introspection = to.open(Protocol::GoogleIntrospection, "google/introspect", lease)?;
    let secret = to.file("google-endpoint-token", &exchange.secret)?;
    // `gcloud` shows no secret when it asks whose a token is, but asks at this very address.
    let token_info = format!(
        "{}?{SECRET}={}",
        introspection.url,
        introspection.secret.as_str()
    );
    Ok(json!({
        "type": "external_account", "audience": "jitney",
        "subject_token_type": SUBJECT_TOKEN_TYPE,
        "token_url": exchange.url, "token_info_url": token_info,
        "credential_source": { "file": secret },
    }))
}

/// Answers an SDK that exchanges the door's secret.
pub(crate) fn exchanged(
    asked: &Asked,
    serving: &Serving,
    left: Duration,
) -> Result<String, Refusal> {
    if asked.form().single("grant_type") != Some(EXCHANGE) {
        let told = format!("expected the `grant_type` `{EXCHANGE}`");
        return Err(Refusal::not_this("unsupported_grant_type", told));
    }
    let token = serving.field(gcp_token::ACCESS_TOKEN);
    let answer = json!({
        "access_token": token.ok_or_else(Refusal::lacks_a_part)?, "token_type": "Bearer",
        "issued_token_type": ACCESS_TOKEN_TYPE, "expires_in": left.as_secs(),
    });
    Ok(answer.to_string())
}

/// Answers whose token this is: the lease's account's, or nobody's.
pub(crate) fn introspected(asked: &Asked, serving: &Serving) -> Result<String, Refusal> {
    let token = serving.field(gcp_token::ACCESS_TOKEN);
    let token = token.ok_or_else(Refusal::lacks_a_part)?;
    let shown = asked.form().single("token").unwrap_or_default();
    let is_ours = verify_slices_are_equal(shown.as_bytes(), token.as_bytes()).is_ok();
    if !is_ours {
        return Ok(json!({ "active": false }).to_string());
    }
    let account = serving.setting(gcp_token::SERVICE_ACCOUNT);
    Ok(json!({ "active": true, "username": account }).to_string())
}
