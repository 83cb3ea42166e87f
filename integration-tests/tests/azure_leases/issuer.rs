//! The broker's own issuer, on loopback: what signs for the broker and its slots, and where Entra
//! finds the key.

use core::time::Duration;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use jitney_azure::{Assertion, CannotSign, KeyFault, SignAssertion, VaultKey};
use jitney_core::time::Clock as _;
use jitney_identity::assertions::{
    AssertionIssuer, AssertionKey, CannotSign as NotSigned, DISCOVERY_PATH, IssuerKey,
    KEY_SET_PATH, KeptKey, KeyAway, PublicKey,
};
use jitney_integration_tests::adapter_laws::SystemClock;
use tokio::net::TcpListener;

/// Signs by the system's clock, as signatures are checked.
#[derive(Debug)]
pub struct Issuer(Arc<AssertionIssuer>);

impl Issuer {
    /// Starts one with a key of its own. It serves for as long as the runtime does.
    pub async fn start() -> Arc<Self> {
        let pem = AssertionKey::generate_pem().unwrap();
        Self::with(AssertionKey::from_pem(pem.as_bytes()).unwrap()).await
    }

    /// Starts one with this key.
    pub async fn with(key: impl Into<IssuerKey>) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Arc::new(AssertionIssuer::new(&url, key, Vec::new()).unwrap());
        let (discovery, keys) = (issuer.discovery().to_owned(), Arc::clone(&issuer));
        let json = [("content-type", "application/json")];
        let router = Router::new()
            .route(
                DISCOVERY_PATH,
                get(move || async move { (json, discovery) }),
            )
            .route(
                KEY_SET_PATH,
                get(move || async move { (json, keys.key_set().await.unwrap_or_default()) }),
            );
        tokio::spawn(async move { axum::serve(listener, router).await });
        Arc::new(Self(issuer))
    }

    pub fn url(&self) -> &str {
        self.0.url()
    }

    /// What it publishes.
    pub async fn key_set(&self) -> Result<String, KeyAway> {
        self.0.key_set().await
    }
}

#[async_trait]
impl SignAssertion for Issuer {
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
            _ => CannotSign::Refused(error.to_string()),
        })?;
        Ok(Assertion {
            text: signed.text,
            expires_at: signed.expires_at,
            id: signed.id,
        })
    }
}

/// A key in a vault that is there later than its issuer.
#[derive(Debug, Clone, Default)]
pub struct InVault(pub Arc<OnceLock<VaultKey>>);

impl InVault {
    fn key(&self) -> &VaultKey {
        self.0.get().expect("the vault was not opened yet")
    }
}

#[async_trait]
impl KeptKey for InVault {
    fn name(&self) -> &str {
        "in the vault"
    }

    async fn public(&self) -> Result<PublicKey, KeyAway> {
        let shown = self.key().public().await.map_err(away)?;
        let public = PublicKey::of(&shown.modulus, &shown.exponent);
        public.map_err(|error| KeyAway::Refused(error.to_string()))
    }

    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, KeyAway> {
        self.key().sign(digest).await.map_err(away)
    }
}

fn away(fault: KeyFault) -> KeyAway {
    match fault {
        KeyFault::ForNow { after, why } => KeyAway::ForNow { after, why },
        KeyFault::Refused(why) => KeyAway::Refused(why),
    }
}
