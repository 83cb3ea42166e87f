//! A job's hands on Azure: the Blob service, with the access token of a lease.

use std::time::Duration;

use jitney_api::CredentialView;
use reqwest::{Certificate, Client, Method, Response};
use zeroize::Zeroizing;

use super::Answer;
use crate::story::until;

const VERSION: &str = "2025-07-05";

/// An access token in use.
pub struct BlobHands {
    client: Client,
    url: String,
    token: Zeroizing<String>,
}

impl BlobHands {
    /// Takes a credential as it came from the broker, for a storage account at `url`. Nothing when
    /// it is no token of Azure.
    pub fn with(credential: &CredentialView, url: String, authority_pem: &str) -> Option<Self> {
        let token = credential.fields.get(jitney_azure::STORAGE_ACCESS_TOKEN)?;
        let authority = Certificate::from_pem(authority_pem.as_bytes()).ok()?;
        // The cloud is on this machine's loopback, which no proxy can reach.
        let client = Client::builder().no_proxy().tls_certs_merge([authority]);
        Some(Self {
            client: client.build().ok()?,
            url,
            token: Zeroizing::new(token.reveal().to_owned()),
        })
    }

    /// Uploads a blob as soon as what was granted is in force: Azure takes up to ten minutes, this
    /// one about a second.
    pub async fn put_in_time(&self, container: &str, path: &str) -> Answer {
        let patience = Duration::from_secs(5);
        until(patience, || self.put(container, path), Answer::is_ok).await
    }

    /// Uploads a blob.
    pub async fn put(&self, container: &str, path: &str) -> Answer {
        let url = format!("{}/{container}/{path}", self.url);
        let call = self
            .client
            .request(Method::PUT, url)
            .bearer_auth(self.token.as_str())
            .header("x-ms-version", VERSION)
            .header("x-ms-blob-type", "BlockBlob")
            .body("a package");
        answer("PutBlob", call.send().await)
    }
}

/// Azure says in a header why it refuses.
fn answer(operation: &str, sent: Result<Response, reqwest::Error>) -> Answer {
    let Ok(response) = sent else {
        return Answer::none();
    };
    let code = response.headers().get("x-ms-error-code");
    let code = code.and_then(|code| code.to_str().ok());
    Answer {
        status: response.status().as_u16(),
        said: code.unwrap_or(operation).to_owned(),
    }
}
