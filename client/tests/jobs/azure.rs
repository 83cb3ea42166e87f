//! A lease on Azure: tokens from the endpoint, asked as SDKs ask App Service, and assertions in a file.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;

use crate::broker::{Broker, CANARY, CLIENT, SUBSCRIPTION, TENANT};
use crate::endpoint::{Answer, Endpoint};
use crate::environment::environment;
use crate::wrapper::{Job, WAIT};

const ARM: &str = "https%3A%2F%2Fmanagement.azure.com";
const STORAGE: &str = "https%3A%2F%2Fstorage.azure.com%2F";

async fn broker(kind: &'static str) -> Broker {
    let broker = Broker::start().await;
    broker.world().kind = kind;
    broker
}

/// A job whose runner left credentials of its own about.
fn job(broker: &Broker) -> Job {
    [
        ("AZURE_CLIENT_ID", "of-the-runner"),
        ("AZURE_CLIENT_SECRET", "of-the-runner"),
        ("AZURE_TENANT_ID", "of-the-runner"),
        ("AZURE_CONFIG_DIR", "/of-the-runner"),
        ("IDENTITY_SERVER_THUMBPRINT", "of-the-runner"),
        ("MSI_ENDPOINT", "http://127.0.0.1:1"),
        ("ARM_CLIENT_SECRET", "of-the-runner"),
        ("ARM_USE_MSI", "true"),
        ("ARM_SUBSCRIPTION_ID", "of-the-runner"),
    ]
    .into_iter()
    .fold(Job::new(broker), |job, (name, value)| job.env(name, value))
}

fn endpoint(seen: &BTreeMap<String, String>) -> Endpoint {
    Endpoint::at(&seen["IDENTITY_ENDPOINT"], seen["IDENTITY_HEADER"].clone())
}

