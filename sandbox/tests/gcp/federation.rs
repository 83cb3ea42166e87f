//! A CI job's own token for one of Google's: each of its claims changed, one at a time.

use std::collections::BTreeMap;

use jitney_sandbox::GcpOptions;
use jitney_sandbox::ci::{CiIssuer, CiOptions, GithubJob, SignWith};
use jitney_sandbox::gcp::RateLimits;
use jitney_sandbox::gcp::estate::{Binding, Pool, Provider};
use serde_json::{Value, json};

use crate::cloud::*;

const POOL: &str = "projects/111122223333/locations/global/workloadIdentityPools/ci";
const PROVIDER: &str = "//iam.googleapis.com/projects/111122223333/locations/global/workloadIdentityPools/ci/providers/github";

struct Federation {
    cloud: Cloud,
    issuer: CiIssuer,
}

fn provider(issuer: &str, jwks_json: String) -> Provider {
    let mapping = [
        ("google.subject", "assertion.sub"),
        ("google.groups", "[assertion.repository]"),
        ("attribute.repository", "assertion.repository"),
        (
            "attribute.owner",
            "assertion.repository.extract('{owner}/')",
        ),
    ];
    Provider {
        id: "github".to_owned(),
        issuer: issuer.to_owned(),
        jwks_json,
        allowed_audiences: Vec::new(),
        attribute_mapping: mapping
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
        attribute_condition: Some(
            "assertion.ref == 'refs/heads/main' && attribute.owner != '' && google.subject != ''"
                .to_owned(),
        ),
        disabled: false,
    }
}

async fn start() -> Federation {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Provider)) -> Federation {
    let issuer = CiIssuer::start(CiOptions::default()).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let discovery = http.get(format!("{}/.well-known/openid-configuration", issuer.url()));
    let discovery: Value = discovery.send().await.unwrap().json().await.unwrap();
    let keys = http
        .get(discovery["jwks_uri"].as_str().unwrap())
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let mut provider = provider(&issuer.url(), keys);
    change(&mut provider);
    let mut estate = estate();
    let set =
        format!("principalSet://iam.googleapis.com/{POOL}/attribute.repository/octo-org/octo-repo");
    estate.projects[0].pools.push(Pool {
        id: "ci".to_owned(),
        providers: vec![provider],
    });
    estate.projects[0].buckets[0]
        .bindings
        .push(Binding::new("roles/storage.objectViewer", &[&set]));
    let slot = &mut estate.projects[0].accounts[1];
    slot.bindings
        .push(Binding::new("roles/iam.workloadIdentityUser", &[&set]));
    let options = GcpOptions {
        limits: RateLimits::unlimited(),
        ..GcpOptions::new(estate)
    };
    Federation {
        cloud: crate::cloud::start_with(options).await,
        issuer,
    }
}

impl Federation {
    /// The claims of a push to main of the repository that the estate knows.
    fn claims(&self) -> Value {
        let mut claims = self
            .issuer
            .job(GithubJob::push_to_main())
            .claims(Some(&format!("https:{PROVIDER}")));
        claims["repository"] = json!("octo-org/octo-repo");
        claims
    }

    fn sign(&self, claims: &Value) -> String {
        self.issuer
            .mint(claims, &self.issuer.header(), SignWith::Current)
            .unwrap()
    }

    async fn exchange(&self, subject_token: &str) -> Answered {
        self.exchange_with(subject_token, &[]).await
    }

    /// An exchange with some parameters changed; an empty value leaves one out.
    async fn exchange_with(&self, subject_token: &str, changes: &[(&str, &str)]) -> Answered {
        let mut form = BTreeMap::from([
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("audience", PROVIDER),
            ("scope", CLOUD_PLATFORM),
            ("subject_token", subject_token),
        ]);
        form.extend(changes.iter().copied());
        form.retain(|_, value| !value.is_empty());
        let request = self
            .cloud
            .http
            .post(format!("{}/v1/token", self.cloud.sandbox.url()))
            .form(&form);
        answered(request.send().await.unwrap()).await
    }
}

