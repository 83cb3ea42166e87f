//! Roles and inline policies: quotas, codes, pages, and who may write what.

use aws_sdk_iam::Client;
use aws_sdk_iam::types::Tag;
use jitney_sandbox::aws::AwsSandbox;
use jitney_sandbox::aws::estate::User;
use serde_json::json;

use crate::cloud::*;

/// A policy whose text has this many characters that count.
pub fn of_length(length: usize) -> String {
    let base = allow(&["s3:GetObject"], &["arn:aws:s3:::b/"]).len();
    allow(
        &["s3:GetObject"],
        &[&format!("arn:aws:s3:::b/{}", "k".repeat(length - base))],
    )
}

async fn root_client() -> (AwsSandbox, Client) {
    let sandbox = start().await;
    let client = iam(&sandbox, root(&sandbox));
    (sandbox, client)
}

#[tokio::test]
async fn inline_policies_share_a_quota_without_white_space() {
    let (_sandbox, client) = root_client().await;
    client
        .delete_role_policy()
        .role_name("deploy")
        .policy_name("base")
        .send()
        .await
        .unwrap();
    let put = |name: &str, document: String| {
        client
            .put_role_policy()
            .role_name("deploy")
            .policy_name(name)
            .policy_document(document)
            .send()
    };
    put("a", of_length(5_120)).await.unwrap();
    let spaced = of_length(5_120)
        .replace(':', ": \n\t")
        .replace("arn: \n\taws: \n\ts3: \n\t: \n\t: \n\t", "arn:aws:s3:::");
    put("b", spaced.replace("s3: \n\tGet", "s3:Get"))
        .await
        .unwrap();
    assert_eq!(code(put("c", of_length(200)).await), "LimitExceeded");
    // What did not fit is not there, and what was there still is.
    let names = client
        .list_role_policies()
        .role_name("deploy")
        .send()
        .await
        .unwrap();
    assert_eq!(names.policy_names(), ["a", "b"]);
    // A replacement counts only itself.
    put("b", of_length(5_120)).await.unwrap();
    assert_eq!(code(put("b", of_length(5_121)).await), "LimitExceeded");
    put("b", of_length(200)).await.unwrap();
    put("c", of_length(200)).await.unwrap();
}

#[tokio::test]
async fn an_inline_policy_is_replaced_as_a_whole() {
    let (_sandbox, client) = root_client().await;
    let put = |document: &str| {
        client
            .put_role_policy()
            .role_name("deploy")
            .policy_name("jt")
            .policy_document(document)
            .send()
    };
    put(&deny_if("StringEquals", "aws:PrincipalTag/jl", "one"))
        .await
        .unwrap();
    put(&deny_if("StringEquals", "aws:PrincipalTag/jl", "two"))
        .await
        .unwrap();
    let read = client
        .get_role_policy()
        .role_name("deploy")
        .policy_name("jt")
        .send()
        .await
        .unwrap();
    assert!(read.policy_document().contains("two") && !read.policy_document().contains("one"));
    for malformed in [
        "{}",
        "nonsense",
        r#"{"Version":"2012-10-17","Statement":[]}"#,
    ] {
        assert_eq!(
            code(put(malformed).await),
            "MalformedPolicyDocument",
            "{malformed}"
        );
    }
    assert_eq!(code(put("\u{20AC}").await), "ValidationError");
    let read = client
        .get_role_policy()
        .role_name("deploy")
        .policy_name("jt")
        .send()
        .await
        .unwrap();
    assert!(
        read.policy_document().contains("two"),
        "a refused write changes nothing"
    );
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let (_sandbox, client) = root_client().await;
    let get = client.get_role_policy();
    assert_eq!(
        code(get.role_name("deploy").policy_name("none").send().await),
        "NoSuchEntity"
    );
    assert_eq!(
        code(
            client
                .get_role_policy()
                .role_name("none")
                .policy_name("a")
                .send()
                .await
        ),
        "NoSuchEntity"
    );
    let delete = client.delete_role_policy();
    assert_eq!(
        code(delete.role_name("deploy").policy_name("none").send().await),
        "NoSuchEntity"
    );
    assert_eq!(
        code(client.list_role_policies().role_name("none").send().await),
        "NoSuchEntity"
    );
    assert_eq!(
        code(client.get_role().role_name("none").send().await),
        "NoSuchEntity"
    );
    let document = of_length(200);
    let put = client
        .put_role_policy()
        .role_name("none")
        .policy_name("a")
        .policy_document(document);
    assert_eq!(code(put.send().await), "NoSuchEntity");
    assert_eq!(
        code(client.get_role().role_name("a/b").send().await),
        "ValidationError"
    );
}

