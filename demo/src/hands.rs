//! A job's hands: what it does in the cloud with the credential it was given, by AWS's own SDK.

use aws_credential_types::Credentials;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::result::SdkError;
use jitney_api::CredentialView;

use crate::estate::REGION;

/// What the cloud answered: `200 PutObject`, or `403 AccessDenied`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 when there was no answer.
    pub status: u16,
    /// The operation that went through, or the cloud's code of the refusal.
    pub said: String,
}

impl Answer {
    /// Whether the cloud let it through.
    pub const fn is_ok(&self) -> bool {
        self.status == 200 || self.status == 204
    }

    /// Whether the cloud refused it for want of rights, and for no other reason.
    pub fn is_refused(&self) -> bool {
        self.status == 403 && self.said == "AccessDenied"
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.said)
    }
}

/// A credential in use.
pub struct Hands {
    s3: aws_sdk_s3::Client,
    iam: aws_sdk_iam::Client,
}

impl Hands {
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
