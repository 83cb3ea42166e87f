//! The issuer is judged by another library's eyes: tokens are verified with `jsonwebtoken` against
//! the key set as it was fetched, never with the issuer's own keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use super::*;

const AUDIENCE: &str = "https://jitney.acme.example";

async fn issuer() -> CiIssuer {
    CiIssuer::start(CiOptions::default()).await.unwrap()
}

fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .build()
        .unwrap()
}

/// Asks as a runner's client does.
async fn ask(job: &RunningJob, audience: &str) -> reqwest::Response {
    let url = format!("{}&audience={audience}", job.request_url());
    let bearer = format!("bearer {}", job.request_token());
    http()
        .get(url)
        .header("authorization", bearer)
        .send()
        .await
        .unwrap()
}

async fn token(job: &RunningJob) -> String {
    let answer: Value = ask(job, AUDIENCE).await.json().await.unwrap();
    answer["value"].as_str().unwrap().to_owned()
}

async fn key_set(issuer: &CiIssuer) -> JwkSet {
    let discovery: Value = http()
        .get(format!("{}/.well-known/openid-configuration", issuer.url()))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(discovery["issuer"], issuer.url());
    http()
        .get(discovery["jwks_uri"].as_str().unwrap())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

fn verify(token: &str, keys: &JwkSet, issuer: &str) -> Result<Value, ErrorKind> {
    let kid = decode_header(token)
        .map_err(|error| error.into_kind())?
        .kid
        .unwrap_or_default();
    let jwk = keys.find(&kid).ok_or(ErrorKind::InvalidKeyFormat)?;
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&[AUDIENCE]);
    rules.set_issuer(&[issuer]);
    rules.validate_nbf = true;
    rules.leeway = 0;
    decode::<Value>(token, &DecodingKey::from_jwk(jwk).unwrap(), &rules)
        .map(|verified| verified.claims)
        .map_err(|error| error.into_kind())
}

#[tokio::test]
async fn a_job_gets_a_token_that_another_library_verifies() {
    let issuer = issuer().await;
    let job = issuer.job(GithubJob::push_to_main());
    let keys = key_set(&issuer).await;
    let claims = verify(&token(&job).await, &keys, &issuer.url()).unwrap();
    let at = |name: &str| claims[name].as_u64().unwrap();
    assert_eq!(at("exp") - at("iat"), 300);
    assert_eq!(at("iat") - at("nbf"), 600);
    assert_eq!(
        claims["sub"],
        "repo:acme@1001/shop@2002:environment:production"
    );
    assert_eq!(claims["aud"], AUDIENCE);
    for (name, value) in claims.as_object().unwrap() {
        let time = ["exp", "iat", "nbf"].contains(&name.as_str());
        assert_eq!(
            value.is_u64(),
            time,
            "{name} is {value}; only times are numbers at GitHub"
        );
    }
}

