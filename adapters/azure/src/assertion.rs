//! What we say to Entra of our own identities, and who signs it.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
};
use jitney_core::time::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::connect::Way;
use crate::limits::EXCHANGE_SECONDS;

/// Who takes assertions: what every federated credential of Entra names.
pub const AUDIENCE: &str = "api://AzureADTokenExchange";
/// The subject under which the broker itself is known.
pub const BROKER_SUBJECT: &str = "jitney:broker";
/// What the subject of a slot begins with; its name follows.
pub const SLOT_SUBJECT_PREFIX: &str = "jitney:slot:";

/// A statement signed by the broker's own issuer. Its text is a credential.
pub struct Assertion {
    /// The statement, as it is sent.
    pub text: Zeroizing<String>,
    /// When it is no longer believed.
    pub expires_at: Timestamp,
    /// Its public name (`jti`).
    pub id: String,
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion")
            .field("id", &self.id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the broker's own issuer signs nothing: {0}")]
pub struct CannotSign(pub String);

/// The broker's own issuer, which every slot's application trusts.
pub trait SignAssertion: Send + Sync + fmt::Debug {
    /// Signs that the bearer is `subject`, for [`AUDIENCE`] and nobody else, until `lives` from now.
    ///
    /// # Errors
    /// When there is no key to sign with, or it does not sign.
    fn sign(&self, subject: &str, lives: Duration) -> Result<Assertion, CannotSign>;
}

/// The subject of a slot.
pub(crate) fn slot_subject(slot: &str) -> String {
    format!("{SLOT_SUBJECT_PREFIX}{slot}")
}

/// Says anew, whenever it is asked, who an identity of ours is.
#[derive(Debug, Clone)]
pub(crate) struct Says {
    pub(crate) signer: Arc<dyn SignAssertion>,
    pub(crate) subject: String,
}

#[async_trait]
impl ClientAssertion for Says {
    async fn secret(
        &self,
        _options: Option<ClientMethodOptions<'_>>,
    ) -> azure_core::Result<String> {
        let lives = Duration::from_secs(EXCHANGE_SECONDS);
        let signed = self.signer.sign(&self.subject, lives);
        signed
            .map(|assertion| assertion.text.as_str().to_owned())
            .map_err(|error| azure_core::Error::new(ErrorKind::Credential, error))
    }
}

/// An identity of ours that logs in by what our issuer says of it.
///
/// The SDK's credential keeps its tokens, so one is made for each exchange: two leases on one slot
/// must not share a token, and a token that Azure does not take any more must not be shown again.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) way: Way,
    pub(crate) tenant: Uuid,
    pub(crate) client_id: Uuid,
    pub(crate) says: Says,
}

#[async_trait]
impl TokenCredential for Login {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let credential = ClientAssertionCredential::new(
            self.tenant.to_string(),
            self.client_id.to_string(),
            self.says.clone(),
            Some(ClientAssertionCredentialOptions {
                client_options: self.way.once(),
            }),
        )?;
        credential.get_token(scopes, options).await
    }
}
