//! A small estate, a client, and short ways to ask.

use std::time::Duration;

use jitney_sandbox::gcp::estate::{Binding, Bucket, Estate, Project, ServiceAccount};
use jitney_sandbox::gcp::{RateLimits, fingerprint};
use jitney_sandbox::{GcpOptions, GcpSandbox};
use reqwest::Method;
use serde_json::{Value, json};

pub const PROJECT: &str = "acme-prod";
pub const NUMBER: u64 = 111_122_223_333;
pub const BUCKET: &str = "artifacts-prod";
pub const BROKER: &str = "broker@acme-prod.iam.gserviceaccount.com";
pub const SLOT: &str = "slot-1@acme-prod.iam.gserviceaccount.com";
pub const NOBODY: &str = "nobody@acme-prod.iam.gserviceaccount.com";
pub const OWNER: &str = "ann@example.com";
pub const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

pub fn member(email: &str) -> String {
    format!("serviceAccount:{email}")
}

/// A project with a broker, slots that it may use, a bucket, an owner, and an account without any right; another
/// project beside it.
pub fn estate() -> Estate {
    let broker = member(BROKER);
    let slot = |name: &str| {
        ServiceAccount::new(name).binding(Binding::new(
            "roles/iam.serviceAccountTokenCreator",
            &[&broker],
        ))
    };
    Estate::new()
        .user(OWNER)
        .metadata_account(BROKER)
        .project(
            Project::new(PROJECT, NUMBER)
                .account(ServiceAccount::new("broker"))
                .account(slot("slot-1"))
                .account(slot("slot-2").disabled())
                .account(slot("slot-long").long_lifetimes())
                .account(ServiceAccount::new("nobody"))
                .custom_role("reader", &["storage.objects.get"])
                .binding(Binding::new("roles/iam.serviceAccountAdmin", &[&broker]))
                .binding(Binding::new(
                    "roles/resourcemanager.projectIamAdmin",
                    &[&broker],
                ))
                .binding(Binding::new("roles/owner", &["user:ann@example.com"]))
                .bucket(
                    Bucket::new(BUCKET)
                        .object("releases/old.txt", "old")
                        .object("private/key.txt", "key")
                        .binding(Binding::new("roles/storage.admin", &[&broker])),
                ),
        )
        .project(
            Project::new("other", 444_455_556_666)
                .account(ServiceAccount::new("guest"))
                .bucket(Bucket::new("other-bucket")),
        )
}

/// A running sandbox and a client of it.
pub struct Cloud {
    pub sandbox: GcpSandbox,
    pub http: reqwest::Client,
}

/// With the rates off: tests of other things must not meet them.
pub async fn start() -> Cloud {
    start_with(GcpOptions {
        limits: RateLimits::unlimited(),
        seed: Some(1),
        ..GcpOptions::new(estate())
    })
    .await
}

pub async fn start_with(options: GcpOptions) -> Cloud {
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10));
    Cloud {
        sandbox: GcpSandbox::start(options).await.unwrap(),
        http: http.build().unwrap(),
    }
}

/// An answer: status and JSON, `null` when there is none.
pub struct Answered {
    pub status: u16,
    pub json: Value,
}

impl Answered {
    /// The JSON of a call that must have succeeded.
    pub fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.json
        );
        self.json
    }

    /// Status and error name of a call that must have failed: `PERMISSION_DENIED`, `conditionNotMet`, `invalid_grant`.
    pub fn error(&self) -> (u16, &str) {
        let error = &self.json["error"];
        let name = error["status"]
            .as_str()
            .or(error["errors"][0]["reason"].as_str())
            .or(error.as_str());
        (
            self.status,
            name.unwrap_or_else(|| panic!("not an error: {}", self.json)),
        )
    }

    pub fn message(&self) -> &str {
        self.json["error"]["message"]
            .as_str()
            .or(self.json["error_description"].as_str())
            .unwrap_or_default()
    }

    /// The machine-readable reason among the details.
    pub fn reason(&self) -> &str {
        let details = self.json["error"]["details"].as_array().unwrap();
        details
            .iter()
            .find_map(|detail| detail["reason"].as_str())
            .unwrap_or_default()
    }
}

impl Cloud {
    pub fn token(&self, who: &str) -> String {
        self.sandbox.token_for(who).unwrap()
    }

