//! What a session on AWS is: its names, its tags, its end, and when none is made.

use core::time::Duration;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use jitney_aws::Identities;
use jitney_core::adapter::Elevate;
use jitney_core::fault::FaultKind;
use jitney_core::time::Timestamp;
use jitney_integration_tests::adapter_laws::Stage;
use jitney_sandbox::FaultKind as Harm;
use jitney_sandbox::aws::evaluate::{Context, Layers, Policy, PolicyKind, Request, decide};
use serde_json::json;

use crate::estate::ROLE;
use crate::stage::{INSTALLATION, ours};
use crate::steps::{FIRST, Hand, adapter, calls, ending, refused, revoked};

#[tokio::test]
async fn a_session_bears_our_name_our_tags_and_its_own_end() {
    let stage = ours(0, 0).await;
    let adapter = adapter(&stage);
    let taken = stage
        .scribe
        .take(&adapter, &[stage.wanted()])
        .await
        .unwrap();
    let sandbox = stage.sandbox.as_ref().unwrap();
    let session = sandbox.sessions().pop().unwrap();
    let handle = taken.lease.terms().handle.to_string();
    assert_eq!(session.session_name, format!("jitney-{handle}"));
    assert_eq!(session.source_identity, Some(session.session_name.clone()));
    assert_eq!(session.access_key_id, taken.fingerprint);
    let tag = |key: &str| session.tags.get(key).cloned().unwrap();
    assert_eq!(tag("jitney:lease"), handle);
    assert_eq!(tag("jitney:installation"), INSTALLATION);
    assert_eq!(
        (tag("jitney:repository"), tag("jitney:run")),
        ("77".into(), "42/1".into())
    );
    let lives = session.expires.as_second() - session.issued.as_second();
    assert_eq!(lives, 900);
    assert_eq!(taken.expires_at.as_seconds(), session.expires.as_second());

    // The same call, before and after the end, as the session policy alone sees it.
    let policy = session.session_policy.unwrap();
    let end = session.expires.as_second() + 60;
    let is_allowed = |second: i64| {
        let text = Timestamp::from_seconds(second).to_string();
        let request = Request {
            caller: jitney_sandbox::aws::evaluate::Caller::Session {
                account: stage.names.account.clone(),
                role_arn: stage.names.role_arn(ROLE),
                role_id: None,
                session_arn: session.session_arn.clone(),
            },
            action: "s3:PutObject".to_owned(),
            resource: format!("arn:aws:s3:::{}/releases/x", stage.names.bucket),
            context: Context::new().with("aws:CurrentTime", text),
        };
        let parsed = Policy::parse(&policy, PolicyKind::Identity).unwrap();
        let layers = Layers {
            identity: vec![parsed.clone()],
            session: Some(vec![parsed]),
            ..Layers::default()
        };
        decide(&request, &layers).is_allowed()
    };
    assert!(is_allowed(end - 2));
    assert!(!is_allowed(end + 2));
}

#[tokio::test]
async fn each_identity_can_do_its_half_only() {
    let stage = ours(0, 0).await;
    let (lease, _) = ending(&stage, &adapter(&stage)).await;
    let swapped = stage.adapter_of(|identities| Identities {
        granter: identities.revoker.clone(),
        revoker: identities.granter.clone(),
    });
    let fault = refused(&stage, &swapped).await;
    assert_eq!(
        (fault.kind, fault.code),
        (FaultKind::Permanent, "aws_access_denied")
    );
    assert!(!fault.told.contains("arn:"), "{}", fault.told);
    assert!(fault.logged.contains("AccessDenied"), "{}", fault.logged);
    let fault = revoked(&swapped, FIRST, lease).await.unwrap_err();
    assert_eq!(fault.code, "aws_access_denied");
}

#[tokio::test]
async fn nothing_is_minted_while_the_clocks_disagree() {
    for offset in [-90, 90] {
        let stage = ours(0, 0).await;
        let sandbox = stage.sandbox.as_ref().unwrap();
        sandbox.clock().set_wire_offset_seconds(offset);
        let fault = refused(&stage, &adapter(&stage)).await;
        assert_eq!(fault.code, "aws_clock_disagrees", "{}", fault.logged);
        assert_eq!(fault.kind, FaultKind::Retryable { after: None });
        assert_eq!(calls(&stage, "AssumeRole"), 0);
    }
}

