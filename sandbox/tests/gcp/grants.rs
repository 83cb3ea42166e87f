//! Privileged Access Manager: a grant from its request to its end.

use jitney_sandbox::GcpOptions;
use jitney_sandbox::gcp::estate::{Binding, Entitlement};
use jitney_sandbox::gcp::{Lags, RateLimits};
use serde_json::{Value, json};

use crate::cloud::*;

const APPROVER: &str = "bob@example.com";
const GRANTS: &str = "/v1/projects/acme-prod/locations/global/entitlements/readers/grants";
const APPROVED: &str = "/v1/projects/acme-prod/locations/global/entitlements/approved/grants";

fn entitlement(id: &str, approvers: &[&str]) -> Entitlement {
    Entitlement {
        id: id.to_owned(),
        requesters: vec![
            member(SLOT),
            member(NOBODY),
            "user:bob@example.com".to_owned(),
        ],
        approvers: approvers
            .iter()
            .map(|member| (*member).to_owned())
            .collect(),
        roles: vec!["roles/storage.objectViewer".to_owned()],
        condition: None,
        max_duration_seconds: 3_600,
    }
}

async fn start() -> Cloud {
    let mut estate = estate().user(APPROVER);
    let project = &mut estate.projects[0];
    project.entitlements.push(entitlement("readers", &[]));
    project
        .entitlements
        .push(entitlement("approved", &["user:bob@example.com"]));
    project.bindings.push(Binding::new(
        "roles/privilegedaccessmanager.admin",
        &[&member(BROKER)],
    ));
    start_with(GcpOptions {
        limits: RateLimits::unlimited(),
        ..GcpOptions::new(estate)
    })
    .await
}

impl Cloud {
    async fn request(&self, who: &str, grants: &str) -> Answered {
        self.post(
            &self.token(who),
            grants,
            json!({ "requestedDuration": "1800s" }),
        )
        .await
    }

