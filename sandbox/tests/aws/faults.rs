//! Faults: what the client sees, and what really happened.

use std::time::Duration;

use aws_sdk_sts::error::SdkError;
use aws_sdk_sts::operation::assume_role::{AssumeRoleError, AssumeRoleOutput};
use jitney_sandbox::aws::AwsSandbox;
use jitney_sandbox::{Fault, FaultKind};

use crate::cloud::*;

type Assumed = Result<AssumeRoleOutput, SdkError<AssumeRoleError>>;

async fn assume(sandbox: &AwsSandbox) -> Assumed {
    let client = sts(sandbox, user(sandbox, "broker"));
    client
        .assume_role()
        .role_arn(DEPLOY)
        .role_session_name("lease-1")
        .send()
        .await
}

/// The client knows nothing: the call was sent, and no answer came.
fn is_unknown(result: &Assumed) -> bool {
    matches!(
        result,
        Err(SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_))
    )
}

fn outcomes(sandbox: &AwsSandbox) -> Vec<(String, Option<String>)> {
    sandbox
        .journal()
        .into_iter()
        .map(|entry| (entry.outcome, entry.fault))
        .collect()
}

#[tokio::test]
async fn a_refused_call_did_nothing() {
    let sandbox = start().await;
    for (fault, expected) in [
        (FaultKind::Throttle, "Throttling"),
        (FaultKind::ServerError { status: 500 }, "InternalError"),
        (
            FaultKind::Refuse {
                status: 409,
                code: "ConcurrentModification".into(),
            },
            "ConcurrentModification",
        ),
    ] {
        sandbox.faults().inject("sts", "AssumeRole", fault, 1);
        assert_eq!(code(assume(&sandbox).await), expected);
    }
    assert_eq!(sandbox.sessions(), Vec::new());
    assert!(assume(&sandbox).await.is_ok(), "faults are used up");
}

#[tokio::test]
async fn dropped_before_and_dropped_after_look_the_same() {
    let sandbox = start().await;
    sandbox
        .faults()
        .inject("sts", "AssumeRole", FaultKind::DropBefore, 1);
    assert!(is_unknown(&assume(&sandbox).await));
    assert_eq!(sandbox.sessions().len(), 0);
    sandbox
        .faults()
        .inject("sts", "AssumeRole", FaultKind::DropAfter, 1);
    assert!(is_unknown(&assume(&sandbox).await));
    assert_eq!(
        sandbox.sessions().len(),
        1,
        "the session exists and nobody has its key"
    );
    let fault = |name: &str| Some(name.to_owned());
    assert_eq!(
        outcomes(&sandbox),
        [
            ("lost".to_owned(), fault("drop_before")),
            ("ok".to_owned(), fault("drop_after"))
        ]
    );
}

#[tokio::test]
async fn a_late_call_is_handled_when_nobody_waits_any_more() {
    let sandbox = start().await;
    sandbox.faults().inject(
        "sts",
        "AssumeRole",
        FaultKind::Late { after_millis: 400 },
        1,
    );
    assert!(is_unknown(&assume(&sandbox).await));
    assert_eq!(
        sandbox.sessions().len(),
        0,
        "absence now is no evidence of absence later"
    );
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while sandbox.sessions().is_empty() {
        assert!(
            std::time::Instant::now() < deadline,
            "the call never landed"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let entry = sandbox.journal().pop().unwrap();
    assert!(entry.finished.duration_since(entry.arrived).as_millis() >= 400);
}

#[tokio::test]
async fn a_delayed_call_lands_even_when_the_client_hangs_up() {
    let sandbox = start().await;
    sandbox
        .faults()
        .inject("sts", "AssumeRole", FaultKind::Delay { millis: 300 }, 2);
    assert!(assume(&sandbox).await.is_ok(), "who waits is answered");
    let hung_up = tokio::time::timeout(Duration::from_millis(100), assume(&sandbox)).await;
    assert!(hung_up.is_err());
    assert_eq!(sandbox.sessions().len(), 1);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(sandbox.sessions().len(), 2);
}

#[tokio::test]
async fn a_slow_answer_comes_after_the_deed() {
    let sandbox = start().await;
    sandbox.faults().inject(
        "sts",
        "AssumeRole",
        FaultKind::SlowAnswer { millis: 60_000 },
        1,
    );
    let hung_up = tokio::time::timeout(Duration::from_millis(500), assume(&sandbox)).await;
    assert!(hung_up.is_err());
    assert_eq!(sandbox.sessions().len(), 1);
    let entry = sandbox.journal().pop().unwrap();
    assert!(entry.finished.duration_since(entry.arrived).as_millis() < 60_000);
    assert_eq!(
        entry.answered.duration_since(entry.finished).as_millis(),
        60_000
    );
}

#[tokio::test]
async fn faults_meet_only_the_calls_they_are_meant_for() {
    let sandbox = start().await;
    sandbox
        .faults()
        .inject("iam", "PutRolePolicy", FaultKind::Throttle, 1);
    sandbox.faults().arm(Fault {
        service: "sts".into(),
        action: "AssumeRole".into(),
        skip: 1,
        count: 1,
        fault: FaultKind::Throttle,
    });
    assert!(
        sts(&sandbox, user(&sandbox, "broker"))
            .get_caller_identity()
            .send()
            .await
            .is_ok()
    );
    assert!(assume(&sandbox).await.is_ok());
    assert_eq!(code(assume(&sandbox).await), "Throttling");
    assert!(assume(&sandbox).await.is_ok());
    assert_eq!(sandbox.faults().armed().len(), 1);
    sandbox.faults().clear();
    put_policy(&sandbox, "jt", &allow(&["s3:GetObject"], &["*"])).await;
}

#[tokio::test]
async fn s3_slows_down_in_its_own_words() {
    let sandbox = start().await;
    sandbox
        .faults()
        .inject("s3", "PutObject", FaultKind::Throttle, 1);
    let put = s3(&sandbox, root(&sandbox))
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await;
    assert_eq!(code(put), "SlowDown");
    sandbox
        .faults()
        .inject("iam", "*", FaultKind::ServerError { status: 500 }, 1);
    assert_eq!(
        code(iam(&sandbox, root(&sandbox)).list_roles().send().await),
        "ServiceFailure"
    );
}