#[tokio::test]
async fn every_token_has_a_new_jti_and_every_job_its_own_key() {
    let issuer = issuer().await;
    let job = issuer.job(GithubJob::push_to_main());
    let ids: HashSet<String> = (0..50)
        .map(|_| job.claims(None)["jti"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 50);
    let other = issuer.job(GithubJob::push_to_main()).claims(None);
    let claims = job.claims(None);
    for name in ["run_id", "check_run_id"] {
        assert_ne!(claims[name], other[name], "{name}");
    }
}

#[tokio::test]
async fn without_an_audience_the_token_is_for_the_owners_page() {
    let issuer = issuer().await;
    let job = issuer.job(GithubJob::push_to_main());
    let bearer = format!("Bearer {}", job.request_token());
    let url = job.request_url();
    let answer = http()
        .get(url)
        .header("authorization", bearer)
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    let keys = key_set(&issuer).await;
    let refused = verify(answer["value"].as_str().unwrap(), &keys, &issuer.url()).unwrap_err();
    assert_eq!(refused, ErrorKind::InvalidAudience);
    assert_eq!(job.claims(None)["aud"], "https://github.com/acme");
}

#[tokio::test]
async fn a_wrong_bearer_gets_nothing() {
    let issuer = issuer().await;
    let job = issuer.job(GithubJob::push_to_main());
    let other = issuer.job(GithubJob::push_to_main());
    let wrong = [
        format!("bearer {}", other.request_token()),
        format!("basic {}", job.request_token()),
        format!("bearer {}x", job.request_token()),
        job.request_token().to_owned(),
        "bearer ".to_owned(),
    ];
    for value in wrong {
        let asked = http()
            .get(job.request_url())
            .header("authorization", &value);
        assert_eq!(asked.send().await.unwrap().status(), 401, "{value}");
    }
    assert_eq!(
        http().get(job.request_url()).send().await.unwrap().status(),
        401
    );
}

#[tokio::test]
async fn a_job_that_is_over_is_refused_in_githubs_words() {
    let issuer = issuer().await;
    let job = issuer.job(GithubJob::push_to_main());
    let other = issuer.job(GithubJob::push_to_main());
    assert_eq!(ask(&job, AUDIENCE).await.status(), 200);
    job.complete();
    let refused = ask(&job, AUDIENCE).await;
    assert_eq!(refused.status(), 400);
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(
        refused["message"],
        "Can't issue ID_TOKEN for job in 'Completed' state."
    );
    assert_eq!(ask(&other, AUDIENCE).await.status(), 200);
}

#[tokio::test]
async fn an_audience_has_bounds() {
    let issuer = issuer().await;
    let job = issuer.job(GithubJob::push_to_main());
    assert_eq!(ask(&job, "").await.status(), 400);
    assert_eq!(ask(&job, &"a".repeat(2049)).await.status(), 400);
    assert_eq!(ask(&job, &"a".repeat(2048)).await.status(), 200);
}

#[tokio::test]
async fn a_careful_rotation_keeps_the_old_key_and_a_careless_one_does_not() {
    let issuer = issuer().await;
    let job = issuer.job(GithubJob::push_to_main());
    let (before, first) = (token(&job).await, key_set(&issuer).await);
    issuer.rotate_keys(true).unwrap();
    let (after, second) = (token(&job).await, key_set(&issuer).await);
    assert_eq!(second.keys.len(), 2);
    assert!(verify(&before, &second, &issuer.url()).is_ok());
    assert!(verify(&after, &second, &issuer.url()).is_ok());
    // The set that was fetched earlier does not know the new key: a verifier must look again.
    assert_eq!(
        verify(&after, &first, &issuer.url()),
        Err(ErrorKind::InvalidKeyFormat)
    );
    issuer.rotate_keys(false).unwrap();
    let third = key_set(&issuer).await;
    assert_eq!(third.keys.len(), 1);
    assert!(verify(&after, &third, &issuer.url()).is_err());
    assert!(verify(&token(&job).await, &third, &issuer.url()).is_ok());
}

#[tokio::test]
async fn each_way_to_sign_is_what_it_says() {
    let issuer = issuer().await;
    let job = issuer.job(GithubJob::push_to_main());
    let keys = key_set(&issuer).await;
    let (claims, header) = (job.claims(Some(AUDIENCE)), issuer.header());
    let check = |header: &Value, key| {
        verify(
            &issuer.mint(&claims, header, key).unwrap(),
            &keys,
            &issuer.url(),
        )
    };
    assert!(check(&header, SignWith::Current).is_ok());
    assert_eq!(
        check(&header, SignWith::Stranger),
        Err(ErrorKind::InvalidSignature)
    );
    assert_eq!(
        check(&header, SignWith::Nothing),
        Err(ErrorKind::InvalidSignature)
    );
    let rs512 = json!({ "alg": "RS512", "kid": header["kid"] });
    assert_eq!(
        check(&rs512, SignWith::Current),
        Err(ErrorKind::InvalidAlgorithm)
    );
    assert!(issuer.mint(&claims, &header, SignWith::Former).is_err());
    issuer.rotate_keys(false).unwrap();
    assert!(
        check(&header, SignWith::Former).is_ok(),
        "the header still names the old key"
    );
}

/// An attack that could not succeed against anybody would prove nothing: a careless verifier, one
/// that believes the header, is fooled by the token.
#[tokio::test]
async fn the_public_key_as_a_secret_fools_a_careless_verifier() {
    let issuer = issuer().await;
    let job = issuer.job(GithubJob::push_to_main());
    let keys = issuer.issuance.keys();
    let header = json!({ "alg": "HS256", "kid": issuer.header()["kid"] });
    let claims = job.claims(Some(AUDIENCE));
    let token = issuer
        .mint(&claims, &header, SignWith::PublicKeyAsSecret)
        .unwrap();
    let pem = keys.current().public_pem().unwrap();
    let mut careless = Validation::new(Algorithm::HS256);
    careless.set_audience(&[AUDIENCE]);
    let secret = DecodingKey::from_secret(pem.as_bytes());
    assert!(decode::<Value>(&token, &secret, &careless).is_ok());
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert!(pem.lines().all(|line| line.len() <= 64));
}

#[tokio::test]
async fn every_rsa_algorithm_of_the_header_is_the_one_that_signs() {
    let issuer = issuer().await;
    let keys = key_set(&issuer).await;
    let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    for (name, algorithm) in [
        ("RS256", Algorithm::RS256),
        ("RS384", Algorithm::RS384),
        ("RS512", Algorithm::RS512),
        ("PS256", Algorithm::PS256),
        ("PS384", Algorithm::PS384),
        ("PS512", Algorithm::PS512),
    ] {
        let claims = issuer.job(GithubJob::push_to_main()).claims(Some(AUDIENCE));
        let token = issuer
            .mint(&claims, &json!({ "alg": name }), SignWith::Current)
            .unwrap();
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&[AUDIENCE]);
        assert!(decode::<Value>(&token, &key, &rules).is_ok(), "{name}");
    }
}

