//! The broker as an issuer: two public documents, and nothing of it where none is configured.

use std::sync::Arc;

use jitney_identity::assertions::{AssertionIssuer, AssertionKey};
use serde_json::Value;

use crate::world::{World, read};

const URL: &str = "https://jitney.acme.example";
const DOCUMENTS: [&str; 2] = [
    "/.well-known/openid-configuration",
    "/.well-known/jwks.json",
];

async fn world() -> World {
    let mut world = World::start().await;
    world.broker.take().unwrap().kill().await;
    let key = || {
        let pem = AssertionKey::generate_pem().unwrap();
        AssertionKey::from_pem(pem.as_bytes()).unwrap()
    };
    let issuer = AssertionIssuer::new(URL, key(), vec![key()]).unwrap();
    world.own_issuer = Some(Arc::new(issuer));
    world.restart().await;
    world
}

#[tokio::test]
async fn whoever_asks_gets_the_documents_and_may_keep_them_for_a_while() {
    let world = world().await;
    let issuer = world.own_issuer.clone().unwrap();
    for (path, document) in DOCUMENTS
        .into_iter()
        .zip([issuer.discovery(), issuer.key_set()])
    {
        let answer = read(world.raw("GET", path)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, document.parse::<Value>().unwrap());
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["cache-control"], "public, max-age=300");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        for method in ["POST", "PUT", "DELETE"] {
            let refused = read(world.raw(method, path)).await;
            assert_eq!(
                (refused.status, refused.problem()),
                (405, "method_not_allowed")
            );
        }
    }
    // Everything else stays for its caller alone.
    let health = read(world.raw("GET", "/healthz")).await;
    assert_eq!(health.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_broker_that_is_no_issuer_publishes_nothing() {
    let world = World::start().await;
    for path in DOCUMENTS {
        let nothing = read(world.raw("GET", path)).await;
        assert_eq!((nothing.status, nothing.problem()), (404, "not_found"));
    }
}
