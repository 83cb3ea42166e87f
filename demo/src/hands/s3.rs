//! A job's hands on AWS, by AWS's own SDK.

use aws_credential_types::Credentials;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::result::SdkError;
use jitney_api::CredentialView;

use super::Answer;
use crate::estate::aws::REGION;

/// A session in use.
pub struct S3Hands {
    s3: aws_sdk_s3::Client,
    iam: aws_sdk_iam::Client,
}

impl S3Hands {
    /// Takes a credential as it came from the broker. Nothing when it is not a session of AWS.
    pub fn with(credential: &CredentialView, endpoint: &str) -> Option<Self> {
        let field = |name: &str| {
            credential
                .fields
                .get(name)
                .map(|secret| secret.reveal().to_owned())
        };
        let credentials = Credentials::new(
            field("access_key_id")?,
            field("secret_access_key")?,
            field("session_token"),
            None,
            "lease",
        );
        // The cloud is on this machine's loopback, which no proxy can reach.
        let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls)
            .build_https();
        let s3 = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(endpoint)
            .http_client(http.clone())
            .force_path_style(true)
            .retry_config(RetryConfig::disabled())
            .credentials_provider(credentials.clone());
        let iam = aws_sdk_iam::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(endpoint)
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .credentials_provider(credentials);
        Some(Self {
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            iam: aws_sdk_iam::Client::from_conf(iam.build()),
        })
    }

    /// Uploads an object.
    pub async fn put(&self, bucket: &str, key: &str) -> Answer {
        let body = ByteStream::from_static(b"a release");
        let sent = self
            .s3
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(body)
            .send()
            .await;
        answer("PutObject", sent)
    }

    /// Deletes an object.
    pub async fn delete(&self, bucket: &str, key: &str) -> Answer {
        answer(
            "DeleteObject",
            self.s3.delete_object().bucket(bucket).key(key).send().await,
        )
    }

    /// Reads an object.
    pub async fn get(&self, bucket: &str, key: &str) -> Answer {
        answer(
            "GetObject",
            self.s3.get_object().bucket(bucket).key(key).send().await,
        )
    }

    /// Looks at another service altogether.
    pub async fn list_roles(&self) -> Answer {
        answer("ListRoles", self.iam.list_roles().send().await)
    }
}

fn answer<T, E>(
    operation: &str,
    sent: Result<T, SdkError<E, aws_smithy_runtime_api::http::Response>>,
) -> Answer
where
    E: aws_sdk_s3::error::ProvideErrorMetadata,
{
    match sent {
        Ok(_) => Answer {
            status: 200,
            said: operation.to_owned(),
        },
        Err(error) => Answer {
            status: error
                .raw_response()
                .map_or(0, |response| response.status().as_u16()),
            said: error
                .as_service_error()
                .and_then(|error| error.code())
                .unwrap_or("no answer")
                .to_owned(),
        },
    }
}
