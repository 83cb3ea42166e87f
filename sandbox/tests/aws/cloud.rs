//! A small estate, clients for its people, and short ways to say what was refused.

use aws_credential_types::Credentials;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use jitney_sandbox::aws::estate::{AccessKey, Account, Bucket, Estate, Role, User};
use jitney_sandbox::aws::{AwsOptions, AwsSandbox, RateLimits};
use serde_json::json;
use std::time::Duration;

pub const ACCOUNT: &str = "111122223333";
pub const OTHER_ACCOUNT: &str = "444455556666";
pub const DEPLOY: &str = "arn:aws:iam::111122223333:role/deploy";
pub const REGION: &str = "eu-central-1";
pub const BUCKET: &str = "artifacts-prod";
pub const BROKER: &str = "arn:aws:iam::111122223333:user/broker";

/// A policy of one statement.
pub fn policy(statement: serde_json::Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// Allows these actions on these resources.
pub fn allow(actions: &[&str], resources: &[&str]) -> String {
    policy(json!({ "Effect": "Allow", "Action": actions, "Resource": resources }))
}

/// A trust policy with one principal.
pub fn trust(principal: &str) -> String {
    let actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];
    policy(json!({ "Effect": "Allow", "Action": actions, "Principal": { "AWS": principal } }))
}

/// One account with a broker, a revoker, a role to deploy with and two buckets; another account beside it.
pub fn estate() -> Estate {
    let assume = allow(
        &["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        &["*"],
    );
    let deploy = Role::new("deploy", trust(BROKER))
        .inline(
            "base",
            allow(
                &[
                    "s3:*",
                    "sts:AssumeRole",
                    "sts:TagSession",
                    "sts:SetSourceIdentity",
                ],
                &["*"],
            ),
        )
        .max_session_seconds(7_200);
    Estate::new()
        .organization_id("o-example")
        .account(
            Account::new(ACCOUNT)
                .user(User::new("broker").inline("assume", assume))
                .user(User::new("revoker").inline(
                    "revoke",
                    allow(
                        &[
                            "iam:PutRolePolicy",
                            "iam:GetRolePolicy",
                            "iam:DeleteRolePolicy",
                            "iam:ListRolePolicies",
                        ],
                        &[DEPLOY],
                    ),
                ))
                .user(User::new("nobody"))
                .role(deploy)
                .bucket(Bucket::new(BUCKET).object("releases/old.txt", "old"))
                .bucket(Bucket::new("other-bucket")),
        )
        .account(
            Account::new(OTHER_ACCOUNT)
                .user(User::new("guest"))
                .bucket(Bucket::new("foreign-bucket")),
        )
}

pub async fn start() -> AwsSandbox {
    start_with(estate()).await
}

/// With the STS and IAM rates off: tests of other things must not meet them.
pub async fn start_with(estate: Estate) -> AwsSandbox {
    let options = AwsOptions {
        limits: RateLimits::unlimited(),
        seed: Some(1),
        ..AwsOptions::new(estate)
    };
    AwsSandbox::start(options).await.unwrap()
}

pub fn long_lived(key: &AccessKey) -> Credentials {
    Credentials::from_keys(
        key.access_key_id.clone(),
        key.secret_access_key.clone(),
        None,
    )
}

pub fn user(sandbox: &AwsSandbox, name: &str) -> Credentials {
    long_lived(&sandbox.user_key(ACCOUNT, name).unwrap())
}

pub fn root(sandbox: &AwsSandbox) -> Credentials {
    long_lived(&sandbox.root_key(ACCOUNT).unwrap())
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_timeout(Duration::from_secs(10))
        .build()
}

macro_rules! client {
    ($name:ident, $sdk:ident) => {
        pub fn $name(sandbox: &AwsSandbox, credentials: Credentials) -> $sdk::Client {
            let config = $sdk::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(REGION))
                .endpoint_url(sandbox.url())
                .retry_config(RetryConfig::disabled())
                .timeout_config(timeouts())
                .credentials_provider(credentials)
                .build();
            $sdk::Client::from_conf(config)
        }
    };
}

client!(sts, aws_sdk_sts);
client!(iam, aws_sdk_iam);

pub fn s3(sandbox: &AwsSandbox, credentials: Credentials) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(sandbox.url())
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts())
        .credentials_provider(credentials)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// A session's credentials as the SDKs take them.
pub fn temporary(credentials: &aws_sdk_sts::types::Credentials) -> Credentials {
    Credentials::from_keys(
        credentials.access_key_id(),
        credentials.secret_access_key(),
        Some(credentials.session_token().to_owned()),
    )
}

/// A session of the deploy role with its name as lease tag and source identity.
pub async fn lease(sandbox: &AwsSandbox, name: &str) -> Credentials {
    lease_with(sandbox, name, None).await
}

pub async fn lease_with(
    sandbox: &AwsSandbox,
    name: &str,
    session_policy: Option<String>,
) -> Credentials {
    let answer = sts(sandbox, user(sandbox, "broker"))
        .assume_role()
        .role_arn(DEPLOY)
        .role_session_name(name)
        .source_identity(name)
        .tags(tag("jl", name))
        .duration_seconds(900)
        .set_policy(session_policy)
        .send()
        .await
        .unwrap();
    temporary(answer.credentials().unwrap())
}

pub fn tag(key: &str, value: &str) -> aws_sdk_sts::types::Tag {
    aws_sdk_sts::types::Tag::builder()
        .key(key)
        .value(value)
        .build()
        .unwrap()
}

/// The error code of a call that must fail.
pub fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    result: Result<T, SdkError<E, R>>,
) -> String {
    let error = result.expect_err("the call should have been refused");
    match error.as_service_error() {
        Some(error) => error.code().unwrap_or("(no code)").to_owned(),
        None => format!("{error:?}"),
    }
}

/// Whether a session may still put an object under `releases/`.
pub async fn may_put(sandbox: &AwsSandbox, credentials: &Credentials) -> bool {
    let put = s3(sandbox, credentials.clone())
        .put_object()
        .bucket(BUCKET)
        .key("releases/probe");
    match put.body(Vec::from("probe").into()).send().await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(
                error.as_service_error().and_then(|error| error.code()),
                Some("AccessDenied"),
                "{error:?}"
            );
            false
        }
    }
}

/// Writes an inline policy of the deploy role, as the revoker.
pub async fn put_policy(sandbox: &AwsSandbox, name: &str, document: &str) {
    let client = iam(sandbox, user(sandbox, "revoker"));
    client
        .put_role_policy()
        .role_name("deploy")
        .policy_name(name)
        .policy_document(document)
        .send()
        .await
        .unwrap();
}

/// Denies everything under this condition.
pub fn deny_if(operator: &str, key: &str, value: &str) -> String {
    policy(
        json!({ "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": { operator: { key: value } } }),
    )
}

/// A plain HTTP client, for what the SDKs do not do.
pub fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}