async fn ask(endpoint: &Endpoint, query: &str) -> Answer {
    let get = format!(
        "GET {}?api-version=2019-08-01&{query} HTTP/1.1",
        endpoint.path
    );
    let host = format!("Host: {}", endpoint.host);
    let secret = format!("X-IDENTITY-HEADER: {}", endpoint.secret);
    endpoint
        .send(&[&get, &host, &secret, "Metadata: true"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_from_the_endpoint_for_its_own_audience() {
    let broker = broker("azure-token").await;
    let run = job(&broker).sh(&format!("{WAIT} exit 0"));
    let seen = environment(&run).await;
    let all = format!("{seen:?}");
    assert!(
        !all.contains(CANARY) && !all.contains("of-the-runner"),
        "{all}"
    );
    assert_eq!(seen["AZURE_SUBSCRIPTION_ID"], SUBSCRIPTION);
    assert_eq!(seen["ARM_SUBSCRIPTION_ID"], SUBSCRIPTION);
    assert_eq!(seen["ARM_TENANT_ID"], TENANT);
    assert_eq!(seen["AZURE_TOKEN_CREDENTIALS"], "prod");
    assert_eq!(seen["ARM_USE_CLI"], "false");
    assert!(Path::new(&seen["AZURE_CONFIG_DIR"]).starts_with(run.directory()));
    for gone in [
        "MSI_ENDPOINT",
        "ARM_USE_MSI",
        "AZURE_CLIENT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
    ] {
        assert_eq!(seen.get(gone), None, "{gone}");
    }
    let endpoint = endpoint(&seen);
    for (resource, token) in [(ARM, "token"), (STORAGE, "storage")] {
        let answer = ask(&endpoint, &format!("resource={resource}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.contains("cache-control: no-store"));
        let body = answer.json();
        assert_eq!(body["access_token"], format!("{CANARY}-{token}-0"));
        assert_eq!(
            (&body["token_type"], &body["client_id"]),
            (&"Bearer".into(), &CLIENT.into())
        );
        // As text, or some SDKs do not read it.
        let ends: i64 = body["expires_on"].as_str().unwrap().parse().unwrap();
        let left = ends - jiff::Timestamp::now().as_second();
        assert!((880..=900).contains(&left), "{left}");
    }
    let named = ask(&endpoint, &format!("resource={ARM}&client_id={CLIENT}")).await;
    assert_eq!(named.status, 200, "{named:?}");
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_lease_is_not_for_is_not_given() {
    let broker = broker("azure-token").await;
    let run = job(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = endpoint(&environment(&run).await);
    for (query, code) in [
        (String::new(), "WrongResource"),
        ("resource=".to_owned(), "WrongResource"),
        (
            "resource=https%3A%2F%2Fvault.azure.net".to_owned(),
            "WrongResource",
        ),
        (
            "resource=https%3A%2F%2Fmanagement.azure.com.evil.example".to_owned(),
            "WrongResource",
        ),
        (
            format!("resource={ARM}&resource={STORAGE}"),
            "WrongResource",
        ),
        (
            format!("resource={ARM}&client_id={TENANT}"),
            "WrongIdentity",
        ),
        (
            format!("resource={ARM}&client_id={CLIENT}&client_id=x"),
            "WrongIdentity",
        ),
        (
            format!("resource={ARM}&object_id={CLIENT}"),
            "WrongIdentity",
        ),
        (
            format!("resource={ARM}&mi_res_id=%2Fsubscriptions%2Fx"),
            "WrongIdentity",
        ),
    ] {
        let answer = ask(&endpoint, &query).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &code.into()),
            "{query}"
        );
        assert!(!answer.body.contains(CANARY), "{query}");
    }
    let get = format!("GET {}?resource={ARM} HTTP/1.1", endpoint.path);
    let post = format!("POST {}?resource={ARM} HTTP/1.1", endpoint.path);
    let host = format!("Host: {}", endpoint.host);
    let secret = format!("X-IDENTITY-HEADER: {}", endpoint.secret);
    let elsewhere = format!("Authorization: {}", endpoint.secret);
    for (lines, status) in [
        (vec![get.as_str(), &host], 401),
        (vec![&get, &host, "X-IDENTITY-HEADER: x"], 401),
        (vec![&get, &host, &secret, &secret], 401),
        (vec![&get, &host, &elsewhere], 401),
        (vec![&get, "Host: evil.example", &secret], 403),
        (vec![&get, &host, &secret, "X-Forwarded-For: 10.0.0.1"], 403),
        (vec![&post, &host, &secret, "Content-Length: 0"], 405),
    ] {
        let answer = endpoint.send(&lines).await;
        assert_eq!(answer.status, status, "{lines:?}");
        assert!(!answer.body.contains(CANARY), "{lines:?}");
    }
    assert_eq!(ask(&endpoint, &format!("resource={ARM}")).await.status, 200);
    broker.world().end("killed");
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_storage_is_not_given_for_anything_else() {
    let broker = broker("azure-token").await;
    broker.world().only_storage = true;
    let run = job(&broker).sh(&format!("{WAIT} exit 0"));
    let endpoint = endpoint(&environment(&run).await);
    let given = ask(&endpoint, &format!("resource={STORAGE}")).await;
    assert_eq!(given.json()["access_token"], format!("{CANARY}-storage-0"));
    let refused = ask(&endpoint, &format!("resource={ARM}")).await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (400, &"WrongResource".into())
    );
    let told = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(
        told.ends_with("only for `https://storage.azure.com`"),
        "{told}"
    );
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_in_a_private_file_that_follows_the_lease() {
    let broker = broker("azure-assertion").await;
    broker.world().credential_ttl = SignedDuration::from_secs(3);
    let run = job(&broker).sh(&format!("{WAIT} exit 0"));
    let seen = environment(&run).await;
    let all = format!("{seen:?}");
    assert!(
        !all.contains(CANARY) && !all.contains("of-the-runner"),
        "{all}"
    );
    for (name, value) in [
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com"),
        ("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION),
        ("ARM_USE_OIDC", "true"),
        ("ARM_CLIENT_ID", CLIENT),
        ("ARM_TENANT_ID", TENANT),
        ("ARM_SUBSCRIPTION_ID", SUBSCRIPTION),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    assert_eq!(seen.get("IDENTITY_ENDPOINT"), None);
    let file = Path::new(&seen["AZURE_FEDERATED_TOKEN_FILE"]);
    assert_eq!(seen["ARM_OIDC_TOKEN_FILE_PATH"], file.to_str().unwrap());
    // Whoever reads at any moment finds a whole one, for its user alone.
    let mut last = 0;
    for _ in 0..600 {
        let text = std::fs::read_to_string(file).unwrap();
        let mint = text.strip_prefix(&format!("{CANARY}-assertion-"));
        last = mint.unwrap().parse().unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        if last == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(last, 2, "it was not brought up to date twice");
    let folder = file.parent().unwrap();
    let mode = folder.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    run.touch("go");
    // Looked at while the test's own directory still stands.
    broker.until(|world| world.only_lease().why.is_some()).await;
    assert!(!folder.exists());
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_assertion_of_a_lease_that_is_over_is_gone() {
    let broker = broker("azure-assertion").await;
    broker.world().next_within_seconds = 1;
    let run = job(&broker).sh(&format!("{WAIT} exit 0"));
    let seen = environment(&run).await;
    let file = Path::new(&seen["AZURE_FEDERATED_TOKEN_FILE"]);
    assert!(file.exists());
    broker.world().end("killed");
    for _ in 0..500 {
        if !file.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!file.exists(), "it outlives its lease");
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_in_variables_when_asked_for() {
    let broker = broker("azure-token").await;
    let run = job(&broker).args(&["--env"]).sh(&format!("{WAIT} exit 0"));
    let seen = environment(&run).await;
    assert_eq!(seen["AZURE_ACCESS_TOKEN"], format!("{CANARY}-token-0"));
    assert_eq!(
        seen["AZURE_STORAGE_ACCESS_TOKEN"],
        format!("{CANARY}-storage-0")
    );
    assert_eq!(seen.get("IDENTITY_ENDPOINT"), None);
    run.touch("go");
    let ended = run.end().await;
    assert!(!ended.stderr.contains(CANARY) && !ended.stdout.contains(CANARY));
}
