//! What holds for all tokens, also for those nobody thought of.

use std::collections::HashSet;
use std::sync::OnceLock;

use jitney_identity::{LEEWAY_SECONDS_MAX, RefusalCode, Verifier};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::issuer::{FakeIssuer, verifier};
use crate::mint::{AUDIENCE, Draft, IAT, after, b64, p256};

/// A verifier that knows its keys, and the runtime it lives on.
struct Bench {
    runtime: Runtime,
    issuer: FakeIssuer,
    verifier: Verifier,
}

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let (issuer, verifier) = runtime.block_on(async {
            let issuer = FakeIssuer::start().await;
            issuer.publish(&[(p256(), "key-1", None)]);
            let mut config = issuer.config();
            config["max_token_age_seconds"] = json!(3600);
            let verifier = verifier(&[config]);
            assert!(verifier.warm(after(0)).await[0].usable);
            (issuer, verifier)
        });
        Bench {
            runtime,
            issuer,
            verifier,
        }
    })
}

impl Bench {
    fn good(&self) -> Draft {
        Draft::new_p256(&self.issuer.url)
    }

    fn verify(
        &self,
        token: &str,
        seconds: i64,
    ) -> Result<jitney_identity::Verified, jitney_identity::Refusal> {
        self.runtime
            .block_on(self.verifier.verify(token, after(seconds)))
    }
}

/// Any JSON, nested a little.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[0-9]{1,25}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The name of a header member or claim: one that means something, or any.
fn any_name() -> impl Strategy<Value = String> {
    let known: Vec<String> = Draft::new("https://ci.example")
        .claims
        .keys()
        .cloned()
        .chain(["alg", "typ", "kid", "jku", "jwk", "crit", "x5c", "b64"].map(str::to_owned))
        .collect();
    prop_oneof![proptest::sample::select(known), ".{0,20}"]
}

fn changed(object: &Map<String, Value>, changes: &[(String, Value)]) -> Map<String, Value> {
    let mut object = object.clone();
    for (name, value) in changes {
        object.insert(name.clone(), value.clone());
    }
    object
}

/// A second opinion on an accepted token: signature, issuer and audience by another library.
fn second_opinion(token: &str, issuer: &str) -> bool {
    let key: Jwk = serde_json::from_value(p256().jwk("key-1")).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
    // It reads the machine's clock; the times of these tokens are judged by our own tests.
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(&key).unwrap();
    jsonwebtoken::decode::<Value>(token, &key, &validation).is_ok()
}

