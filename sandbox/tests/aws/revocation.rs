//! Revocation: which Deny ends which session, when it begins to count, and what outlives it.

use aws_sdk_iam::types::Tag;
use jitney_sandbox::aws::estate::{ManagedPolicy, Role};
use jitney_sandbox::aws::evaluate::Verdict;
use serde_json::json;

use crate::cloud::*;

#[tokio::test]
async fn a_lease_may_do_what_was_granted_and_nothing_else() {
    let sandbox = start().await;
    let scope = allow(
        &["s3:PutObject"],
        &["arn:aws:s3:::artifacts-prod/releases/*"],
    );
    let lease = lease_with(&sandbox, "lease-1", Some(scope)).await;
    assert!(may_put(&sandbox, &lease).await);
    let client = s3(&sandbox, lease.clone());
    let put = |bucket: &str, key: &str| client.put_object().bucket(bucket).key(key).send();
    assert_eq!(code(put(BUCKET, "releases-evil/a").await), "AccessDenied");
    assert_eq!(code(put(BUCKET, "releases").await), "AccessDenied");
    assert_eq!(code(put(BUCKET, "other/releases/a").await), "AccessDenied");
    assert_eq!(
        code(put("other-bucket", "releases/a").await),
        "AccessDenied"
    );
    assert_eq!(
        code(put("foreign-bucket", "releases/a").await),
        "AccessDenied"
    );
    assert_eq!(
        code(put("no-such-bucket", "releases/a").await),
        "NoSuchBucket"
    );
    assert_eq!(
        code(
            client
                .delete_object()
                .bucket(BUCKET)
                .key("releases/old.txt")
                .send()
                .await
        ),
        "AccessDenied"
    );
    assert_eq!(
        code(
            client
                .get_object()
                .bucket(BUCKET)
                .key("releases/old.txt")
                .send()
                .await
        ),
        "AccessDenied"
    );
    assert_eq!(
        code(client.list_objects_v2().bucket(BUCKET).send().await),
        "AccessDenied"
    );
    assert_eq!(
        code(iam(&sandbox, lease.clone()).list_roles().send().await),
        "AccessDenied"
    );
    assert_eq!(
        code(
            iam(&sandbox, lease)
                .get_role()
                .role_name("deploy")
                .send()
                .await
        ),
        "AccessDenied"
    );
}

#[tokio::test]
async fn a_deny_on_a_key_of_the_session_cuts_that_session_and_no_other() {
    for key in ["aws:PrincipalTag/jl", "aws:SourceIdentity", "aws:userid"] {
        let sandbox = start().await;
        let one = lease(&sandbox, "lease-1").await;
        let two = lease(&sandbox, "lease-2").await;
        let role_id = sandbox.sessions()[0].role_id.clone();
        let value = if key == "aws:userid" {
            format!("{role_id}:lease-1")
        } else {
            "lease-1".to_owned()
        };
        put_policy(&sandbox, "jt", &deny_if("StringEquals", key, &value)).await;
        assert!(!may_put(&sandbox, &one).await, "{key}");
        assert!(may_put(&sandbox, &two).await, "{key}");
        let delete = iam(&sandbox, user(&sandbox, "revoker"))
            .delete_role_policy()
            .role_name("deploy");
        delete.policy_name("jt").send().await.unwrap();
        assert!(
            may_put(&sandbox, &one).await,
            "{key}: without the entry the session works again"
        );
    }
}

#[tokio::test]
async fn keys_that_do_not_name_a_session_do_not_cut_it() {
    let sandbox = start().await;
    let one = lease(&sandbox, "lease-1").await;
    let session_arn = sandbox.sessions()[0].session_arn.clone();
    for (operator, key, value) in [
        ("StringEquals", "sts:RoleSessionName", "lease-1"),
        ("ArnEquals", "aws:PrincipalArn", session_arn.as_str()),
        ("StringEquals", "aws:RequestTag/jl", "lease-1"),
        ("StringEquals", "aws:username", "lease-1"),
    ] {
        put_policy(&sandbox, "jt", &deny_if(operator, key, value)).await;
        assert!(may_put(&sandbox, &one).await, "{key}");
    }
    // The principal's ARN is the role's: a Deny on it cuts every session.
    put_policy(
        &sandbox,
        "jt",
        &deny_if("ArnEquals", "aws:PrincipalArn", DEPLOY),
    )
    .await;
    assert!(!may_put(&sandbox, &one).await);
}

#[tokio::test]
async fn a_watermark_cuts_what_is_older_and_spares_what_is_newer() {
    let sandbox = start().await;
    let old = lease(&sandbox, "lease-1").await;
    sandbox.clock().advance_seconds(10);
    let watermark = sandbox
        .clock()
        .now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    put_policy(
        &sandbox,
        "jt",
        &deny_if("DateLessThan", "aws:TokenIssueTime", &watermark),
    )
    .await;
    assert!(!may_put(&sandbox, &old).await);
    sandbox.clock().advance_seconds(2);
    let new = lease(&sandbox, "lease-2").await;
    assert!(may_put(&sandbox, &new).await);
    put_policy(
        &sandbox,
        "jt",
        &deny_if("DateLessThan", "aws:TokenIssueTime", "2000-01-01T00:00:00Z"),
    )
    .await;
    assert!(may_put(&sandbox, &old).await);
}