    /// A call with a token and a JSON body; either may be empty.
    pub async fn call(&self, token: &str, method: Method, path: &str, body: Value) -> Answered {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.sandbox.url()));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        answered(request.send().await.unwrap()).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answered {
        self.call(token, Method::GET, path, Value::Null).await
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> Answered {
        self.call(token, Method::POST, path, body).await
    }

    /// A token of an account, minted by the broker.
    pub async fn mint(&self, account: &str, body: Value) -> Answered {
        self.mint_as(&self.token(BROKER), account, body).await
    }

    pub async fn mint_as(&self, token: &str, account: &str, body: Value) -> Answered {
        let path = format!("/v1/projects/-/serviceAccounts/{account}:generateAccessToken");
        self.post(token, &path, body).await
    }

    /// A token of the first slot for ten minutes.
    pub async fn lease(&self) -> String {
        let minted = self
            .mint(
                SLOT,
                json!({ "scope": [CLOUD_PLATFORM], "lifetime": "600s" }),
            )
            .await
            .ok();
        minted["accessToken"].as_str().unwrap().to_owned()
    }

    pub async fn enable(&self, account: &str) {
        self.turn(account, "enable").await;
    }

    pub async fn disable(&self, account: &str) {
        self.turn(account, "disable").await;
    }

    async fn turn(&self, account: &str, verb: &str) {
        let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{account}:{verb}");
        assert_eq!(
            self.post(&self.token(BROKER), &path, json!({})).await.ok(),
            json!({})
        );
    }

    /// The bucket's policy, with its conditions.
    pub async fn bucket_policy(&self) -> Value {
        let path = format!("/storage/v1/b/{BUCKET}/iam?optionsRequestedPolicyVersion=3");
        self.get(&self.token(BROKER), &path).await.ok()
    }

    pub async fn set_bucket_policy(&self, policy: Value) -> Answered {
        let path = format!("/storage/v1/b/{BUCKET}/iam");
        self.call(&self.token(BROKER), Method::PUT, &path, policy)
            .await
    }

    /// Gives a role on the bucket, perhaps under a condition, beside what is there.
    pub async fn grant(&self, account: &str, role: &str, expression: Option<&str>) {
        let mut policy = self.bucket_policy().await;
        let mut binding = json!({ "role": role, "members": [member(account)] });
        if let Some(expression) = expression {
            binding["condition"] = json!({ "title": "jitney:lease-1", "expression": expression });
        }
        policy["version"] = json!(3);
        policy["bindings"].as_array_mut().unwrap().push(binding);
        self.set_bucket_policy(policy).await.ok();
    }

    /// Takes away every binding of the bucket that names the account.
    pub async fn ungrant(&self, account: &str) {
        let mut policy = self.bucket_policy().await;
        policy["version"] = json!(3);
        let bindings = policy["bindings"].as_array_mut().unwrap();
        bindings.retain(|binding| binding["members"] != json!([member(account)]));
        self.set_bucket_policy(policy).await.ok();
    }

    /// The status of reading an object: 200, 401 when the token does not count, 403 when nothing allows it.
    pub async fn read(&self, token: &str, object: &str) -> u16 {
        let object = object.replace('/', "%2F");
        self.get(token, &format!("/storage/v1/b/{BUCKET}/o/{object}"))
            .await
            .status
    }

    pub async fn upload(&self, token: &str, object: &str, text: &str) -> Answered {
        let path = format!("/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={object}");
        let request = self
            .http
            .post(format!("{}{path}", self.sandbox.url()))
            .bearer_auth(token);
        answered(
            request
                .header("content-type", "text/plain")
                .body(text.to_owned())
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    /// The time on the sandbox's clock, this many seconds from now, as conditions write it.
    pub fn time_in(&self, seconds: i64) -> String {
        let time = self.sandbox.clock().now().as_second() + seconds;
        jiff::Timestamp::from_second(time).unwrap().to_string()
    }

    pub fn would_allow(&self, token: &str, permission: &str, object: &str) -> String {
        let resource = format!("projects/_/buckets/{BUCKET}/objects/{object}");
        let verdict = self
            .sandbox
            .would_allow(&fingerprint(token), permission, &resource);
        serde_json::to_value(verdict.unwrap())
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    }
}

pub async fn answered(response: reqwest::Response) -> Answered {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    Answered {
        status,
        json: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}
