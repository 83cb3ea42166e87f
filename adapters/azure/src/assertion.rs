//! What we say to Entra of our own identities, and who signs it.

use core::fmt;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
};
use jitney_core::time::Timestamp;
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::connect::Way;
use crate::limits::EXCHANGE_SECONDS;

/// Who takes assertions in the public cloud: what every federated credential of Entra names there.
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
pub enum CannotSign {
    /// The key is not to be had just now.
    #[error("the broker's own issuer signs nothing for now: {why}")]
    ForNow {
        /// How long its keeper asks to wait.
        after: Option<Duration>,
        /// What its keeper said.
        why: String,
    },
    /// Somebody must change something first.
    #[error("the broker's own issuer signs nothing: {0}")]
    Refused(String),
}

/// The broker's own issuer, which every slot's application trusts.
#[async_trait]
pub trait SignAssertion: Send + Sync + fmt::Debug {
    /// Signs that the bearer is `subject`, for `audience` and nobody else, until `lives` from now.
    /// Each call makes a new one: an assertion is shown once.
    ///
    /// # Errors
    /// When there is no key to sign with, or it does not sign.
    async fn sign(
        &self,
        subject: &str,
        audience: &str,
        lives: Duration,
    ) -> Result<Assertion, CannotSign>;
}

/// The subject of a slot.
pub(crate) fn slot_subject(slot: &str) -> String {
    format!("{SLOT_SUBJECT_PREFIX}{slot}")
}

/// By whose word an identity of ours is believed.
#[derive(Debug, Clone)]
pub(crate) enum Says {
    /// Our own issuer's.
    Signed {
        signer: Arc<dyn SignAssertion>,
        subject: String,
        audience: &'static str,
    },
    /// The platform's, which it keeps in a file and renews there.
    InFile(PathBuf),
}

/// The largest token in a file, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// Reads a token that the platform wrote.
async fn token_in(file: &Path) -> Result<String, std::io::Error> {
    let mut text = String::new();
    let opened = tokio::fs::File::open(file).await?;
    let mut opened = opened.take(TOKEN_BYTES_MAX);
    opened.read_to_string(&mut text).await?;
    match text.trim() {
        "" => Err(std::io::Error::other("it is empty")),
        token => Ok(token.to_owned()),
    }
}

/// Says anew, whenever it is asked, who an identity of ours is: the SDK's own reader of such files
/// goes on for ten minutes with what it read.
#[async_trait]
impl ClientAssertion for Says {
    async fn secret(
        &self,
        _options: Option<ClientMethodOptions<'_>>,
    ) -> azure_core::Result<String> {
        match self {
            Self::Signed {
                signer,
                subject,
                audience,
            } => {
                let lives = Duration::from_secs(EXCHANGE_SECONDS);
                let signed = signer.sign(subject, audience, lives).await;
                signed
                    .map(|assertion| assertion.text.as_str().to_owned())
                    .map_err(|error| azure_core::Error::new(ErrorKind::Credential, error))
            }
            Self::InFile(file) => token_in(file).await.map_err(|error| {
                let told = format!("the token in `{}` cannot be read: {error}", file.display());
                azure_core::Error::with_message(ErrorKind::Credential, told)
            }),
        }
    }
}

/// An identity of ours that logs in by what is said of it.
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
