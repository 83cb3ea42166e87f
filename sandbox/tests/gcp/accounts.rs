//! Service accounts: what is shown to whom, and what a change needs.

use reqwest::Method;
use serde_json::{Value, json};

use crate::cloud::*;

fn path(account: &str) -> String {
    format!("/v1/projects/{PROJECT}/serviceAccounts/{account}")
}

#[tokio::test]
async fn a_missing_account_is_not_found_under_its_project_and_refused_under_the_wildcard() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    let ghost = "ghost@acme-prod.iam.gserviceaccount.com";
    assert_eq!(
        cloud.get(&broker, &path(ghost)).await.error(),
        (404, "NOT_FOUND")
    );
    let anywhere = format!("/v1/projects/-/serviceAccounts/{ghost}");
    assert_eq!(
        cloud.get(&broker, &anywhere).await.error(),
        (403, "PERMISSION_DENIED")
    );
    assert_eq!(
        cloud.get(&cloud.token(NOBODY), &path(ghost)).await.error(),
        (403, "PERMISSION_DENIED")
    );
    let foreign = "guest@other.iam.gserviceaccount.com";
    assert_eq!(
        cloud.get(&broker, &path(foreign)).await.error(),
        (404, "NOT_FOUND"),
        "not of this project"
    );
    assert_eq!(
        cloud
            .get(&broker, &format!("/v1/projects/-/serviceAccounts/{SLOT}"))
            .await
            .ok()["email"],
        json!(SLOT)
    );
}

#[tokio::test]
async fn every_change_needs_its_own_right() {
    let cloud = start().await;
    let nobody = cloud.token(NOBODY);
    let slot = path(SLOT);
    let change = json!({ "serviceAccount": { "description": "x" }, "updateMask": "description" });
    for (method, path, body) in [
        (Method::GET, slot.clone(), Value::Null),
        (Method::PATCH, slot.clone(), change),
        (Method::DELETE, slot.clone(), Value::Null),
        (Method::POST, format!("{slot}:enable"), json!({})),
        (Method::POST, format!("{slot}:disable"), json!({})),
        (Method::POST, format!("{slot}:getIamPolicy"), Value::Null),
        (
            Method::GET,
            format!("/v1/projects/{PROJECT}/serviceAccounts"),
            Value::Null,
        ),
        (
            Method::POST,
            format!("/v1/projects/{PROJECT}/serviceAccounts"),
            json!({ "accountId": "slot-new" }),
        ),
        (Method::GET, format!("/v1/projects/{PROJECT}"), Value::Null),
        (Method::GET, format!("/v3/projects/{PROJECT}"), Value::Null),
        (
            Method::POST,
            format!("/v3/projects/{PROJECT}:getIamPolicy"),
            json!({}),
        ),
    ] {
        let refused = cloud.call(&nobody, method.clone(), &path, body).await;
        assert_eq!(
            refused.error(),
            (403, "PERMISSION_DENIED"),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_description_is_a_durable_mark_with_an_etag() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    let before = cloud.get(&broker, &path(SLOT)).await.ok();
    let change = |etag: &Value, text: &str| json!({ "serviceAccount": { "description": text, "etag": etag }, "updateMask": "description" });
    let after = cloud
        .call(
            &broker,
            Method::PATCH,
            &path(SLOT),
            change(&before["etag"], "lease 1"),
        )
        .await
        .ok();
    assert_eq!(after["description"], json!("lease 1"));
    assert_ne!(after["etag"], before["etag"]);
    let stale = cloud
        .call(
            &broker,
            Method::PATCH,
            &path(SLOT),
            change(&before["etag"], "lease 2"),
        )
        .await;
    assert_eq!(stale.error(), (409, "ABORTED"));
    let long = cloud
        .call(
            &broker,
            Method::PATCH,
            &path(SLOT),
            change(&after["etag"], &"x".repeat(257)),
        )
        .await;
    assert_eq!(long.status, 400);
    let unmasked = json!({ "serviceAccount": { "description": "x" } });
    assert_eq!(
        cloud
            .call(&broker, Method::PATCH, &path(SLOT), unmasked)
            .await
            .status,
        400
    );
    assert_eq!(
        cloud.get(&broker, &path(SLOT)).await.ok()["description"],
        json!("lease 1")
    );
}

#[tokio::test]
async fn accounts_are_listed_in_pages() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/v1/projects/{PROJECT}/serviceAccounts?pageSize=2&pageToken={token}");
        let page = cloud.get(&broker, &path).await.ok();
        let accounts = page["accounts"].as_array().unwrap();
        assert!(accounts.len() <= 2);
        seen.extend(
            accounts
                .iter()
                .map(|account| account["email"].as_str().unwrap().to_owned()),
        );
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(
        seen.contains(&SLOT.to_owned())
            && !seen.contains(&"guest@other.iam.gserviceaccount.com".to_owned())
    );
}

#[tokio::test]
async fn an_account_made_again_is_another_one() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    let accounts = format!("/v1/projects/{PROJECT}/serviceAccounts");
    let wish = json!({ "accountId": "worker", "serviceAccount": { "displayName": "a worker" } });
    let first = cloud.post(&broker, &accounts, wish.clone()).await.ok();
    assert_eq!(
        cloud.post(&broker, &accounts, wish.clone()).await.error(),
        (409, "ALREADY_EXISTS")
    );
    let email = first["email"].as_str().unwrap();
    let token = cloud.token(email);
    cloud.grant(email, "roles/storage.objectViewer", None).await;
    assert_eq!(cloud.read(&token, "releases/old.txt").await, 200);
    cloud
        .call(&broker, Method::DELETE, &path(email), Value::Null)
        .await
        .ok();
    assert_eq!(cloud.read(&token, "releases/old.txt").await, 401);
    let second = cloud.post(&broker, &accounts, wish).await.ok();
    assert_ne!(second["uniqueId"], first["uniqueId"]);
    assert_eq!(
        cloud.read(&token, "releases/old.txt").await,
        401,
        "the name is the same, the account is not"
    );
    for name in ["short", "Worker", "9worker", "worker-", &"w".repeat(31)] {
        assert_eq!(
            cloud
                .post(&broker, &accounts, json!({ "accountId": name }))
                .await
                .status,
            400,
            "{name}"
        );
    }
}
