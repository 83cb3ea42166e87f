//! The broker as an issuer: two public documents, a cloud that believes by them, and nothing of it
//! where none is configured.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jitney_broker::SystemClock;
use jitney_core::time::Clock as _;
use jitney_identity::assertions::{
    Assertion, AssertionIssuer, AssertionKey, IssuerKey, KeptKey, KeyAway, PublicKey,
};
use jitney_sandbox::azure::estate::{App, EXCHANGE_AUDIENCE, Estate};
use jitney_sandbox::azure::{AzureOptions, AzureSandbox};
use serde_json::Value;
use uuid::{Uuid, uuid};

use crate::world::{World, read};

const URL: &str = "https://jitney.acme.example";
const DOCUMENTS: [&str; 2] = [
    "/.well-known/openid-configuration",
    "/.well-known/jwks.json",
];
const SLOT: Uuid = uuid!("aaaaaaaa-0000-4000-8000-000000000001");
const CLIENT: Uuid = uuid!("bbbbbbbb-0000-4000-8000-000000000001");

fn pem() -> Vec<u8> {
    AssertionKey::generate_pem().unwrap().as_bytes().to_vec()
}

fn issuer(url: &str, signing: &[u8], others: &[&[u8]]) -> Arc<AssertionIssuer> {
    let key = |pem: &[u8]| AssertionKey::from_pem(pem).unwrap();
    let others = others.iter().map(|pem| key(pem).into()).collect();
    Arc::new(AssertionIssuer::new(url, key(signing), others).unwrap())
}

/// Starts the broker anew, as this issuer.
async fn restart_as(world: &mut World, issuer: &Arc<AssertionIssuer>) {
    world.broker.take().unwrap().kill().await;
    world.own_issuer = Some(Arc::clone(issuer));
    world.restart().await;
}

#[tokio::test]
async fn whoever_asks_gets_the_documents_and_may_keep_them_for_a_while() {
    let mut world = World::start().await;
    let issuer = issuer(URL, &pem(), &[&pem()]);
    restart_as(&mut world, &issuer).await;
    let key_set = issuer.key_set().await.unwrap();
    for (path, document) in DOCUMENTS
        .into_iter()
        .zip([issuer.discovery().to_owned(), key_set])
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

/// A key whose keeper shows it to nobody.
#[derive(Debug)]
struct Away;

#[async_trait]
impl KeptKey for Away {
    fn name(&self) -> &str {
        "away"
    }

    async fn public(&self) -> Result<PublicKey, KeyAway> {
        let why = "SECRET-CANARY".to_owned();
        Err(KeyAway::ForNow { after: None, why })
    }

    async fn sign(&self, _: &[u8; 32]) -> Result<Vec<u8>, KeyAway> {
        Err(KeyAway::Refused("it is away".to_owned()))
    }
}

#[tokio::test]
async fn keys_that_are_not_to_be_had_are_no_document_that_anybody_keeps() {
    let mut world = World::start().await;
    let key = AssertionKey::from_pem(&pem()).unwrap();
    let away = IssuerKey::Kept(Box::new(Away));
    let issuer = Arc::new(AssertionIssuer::new(URL, key, vec![away]).unwrap());
    restart_as(&mut world, &issuer).await;
    let [discovery, keys] = DOCUMENTS;
    assert_eq!(read(world.raw("GET", discovery)).await.status, 200);
    let answer = read(world.raw("GET", keys)).await;
    assert_eq!((answer.status, answer.problem()), (503, "try_again"));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["retry-after"], "5");
    assert!(!answer.body.to_string().contains("CANARY"));
}

#[tokio::test]
async fn a_broker_that_is_no_issuer_publishes_nothing() {
    let world = World::start().await;
    for path in DOCUMENTS {
        let nothing = read(world.raw("GET", path)).await;
        assert_eq!((nothing.status, nothing.problem()), (404, "not_found"));
    }
}

async fn assertion(issuer: &AssertionIssuer, subject: &str) -> Assertion {
    let lives = Duration::from_secs(300);
    let signed = issuer.assertion(subject, EXCHANGE_AUDIENCE, SystemClock.now(), lives);
    signed.await.unwrap()
}

/// A slot's application that trusts an issuer, as `deploy/terraform/azure` makes it.
async fn azure(issuer: &str) -> (AzureSandbox, reqwest::Client) {
    let app = App::new(CLIENT, SLOT, "pool-1").trusts(issuer, "jitney:slot:pool-1");
    let options = AzureOptions::new(Estate::default().app(app));
    let azure = AzureSandbox::start(options).await.unwrap();
    let authority = reqwest::Certificate::from_pem(azure.authority_pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy();
    let client = client.tls_certs_only([authority]).build().unwrap();
    (azure, client)
}

/// What Entra answers to whoever shows this: a status, and its code for a refusal.
async fn exchanged(
    (azure, client): &(AzureSandbox, reqwest::Client),
    shown: &Assertion,
) -> (u16, u64) {
    let url = format!("{}/{}/oauth2/v2.0/token", azure.url(), azure.tenant_id());
    let answer = read(client.post(url).form(&[
        ("grant_type", "client_credentials"),
        ("client_id", &CLIENT.to_string()),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", &shown.text),
        ("scope", "https://management.azure.com/.default"),
    ]))
    .await;
    let code = answer.body["error_codes"][0].as_u64();
    (answer.status, code.unwrap_or_default())
}

#[tokio::test]
async fn azure_believes_what_the_broker_signs_all_through_a_rotation() {
    let mut world = World::start().await;
    let url = world.url.clone();
    world.listen = url.strip_prefix("http://").unwrap().parse().unwrap();
    let (first, second, stranger) = (pem(), pem(), pem());
    let before = issuer(&url, &first, &[&second]);
    restart_as(&mut world, &before).await;
    let azure = azure(&url).await;
    let early = assertion(&before, "jitney:slot:pool-1").await;
    assert_eq!(exchanged(&azure, &early).await, (200, 0));
    let tokens = azure.0.tokens();
    assert_eq!(tokens[0].assertion_id.as_ref(), Some(&early.id));

    // Entra keeps keys for a day and knows the second one already.
    let after = issuer(&url, &second, &[&first]);
    restart_as(&mut world, &after).await;
    let late = assertion(&after, "jitney:slot:pool-1").await;
    for shown in [&early, &late] {
        assert_eq!(exchanged(&azure, shown).await, (200, 0));
    }

    for other in ["jitney:slot:pool-2", "jitney:broker"] {
        let another = assertion(&after, other).await;
        assert_eq!(exchanged(&azure, &another).await, (400, 700_213), "{other}");
    }
    let unpublished = issuer(&url, &stranger, &[]);
    let forged = assertion(&unpublished, "jitney:slot:pool-1").await;
    assert_eq!(exchanged(&azure, &forged).await, (401, 700_027));
}
