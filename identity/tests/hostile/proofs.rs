//! Proofs of possession that are almost right.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jitney_core::principal::KeyThumbprint;
use jitney_identity::dpop::{
    DpopProof, Expected, PROOF_AGE_MAX, PROOF_BYTES_MAX, ReplayBounds, ReplayWindow, verify,
};
use jitney_identity::{Refusal, RefusalCode};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use url::Url;

use crate::mint::{Draft, IAT, after, b64, p256, rsa};

const URL: &str = "https://jitney.acme.example/v1/requests";
const TOKEN: &str = "header.payload.signature";

fn ath(token: &str) -> String {
    b64(digest(&SHA256, token.as_bytes()))
}

/// A proof for `POST` to [`URL`] with [`TOKEN`], made by the P-256 key.
fn good() -> Draft {
    let claims = json!({"jti": "proof-1", "htm": "POST", "htu": URL, "iat": IAT,
                        "ath": ath(TOKEN)});
    let mut jwk = p256().jwk("unused");
    jwk.as_object_mut().unwrap().remove("kid");
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk});
    Draft {
        header: header.as_object().unwrap().clone(),
        claims: claims.as_object().unwrap().clone(),
        key: p256(),
    }
}

fn judge<'a>(proof: &str, change: impl FnOnce(&mut Expected<'a>)) -> Result<DpopProof, Refusal> {
    static CALLED: LazyLock<Url> = LazyLock::new(|| Url::parse(URL).unwrap());
    let mut expected = Expected {
        method: "POST",
        url: &CALLED,
        now: after(1),
        key: None,
        token: Some(TOKEN),
    };
    change(&mut expected);
    verify(proof, &expected)
}

fn refused(draft: &Draft) -> RefusalCode {
    judge(&good().mint(), |_| ()).expect("the unchanged proof");
    judge(&draft.mint(), |_| ()).unwrap_err().code
}

#[test]
fn the_examples_of_rfc_9449_are_believed() {
    // Section 4.1, figure 2, and section 7.1, figure 13.
    let header = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZ\
                  yaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NH\
                  piVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19";
    let token_call = "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2Vyd\
                      mVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP\
                      0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    let resource_call = "eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZX\
                         NvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwi\
                         YXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9R\
                         P35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMx\
                         hAJpLjA";
    let key = KeyThumbprint("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".into());
    for (call, method, url, made, token) in [
        (
            token_call,
            "POST",
            "https://server.example.com/token",
            1_562_262_616,
            None,
        ),
        (
            resource_call,
            "GET",
            "https://resource.example.org/protectedresource",
            1_562_262_618,
            Some("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
        ),
    ] {
        let proof = format!("{header}.{call}");
        let url = Url::parse(url).unwrap();
        let now = jitney_core::time::Timestamp::from_seconds(made);
        let expected = Expected {
            method,
            url: &url,
            now,
            key: Some(&key),
            token,
        };
        assert_eq!(verify(&proof, &expected).unwrap().thumbprint, key);
    }
}

#[test]
fn an_ed25519_key_proves_as_well() {
    // The key and the thumbprint of RFC 8037, appendix A.
    let seed = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key())});
    let message = good().header("alg", "EdDSA").header("jwk", jwk).message();
    let proof = format!("{message}.{}", b64(pair.sign(message.as_bytes())));
    let proved = judge(&proof, |_| ()).unwrap();
    assert_eq!(
        proved.thumbprint.0,
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
}

#[test]
fn headers_that_are_not_a_proofs_are_refused() {
    for typ in ["JWT", "at+jwt", "DPOP+JWT", "dpop+jwt ", ""] {
        assert_eq!(
            refused(&good().header("typ", typ)),
            RefusalCode::BadProof,
            "{typ}"
        );
    }
    let mut untyped = good();
    untyped.header.remove("typ");
    assert_eq!(refused(&untyped), RefusalCode::BadProof);
    for alg in ["none", "HS256", "RS256", "ES384", "es256", ""] {
        assert_eq!(
            refused(&good().header("alg", alg)),
            RefusalCode::BadAlg,
            "{alg}"
        );
    }
    for name in ["jku", "x5u", "x5c", "crit", "b64"] {
        assert_eq!(
            refused(&good().header(name, json!(["x"]))),
            RefusalCode::BadProof,
            "{name}"
        );
    }
}

