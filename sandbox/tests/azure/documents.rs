//! Bodies with every field that Microsoft's documents let anybody write: what was written is served, wherever it
//! is shown, and every field that the documents name is there.

use jitney_sandbox::azure::builtin;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cloud::*;

const CONDITION: &str = "((!(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'})) OR \
     (@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'releases'))";

/// The fields that every one of PIM's things has.
const COMMON: &[&str] = &[
    "scope",
    "roleDefinitionId",
    "principalId",
    "principalType",
    "status",
    "condition",
    "conditionVersion",
    "createdOn",
    "linkedRoleEligibilityScheduleId",
    "expandedProperties",
];

/// What is served of each of these fields is what was written.
fn must_keep(written: &Value, served: &Value, what: &str) {
    for (name, value) in written.as_object().unwrap() {
        assert_eq!(&served["properties"][name], value, "{what}: {name}");
    }
}

fn must_have(served: &Value, fields: &[&[&str]], what: &str) {
    let properties = served["properties"].as_object().unwrap();
    for field in fields.concat() {
        assert!(properties.contains_key(field), "{what}: no {field}");
    }
    for field in ["id", "name", "type"] {
        assert!(served[field].is_string(), "{what}: no {field}");
    }
}

fn path(kind: &str, name: &str) -> String {
    format!(
        "{}/providers/Microsoft.Authorization/{kind}{name}",
        container()
    )
}

/// The one thing that is listed for the slot.
async fn listed(bench: &Bench, kind: &str, version: &str) -> Value {
    let path = format!("{}?$filter=principalId eq '{SLOT}'", path(kind, ""));
    let (status, body) = bench.get(&path, version).await;
    assert_eq!(
        (status, body["value"].as_array().map(Vec::len)),
        (200, Some(1)),
        "{body}"
    );
    body["value"][0].clone()
}

#[tokio::test]
async fn a_role_assignment_keeps_all_that_was_written() {
    let bench = start().await;
    let written = json!({
        "roleDefinitionId": role(builtin::BLOB_DATA_READER), "principalId": SLOT,
        "principalType": "ServicePrincipal", "description": "ä \"quoted\" text", "condition": CONDITION,
        "conditionVersion": "2.0",
        "delegatedManagedIdentityResourceId": format!("{}/providers/Microsoft.ManagedIdentity/x/y", group()),
    });
    let body = json!({ "properties": written });
    let (status, made) = bench.put_assignment(&container(), name(1), body).await;
    assert_eq!(status, 201, "{made}");
    let by_name = bench
        .get(&path("roleAssignments/", &name(1).to_string()), RBAC)
        .await
        .1;
    for served in [made, by_name, listed(&bench, "roleAssignments", RBAC).await] {
        must_keep(&written, &served, "role assignment");
        let more = ["scope", "createdOn", "updatedOn", "createdBy", "updatedBy"];
        must_have(&served, &[&more], "role assignment");
        assert_eq!(served["properties"]["scope"], container());
    }
}

#[tokio::test]
async fn a_schedule_request_keeps_all_that_was_written_and_so_does_what_comes_of_it() {
    let bench = start().await;
    let begins = jiff::Timestamp::now().to_string();
    let schedule_info = json!({ "startDateTime": begins, "expiration": {
        "type": "AfterDuration", "endDateTime": null, "duration": "PT8H",
    } });
    let written = json!({
        "roleDefinitionId": role(builtin::BLOB_DATA_READER), "principalId": SLOT, "requestType": "AdminAssign",
        "scheduleInfo": schedule_info, "justification": "jitney",
        "ticketInfo": { "ticketNumber": "1", "ticketSystem": "jitney" },
        "condition": CONDITION, "conditionVersion": "2.0",
        "linkedRoleEligibilityScheduleId": name(8), "targetRoleAssignmentScheduleInstanceId": name(9),
    });
    let (status, made) = bench.request(name(1), written.clone()).await;
    assert_eq!(status, 201, "{made}");
    let kind = "roleAssignmentScheduleRequests";
    let by_name = bench
        .get(&path(kind, &format!("/{}", name(1))), PIM)
        .await
        .1;
    let more = [
        "requestType",
        "approvalId",
        "targetRoleAssignmentScheduleId",
        "targetRoleAssignmentScheduleInstanceId",
        "scheduleInfo",
        "justification",
        "ticketInfo",
        "requestorId",
    ];
    for served in [made, by_name, listed(&bench, kind, PIM).await] {
        must_keep(&written, &served, "request");
        must_have(&served, &[COMMON, &more], "request");
    }
    // The schedule and its instance, in their own fields.
    let kept = json!({
        "roleDefinitionId": written["roleDefinitionId"], "principalId": SLOT, "condition": CONDITION,
        "conditionVersion": "2.0", "scope": container(), "assignmentType": "Assigned", "memberType": "Direct",
        "principalType": "ServicePrincipal",
    });
    let times = [
        "startDateTime",
        "endDateTime",
        "assignmentType",
        "memberType",
    ];
    for (kind, own) in [
        (
            "roleAssignmentSchedules",
            ["roleAssignmentScheduleRequestId", "updatedOn"],
        ),
        (
            "roleAssignmentScheduleInstances",
            ["roleAssignmentScheduleId", "originRoleAssignmentId"],
        ),
    ] {
        let served = listed(&bench, kind, PIM).await;
        must_keep(&kept, &served, kind);
        must_have(&served, &[COMMON, &times, &own], kind);
        let at = |field: &str| -> jiff::Timestamp {
            served["properties"][field]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        };
        let late = at("startDateTime").duration_since(begins.parse().unwrap());
        assert!((0..60).contains(&late.as_secs()), "{late:?}");
        assert_eq!(
            at("endDateTime")
                .duration_since(at("startDateTime"))
                .as_secs(),
            8 * 3_600
        );
    }
    // And the role assignment behind it.
    let behind = listed(&bench, "roleAssignments", RBAC).await;
    assert_eq!(behind["properties"]["condition"], CONDITION);
}

#[tokio::test]
async fn words_that_no_document_names_are_refused_and_not_dropped() {
    let bench = start().await;
    let written = json!({
        "roleDefinitionId": role(builtin::BLOB_DATA_READER), "principalId": SLOT, "requestType": "AdminLend",
    });
    let refused = bench.request(name(1), written).await;
    assert_eq!(
        (refused.0, &refused.1["error"]["code"]),
        (400, &json!("InvalidRequestContent"))
    );
    let (status, told) = bench
        .broker(Method::GET, &path("roleAssignments/", "x"), RBAC, None)
        .await;
    assert_eq!(status, 400, "{told}");
    for field in ["code", "message"] {
        assert!(told["error"][field].is_string(), "{told}");
    }
}