#[tokio::test]
async fn who_may_write_one_role_may_not_write_another() {
    let sandbox = start().await;
    let client = iam(&sandbox, root(&sandbox));
    client
        .create_role()
        .role_name("second")
        .assume_role_policy_document(trust(BROKER))
        .send()
        .await
        .unwrap();
    let revoker = iam(&sandbox, user(&sandbox, "revoker"));
    let put = |role: &str| {
        revoker
            .put_role_policy()
            .role_name(role)
            .policy_name("jt")
            .policy_document(of_length(200))
            .send()
    };
    assert!(put("deploy").await.is_ok());
    assert_eq!(code(put("second").await), "AccessDenied");
    assert_eq!(code(put("missing").await), "AccessDenied");
    assert_eq!(
        code(revoker.delete_role().role_name("deploy").send().await),
        "AccessDenied"
    );
    let attach = revoker.attach_role_policy().role_name("deploy");
    assert_eq!(
        code(
            attach
                .policy_arn("arn:aws:iam::111122223333:policy/x")
                .send()
                .await
        ),
        "AccessDenied"
    );
    let broker = iam(&sandbox, user(&sandbox, "broker"));
    assert_eq!(
        code(broker.list_role_policies().role_name("deploy").send().await),
        "AccessDenied"
    );
}

#[tokio::test]
async fn a_writer_can_be_held_to_roles_with_the_right_boundary_or_tag() {
    let mut estate = estate();
    let conditioned = policy(json!({
        "Effect": "Allow", "Action": "iam:PutRolePolicy", "Resource": "*",
        "Condition": { "StringEquals": { "aws:ResourceTag/jitney": "yes" } },
    }));
    estate.accounts[0]
        .users
        .push(User::new("tagger").inline("a", conditioned));
    let sandbox = start_with(estate).await;
    let put = || {
        let client = iam(&sandbox, user(&sandbox, "tagger"));
        client
            .put_role_policy()
            .role_name("deploy")
            .policy_name("jt")
            .policy_document(of_length(200))
            .send()
    };
    assert_eq!(code(put().await), "AccessDenied");
    let tag = Tag::builder().key("jitney").value("yes").build().unwrap();
    iam(&sandbox, root(&sandbox))
        .tag_role()
        .role_name("deploy")
        .tags(tag)
        .send()
        .await
        .unwrap();
    assert!(put().await.is_ok());
}

#[tokio::test]
async fn roles_are_made_read_changed_and_removed() {
    let (_sandbox, client) = root_client().await;
    let create = || {
        client
            .create_role()
            .role_name("fresh")
            .assume_role_policy_document(trust(BROKER))
    };
    let made = create()
        .path("/jitney/")
        .max_session_duration(3_600)
        .description("a role")
        .send()
        .await
        .unwrap();
    let made = made.role().unwrap().clone();
    assert_eq!(made.arn(), "arn:aws:iam::111122223333:role/jitney/fresh");
    assert_eq!(code(create().send().await), "EntityAlreadyExists");
    assert_eq!(
        code(create().role_name("FRESH").send().await),
        "EntityAlreadyExists"
    );
    let read = client.get_role().role_name("fresh").send().await.unwrap();
    assert_eq!(read.role().unwrap().role_id(), made.role_id());
    assert_eq!(read.role().unwrap().description(), Some("a role"));

    let update = client
        .update_role()
        .role_name("fresh")
        .max_session_duration(7_200);
    update.send().await.unwrap();
    let changed = trust("arn:aws:iam::111122223333:user/nobody");
    client
        .update_assume_role_policy()
        .role_name("fresh")
        .policy_document(&changed)
        .send()
        .await
        .unwrap();
    let read = client.get_role().role_name("fresh").send().await.unwrap();
    assert_eq!(read.role().unwrap().max_session_duration(), Some(7_200));
    assert!(
        read.role()
            .unwrap()
            .assume_role_policy_document()
            .unwrap()
            .contains("nobody")
    );

    client
        .put_role_policy()
        .role_name("fresh")
        .policy_name("a")
        .policy_document(of_length(200))
        .send()
        .await
        .unwrap();
    assert_eq!(
        code(client.delete_role().role_name("fresh").send().await),
        "DeleteConflict"
    );
    client
        .delete_role_policy()
        .role_name("fresh")
        .policy_name("a")
        .send()
        .await
        .unwrap();
    client
        .delete_role()
        .role_name("fresh")
        .send()
        .await
        .unwrap();
    assert_eq!(
        code(client.get_role().role_name("fresh").send().await),
        "NoSuchEntity"
    );
    assert_eq!(
        code(client.delete_role().role_name("fresh").send().await),
        "NoSuchEntity"
    );
}

