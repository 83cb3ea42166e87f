//! What a job does with a token: the storage API's own calls, and the cloud's own answers.

use jitney_gcp::ACCESS_TOKEN;
use jitney_integration_tests::adapter_laws::Revealed;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::estate::{BESIDE, BUCKET, PROJECT};

/// A job with its token, at an address.
pub struct Job {
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Job {
    pub fn new(url: &str, credential: &Revealed) -> Self {
        Self {
            url: url.to_owned(),
            token: credential[ACCESS_TOKEN].clone(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Whether a call is carried out. It must be that or be refused.
    pub async fn may(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> Result<bool, String> {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = request.bearer_auth(&self.token);
        let request = match body {
            Some(body) => request
                .body(body.to_owned())
                .header("content-type", "application/json"),
            None => request,
        };
        let answer = request.send().await.map_err(|error| error.to_string())?;
        match answer.status() {
            status if status.is_success() => Ok(true),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(false),
            status => {
                let text = answer.text().await.unwrap_or_default();
                Err(format!("{path} was answered with {status}: {text}"))
            }
        }
    }

    pub async fn reads(&self, bucket: &str, object: &str) -> Result<bool, String> {
        let object = object.replace('/', "%2F");
        let path = format!("/storage/v1/b/{bucket}/o/{object}?alt=media");
        self.may(Method::GET, &path, None).await
    }

    pub async fn lists(&self, bucket: &str, prefix: &str) -> Result<bool, String> {
        let prefix = prefix.replace('/', "%2F");
        let path = format!("/storage/v1/b/{bucket}/o?prefix={prefix}");
        self.may(Method::GET, &path, None).await
    }

    pub async fn writes(&self, bucket: &str, object: &str) -> Result<bool, String> {
        let object = object.replace('/', "%2F");
        let path = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name={object}");
        self.may(Method::POST, &path, Some("new")).await
    }

    pub async fn deletes(&self, bucket: &str, object: &str) -> Result<bool, String> {
        let object = object.replace('/', "%2F");
        let path = format!("/storage/v1/b/{bucket}/o/{object}");
        self.may(Method::DELETE, &path, None).await
    }

    /// Everything near `object-storage:read@artifacts-prod/releases/` and beyond it. Gives what
    /// went through.
    pub async fn strays(&self) -> Result<Vec<String>, String> {
        let mut through = Vec::new();
        let mut note = |what: &str, went: bool| {
            if went {
                through.push(what.to_owned());
            }
        };
        for (bucket, object) in [(BUCKET, "other/seed"), (BESIDE, "releases/seed")] {
            note(object, self.reads(bucket, object).await?);
        }
        for (bucket, prefix) in [
            (BUCKET, ""),
            (BUCKET, "releases"),
            (BUCKET, "other/"),
            (BESIDE, "releases/"),
        ] {
            note("a listing", self.lists(bucket, prefix).await?);
        }
        note("a write", self.writes(BUCKET, "releases/new").await?);
        note("a deletion", self.deletes(BUCKET, "releases/seed").await?);
        let policy = format!("/storage/v1/b/{BUCKET}/iam");
        note("a policy", self.may(Method::GET, &policy, None).await?);
        let project = format!("/v3/projects/{PROJECT}:getIamPolicy");
        note(
            "the project",
            self.may(Method::POST, &project, Some("{}")).await?,
        );
        let own = crate::estate::slot(1);
        let body = json!({ "scope": ["https://www.googleapis.com/auth/cloud-platform"] });
        let mint = format!("/v1/projects/-/serviceAccounts/{own}:generateAccessToken");
        note(
            "a token",
            self.may(Method::POST, &mint, Some(&body.to_string()))
                .await?,
        );
        Ok(through)
    }
}
