//! Keys and tokens as a CI issuer makes them. A [`Draft`] begins as a token that is accepted; a test
//! changes one thing.

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jitney_core::time::Timestamp;
use serde_json::{Map, Value, json};

/// When sample tokens are issued.
pub const IAT: i64 = 1_795_392_000;

/// The broker's audience in all tests.
pub const AUDIENCE: &str = "https://jitney.acme.example";

/// `seconds` after a sample token was issued.
pub fn after(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(IAT + seconds)
}

/// base64url without padding.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub enum SigningKey {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

/// Makes a key on first use: generating RSA keys is slow.
fn once(cell: &'static OnceLock<SigningKey>, make: fn() -> SigningKey) -> &'static SigningKey {
    cell.get_or_init(make)
}

fn generate_rsa() -> SigningKey {
    SigningKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

/// The issuer's RSA key.
pub fn rsa() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    once(&KEY, generate_rsa)
}

/// Another RSA key: the next after a rotation, or another issuer's.
pub fn other_rsa() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    once(&KEY, generate_rsa)
}

/// A P-256 key, for tests that sign much.
pub fn p256() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    once(&KEY, || {
        SigningKey::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    })
}

impl SigningKey {
    /// The public key as issuers publish it, without `alg`.
    pub fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                // PKCS#1: a header of 9 bytes, 256 of modulus, 2 of header, 3 of exponent.
                let der = pair.public_key().as_ref();
                json!({"kty": "RSA", "use": "sig", "kid": kid,
                       "n": b64(&der[9..265]), "e": b64(&der[267..])})
            }
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "use": "sig", "kid": kid, "crv": "P-256",
                       "x": b64(&point[1..33]), "y": b64(&point[33..])})
            }
        }
    }

    /// The RSA public key in PEM, as anyone can write it down.
    pub fn pem(&self) -> String {
        let Self::Rsa(pair) = self else {
            panic!("not RSA")
        };
        let der = pair.public_key().as_der().unwrap();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der.as_ref())
        )
    }

    /// Signs with RS256 or ES256, or with RS512 when asked to.
    pub fn sign(&self, message: &[u8], alg: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &dyn RsaEncoding = if alg == "RS512" {
                    &RSA_PKCS1_SHA512
                } else {
                    &RSA_PKCS1_SHA256
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
        }
    }
}

/// A token before it is signed.
#[derive(Clone)]
pub struct Draft {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    pub key: &'static SigningKey,
}

impl Draft {
    /// A token of the job `deploy` of `acme/shop`, as GitHub would issue it.
    pub fn new(issuer: &str) -> Self {
        let claims = json!({
            "jti": "6f4762ed-0758-4ccb-808d-ee3af5d723a8",
            "sub": "repo:acme@1001/shop@2002:environment:production",
            "aud": AUDIENCE, "iss": issuer,
            "nbf": IAT - 600, "exp": IAT + 300, "iat": IAT,
            "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
            "sha": "9f3182061f1e2cca4702c368cbc039b7dc9d4485",
            "repository": "acme/shop", "repository_id": "2002",
            "repository_owner": "acme", "repository_owner_id": "1001",
            "repository_visibility": "private",
            "run_id": "15523008123", "run_number": "418", "run_attempt": "1",
            "actor": "octo-dev", "actor_id": "31337", "workflow": "Deploy",
            "head_ref": "", "base_ref": "", "event_name": "push",
            "workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
            "workflow_sha": "9f3182061f1e2cca4702c368cbc039b7dc9d4485",
            "job_workflow_ref": "acme/platform/.github/workflows/release.yml@refs/tags/v3",
            "job_workflow_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
            "runner_environment": "github-hosted",
            "environment": "production", "environment_node_id": "EN_kwDOexample",
            "check_run_id": "43210987654",
            "enterprise": "acme-corp", "enterprise_id": "77",
            "repo_property_data_classification": "restricted",
        });
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": "key-1", "x5t": "key-1"});
        Self {
            header: header.as_object().unwrap().clone(),
            claims: claims.as_object().unwrap().clone(),
            key: rsa(),
        }
    }

    /// The same, signed with P-256.
    pub fn new_p256(issuer: &str) -> Self {
        Self {
            key: p256(),
            ..Self::new(issuer).header("alg", "ES256")
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        assert!(self.claims.remove(name).is_some(), "there is no {name}");
        self
    }

    /// The same token, issued `seconds` later.
    pub fn issued_after(self, seconds: i64) -> Self {
        self.claim("iat", IAT + seconds)
            .claim("nbf", IAT + seconds - 600)
            .claim("exp", IAT + seconds + 300)
    }

    /// The same token, signed by another key.
    pub fn signed_with(mut self, key: &'static SigningKey, kid: &str) -> Self {
        self.key = key;
        self.header("kid", kid)
    }

    /// Header and payload, as they are signed.
    pub fn message(&self) -> String {
        let header = serde_json::to_vec(&self.header).unwrap();
        let claims = serde_json::to_vec(&self.claims).unwrap();
        format!("{}.{}", b64(header), b64(claims))
    }

    /// The signed token.
    pub fn mint(&self) -> String {
        let message = self.message();
        let alg = self.header.get("alg").and_then(Value::as_str).unwrap_or("");
        let signature = self.key.sign(message.as_bytes(), alg);
        format!("{message}.{}", b64(signature))
    }
}
