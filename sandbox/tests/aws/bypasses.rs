//! Resource policies that slip past a narrowing session policy, end to end, and what closes them.

use jitney_sandbox::aws::AwsSandbox;
use jitney_sandbox::aws::estate::Bucket;
use serde_json::{Value, json};

use crate::cloud::*;

const KEY: &str = "generous/a";

/// A bucket policy that lets a principal put anything under `generous/`.
fn generous(principal: Value, condition: Value) -> String {
    policy(json!({
        "Effect": "Allow", "Principal": principal, "Action": "s3:PutObject", "Condition": condition,
        "Resource": "arn:aws:s3:::artifacts-prod/generous/*",
    }))
}

async fn with_bucket_policy(document: String) -> AwsSandbox {
    let mut estate = estate();
    estate.accounts[0].buckets[0].policy = Some(document.into());
    start_with(estate).await
}

fn narrow() -> String {
    allow(
        &["s3:PutObject"],
        &["arn:aws:s3:::artifacts-prod/releases/*"],
    )
}

/// The same scope, with both Denys that close what a resource policy opens.
fn closed() -> String {
    let object = "arn:aws:s3:::artifacts-prod/releases/*";
    json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "s3:PutObject", "Resource": object },
        { "Effect": "Deny", "NotAction": "s3:PutObject", "Resource": "*" },
        { "Effect": "Deny", "Action": "s3:PutObject", "NotResource": object },
    ]})
    .to_string()
}

async fn puts_generously(sandbox: &AwsSandbox, session_policy: String) -> bool {
    let lease = lease_with(sandbox, "lease-1", Some(session_policy)).await;
    let put = s3(sandbox, lease.clone())
        .put_object()
        .bucket(BUCKET)
        .key(KEY)
        .send()
        .await;
    assert!(
        may_put(sandbox, &lease).await,
        "what was granted works in any case"
    );
    match put {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(code(Err::<(), _>(error)), "AccessDenied");
            false
        }
    }
}

#[tokio::test]
async fn which_names_slip_past_a_session_policy() {
    let session_arn = "arn:aws:sts::111122223333:assumed-role/deploy/lease-1";
    for (principal, condition, slips) in [
        (json!({ "AWS": DEPLOY }), json!({}), false),
        (
            json!({ "AWS": format!("arn:aws:iam::{ACCOUNT}:root") }),
            json!({}),
            false,
        ),
        (json!({ "AWS": session_arn }), json!({}), true),
        (
            json!("*"),
            json!({ "ArnEquals": { "aws:PrincipalArn": DEPLOY } }),
            true,
        ),
        (
            json!("*"),
            json!({ "StringEquals": { "aws:PrincipalOrgID": "o-example" } }),
            true,
        ),
        (
            json!("*"),
            json!({ "StringEquals": { "aws:PrincipalOrgID": "o-other" } }),
            false,
        ),
        (
            json!("*"),
            json!({ "StringLike": { "aws:userid": "*:lease-1" } }),
            true,
        ),
    ] {
        let sandbox = with_bucket_policy(generous(principal.clone(), condition.clone())).await;
        assert_eq!(
            puts_generously(&sandbox, narrow()).await,
            slips,
            "{principal} {condition}"
        );
        assert!(
            !puts_generously(&sandbox, closed()).await,
            "closed: {principal} {condition}"
        );
    }
}

#[tokio::test]
async fn a_revocation_is_never_slipped_past() {
    let sandbox = with_bucket_policy(generous(json!("*"), json!({}))).await;
    let lease = lease(&sandbox, "lease-1").await;
    let put = || {
        s3(&sandbox, lease.clone())
            .put_object()
            .bucket(BUCKET)
            .key(KEY)
            .send()
    };
    assert!(put().await.is_ok());
    put_policy(
        &sandbox,
        "jt",
        &deny_if("StringEquals", "aws:PrincipalTag/jl", "lease-1"),
    )
    .await;
    assert_eq!(code(put().await), "AccessDenied");
}

#[tokio::test]
async fn another_accounts_bucket_needs_both_sides() {
    let mut estate = estate();
    let open = policy(json!({
        "Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::foreign-bucket/*",
    }));
    estate.accounts[1].buckets = vec![Bucket::new("foreign-bucket").policy(open)];
    let sandbox = start_with(estate).await;
    let put = |lease| {
        s3(&sandbox, lease)
            .put_object()
            .bucket("foreign-bucket")
            .key("releases/a")
            .send()
    };
    // The role's own policy allows everything in S3, the session policy only the own bucket.
    assert!(put(lease(&sandbox, "lease-1").await).await.is_ok());
    assert_eq!(
        code(put(lease_with(&sandbox, "lease-2", Some(narrow())).await).await),
        "AccessDenied"
    );
}

#[tokio::test]
async fn a_deny_in_the_bucket_policy_holds_against_root_but_root_can_take_it_away() {
    let document = policy(json!({
        "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": ["arn:aws:s3:::artifacts-prod", "arn:aws:s3:::artifacts-prod/*"],
    }));
    let sandbox = with_bucket_policy(document).await;
    let client = s3(&sandbox, root(&sandbox));
    assert_eq!(
        code(client.put_object().bucket(BUCKET).key("a").send().await),
        "AccessDenied"
    );
    client
        .delete_bucket_policy()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    assert!(
        client
            .put_object()
            .bucket(BUCKET)
            .key("a")
            .send()
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn bucket_policies_are_the_owners_and_are_checked() {
    let sandbox = start().await;
    let client = s3(&sandbox, root(&sandbox));
    let put = |bucket: &str, document: String| {
        client
            .put_bucket_policy()
            .bucket(bucket)
            .policy(document)
            .send()
    };
    assert_eq!(
        code(client.get_bucket_policy().bucket(BUCKET).send().await),
        "NoSuchBucketPolicy"
    );
    assert_eq!(
        code(put("foreign-bucket", generous(json!("*"), json!({}))).await),
        "MethodNotAllowed"
    );
    assert_eq!(code(put(BUCKET, "{".to_owned()).await), "MalformedPolicy");
    let nobody = json!({ "AWS": "arn:aws:iam::111122223333:role/nobody" });
    assert_eq!(
        code(put(BUCKET, generous(nobody, json!({}))).await),
        "MalformedPolicy"
    );
    let elsewhere = policy(json!({
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::artifacts-prod-2/*",
    }));
    assert_eq!(code(put(BUCKET, elsewhere).await), "MalformedPolicy");
    let good = generous(json!({ "AWS": DEPLOY }), json!({}));
    put(BUCKET, good.clone()).await.unwrap();
    let read = client
        .get_bucket_policy()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    assert_eq!(read.policy(), Some(good.as_str()));
    // A lease without the right cannot open the door for itself.
    let lease = lease_with(&sandbox, "lease-1", Some(narrow())).await;
    let by_lease = s3(&sandbox, lease)
        .put_bucket_policy()
        .bucket(BUCKET)
        .policy(good)
        .send()
        .await;
    assert_eq!(code(by_lease), "AccessDenied");
}
