//! The sandbox's own controls, and what does not start.

use jitney_sandbox::gcp::estate::{Binding, Bucket, Estate, Project, ServiceAccount};
use jitney_sandbox::{GcpOptions, GcpSandbox};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cloud::*;

impl Cloud {
    async fn order(&self, command: &str, body: Value) -> Value {
        self.post("", &format!("/_sandbox/{command}"), body)
            .await
            .ok()
    }
}

#[tokio::test]
async fn another_process_drives_it_over_http() {
    let cloud = start().await;
    let token = cloud
        .order(
            "token",
            json!({ "principal": BROKER, "lifetime_seconds": 60 }),
        )
        .await;
    let token = token["token"].as_str().unwrap().to_owned();
    let path = format!("/v1/projects/{PROJECT}/serviceAccounts/{SLOT}");
    assert_eq!(cloud.get(&token, &path).await.status, 200);
    cloud.order("clock", json!({ "advance_seconds": 61 })).await;
    assert_eq!(cloud.get(&token, &path).await.status, 401);
    cloud
        .order("options", json!({ "lags": { "disable_seconds": 30 } }))
        .await;
    let status = cloud.get("", "/_sandbox/status").await.ok();
    assert_eq!(status["options"]["lags"]["disable_seconds"], json!(30));
    cloud
        .order(
            "faults",
            json!({ "service": "iam", "action": "*", "fault": { "kind": "throttle" } }),
        )
        .await;
    assert_eq!(cloud.get(&cloud.token(BROKER), &path).await.status, 429);
    let standing = cloud.order("standing", json!({ "principal": SLOT })).await;
    assert_eq!(standing["account"], json!("enabled"));
    let journal = cloud.get("", "/_sandbox/journal").await.ok();
    assert_eq!(journal["entries"].as_array().unwrap().len(), 3);
    cloud.order("reset", json!({})).await;
    assert_eq!(
        cloud.get("", "/_sandbox/journal").await.ok()["entries"],
        json!([])
    );
    assert_eq!(
        cloud.get("", "/_sandbox/tokens").await.ok()["tokens"],
        json!([])
    );
}

#[tokio::test]
async fn an_order_that_is_not_understood_is_refused() {
    let cloud = start().await;
    for (command, body) in [
        ("token", json!({ "principal": "ghost@example.com" })),
        ("token", json!({ "who": BROKER })),
        ("clock", json!({ "seconds": 1 })),
        ("options", json!({ "lags": { "grants": 1 } })),
        (
            "would-allow",
            json!({ "token": "0", "permission": "p", "resource": "r" }),
        ),
    ] {
        let path = format!("/_sandbox/{command}");
        assert_eq!(
            cloud.post("", &path, body.clone()).await.status,
            400,
            "{command} {body}"
        );
    }
    assert_eq!(cloud.get("", "/_sandbox/nothing").await.status, 404);
}

#[tokio::test]
async fn a_page_in_a_browser_does_not_reach_the_controls() {
    let cloud = start().await;
    let url = format!("{}/_sandbox/status", cloud.sandbox.url());
    let request = cloud.http.get(url).header("host", "sandbox.example.com");
    assert_eq!(request.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn no_token_is_told_by_the_books() {
    let cloud = start().await;
    let token = cloud.lease().await;
    for path in ["/_sandbox/tokens", "/_sandbox/journal", "/_sandbox/status"] {
        let told = cloud.get("", path).await.ok().to_string();
        assert!(!told.contains(&token), "{path}");
    }
    let told = cloud
        .order("standing", json!({ "principal": SLOT }))
        .await
        .to_string();
    assert!(!told.contains(&token) && told.contains(&jitney_sandbox::gcp::fingerprint(&token)));
}

#[tokio::test]
async fn what_there_is_not_is_not_found() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    for path in [
        "/",
        "/v2/projects/acme-prod",
        "/v1/projects/acme-prod:undelete",
        "/storage/v1/b/x/acl",
    ] {
        assert_eq!(cloud.get(&broker, path).await.status, 404, "{path}");
    }
    let path = format!("/storage/v1/b/{BUCKET}");
    assert_eq!(
        cloud
            .call(&broker, Method::PATCH, &path, json!({}))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn an_estate_that_does_not_hold_together_does_not_start() {
    let account = ServiceAccount::new("worker");
    let project = || Project::new("acme", 1);
    let member = "serviceAccount:worker@acme.iam.gserviceaccount.com";
    for (what, estate) in
        [
            (
                "`acme` appears twice",
                Estate::new().project(project()).project(project()),
            ),
            (
                "`worker@acme",
                Estate::new().project(project().account(account.clone()).account(account.clone())),
            ),
            (
                "21 digits",
                Estate::new().project(project().account(account.clone().unique_id("5"))),
            ),
            (
                "no member",
                Estate::new().project(project().binding(Binding::new("roles/viewer", &[member]))),
            ),
            (
                "no role",
                Estate::new().project(project().binding(Binding::new("roles/x", &["allUsers"]))),
            ),
            (
                "metadata account",
                Estate::new().metadata_account("worker@acme.iam.gserviceaccount.com"),
            ),
            (
                "does not hold together",
                Estate::new().project(project().bucket(
                    Bucket::new("b").binding(
                        Binding::new("roles/storage.admin", &["user:a@b.c"]).when("t", "x"),
                    ),
                )),
            ),
        ]
    {
        let error = GcpSandbox::start(GcpOptions::new(estate))
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(what), "{error} without {what}");
    }
    let mut options = GcpOptions::default();
    options.listen.set_ip("0.0.0.0".parse().unwrap());
    let error = GcpSandbox::start(options).await.err().unwrap().to_string();
    assert!(error.contains("loopback"), "{error}");
}

#[test]
fn an_estate_is_read_from_a_file() {
    let text = serde_json::to_string(&estate()).unwrap();
    assert_eq!(serde_json::from_str::<Estate>(&text).unwrap(), estate());
    let toml = "[[projects]]\nid = \"acme\"\nnumber = 7\naccounts = [{ name = \"broker\" }]\n";
    let read: Estate = toml::from_str(toml).unwrap();
    assert_eq!(
        read,
        Estate::new().project(Project::new("acme", 7).account(ServiceAccount::new("broker")))
    );
}