#[tokio::test]
async fn a_write_is_read_at_once_and_enforced_after_the_lag() {
    let sandbox = start().await;
    sandbox.set_iam_lag_seconds(4);
    let one = lease(&sandbox, "lease-1").await;
    let deny = deny_if("StringEquals", "aws:PrincipalTag/jl", "lease-1");
    put_policy(&sandbox, "jt", &deny).await;
    let revoker = iam(&sandbox, user(&sandbox, "revoker"));
    let read = revoker
        .get_role_policy()
        .role_name("deploy")
        .policy_name("jt")
        .send()
        .await
        .unwrap();
    let document = read.policy_document();
    assert!(
        document.starts_with("%7B%22"),
        "percent-encoded: {document}"
    );
    let decoded = percent_encoding::percent_decode_str(document)
        .decode_utf8()
        .unwrap();
    assert_eq!(decoded, deny);
    assert!(
        may_put(&sandbox, &one).await,
        "reading it back proves nothing"
    );
    sandbox.clock().advance_seconds(5);
    assert!(!may_put(&sandbox, &one).await);
    // Taking the Deny away lags as well.
    revoker
        .delete_role_policy()
        .role_name("deploy")
        .policy_name("jt")
        .send()
        .await
        .unwrap();
    assert!(!may_put(&sandbox, &one).await);
    sandbox.clock().advance_seconds(5);
    assert!(may_put(&sandbox, &one).await);
}

#[tokio::test]
async fn a_session_ends_by_the_clock() {
    let sandbox = start().await;
    let one = lease(&sandbox, "lease-1").await;
    sandbox.clock().advance_seconds(898);
    assert!(may_put(&sandbox, &one).await);
    sandbox.clock().advance_seconds(3);
    let put = s3(&sandbox, one.clone())
        .put_object()
        .bucket(BUCKET)
        .key("releases/a")
        .send()
        .await;
    assert_eq!(code(put), "ExpiredToken");
    assert_eq!(
        code(
            sts(&sandbox, one.clone())
                .get_caller_identity()
                .send()
                .await
        ),
        "ExpiredToken"
    );
    assert_eq!(
        code(iam(&sandbox, one).list_roles().send().await),
        "ExpiredToken"
    );
    let key = &sandbox.sessions()[0].access_key_id;
    let asked = sandbox
        .would_allow(
            key,
            "s3:PutObject",
            "arn:aws:s3:::artifacts-prod/releases/a",
        )
        .unwrap();
    assert_eq!(asked.verdict, Verdict::ImplicitDeny);
}

#[tokio::test]
async fn a_boundary_denies_too_and_a_new_version_of_it() {
    let mut estate = estate();
    let all = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
    estate.accounts[0]
        .managed_policies
        .push(ManagedPolicy::new("boundary", policy(all.clone())));
    estate.accounts[0].roles[0].boundary = Some(format!("arn:aws:iam::{ACCOUNT}:policy/boundary"));
    let sandbox = start_with(estate).await;
    let one = lease(&sandbox, "lease-1").await;
    let two = lease(&sandbox, "lease-2").await;
    assert!(may_put(&sandbox, &one).await);
    let client = iam(&sandbox, root(&sandbox));
    let deny: serde_json::Value =
        serde_json::from_str(&deny_if("StringEquals", "aws:PrincipalTag/jl", "lease-1")).unwrap();
    let document =
        json!({ "Version": "2012-10-17", "Statement": [all, deny["Statement"][0]] }).to_string();
    let arn = format!("arn:aws:iam::{ACCOUNT}:policy/boundary");
    let version = client
        .create_policy_version()
        .policy_arn(&arn)
        .policy_document(&document)
        .send()
        .await
        .unwrap();
    assert!(
        may_put(&sandbox, &one).await,
        "a version that is not the default is not in force"
    );
    let id = version.policy_version().unwrap().version_id().unwrap();
    client
        .set_default_policy_version()
        .policy_arn(&arn)
        .version_id(id)
        .send()
        .await
        .unwrap();
    assert!(!may_put(&sandbox, &one).await);
    assert!(may_put(&sandbox, &two).await);
}

#[tokio::test]
async fn tagging_the_role_does_not_shed_a_sessions_tag() {
    let sandbox = start().await;
    let one = lease(&sandbox, "lease-1").await;
    put_policy(
        &sandbox,
        "jt",
        &deny_if("StringEquals", "aws:PrincipalTag/jl", "lease-1"),
    )
    .await;
    let tag = Tag::builder().key("JL").value("innocent").build().unwrap();
    iam(&sandbox, root(&sandbox))
        .tag_role()
        .role_name("deploy")
        .tags(tag)
        .send()
        .await
        .unwrap();
    assert!(!may_put(&sandbox, &one).await);
}

