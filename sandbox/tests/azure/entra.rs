//! The token endpoint: one good request, and everything that may be wrong with it.

use jitney_sandbox::azure::Settings;
use jitney_sandbox::azure::estate::{FEDERATED_CREDENTIALS_MAX, FederatedCredential};
use jitney_sandbox::ci::{Fault, SignWith};
use serde_json::{Value, json};

use crate::cloud::*;

/// A status and the number of an `AADSTS` code.
fn aadsts(answered: &Answered) -> (u16, u64) {
    let code = answered.1["error_codes"][0].as_u64().unwrap_or_default();
    let description = answered.1["error_description"].as_str().unwrap_or_default();
    assert!(
        description.starts_with(&format!("AADSTS{code}: ")),
        "{}",
        answered.1
    );
    (answered.0, code)
}

/// What becomes of a good request with one parameter changed; an empty value takes it away.
async fn with(bench: &Bench, parameter: &str, value: &str) -> (u16, u64) {
    let mut form = bench.form(SLOT, ARM);
    form.retain(|(name, _)| *name != parameter);
    if !value.is_empty() {
        form.push((
            Box::leak(parameter.to_owned().into_boxed_str()),
            value.to_owned(),
        ));
    }
    aadsts(&bench.exchange(&form).await)
}

async fn with_claim(bench: &Bench, claim: &str, value: Value) -> (u16, u64) {
    let mut claims = bench.claims(SLOT);
    claims[claim] = value;
    with(bench, "client_assertion", &bench.sign(&claims)).await
}

#[tokio::test]
async fn an_assertion_is_exchanged_for_a_token() {
    let bench = start().await;
    let (status, body) = bench.exchange(&bench.form(SLOT, ARM)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["token_type"], "Bearer");
    let seconds = body["expires_in"].as_i64().unwrap();
    assert!((3_600..=5_400).contains(&seconds), "{seconds}");
    let claims = jwt_claims(body["access_token"].as_str().unwrap());
    for (claim, value) in [
        ("aud", json!(ARM)),
        ("iss", json!(format!("https://sts.windows.net/{TENANT}/"))),
        ("oid", json!(SLOT)),
        ("appid", json!(client_id(SLOT))),
        ("tid", json!(TENANT)),
        ("idtyp", json!("app")),
    ] {
        assert_eq!(claims[claim], value, "{claim}");
    }
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        seconds
    );
    let [token] = bench.sandbox.tokens().try_into().unwrap();
    assert_eq!(
        (token.principal, token.assertion_id.as_deref()),
        (SLOT, Some("assertion-1"))
    );
    assert_eq!(claims["uti"], json!(token.id));
}

fn jwt_claims(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(part)
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn each_parameter_is_looked_at() {
    let bench = start().await;
    for (parameter, value, expected) in [
        ("grant_type", "", (400, 900_144)),
        ("grant_type", "authorization_code", (400, 70_003)),
        ("client_id", "", (400, 900_144)),
        ("client_id", "no-guid", (400, 700_016)),
        (
            "client_id",
            "00000000-0000-0000-0000-000000000001",
            (400, 700_016),
        ),
        ("client_assertion_type", "", (401, 7_000_218)),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
            (401, 7_000_218),
        ),
        ("client_assertion", "", (401, 7_000_218)),
        ("client_assertion", "a.b", (400, 50_027)),
        ("client_secret", "hunter2", (401, 7_000_215)),
        ("scope", "", (400, 900_144)),
        (
            "scope",
            "https://management.azure.com/user_impersonation",
            (400, 1_002_012),
        ),
        (
            "scope",
            "https://management.azure.com/.default openid",
            (400, 70_011),
        ),
        (
            "scope",
            "https://elsewhere.example/.default",
            (400, 500_011),
        ),
    ] {
        assert_eq!(
            with(&bench, parameter, value).await,
            expected,
            "{parameter}={value}"
        );
    }
    assert_eq!(bench.sandbox.tokens(), Vec::new());
}

