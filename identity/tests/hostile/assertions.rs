//! The broker's own assertions, read with other code than wrote them, and by what is published
//! alone.

use core::time::Duration;
use std::collections::BTreeSet;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jitney_identity::assertions::{
    ASSERTION_KEYS_MAX, AssertionIssuer, AssertionKey, BadAssertionIssuer, BadAssertionKey,
    CannotSign,
};
use jsonwebtoken::jwk::{JwkSet, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode_header};
use serde_json::Value;

use crate::mint::after;

const URL: &str = "https://jitney.acme.example";
/// What Azure's federated credentials expect.
const AUDIENCE: &str = "api://AzureADTokenExchange";
const SLOT: &str = "jitney:slot:pool-1";
/// 1024 bits: good enough once, broken today.
const SHORT_KEY: &[u8] = include_bytes!("short_rsa_key.pem");

fn pem() -> Vec<u8> {
    AssertionKey::generate_pem().unwrap().as_bytes().to_vec()
}

fn key(pem: &[u8]) -> AssertionKey {
    AssertionKey::from_pem(pem).unwrap()
}

fn issuer() -> AssertionIssuer {
    AssertionIssuer::new(URL, key(&pem()), Vec::new()).unwrap()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

async fn sign(issuer: &AssertionIssuer) -> String {
    let assertion = issuer.assertion(SLOT, AUDIENCE, after(0), minutes(5)).await;
    assertion.unwrap().text.to_string()
}

/// What a verifier that has nothing but the published documents reads.
async fn read(published: &AssertionIssuer, token: &str, audience: &str) -> Result<Value, String> {
    let keys = published.key_set().await.unwrap();
    let keys: JwkSet = serde_json::from_str(&keys).unwrap();
    let kid = decode_header(token).unwrap().kid.unwrap();
    let jwk = keys.find(&kid).ok_or("no such key")?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[URL]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["iss", "sub", "aud", "exp", "nbf", "iat", "jti"]);
    // The samples are from a fixed moment; their times are looked at by themselves.
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(jwk).unwrap();
    jsonwebtoken::decode(token, &key, &validation)
        .map(|token| token.claims)
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_assertion_says_who_for_whom_and_how_long() {
    let issuer = issuer();
    let claims = read(&issuer, &sign(&issuer).await, AUDIENCE).await.unwrap();
    assert_eq!(claims["sub"], SLOT);
    let at = |name: &str| claims[name].as_i64().unwrap();
    assert_eq!(at("iat"), after(0).as_seconds());
    assert_eq!(at("nbf"), after(-60).as_seconds());
    assert_eq!(at("exp"), after(300).as_seconds());
    let again = read(&issuer, &sign(&issuer).await, AUDIENCE).await.unwrap();
    assert_ne!(claims["jti"], again["jti"]);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
    let broker = issuer.assertion("jitney:broker", AUDIENCE, after(0), minutes(10));
    let broker = broker.await.unwrap();
    let claims = read(&issuer, &broker.text, AUDIENCE).await.unwrap();
    assert_eq!(claims["jti"], broker.id);
    assert_eq!(claims["exp"], broker.expires_at.as_seconds());
    assert!(!format!("{broker:?}").contains(&*broker.text));
    assert_eq!(claims["sub"], "jitney:broker");
    // The control: the verifier looks.
    let token = sign(&issuer).await;
    assert!(
        read(&issuer, &token, "https://other.example")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn what_is_left_of_a_second_is_not_lived() {
    let issuer = issuer();
    let late = after(0).plus(Duration::from_millis(999));
    let lives = Duration::from_millis(1_999);
    let assertion = issuer.assertion(SLOT, AUDIENCE, late, lives);
    let assertion = assertion.await.unwrap();
    let claims = read(&issuer, &assertion.text, AUDIENCE).await.unwrap();
    assert_eq!(claims["exp"], assertion.expires_at.as_seconds());
    let outlived = assertion.expires_at > late.plus(lives);
    assert!(!outlived, "it outlives what was asked for");
}

#[tokio::test]
async fn an_assertion_lives_ten_minutes_at_most() {
    let issuer = issuer();
    let ask = async |lives| {
        issuer
            .assertion(SLOT, AUDIENCE, after(0), lives)
            .await
            .err()
    };
    assert_eq!(ask(Duration::from_secs(600)).await, None);
    for seconds in [0, 601, 3_600, u64::MAX] {
        let refused = ask(Duration::from_secs(seconds)).await;
        assert_eq!(refused, Some(CannotSign::Lives(seconds)));
    }
}

#[tokio::test]
async fn nobody_else_is_vouched_for() {
    let issuer = issuer();
    let long = "s".repeat(101);
    for subject in [
        "",
        "jitney:slot:",
        "jitney:slot",
        "jitney:broker2",
        "jitney:broker:x",
        "JITNEY:BROKER",
        "repo:acme/shop:ref:refs/heads/main",
        "system:serviceaccount:default:default",
        "jitney:slot:a b",
        "jitney:slot:a/b",
        "jitney:slot:a:b",
        "jitney:slot:*",
        "jitney:slot:ä",
        "jitney:slot:a\n",
        &format!("jitney:slot:{long}"),
    ] {
        let refused = issuer.assertion(subject, AUDIENCE, after(0), minutes(5));
        let refused = refused.await.expect_err(subject);
        assert!(matches!(refused, CannotSign::Subject(_)), "{subject:?}");
    }
    for audience in ["", "a\nb", "ä", &"a".repeat(257)] {
        let refused = issuer.assertion(SLOT, audience, after(0), minutes(5));
        let refused = refused.await.expect_err(audience);
        assert!(matches!(refused, CannotSign::Audience(_)), "{audience:?}");
    }
}

#[tokio::test]
async fn a_rotation_leaves_out_nobody() {
    let (old, new) = (pem(), pem());
    let before = AssertionIssuer::new(URL, key(&old), vec![key(&new).into()]).unwrap();
    let during = AssertionIssuer::new(URL, key(&new), vec![key(&old).into()]).unwrap();
    let after = AssertionIssuer::new(URL, key(&new), Vec::new()).unwrap();
    let (first, second) = (sign(&before).await, sign(&during).await);
    let kid = |token: &str| decode_header(token).unwrap().kid.unwrap();
    assert_ne!(kid(&first), kid(&second));
    // Whoever fetched before knows the next key; whoever fetches now still knows the one before.
    for (published, token) in [
        (&before, &first),
        (&before, &second),
        (&during, &first),
        (&during, &second),
        (&after, &second),
    ] {
        assert!(read(published, token, AUDIENCE).await.is_ok());
    }
    // And once it is withdrawn, it is nobody's.
    let withdrawn = read(&after, &first, AUDIENCE).await;
    assert_eq!(withdrawn.unwrap_err(), "no such key");
    let others = vec![key(&new).into(), key(&old).into()];
    let same = AssertionIssuer::new(URL, key(&old), others).unwrap_err();
    assert!(matches!(same, BadAssertionIssuer::SameKey(_)), "{same}");
}

#[test]
fn no_more_keys_are_published_than_verifiers_read() {
    let pems: Vec<_> = (0..=ASSERTION_KEYS_MAX).map(|_| pem()).collect();
    let of = |count: usize| {
        let mut keys = pems.iter().take(count).map(|pem| key(pem));
        let signing = keys.next().unwrap();
        AssertionIssuer::new(URL, signing, keys.map(Into::into).collect()).err()
    };
    assert_eq!(of(ASSERTION_KEYS_MAX), None);
    let many = ASSERTION_KEYS_MAX + 1;
    assert_eq!(of(many), Some(BadAssertionIssuer::TooMany(many)));
}

#[tokio::test]
async fn what_is_published_is_public() {
    let issuer = issuer();
    let key_set = issuer.key_set().await.unwrap();
    let keys: Value = serde_json::from_str(&key_set).unwrap();
    for jwk in keys["keys"].as_array().unwrap() {
        let members: BTreeSet<_> = jwk
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let public = ["alg", "e", "kid", "kty", "n", "use"];
        assert_eq!(members, BTreeSet::from(public));
        assert_eq!((&jwk["alg"], &jwk["use"]), (&"RS256".into(), &"sig".into()));
        assert_eq!(jwk["e"], "AQAB");
    }
    let set: JwkSet = serde_json::from_str(&key_set).unwrap();
    let jwk = set.keys.first().unwrap();
    let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).unwrap();
    assert_eq!(jwk.common.key_id.as_ref(), Some(&thumbprint));
    let discovery: Value = serde_json::from_str(issuer.discovery()).unwrap();
    assert_eq!(discovery["issuer"], URL);
    assert_eq!(
        discovery["jwks_uri"],
        format!("{URL}/.well-known/jwks.json")
    );
    let algorithms = &discovery["id_token_signing_alg_values_supported"];
    assert_eq!(algorithms, &serde_json::json!(["RS256"]));
    assert!(!format!("{issuer:?}").contains("PRIVATE"));
}

#[test]
fn only_an_rsa_key_of_today_signs() {
    let refusal = |pem: &[u8]| AssertionKey::from_pem(pem).err();
    let armoured = |der: &[u8]| {
        let body = STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n").into_bytes()
    };
    let good = pem();
    assert_eq!(refusal(&good), None);
    let short = SHORT_KEY.to_vec();
    let random = SystemRandom::new();
    let curve = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    for bad in [short, armoured(curve.as_ref()), armoured(b"nothing")] {
        assert_eq!(refusal(&bad), Some(BadAssertionKey::NotRsa));
    }
    let twice = [good.clone(), good.clone()].concat();
    let text = String::from_utf8(good).unwrap();
    let other = text.replace("PRIVATE KEY", "RSA PRIVATE KEY");
    let public = text.replace("PRIVATE KEY", "PUBLIC KEY");
    let cut = text.replace("-----END PRIVATE KEY-----", "");
    for bad in [
        &twice[..],
        other.as_bytes(),
        public.as_bytes(),
        cut.as_bytes(),
        b"",
        b"\xff",
    ] {
        assert_eq!(refusal(bad), Some(BadAssertionKey::NotPem));
    }
}

#[test]
fn an_issuer_has_one_spelling_that_clouds_can_fetch_from() {
    let pem = pem();
    let judge = |url: &str| AssertionIssuer::new(url, key(&pem), Vec::new()).is_ok();
    let good = [
        "https://jitney.acme.example",
        "https://acme.example/jitney",
        "https://acme.example:8443",
        "http://127.0.0.1:8080",
    ];
    for url in good {
        assert!(judge(url), "{url}");
    }
    let long = format!("https://acme.example/{}", "a".repeat(600));
    for url in [
        "",
        "jitney.acme.example",
        "http://jitney.acme.example",
        "ftp://acme.example",
        "https://jitney.acme.example/",
        "https://acme.example/jitney/",
        "https://JITNEY.acme.example",
        "https://acme.example:443",
        "https://acme.example/a/../b",
        "https://user@acme.example",
        "https://acme.example?a=b",
        "https://acme.example#a",
        &long,
    ] {
        assert!(!judge(url), "{url}");
    }
}