#[tokio::test]
async fn a_job_reaches_the_bucket_by_itself_and_through_an_account() {
    let federation = start().await;
    let answer = federation
        .exchange(&federation.sign(&federation.claims()))
        .await
        .ok();
    assert_eq!(answer["token_type"], json!("Bearer"));
    let seconds = answer["expires_in"].as_i64().unwrap();
    assert!(
        (200..=300).contains(&seconds),
        "no longer than the job's own token: {seconds}"
    );
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(federation.cloud.read(token, "releases/old.txt").await, 200);
    federation
        .cloud
        .mint_as(token, SLOT, json!({ "scope": [CLOUD_PLATFORM] }))
        .await
        .ok();
    assert_eq!(
        federation
            .cloud
            .mint_as(token, NOBODY, json!({ "scope": [CLOUD_PLATFORM] }))
            .await
            .status,
        403
    );
    let subject = federation.claims()["sub"].as_str().unwrap().to_owned();
    let standing = federation.cloud.sandbox.standing(&format!(
        "principal://iam.googleapis.com/{POOL}/subject/{subject}"
    ));
    assert_eq!(standing.live_tokens.len(), 1);
    federation
        .cloud
        .sandbox
        .clock()
        .advance_seconds(seconds + 1);
    assert_eq!(federation.cloud.read(token, "releases/old.txt").await, 401);
}

#[tokio::test]
async fn another_repository_is_another_principal() {
    let federation = start().await;
    let mut claims = federation.claims();
    claims["repository"] = json!("octo-org/other");
    let answer = federation.exchange(&federation.sign(&claims)).await.ok();
    assert_eq!(
        federation
            .cloud
            .read(answer["access_token"].as_str().unwrap(), "releases/old.txt")
            .await,
        403
    );
}

#[tokio::test]
async fn one_wrong_claim_is_enough() {
    let federation = start().await;
    let now = jiff::Timestamp::now().as_second();
    let good = federation.claims();
    federation.exchange(&federation.sign(&good)).await.ok();
    for (name, value, error) in [
        (
            "iss",
            json!("https://token.actions.example.com"),
            "invalid_grant",
        ),
        (
            "aud",
            json!(
                "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/github"
            ),
            "invalid_grant",
        ),
        ("aud", json!([]), "invalid_grant"),
        ("exp", json!(now - 1), "invalid_grant"),
        ("exp", Value::Null, "invalid_grant"),
        ("iat", json!(now + 60), "invalid_grant"),
        ("iat", json!(now - 24 * 3_600 - 5), "invalid_grant"),
        ("nbf", json!(now + 60), "invalid_grant"),
        ("sub", json!(5), "invalid_grant"),
        ("sub", json!("x".repeat(128)), "invalid_grant"),
        ("repository", json!("x".repeat(9_000)), "invalid_grant"),
        ("ref", json!("refs/heads/feature"), "unauthorized_client"),
        ("ref", Value::Null, "unauthorized_client"),
        ("repository", json!("no-owner"), "unauthorized_client"),
    ] {
        let mut claims = good.clone();
        claims[name] = value.clone();
        let refused = federation.exchange(&federation.sign(&claims)).await;
        assert_eq!(
            refused.error(),
            (400, error),
            "{name} = {value}: {}",
            refused.message()
        );
    }
}

#[tokio::test]
async fn only_the_providers_keys_count() {
    let federation = start().await;
    let (claims, header) = (federation.claims(), federation.issuer.header());
    for key in [SignWith::Stranger, SignWith::Nothing] {
        let token = federation.issuer.mint(&claims, &header, key).unwrap();
        assert_eq!(
            federation.exchange(&token).await.error(),
            (400, "invalid_grant")
        );
    }
    let mut as_secret = header.clone();
    as_secret["alg"] = json!("HS256");
    let token = federation
        .issuer
        .mint(&claims, &as_secret, SignWith::PublicKeyAsSecret)
        .unwrap();
    assert_eq!(
        federation.exchange(&token).await.error(),
        (400, "invalid_grant")
    );
    for kid in [json!("another"), Value::Null] {
        let mut header = header.clone();
        header["kid"] = kid;
        let token = federation
            .issuer
            .mint(&claims, &header, SignWith::Current)
            .unwrap();
        assert_ne!(federation.exchange(&token).await.status, 200);
    }
    assert_eq!(
        federation.exchange("no.token").await.error(),
        (400, "invalid_request")
    );
}