#[tokio::test]
async fn trust_policies_are_checked() {
    let (_sandbox, client) = root_client().await;
    let create = |trust: String| {
        client
            .create_role()
            .role_name("fresh")
            .assume_role_policy_document(trust)
            .send()
    };
    for nobody in [
        "arn:aws:iam::111122223333:user/missing",
        "arn:aws:iam::111122223333:role/*",
        "arn:aws:iam::999988887777:root",
        "broker",
    ] {
        assert_eq!(
            code(create(trust(nobody)).await),
            "MalformedPolicyDocument",
            "{nobody}"
        );
    }
    let with_resource = policy(json!({
        "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": BROKER }, "Resource": "*",
    }));
    assert_eq!(code(create(with_resource).await), "MalformedPolicyDocument");
    let long = policy(json!({
        "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": BROKER },
        "Condition": { "StringEquals": { "sts:ExternalId": "x".repeat(2_048) } },
    }));
    assert_eq!(code(create(long).await), "LimitExceeded");
    assert_eq!(
        code(client.get_role().role_name("fresh").send().await),
        "NoSuchEntity"
    );
}

#[tokio::test]
async fn lists_come_in_pages() {
    let (_sandbox, client) = root_client().await;
    for number in 0..7 {
        let create = client
            .create_role()
            .role_name(format!("paged-{number}"))
            .path("/paged/");
        create
            .assume_role_policy_document(trust(BROKER))
            .send()
            .await
            .unwrap();
    }
    let pages = client.list_roles().path_prefix("/paged/").max_items(3);
    let names: Vec<String> = pages
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .unwrap()
        .iter()
        .map(|role| role.role_name().to_owned())
        .collect();
    assert_eq!(
        names,
        (0..7)
            .map(|number| format!("paged-{number}"))
            .collect::<Vec<_>>()
    );
    let first = client
        .list_roles()
        .path_prefix("/paged/")
        .max_items(3)
        .send()
        .await
        .unwrap();
    assert!(first.is_truncated() && first.marker().is_some());
    let exact = client
        .list_roles()
        .path_prefix("/paged/")
        .max_items(7)
        .send()
        .await
        .unwrap();
    assert!(!exact.is_truncated() && exact.marker().is_none());
    assert_eq!(
        code(client.list_roles().marker("!").send().await),
        "ValidationError"
    );
    assert_eq!(
        code(client.list_roles().max_items(0).send().await),
        "ValidationError"
    );
    assert_eq!(
        code(client.list_roles().max_items(1_001).send().await),
        "ValidationError"
    );
}

#[tokio::test]
async fn role_tags_are_merged_without_regard_to_case() {
    let (_sandbox, client) = root_client().await;
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build().unwrap();
    let add = |tags: Vec<Tag>| {
        client
            .tag_role()
            .role_name("deploy")
            .set_tags(Some(tags))
            .send()
    };
    add(vec![tag("Team", "blue"), tag("b", "2")]).await.unwrap();
    add(vec![tag("team", "red")]).await.unwrap();
    let listed = client
        .list_role_tags()
        .role_name("deploy")
        .send()
        .await
        .unwrap();
    let found: Vec<(&str, &str)> = listed
        .tags()
        .iter()
        .map(|tag| (tag.key(), tag.value()))
        .collect();
    assert_eq!(found, [("b", "2"), ("team", "red")]);
    let many = (0..49)
        .map(|number| tag(&format!("k{number}"), "v"))
        .collect();
    assert_eq!(code(add(many).await), "LimitExceeded");
    client
        .untag_role()
        .role_name("deploy")
        .tag_keys("TEAM")
        .send()
        .await
        .unwrap();
    let listed = client
        .list_role_tags()
        .role_name("deploy")
        .send()
        .await
        .unwrap();
    assert_eq!(listed.tags().len(), 1);
}

#[tokio::test]
async fn an_account_sees_only_itself() {
    let sandbox = start().await;
    let other = long_lived(&sandbox.root_key(OTHER_ACCOUNT).unwrap());
    let client = iam(&sandbox, other);
    assert_eq!(
        code(client.get_role().role_name("deploy").send().await),
        "NoSuchEntity"
    );
    assert!(client.list_roles().send().await.unwrap().roles().is_empty());
}
