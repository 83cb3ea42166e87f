//! Key Vault: a key is shown and signs, and everything else is refused in its words.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jitney_sandbox::azure::estate::{KeyVault, KeyVersion};
use jitney_sandbox::azure::{EstateError, Settings, builtin};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cloud::*;

const VAULT: &str = "https://vault.azure.net";
const OLD: &str = "00000000000000000000000000000000";
const NEW: &str = "0123456789abcdef0123456789abcdef";

fn with_vault(versions: Vec<KeyVersion>) -> jitney_sandbox::azure::estate::Estate {
    let mut estate = estate();
    let mut vault = KeyVault::new("acme");
    for version in versions {
        vault = vault.key("jitney", version);
    }
    let first = &mut estate.subscriptions[0].groups[0];
    *first = first.clone().vault(vault);
    let scope = format!("{}/providers/Microsoft.KeyVault/vaults/acme", group());
    estate.assignment(&scope, builtin::KEY_VAULT_CRYPTO_USER, SLOT, None)
}

async fn opened() -> (Bench, String) {
    let estate = with_vault(vec![KeyVersion::new(OLD), KeyVersion::new(NEW)]);
    let bench = start_with(estate, Settings::default()).await;
    let token = bench.token(SLOT, VAULT).await;
    (bench, token)
}

impl Bench {
    async fn vault(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answered {
        let url = format!("{}/keys/{path}", self.sandbox.url());
        let mut call = self.http.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            call = call.json(&body);
        }
        answered(call).await
    }

    async fn vault_signs(&self, token: &str, alg: &str, value: &[u8]) -> Answered {
        let body = json!({ "alg": alg, "value": URL_SAFE_NO_PAD.encode(value) });
        let path = format!("jitney/{NEW}/sign?api-version=7.4");
        self.vault(token, Method::POST, &path, Some(body)).await
    }
}

fn codes(answer: &Answered) -> (u16, &str, &str) {
    let text = |value: &'_ Value| value.as_str().map(str::len);
    let error = &answer.1["error"];
    assert!(text(&error["message"]).is_some(), "{answer:?}");
    let code = error["code"].as_str().unwrap_or_default();
    let inner = error["innererror"]["code"].as_str().unwrap_or_default();
    (answer.0, code, inner)
}

#[tokio::test]
async fn a_key_is_shown_without_its_private_half_and_signs_what_it_is_given() {
    let (bench, token) = opened().await;
    let path = format!("jitney/{NEW}?api-version=7.4");
    let (status, shown) = bench.vault(&token, Method::GET, &path, None).await;
    let kid = format!("{}/keys/jitney/{NEW}", bench.sandbox.url());
    assert_eq!((status, &shown["key"]["kid"]), (200, &json!(kid)));
    assert_eq!(shown["attributes"]["enabled"], true);
    let mut members: Vec<_> = shown["key"].as_object().unwrap().keys().cloned().collect();
    members.sort();
    assert_eq!(members, ["e", "key_ops", "kid", "kty", "n"]);
    let hash = digest(&SHA256, b"what");
    let (status, signed) = bench.vault_signs(&token, "RS256", hash.as_ref()).await;
    assert_eq!((status, &signed["kid"]), (200, &json!(kid)));
    let bytes = |value: &Value| URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap();
    let (n, e) = (bytes(&shown["key"]["n"]), bytes(&shown["key"]["e"]));
    let key = PublicKeyComponents { n, e };
    let signature = bytes(&signed["value"]);
    key.verify(&RSA_PKCS1_2048_8192_SHA256, b"what", &signature)
        .unwrap();
    assert!(
        key.verify(&RSA_PKCS1_2048_8192_SHA256, b"else", &signature)
            .is_err()
    );
    // The latest is meant by who names none; another version is another key.
    let latest = bench
        .vault(&token, Method::GET, "jitney/?api-version=7.4", None)
        .await;
    assert_eq!(latest.1, shown);
    let path = format!("jitney/{OLD}?api-version=7.4");
    let old = bench.vault(&token, Method::GET, &path, None).await;
    assert_ne!(old.1["key"]["n"], shown["key"]["n"]);
}

