//! The Azure SDK for Rust logs in with an assertion, unmodified.

use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientMethodOptions, ClientOptions, Transport};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
};
use jitney_sandbox::azure::builtin;
use reqwest::Method;
use uuid::Uuid;

use crate::cloud::*;

#[derive(Debug)]
struct Assertion(String);

#[async_trait::async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.clone())
    }
}

fn credential(
    bench: &Bench,
    assertion: String,
    client: Uuid,
) -> Arc<ClientAssertionCredential<Assertion>> {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = bench.sandbox.url();
    let client_options = ClientOptions {
        cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
        transport: Some(Transport::new(Arc::new(client_of(bench)))),
        ..ClientOptions::default()
    };
    let options = ClientAssertionCredentialOptions { client_options };
    ClientAssertionCredential::new(
        TENANT.to_string(),
        client.to_string(),
        Assertion(assertion),
        Some(options),
    )
    .unwrap()
}

fn client_of(bench: &Bench) -> reqwest::Client {
    client(&bench.sandbox)
}

#[tokio::test]
async fn the_sdk_gets_a_token_that_works() {
    let bench = start().await;
    let good = credential(&bench, bench.sign(&bench.claims(SLOT)), client_id(SLOT));
    let token = good
        .get_token(&["https://storage.azure.com/.default"], None)
        .await
        .unwrap();
    bench
        .assign(&container(), name(1), builtin::BLOB_DATA_READER, SLOT)
        .await;
    let read = bench.blob(token.token.secret(), Method::GET, "releases/v1/a.txt");
    assert_eq!(read.send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn the_sdk_is_told_why_not() {
    let bench = start().await;
    let wrong = credential(
        &bench,
        bench.sign(&bench.claims(OTHER_SLOT)),
        client_id(SLOT),
    );
    let error = wrong
        .get_token(&["https://storage.azure.com/.default"], None)
        .await
        .unwrap_err();
    assert!(format!("{error:?}").contains("AADSTS700213"), "{error:?}");
}
