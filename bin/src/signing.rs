//! The broker's own issuer, as it speaks for Azure's slots.

use core::time::Duration;
use std::sync::Arc;

use jitney_azure::{AUDIENCE, Assertion, CannotSign, SignAssertion};
use jitney_broker::SystemClock;
use jitney_core::time::Clock as _;
use jitney_identity::assertions::AssertionIssuer;

/// Signs by the broker's clock.
#[derive(Debug)]
pub struct OwnIssuer(pub Arc<AssertionIssuer>);

impl SignAssertion for OwnIssuer {
    fn sign(&self, subject: &str, lives: Duration) -> Result<Assertion, CannotSign> {
        let signed = self
            .0
            .assertion(subject, AUDIENCE, SystemClock.now(), lives)
            .map_err(|error| CannotSign(error.to_string()))?;
        Ok(Assertion {
            text: signed.text,
            id: signed.id,
            expires_at: signed.expires_at,
        })
    }
}
