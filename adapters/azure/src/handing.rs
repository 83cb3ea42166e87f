//! What a job receives once the roles stand: an access token, or a statement to log in with.

use core::time::Duration;
use std::error::Error;
use std::sync::Arc;

use azure_core::credentials::TokenCredential as _;
use azure_core::error::ErrorKind;
use jitney_core::credential::{Credential, Elevation};
use jitney_core::fault::{Fault, FaultKind};
use jitney_core::time::Timestamp;

use crate::adapter::{AzureAdapter, own_fault};
use crate::arm::{NoAnswer, chain};
use crate::assertion::{CannotSign, Login, Says, slot_subject};
use crate::claims::Claims;
use crate::classify::{Call, fault, login, printable};
use crate::config::HandsOut;
use crate::terms::{Audience, Terms};

/// The protocol of access tokens.
pub const TOKEN_KIND: &str = "azure-token";
/// The protocol of statements to log in with.
pub const ASSERTION_KIND: &str = "azure-assertion";
/// The field that has the access token.
pub const ACCESS_TOKEN: &str = "access_token";
/// The field that has it where it is for blobs.
pub const STORAGE_ACCESS_TOKEN: &str = "storage_access_token";
/// The field that has the statement.
pub const ASSERTION: &str = "assertion";
/// The setting that says in which tenant the identity is.
pub const TENANT_ID: &str = "tenant_id";
/// The setting that says which application it is.
pub const CLIENT_ID: &str = "client_id";
/// The setting that says where it has its roles.
pub const SUBSCRIPTION_ID: &str = "subscription_id";
/// The setting that says where to log in.
pub const AUTHORITY_HOST: &str = "authority_host";

/// Entra's token service, as it is called in the log.
const LOGIN: &str = "POST token";

impl AzureAdapter {
    /// Hands out for a slot whose roles stand.
    pub(crate) async fn hand_out(&self, terms: &Terms) -> Result<Elevation, Fault> {
        match terms.hands_out {
            HandsOut::Token => self.token(terms).await,
            HandsOut::Assertion => self.assertion(terms).await,
        }
    }

    async fn token(&self, terms: &Terms) -> Result<Elevation, Fault> {
        let credential = Login {
            way: self.identities.way.clone(),
            tenant: self.config().tenant,
            client_id: terms.client_id,
            says: Says::Signed {
                signer: Arc::clone(&self.identities.signer),
                subject: slot_subject(&terms.slot),
                audience: self.config().environment.exchange(),
            },
        };
        let scopes = [terms.audience.scope(self.config().environment)];
        let answer = credential.get_token(&scopes, None).await;
        let token = answer.map_err(|error| no_token(&error))?;
        let text = token.token.secret();
        let claims = Claims::read(text);
        // What is in the token is what Azure goes by; the answer beside it is rounded and late.
        let expires_at = claims.as_ref().map_or_else(
            || Timestamp::from_seconds(token.expires_on.unix_timestamp()),
            |claims| Timestamp::from_seconds(claims.exp),
        );
        let mut fields = vec![(ACCESS_TOKEN, text.to_owned())];
        if terms.audience == Audience::Storage {
            fields.push((STORAGE_ACCESS_TOKEN, text.to_owned()));
        }
        let name = claims.and_then(|claims| claims.name());
        Ok(Elevation {
            fingerprint: name.unwrap_or_else(|| format!("slot {}", terms.slot)),
            credential: Credential::new(TOKEN_KIND, fields, expires_at)
                .with_settings(self.settings(terms)),
            provider_request: None,
        })
    }

    async fn assertion(&self, terms: &Terms) -> Result<Elevation, Fault> {
        let lives = Duration::from_secs(self.config().assertion_seconds.into());
        let (subject, audience) = (
            slot_subject(&terms.slot),
            self.config().environment.exchange(),
        );
        let signed = self.identities.signer.sign(&subject, audience, lives);
        let signed = signed.await.map_err(|error| unsigned(&error))?;
        let mut settings = self.settings(terms);
        let authority = self.config().authority.as_str().trim_end_matches('/');
        settings.push((AUTHORITY_HOST, authority.to_owned()));
        Ok(Elevation {
            fingerprint: signed.id,
            credential: Credential::new(
                ASSERTION_KIND,
                [(ASSERTION, signed.text.as_str().to_owned())],
                signed.expires_at,
            )
            .with_settings(settings),
            provider_request: None,
        })
    }

    fn settings(&self, terms: &Terms) -> Vec<(&'static str, String)> {
        let config = self.config();
        vec![
            (TENANT_ID, config.tenant.to_string()),
            (CLIENT_ID, terms.client_id.to_string()),
            (SUBSCRIPTION_ID, config.subscription.to_string()),
        ]
    }
}

/// Nothing was signed, so nothing was shown to anybody.
fn unsigned(error: &CannotSign) -> Fault {
    let (kind, code, told) = match error {
        CannotSign::ForNow { after, .. } => (
            FaultKind::Retryable { after: *after },
            "azure_own_issuer_away",
            "the broker cannot say just now who carries this lease; try again shortly",
        ),
        CannotSign::Refused(_) => (
            FaultKind::Permanent,
            "azure_own_issuer",
            "the broker cannot say who carries this lease; the platform team must look",
        ),
    };
    own_fault(kind, code, told, printable(&error.to_string()))
}

/// Why there is no token. The SDK wraps whatever it was into one kind of error, so it is looked for
/// in the chain.
fn no_token(error: &azure_core::Error) -> Fault {
    let first: &(dyn Error + 'static) = error;
    for error in core::iter::successors(Some(first), |&error| error.source()) {
        if let Some(cannot) = error.downcast_ref::<CannotSign>() {
            return unsigned(cannot);
        }
        match error
            .downcast_ref::<azure_core::Error>()
            .map(azure_core::Error::kind)
        {
            Some(ErrorKind::Connection) => {
                return fault(Call::Gives, LOGIN, &NoAnswer::NeverSent(error.to_string()));
            }
            Some(ErrorKind::HttpResponse {
                status, error_code, ..
            }) => {
                let (status, codes) = (u16::from(*status), error_code.as_deref());
                return refused(status, codes.unwrap_or_default(), &error.to_string());
            }
            _ => {}
        }
    }
    fault(Call::Gives, LOGIN, &NoAnswer::Lost(chain(error)))
}

fn refused(status: u16, codes: &str, logged: &str) -> Fault {
    match status {
        429 => {
            let busy = crate::arm::Refusal {
                status,
                ..crate::arm::Refusal::default()
            };
            fault(Call::Gives, LOGIN, &NoAnswer::Refused(busy))
        }
        500..=599 => fault(Call::Gives, LOGIN, &NoAnswer::Lost(logged.to_owned())),
        _ => login(LOGIN, codes, logged),
    }
}
