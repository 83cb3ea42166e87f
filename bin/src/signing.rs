//! The broker's own issuer, as it speaks for Azure's slots, and its keys where they lie in a vault.

use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use jitney_azure::{Assertion, CannotSign, KeyFault, SignAssertion, VaultKey};
use jitney_broker::SystemClock;
use jitney_core::time::Clock as _;
use jitney_identity::assertions::{
    AssertionIssuer, CannotSign as NotSigned, KeptKey, KeyAway, PublicKey,
};

/// Signs by the broker's clock.
#[derive(Debug)]
pub struct OwnIssuer(pub Arc<AssertionIssuer>);

#[async_trait]
impl SignAssertion for OwnIssuer {
    async fn sign(
        &self,
        subject: &str,
        audience: &str,
        lives: Duration,
    ) -> Result<Assertion, CannotSign> {
        let now = SystemClock.now();
        let signed = self.0.assertion(subject, audience, now, lives).await;
        let signed = signed.map_err(|error| match error {
            NotSigned::Away(KeyAway::ForNow { after, why }) => CannotSign::ForNow { after, why },
            // Randomness may be there again in a moment.
            NotSigned::Cryptography => CannotSign::ForNow {
                after: None,
                why: error.to_string(),
            },
            _ => CannotSign::Refused(error.to_string()),
        })?;
        Ok(Assertion {
            text: signed.text,
            id: signed.id,
            expires_at: signed.expires_at,
        })
    }
}

/// A key of the issuer's that lies in Azure Key Vault.
#[derive(Debug)]
pub struct InVault(pub VaultKey);

#[async_trait]
impl KeptKey for InVault {
    fn name(&self) -> &str {
        self.0.id()
    }

    async fn public(&self) -> Result<PublicKey, KeyAway> {
        let shown = self.0.public().await.map_err(away)?;
        PublicKey::of(&shown.modulus, &shown.exponent)
            .map_err(|error| KeyAway::Refused(format!("the key `{}`: {error}", self.0.id())))
    }

    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, KeyAway> {
        self.0.sign(digest).await.map_err(away)
    }
}

fn away(fault: KeyFault) -> KeyAway {
    match fault {
        KeyFault::ForNow { after, why } => KeyAway::ForNow { after, why },
        KeyFault::Refused(why) => KeyAway::Refused(why),
    }
}
