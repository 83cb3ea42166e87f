//! The sandbox's CI issuer, which knows nothing of this crate: what it mints for an honest job is
//! believed, and each of its ways to go wrong is refused. Verifier and issuer cannot share a
//! misreading.

use std::time::{SystemTime, UNIX_EPOCH};

use jitney_core::principal::Origin;
use jitney_core::time::Timestamp;
use jitney_identity::{RefusalCode, Verifier};
use jitney_sandbox::ci::{CiIssuer, CiOptions, Fault, GithubJob, SignWith};
use serde_json::{Map, Value, json};

use crate::issuer::verifier;
use crate::mint::AUDIENCE;

/// The sandbox mints by the machine's clock.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_seconds(i64::try_from(since.as_secs()).unwrap())
}

async fn start() -> (CiIssuer, Verifier) {
    start_at("").await
}

async fn start_at(issuer_path: &str) -> (CiIssuer, Verifier) {
    let options = CiOptions {
        issuer_path: issuer_path.to_owned(),
        ..CiOptions::default()
    };
    let issuer = CiIssuer::start(options).await.unwrap();
    let verifier = verifier_of(&issuer);
    (issuer, verifier)
}

fn verifier_of(issuer: &CiIssuer) -> Verifier {
    verifier(&[
        json!({"name": "sandbox", "url": issuer.url(), "provider": "github-actions",
                      "audience": AUDIENCE, "allow_private": true}),
    ])
}

#[tokio::test]
async fn jobs_of_the_sandbox_are_believed_and_told_apart() {
    for path in ["", "/acme-corp"] {
        let (issuer, verifier) = start_at(path).await;
        for (job, origin) in [
            (GithubJob::push_to_main(), Origin::Same),
            (GithubJob::push_to_main().legacy_subject(), Origin::Same),
            (
                GithubJob::push_to_main().environment("Production:V1"),
                Origin::Same,
            ),
            (
                GithubJob::push_to_main().without("check_run_id"),
                Origin::Same,
            ),
            (GithubJob::pull_request_from_fork(), Origin::CannotTell),
            (GithubJob::pull_request_target(), Origin::CannotTell),
            (GithubJob::workflow_run(), Origin::CannotTell),
        ] {
            let running = issuer.job(job);
            let first = verifier
                .verify(&running.token(AUDIENCE).unwrap(), now())
                .await
                .unwrap();
            assert_eq!(first.job.origin, origin);
            assert_eq!(first.job.issuer, issuer.url());
            let second = verifier
                .verify(&running.token(AUDIENCE).unwrap(), now())
                .await
                .unwrap();
            assert_eq!(first.job.key, second.job.key);
            assert_ne!(first.token.once, second.token.once);
        }
        assert_eq!(issuer.jwks_fetches(), 1);
        assert_eq!(
            verifier.unknown_claims(),
            0,
            "every claim of GitHub is known"
        );
    }
}

#[tokio::test]
async fn tokens_that_the_sandbox_forges_are_refused() {
    let (issuer, verifier) = start().await;
    let claims = issuer.job(GithubJob::push_to_main()).claims(Some(AUDIENCE));
    let header = issuer.header();
    let judge = async |header: &Value, key: SignWith| {
        let token = issuer.mint(&claims, header, key).unwrap();
        verifier
            .verify(&token, now())
            .await
            .err()
            .map(|refusal| refusal.code)
    };
    let with_alg = |alg: &str| {
        let mut header = header.clone();
        header["alg"] = json!(alg);
        header
    };
    assert_eq!(judge(&header, SignWith::Current).await, None);
    for (header, key, code) in [
        (with_alg("none"), SignWith::Nothing, RefusalCode::BadAlg),
        (
            with_alg("HS256"),
            SignWith::PublicKeyAsSecret,
            RefusalCode::BadAlg,
        ),
        (with_alg("RS512"), SignWith::Current, RefusalCode::BadAlg),
        (with_alg("PS256"), SignWith::Current, RefusalCode::BadAlg),
        (
            header.clone(),
            SignWith::Stranger,
            RefusalCode::BadSignature,
        ),
        (
            header.clone(),
            SignWith::PublicKeyAsSecret,
            RefusalCode::BadSignature,
        ),
        (header.clone(), SignWith::Nothing, RefusalCode::BadSignature),
    ] {
        assert_eq!(judge(&header, key).await, Some(code), "{header} {key:?}");
    }
}

#[tokio::test]
async fn the_default_audience_of_github_is_refused() {
    let (issuer, verifier) = start().await;
    let claims = issuer.job(GithubJob::push_to_main()).claims(None);
    let token = issuer
        .mint(&claims, &issuer.header(), SignWith::Current)
        .unwrap();
    let refusal = verifier.verify(&token, now()).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::BadAudience);
    assert!(
        refusal.job_text.contains(AUDIENCE),
        "the job learns what to ask for"
    );
}

#[tokio::test]
async fn a_rotation_is_followed_with_and_without_the_old_key() {
    let (issuer, verifier) = start().await;
    let job = issuer.job(GithubJob::push_to_main());
    let old = job.token(AUDIENCE).unwrap();
    verifier.verify(&old, now()).await.unwrap();
    issuer.rotate_keys(true).unwrap();
    verifier
        .verify(&job.token(AUDIENCE).unwrap(), now())
        .await
        .unwrap();
    verifier.verify(&old, now()).await.unwrap();
    assert_eq!(issuer.jwks_fetches(), 2);
    issuer.rotate_keys(false).unwrap();
    let fresh = verifier_of(&issuer);
    fresh
        .verify(&job.token(AUDIENCE).unwrap(), now())
        .await
        .unwrap();
    let refusal = fresh.verify(&old, now()).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::UnknownKey);
}

/// In each of these the true keys still come, so a fetcher without the guard would believe them.
#[tokio::test]
async fn documents_that_are_true_but_wrongly_given_are_refused() {
    let key_set_faults = [
        Fault::Drip { interval_ms: 20 },
        Fault::Slow { delay_ms: 7_000 },
        Fault::Huge {
            bytes: 10 << 20,
            length_announced: true,
        },
        Fault::Huge {
            bytes: 10 << 20,
            length_announced: false,
        },
        Fault::Redirect { to: None },
        Fault::Status(500),
        Fault::empty_key_set(),
    ];
    let foreign: Map<String, Value> = [(
        "issuer".to_owned(),
        json!("https://token.actions.githubusercontent.com"),
    )]
    .into_iter()
    .collect();
    let discovery_faults = [Fault::Redirect { to: None }, Fault::Members(foreign)];
    let mut running = tokio::task::JoinSet::new();
    let faults = key_set_faults
        .into_iter()
        .map(|fault| (Some(fault), None))
        .chain(
            discovery_faults
                .into_iter()
                .map(|fault| (None, Some(fault))),
        );
    for (key_set, discovery) in faults {
        running.spawn(async move {
            let (issuer, verifier) = start().await;
            let case = format!("{key_set:?} {discovery:?}");
            issuer.set_jwks_fault(key_set);
            issuer.set_discovery_fault(discovery);
            let token = issuer
                .job(GithubJob::push_to_main())
                .token(AUDIENCE)
                .unwrap();
            let refusal = verifier.verify(&token, now()).await.expect_err(&case);
            assert_eq!(refusal.code, RefusalCode::IssuerUnreachable, "{case}");
            assert_eq!(issuer.redirects_followed(), 0, "{case}");
            issuer.set_jwks_fault(None);
            issuer.set_discovery_fault(None);
            verifier_of(&issuer)
                .verify(&token, now())
                .await
                .expect(&case);
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}
