//! Objects and buckets under the AWS SDK for Rust.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use jitney_sandbox::aws::AwsSandbox;
use jitney_sandbox::aws::estate::{Bucket, User};
use serde_json::json;

use crate::cloud::*;

async fn root_client() -> (AwsSandbox, Client) {
    let sandbox = start().await;
    let client = s3(&sandbox, root(&sandbox));
    (sandbox, client)
}

async fn put(client: &Client, key: &str, text: &str) {
    let body = ByteStream::from(text.as_bytes().to_vec());
    client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .body(body)
        .send()
        .await
        .unwrap();
}

async fn text(client: &Client, key: &str) -> String {
    let object = client
        .get_object()
        .bucket(BUCKET)
        .key(key)
        .send()
        .await
        .unwrap();
    String::from_utf8(object.body.collect().await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn an_object_comes_back_as_it_was_put() {
    let (_sandbox, client) = root_client().await;
    for key in [
        "a",
        "a b+c/ü&?.txt",
        "deep/er//key",
        "../up",
        "percent%2Fkey",
        "colon:key*'()",
    ] {
        let put = client
            .put_object()
            .bucket(BUCKET)
            .key(key)
            .content_type("text/x")
            .metadata("lease", "l1");
        put.body(ByteStream::from_static(b"hello"))
            .send()
            .await
            .unwrap();
        assert_eq!(text(&client, key).await, "hello", "{key}");
        let head = client
            .head_object()
            .bucket(BUCKET)
            .key(key)
            .send()
            .await
            .unwrap();
        assert_eq!(head.content_length(), Some(5));
        assert_eq!(head.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
        assert_eq!(head.content_type(), Some("text/x"));
        assert_eq!(
            head.metadata().unwrap().get("lease").map(String::as_str),
            Some("l1")
        );
        client
            .delete_object()
            .bucket(BUCKET)
            .key(key)
            .send()
            .await
            .unwrap();
        assert_eq!(
            code(client.get_object().bucket(BUCKET).key(key).send().await),
            "NoSuchKey"
        );
        assert_eq!(
            code(client.head_object().bucket(BUCKET).key(key).send().await),
            "NotFound"
        );
    }
    assert!(
        client
            .delete_object()
            .bucket(BUCKET)
            .key("never-there")
            .send()
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn ranges_and_conditions() {
    let (_sandbox, client) = root_client().await;
    put(&client, "a", "0123456789").await;
    let get = |range: &str| {
        client
            .get_object()
            .bucket(BUCKET)
            .key("a")
            .range(range)
            .send()
    };
    for (range, expected) in [
        ("bytes=2-4", "234"),
        ("bytes=7-", "789"),
        ("bytes=-2", "89"),
        ("bytes=8-99", "89"),
    ] {
        let part = get(range).await.unwrap();
        assert_eq!(
            part.body.collect().await.unwrap().to_vec(),
            expected.as_bytes(),
            "{range}"
        );
    }
    assert_eq!(code(get("bytes=10-").await), "InvalidRange");
    let create = client
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .if_none_match("*");
    assert_eq!(code(create.send().await), "PreconditionFailed");
    assert!(
        client
            .put_object()
            .bucket(BUCKET)
            .key("b")
            .if_none_match("*")
            .send()
            .await
            .is_ok()
    );
    let replace = client
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .if_match("\"0\"");
    assert_eq!(code(replace.send().await), "PreconditionFailed");
    assert_eq!(text(&client, "a").await, "0123456789");
}

#[tokio::test]
async fn who_may_not_list_is_not_told_that_a_key_is_missing() {
    let sandbox = start().await;
    let reads = allow(&["s3:GetObject"], &["arn:aws:s3:::artifacts-prod/*"]);
    let blind = s3(&sandbox, lease_with(&sandbox, "lease-1", Some(reads)).await);
    assert!(
        blind
            .get_object()
            .bucket(BUCKET)
            .key("releases/old.txt")
            .send()
            .await
            .is_ok()
    );
    assert_eq!(
        code(
            blind
                .get_object()
                .bucket(BUCKET)
                .key("missing")
                .send()
                .await
        ),
        "AccessDenied"
    );
    let both = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*" },
    ]});
    let seeing = s3(
        &sandbox,
        lease_with(&sandbox, "lease-2", Some(both.to_string())).await,
    );
    assert_eq!(
        code(
            seeing
                .get_object()
                .bucket(BUCKET)
                .key("missing")
                .send()
                .await
        ),
        "NoSuchKey"
    );
}

#[tokio::test]
async fn a_listing_rolls_up_and_comes_in_pages() {
    let (_sandbox, client) = root_client().await;
    for key in [
        "releases/1/a",
        "releases/1/b",
        "releases/2/a",
        "releases/z",
        "zz",
    ] {
        put(&client, key, "x").await;
    }
    let listed = client
        .list_objects_v2()
        .bucket(BUCKET)
        .prefix("releases/")
        .delimiter("/")
        .send()
        .await
        .unwrap();
    let keys: Vec<&str> = listed
        .contents()
        .iter()
        .filter_map(|object| object.key())
        .collect();
    let prefixes: Vec<&str> = listed
        .common_prefixes()
        .iter()
        .filter_map(|prefix| prefix.prefix())
        .collect();
    assert_eq!(keys, ["releases/old.txt", "releases/z"]);
    assert_eq!(prefixes, ["releases/1/", "releases/2/"]);
    assert_eq!(listed.key_count(), Some(4));

    for (page, delimiter, expected) in [(2, None, 6), (1, None, 6), (1, Some("/"), 2)] {
        let pages = client
            .list_objects_v2()
            .bucket(BUCKET)
            .max_keys(page)
            .set_delimiter(delimiter.map(str::to_owned));
        let mut pages = pages.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.try_next().await.unwrap() {
            found.extend(
                page.contents()
                    .iter()
                    .filter_map(|object| object.key().map(str::to_owned)),
            );
            found.extend(
                page.common_prefixes()
                    .iter()
                    .filter_map(|prefix| prefix.prefix().map(str::to_owned)),
            );
        }
        assert_eq!(found.len(), expected, "{found:?}");
        assert!(found.is_sorted());
    }
    let after = client
        .list_objects_v2()
        .bucket(BUCKET)
        .start_after("releases/z")
        .send()
        .await
        .unwrap();
    assert_eq!(after.contents().len(), 1);
}

#[tokio::test]
async fn listing_can_be_held_to_a_prefix() {
    let sandbox = start().await;
    let held = policy(json!({
        "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::artifacts-prod",
        "Condition": { "StringLike": { "s3:prefix": "releases/*" }, "NumericLessThanEquals": { "s3:max-keys": "10" } },
    }));
    let client = s3(&sandbox, lease_with(&sandbox, "lease-1", Some(held)).await);
    let list = || client.list_objects_v2().bucket(BUCKET);
    assert!(list().prefix("releases/").max_keys(10).send().await.is_ok());
    assert_eq!(
        code(list().prefix("releases/").max_keys(11).send().await),
        "AccessDenied"
    );
    assert_eq!(
        code(list().prefix("releases/").send().await),
        "AccessDenied",
        "an absent key does not match"
    );
    assert_eq!(
        code(list().prefix("releases-evil/").max_keys(1).send().await),
        "AccessDenied"
    );
    assert_eq!(code(list().max_keys(1).send().await), "AccessDenied");
}

#[tokio::test]
async fn a_copy_needs_both_rights() {
    let sandbox = start().await;
    let copy = |client: Client| {
        let copy = client.copy_object().bucket(BUCKET).key("releases/new.txt");
        async move {
            copy.copy_source("artifacts-prod/releases/old.txt")
                .send()
                .await
        }
    };
    let writes = allow(&["s3:PutObject"], &["*"]);
    assert_eq!(
        code(copy(s3(&sandbox, lease_with(&sandbox, "l1", Some(writes)).await)).await),
        "AccessDenied"
    );
    let reads = allow(&["s3:GetObject"], &["*"]);
    assert_eq!(
        code(copy(s3(&sandbox, lease_with(&sandbox, "l2", Some(reads)).await)).await),
        "AccessDenied"
    );
    let both = allow(&["s3:GetObject", "s3:PutObject"], &["*"]);
    let client = s3(&sandbox, lease_with(&sandbox, "l3", Some(both)).await);
    copy(client.clone()).await.unwrap();
    assert_eq!(text(&client, "releases/new.txt").await, "old");
}

#[tokio::test]
async fn many_deletions_are_judged_one_by_one() {
    let sandbox = start().await;
    let only = allow(
        &["s3:DeleteObject"],
        &["arn:aws:s3:::artifacts-prod/releases/*"],
    );
    let client = s3(&sandbox, lease_with(&sandbox, "lease-1", Some(only)).await);
    let object = |key: &str| {
        aws_sdk_s3::types::ObjectIdentifier::builder()
            .key(key)
            .build()
            .unwrap()
    };
    let delete = aws_sdk_s3::types::Delete::builder()
        .objects(object("releases/old.txt"))
        .objects(object("other"));
    let delete = client
        .delete_objects()
        .bucket(BUCKET)
        .delete(delete.build().unwrap());
    let answer = delete.send().await.unwrap();
    assert_eq!(answer.deleted()[0].key(), Some("releases/old.txt"));
    assert_eq!(answer.errors()[0].key(), Some("other"));
    assert_eq!(answer.errors()[0].code(), Some("AccessDenied"));
}

#[tokio::test]
async fn buckets_are_made_listed_and_removed() {
    let (_sandbox, client) = root_client().await;
    let location = aws_sdk_s3::types::BucketLocationConstraint::EuCentral1;
    let configuration = aws_sdk_s3::types::CreateBucketConfiguration::builder()
        .location_constraint(location.clone())
        .build();
    let create = |name: &str| {
        client
            .create_bucket()
            .bucket(name)
            .create_bucket_configuration(configuration.clone())
            .send()
    };
    create("fresh-bucket").await.unwrap();
    assert_eq!(
        code(create("fresh-bucket").await),
        "BucketAlreadyOwnedByYou"
    );
    assert_eq!(code(create("foreign-bucket").await), "BucketAlreadyExists");
    assert_eq!(code(create("Bad_Name").await), "InvalidBucketName");
    assert_eq!(
        code(client.create_bucket().bucket("nowhere-bucket").send().await),
        "IllegalLocationConstraintException"
    );
    let found = client
        .get_bucket_location()
        .bucket("fresh-bucket")
        .send()
        .await
        .unwrap();
    assert_eq!(found.location_constraint(), Some(&location));
    let listed = client.list_buckets().send().await.unwrap();
    let names: Vec<&str> = listed
        .buckets()
        .iter()
        .filter_map(|bucket| bucket.name())
        .collect();
    assert_eq!(names, [BUCKET, "fresh-bucket", "other-bucket"]);
    assert!(client.head_bucket().bucket(BUCKET).send().await.is_ok());
    assert_eq!(
        code(client.head_bucket().bucket("none").send().await),
        "NotFound"
    );
    assert_eq!(
        code(client.delete_bucket().bucket(BUCKET).send().await),
        "BucketNotEmpty"
    );
    client
        .delete_bucket()
        .bucket("fresh-bucket")
        .send()
        .await
        .unwrap();
    assert_eq!(
        code(client.delete_bucket().bucket("fresh-bucket").send().await),
        "NoSuchBucket"
    );
}

#[tokio::test]
async fn a_bucket_of_another_region_or_owner_is_not_taken_for_it() {
    let mut estate = estate();
    estate.accounts[0].buckets.push(Bucket {
        region: Some("us-east-1".into()),
        ..Bucket::new("far-bucket")
    });
    let sandbox = start_with(estate).await;
    let client = s3(&sandbox, root(&sandbox));
    let far = client
        .get_object()
        .bucket("far-bucket")
        .key("a")
        .send()
        .await;
    assert_eq!(code(far), "AuthorizationHeaderMalformed");
    let expecting = |owner: &str| {
        client
            .put_object()
            .bucket(BUCKET)
            .key("a")
            .expected_bucket_owner(owner)
            .send()
    };
    assert!(expecting(ACCOUNT).await.is_ok());
    assert_eq!(code(expecting(OTHER_ACCOUNT).await), "AccessDenied");
}

#[tokio::test]
async fn what_is_not_here_is_refused_and_not_half_done() {
    let (_sandbox, client) = root_client().await;
    assert_eq!(
        code(
            client
                .get_object_acl()
                .bucket(BUCKET)
                .key("releases/old.txt")
                .send()
                .await
        ),
        "NotImplemented"
    );
    assert_eq!(
        code(
            client
                .get_object_tagging()
                .bucket(BUCKET)
                .key("releases/old.txt")
                .send()
                .await
        ),
        "NotImplemented"
    );
    assert_eq!(
        code(client.get_bucket_versioning().bucket(BUCKET).send().await),
        "NotImplemented"
    );
    let versioned = client
        .get_object()
        .bucket(BUCKET)
        .key("releases/old.txt")
        .version_id("1");
    assert_eq!(code(versioned.send().await), "NotImplemented");
    let tagged = client
        .put_object()
        .bucket(BUCKET)
        .key("tagged")
        .tagging("a=b");
    assert_eq!(code(tagged.send().await), "NotImplemented");
    let public = client
        .put_object()
        .bucket(BUCKET)
        .key("public")
        .acl(aws_sdk_s3::types::ObjectCannedAcl::PublicRead);
    assert_eq!(code(public.send().await), "AccessControlListNotSupported");
    for key in ["tagged", "public"] {
        assert_eq!(
            code(client.get_object().bucket(BUCKET).key(key).send().await),
            "NoSuchKey"
        );
    }
}

#[tokio::test]
async fn a_variable_keeps_each_user_in_their_own_folder() {
    let mut estate = estate();
    let own = allow(
        &["s3:PutObject"],
        &["arn:aws:s3:::artifacts-prod/home/${aws:username}/*"],
    );
    estate.accounts[0]
        .users
        .push(User::new("anna").inline("own", own));
    let sandbox = start_with(estate).await;
    let client = s3(&sandbox, user(&sandbox, "anna"));
    assert!(
        client
            .put_object()
            .bucket(BUCKET)
            .key("home/anna/a")
            .send()
            .await
            .is_ok()
    );
    assert_eq!(
        code(
            client
                .put_object()
                .bucket(BUCKET)
                .key("home/otto/a")
                .send()
                .await
        ),
        "AccessDenied"
    );
}
