//! What is written takes its time: to be enforced, to end, and to be shown.

use jitney_sandbox::gcp::Lags;
use reqwest::Method;
use serde_json::json;

use crate::cloud::*;

fn lags() -> Lags {
    Lags {
        grant_seconds: 60,
        revoke_seconds: 120,
        disable_seconds: 10,
        enable_seconds: 20,
        read_seconds: 5,
    }
}

#[tokio::test]
async fn a_grant_comes_late_and_its_removal_later() {
    let cloud = start().await;
    let token = cloud.lease().await;
    cloud.sandbox.set_lags(Lags {
        read_seconds: 0,
        ..lags()
    });
    cloud.grant(SLOT, "roles/storage.objectViewer", None).await;
    assert_eq!(cloud.read(&token, "releases/old.txt").await, 403);
    cloud.sandbox.clock().advance_seconds(60);
    assert_eq!(cloud.read(&token, "releases/old.txt").await, 200);
    cloud.ungrant(SLOT).await;
    cloud.sandbox.clock().advance_seconds(118);
    assert_eq!(
        cloud.read(&token, "releases/old.txt").await,
        200,
        "gone from the policy, and still in force"
    );
    cloud.sandbox.clock().advance_seconds(2);
    assert_eq!(cloud.read(&token, "releases/old.txt").await, 403);
}

#[tokio::test]
async fn disabling_and_enabling_take_their_time() {
    let cloud = start().await;
    cloud.grant(SLOT, "roles/storage.objectViewer", None).await;
    let token = cloud.lease().await;
    cloud.sandbox.set_lags(Lags {
        read_seconds: 0,
        ..lags()
    });
    cloud.disable(SLOT).await;
    assert_eq!(cloud.read(&token, "releases/old.txt").await, 200);
    cloud.sandbox.clock().advance_seconds(10);
    assert_eq!(cloud.read(&token, "releases/old.txt").await, 401);
    cloud.enable(SLOT).await;
    assert_eq!(
        cloud
            .mint(SLOT, json!({ "scope": [CLOUD_PLATFORM] }))
            .await
            .status,
        403
    );
    cloud.sandbox.clock().advance_seconds(20);
    cloud
        .mint(SLOT, json!({ "scope": [CLOUD_PLATFORM] }))
        .await
        .ok();
}

#[tokio::test]
async fn a_read_that_lags_behind_loses_the_race_and_does_not_win_it() {
    let cloud = start().await;
    cloud.sandbox.set_lags(Lags {
        read_seconds: 5,
        ..Lags::default()
    });
    let before = cloud.bucket_policy().await;
    cloud.grant(SLOT, "roles/storage.objectViewer", None).await;
    let lagging = cloud.bucket_policy().await;
    assert_eq!(lagging, before, "the write is not shown yet");
    let refused = cloud.set_bucket_policy(lagging).await;
    assert_eq!(refused.error(), (412, "conditionNotMet"));
    cloud.sandbox.clock().advance_seconds(5);
    assert_ne!(cloud.bucket_policy().await, before);
}

#[tokio::test]
async fn the_flag_is_shown_late_too() {
    let cloud = start().await;
    cloud.sandbox.set_lags(Lags {
        read_seconds: 5,
        ..Lags::default()
    });
    let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{SLOT}");
    cloud.disable(SLOT).await;
    assert_eq!(
        cloud
            .get(&cloud.token(BROKER), &path)
            .await
            .ok()
            .get("disabled"),
        None
    );
    cloud.sandbox.clock().advance_seconds(5);
    assert_eq!(
        cloud.get(&cloud.token(BROKER), &path).await.ok()["disabled"],
        json!(true)
    );
}

#[tokio::test]
async fn a_description_is_shown_late_and_compared_at_once() {
    let cloud = start().await;
    cloud.sandbox.set_lags(Lags {
        read_seconds: 5,
        ..Lags::default()
    });
    let broker = cloud.token(BROKER);
    let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{SLOT}");
    let before = cloud.get(&broker, &path).await.ok();
    let stamp = |text: &str| {
        json!({
            "serviceAccount": { "description": text, "etag": before["etag"] },
            "updateMask": "description",
        })
    };
    let patch = |text| cloud.call(&broker, Method::PATCH, &path, stamp(text));
    assert_eq!(patch("lease 1").await.ok()["description"], json!("lease 1"));
    assert_eq!(cloud.get(&broker, &path).await.ok(), before);
    assert_eq!(patch("lease 2").await.error(), (409, "ABORTED"));
    cloud.sandbox.clock().advance_seconds(5);
    let after = cloud.get(&broker, &path).await.ok();
    assert_eq!(after["description"], json!("lease 1"));
}