#[tokio::test]
async fn who_may_not_and_what_cannot_be_is_refused() {
    let (bench, token) = opened().await;
    let hash = [7_u8; 32];
    let at_arm = bench.token(SLOT, ARM).await;
    let refused = bench.vault_signs(&at_arm, "RS256", &hash).await;
    assert_eq!(codes(&refused), (401, "Unauthorized", ""));
    assert_eq!(
        codes(&bench.vault_signs("x", "RS256", &hash).await),
        (401, "Unauthorized", "")
    );
    let other = bench.token(OTHER_SLOT, VAULT).await;
    let denied = (403, "Forbidden", "ForbiddenByRbac");
    assert_eq!(
        codes(&bench.vault_signs(&other, "RS256", &hash).await),
        denied
    );
    let path = format!("jitney/{NEW}?api-version=7.4");
    let shown = bench.vault(&other, Method::GET, &path, None).await;
    assert_eq!(codes(&shown), denied);
    for (alg, value) in [
        ("RS512", &hash[..]),
        ("PS256", &hash),
        ("RS256", &hash[..31]),
        ("", &hash),
    ] {
        let refused = bench.vault_signs(&token, alg, value).await;
        assert_eq!(codes(&refused), (400, "BadParameter", ""), "{alg}");
    }
    for query in ["", "?api-version=6", "?api-version=7.4x"] {
        let path = format!("jitney/{NEW}{query}");
        let refused = bench.vault(&token, Method::GET, &path, None).await;
        assert_eq!(codes(&refused), (400, "BadParameter", ""), "{query}");
    }
    let path = "jitney/ffffffffffffffffffffffffffffffff?api-version=7.4";
    let unknown = bench.vault(&token, Method::GET, path, None).await;
    assert_eq!(codes(&unknown), (404, "KeyNotFound", ""));
    let path = format!("jitney/{NEW}/unwrapkey?api-version=7.4");
    let more = bench
        .vault(&token, Method::POST, &path, Some(json!({})))
        .await;
    assert_eq!(codes(&more), (501, "NotImplemented", ""));
}

#[tokio::test]
async fn a_key_signs_only_in_its_time_and_while_it_is_enabled() {
    let now = jiff::Timestamp::now().as_second();
    let in_an_hour = Some(now + 3_600);
    for (version, inner) in [
        (
            KeyVersion {
                expires: Some(now - 1),
                ..KeyVersion::new(NEW)
            },
            "KeyExpired",
        ),
        (
            KeyVersion {
                not_before: in_an_hour,
                ..KeyVersion::new(NEW)
            },
            "KeyNotYetValid",
        ),
        (
            KeyVersion {
                enabled: false,
                ..KeyVersion::new(NEW)
            },
            "KeyDisabled",
        ),
        (
            KeyVersion {
                operations: vec!["verify".to_owned()],
                ..KeyVersion::new(NEW)
            },
            "KeyOperationForbidden",
        ),
    ] {
        let bench = start_with(with_vault(vec![version]), Settings::default()).await;
        let token = bench.token(SLOT, VAULT).await;
        let refused = bench.vault_signs(&token, "RS256", &[7; 32]).await;
        assert_eq!(codes(&refused), (403, "Forbidden", inner));
        // It is shown all the same.
        let path = format!("jitney/{NEW}?api-version=7.4");
        assert_eq!(bench.vault(&token, Method::GET, &path, None).await.0, 200);
    }
    let (bench, token) = opened().await;
    bench.sandbox.set_key("jitney", NEW, false).unwrap();
    let refused = bench.vault_signs(&token, "RS256", &[7; 32]).await;
    assert_eq!(codes(&refused), (403, "Forbidden", "KeyDisabled"));
    assert!(bench.sandbox.set_key("jitney", "x", false).is_err());
    // Back to the estate: the same key, and enabled.
    bench.sandbox.reset().unwrap();
    let token = bench.token(SLOT, VAULT).await;
    assert_eq!(bench.vault_signs(&token, "RS256", &[7; 32]).await.0, 200);
}

#[tokio::test]
async fn an_estate_names_its_keys_well_or_does_not_start() {
    for version in ["", "1", &NEW.to_uppercase(), NEW.get(1..).unwrap()] {
        let estate = with_vault(vec![KeyVersion::new(version)]);
        let options = jitney_sandbox::azure::AzureOptions::new(estate);
        let refused = jitney_sandbox::azure::AzureSandbox::start(options)
            .await
            .err();
        let told = refused.map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(
            told,
            EstateError::Key(format!("jitney/{version}")).to_string()
        );
    }
}
