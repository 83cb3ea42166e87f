//! Tokens of GitLab that are almost right, and what an accepted one says.

use std::time::Duration;

use jitney_core::principal::{Origin, Provider};
use jitney_identity::{ProviderClaims, Refusal, RefusalCode, Verified, Verifier};
use serde_json::{Value, json};

use crate::issuer::{FakeIssuer, verifier};
use crate::mint::{AUDIENCE, Draft, IAT, after, other_rsa};

/// As long as a job may run, unless its project says otherwise.
const LIFETIME: i64 = 3600;

/// A token of the job `deploy` of `acme/shop`, as GitLab would issue it.
fn draft(issuer: &str) -> Draft {
    let commit = "714a629c0b401fdce83e847fc9589983fc6f46bc";
    let claims = json!({
        "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
        "sub": "project_path:acme/shop:ref_type:branch:ref:main",
        "aud": AUDIENCE, "iss": issuer, "nbf": IAT - 5, "exp": IAT + LIFETIME, "iat": IAT,
        "namespace_id": "72", "namespace_path": "acme",
        "project_id": "20", "project_path": "acme/shop", "project_visibility": "private",
        "job_namespace_id": "72", "job_namespace_path": "acme",
        "job_project_id": "20", "job_project_path": "acme/shop",
        "user_id": "31337", "user_login": "lab-dev", "user_email": "dev@acme.example",
        "user_access_level": "maintainer", "groups_direct": ["acme/deployers"],
        "user_identities": [{"provider": "saml", "extern_uid": "dev"}],
        "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
        "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
        "ref_protected": "true", "environment": "production", "environment_protected": "true",
        "deployment_tier": "production", "environment_action": "start",
        "runner_id": 1, "runner_environment": "gitlab-hosted", "sha": commit,
        "ci_config_ref_uri": "gitlab.test/acme/shop//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": commit,
    });
    Draft {
        claims: claims.as_object().unwrap().clone(),
        ..Draft::new(issuer)
    }
}

fn config(issuer: &FakeIssuer) -> Value {
    let mut config = issuer.config();
    config["provider"] = json!("gitlab-ci");
    config
}

fn verifier_of(issuer: &FakeIssuer) -> Verifier {
    verifier(&[config(issuer)])
}

/// Verifies with a fresh verifier, after making sure that the unchanged token is accepted by it.
async fn judge(issuer: &FakeIssuer, token: &Draft) -> Result<Verified, Refusal> {
    let verifier = verifier_of(issuer);
    let good = verifier.verify(&draft(&issuer.url).mint(), after(1)).await;
    good.expect("the unchanged token");
    verifier.verify(&token.mint(), after(1)).await
}

async fn demand(issuer: &FakeIssuer, cases: Vec<(&str, RefusalCode, Draft)>) {
    for (case, expected, token) in cases {
        match judge(issuer, &token).await {
            Ok(_) => panic!("accepted: {case}"),
            Err(refusal) => assert_eq!(refusal.code, expected, "{case}: {refusal:?}"),
        }
    }
}

#[tokio::test]
async fn a_job_is_known_by_its_token_for_as_long_as_it_may_run() {
    let issuer = FakeIssuer::start().await;
    let verifier = verifier_of(&issuer);
    let token = draft(&issuer.url).mint();
    let verified = verifier.verify(&token, after(1)).await.unwrap();
    assert_eq!(verified.job.provider, Provider::GitlabCi);
    assert_eq!(verified.job.issuer, issuer.url);
    assert_eq!(verified.job.origin, Origin::Same);
    assert_eq!(verified.job.repository.id, "20");
    let ProviderClaims::GitlabCi(claims) = &verified.claims else {
        panic!("{:?}", verified.claims)
    };
    assert_eq!((claims.runner_id, claims.job_id.as_str()), (Some(1), "302"));
    assert_eq!(verifier.unknown_claims(), 0);
    // A deploy at the end of a long job has the token of its beginning, and no other.
    let late = after(LIFETIME + 29);
    let again = verifier.verify(&token, late).await.unwrap();
    assert_eq!(again.token.once, verified.token.once);
    assert!(again.token.remember_until > late.plus(Duration::from_secs(31)));
    let over = verifier.verify(&token, after(LIFETIME + 30)).await;
    assert_eq!(over.unwrap_err().code, RefusalCode::TokenExpired);
}