#[tokio::test]
async fn the_exchange_is_read_to_the_letter() {
    let federation = start().await;
    let token = federation.sign(&federation.claims());
    for (name, value, error) in [
        ("grant_type", "", "invalid_request"),
        ("grant_type", "client_credentials", "unsupported_grant_type"),
        ("requested_token_type", "", "invalid_request"),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:id_token",
            "invalid_request",
        ),
        ("subject_token_type", "", "invalid_request"),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:saml2",
            "invalid_request",
        ),
        ("audience", "", "invalid_request"),
        ("audience", "https://example.com", "invalid_target"),
        (
            "audience",
            "//iam.googleapis.com/projects/111122223333/locations/global/workloadIdentityPools/ci/providers/x",
            "invalid_target",
        ),
        ("scope", "", "invalid_request"),
        ("colour", "red", "invalid_request"),
    ] {
        let refused = federation.exchange_with(&token, &[(name, value)]).await;
        assert_eq!(refused.error(), (400, error), "{name}={value}");
    }
    let id_token = [(
        "subject_token_type",
        "urn:ietf:params:oauth:token-type:id_token",
    )];
    federation.exchange_with(&token, &id_token).await.ok();
    // As JSON, and with a header that is not looked at.
    let body = json!({
        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
        "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
        "audience": PROVIDER, "scope": CLOUD_PLATFORM, "subjectToken": token,
    });
    federation
        .cloud
        .post("not-looked-at", "/v1/token", body)
        .await
        .ok();
}

#[tokio::test]
async fn audiences_may_be_listed_and_a_provider_disabled() {
    let listed =
        start_with(|provider| provider.allowed_audiences = vec!["jitney".to_owned()]).await;
    assert_eq!(
        listed
            .exchange(&listed.sign(&listed.claims()))
            .await
            .error(),
        (400, "invalid_grant")
    );
    let mut claims = listed.claims();
    claims["aud"] = json!("jitney");
    listed.exchange(&listed.sign(&claims)).await.ok();
    let disabled = start_with(|provider| provider.disabled = true).await;
    assert_eq!(
        disabled
            .exchange(&disabled.sign(&disabled.claims()))
            .await
            .error(),
        (400, "invalid_target")
    );
}

#[tokio::test]
async fn a_provider_that_does_not_hold_together_does_not_start() {
    let wrong = |change: fn(&mut Provider)| {
        let mut provider = provider("https://ci.example.com", json!({ "keys": [] }).to_string());
        change(&mut provider);
        let mut estate = estate();
        estate.projects[0].pools.push(Pool {
            id: "ci".to_owned(),
            providers: vec![provider],
        });
        estate
    };
    for change in [
        (|provider| provider.jwks_json = "{}".to_owned()) as fn(&mut Provider),
        |provider| drop(provider.attribute_mapping.remove("google.subject")),
        |provider| {
            drop(
                provider
                    .attribute_mapping
                    .insert("attribute.Upper".to_owned(), "assertion.sub".to_owned()),
            )
        },
        |provider| {
            drop(
                provider
                    .attribute_mapping
                    .insert("attribute.x".to_owned(), "request.time".to_owned()),
            )
        },
        |provider| provider.attribute_condition = Some("assertion.sub ==".to_owned()),
        |provider| provider.allowed_audiences = vec![String::new(); 11],
    ] {
        let started = jitney_sandbox::GcpSandbox::start(GcpOptions::new(wrong(change))).await;
        let error = started.err().unwrap().to_string();
        assert!(
            error.starts_with("the provider `github` does not hold together"),
            "{error}"
        );
    }
}