#[tokio::test]
async fn what_was_minted_under_a_clock_that_jumped_is_not_handed_out() {
    let stage = ours(0, 0).await;
    let adapter = adapter(&stage);
    stage
        .scribe
        .take(&adapter, &[stage.wanted()])
        .await
        .unwrap();
    let sandbox = stage.sandbox.as_ref().unwrap();
    sandbox.clock().set_wire_offset_seconds(90);
    let fault = refused(&stage, &adapter).await;
    assert_eq!(
        (fault.kind, fault.code),
        (FaultKind::Ambiguous, "aws_clock_disagrees")
    );
}

#[tokio::test]
async fn a_call_whose_time_is_over_is_never_made() {
    let stage = ours(0, 0).await;
    let late = Arc::new(Hand::default());
    let adapter = stage.adapter_at(late.clone());
    let wanted = [stage.wanted()];
    // AWS's clock is known from a call before, so that nothing else stands in the way of this one.
    stage.scribe.take(&adapter, &wanted).await.unwrap();
    let intent = stage.scribe.intend(&adapter, &wanted).await.unwrap();
    late.advance(21);
    let fault = adapter.elevate(&intent).await.unwrap_err();
    assert_eq!(fault.code, "aws_not_asked_in_time");
    assert_eq!(calls(&stage, "AssumeRole"), 1);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_ambiguous() {
    let stage = ours(0, 0).await;
    let adapter = stage.adapter_with(
        &stage.relay.url(),
        &json!({ "elevate_deadline_seconds": 1 }),
    );
    stage
        .scribe
        .take(&adapter, &[stage.wanted()])
        .await
        .unwrap();
    let sandbox = stage.sandbox.as_ref().unwrap();
    sandbox
        .faults()
        .inject("sts", "AssumeRole", Harm::SlowAnswer { millis: 3_000 }, 1);
    let began = std::time::Instant::now();
    let fault = refused(&stage, &adapter).await;
    assert_eq!(
        (fault.kind, fault.code),
        (FaultKind::Ambiguous, "aws_no_answer")
    );
    assert!(
        began.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_whole_role_cannot_loosen_the_hold_on_itself() {
    let stage = ours(0, 0).await;
    let adapter = adapter(&stage);
    let wanted = stage.wish("infra:apply", "deploy-role");
    let taken = stage.scribe.take(&adapter, &[wanted]).await.unwrap();
    let sandbox = stage.sandbox.as_ref().unwrap();
    let role = stage.names.role_arn(ROLE);
    let other = stage.names.role_arn("other");
    let allows = |action: &str, resource: &str| {
        let decision = sandbox.would_allow(&taken.fingerprint, action, resource);
        decision.unwrap().is_allowed()
    };
    assert!(allows("s3:DeleteObject", "arn:aws:s3:::anything/x"));
    assert!(allows("iam:PutRolePolicy", &other));
    assert!(allows("iam:GetRole", &role));
    for action in [
        "iam:DeleteRolePolicy",
        "iam:PutRolePolicy",
        "iam:UpdateAssumeRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:DeleteRole",
        "iam:TagRole",
        "iam:PassRole",
    ] {
        assert!(!allows(action, &role), "{action}");
    }
    for action in [
        "sts:AssumeRole",
        "sts:TagSession",
        "ecr:GetAuthorizationToken",
        "s3:GetDataAccess",
        "s3express:CreateSession",
        "lakeformation:GetTemporaryGlueTableCredentials",
        "redshift:GetClusterCredentialsWithIAM",
        "sts:GetServiceBearerToken",
    ] {
        assert!(!allows(action, "*") && !allows(action, &other), "{action}");
    }
}

#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("none here")))
    }
}

#[tokio::test]
async fn without_credentials_nothing_leaves_the_broker() {
    let stage = ours(0, 0).await;
    let adapter =
        stage.adapter_of(|_| Identities::one(SharedCredentialsProvider::new(NoCredentials)));
    let fault = refused(&stage, &adapter).await;
    assert_eq!(fault.kind, FaultKind::Retryable { after: None });
    assert_eq!(fault.code, "aws_no_credentials", "{}", fault.logged);
    assert!(fault.logged.contains("none here"), "{}", fault.logged);
    assert_eq!(calls(&stage, "AssumeRole"), 0);
}