#[test]
fn the_unchanged_token_is_accepted_here_and_by_another_library() {
    let token = bench().good().mint();
    bench().verify(&token, 1).unwrap();
    assert!(second_opinion(&token, &bench().issuer.url));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn arbitrary_text_never_panics_and_is_never_accepted(text in "\\PC{0,300}") {
        prop_assert!(bench().verify(&text, 1).is_err());
    }

    #[test]
    fn arbitrary_parts_never_panic_and_are_never_accepted(
        header in proptest::collection::vec(any::<u8>(), 0..200),
        claims in proptest::collection::vec(any::<u8>(), 0..200),
        signature in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let token = format!("{}.{}.{}", b64(header), b64(claims), b64(signature));
        prop_assert!(bench().verify(&token, 1).is_err());
    }

    #[test]
    fn one_changed_character_is_one_too_many(position in 0_usize..4096, to in proptest::char::range(' ', '~')) {
        static TOKEN: OnceLock<String> = OnceLock::new();
        let token = TOKEN.get_or_init(|| bench().good().mint());
        let position = position % token.len();
        let changed: String = token
            .chars()
            .enumerate()
            .map(|(at, was)| if at == position { to } else { was })
            .collect();
        prop_assert_eq!(bench().verify(&changed, 1).is_ok(), changed == *token);
    }

    #[test]
    fn a_signed_header_is_accepted_only_when_it_asks_for_nothing(
        changes in proptest::collection::vec((any_name(), any_json()), 1..4),
    ) {
        let mut draft = bench().good();
        draft.header = changed(&draft.header, &changes);
        let accepted = bench().verify(&draft.mint(), 1).is_ok();
        let harmless = draft.header.get("alg") == Some(&json!("ES256"))
            && draft.header.get("kid") == Some(&json!("key-1"))
            && draft.header.get("typ").is_none_or(|typ| {
                typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("jwt"))
            })
            && ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty"]
                .iter()
                .all(|name| !draft.header.contains_key(*name));
        prop_assert_eq!(accepted, harmless);
    }

    #[test]
    fn what_is_accepted_is_what_was_signed(
        changes in proptest::collection::vec((any_name(), any_json()), 1..4),
        at in -700_i64..700,
    ) {
        let mut draft = bench().good();
        draft.claims = changed(&draft.claims, &changes);
        let token = draft.mint();
        if let Ok(verified) = bench().verify(&token, at) {
            prop_assert!(second_opinion(&token, &bench().issuer.url));
            let signed = |name: &str| draft.claims.get(name).and_then(Value::as_str);
            let job = &verified.job;
            prop_assert_eq!(Some(job.issuer.as_str()), signed("iss"));
            prop_assert_eq!(Some(AUDIENCE), signed("aud"));
            prop_assert_eq!(Some(job.repository.id.as_str()), signed("repository_id"));
            prop_assert_eq!(Some(job.repository.owner_id.as_str()), signed("repository_owner_id"));
            prop_assert_eq!(Some(job.run_id.as_str()), signed("run_id"));
            prop_assert_eq!(Some(job.git_ref.full.as_str()), signed("ref"));
            prop_assert_eq!(Some(job.event.as_str()), signed("event_name"));
            prop_assert!(signed("sub").is_some() && signed("jti").is_some());
            let shown = job.describe();
            prop_assert!(!shown.chars().any(char::is_control), "a line for people");
        }
    }

    /// The once-key's row must not be dropped while any verifier still takes the token.
    #[test]
    fn a_once_key_outlives_its_token(life in 1_i64..600, at in -100_i64..900) {
        let draft = bench().good().claim("exp", IAT + life);
        if let Ok(verified) = bench().verify(&draft.mint(), at) {
            let leeway = std::time::Duration::from_secs(LEEWAY_SECONDS_MAX);
            prop_assert!(verified.token.remember_until > after(at));
            prop_assert!(verified.token.remember_until > verified.token.expires_at.plus(leeway));
        }
    }

    #[test]
    fn times_are_accepted_exactly_within_their_bounds(
        life in -10_i64..700,
        nbf in -700_i64..100,
        at in -100_i64..800,
    ) {
        let draft = bench().good().claim("exp", IAT + life).claim("nbf", IAT + nbf);
        let code = bench().verify(&draft.mint(), at).err().map(|refusal| refusal.code);
        let expected = if life <= 0 {
            Some(RefusalCode::BadClaim)
        } else if life > 600 {
            Some(RefusalCode::TokenLifetimeTooLong)
        } else if at >= life + 30 {
            Some(RefusalCode::TokenExpired)
        } else if nbf > at + 30 || at < -30 {
            Some(RefusalCode::TokenNotYetValid)
        } else {
            None
        };
        prop_assert_eq!(code, expected);
    }
}

#[test]
fn budget_fifty_fresh_tokens_are_fifty_once_keys_of_one_job() {
    // The budget is the core's to keep; it counts by this key.
    let mut jobs = HashSet::new();
    let mut once = HashSet::new();
    for number in 0..50 {
        let token = bench()
            .good()
            .claim("jti", format!("fresh-{number}"))
            .mint();
        let verified = bench().verify(&token, 1).unwrap();
        jobs.insert(verified.job.key);
        once.insert(verified.token.once);
    }
    assert_eq!((jobs.len(), once.len()), (1, 50));
}
