//! The broker's own issuer, on loopback: what signs for the broker and its slots, and where Entra
//! finds the key.

use core::time::Duration;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use jitney_azure::{AUDIENCE, Assertion, CannotSign, SignAssertion};
use jitney_core::time::Clock as _;
use jitney_identity::assertions::{AssertionIssuer, AssertionKey, DISCOVERY_PATH, KEY_SET_PATH};
use jitney_integration_tests::adapter_laws::SystemClock;
use tokio::net::TcpListener;

/// Signs by the system's clock, as signatures are checked.
#[derive(Debug)]
pub struct Issuer(AssertionIssuer);

impl Issuer {
    /// Starts one. It serves for as long as the runtime does.
    pub async fn start() -> Arc<Self> {
        let pem = AssertionKey::generate_pem().unwrap();
        let key = AssertionKey::from_pem(pem.as_bytes()).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = AssertionIssuer::new(&url, key, Vec::new()).unwrap();
        let (discovery, keys) = (issuer.discovery().to_owned(), issuer.key_set().to_owned());
        let json = [("content-type", "application/json")];
        let router = Router::new()
            .route(
                DISCOVERY_PATH,
                get(move || async move { (json, discovery) }),
            )
            .route(KEY_SET_PATH, get(move || async move { (json, keys) }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Arc::new(Self(issuer))
    }

    pub fn url(&self) -> &str {
        self.0.url()
    }
}

impl SignAssertion for Issuer {
    fn sign(&self, subject: &str, lives: Duration) -> Result<Assertion, CannotSign> {
        let signed = self
            .0
            .assertion(subject, AUDIENCE, SystemClock.now(), lives)
            .map_err(|error| CannotSign(error.to_string()))?;
        Ok(Assertion {
            text: signed.text,
            expires_at: signed.expires_at,
            id: signed.id,
        })
    }
}
