//! A lease on Azure in a command's environment: access tokens from an endpoint that is asked like the
//! managed identity of App Service, or an assertion in a file that tools exchange by themselves.
//! Nothing of Azure is linked.

use std::sync::Arc;

use jitney_api::{azure_assertion, azure_token};
use serde_json::json;

use super::export::CannotExport;
use super::handing::Handing;
use super::held::{Held, Serving};
use super::loopback::{Asked, Protocol, Refusal};
use super::options::Output;

/// What could make an SDK, `az` or Terraform use other credentials than the lease's.
const CONFLICTING: &[&str] = &[
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_TENANT_ID",
    "AZURE_SUBSCRIPTION_ID",
    "AZURE_USERNAME",
    "AZURE_PASSWORD",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_ACCESS_TOKEN",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    // Beside an endpoint it means Service Fabric, and SDKs would ask otherwise.
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "ARM_CLIENT_ID",
    "ARM_CLIENT_ID_FILE_PATH",
    "ARM_CLIENT_SECRET",
    "ARM_CLIENT_SECRET_FILE_PATH",
    "ARM_CLIENT_CERTIFICATE",
    "ARM_CLIENT_CERTIFICATE_PATH",
    "ARM_CLIENT_CERTIFICATE_PASSWORD",
    "ARM_TENANT_ID",
    "ARM_SUBSCRIPTION_ID",
    "ARM_USE_MSI",
    "ARM_MSI_ENDPOINT",
    "ARM_USE_OIDC",
    "ARM_USE_AKS_WORKLOAD_IDENTITY",
    "ARM_OIDC_TOKEN",
    "ARM_OIDC_TOKEN_FILE_PATH",
    "ARM_OIDC_REQUEST_TOKEN",
    "ARM_OIDC_REQUEST_URL",
];

/// Where `az` keeps who is logged in: a folder of our own, or the runner's login would win.
const CONFIG_FOLDER: &str = "AZURE_CONFIG_DIR";
/// Keeps the SDKs' default chains from whoever is logged in on the machine once the lease is over.
const NO_DEVELOPER: (&str, &str) = ("AZURE_TOKEN_CREDENTIALS", "prod");
/// The same for Terraform.
const NO_CLI: (&str, &str) = ("ARM_USE_CLI", "false");

/// By which names an SDK asks for one identity among several.
const SELECTORS: &[&str] = &[
    "client_id",
    "object_id",
    "principal_id",
    "mi_res_id",
    "msi_res_id",
];

/// Where a secret part of a credential is.
type Part = fn(&Serving) -> Option<&str>;

/// The names of Azure's audiences, and where the token for each is. A lease is in one of Azure's
/// clouds, and its token is taken there alone, by whatever name it was asked for.
const AUDIENCES: &[(&str, Part)] = &[
    ("https://management.azure.com", management),
    ("https://management.core.windows.net", management),
    ("https://management.usgovcloudapi.net", management),
    ("https://management.core.usgovcloudapi.net", management),
    ("https://management.chinacloudapi.cn", management),
    ("https://management.core.chinacloudapi.cn", management),
    ("https://storage.azure.com", storage),
];

/// Hands a lease with access tokens over.
pub(crate) fn hand_over_token(
    to: &mut Handing,
    lease: &Arc<Held>,
    output: Output,
) -> Result<(), CannotExport> {
    let incomplete = || CannotExport::Incomplete(lease.target.clone());
    let serving = lease.serving().ok_or_else(incomplete)?;
    let token = serving.field(azure_token::ACCESS_TOKEN);
    let token = token.ok_or_else(incomplete)?;
    alone(to, &serving)?;
    match output {
        Output::Env => {
            to.set("AZURE_ACCESS_TOKEN", token);
            to.set_known("AZURE_STORAGE_ACCESS_TOKEN", storage(&serving));
        }
        Output::Loopback => {
            let opened = to.open(Protocol::AzureIdentity, "azure", lease)?;
            to.set("IDENTITY_ENDPOINT", opened.url);
            // The protocol knows no file for it. It opens this door, and no other.
            to.set("IDENTITY_HEADER", opened.secret.as_str());
        }
    }
    Ok(())
}

