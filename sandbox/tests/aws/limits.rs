//! Rates: STS per account and region, IAM's writes per account.

use jitney_sandbox::aws::{AwsOptions, AwsSandbox, RateLimits};

use crate::cloud::*;
use crate::iam::of_length;

async fn limited(limits: RateLimits) -> AwsSandbox {
    AwsSandbox::start(AwsOptions {
        limits,
        ..AwsOptions::new(estate())
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn sts_is_throttled_for_the_calling_account() {
    let sandbox = limited(RateLimits {
        sts_per_second: 5,
        ..RateLimits::unlimited()
    })
    .await;
    let client = sts(&sandbox, user(&sandbox, "broker"));
    let mut throttled = 0;
    for _ in 0..12 {
        if let Err(error) = client.get_caller_identity().send().await {
            assert_eq!(code(Err::<(), _>(error)), "Throttling");
            throttled += 1;
        }
    }
    assert!(throttled > 0);
    let guest = long_lived(&sandbox.user_key(OTHER_ACCOUNT, "guest").unwrap());
    assert!(
        sts(&sandbox, guest)
            .get_caller_identity()
            .send()
            .await
            .is_ok()
    );
    sandbox.set_limits(RateLimits::unlimited());
    assert!(client.get_caller_identity().send().await.is_ok());
}

#[tokio::test]
async fn iam_writes_are_throttled_and_reads_are_not() {
    let limits = RateLimits {
        iam_writes_per_second: 1,
        iam_writes_burst: 3,
        ..RateLimits::unlimited()
    };
    let sandbox = limited(limits).await;
    let client = iam(&sandbox, user(&sandbox, "revoker"));
    let mut outcomes = Vec::new();
    for number in 0..5 {
        let put = client
            .put_role_policy()
            .role_name("deploy")
            .policy_name(format!("p{number}"));
        outcomes.push(put.policy_document(of_length(200)).send().await);
    }
    assert!(outcomes.iter().take(3).all(Result::is_ok));
    assert_eq!(code(outcomes.pop().unwrap()), "Throttling");
    for _ in 0..20 {
        client
            .list_role_policies()
            .role_name("deploy")
            .send()
            .await
            .unwrap();
    }
}
