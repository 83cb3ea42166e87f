//! Tokens that are almost right.

use aws_lc_rs::hmac;
use jitney_identity::{Refusal, RefusalCode, TOKEN_BYTES_MAX, Verified};
use serde_json::{Value, json};

use crate::issuer::{FakeIssuer, JWKS, verifier};
use crate::mint::{AUDIENCE, Draft, IAT, after, b64, other_rsa, rsa};

/// Verifies with a fresh verifier, after making sure that the unchanged token is accepted by it.
async fn judge(issuer: &FakeIssuer, token: &str) -> Result<Verified, Refusal> {
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url).mint();
    verifier
        .verify(&good, after(1))
        .await
        .expect("the unchanged token");
    verifier.verify(token, after(1)).await
}

/// Each case changes one thing about an accepted token.
async fn demand(cases: Vec<(&str, RefusalCode, String)>, issuer: &FakeIssuer) {
    for (case, expected, token) in cases {
        match judge(issuer, &token).await {
            Ok(_) => panic!("accepted: {case}"),
            Err(refusal) => {
                assert_eq!(refusal.code, expected, "{case}: {refusal:?}");
                let signature = token.rsplit('.').next().unwrap_or_default();
                let told = format!("{refusal:?}");
                assert!(signature.len() < 16 || !told.contains(signature), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn alg_none_hs256_and_mismatched_algorithms_are_refused() {
    let issuer = FakeIssuer::start().await;
    let good = Draft::new(&issuer.url);
    let unsigned = good.clone().header("alg", "none");
    let shared = good.clone().header("alg", "HS256");
    let mac = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, rsa().pem().as_bytes()),
        shared.message().as_bytes(),
    );
    demand(
        vec![
            (
                "alg-none",
                RefusalCode::BadAlg,
                format!("{}.", unsigned.message()),
            ),
            ("alg-none, signed", RefusalCode::BadAlg, unsigned.mint()),
            (
                "alg-hs256-pubkey",
                RefusalCode::BadAlg,
                format!("{}.{}", shared.message(), b64(mac)),
            ),
            (
                "not configured for the issuer",
                RefusalCode::BadAlg,
                good.clone().header("alg", "RS512").mint(),
            ),
            (
                "another kind of key",
                RefusalCode::BadAlg,
                good.clone().header("alg", "ES256").mint(),
            ),
        ],
        &issuer,
    )
    .await;
}

#[tokio::test]
async fn an_algorithm_the_issuer_may_not_use_is_refused_without_a_fetch() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url);
    let token = good.clone().header("alg", "RS512").mint();
    let refusal = verifier.verify(&token, after(1)).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::BadAlg);
    assert_eq!(issuer.connections(), 0);
    verifier.verify(&good.mint(), after(1)).await.unwrap();
}

#[tokio::test]
async fn alg_mismatch_jwk_is_refused_even_when_the_issuer_may_use_both() {
    let issuer = FakeIssuer::start().await;
    let mut config = issuer.config();
    config["algorithms"] = json!(["RS256", "RS512"]);
    let verifier = verifier(&[config]);
    let good = Draft::new(&issuer.url);
    verifier.verify(&good.mint(), after(1)).await.unwrap();
    let refusal = verifier
        .verify(&good.header("alg", "RS512").mint(), after(1))
        .await
        .unwrap_err();
    assert_eq!(refusal.code, RefusalCode::BadAlg);
    assert_eq!(issuer.asked(JWKS), 1);
}

