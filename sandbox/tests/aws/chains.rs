//! Sessions made by sessions: what goes along, what does not, and what cannot be changed on the way.

use aws_credential_types::Credentials;
use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use jitney_sandbox::aws::AwsSandbox;
use jitney_sandbox::aws::estate::Role;
use serde_json::json;

use crate::cloud::*;

const NEXT: &str = "arn:aws:iam::111122223333:role/next";

async fn with_next(trust: String) -> AwsSandbox {
    let mut estate = estate();
    let next = Role::new("next", trust)
        .inline("base", allow(&["s3:*"], &["*"]))
        .max_session_seconds(43_200);
    estate.accounts[0].roles.push(next);
    start_with(estate).await
}

fn chain(sandbox: &AwsSandbox, from: &Credentials) -> AssumeRoleFluentBuilder {
    sts(sandbox, from.clone())
        .assume_role()
        .role_arn(NEXT)
        .role_session_name("next-1")
}

async fn transitive_lease(sandbox: &AwsSandbox) -> Credentials {
    let answer = sts(sandbox, user(sandbox, "broker"))
        .assume_role()
        .role_arn(DEPLOY)
        .role_session_name("lease-1")
        .source_identity("lease-1")
        .tags(tag("jl", "lease-1"))
        .tags(tag("team", "blue"))
        .transitive_tag_keys("jl")
        .send()
        .await
        .unwrap();
    temporary(answer.credentials().unwrap())
}

#[tokio::test]
async fn a_chained_session_is_never_longer_than_an_hour() {
    let sandbox = with_next(trust(DEPLOY)).await;
    let lease = lease(&sandbox, "lease-1").await;
    assert_eq!(
        code(chain(&sandbox, &lease).duration_seconds(3_601).send().await),
        "ValidationError"
    );
    assert!(
        chain(&sandbox, &lease)
            .duration_seconds(3_600)
            .send()
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn only_transitive_tags_go_along() {
    let sandbox = with_next(trust(DEPLOY)).await;
    chain(&sandbox, &transitive_lease(&sandbox).await)
        .send()
        .await
        .unwrap();
    let info = sandbox.sessions().pop().unwrap();
    assert_eq!(info.role_arn, NEXT);
    assert_eq!(info.tags, [("jl".to_owned(), "lease-1".to_owned())].into());
    // Without the mark the lease tag is gone, which is why a lease must not chain.
    chain(&sandbox, &lease(&sandbox, "lease-2").await)
        .send()
        .await
        .unwrap();
    assert!(sandbox.sessions().pop().unwrap().tags.is_empty());
}

#[tokio::test]
async fn a_transitive_tag_cannot_be_passed_again() {
    let sandbox = with_next(trust(DEPLOY)).await;
    let lease = transitive_lease(&sandbox).await;
    for key in ["jl", "JL"] {
        assert_eq!(
            code(chain(&sandbox, &lease).tags(tag(key, "other")).send().await),
            "ValidationError"
        );
    }
    assert!(
        chain(&sandbox, &lease)
            .tags(tag("team", "red"))
            .send()
            .await
            .is_ok()
    );
    let unknown = chain(&sandbox, &lease)
        .tags(tag("a", "b"))
        .transitive_tag_keys("c");
    assert_eq!(code(unknown.send().await), "ValidationError");
}

#[tokio::test]
async fn inherited_tags_need_the_right_to_tag() {
    let assume_only = policy(json!({
        "Effect": "Allow", "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"], "Principal": { "AWS": DEPLOY },
    }));
    let sandbox = with_next(assume_only).await;
    assert_eq!(
        code(
            chain(&sandbox, &transitive_lease(&sandbox).await)
                .send()
                .await
        ),
        "AccessDenied"
    );
    assert!(
        chain(&sandbox, &lease(&sandbox, "lease-2").await)
            .send()
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_source_identity_stays() {
    let sandbox = with_next(trust(DEPLOY)).await;
    let lease = lease(&sandbox, "lease-1").await;
    assert_eq!(
        code(
            chain(&sandbox, &lease)
                .source_identity("other")
                .send()
                .await
        ),
        "AccessDenied"
    );
    let answer = chain(&sandbox, &lease).send().await.unwrap();
    assert_eq!(answer.source_identity(), Some("lease-1"));
    // A Deny on it therefore reaches the next session too.
    let next = temporary(answer.credentials().unwrap());
    assert!(may_put(&sandbox, &next).await);
    let client = iam(&sandbox, root(&sandbox));
    let deny = deny_if("StringEquals", "aws:SourceIdentity", "lease-1");
    client
        .put_role_policy()
        .role_name("next")
        .policy_name("jt")
        .policy_document(deny)
        .send()
        .await
        .unwrap();
    assert!(!may_put(&sandbox, &next).await);
}

#[tokio::test]
async fn a_session_policy_that_denies_chaining_ends_the_chain() {
    let sandbox = with_next(trust(DEPLOY)).await;
    let denied = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "*", "Resource": "*" },
        { "Effect": "Deny", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": "*" },
    ]});
    let lease = lease_with(&sandbox, "lease-1", Some(denied.to_string())).await;
    assert_eq!(code(chain(&sandbox, &lease).send().await), "AccessDenied");
    // A session policy that is only silent does the same here: the trust policy names the role.
    let silent = lease_with(&sandbox, "lease-2", Some(allow(&["s3:*"], &["*"]))).await;
    assert_eq!(code(chain(&sandbox, &silent).send().await), "AccessDenied");
}