/// Hands a lease with an assertion over. Tools read it from a file, whatever else is asked for.
pub(crate) fn hand_over_assertion(to: &mut Handing, lease: &Arc<Held>) -> Result<(), CannotExport> {
    let incomplete = || CannotExport::Incomplete(lease.target.clone());
    let serving = lease.serving().ok_or_else(incomplete)?;
    let client = serving.setting(azure_token::CLIENT_ID);
    let client = client.ok_or_else(incomplete)?;
    let tenant = serving.setting(azure_token::TENANT_ID);
    let tenant = tenant.ok_or_else(incomplete)?;
    alone(to, &serving)?;
    let file = to.follow("azure-assertion", lease, assertion)?;
    to.set("AZURE_CLIENT_ID", client);
    to.set("AZURE_TENANT_ID", tenant);
    to.set("AZURE_FEDERATED_TOKEN_FILE", &file);
    let authority = serving.setting(azure_assertion::AUTHORITY_HOST);
    to.set_known("AZURE_AUTHORITY_HOST", authority);
    to.set("ARM_USE_OIDC", "true");
    to.set("ARM_CLIENT_ID", client);
    to.set("ARM_OIDC_TOKEN_FILE_PATH", &file);
    Ok(())
}

fn storage(serving: &Serving) -> Option<&str> {
    serving.field(azure_token::STORAGE_ACCESS_TOKEN)
}

/// The token for Resource Manager. One that stands in the other field too is for that alone.
fn management(serving: &Serving) -> Option<&str> {
    let token = serving.field(azure_token::ACCESS_TOKEN)?;
    (storage(serving) != Some(token)).then_some(token)
}

fn assertion(serving: &Serving) -> Option<&str> {
    serving.field(azure_assertion::ASSERTION)
}

/// Takes away whatever else could be used, and says where the job works.
fn alone(to: &mut Handing, serving: &Serving) -> Result<(), CannotExport> {
    to.unset(CONFLICTING);
    let folder = to.folder("azure")?;
    to.set(CONFIG_FOLDER, folder);
    to.set(NO_DEVELOPER.0, NO_DEVELOPER.1);
    to.set(NO_CLI.0, NO_CLI.1);
    let subscription = serving.setting(azure_token::SUBSCRIPTION_ID);
    to.set_known("AZURE_SUBSCRIPTION_ID", subscription);
    to.set_known("ARM_SUBSCRIPTION_ID", subscription);
    to.set_known("ARM_TENANT_ID", serving.setting(azure_token::TENANT_ID));
    Ok(())
}

/// Answers an SDK that asks for a token.
pub(crate) fn answer(asked: &Asked, serving: &Serving) -> Result<String, Refusal> {
    let client = serving.setting(azure_token::CLIENT_ID);
    // Another identity than the lease's was meant: to be given this one would be a surprise.
    for selector in SELECTORS {
        let is_ours = *selector == "client_id" && asked.query().single(selector) == client;
        if asked.query().has(selector) && !is_ours {
            let told = format!("the lease is not of the identity that `{selector}` names");
            return Err(Refusal::not_this("WrongIdentity", told));
        }
    }
    let resource = asked.query().single("resource").unwrap_or_default();
    let audience = resource.trim_end_matches('/');
    let known = AUDIENCES.iter().find(|(known, _)| *known == audience);
    let Some(token) = known.and_then(|(_, token)| token(serving)) else {
        let held = AUDIENCES
            .iter()
            .filter(|(_, token)| token(serving).is_some());
        let held: Vec<_> = held.map(|(audience, _)| format!("`{audience}`")).collect();
        let told = format!(
            "the lease has no token for this `resource`, only for {}",
            held.join(", ")
        );
        return Err(Refusal::not_this("WrongResource", told));
    };
    // Seconds as text: that is how App Service writes them, and some SDKs read nothing else.
    let ends = serving.usable_until().as_second().to_string();
    let answer = json!({
        "access_token": token, "expires_on": ends, "resource": resource,
        "token_type": "Bearer", "client_id": client,
    });
    Ok(answer.to_string())
}