#[test]
fn the_events_say_what_github_says() {
    let claims = |job: GithubJob| job.claims_now("http://issuer", None);
    let push = claims(GithubJob::push_to_main());
    assert_eq!(
        push["workflow_ref"],
        "acme/shop/.github/workflows/deploy.yml@refs/heads/main"
    );
    assert_eq!(push["job_workflow_ref"], push["workflow_ref"]);
    let fork = claims(GithubJob::pull_request_from_fork());
    assert_eq!(fork["sub"], "repo:acme@1001/shop@2002:pull_request");
    assert_eq!(fork["ref"], "refs/pull/7/merge");
    assert_eq!(
        (&fork["head_ref"], &fork["base_ref"]),
        (&json!("feat"), &json!("main"))
    );
    assert!(
        fork.get("environment").is_none(),
        "an absent claim is absent, not null"
    );
    for job in [GithubJob::pull_request_target(), GithubJob::workflow_run()] {
        let claims = claims(job);
        assert_eq!(
            claims["sub"],
            "repo:acme@1001/shop@2002:ref:refs/heads/main"
        );
    }
}

#[test]
fn sub_follows_the_claims_and_escapes_colons() {
    let sub = |job: GithubJob| job.claims_now("http://issuer", None)["sub"].clone();
    let job = GithubJob::push_to_main;
    assert_eq!(
        sub(job().legacy_subject().environment("x:ref:refs/heads/main")),
        "repo:acme/shop:environment:x%3Aref%3Arefs/heads/main"
    );
    assert_eq!(
        sub(job()
            .repository("evil/shop", "9", "8")
            .without_environment()),
        "repo:evil@8/shop@9:ref:refs/heads/main"
    );
    assert_eq!(
        sub(job().claim("environment", "qa")),
        "repo:acme@1001/shop@2002:environment:qa"
    );
    assert_eq!(sub(job().claim("sub", 7)), 7);
    let other = job().reusable_workflow("acme/platform/.github/workflows/r.yml@refs/tags/v3", "00");
    let claims = other
        .workflow_file("ship.yml")
        .without("jti")
        .claims_now("http://issuer", None);
    assert_eq!(
        claims["workflow_ref"],
        "acme/shop/.github/workflows/ship.yml@refs/heads/main"
    );
    assert_eq!(
        claims["job_workflow_ref"],
        "acme/platform/.github/workflows/r.yml@refs/tags/v3"
    );
    assert!(claims.get("jti").is_none());
}