    async fn state_of(&self, grant: &Value) -> String {
        let path = format!("/v1/{}", grant["name"].as_str().unwrap());
        self.get(&self.token(BROKER), &path).await.ok()["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn answer(&self, who: &str, grant: &Value, verb: &str) -> Answered {
        let path = format!("/v1/{}:{verb}", grant["name"].as_str().unwrap());
        self.post(&self.token(who), &path, json!({ "reason": "because" }))
            .await
    }

    async fn slot_reads(&self) -> bool {
        self.read(&self.token(SLOT), "releases/old.txt").await == 200
    }
}

#[tokio::test]
async fn a_grant_counts_until_its_end_and_then_leaves_the_policy() {
    let cloud = start().await;
    cloud.sandbox.set_lags(Lags {
        grant_seconds: 60,
        ..Lags::default()
    });
    let grant = cloud.request(SLOT, GRANTS).await.ok();
    assert_eq!(
        (&grant["state"], &grant["requester"]),
        (&json!("ACTIVATING"), &json!(SLOT))
    );
    assert!(!cloud.slot_reads().await);
    cloud.sandbox.clock().advance_seconds(61);
    assert_eq!(cloud.state_of(&grant).await, "ACTIVE");
    assert!(cloud.slot_reads().await);
    assert_eq!(
        cloud.sandbox.standing(SLOT).bindings[0].title.as_deref(),
        Some("Created by: PAM")
    );
    cloud.sandbox.clock().advance_seconds(1_801);
    assert!(!cloud.slot_reads().await);
    assert_eq!(cloud.state_of(&grant).await, "ENDED");
    assert_eq!(cloud.sandbox.standing(SLOT).bindings, []);
}

#[tokio::test]
async fn a_revocation_is_an_operation_that_is_done_when_it_is_enforced() {
    let cloud = start().await;
    let broker = cloud.token(BROKER);
    let grant = cloud.request(SLOT, GRANTS).await.ok();
    assert!(cloud.slot_reads().await);
    cloud.sandbox.set_lags(Lags {
        revoke_seconds: 120,
        ..Lags::default()
    });
    let operation = cloud.answer(BROKER, &grant, "revoke").await.ok();
    assert_eq!(operation["done"], json!(false));
    let path = format!("/v1/{}", operation["name"].as_str().unwrap());
    cloud.sandbox.clock().advance_seconds(119);
    assert_eq!(
        (
            cloud.state_of(&grant).await.as_str(),
            cloud.slot_reads().await
        ),
        ("REVOKING", true)
    );
    assert_eq!(cloud.get(&broker, &path).await.ok()["done"], json!(false));
    cloud.sandbox.clock().advance_seconds(1);
    assert_eq!(
        (
            cloud.state_of(&grant).await.as_str(),
            cloud.slot_reads().await
        ),
        ("REVOKED", false)
    );
    let done = cloud.get(&broker, &path).await.ok();
    assert_eq!(
        (&done["done"], &done["response"]["state"]),
        (&json!(true), &json!("REVOKED"))
    );
    assert_eq!(
        cloud.answer(BROKER, &grant, "revoke").await.error(),
        (400, "FAILED_PRECONDITION")
    );
}

#[tokio::test]
async fn nobody_approves_their_own_request() {
    let cloud = start().await;
    let own = cloud.request(APPROVER, APPROVED).await.ok();
    assert_eq!(own["state"], json!("APPROVAL_AWAITED"));
    assert_eq!(
        cloud.answer(APPROVER, &own, "approve").await.error(),
        (403, "PERMISSION_DENIED")
    );
    let grant = cloud.request(SLOT, APPROVED).await.ok();
    assert!(!cloud.slot_reads().await);
    for who in [SLOT, BROKER, OWNER] {
        assert_eq!(
            cloud.answer(who, &grant, "approve").await.error(),
            (403, "PERMISSION_DENIED"),
            "{who}"
        );
    }
    cloud.answer(APPROVER, &grant, "approve").await.ok();
    assert!(cloud.slot_reads().await);
    assert_eq!(
        cloud.answer(APPROVER, &grant, "deny").await.error(),
        (400, "FAILED_PRECONDITION")
    );
    let denied = cloud.request(NOBODY, APPROVED).await.ok();
    assert_eq!(
        cloud.answer(APPROVER, &denied, "deny").await.ok()["state"],
        json!("DENIED")
    );
}

#[tokio::test]
async fn a_request_nobody_answers_expires_after_a_day() {
    let cloud = start().await;
    let grant = cloud.request(SLOT, APPROVED).await.ok();
    cloud.sandbox.clock().advance_seconds(24 * 3_600 + 1);
    assert_eq!(cloud.state_of(&grant).await, "EXPIRED");
    assert_eq!(
        cloud.answer(APPROVER, &grant, "approve").await.error(),
        (400, "FAILED_PRECONDITION")
    );
}

#[tokio::test]
async fn a_requester_has_one_open_grant_and_a_repetition_is_the_same() {
    let cloud = start().await;
    let id = "7d9a1a5e-3b7f-4f0c-9a55-0d8a53f1c001";
    let path = format!("{GRANTS}?requestId={id}");
    let first = cloud.request(SLOT, &path).await.ok();
    assert_eq!(cloud.request(SLOT, &path).await.ok()["name"], first["name"]);
    assert_eq!(
        cloud.request(SLOT, GRANTS).await.error(),
        (400, "FAILED_PRECONDITION")
    );
    let other = cloud.request(NOBODY, &path).await.ok();
    assert_ne!(
        other["name"], first["name"],
        "another requester's id is another request"
    );
    cloud.answer(BROKER, &first, "revoke").await.ok();
    let second = cloud
        .request(SLOT, &format!("{GRANTS}?requestId="))
        .await
        .ok();
    assert_ne!(second["name"], first["name"]);
    for wrong in ["00000000-0000-0000-0000-000000000000", "one"] {
        assert_eq!(
            cloud
                .request(NOBODY, &format!("{GRANTS}?requestId={wrong}"))
                .await
                .status,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn only_who_is_eligible_asks_and_only_for_as_long_as_allowed() {
    let cloud = start().await;
    assert_eq!(
        cloud.request(BROKER, GRANTS).await.error(),
        (403, "PERMISSION_DENIED")
    );
    let missing = GRANTS.replace("readers", "writers");
    assert_eq!(
        cloud.request(SLOT, &missing).await.error(),
        (403, "PERMISSION_DENIED")
    );
    let slot = cloud.token(SLOT);
    for body in [
        json!({ "requestedDuration": "3601s" }),
        json!({ "requestedDuration": "0s" }),
        json!({}),
        json!({ "requestedDuration": "1800s", "colour": "red" }),
    ] {
        assert_eq!(
            cloud.post(&slot, GRANTS, body.clone()).await.status,
            400,
            "{body}"
        );
    }
    let grant = cloud.request(SLOT, GRANTS).await.ok();
    assert_eq!(
        cloud.answer(SLOT, &grant, "revoke").await.error(),
        (403, "PERMISSION_DENIED")
    );
    let path = format!("/v1/{}", grant["name"].as_str().unwrap());
    assert_eq!(
        cloud.get(&cloud.token(NOBODY), &path).await.error(),
        (403, "PERMISSION_DENIED")
    );
    assert_eq!(cloud.get(&slot, &path).await.status, 200);
}

#[tokio::test]
async fn a_binding_somebody_else_removed_is_noticed() {
    let cloud = start().await;
    let grant = cloud.request(SLOT, GRANTS).await.ok();
    let broker = cloud.token(BROKER);
    let path = format!("/v3/projects/{PROJECT}:getIamPolicy");
    let mut policy = cloud
        .post(
            &broker,
            &path,
            json!({ "options": { "requestedPolicyVersion": 3 } }),
        )
        .await
        .ok();
    policy["bindings"]
        .as_array_mut()
        .unwrap()
        .retain(|binding| binding.get("condition").is_none());
    policy["version"] = json!(3);
    let path = format!("/v3/projects/{PROJECT}:setIamPolicy");
    cloud
        .post(&broker, &path, json!({ "policy": policy }))
        .await
        .ok();
    assert!(!cloud.slot_reads().await);
    let path = format!("/v1/{}", grant["name"].as_str().unwrap());
    let shown = cloud.get(&broker, &path).await.ok();
    assert_eq!(
        (&shown["state"], &shown["externallyModified"]),
        (&json!("ACTIVE"), &json!(true))
    );
}

#[tokio::test]
async fn entitlements_and_grants_are_listed_and_searched() {
    let cloud = start().await;
    let (broker, slot) = (cloud.token(BROKER), cloud.token(SLOT));
    let grant = cloud.request(SLOT, APPROVED).await.ok();
    let entitlements = "/v1/projects/acme-prod/locations/global/entitlements";
    let listed = cloud.get(&broker, entitlements).await.ok();
    assert_eq!(listed["entitlements"].as_array().unwrap().len(), 2);
    assert_eq!(
        cloud.get(&slot, entitlements).await.error(),
        (403, "PERMISSION_DENIED")
    );
    let search = |kind: &str| format!("{entitlements}:search?callerAccessType={kind}");
    let mine = cloud.get(&slot, &search("GRANT_REQUESTER")).await.ok();
    assert_eq!(mine["entitlements"].as_array().unwrap().len(), 2);
    assert_eq!(
        cloud.get(&slot, &search("GRANT_APPROVER")).await.ok(),
        json!({})
    );
    let one = cloud
        .get(&slot, &format!("{entitlements}/approved"))
        .await
        .ok();
    assert_eq!(
        (&one["maxRequestDuration"], &one["state"]),
        (&json!("3600s"), &json!("AVAILABLE"))
    );
    assert_eq!(
        cloud.get(&broker, APPROVED).await.ok()["grants"][0]["name"],
        grant["name"]
    );
    let search = |kind: &str| format!("{APPROVED}:search?callerRelationship={kind}");
    assert_eq!(
        cloud.get(&slot, &search("HAD_CREATED")).await.ok()["grants"][0]["name"],
        grant["name"]
    );
    assert_eq!(
        cloud.get(&slot, &search("CAN_APPROVE")).await.ok(),
        json!({})
    );
    let approver = cloud.token(APPROVER);
    assert_eq!(
        cloud.get(&approver, &search("CAN_APPROVE")).await.ok()["grants"][0]["name"],
        grant["name"]
    );
    let onboarding = "/v1/projects/acme-prod/locations/global:checkOnboardingStatus";
    assert!(
        cloud.get(&broker, onboarding).await.ok()["serviceAccount"]
            .as_str()
            .unwrap()
            .contains("gcp-sa-pam")
    );
    assert_eq!(
        cloud
            .get(&broker, &onboarding.replace("global", "europe"))
            .await
            .status,
        404
    );
}
