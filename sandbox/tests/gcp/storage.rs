//! Objects: every way that an access can fail, one at a time.

use reqwest::Method;
use serde_json::{Value, json};

use crate::cloud::*;

const OLD: &str = "/storage/v1/b/artifacts-prod/o/releases%2Fold.txt";

#[tokio::test]
async fn each_of_account_scopes_and_policy_is_needed() {
    let cloud = start().await;
    cloud.grant(SLOT, "roles/storage.objectUser", None).await;
    let scope = |name: &str| format!("https://www.googleapis.com/auth/{name}");
    let token = |scope: &str| cloud.sandbox.token_with(SLOT, &[scope], 600).unwrap();
    for (name, reads, writes) in [
        ("cloud-platform", 200, 200),
        ("devstorage.full_control", 200, 200),
        ("devstorage.read_write", 200, 200),
        ("devstorage.read_only", 200, 403),
        ("iam", 403, 403),
    ] {
        let token = token(&scope(name));
        assert_eq!(
            cloud.read(&token, "releases/old.txt").await,
            reads,
            "{name} reads"
        );
        assert_eq!(
            cloud.upload(&token, "releases/n.txt", "n").await.status,
            writes,
            "{name} writes"
        );
    }
    assert_eq!(
        cloud.get(&cloud.token(NOBODY), OLD).await.error(),
        (403, "forbidden")
    );
    assert_eq!(cloud.get("", OLD).await.error(), (401, "authError"));
    assert_eq!(
        cloud.get(&cloud.token(OWNER), OLD).await.error(),
        (403, "forbidden"),
        "an owner holds no object"
    );
}

#[tokio::test]
async fn a_creator_may_not_read_overwrite_or_delete() {
    let cloud = start().await;
    cloud.grant(SLOT, "roles/storage.objectCreator", None).await;
    let token = cloud.lease().await;
    cloud.upload(&token, "releases/new.txt", "new").await.ok();
    assert_eq!(
        cloud
            .upload(&token, "releases/new.txt", "newer")
            .await
            .error(),
        (403, "forbidden")
    );
    assert_eq!(cloud.read(&token, "releases/new.txt").await, 403);
    assert_eq!(
        cloud
            .call(&token, Method::DELETE, OLD, Value::Null)
            .await
            .status,
        403
    );
    assert_eq!(
        cloud.sandbox.object(BUCKET, "releases/new.txt").as_deref(),
        Some("new")
    );
}

#[tokio::test]
async fn who_may_not_list_is_not_told_what_is_missing() {
    let cloud = start().await;
    let missing = "/storage/v1/b/artifacts-prod/o/nothing";
    assert_eq!(
        cloud.get(&cloud.token(BROKER), missing).await.error(),
        (404, "notFound")
    );
    cloud
        .grant(SLOT, "projects/acme-prod/roles/reader", None)
        .await;
    let token = cloud.lease().await;
    assert_eq!(cloud.get(&token, missing).await.error(), (403, "forbidden"));
    assert_eq!(cloud.get(&token, OLD).await.status, 200);
    assert_eq!(
        cloud
            .get(&token, "/storage/v1/b/no-such-bucket/o/x")
            .await
            .error(),
        (404, "notFound")
    );
}