#[tokio::test]
async fn sessions_of_a_deleted_role_do_not_gain_its_successors_rights() {
    let sandbox = start().await;
    let one = lease(&sandbox, "lease-1").await;
    let client = iam(&sandbox, root(&sandbox));
    client
        .delete_role_policy()
        .role_name("deploy")
        .policy_name("base")
        .send()
        .await
        .unwrap();
    client
        .delete_role()
        .role_name("deploy")
        .send()
        .await
        .unwrap();
    assert!(!may_put(&sandbox, &one).await);
    let create = client
        .create_role()
        .role_name("deploy")
        .assume_role_policy_document(trust(BROKER));
    create.send().await.unwrap();
    let all = allow(&["s3:*"], &["*"]);
    client
        .put_role_policy()
        .role_name("deploy")
        .policy_name("base")
        .policy_document(all)
        .send()
        .await
        .unwrap();
    assert!(
        !may_put(&sandbox, &one).await,
        "the old session belongs to the old role"
    );
    assert!(may_put(&sandbox, &lease(&sandbox, "lease-2").await).await);
}

#[tokio::test]
async fn a_new_role_is_unknown_until_the_lag_is_over() {
    let sandbox = start().await;
    sandbox.set_iam_lag_seconds(5);
    let client = iam(&sandbox, root(&sandbox));
    let create = client
        .create_role()
        .role_name("fresh")
        .assume_role_policy_document(trust(BROKER));
    create.send().await.unwrap();
    assert!(client.get_role().role_name("fresh").send().await.is_ok());
    let assume = || {
        let broker = sts(&sandbox, user(&sandbox, "broker"));
        broker
            .assume_role()
            .role_arn("arn:aws:iam::111122223333:role/fresh")
            .role_session_name("lease-1")
            .send()
    };
    assert_eq!(code(assume().await), "AccessDenied");
    sandbox.clock().advance_seconds(6);
    assert!(assume().await.is_ok());
}

#[tokio::test]
async fn a_broken_cloud_ignores_denies_in_inline_policies_of_roles() {
    let sandbox = start().await;
    let one = lease(&sandbox, "lease-1").await;
    put_policy(
        &sandbox,
        "jt",
        &deny_if("StringEquals", "aws:PrincipalTag/jl", "lease-1"),
    )
    .await;
    assert!(!may_put(&sandbox, &one).await);
    sandbox.set_ignore_deny(true);
    assert!(may_put(&sandbox, &one).await);
    sandbox.set_ignore_deny(false);
    assert!(!may_put(&sandbox, &one).await);
}

#[tokio::test]
async fn the_books_answer_what_a_session_could_do() {
    let sandbox = start().await;
    let scope = allow(
        &["s3:PutObject"],
        &["arn:aws:s3:::artifacts-prod/releases/*"],
    );
    lease_with(&sandbox, "lease-1", Some(scope)).await;
    let info = sandbox.sessions().pop().unwrap();
    let ask = |session: &str, action: &str, resource: &str| {
        sandbox
            .would_allow(session, action, resource)
            .map(|decision| decision.is_allowed())
    };
    let object = "arn:aws:s3:::artifacts-prod/releases/a";
    assert_eq!(ask(&info.access_key_id, "s3:PutObject", object), Some(true));
    assert_eq!(ask(&info.session_arn, "s3:PutObject", object), Some(true));
    assert_eq!(
        ask(&info.access_key_id, "s3:GetObject", object),
        Some(false)
    );
    assert_eq!(
        ask(&info.access_key_id, "sts:AssumeRole", DEPLOY),
        Some(false)
    );
    assert_eq!(ask("ASIANOBODY", "s3:PutObject", object), None);
    put_policy(
        &sandbox,
        "jt",
        &deny_if("StringEquals", "aws:PrincipalTag/jl", "lease-1"),
    )
    .await;
    assert_eq!(
        ask(&info.access_key_id, "s3:PutObject", object),
        Some(false)
    );
}

#[tokio::test]
async fn a_deny_on_one_role_says_nothing_about_another() {
    let mut estate = estate();
    estate.accounts[0]
        .roles
        .push(Role::new("second", trust(BROKER)).inline("base", allow(&["s3:*"], &["*"])));
    let sandbox = start_with(estate).await;
    put_policy(
        &sandbox,
        "jt",
        &deny_if("StringEquals", "aws:PrincipalTag/jl", "lease-1"),
    )
    .await;
    let assume = sts(&sandbox, user(&sandbox, "broker"))
        .assume_role()
        .role_session_name("lease-1");
    let second = assume
        .role_arn("arn:aws:iam::111122223333:role/second")
        .tags(tag("jl", "lease-1"));
    let answer = second.send().await.unwrap();
    assert!(may_put(&sandbox, &temporary(answer.credentials().unwrap())).await);
}
