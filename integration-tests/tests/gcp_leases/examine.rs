//! What `doctor` sees before a job finds out.

use jitney_integration_tests::adapter_laws::Stage as _;
use reqwest::Method;
use serde_json::json;

use crate::estate::{BUCKET, PROJECT, email, member, slot};
use crate::stage::{GcpStage, LAGS};
use crate::steps::{adapter, wish};

async fn looks(stage: &GcpStage) -> Vec<(String, Result<String, String>)> {
    adapter(stage).examine().await.looks
}

fn of<'a>(looks: &'a [(String, Result<String, String>)], what: &str) -> &'a Result<String, String> {
    let look = looks.iter().find(|it| it.0.contains(what));
    &look
        .unwrap_or_else(|| panic!("{what} was not looked at: {looks:?}"))
        .1
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estate_that_is_set_up_as_told_is_well() {
    let stage = GcpStage::new(LAGS).await;
    let taken = stage
        .scribe
        .take(&adapter(&stage), &[wish(&stage)])
        .await
        .unwrap();
    let looks = looks(&stage).await;
    assert!(looks.iter().all(|it| it.1.is_ok()), "{looks:?}");
    let handle = taken.lease.terms().handle.to_string();
    assert!(
        of(&looks, &slot(1)).as_ref().unwrap().contains(&handle),
        "{looks:?}"
    );
    assert_eq!(of(&looks, &slot(2)).as_deref(), Ok("it is free"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_undo_leases_is_told_with_what_to_change() {
    let stage = GcpStage::new(LAGS).await;
    let resting = "jitney:acme rests 0000000000000000001 e1 m0.1 until 2099-01-01T00:00:00Z";
    let resting = json!({ "serviceAccount": { "description": resting },
                          "updateMask": "description" });
    let for_ever = json!({ "role": "roles/storage.objectAdmin", "members": [member(&slot(2))] });
    stage.bind(BUCKET, &for_ever).await.unwrap();
    let foreign = json!({ "serviceAccount": { "description": "jitney:other rests" },
                          "updateMask": "description" });
    let path = |number| format!("/v1/projects/{PROJECT}/serviceAccounts/{}", slot(number));
    stage
        .admin(Method::PATCH, &path(3), &foreign)
        .await
        .unwrap();
    stage
        .admin(Method::PATCH, &path(1), &resting)
        .await
        .unwrap();
    stage.enable(&slot(1)).await.unwrap();
    let policy = format!("{}:setIamPolicy", path(4));
    let nobody = json!({ "policy": { "version": 3, "bindings": [] } });
    stage.admin(Method::POST, &policy, &nobody).await.unwrap();
    let disable = format!(
        "/v1/projects/{PROJECT}/serviceAccounts/{}:disable",
        email("jitney-shared")
    );
    stage
        .admin(Method::POST, &disable, &json!({}))
        .await
        .unwrap();
    let mut stands = stage.policy(BUCKET).await.unwrap();
    let fast = member(&email("jitney-fast"));
    for binding in stands["bindings"].as_array_mut().unwrap() {
        let members = binding["members"].as_array_mut().unwrap();
        members.retain(|it| *it != fast.as_str());
    }
    stage.set_policy(BUCKET, &stands).await.unwrap();
    stage.clock.set_on(stage.settles());
    let looks = looks(&stage).await;
    for (what, told) in [
        (slot(1), "must rest until 2099-01-01"),
        (format!("buckets/{BUCKET}"), "remove that binding"),
        (slot(3), "another installation's stamp"),
        (
            slot(4),
            "the broker lacks `iam.serviceAccounts.getAccessToken`",
        ),
        (email("jitney-shared"), "leases need it enabled"),
        (email("jitney-fast"), "which `standing` says"),
    ] {
        let found = of(&looks, &what);
        assert!(
            found.as_ref().is_err_and(|why| why.contains(told)),
            "{what}: {found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_may_nothing_is_told_so_for_everything() {
    let stage = GcpStage::new(LAGS).await;
    let found = stage.adapter_as("ann@example.com").examine().await;
    assert!(found.looks.iter().all(|it| it.1.is_err()), "{found:?}");
    assert!(found.skew.is_some());
}