#[tokio::test]
async fn an_enterprise_path_is_part_of_the_issuers_name() {
    let options = CiOptions {
        issuer_path: "/acme-corp".to_owned(),
        ..CiOptions::default()
    };
    let issuer = CiIssuer::start(options).await.unwrap();
    assert!(issuer.url().ends_with("/acme-corp"));
    let job = issuer.job(GithubJob::push_to_main());
    let keys = key_set(&issuer).await;
    assert!(verify(&token(&job).await, &keys, &issuer.url()).is_ok());
    for path in ["acme", "/acme/", "/"] {
        let options = CiOptions {
            issuer_path: path.to_owned(),
            ..CiOptions::default()
        };
        let refused = CiIssuer::start(options).await.err().unwrap();
        assert_eq!(refused.code(), "ci_issuer_path", "{path}");
    }
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let issuer = issuer().await;
    let port = issuer
        .address()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let refused = CiIssuer::start(CiOptions {
        port,
        ..CiOptions::default()
    })
    .await
    .err()
    .unwrap();
    assert_eq!(refused.code(), "ci_issuer_listen");
    assert!(refused.to_string().contains(&port.to_string()));
}

#[tokio::test]
async fn a_dropped_issuer_stops() {
    let issuer = issuer().await;
    let url = format!("{}/.well-known/jwks", issuer.url());
    assert!(http().get(&url).send().await.is_ok());
    drop(issuer);
    let deadline = Instant::now() + Duration::from_secs(10);
    while http().get(&url).send().await.is_ok() {
        assert!(Instant::now() < deadline, "the issuer still answers");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn faults_break_the_key_set_and_are_counted() {
    let issuer = issuer().await;
    let url = format!("{}/.well-known/jwks", issuer.url());
    let get = async |fault: Fault| {
        issuer.set_jwks_fault(Some(fault));
        http().get(&url).send().await.unwrap()
    };
    let announced = get(Fault::Huge {
        bytes: 200_000,
        length_announced: true,
    })
    .await;
    assert_eq!(announced.content_length(), Some(200_000));
    // Blown up, and still a key set: only a limit on its size refuses it.
    assert_eq!(announced.json::<JwkSet>().await.unwrap().keys.len(), 1);
    let hidden = get(Fault::Huge {
        bytes: 200_000,
        length_announced: false,
    })
    .await;
    assert_eq!(hidden.content_length(), None);
    let hidden = hidden.bytes().await.unwrap();
    assert!(hidden.len() >= 200_000);
    assert!(serde_json::from_slice::<JwkSet>(&hidden).is_ok());
    let start = Instant::now();
    assert!(
        get(Fault::Slow { delay_ms: 60 })
            .await
            .json::<JwkSet>()
            .await
            .is_ok()
    );
    assert!(start.elapsed() >= Duration::from_millis(60));
    let start = Instant::now();
    assert!(
        get(Fault::Drip { interval_ms: 1 })
            .await
            .json::<JwkSet>()
            .await
            .is_ok()
    );
    assert!(
        start.elapsed() >= Duration::from_millis(300),
        "one byte at a time"
    );
    assert_eq!(get(Fault::Status(503)).await.status(), 503);
    let empty = get(Fault::empty_key_set())
        .await
        .json::<JwkSet>()
        .await
        .unwrap();
    assert!(empty.keys.is_empty());
    issuer.set_jwks_fault(None);
    assert_eq!(key_set(&issuer).await.keys.len(), 1);
    assert_eq!(issuer.jwks_fetches(), 7);
    assert_eq!(issuer.discovery_fetches(), 1);
}

#[tokio::test]
async fn a_redirect_leads_to_the_true_keys_so_that_following_it_would_work() {
    let issuer = issuer().await;
    issuer.set_jwks_fault(Some(Fault::Redirect { to: None }));
    let url = format!("{}/.well-known/jwks", issuer.url());
    let answer = http().get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(issuer.redirects_followed(), 0);
    let location = answer.headers()["location"].to_str().unwrap();
    let keys: JwkSet = http()
        .get(location)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(keys.keys.len(), 1);
    assert_eq!(issuer.redirects_followed(), 1);
}

#[tokio::test]
async fn discovery_can_lie_about_its_issuer_and_its_keys() {
    let issuer = issuer().await;
    let lie = json!({ "jwks_uri": "http://127.0.0.1:1/keys" });
    issuer.set_discovery_fault(Some(Fault::Members(lie.as_object().unwrap().clone())));
    let url = format!("{}/.well-known/openid-configuration", issuer.url());
    let document: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["jwks_uri"], "http://127.0.0.1:1/keys");
    assert_eq!(document["issuer"], issuer.url());
}

#[tokio::test]
async fn another_process_can_do_the_same_over_http() {
    let issuer = issuer().await;
    let base = issuer.address();
    let post = async |path: &str, body: Value| {
        http()
            .post(format!("{base}/_sandbox/{path}"))
            .json(&body)
            .send()
            .await
            .unwrap()
    };
    let asked =
        json!({ "event": "pull_request", "claims": { "actor": "eve" }, "without": ["jti"] });
    let started: Value = post("jobs", asked).await.json().await.unwrap();
    let text = |name: &str| started[name].as_str().unwrap().to_owned();
    let bearer = format!("bearer {}", text("request_token"));
    let url = format!("{}&audience={AUDIENCE}", text("request_url"));
    let ask = async || {
        http()
            .get(&url)
            .header("authorization", &bearer)
            .send()
            .await
            .unwrap()
    };
    let minted: Value = ask().await.json().await.unwrap();
    let keys = key_set(&issuer).await;
    let claims = verify(minted["value"].as_str().unwrap(), &keys, &issuer.url()).unwrap();
    assert_eq!(
        (&claims["actor"], &claims["event_name"]),
        (&json!("eve"), &json!("pull_request"))
    );
    assert!(claims.get("jti").is_none());
    let complete = format!("jobs/{}/complete", text("id"));
    assert_eq!(post(&complete, json!({})).await.status(), 204);
    assert_eq!(ask().await.status(), 400);
    assert_eq!(post("jobs/nobody/complete", json!({})).await.status(), 404);
    assert_eq!(post("jobs", json!({ "claim": {} })).await.status(), 422);
    let forged = json!({ "claims": { "a": 1 }, "header": { "alg": "none" }, "key": "nothing" });
    let forged: Value = post("mint", forged).await.json().await.unwrap();
    assert!(forged["value"].as_str().unwrap().ends_with('.'));
    assert_eq!(
        post("mint", json!({ "claims": {}, "key": "former" }))
            .await
            .status(),
        400
    );
    assert_eq!(
        post("keys/rotate", json!({ "keep_old": true }))
            .await
            .status(),
        204
    );
    assert_eq!(key_set(&issuer).await.keys.len(), 2);
    let faults = json!({ "jwks": { "status": 500 } });
    let put = http().put(format!("{base}/_sandbox/faults")).json(&faults);
    assert_eq!(put.send().await.unwrap().status(), 204);
    let broken = http()
        .get(format!("{base}/.well-known/jwks"))
        .send()
        .await
        .unwrap();
    assert_eq!(broken.status(), 500);
    let fetches = http()
        .get(format!("{base}/_sandbox/fetches"))
        .send()
        .await
        .unwrap();
    let fetches: Value = fetches.json().await.unwrap();
    assert_eq!(
        fetches,
        json!({ "jwks": 3, "discovery": 2, "redirects_followed": 0 })
    );
}

#[tokio::test]
async fn the_bearer_is_not_in_debug_output() {
    let issuer = issuer().await;
    let job = issuer.job(GithubJob::push_to_main());
    let shown = format!("{job:?}");
    assert!(shown.contains(job.id()));
    assert!(!shown.contains(job.request_token()));
}
