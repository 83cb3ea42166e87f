//! What a job does with what it was given, and what a stranger does with rights of their own.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::estate::{ACCOUNT, TENANT};

/// A client of the sandbox's Blob service and Resource Manager.
pub struct Job {
    client: Client,
    url: String,
}

impl Job {
    pub fn new(url: &str, authority_pem: &str) -> Self {
        let authority = reqwest::Certificate::from_pem(authority_pem.as_bytes()).unwrap();
        let client = Client::builder().no_proxy().tls_certs_merge([authority]);
        Self {
            client: client.build().unwrap(),
            url: url.to_owned(),
        }
    }

    /// Tries a call to the Blob service. Whether it was done; an error when it was neither done nor
    /// refused.
    pub async fn blob(&self, token: &str, method: Method, path: &str) -> Result<bool, String> {
        let url = format!("{}/{ACCOUNT}/{path}", self.url);
        let call = self.client.request(method.clone(), &url).bearer_auth(token);
        let call = call
            .header("x-ms-version", "2025-07-05")
            .header("x-ms-blob-type", "BlockBlob");
        let call = if method == Method::PUT {
            call.body("x")
        } else {
            call
        };
        let answer = call.send().await.map_err(|error| error.to_string())?;
        match answer.status() {
            // Refused because the token has ended is refused.
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Ok(false),
            status if status.is_success() => Ok(true),
            status => Err(format!("{method} {path}: {status}")),
        }
    }

    /// A token for Resource Manager, for whom an assertion names.
    pub async fn token(&self, client: Uuid, assertion: &str) -> String {
        let url = format!("{}/{TENANT}/oauth2/v2.0/token", self.url);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form = [
            ("client_id", client.to_string()),
            ("client_assertion", assertion.to_owned()),
            ("client_assertion_type", kind.to_owned()),
            ("grant_type", "client_credentials".to_owned()),
            ("scope", "https://management.azure.com/.default".to_owned()),
        ];
        let answer = self.client.post(url).form(&form).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// A call to Resource Manager.
    pub async fn arm(
        &self,
        token: &str,
        method: Method,
        path: &str,
        version: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let url = format!("{}{path}?api-version={version}", self.url);
        let mut call = self.client.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            call = call.json(body);
        }
        let answer = call.send().await.unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap_or_else(|_| json!(null)))
    }
}