#[tokio::test]
async fn objects_are_written_read_listed_and_deleted() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    let written = cloud.upload(&broker, "a%2Fb.txt", "hello").await.ok();
    assert_eq!(
        (&written["size"], &written["crc32c"]),
        (&json!("5"), &json!("mnG7TA=="))
    );
    assert_eq!(written["md5Hash"], json!("XUFAKrxLKna5cZ2REBfFkg=="));
    let path = format!(
        "{}/storage/v1/b/{BUCKET}/o/a%2Fb.txt?alt=media",
        cloud.sandbox.url()
    );
    let media = cloud
        .http
        .get(&path)
        .bearer_auth(&broker)
        .send()
        .await
        .unwrap();
    assert_eq!(
        media.headers()["x-goog-hash"],
        "crc32c=mnG7TA==,md5=XUFAKrxLKna5cZ2REBfFkg=="
    );
    assert_eq!(media.text().await.unwrap(), "hello");
    let part = cloud
        .http
        .get(&path)
        .bearer_auth(&broker)
        .header("range", "bytes=1-3")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (part.status().as_u16(), part.text().await.unwrap().as_str()),
        (206, "ell")
    );
    let list = |query: &str| format!("/storage/v1/b/{BUCKET}/o?{query}");
    let folders = cloud.get(&broker, &list("delimiter=/")).await.ok();
    assert_eq!(folders["prefixes"], json!(["a/", "private/", "releases/"]));
    let page = cloud.get(&broker, &list("maxResults=2")).await.ok();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let next = page["nextPageToken"].as_str().unwrap();
    let rest = cloud
        .get(&broker, &list(&format!("maxResults=2&pageToken={next}")))
        .await
        .ok();
    assert_eq!(rest["items"][0]["name"], json!("releases/old.txt"));
    assert_eq!(rest.get("nextPageToken"), None);
    let gone = cloud
        .call(
            &broker,
            Method::DELETE,
            &format!("/storage/v1/b/{BUCKET}/o/a%2Fb.txt"),
            Value::Null,
        )
        .await;
    assert_eq!(gone.status, 204);
    assert_eq!(cloud.read(&broker, "a/b.txt").await, 404);
}

#[tokio::test]
async fn generations_guard_against_overwriting() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    let first = cloud
        .upload(&broker, "g.txt&ifGenerationMatch=0", "1")
        .await
        .ok();
    assert_eq!(
        cloud
            .upload(&broker, "g.txt&ifGenerationMatch=0", "2")
            .await
            .error(),
        (412, "conditionNotMet")
    );
    let generation = first["generation"].as_str().unwrap();
    let second = cloud
        .upload(
            &broker,
            &format!("g.txt&ifGenerationMatch={generation}"),
            "2",
        )
        .await
        .ok();
    assert_ne!(second["generation"], first["generation"]);
    let stale = format!("/storage/v1/b/{BUCKET}/o/g.txt?ifGenerationMatch={generation}");
    assert_eq!(
        cloud
            .call(&broker, Method::DELETE, &stale, Value::Null)
            .await
            .status,
        412
    );
    assert_eq!(cloud.sandbox.object(BUCKET, "g.txt").as_deref(), Some("2"));
}

#[tokio::test]
async fn a_public_bucket_is_public() {
    let cloud = start().await;
    let mut policy = cloud.bucket_policy().await;
    policy["bindings"].as_array_mut().unwrap().push(json!({
        "role": "roles/storage.objectViewer", "members": ["allUsers"],
    }));
    cloud.set_bucket_policy(policy).await.ok();
    assert_eq!(cloud.get("", OLD).await.status, 200);
    assert_eq!(cloud.upload("", "x", "x").await.status, 401);
}

#[tokio::test]
async fn buckets_are_shown_to_who_may_see_them() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    let bucket = cloud
        .get(&broker, &format!("/storage/v1/b/{BUCKET}"))
        .await
        .ok();
    assert_eq!(bucket["projectNumber"], json!(NUMBER.to_string()));
    assert_eq!(
        bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"],
        json!(true)
    );
    let list = format!("/storage/v1/b?project={PROJECT}");
    assert_eq!(
        cloud.get(&broker, &list).await.status,
        403,
        "the right is on the bucket, not on the project"
    );
    let listed = cloud.get(&cloud.token(OWNER), &list).await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        cloud
            .get(&cloud.token(NOBODY), &format!("/storage/v1/b/{BUCKET}"))
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn what_would_be_decided_is_what_is_decided() {
    let cloud = start().await;
    let get = "storage.objects.get";
    let token = cloud.lease().await;
    assert_eq!(
        cloud.would_allow(&token, get, "releases/old.txt"),
        "not_granted"
    );
    cloud.grant(SLOT, "roles/storage.objectViewer", None).await;
    assert_eq!(
        cloud.would_allow(&token, get, "releases/old.txt"),
        "allowed"
    );
    let iam = cloud
        .sandbox
        .token_with(SLOT, &["https://www.googleapis.com/auth/iam"], 60)
        .unwrap();
    assert_eq!(
        cloud.would_allow(&iam, get, "releases/old.txt"),
        "out_of_scope"
    );
    cloud.disable(SLOT).await;
    assert_eq!(
        cloud.would_allow(&token, get, "releases/old.txt"),
        "token_refused"
    );
}
