//! PIM: what a request must be and bring, and who may make it.

use jitney_sandbox::azure::estate::{EnabledRule, PolicyRules};
use jitney_sandbox::azure::{Settings, builtin};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::*;

async fn start_demanding(rules: PolicyRules) -> Bench {
    let estate = estate().management_policy(&container(), builtin::BLOB_DATA_READER, rules);
    start_with(estate, Settings::default()).await
}

/// A good request with one property changed.
fn with(property: &str, value: Value) -> Value {
    let mut asked = admin_assign();
    asked[property] = value;
    asked
}

fn lasting(duration: &str) -> Value {
    with(
        "scheduleInfo",
        json!({ "expiration": { "type": "AfterDuration", "duration": duration } }),
    )
}

/// The rules that a request fails by; empty when it does not.
async fn failed(bench: &Bench, asked: Value) -> Vec<String> {
    let answer = bench.request(Uuid::new_v4(), asked).await;
    if answer.0 == 201 {
        return Vec::new();
    }
    assert_eq!(
        refusal(&answer),
        (400, "RoleAssignmentRequestPolicyValidationFailed")
    );
    let message = answer.1["error"]["message"].as_str().unwrap();
    let rules = message
        .strip_prefix("The following policy rules failed: ")
        .unwrap();
    serde_json::from_str(rules).unwrap()
}

#[tokio::test]
async fn a_policy_is_told_by_its_rules() {
    let bench = start().await;
    assert_eq!(failed(&bench, lasting("PT4M59S")).await, ["ExpirationRule"]);
    assert_eq!(failed(&bench, lasting("P181D")).await, ["ExpirationRule"]);
    assert_eq!(
        failed(&bench, with("justification", json!(" "))).await,
        ["JustificationRule"]
    );
    let mut both = lasting("PT2M");
    both["justification"] = Value::Null;
    assert_eq!(
        failed(&bench, both).await,
        ["ExpirationRule", "JustificationRule"]
    );
    let permanent = with(
        "scheduleInfo",
        json!({ "expiration": { "type": "NoExpiration" } }),
    );
    assert_eq!(failed(&bench, permanent).await, ["ExpirationRule"]);
    let own = with("requestType", json!("SelfActivate"));
    assert_eq!(
        failed(&bench, own).await,
        ["EligibilityRule"],
        "no application is eligible"
    );
    assert_eq!(
        bench.sandbox.grants().len(),
        1,
        "nothing came of any of them"
    );
    assert_eq!(failed(&bench, lasting("PT5M")).await, [""; 0]);
}

#[tokio::test]
async fn a_second_factor_keeps_every_application_out() {
    let bench = start_demanding(PolicyRules {
        required: vec![EnabledRule::MultiFactorAuthentication],
        ..PolicyRules::default()
    })
    .await;
    assert_eq!(failed(&bench, admin_assign()).await, ["MfaRule"]);
}

#[tokio::test]
async fn a_ticket_is_a_number_and_a_system() {
    let bench = start_demanding(PolicyRules {
        required: vec![EnabledRule::Ticketing],
        ..PolicyRules::default()
    })
    .await;
    let ticket = |number: Value, system: Value| {
        with(
            "ticketInfo",
            json!({ "ticketNumber": number, "ticketSystem": system }),
        )
    };
    assert_eq!(failed(&bench, admin_assign()).await, ["TicketingRule"]);
    assert_eq!(
        failed(&bench, ticket(json!("7"), Value::Null)).await,
        ["TicketingRule"]
    );
    assert_eq!(
        failed(&bench, ticket(json!("7"), json!("jitney"))).await,
        [""; 0]
    );
}

#[tokio::test]
async fn a_policy_is_of_one_role_at_one_scope() {
    let rules = PolicyRules {
        maximum_duration: "PT10M".to_owned(),
        ..PolicyRules::default()
    };
    let estate = estate().management_policy(&group(), builtin::BLOB_DATA_READER, rules);
    let bench = start_with(estate, Settings::default()).await;
    assert_eq!(
        failed(&bench, admin_assign()).await,
        [""; 0],
        "nothing is inherited"
    );
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests/{}",
        group(),
        name(1)
    );
    let at_group = bench
        .broker(
            Method::PUT,
            &path,
            PIM,
            Some(json!({ "properties": admin_assign() })),
        )
        .await;
    assert_eq!(
        refusal(&at_group).1,
        "RoleAssignmentRequestPolicyValidationFailed"
    );
}

