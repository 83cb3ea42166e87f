//! Tokens that come with signs of life: good for that, and for nothing else.

use jitney_identity::RefusalCode;
use serde_json::json;

use crate::issuer::{FakeIssuer, verifier};
use crate::mint::{AUDIENCE, Draft, IAT, after, other_rsa};

const BEATS: &str = "https://jitney.acme.example/beat";

#[tokio::test]
async fn a_token_for_beats_proves_life_and_asks_for_nothing() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let request = Draft::new(&issuer.url);
    let beat = request.clone().claim("aud", BEATS);
    let proved = verifier.verify_beat(&beat.mint(), after(7)).await.unwrap();
    let verified = verifier.verify(&request.mint(), after(7)).await.unwrap();
    assert_eq!(proved.job, verified.job.key);
    // When it was minted, not when it came.
    assert_eq!(proved.minted_at.as_seconds(), IAT);
    let refused = verifier.verify(&beat.mint(), after(7)).await.unwrap_err();
    assert_eq!(refused.code, RefusalCode::BadAudience);
    assert!(
        refused
            .job_text
            .contains(&format!("the audience `{AUDIENCE}`"))
    );
    let reverse = verifier.verify_beat(&request.mint(), after(7)).await;
    let refused = reverse.unwrap_err();
    assert_eq!(refused.code, RefusalCode::BadAudience);
    assert!(
        refused
            .job_text
            .contains(&format!("the audience `{BEATS}`"))
    );
}

#[tokio::test]
async fn a_token_for_beats_is_judged_like_any_other() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url).claim("aud", BEATS);
    verifier.verify_beat(&good.mint(), after(1)).await.unwrap();
    for (case, expected, token) in [
        (
            "both audiences",
            RefusalCode::BadAudience,
            good.clone().claim("aud", json!([AUDIENCE, BEATS])),
        ),
        (
            "in an array",
            RefusalCode::BadAudience,
            good.clone().claim("aud", json!([BEATS])),
        ),
        (
            "nearly",
            RefusalCode::BadAudience,
            good.clone().claim("aud", format!("{BEATS}/")),
        ),
        (
            "without",
            RefusalCode::MissingClaim,
            good.clone().without("aud"),
        ),
        (
            "another key",
            RefusalCode::BadSignature,
            good.clone().signed_with(other_rsa(), "key-1"),
        ),
        (
            "long ago",
            RefusalCode::TokenExpired,
            good.clone().issued_after(-600),
        ),
        (
            "an hour old",
            RefusalCode::TokenTooOld,
            good.clone().claim("iat", IAT - 200).claim("exp", IAT + 300),
        ),
        (
            "in the future",
            RefusalCode::TokenNotYetValid,
            good.clone().issued_after(700),
        ),
        (
            "no job",
            RefusalCode::MissingClaim,
            good.clone().without("run_id"),
        ),
    ] {
        let refused = verifier.verify_beat(&token.mint(), after(1)).await;
        assert_eq!(refused.unwrap_err().code, expected, "{case}");
    }
}

#[tokio::test]
async fn an_issuer_that_mints_nothing_fresh_proves_no_life() {
    let issuer = FakeIssuer::start().await;
    let mut config = issuer.config();
    config["fresh_tokens"] = json!(false);
    let stale = verifier(&[config.clone()]);
    let token = Draft::new(&issuer.url).claim("aud", BEATS).mint();
    issuer
        .verifier()
        .verify_beat(&token, after(1))
        .await
        .unwrap();
    let refused = stale.verify_beat(&token, after(1)).await.unwrap_err();
    assert_eq!(refused.code, RefusalCode::BadAudience);
    assert!(refused.job_text.contains("fresh_tokens = false"));
    // Its requests are taken all the same.
    stale
        .verify(&Draft::new(&issuer.url).mint(), after(1))
        .await
        .unwrap();
}
