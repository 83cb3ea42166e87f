//! Conditional bindings: they end by themselves, and they narrow.

use serde_json::json;

use crate::cloud::*;

#[tokio::test]
async fn a_binding_ends_at_its_time_although_nobody_removes_it() {
    let cloud = start().await;
    let until = cloud.time_in(300);
    cloud
        .grant(
            SLOT,
            "roles/storage.objectViewer",
            Some(&format!("request.time < timestamp('{until}')")),
        )
        .await;
    let token = cloud.lease().await;
    assert_eq!(cloud.read(&token, "releases/old.txt").await, 200);
    cloud.sandbox.clock().advance_seconds(301);
    assert_eq!(cloud.read(&token, "releases/old.txt").await, 403);
}

#[tokio::test]
async fn a_condition_narrows_objects_and_listing() {
    let cloud = start().await;
    let objects =
        format!("resource.name.startsWith('projects/_/buckets/{BUCKET}/objects/releases/')");
    let listing =
        "api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('releases/')";
    cloud
        .grant(
            SLOT,
            "roles/storage.objectUser",
            Some(&format!("{objects} || {listing}")),
        )
        .await;
    let token = cloud.lease().await;
    assert_eq!(cloud.read(&token, "releases/old.txt").await, 200);
    assert_eq!(cloud.read(&token, "private/key.txt").await, 403);
    cloud.upload(&token, "releases/new.txt", "new").await.ok();
    assert_eq!(
        cloud.upload(&token, "private/new.txt", "new").await.error(),
        (403, "forbidden")
    );
    let list = |query: &str| format!("/storage/v1/b/{BUCKET}/o{query}");
    let listed = cloud.get(&token, &list("?prefix=releases/")).await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    for query in ["", "?prefix=", "?prefix=private/", "?prefix=release"] {
        assert_eq!(cloud.get(&token, &list(query)).await.status, 403, "{query}");
    }
}

#[tokio::test]
async fn a_condition_on_the_project_is_asked_about_the_object() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    let path = format!("/v3/projects/{PROJECT}:getIamPolicy");
    let version = json!({ "options": { "requestedPolicyVersion": 3 } });
    let mut policy = cloud.post(&broker, &path, version).await.ok();
    policy["version"] = json!(3);
    policy["bindings"].as_array_mut().unwrap().push(json!({
        "role": "roles/storage.objectViewer",
        "members": [member(SLOT)],
        "condition": { "title": "objects", "expression":
            "resource.type == 'storage.googleapis.com/Object' && resource.name.endsWith('.txt')" },
    }));
    let path = format!("/v3/projects/{PROJECT}:setIamPolicy");
    cloud
        .post(&broker, &path, json!({ "policy": policy }))
        .await
        .ok();
    let token = cloud.lease().await;
    assert_eq!(cloud.read(&token, "private/key.txt").await, 200);
    let list = format!("/storage/v1/b/{BUCKET}/o");
    assert_eq!(
        cloud.get(&token, &list).await.status,
        403,
        "the bucket is no object"
    );
    assert_eq!(
        cloud
            .get(&token, "/storage/v1/b/other-bucket/o")
            .await
            .status,
        403,
        "another project's"
    );
}

#[tokio::test]
async fn a_granter_may_be_limited_to_some_roles() {
    let cloud = start().await;
    let owner = cloud.token(OWNER);
    let get = format!("/v3/projects/{PROJECT}:getIamPolicy");
    let set = format!("/v3/projects/{PROJECT}:setIamPolicy");
    let version = json!({ "options": { "requestedPolicyVersion": 3 } });
    let mut policy = cloud.post(&owner, &get, version.clone()).await.ok();
    policy["version"] = json!(3);
    policy["bindings"].as_array_mut().unwrap().push(json!({
        "role": "roles/iam.securityAdmin",
        "members": [member(NOBODY)],
        "condition": { "title": "limited", "expression":
            "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/storage.objectViewer'])" },
    }));
    cloud
        .post(&owner, &set, json!({ "policy": policy }))
        .await
        .ok();
    let limited = cloud.token(NOBODY);
    let policy = cloud.post(&owner, &get, version).await.ok();
    for (role, status) in [
        ("roles/storage.objectViewer", 200),
        ("roles/storage.admin", 403),
    ] {
        let mut policy = policy.clone();
        policy.as_object_mut().unwrap().remove("etag");
        policy["bindings"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "role": role, "members": [member(SLOT)] }));
        assert_eq!(
            cloud
                .post(&limited, &set, json!({ "policy": policy }))
                .await
                .status,
            status,
            "{role}"
        );
    }
    // A bucket's policy cannot hold such a condition.
    let mut policy = cloud.bucket_policy().await;
    policy["version"] = json!(3);
    policy["bindings"].as_array_mut().unwrap().push(json!({
        "role": "roles/storage.admin",
        "members": [member(NOBODY)],
        "condition": { "title": "limited", "expression":
            "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/storage.objectViewer'])" },
    }));
    assert_eq!(cloud.set_bucket_policy(policy).await.status, 400);
}
