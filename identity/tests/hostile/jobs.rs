//! What an accepted token says about its job, and which tokens are one and the same.

use jitney_core::principal::Origin;
use jitney_identity::{LEEWAY_SECONDS_MAX, RefusalCode};
use serde_json::json;

use crate::issuer::{FakeIssuer, verifier};
use crate::mint::{Draft, after};

#[tokio::test]
async fn a_job_is_known_by_its_token() {
    let issuer = FakeIssuer::start().await;
    let verified = issuer
        .verifier()
        .verify(&Draft::new(&issuer.url).mint(), after(1))
        .await
        .unwrap();
    let job = verified.job;
    assert_eq!(job.issuer, issuer.url);
    assert_eq!(job.repository.id, "2002");
    assert_eq!(job.origin, Origin::Same);
    assert_eq!(job.properties["data_classification"], "restricted");
    assert_eq!(verified.token.issued_at, after(0));
    assert_eq!(verified.token.expires_at, after(300));
}

#[tokio::test]
async fn cross_provider_claims_make_another_job_and_another_once_key() {
    // An Enterprise Server chooses its own ids; nothing stops it from using github.com's.
    let github = FakeIssuer::start().await;
    let ghes = FakeIssuer::start().await;
    let mut ghes_config = ghes.config();
    ghes_config["name"] = json!("ghes");
    let verifier = verifier(&[github.config(), ghes_config]);
    let mut verified = Vec::new();
    for issuer in [&github, &ghes] {
        let token = Draft::new(&issuer.url).mint();
        verified.push(verifier.verify(&token, after(1)).await.unwrap());
    }
    let [of_github, of_ghes] = verified.as_slice() else {
        panic!("two tokens")
    };
    assert_eq!(of_github.job.repository, of_ghes.job.repository);
    assert_eq!(of_ghes.job.issuer, ghes.url);
    assert_ne!(of_github.job.issuer, of_ghes.job.issuer);
    assert_ne!(of_github.job.key, of_ghes.job.key);
    assert_ne!(of_github.token.once, of_ghes.token.once);
}

#[tokio::test]
async fn replay_after_leeway_a_once_key_outlives_its_token() {
    let issuer = FakeIssuer::start().await;
    for leeway in [30, 45, 60] {
        let mut config = issuer.config();
        config["leeway_seconds"] = json!(leeway);
        config["max_token_age_seconds"] = json!(3600);
        let verifier = verifier(&[config]);
        let token = Draft::new(&issuer.url).mint();
        let last = after(300 + leeway - 1);
        let verified = verifier.verify(&token, last).await.unwrap();
        assert!(verified.token.remember_until > last);
        // Also when the operator raises the leeway to the largest there is.
        let largest = after(300 + i64::try_from(LEEWAY_SECONDS_MAX).unwrap());
        assert!(verified.token.remember_until > largest);
        let refusal = verifier
            .verify(&token, after(300 + leeway))
            .await
            .unwrap_err();
        assert_eq!(refusal.code, RefusalCode::TokenExpired);
    }
}

#[tokio::test]
async fn the_same_jti_has_the_same_once_key_whatever_else_the_token_says() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let once = async |draft: Draft| {
        verifier
            .verify(&draft.mint(), after(1))
            .await
            .unwrap()
            .token
            .once
    };
    let good = Draft::new(&issuer.url);
    let first = once(good.clone()).await;
    assert_eq!(first, once(good.clone().claim("sha", "0".repeat(40))).await);
    assert_eq!(first, once(good.clone().header("x5t", "other")).await);
    assert_ne!(first, once(good.clone().claim("jti", "another")).await);
}

#[tokio::test]
async fn a_fresh_token_of_the_same_job_has_the_same_job_key() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let good = Draft::new(&issuer.url);
    let key = async |draft: Draft| {
        verifier
            .verify(&draft.mint(), after(1))
            .await
            .unwrap()
            .job
            .key
    };
    let first = key(good.clone()).await;
    assert_eq!(first, key(good.clone().claim("jti", "fresh")).await);
    for (name, value) in [("run_attempt", "2"), ("check_run_id", "1"), ("run_id", "1")] {
        assert_ne!(first, key(good.clone().claim(name, value)).await, "{name}");
    }
}

#[tokio::test]
async fn sub_colon_an_environment_cannot_pretend_to_be_a_branch() {
    let issuer = FakeIssuer::start().await;
    let environment = "x:ref:refs/heads/main";
    let token = Draft::new(&issuer.url)
        .claim("environment", environment)
        .claim("sub", format!("repo:acme/shop:environment:{environment}"))
        .claim("ref", "refs/heads/feature");
    let job = issuer
        .verifier()
        .verify(&token.mint(), after(1))
        .await
        .unwrap()
        .job;
    assert_eq!(job.git_ref.full, "refs/heads/feature");
    assert_eq!(job.environment.as_deref(), Some(environment));
}

#[tokio::test]
async fn prt_events_with_foreign_code_are_not_called_the_repositorys_own() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    for event in [
        "pull_request",
        "pull_request_target",
        "workflow_run",
        "issue_comment",
    ] {
        let token = Draft::new(&issuer.url).claim("event_name", event).mint();
        let job = verifier.verify(&token, after(1)).await.unwrap().job;
        assert_eq!(job.origin, Origin::CannotTell, "{event}");
    }
}

#[tokio::test]
async fn claims_that_are_new_to_us_are_counted_and_ignored() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let token = Draft::new(&issuer.url)
        .claim("claim_of_tomorrow", json!([1]))
        .mint();
    verifier.verify(&token, after(1)).await.unwrap();
    assert_eq!(verifier.unknown_claims(), 1);
}

#[tokio::test]
async fn an_old_server_without_check_runs_is_understood() {
    let issuer = FakeIssuer::start().await;
    let token = Draft::new(&issuer.url).without("check_run_id").mint();
    let job = issuer
        .verifier()
        .verify(&token, after(1))
        .await
        .unwrap()
        .job;
    assert_eq!(job.job_id, None);
}
