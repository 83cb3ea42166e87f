//! Many hands in one policy.

use jitney_integration_tests::adapter_laws::Stage as _;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::estate::{BUCKET, PROJECT, SLOTS};
use crate::stage::{GcpStage, LAGS};
use crate::steps::{FIRST, adapter};

/// A stranger writes the same policy all the while, by Google's own rule. Nobody's work is lost.
#[tokio::test(flavor = "multi_thread")]
async fn leases_and_strangers_write_one_policy_and_nobodys_work_is_lost() {
    let stage = Arc::new(GcpStage::new(LAGS).await);
    let adapter = Arc::new(adapter(&stage));
    let stranger = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move {
            let mut written = 0;
            while written < 10 {
                let binding = json!({ "role": "roles/storage.objectCreator",
                    "members": ["user:ann@example.com"],
                    "condition": { "title": format!("stranger {written}"),
                                   "expression": format!("{written} == {written}") } });
                // A race that was lost is tried again, as anybody would.
                written += u32::from(stage.bind(BUCKET, &binding).await.is_ok());
            }
        }
    });
    let mut leases = Vec::new();
    for _ in 0..SLOTS {
        let intent = stage
            .scribe
            .intend(&*adapter, &[stage.wanted()])
            .await
            .unwrap();
        leases.push(intent);
    }
    let mut asked = tokio::task::JoinSet::new();
    for intent in leases {
        let adapter = Arc::clone(&adapter);
        asked.spawn(async move {
            let elevation = jitney_core::adapter::Elevate::elevate(&*adapter, &intent).await;
            (intent, elevation)
        });
    }
    let answered = asked.join_all().await;
    stranger.await.unwrap();
    let (ours, theirs) = stage.bindings(BUCKET).await.unwrap();
    assert_eq!(ours.len(), SLOTS);
    let strangers = theirs.iter().filter(|it| {
        let title = it["condition"]["title"].as_str().unwrap_or_default();
        title.starts_with("stranger")
    });
    assert_eq!(strangers.count(), 10);
    for (intent, elevation) in answered {
        let active = stage
            .scribe
            .granted_and_raised(intent, &elevation.unwrap())
            .await
            .unwrap();
        let lease = stage.scribe.ending(active).await.unwrap();
        stage.scribe.end(&*adapter, FIRST, lease).await.unwrap();
    }
    let (ours, after) = stage.bindings(BUCKET).await.unwrap();
    assert_eq!(ours, Vec::<Value>::new());
    assert_eq!(after, theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projects_audit_settings_outlive_every_lease() {
    let stage = GcpStage::new(LAGS).await;
    let adapter = adapter(&stage);
    let read = format!("/v3/projects/{PROJECT}:getIamPolicy");
    let asked = json!({ "options": { "requestedPolicyVersion": 3 } });
    let mut policy = stage.admin(Method::POST, &read, &asked).await.unwrap();
    policy["auditConfigs"] = json!([{ "service": "allServices",
        "auditLogConfigs": [{ "logType": "DATA_READ" }] }]);
    let write = format!("/v3/projects/{PROJECT}:setIamPolicy");
    let body = json!({ "policy": policy, "updateMask": "bindings,etag,auditConfigs" });
    stage.admin(Method::POST, &write, &body).await.unwrap();
    let without_etag = async || {
        let mut policy = stage.admin(Method::POST, &read, &asked).await.unwrap();
        let fields = policy.as_object_mut().unwrap();
        fields.remove("etag");
        fields.remove("version");
        policy
    };
    let before = without_etag().await;
    let wanted = stage.wish("infra:apply@deployer", "deploy");
    let taken = stage.scribe.take(&adapter, &[wanted]).await.unwrap();
    let during = without_etag().await;
    assert_eq!(during["auditConfigs"], before["auditConfigs"]);
    let role = format!("projects/{PROJECT}/roles/deployer");
    let bindings = during["bindings"].as_array().unwrap();
    assert!(
        bindings.iter().any(|it| it["role"] == role.as_str()),
        "{during}"
    );
    let lease = stage.scribe.ending(taken.lease).await.unwrap();
    // It lapses: what it made may live an hour. Its binding goes at once.
    stage
        .scribe
        .look(&adapter, FIRST, vec![lease], &[])
        .await
        .unwrap();
    assert_eq!(without_etag().await, before);
}
