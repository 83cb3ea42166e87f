//! A lease on Google Cloud: an external account whose tokens come from the endpoint.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::broker::{ACCOUNT, Broker, CANARY, PROJECT};
use crate::endpoint::{Answer, Endpoint};
use crate::environment::environment;
use crate::wrapper::{Job, WAIT};

const EXCHANGE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";

async fn broker() -> Broker {
    let broker = Broker::start().await;
    broker.world().kind = "gcp-token";
    broker
}

/// A job whose runner left credentials of its own about.
fn job(broker: &Broker) -> Job {
    [
        ("GOOGLE_APPLICATION_CREDENTIALS", "/of-the-runner"),
        ("GOOGLE_CREDENTIALS", "of-the-runner"),
        ("GOOGLE_OAUTH_ACCESS_TOKEN", "of-the-runner"),
        ("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "/of-the-runner"),
        ("CLOUDSDK_CONFIG", "/of-the-runner"),
        ("GCE_METADATA_HOST", "of-the-runner"),
        ("GOOGLE_CLOUD_PROJECT", "of-the-runner"),
    ]
    .into_iter()
    .fold(Job::new(broker), |job, (name, value)| job.env(name, value))
}

/// The account's file, and the endpoint that it names.
fn account(seen: &BTreeMap<String, String>) -> (Value, Endpoint) {
    let text = std::fs::read_to_string(&seen["GOOGLE_APPLICATION_CREDENTIALS"]).unwrap();
    let account: Value = serde_json::from_str(&text).unwrap();
    let secret = account["credential_source"]["file"].as_str().unwrap();
    let secret = std::fs::read_to_string(secret).unwrap();
    let endpoint = Endpoint::at(account["token_url"].as_str().unwrap(), secret);
    (account, endpoint)
}

async fn exchange(endpoint: &Endpoint, form: &str) -> Answer {
    let post = format!("POST {} HTTP/1.1", endpoint.path);
    endpoint.post(&[&post], form).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shows_the_secret_is_given_the_token() {
    let broker = broker().await;
    let run = job(&broker).sh(&format!("{WAIT} exit 0"));
    let seen = environment(&run).await;
    let all = format!("{seen:?}");
    assert!(
        !all.contains(CANARY) && !all.contains("of-the-runner"),
        "{all}"
    );
    for name in [
        "GOOGLE_CLOUD_PROJECT",
        "CLOUDSDK_CORE_PROJECT",
        "GOOGLE_PROJECT",
    ] {
        assert_eq!(seen[name], PROJECT, "{name}");
    }
    assert_eq!(
        seen["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"],
        seen["GOOGLE_APPLICATION_CREDENTIALS"]
    );
    assert_eq!(seen["NO_GCE_CHECK"], "true");
    let (account, endpoint) = account(&seen);
    assert_eq!(account["type"], "external_account");
    let secret = account["credential_source"]["file"].as_str().unwrap();
    for file in [&seen["GOOGLE_APPLICATION_CREDENTIALS"], secret] {
        let mode = Path::new(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
        assert!(
            !std::fs::read_to_string(file).unwrap().contains(CANARY),
            "{file}"
        );
    }
    assert!(Path::new(&seen["CLOUDSDK_CONFIG"]).starts_with(run.directory()));

    let form = format!(
        "grant_type={EXCHANGE}&subject_token={}&scope=x",
        endpoint.secret
    );
    let answer = exchange(&endpoint, &form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("cache-control: no-store"));
    let body = answer.json();
    assert_eq!(body["access_token"], format!("{CANARY}-token-0"));
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(
        body["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    let left = body["expires_in"].as_u64().unwrap();
    assert!((880..=900).contains(&left), "{left}");
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_given_it() {
    let broker = broker().await;
    let run = job(&broker).sh(&format!("{WAIT} exit 0"));
    let (_, endpoint) = account(&environment(&run).await);
    let secret = &endpoint.secret;
    let good = format!("grant_type={EXCHANGE}&subject_token={secret}");
    let long = format!("{good}&padding={}", "x".repeat(16 * 1024));
    for (form, status) in [
        (String::new(), 401),
        (format!("grant_type={EXCHANGE}"), 401),
        (format!("grant_type={EXCHANGE}&subject_token="), 401),
        (format!("grant_type={EXCHANGE}&subject_token=x"), 401),
        (format!("{good}&subject_token={secret}"), 401),
        (format!("grant_type={EXCHANGE}&actor_token={secret}"), 401),
        (format!("grant_type=password&subject_token={secret}"), 400),
        (format!("subject_token={secret}"), 400),
        (long, 401),
    ] {
        let answer = exchange(&endpoint, &form).await;
        assert_eq!(answer.status, status, "{form}");
        assert!(!answer.body.contains(CANARY), "{form}");
        let said = answer.json();
        assert!(said["error"].is_string() && said["error_description"].is_string());
    }
    let host = format!("Host: {}", endpoint.host);
    let get = format!("GET {}?{good} HTTP/1.1", endpoint.path);
    let answer = endpoint.send(&[&get, &host]).await;
    assert_eq!(answer.status, 401, "a secret in the address: {answer:?}");
    let post = format!("POST {} HTTP/1.1", endpoint.path);
    let page = endpoint
        .post(&[&post, "Origin: https://evil.example"], &good)
        .await;
    assert_eq!(page.status, 403, "a web page: {page:?}");
    assert_eq!(exchange(&endpoint, &good).await.status, 200);
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_a_token_is_is_told_to_whoever_has_it() {
    let broker = broker().await;
    let run = job(&broker).sh(&format!("{WAIT} exit 0"));
    let (account, _) = account(&environment(&run).await);
    let url = account["token_info_url"].as_str().unwrap();
    let endpoint = Endpoint::at(url, String::new());
    let ours = format!("token={CANARY}-token-0");
    let answer = exchange(&endpoint, &ours).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["active"], true);
    assert_eq!(answer.json()["username"], ACCOUNT);
    for form in ["", "token=", "token=x", &format!("{ours}&{ours}")] {
        let answer = exchange(&endpoint, form).await;
        assert_eq!(
            (answer.status, &answer.json()["active"]),
            (200, &false.into()),
            "{form}"
        );
        assert!(!answer.body.contains(ACCOUNT));
    }
    let (bare, _) = url.split_once('?').unwrap();
    for url in [bare.to_owned(), format!("{bare}?secret=x")] {
        let answer = exchange(&Endpoint::at(&url, String::new()), &ours).await;
        assert_eq!(answer.status, 401, "{url}");
    }
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_in_variables_when_asked_for() {
    let broker = broker().await;
    let run = job(&broker).args(&["--env"]).sh(&format!("{WAIT} exit 0"));
    let seen = environment(&run).await;
    for name in ["GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN"] {
        assert_eq!(seen[name], format!("{CANARY}-token-0"), "{name}");
    }
    assert_eq!(seen.get("GOOGLE_APPLICATION_CREDENTIALS"), None);
    run.touch("go");
    let ended = run.end().await;
    assert!(!ended.stderr.contains(CANARY) && !ended.stdout.contains(CANARY));
}