#[tokio::test]
async fn what_is_wrong_with_any_token_is_wrong_with_these() {
    use RefusalCode as Code;
    let issuer = FakeIssuer::start().await;
    let good = || draft(&issuer.url);
    let slash = format!("{}/", issuer.url);
    demand(
        &issuer,
        vec![
            ("alg-none", Code::BadAlg, good().header("alg", "none")),
            ("alg-hs256", Code::BadAlg, good().header("alg", "HS256")),
            (
                "jku-header",
                Code::BadHeader,
                good().header("jku", "https://a.example"),
            ),
            (
                "kid-traversal",
                Code::UnknownKey,
                good().header("kid", "../../etc/passwd"),
            ),
            (
                "iss-trailing-slash",
                Code::UnknownIssuer,
                good().claim("iss", slash),
            ),
            (
                "aud-default",
                Code::BadAudience,
                good().claim("aud", issuer.url.clone()),
            ),
            (
                "aud-array",
                Code::BadAudience,
                good().claim("aud", json!([AUDIENCE])),
            ),
            (
                "aud-array-two",
                Code::BadAudience,
                good().claim("aud", json!([AUDIENCE, "https://other.example"])),
            ),
            ("aud-missing", Code::MissingClaim, good().without("aud")),
            ("exp-missing", Code::MissingClaim, good().without("exp")),
            ("iat-missing", Code::MissingClaim, good().without("iat")),
            ("jti-missing", Code::MissingClaim, good().without("jti")),
            ("sub-missing", Code::MissingClaim, good().without("sub")),
            (
                "exp-far",
                Code::TokenLifetimeTooLong,
                good().claim("exp", IAT + 30 * 86_400),
            ),
            (
                "a second longer",
                Code::TokenLifetimeTooLong,
                good().claim("exp", IAT + LIFETIME + 1),
            ),
            (
                "iat-future",
                Code::TokenNotYetValid,
                good().claim("iat", IAT + 600),
            ),
            (
                "nbf-future",
                Code::TokenNotYetValid,
                good().claim("nbf", IAT + 600),
            ),
            (
                "another key",
                Code::BadSignature,
                good().signed_with(other_rsa(), "key-1"),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn claims_of_another_type_or_that_disagree_are_refused() {
    let issuer = FakeIssuer::start().await;
    let good = || draft(&issuer.url);
    let mut cases = Vec::new();
    for (case, name, value) in [
        ("a number as project", "project_id", json!(20)),
        ("a number as job", "job_id", json!(302)),
        ("a number as job's project", "job_project_id", json!(20)),
        ("an id with a zero before it", "project_id", json!("020")),
        ("a runner's id as text", "runner_id", json!("1")),
        ("a flag that is none", "ref_protected", json!(true)),
        (
            "an environment's flag",
            "environment_protected",
            json!("True"),
        ),
        ("a group that is none", "groups_direct", json!([7])),
        ("a line in a name", "user_login", json!("a\nb")),
        ("a short commit", "sha", json!("714a629")),
        (
            "a project of another owner",
            "project_path",
            json!("evil/shop"),
        ),
        (
            "a project below the owner's",
            "project_path",
            json!("acme/evil/shop"),
        ),
        ("a ref that is not in full", "ref_path", json!("main")),
        (
            "a branch that is a tag",
            "ref_path",
            json!("refs/tags/main"),
        ),
        ("another branch", "ref_path", json!("refs/heads/evil")),
        (
            "a merge request's ref",
            "ref_path",
            json!("refs/merge-requests/1/head"),
        ),
        ("a type that is neither", "ref_type", json!("merge_request")),
    ] {
        let token = good().claim(name, value);
        cases.push((case, RefusalCode::BadClaim, token));
    }
    for name in [
        "job_id",
        "project_id",
        "namespace_id",
        "pipeline_id",
        "pipeline_source",
        "ref_path",
        "ci_config_ref_uri",
        "user_id",
    ] {
        cases.push((name, RefusalCode::MissingClaim, good().without(name)));
    }
    demand(&issuer, cases).await;
}

#[tokio::test]
async fn fork_mr_gitlab_the_code_of_a_fork_is_known_by_the_ids_alone() {
    let issuer = FakeIssuer::start().await;
    let fork = draft(&issuer.url).claim("project_id", "999");
    let job = judge(&issuer, &fork).await.unwrap().job;
    assert_eq!(job.origin, Origin::Fork);
    assert_eq!(job.repository.id, "999");
    // Names that agree, and a ref that says it is protected, change nothing.
    let whole = fork
        .claim("project_path", "evil/shop")
        .claim("namespace_path", "evil")
        .claim("namespace_id", "888")
        .claim("pipeline_source", "merge_request_event");
    assert_eq!(
        judge(&issuer, &whole).await.unwrap().job.origin,
        Origin::Fork
    );
    let old = draft(&issuer.url).without("job_project_id");
    let old = judge(&issuer, &old).await.unwrap().job;
    assert_eq!(old.origin, Origin::CannotTell);
}

#[tokio::test]
async fn what_starts_a_pipeline_is_of_the_project_or_cannot_be_told() {
    let issuer = FakeIssuer::start().await;
    for (source, origin) in [
        ("merge_request_event", Origin::Same),
        ("schedule", Origin::Same),
        ("pipeline", Origin::CannotTell),
        ("parent_pipeline", Origin::CannotTell),
        ("external_pull_request_event", Origin::CannotTell),
        ("pull_request_target", Origin::CannotTell),
        ("anything else", Origin::CannotTell),
    ] {
        let token = draft(&issuer.url).claim("pipeline_source", source);
        let job = judge(&issuer, &token).await.unwrap().job;
        assert_eq!((job.origin, job.event.as_str()), (origin, source));
    }
}

#[tokio::test]
async fn sub_colon_an_environment_cannot_pretend_to_be_a_branch() {
    let issuer = FakeIssuer::start().await;
    let environment = "x:ref_type:branch:ref:main";
    let token = draft(&issuer.url)
        .claim("environment", environment)
        .claim("sub", "project_path:acme/shop:ref_type:branch:ref:main")
        .claim("ref", "feature")
        .claim("ref_path", "refs/heads/feature");
    let job = judge(&issuer, &token).await.unwrap().job;
    assert_eq!(job.git_ref.full, "refs/heads/feature");
    assert_eq!(job.environment.as_deref(), Some(environment));
}

#[tokio::test]
async fn cross_issuer_key_and_cross_provider_claims_are_refused() {
    let (lab, other, hub) = (
        FakeIssuer::start().await,
        FakeIssuer::start().await,
        FakeIssuer::start().await,
    );
    other.publish(&[(other_rsa(), "key-2", Some("RS256"))]);
    let named = |mut config: Value, name: &str| {
        config["name"] = json!(name);
        config
    };
    let verifier = verifier(&[
        named(config(&lab), "lab"),
        named(config(&other), "other"),
        named(hub.config(), "hub"),
    ]);
    let verify = async |token: Draft| verifier.verify(&token.mint(), after(1)).await;
    let own = verify(draft(&lab.url)).await.unwrap().job;
    let theirs = verify(draft(&other.url).signed_with(other_rsa(), "key-2")).await;
    assert_ne!(own.key, theirs.unwrap().job.key);
    verify(Draft::new(&hub.url)).await.unwrap();
    for (case, expected, token) in [
        (
            "signed by another instance",
            RefusalCode::BadSignature,
            draft(&lab.url).signed_with(other_rsa(), "key-1"),
        ),
        (
            "a key of another instance",
            RefusalCode::UnknownKey,
            draft(&lab.url).signed_with(other_rsa(), "key-2"),
        ),
        (
            "GitHub's claims from GitLab",
            RefusalCode::MissingClaim,
            Draft::new(&lab.url),
        ),
        (
            "GitLab's claims from GitHub",
            RefusalCode::TokenLifetimeTooLong,
            draft(&hub.url),
        ),
        (
            "the same, as short as GitHub's",
            RefusalCode::MissingClaim,
            draft(&hub.url).claim("exp", IAT + 300),
        ),
    ] {
        assert_eq!(verify(token).await.unwrap_err().code, expected, "{case}");
    }
}

#[tokio::test]
async fn no_token_of_gitlab_is_a_sign_of_life() {
    let issuer = FakeIssuer::start().await;
    let verifier = verifier_of(&issuer);
    for audience in [AUDIENCE.to_owned(), format!("{AUDIENCE}/beat")] {
        let token = draft(&issuer.url).claim("aud", audience).mint();
        let refused = verifier.verify_beat(&token, after(1)).await.unwrap_err();
        assert_eq!(refused.code, RefusalCode::BadAudience);
        assert!(refused.job_text.contains("GitLab never"), "{refused:?}");
    }
}