#[tokio::test]
async fn a_policy_is_read_and_changed() {
    let bench = start().await;
    let authorization = format!("{}/providers/Microsoft.Authorization", container());
    let filter = format!("roleDefinitionId eq '{}'", role(builtin::BLOB_DATA_READER));
    let list = format!("{authorization}/roleManagementPolicyAssignments?$filter={filter}");
    let (_, assignments) = bench.get(&list, PIM).await;
    let [assignment] = assignments["value"].as_array().unwrap().as_slice() else {
        panic!("{assignments}");
    };
    let rule = |policy: &Value, id: &str| {
        let rules = policy["properties"]["effectiveRules"].as_array().unwrap();
        rules.iter().find(|rule| rule["id"] == id).unwrap().clone()
    };
    let enablement = rule(assignment, "Enablement_Admin_Assignment");
    assert_eq!(enablement["enabledRules"], json!(["Justification"]));
    let policy = assignment["properties"]["policyId"].as_str().unwrap();
    assert_eq!(bench.get(policy, PIM).await.0, 200);

    let change = json!({ "properties": { "rules": [
        { "id": "Enablement_Admin_Assignment", "ruleType": "RoleManagementPolicyEnablementRule", "enabledRules": [] },
        { "id": "Expiration_Admin_Assignment", "ruleType": "RoleManagementPolicyExpirationRule", "maximumDuration": "PT10M" },
    ] } });
    let changed = bench.broker(Method::PATCH, policy, PIM, Some(change)).await;
    assert_eq!(changed.0, 200, "{}", changed.1);
    assert_eq!(
        rule(&changed.1, "Expiration_Admin_Assignment")["isExpirationRequired"],
        true,
        "the rest stays"
    );
    assert_eq!(failed(&bench, lasting("PT11M")).await, ["ExpirationRule"]);
    let mut silent = lasting("PT10M");
    silent["justification"] = Value::Null;
    assert_eq!(failed(&bench, silent).await, [""; 0]);

    for rule in [
        json!({ "id": "Enablement_Nobody", "enabledRules": [] }),
        json!({ "id": "Enablement_Admin_Assignment", "enabledRules": ["Magic"] }),
        json!({ "id": "Expiration_Admin_Assignment", "maximumDuration": "ten minutes" }),
    ] {
        let body = json!({ "properties": { "rules": [rule] } });
        let refused = bench.broker(Method::PATCH, policy, PIM, Some(body)).await;
        assert_eq!(refusal(&refused), (400, "InvalidPolicyRule"));
    }
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let bench = start().await;
    for (property, value, expected) in [
        ("principalId", Value::Null, "InvalidRequestContent"),
        ("principalId", json!("nobody"), "InvalidRequestContent"),
        ("principalId", json!(name(99)), "SubjectNotFound"),
        ("roleDefinitionId", Value::Null, "InvalidRequestContent"),
        ("roleDefinitionId", json!(role(name(99))), "RoleNotFound"),
        ("requestType", Value::Null, "InvalidRequestContent"),
        ("requestType", json!("AdminDance"), "InvalidRequestContent"),
        ("status", json!("Provisioned"), "UnwritableField"),
        ("condition", json!("true"), "InvalidCondition"),
    ] {
        let answer = bench.request(name(1), with(property, value.clone())).await;
        assert_eq!(refusal(&answer), (400, expected), "{property}={value}");
    }
    for info in [
        json!({ "expiration": { "type": "AfterDuration", "duration": "a while" } }),
        json!({ "expiration": { "type": "AfterDuration" } }),
        json!({ "startDateTime": "soon" }),
    ] {
        let answer = bench
            .request(name(1), with("scheduleInfo", info.clone()))
            .await;
        assert_eq!(refusal(&answer), (400, "InvalidScheduleInfo"), "{info}");
    }
    let deep =
        json!({ "expiration": { "type": "AfterDuration", "duration": "PT5M", "ends": null } });
    let answer = bench.request(name(1), with("scheduleInfo", deep)).await;
    assert_eq!(refusal(&answer), (400, "UnwritableField"));
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests/lease-1",
        container()
    );
    let answer = bench
        .broker(
            Method::PUT,
            &path,
            PIM,
            Some(json!({ "properties": admin_assign() })),
        )
        .await;
    assert_eq!(answer.0, 400);
}

#[tokio::test]
async fn validating_changes_nothing() {
    let bench = start().await;
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests/{}/validate",
        container(),
        name(1)
    );
    let validate = async |asked: Value| {
        bench
            .broker(
                Method::POST,
                &path,
                PIM,
                Some(json!({ "properties": asked })),
            )
            .await
    };
    assert_eq!(validate(admin_assign()).await.0, 200);
    assert_eq!(bench.sandbox.keeps(SLOT), Vec::new());
    assert_eq!(
        bench
            .count("roleAssignmentScheduleRequests", "atScope()", PIM)
            .await,
        0
    );
    let answer = validate(lasting("PT1M")).await;
    assert_eq!(
        refusal(&answer).1,
        "RoleAssignmentRequestPolicyValidationFailed"
    );
    assert_eq!(
        bench.request(name(1), admin_assign()).await.0,
        201,
        "the name is still free"
    );
    assert_eq!(
        refusal(&validate(admin_assign()).await).1,
        "RoleAssignmentExists"
    );
}

#[tokio::test]
async fn only_who_may_asks() {
    let estate = estate().assignment(
        &subscription(),
        builtin::RBAC_ADMINISTRATOR,
        OTHER_SLOT,
        None,
    );
    let bench = start_with(estate, Settings::default()).await;
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests/{}",
        container(),
        name(1)
    );
    let body = json!({ "properties": admin_assign() });
    for who in [SLOT, OTHER_SLOT] {
        let token = bench.token(who, ARM).await;
        let answer = bench
            .arm(&token, Method::PUT, &path, PIM, Some(body.clone()))
            .await;
        assert_eq!(refusal(&answer), (403, "AuthorizationFailed"), "{who}");
    }
    let message = "does not have authorization to perform action 'Microsoft.Authorization/roleAssignmentScheduleRequests/write'";
    let token = bench.token(SLOT, ARM).await;
    let answer = bench.arm(&token, Method::PUT, &path, PIM, Some(body)).await;
    assert!(
        answer.1["error"]["message"]
            .as_str()
            .unwrap()
            .contains(message)
    );
}
