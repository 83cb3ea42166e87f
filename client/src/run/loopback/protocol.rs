//! How each cloud's SDKs ask an endpoint for a credential.

use axum::http::{HeaderName, Method, header};

use super::{Asked, Refusal};
use crate::run::held::{Held, Serving};
use crate::run::{aws, azure, google};

/// In which header Azure's SDKs show the secret.
const IDENTITY_HEADER: HeaderName = HeaderName::from_static("x-identity-header");

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// AWS's container credentials.
    AwsContainer,
    /// The managed identity of Azure's App Service.
    AzureIdentity,
    /// What Google's SDKs do with an external account: they exchange a token (RFC 8693).
    GoogleExchange,
    /// What `gcloud` asks beside that: whose a token is (RFC 7662).
    GoogleIntrospection,
}

impl Protocol {
    /// The only method of its calls.
    pub(super) const fn method(self) -> Method {
        match self {
            Self::AwsContainer | Self::AzureIdentity => Method::GET,
            Self::GoogleExchange | Self::GoogleIntrospection => Method::POST,
        }
    }

    /// What the caller shows as the door's secret.
    pub(super) fn shown(self, asked: &Asked) -> Option<&[u8]> {
        match self {
            Self::AwsContainer => asked.header(&header::AUTHORIZATION),
            Self::AzureIdentity => asked.header(&IDENTITY_HEADER),
            Self::GoogleExchange => asked
                .form()
                .single(google::SUBJECT_TOKEN)
                .map(str::as_bytes),
            // `gcloud` shows nothing but the token it asks about.
            Self::GoogleIntrospection => asked.query().single(google::SECRET).map(str::as_bytes),
        }
    }

    /// The answer to who may have one, JSON.
    pub(super) fn answer(
        self,
        asked: &Asked,
        lease: &Held,
        serving: &Serving,
    ) -> Result<String, Refusal> {
        match self {
            Self::AwsContainer => aws::write(serving).ok_or_else(Refusal::lacks_a_part),
            Self::AzureIdentity => azure::answer(asked, serving),
            Self::GoogleExchange => {
                google::exchanged(asked, serving, lease.until(serving.usable_until()))
            }
            Self::GoogleIntrospection => google::introspected(asked, serving),
        }
    }
}