#[test]
fn keys_that_prove_nothing_are_refused() {
    let key = |name: &str, value: Value| {
        let mut draft = good();
        draft.header["jwk"][name] = value;
        draft
    };
    for (name, value) in [
        ("d", json!("AAAA")),
        ("k", json!("AAAA")),
        ("kty", json!("oct")),
        ("kty", json!("RSA")),
        ("crv", json!("P-384")),
        ("x", json!("AAAA")),
        ("y", json!(7)),
        ("use", json!("enc")),
        ("alg", json!("ES384")),
    ] {
        assert_eq!(refused(&key(name, value)), RefusalCode::BadProof, "{name}");
    }
    for jwk in [Value::Null, json!("key"), json!([]), rsa().jwk("key-1")] {
        assert_eq!(refused(&good().header("jwk", jwk)), RefusalCode::BadProof);
    }
    let mut keyless = good();
    keyless.header.remove("jwk");
    assert_eq!(refused(&keyless), RefusalCode::BadProof);
}

#[test]
fn a_signature_by_another_key_than_the_one_shown_is_refused() {
    let mut swapped = good();
    // The key of RFC 9449's examples: a point of the curve, but not the one that signs here.
    swapped.header["jwk"]["x"] = json!("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs");
    swapped.header["jwk"]["y"] = json!("9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA");
    assert_eq!(refused(&swapped), RefusalCode::BadSignature);
    let unsigned = format!("{}.", good().message());
    assert_eq!(
        judge(&unsigned, |_| ()).unwrap_err().code,
        RefusalCode::BadSignature
    );
}

#[test]
fn a_proof_is_for_one_method_address_and_token() {
    for (name, value) in [
        ("htm", "GET"),
        ("htm", "post"),
        ("htu", "https://jitney.acme.example/v1/requests/"),
        ("htu", "https://jitney.acme.example/v1/leases"),
        ("htu", "https://jitney.acme.example/V1/requests"),
        ("htu", "http://jitney.acme.example/v1/requests"),
        ("htu", "https://jitney.acme.example:8443/v1/requests"),
        (
            "htu",
            "https://jitney.acme.example.evil.example/v1/requests",
        ),
        ("htu", "https://user@jitney.acme.example/v1/requests"),
        ("ath", "AAAA"),
        ("ath", TOKEN),
    ] {
        let draft = good().claim(name, value);
        assert_eq!(
            refused(&draft),
            RefusalCode::ProofMismatch,
            "{name} {value}"
        );
    }
    for name in ["htm", "htu", "ath", "jti", "iat"] {
        assert_eq!(
            refused(&good().without(name)),
            RefusalCode::BadProof,
            "{name}"
        );
        assert_eq!(
            refused(&good().claim(name, "")),
            RefusalCode::BadProof,
            "{name}"
        );
        assert_eq!(
            refused(&good().claim(name, json!([1]))),
            RefusalCode::BadProof,
            "{name}"
        );
    }
    assert_eq!(
        refused(&good().claim("htu", "/v1/requests")),
        RefusalCode::BadProof
    );
}

#[test]
fn spellings_of_the_same_address_are_the_same() {
    for htu in [
        "https://jitney.acme.example:443/v1/requests",
        "HTTPS://JITNEY.acme.example/v1/requests",
        "https://jitney.acme.example/v1/./requests",
        "https://jitney.acme.example/v1/requests?wait=30",
        "https://jitney.acme.example/v1/requests#part",
    ] {
        judge(&good().claim("htu", htu).mint(), |_| ()).unwrap();
    }
    let called = Url::parse(&format!("{URL}?wait=30")).unwrap();
    let proof = good().mint();
    let expected = Expected {
        method: "POST",
        url: &called,
        now: after(1),
        key: None,
        token: None,
    };
    verify(&proof, &expected).unwrap();
}

#[test]
fn a_proof_is_good_for_a_minute_before_and_after() {
    let code = |seconds: i64| {
        judge(&good().mint(), |expected| expected.now = after(seconds))
            .err()
            .map(|refusal| refusal.code)
    };
    assert_eq!(code(-60), None);
    assert_eq!(code(60), None);
    assert_eq!(code(61), Some(RefusalCode::ProofTooOld));
    assert_eq!(code(-61), Some(RefusalCode::ProofNotYetValid));
    for iat in [
        json!(1e300),
        json!(1.5),
        json!("1795392000"),
        json!(u64::MAX),
    ] {
        assert_eq!(refused(&good().claim("iat", iat)), RefusalCode::BadProof);
    }
    assert_eq!(
        refused(&good().claim("iat", i64::MIN)),
        RefusalCode::ProofTooOld
    );
    assert_eq!(
        refused(&good().claim("iat", i64::MAX)),
        RefusalCode::ProofNotYetValid
    );
}