#[tokio::test]
async fn a_credential_matches_exactly_or_not_at_all() {
    let bench = start().await;
    let lower = subject(SLOT);
    for (claim, value, code) in [
        ("iss", json!(format!("{}/", bench.issuer.url())), 700_211),
        (
            "iss",
            json!(bench.issuer.url().replace("127.0.0.1", "localhost")),
            700_211,
        ),
        ("sub", json!(subject(OTHER_SLOT)), 700_213),
        ("sub", json!(lower.to_uppercase()), 700_213),
        ("sub", json!(format!("{lower} ")), 700_213),
        ("aud", json!("api://azureadtokenexchange"), 700_212),
        ("aud", json!(["api://AzureADTokenExchange"]), 700_212),
        (
            "aud",
            json!(["api://AzureADTokenExchange", "other"]),
            700_212,
        ),
    ] {
        assert_eq!(
            with_claim(&bench, claim, value.clone()).await,
            (400, code),
            "{claim}={value}"
        );
    }
    bench.sandbox.set_settings(Settings {
        vague_mismatches: true,
        ..Settings::default()
    });
    assert_eq!(
        with_claim(&bench, "sub", json!("other")).await,
        (400, 70_021)
    );
}

#[tokio::test]
async fn an_assertion_has_its_time() {
    let bench = start().await;
    let now = jiff::Timestamp::now().as_second();
    assert_eq!(
        with_claim(&bench, "exp", json!(now - 310)).await,
        (401, 700_024)
    );
    assert_eq!(
        with_claim(&bench, "nbf", json!(now + 310)).await,
        (401, 700_024)
    );
    let mut claims = bench.claims(SLOT);
    claims["exp"] = json!(now - 280);
    let mut form = bench.form(SLOT, ARM);
    form[3].1 = bench.sign(&claims);
    assert_eq!(
        bench.exchange(&form).await.0,
        200,
        "five minutes of skew are allowed"
    );
    // The policy clock moves roles and tokens, not those who sign.
    bench.sandbox.clock().advance_seconds(86_400);
    assert_eq!(bench.exchange(&bench.form(SLOT, ARM)).await.0, 200);
    bench.sandbox.clock().set_wire_offset_seconds(700);
    assert_eq!(
        aadsts(&bench.exchange(&bench.form(SLOT, ARM)).await),
        (401, 700_024)
    );
}

