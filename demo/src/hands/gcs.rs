//! A job's hands on Google Cloud: Cloud Storage, with the access token of a lease.

use std::time::Duration;

use jitney_api::CredentialView;
use reqwest::{Client, Response};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Answer;
use crate::story::until;

/// An access token in use.
pub struct GcsHands {
    client: Client,
    url: String,
    token: Zeroizing<String>,
}

impl GcsHands {
    /// Takes a credential as it came from the broker. Nothing when it is no token of Google.
    pub fn with(credential: &CredentialView, url: String) -> Option<Self> {
        let token = credential.fields.get(jitney_gcp::ACCESS_TOKEN)?;
        Some(Self {
            // The cloud is on this machine's loopback, which no proxy can reach.
            client: Client::builder().no_proxy().build().ok()?,
            url,
            token: Zeroizing::new(token.reveal().to_owned()),
        })
    }

    /// Reads an object as soon as what was granted is in force.
    pub async fn get_in_time(&self, bucket: &str, name: &str) -> Answer {
        let patience = Duration::from_secs(5);
        until(patience, || self.get(bucket, name), Answer::is_ok).await
    }

    /// Reads an object.
    pub async fn get(&self, bucket: &str, name: &str) -> Answer {
        let name = name.replace('/', "%2F");
        let url = format!("{}/storage/v1/b/{bucket}/o/{name}", self.url);
        let call = self
            .client
            .get(url)
            .query(&[("alt", "media")])
            .bearer_auth(self.token.as_str());
        answer("storage.objects.get", call.send().await).await
    }

    /// Uploads an object as soon as what was granted is in force: Google takes minutes, this one
    /// about a second.
    pub async fn put_in_time(&self, bucket: &str, name: &str) -> Answer {
        let patience = Duration::from_secs(5);
        until(patience, || self.put(bucket, name), Answer::is_ok).await
    }

    /// Uploads an object.
    pub async fn put(&self, bucket: &str, name: &str) -> Answer {
        let url = format!("{}/upload/storage/v1/b/{bucket}/o", self.url);
        let call = self
            .client
            .post(url)
            .query(&[("uploadType", "media"), ("name", name)])
            .bearer_auth(self.token.as_str())
            .body("a report");
        answer("storage.objects.insert", call.send().await).await
    }
}

/// Google says in the body why it refuses.
async fn answer(operation: &str, sent: Result<Response, reqwest::Error>) -> Answer {
    let Ok(response) = sent else {
        return Answer::none();
    };
    let status = response.status();
    let body: Value = response.json().await.unwrap_or_default();
    let details = ["/error/details/0/reason", "/error/errors/0/reason"];
    let reason = details.iter().find_map(|at| body.pointer(at)?.as_str());
    Answer {
        status: status.as_u16(),
        said: match reason {
            Some(reason) if !status.is_success() => reason.to_owned(),
            _ => operation.to_owned(),
        },
    }
}