#[tokio::test]
async fn jku_header_and_its_kin_are_refused_and_never_fetched() {
    let issuer = FakeIssuer::start().await;
    let elsewhere = FakeIssuer::start().await;
    let good = Draft::new(&issuer.url);
    let mut cases = Vec::new();
    for (name, value) in [
        ("jku", json!(format!("{}{JWKS}", elsewhere.url))),
        ("x5u", json!(format!("{}/chain.pem", elsewhere.url))),
        ("jwk", rsa().jwk("key-1")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("typ", json!("dpop+jwt")),
        ("kid", json!(7)),
    ] {
        cases.push((
            name,
            RefusalCode::BadHeader,
            good.clone().header(name, value).mint(),
        ));
    }
    demand(cases, &issuer).await;
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn signatures_that_do_not_fit_are_refused() {
    let issuer = FakeIssuer::start().await;
    let good = Draft::new(&issuer.url);
    let token = good.mint();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let other = good.clone().claim("repository_id", "666").message();
    let mut foreign = good.clone();
    foreign.key = other_rsa();
    demand(
        vec![
            ("cut off", RefusalCode::BadSignature, format!("{message}.")),
            (
                "other claims",
                RefusalCode::BadSignature,
                format!("{other}.{signature}"),
            ),
            ("other key", RefusalCode::BadSignature, foreign.mint()),
            ("padded", RefusalCode::BadSignature, format!("{token}==")),
            (
                "of zeros",
                RefusalCode::BadSignature,
                format!("{message}.{}", b64([0; 256])),
            ),
            (
                "twice as long",
                RefusalCode::BadSignature,
                format!("{message}.{signature}{signature}"),
            ),
        ],
        &issuer,
    )
    .await;
}

#[tokio::test]
async fn issuers_that_are_not_in_the_table_are_refused_without_a_fetch() {
    let issuer = FakeIssuer::start().await;
    let elsewhere = FakeIssuer::start().await;
    let good = Draft::new(&issuer.url);
    let verifier = issuer.verifier();
    for (case, iss) in [
        ("iss-trailing-slash", format!("{}/", issuer.url)),
        ("iss-ssrf", "http://169.254.169.254/".to_owned()),
        ("iss-ssrf", "http://127.0.0.1:6379/".to_owned()),
        ("iss-ssrf", elsewhere.url.clone()),
        ("iss-case", issuer.url.to_uppercase()),
        ("iss-empty", String::new()),
    ] {
        let token = good.clone().claim("iss", iss).mint();
        let refusal = verifier.verify(&token, after(1)).await.unwrap_err();
        assert_eq!(refusal.code, RefusalCode::UnknownIssuer, "{case}");
    }
    assert_eq!(issuer.connections(), 0);
    assert_eq!(elsewhere.connections(), 0);
    for (iss, code) in [
        (Value::Null, RefusalCode::MissingClaim),
        (json!(["a"]), RefusalCode::BadClaim),
    ] {
        let token = good.clone().claim("iss", iss).mint();
        assert_eq!(
            verifier.verify(&token, after(1)).await.unwrap_err().code,
            code
        );
    }
    verifier.verify(&good.mint(), after(1)).await.unwrap();
}

#[tokio::test]
async fn cross_issuer_key_is_refused() {
    let a = FakeIssuer::start().await;
    let b = FakeIssuer::start().await;
    // Both publish a key of the same name; each signs with its own.
    b.publish(&[(other_rsa(), "key-1", Some("RS256"))]);
    let mut b_config = b.config();
    b_config["name"] = json!("other");
    let verifier = verifier(&[a.config(), b_config]);
    let mut of_b = Draft::new(&b.url);
    of_b.key = other_rsa();
    verifier.verify(&of_b.mint(), after(1)).await.unwrap();
    let claims_to_be_a = of_b.claim("iss", a.url.clone()).mint();
    let refusal = verifier
        .verify(&claims_to_be_a, after(1))
        .await
        .unwrap_err();
    assert_eq!(refusal.code, RefusalCode::BadSignature);
}

#[tokio::test]
async fn audiences_other_than_ours_alone_are_refused() {
    let issuer = FakeIssuer::start().await;
    let good = Draft::new(&issuer.url);
    let mut cases = vec![(
        "aud-missing",
        RefusalCode::MissingClaim,
        good.clone().without("aud").mint(),
    )];
    for (case, aud) in [
        ("aud-default", json!("https://github.com/acme")),
        ("aud-array-one", json!([AUDIENCE])),
        ("aud-array-two", json!([AUDIENCE, "https://other.example"])),
        ("aud-array-empty", json!([])),
        ("aud-slash", json!(format!("{AUDIENCE}/"))),
        ("aud-case", json!(AUDIENCE.to_uppercase())),
        ("aud-prefix", json!(format!("{AUDIENCE}.evil.example"))),
        ("aud-empty", json!("")),
    ] {
        cases.push((
            case,
            RefusalCode::BadAudience,
            good.clone().claim("aud", aud).mint(),
        ));
    }
    for aud in [json!(1), json!({"aud": AUDIENCE}), json!(true)] {
        cases.push((
            "aud-type",
            RefusalCode::BadClaim,
            good.clone().claim("aud", aud).mint(),
        ));
    }
    demand(cases, &issuer).await;
}

#[tokio::test]
async fn claims_that_have_to_be_there_are_demanded() {
    let issuer = FakeIssuer::start().await;
    let good = Draft::new(&issuer.url);
    let mut cases = Vec::new();
    for name in [
        "exp",
        "iat",
        "nbf",
        "jti",
        "sub",
        "repository_id",
        "run_id",
        "run_attempt",
    ] {
        cases.push((
            name,
            RefusalCode::MissingClaim,
            good.clone().without(name).mint(),
        ));
        let null = good.clone().claim(name, Value::Null).mint();
        cases.push((name, RefusalCode::MissingClaim, null));
    }
    for name in [
        "repository_id",
        "repository_owner_id",
        "run_id",
        "check_run_id",
        "actor_id",
    ] {
        cases.push((
            name,
            RefusalCode::BadClaim,
            good.clone().claim(name, 2002).mint(),
        ));
    }
    for name in ["exp", "iat", "nbf"] {
        let text = good.clone().claim(name, "1795392000").mint();
        cases.push((name, RefusalCode::BadClaim, text));
    }
    cases.push((
        "jti",
        RefusalCode::BadClaim,
        good.clone().claim("jti", 7).mint(),
    ));
    cases.push((
        "sub",
        RefusalCode::BadClaim,
        good.clone().claim("sub", json!([])).mint(),
    ));
    demand(cases, &issuer).await;
}

#[tokio::test]
async fn times_are_judged_to_the_second() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url);
    let code = async |draft: &Draft, seconds: i64| {
        let judged = verifier.verify(&draft.mint(), after(seconds)).await;
        judged.err().map(|refusal| refusal.code)
    };
    // `max_token_age` is 120 s, the leeway 30 s.
    assert_eq!(code(&good, 149).await, None);
    assert_eq!(code(&good, 150).await, Some(RefusalCode::TokenTooOld));
    assert_eq!(code(&good, 329).await, Some(RefusalCode::TokenTooOld));
    assert_eq!(code(&good, 330).await, Some(RefusalCode::TokenExpired));
    assert_eq!(code(&good, -30).await, None);
    assert_eq!(code(&good, -31).await, Some(RefusalCode::TokenNotYetValid));
    let short = good.clone().claim("exp", IAT + 60);
    assert_eq!(code(&short, 89).await, None);
    assert_eq!(code(&short, 90).await, Some(RefusalCode::TokenExpired));
    let later = good.clone().claim("nbf", IAT + 60);
    assert_eq!(code(&later, 30).await, None);
    assert_eq!(code(&later, 29).await, Some(RefusalCode::TokenNotYetValid));
    let long = good.clone().claim("exp", IAT + 600);
    assert_eq!(code(&long, 1).await, None);
    let longer = good.clone().claim("exp", IAT + 601);
    assert_eq!(
        code(&longer, 1).await,
        Some(RefusalCode::TokenLifetimeTooLong)
    );
    let far = good.clone().claim("exp", IAT + 30 * 86_400);
    assert_eq!(
        code(&far, 1).await,
        Some(RefusalCode::TokenLifetimeTooLong),
        "exp-far"
    );
    let future = good.clone().claim("iat", IAT + 600).claim("exp", IAT + 900);
    assert_eq!(
        code(&future, 0).await,
        Some(RefusalCode::TokenNotYetValid),
        "iat-future"
    );
    let backwards = good.clone().claim("exp", IAT);
    assert_eq!(code(&backwards, 1).await, Some(RefusalCode::BadClaim));
}

#[tokio::test]
async fn the_longest_token_is_read_and_one_byte_more_is_not() {
    let issuer = FakeIssuer::start().await;
    let grown = |filler: usize| Draft::new(&issuer.url).claim("filler", "x".repeat(filler));
    // A dot and 256 bytes of signature come after the message.
    let length = |draft: &Draft| draft.message().len() + 1 + b64([0; 256]).len();
    let filler = (TOKEN_BYTES_MAX / 2..TOKEN_BYTES_MAX)
        .take_while(|filler| length(&grown(*filler)) <= TOKEN_BYTES_MAX)
        .last()
        .unwrap();
    let verifier = issuer.verifier();
    verifier
        .verify(&grown(filler).mint(), after(1))
        .await
        .unwrap();
    let refusal = verifier
        .verify(&grown(filler + 1).mint(), after(1))
        .await
        .unwrap_err();
    assert_eq!(refusal.code, RefusalCode::TokenTooLong);
}
