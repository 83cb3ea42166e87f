//! Faults: what the client sees, and what really happened.

use std::time::Duration;

use jitney_sandbox::FaultKind;
use jitney_sandbox::gcp::{AccountState, RateLimits};
use reqwest::Method;
use serde_json::json;

use crate::cloud::*;

impl Cloud {
    async fn try_disable(&self) -> Result<u16, reqwest::Error> {
        let url = format!(
            "{}/v1/projects/{PROJECT}/serviceAccounts/{SLOT}:disable",
            self.sandbox.url()
        );
        let request = self
            .http
            .post(url)
            .bearer_auth(self.token(BROKER))
            .json(&json!({}));
        request
            .send()
            .await
            .map(|response| response.status().as_u16())
    }

    fn state(&self) -> AccountState {
        self.sandbox.standing(SLOT).account.unwrap()
    }

    fn inject(&self, fault: FaultKind) {
        self.sandbox
            .faults()
            .inject("iam", "DisableServiceAccount", fault, 1);
    }
}

#[tokio::test]
async fn a_refused_call_did_nothing() {
    let cloud = start().await;
    for (fault, status) in [
        (FaultKind::Throttle, 429),
        (FaultKind::ServerError { status: 500 }, 500),
        (FaultKind::ServerError { status: 503 }, 503),
        (
            FaultKind::Refuse {
                status: 409,
                code: "ABORTED".into(),
            },
            409,
        ),
    ] {
        cloud.inject(fault);
        assert_eq!(cloud.try_disable().await.unwrap(), status);
        assert_eq!(cloud.state(), AccountState::Enabled);
    }
    assert_eq!(
        cloud.try_disable().await.unwrap(),
        200,
        "faults are used up"
    );
    assert_eq!(cloud.state(), AccountState::Disabled);
}

#[tokio::test]
async fn dropped_before_and_dropped_after_look_the_same() {
    let cloud = start().await;
    cloud.inject(FaultKind::DropBefore);
    assert!(cloud.try_disable().await.is_err());
    assert_eq!(cloud.state(), AccountState::Enabled);
    cloud.inject(FaultKind::DropAfter);
    assert!(cloud.try_disable().await.is_err());
    assert_eq!(cloud.state(), AccountState::Disabled);
    let outcomes: Vec<_> = cloud
        .sandbox
        .journal()
        .into_iter()
        .map(|entry| (entry.outcome, entry.fault))
        .collect();
    let fault = |name: &str| Some(name.to_owned());
    assert_eq!(
        outcomes,
        [
            ("lost".to_owned(), fault("drop_before")),
            ("ok".to_owned(), fault("drop_after"))
        ]
    );
}

#[tokio::test]
async fn a_lost_answer_leaves_a_token_that_nobody_has() {
    let cloud = start().await;
    cloud.sandbox.faults().inject(
        "iamcredentials",
        "GenerateAccessToken",
        FaultKind::DropAfter,
        1,
    );
    let url = format!(
        "{}/v1/projects/-/serviceAccounts/{SLOT}:generateAccessToken",
        cloud.sandbox.url()
    );
    let request = cloud
        .http
        .post(url)
        .bearer_auth(cloud.token(BROKER))
        .json(&json!({ "scope": [CLOUD_PLATFORM] }));
    assert!(request.send().await.is_err());
    assert_eq!(cloud.sandbox.standing(SLOT).live_tokens.len(), 1);
}

#[tokio::test]
async fn a_late_call_is_handled_when_nobody_waits_any_more() {
    let cloud = start().await;
    cloud.inject(FaultKind::Late { after_millis: 300 });
    assert!(cloud.try_disable().await.is_err());
    assert_eq!(
        cloud.state(),
        AccountState::Enabled,
        "absence now is no evidence of absence later"
    );
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while cloud.state() == AccountState::Enabled {
        assert!(
            std::time::Instant::now() < deadline,
            "the call never landed"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn cloud_storage_refuses_in_its_own_shape() {
    let cloud = start().await;
    cloud
        .sandbox
        .faults()
        .inject("storage", "GetObject", FaultKind::Throttle, 1);
    let path = format!("/storage/v1/b/{BUCKET}/o/x");
    assert_eq!(
        cloud.get(&cloud.token(BROKER), &path).await.error(),
        (429, "rateLimitExceeded")
    );
}

#[tokio::test]
async fn quotas_run_out() {
    let cloud = start().await;
    cloud.sandbox.set_limits(RateLimits {
        bucket_updates_per_second: 1,
        ..RateLimits::unlimited()
    });
    let policy = cloud.bucket_policy().await;
    let policy = cloud.set_bucket_policy(policy).await.ok();
    assert_eq!(
        cloud.set_bucket_policy(policy.clone()).await.error(),
        (429, "rateLimitExceeded")
    );
    cloud.sandbox.set_limits(RateLimits {
        iam_writes_per_minute: 1,
        ..RateLimits::unlimited()
    });
    cloud.disable(SLOT).await;
    let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{SLOT}:enable");
    let refused = cloud
        .call(&cloud.token(BROKER), Method::POST, &path, json!({}))
        .await;
    assert_eq!(refused.error(), (429, "RESOURCE_EXHAUSTED"));
    assert_eq!(cloud.state(), AccountState::Disabled);
}