#[test]
fn the_bound_key_is_demanded() {
    let proof = good().mint();
    let bound = judge(&proof, |_| ()).unwrap().thumbprint;
    judge(&proof, |expected| expected.key = Some(&bound)).unwrap();
    let other = KeyThumbprint("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".into());
    let refusal = judge(&proof, |expected| expected.key = Some(&other)).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::ProofKeyMismatch);
    assert!(
        !refusal.job_text.contains(&other.0),
        "whose key it is, is not told"
    );
}

#[test]
fn a_ci_token_is_no_proof_and_a_proof_is_no_ci_token() {
    let token = Draft::new_p256("https://ci.example")
        .header("jwk", p256().jwk("key-1"))
        .mint();
    assert_eq!(
        judge(&token, |_| ()).unwrap_err().code,
        RefusalCode::BadProof
    );
}

#[test]
fn lengths_are_bounded() {
    for (jti, ok) in [(128, true), (129, false)] {
        let judged = judge(&good().claim("jti", "j".repeat(jti)).mint(), |_| ());
        assert_eq!(judged.is_ok(), ok, "{jti}");
    }
    assert_eq!(refused(&good().claim("jti", "a\nb")), RefusalCode::BadProof);
    let long = format!("{}{}", good().mint(), "A".repeat(PROOF_BYTES_MAX));
    assert_eq!(
        judge(&long, |_| ()).unwrap_err().code,
        RefusalCode::ProofTooLong
    );
}

#[test]
fn a_proof_is_used_once_for_as_long_as_it_is_believed() {
    let window = ReplayWindow::new(after(0), ReplayBounds::default());
    let proof = good().mint();
    let first = judge(&proof, |_| ()).unwrap();
    window.admit(&first, after(1)).unwrap();
    let again = judge(&proof, |expected| expected.now = after(60)).unwrap();
    let refusal = window.admit(&again, after(60)).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::ProofReplayed);
    assert!(first.remember_until > after(0).plus(PROOF_AGE_MAX));
    // The same `jti` signed anew is the same use; another key's is not.
    let resigned = judge(&good().claim("iat", IAT + 2).mint(), |_| ()).unwrap();
    assert_eq!(resigned.once, first.once);
    let other = judge(&good().claim("jti", "proof-2").mint(), |_| ()).unwrap();
    window.admit(&other, after(60)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn arbitrary_text_is_no_proof(text in "\\PC{0,300}") {
        prop_assert!(judge(&text, |_| ()).is_err());
    }

    #[test]
    fn arbitrary_parts_are_no_proof(
        header in proptest::collection::vec(any::<u8>(), 0..200),
        claims in proptest::collection::vec(any::<u8>(), 0..200),
        signature in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let proof = format!("{}.{}.{}", b64(header), b64(claims), b64(signature));
        prop_assert!(judge(&proof, |_| ()).is_err());
    }

    #[test]
    fn one_changed_character_is_one_too_many(
        position in 0_usize..1024,
        to in proptest::char::range(' ', '~'),
    ) {
        let proof = good().mint();
        let position = position % proof.len();
        let changed: String = proof
            .chars()
            .enumerate()
            .map(|(at, was)| if at == position { to } else { was })
            .collect();
        prop_assert_eq!(judge(&changed, |_| ()).is_ok(), changed == proof);
    }

    #[test]
    fn a_believed_proof_says_what_the_call_is(
        method in "(POST|GET|post|)",
        path in "(/v1/requests|/v1/leases|/v1/requests/x|)",
        jti in ".{0,12}",
        made in -100_i64..100,
    ) {
        let htu = format!("https://jitney.acme.example{path}");
        let changes: Map<String, Value> = [
            ("htm".to_owned(), json!(method)),
            ("htu".to_owned(), json!(htu)),
            ("jti".to_owned(), json!(jti)),
            ("iat".to_owned(), json!(IAT + made)),
        ]
        .into_iter()
        .collect();
        let mut draft = good();
        draft.claims.extend(changes);
        let believed = judge(&draft.mint(), |_| ()).is_ok();
        let printable = !jti.is_empty() && jti.bytes().all(|b| (0x20..0x7f).contains(&b));
        let fits = method == "POST" && htu == URL && printable && (-59..=61).contains(&made);
        prop_assert_eq!(believed, fits);
    }
}