#[tokio::test]
async fn only_the_issuers_own_key_signs() {
    let bench = start().await;
    let claims = bench.claims(SLOT);
    let mut header = bench.issuer.header();
    let forged = bench
        .issuer
        .mint(&claims, &header, SignWith::Stranger)
        .unwrap();
    assert_eq!(
        with(&bench, "client_assertion", &forged).await,
        (401, 700_027)
    );
    for (name, value) in [
        ("kid", json!("unknown")),
        ("alg", json!("RS512")),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
    ] {
        header = bench.issuer.header();
        header[name] = value.clone();
        let key = if value == json!("HS256") {
            SignWith::PublicKeyAsSecret
        } else {
            SignWith::Current
        };
        let token = bench.issuer.mint(&claims, &header, key).unwrap();
        assert_eq!(
            with(&bench, "client_assertion", &token).await,
            (401, 700_027),
            "{name}={value}"
        );
    }
    let good = bench.sign(&claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut other = bench.claims(SLOT);
    other["exp"] = json!(9_999_999_999_i64);
    let longer = bench.sign(&other);
    let (longer, _) = longer.rsplit_once('.').unwrap();
    assert_ne!(signed, longer);
    let spliced = format!("{longer}.{signature}");
    assert_eq!(
        with(&bench, "client_assertion", &spliced).await,
        (401, 700_027)
    );
}

#[tokio::test]
async fn keys_are_kept_and_fetched_anew_for_a_new_one() {
    let bench = start().await;
    bench.token(SLOT, ARM).await;
    bench.token(SLOT, ARM).await;
    assert_eq!(
        (
            bench.issuer.discovery_fetches(),
            bench.issuer.jwks_fetches()
        ),
        (1, 1)
    );
    bench.issuer.rotate_keys(true).unwrap();
    bench.token(SLOT, ARM).await;
    assert_eq!(bench.issuer.jwks_fetches(), 2, "a new key is looked for");
    // A key that is no longer published is good until the kept keys are a day old.
    let header = bench.issuer.header();
    bench.issuer.rotate_keys(false).unwrap();
    let former = bench
        .issuer
        .mint(&bench.claims(SLOT), &header, SignWith::Former)
        .unwrap();
    let mut form = bench.form(SLOT, ARM);
    form[3].1.clone_from(&former);
    assert_eq!(bench.exchange(&form).await.0, 200);
    bench.sandbox.clock().set_wire_offset_seconds(86_401);
    assert_eq!(aadsts(&bench.exchange(&form).await), (401, 700_027));
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_is_told() {
    let bench = start().await;
    bench.issuer.set_jwks_fault(Some(Fault::Status(500)));
    assert_eq!(
        aadsts(&bench.exchange(&bench.form(SLOT, ARM)).await),
        (400, 50_166)
    );
    bench.issuer.set_jwks_fault(None);
    let lies = json!({ "issuer": "https://elsewhere.example" });
    bench
        .issuer
        .set_discovery_fault(Some(Fault::Members(lies.as_object().unwrap().clone())));
    assert_eq!(
        aadsts(&bench.exchange(&bench.form(SLOT, ARM)).await),
        (400, 50_166)
    );
    bench
        .issuer
        .set_discovery_fault(Some(Fault::Redirect { to: None }));
    assert_eq!(
        aadsts(&bench.exchange(&bench.form(SLOT, ARM)).await),
        (400, 50_166)
    );
    assert_eq!(bench.issuer.redirects_followed(), 0);
    bench.issuer.set_discovery_fault(None);
    bench.token(SLOT, ARM).await;
}

#[tokio::test]
async fn an_app_is_switched_off_and_trusts_no_more_than_it_may() {
    let bench = start().await;
    let kept = bench.token(SLOT, ARM).await;
    bench.sandbox.set_disabled(client_id(SLOT), true).unwrap();
    assert_eq!(
        aadsts(&bench.exchange(&bench.form(SLOT, ARM)).await),
        (400, 7_000_112)
    );
    let (status, _) = bench
        .arm(&kept, reqwest::Method::GET, "/tenants", "2022-12-01", None)
        .await;
    assert_eq!(status, 200, "tokens cannot be revoked");
    let more = |number: usize| {
        let credential =
            FederatedCredential::new(&bench.issuer.url(), &format!("subject-{number}"));
        bench.sandbox.trust(client_id(OTHER_SLOT), credential)
    };
    for number in 1..FEDERATED_CREDENTIALS_MAX {
        more(number).unwrap();
    }
    assert!(more(0).is_err());
}

#[tokio::test]
async fn another_tenant_is_not_here() {
    let bench = start().await;
    let url = format!("{}/{SUBSCRIPTION}/oauth2/v2.0/token", bench.sandbox.url());
    let answer = answered(bench.http.post(url).form(&bench.form(SLOT, ARM))).await;
    assert_eq!(aadsts(&answer), (400, 90_002));
}

#[tokio::test]
async fn documents_lead_back_to_the_sandbox() {
    let bench = start().await;
    let base = bench.sandbox.url();
    let get = async |path: &str| answered(bench.http.get(format!("{base}{path}"))).await.1;
    let discovery = get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration")).await;
    assert_eq!(
        discovery["token_endpoint"],
        json!(format!("{base}/{TENANT}/oauth2/v2.0/token"))
    );
    let keys = discovery["jwks_uri"]
        .as_str()
        .unwrap()
        .strip_prefix(&base)
        .unwrap()
        .to_owned();
    assert_eq!(get(&keys).await["keys"].as_array().unwrap().len(), 1);
    let old = get("/metadata/endpoints?api-version=2019-05-01").await;
    let new = get("/metadata/endpoints?api-version=2022-09-01").await;
    assert_eq!(old[0]["resourceManager"], new["resourceManager"]);
    assert_eq!(new["resourceManager"], json!(format!("{base}/")));
}
