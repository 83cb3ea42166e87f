//! Entra ID: discovery, keys, cloud metadata, and tokens for client assertions.

mod assertion;
mod errors;
mod issuer_keys;
mod token_endpoint;

use http::Method;
use serde_json::{Value, json};

use crate::call::{Answer, Call};

use super::access_token;
use super::cloud::Cloud;
pub(crate) use errors::EntraError;
pub(crate) use issuer_keys::IssuerKeys;
pub(crate) use token_endpoint::serve as serve_token;

/// What a call to Entra is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A token for a client of this tenant.
    Token {
        tenant: String,
    },
    Discovery {
        tenant: String,
    },
    Keys,
    Metadata,
}

impl Operation {
    /// `None` when the call is for another service.
    pub(crate) fn of(call: &Call) -> Option<Operation> {
        let segments: Vec<&str> = call.path.trim_matches('/').split('/').collect();
        let is_get = call.method == Method::GET;
        match segments.as_slice() {
            [tenant, "oauth2", "v2.0", "token"] if call.method == Method::POST => {
                Some(Operation::Token {
                    tenant: (*tenant).to_owned(),
                })
            }
            [tenant, "v2.0", ".well-known", "openid-configuration"] if is_get => {
                Some(Operation::Discovery {
                    tenant: (*tenant).to_owned(),
                })
            }
            [_, "discovery", "v2.0", "keys"] if is_get => Some(Operation::Keys),
            ["metadata", "endpoints"] if is_get => Some(Operation::Metadata),
            _ => None,
        }
    }

    /// As faults and the journal name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Operation::Token { .. } => "Token",
            Operation::Discovery { .. } => "Discovery",
            Operation::Keys => "Keys",
            Operation::Metadata => "Metadata",
        }
    }
}

/// The documents that anybody may read.
pub(crate) fn document(cloud: &Cloud, call: &Call, operation: &Operation) -> Answer {
    let base = format!("https://{}", call.header("host").unwrap_or_default());
    match operation {
        Operation::Discovery { tenant } => Answer::json(200, &discovery(&base, tenant)),
        Operation::Keys | Operation::Token { .. } => {
            Answer::json(200, &access_token::key_set(cloud.tenant.id))
        }
        Operation::Metadata => Answer::json(200, &metadata(cloud, call, &base)),
    }
}

fn discovery(base: &str, tenant: &str) -> Value {
    json!({
        "issuer": format!("{base}/{tenant}/v2.0"),
        "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/devicecode"),
        "end_session_endpoint": format!("{base}/{tenant}/oauth2/v2.0/logout"),
        "userinfo_endpoint": format!("{base}/oidc/userinfo"),
        "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "tenant_region_scope": null,
        "cloud_instance_name": "localhost",
    })
}

/// What a client learns about this cloud: everything is on one port. Before 2022 it was a list of clouds.
fn metadata(cloud: &Cloud, call: &Call, base: &str) -> Value {
    let one = json!({
        "name": "Sandbox",
        "portal": base,
        "authentication": {
            "loginEndpoint": format!("{base}/"),
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": cloud.tenant.id,
            "identityProvider": "AAD",
        },
        "graphAudience": "https://graph.microsoft.com/",
        "graph": format!("{base}/graph/"),
        "microsoftGraphResourceId": format!("{base}/graph/"),
        "resourceManager": format!("{base}/"),
        "media": "https://rest.media.azure.net",
        "suffixes": {
            "storage": "core.windows.net",
            "keyVaultDns": "vault.azure.net",
            "acrLoginServer": "azurecr.io",
        },
    });
    let version = call.query_value("api-version").unwrap_or_default();
    if version.as_str() < "2022" {
        json!([one])
    } else {
        one
    }
}
