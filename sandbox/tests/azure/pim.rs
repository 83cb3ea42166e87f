//! PIM: the timeline of an active assignment, as it looks from outside.

use jitney_sandbox::azure::{EndedBy, Settings, builtin};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cloud::*;

const BLOB: &str = "releases/v1/a.txt";

fn status(answered: &Answered) -> (u16, &str) {
    (
        answered.0,
        answered.1["properties"]["status"]
            .as_str()
            .unwrap_or("(no status)"),
    )
}

async fn active(bench: &Bench) -> usize {
    let filter = format!("assignedTo('{SLOT}')");
    bench
        .count("roleAssignmentScheduleInstances", &filter, PIM)
        .await
}

async fn assigned(bench: &Bench) -> usize {
    let filter = format!("principalId eq '{SLOT}'");
    bench.count("roleAssignments", &filter, RBAC).await
}

#[tokio::test]
async fn an_assignment_cannot_be_removed_before_its_floor() {
    let bench = start().await;
    let token = bench.token(SLOT, STORAGE).await;
    assert!(!bench.may_read(&token, BLOB).await);
    let given = bench.request(name(1), admin_assign()).await;
    assert_eq!(status(&given), (201, "Provisioned"));
    assert!(bench.may_read(&token, BLOB).await);
    assert_eq!((active(&bench).await, assigned(&bench).await), (1, 1));

    let removed = bench.request(name(2), admin_remove()).await;
    assert_eq!(refusal(&removed), (400, "RoleAssignmentDoesNotExist"));
    assert_eq!(active(&bench).await, 1, "although the list has it");
    bench.sandbox.clock().advance_seconds(60);
    let removed = bench.request(name(3), admin_remove()).await;
    assert_eq!(refusal(&removed), (400, "ActiveDurationTooShort"));
    bench.sandbox.clock().advance_seconds(240);
    let removed = bench.request(name(4), admin_remove()).await;
    assert_eq!(status(&removed), (201, "Revoked"));
    assert!(!bench.may_read(&token, BLOB).await);
    assert_eq!((active(&bench).await, assigned(&bench).await), (0, 0));
    let grant = bench.sandbox.grants().pop().unwrap();
    assert_eq!(grant.ended_by, Some(EndedBy::Removal));

    let again = bench.request(name(5), admin_remove()).await;
    assert_eq!(refusal(&again), (400, "RoleAssignmentDoesNotExist"));
    let early = bench.request(name(6), admin_assign()).await;
    assert_eq!(
        refusal(&early),
        (400, "RoleAssignmentExists"),
        "the tail of a removal"
    );
    bench.sandbox.clock().advance_seconds(120);
    assert_eq!(
        status(&bench.request(name(7), admin_assign()).await),
        (201, "Provisioned")
    );
}

#[tokio::test]
async fn the_platform_ends_what_nobody_removes() {
    let bench = start().await;
    let token = bench.token(SLOT, STORAGE).await;
    bench.request(name(1), admin_assign()).await;
    bench.sandbox.clock().advance_seconds(899);
    assert!(bench.may_read(&token, BLOB).await);
    bench.sandbox.clock().advance_seconds(1);
    assert!(!bench.may_read(&token, BLOB).await);
    assert_eq!((active(&bench).await, assigned(&bench).await), (0, 0));
    assert_eq!(
        bench.sandbox.grants().pop().unwrap().ended_by,
        Some(EndedBy::Expiry)
    );
}

#[tokio::test]
async fn the_lag_follows_the_end() {
    let settings = Settings {
        effect_lag_seconds: 300,
        ..Settings::default()
    };
    let bench = start_with(estate(), settings).await;
    let token = bench.token(SLOT, STORAGE).await;
    bench.request(name(1), admin_assign()).await;
    assert!(!bench.may_read(&token, BLOB).await);
    bench.sandbox.clock().advance_seconds(300);
    assert!(bench.may_read(&token, BLOB).await);
    bench.sandbox.clock().advance_seconds(600);
    assert_eq!((active(&bench).await, assigned(&bench).await), (0, 0));
    assert!(
        bench.may_read(&token, BLOB).await,
        "expired, and still enforced"
    );
    assert_eq!(bench.sandbox.keeps(SLOT).len(), 1);
    bench.sandbox.clock().advance_seconds(300);
    assert!(!bench.may_read(&token, BLOB).await);
}

#[tokio::test]
async fn provisioning_may_take_its_time() {
    let settings = Settings {
        pim_provisioning_seconds: 30,
        ..Settings::default()
    };
    let bench = start_with(estate(), settings).await;
    let token = bench.token(SLOT, STORAGE).await;
    let given = bench.request(name(1), admin_assign()).await;
    assert_eq!(
        status(&given),
        (201, "PendingProvisioning"),
        "accepted is not active"
    );
    assert!(!bench.may_read(&token, BLOB).await);
    assert_eq!((active(&bench).await, assigned(&bench).await), (0, 0));
    let second = bench.request(name(2), admin_assign()).await;
    assert_eq!(refusal(&second), (400, "PendingRoleAssignmentRequest"));
    bench.sandbox.clock().advance_seconds(30);
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests/{}",
        container(),
        name(1)
    );
    assert_eq!(status(&bench.get(&path, PIM).await), (200, "Provisioned"));
    assert!(bench.may_read(&token, BLOB).await);

    bench.sandbox.clock().advance_seconds(299);
    let removed = bench.request(name(3), admin_remove()).await;
    assert_eq!(
        refusal(&removed),
        (400, "ActiveDurationTooShort"),
        "counted from when it began"
    );
    bench.sandbox.clock().advance_seconds(1);
    assert_eq!(
        status(&bench.request(name(4), admin_remove()).await),
        (201, "PendingRevocation")
    );
    assert_eq!(active(&bench).await, 1);
    bench.sandbox.clock().advance_seconds(30);
    assert_eq!((active(&bench).await, assigned(&bench).await), (0, 0));
    let path = path.replace(&name(1).to_string(), &name(4).to_string());
    assert_eq!(status(&bench.get(&path, PIM).await), (200, "Revoked"));
}

fn in_three_minutes(bench: &Bench) -> Value {
    let mut asked = admin_assign();
    let start = bench
        .sandbox
        .clock()
        .now()
        .checked_add(jiff::SignedDuration::from_mins(3))
        .unwrap();
    asked["scheduleInfo"]["startDateTime"] = json!(start.to_string());
    asked
}

async fn cancel(bench: &Bench, request: u128) -> Answered {
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests/{}/cancel",
        container(),
        name(request)
    );
    bench.broker(Method::POST, &path, PIM, None).await
}

#[tokio::test]
async fn what_lies_ahead_is_granted_and_can_be_cancelled() {
    let bench = start().await;
    let token = bench.token(SLOT, STORAGE).await;
    assert_eq!(
        status(&bench.request(name(1), in_three_minutes(&bench)).await),
        (201, "Granted")
    );
    assert_eq!(
        bench
            .count("roleAssignmentSchedules", "atScope()", PIM)
            .await,
        1
    );
    assert_eq!(active(&bench).await, 0);
    assert_eq!(cancel(&bench, 1).await.0, 200);
    bench.sandbox.clock().advance_seconds(300);
    assert!(!bench.may_read(&token, BLOB).await);

    bench.request(name(2), in_three_minutes(&bench)).await;
    bench.sandbox.clock().advance_seconds(180);
    assert!(bench.may_read(&token, BLOB).await);
    assert_eq!(
        refusal(&cancel(&bench, 2).await),
        (400, "RoleAssignmentRequestNotPending")
    );
    assert_eq!(
        refusal(&cancel(&bench, 9).await),
        (404, "RoleAssignmentRequestNotFound")
    );
    assert!(bench.may_read(&token, BLOB).await);
}

#[tokio::test]
async fn a_name_is_used_once() {
    let bench = start().await;
    bench.request(name(1), admin_assign()).await;
    let again = bench.request(name(1), admin_assign()).await;
    assert_eq!(refusal(&again), (409, "RoleAssignmentRequestExists"));
    let message = again.1["error"]["message"].as_str().unwrap();
    assert_eq!(
        message,
        format!(
            "A role assignment request with Id: {} already exists.",
            name(1)
        )
    );
    let other = bench.request(name(2), admin_assign()).await;
    assert_eq!(refusal(&other), (400, "RoleAssignmentExists"));
}

#[tokio::test]
async fn an_assignment_is_prolonged_and_touched() {
    let bench = start().await;
    bench.request(name(1), admin_assign()).await;
    let schedule = async || {
        let path = format!(
            "{}/providers/Microsoft.Authorization/roleAssignmentSchedules",
            container()
        );
        bench.get(&path, PIM).await.1["value"][0].clone()
    };
    let before = schedule().await;
    bench.sandbox.clock().advance_seconds(600);
    let mut extend = admin_assign();
    extend["requestType"] = json!("AdminExtend");
    assert_eq!(
        status(&bench.request(name(2), extend.clone()).await),
        (201, "Provisioned")
    );
    let after = schedule().await;
    assert_ne!(
        before["name"], after["name"],
        "a schedule that was touched has another id"
    );
    assert_ne!(
        before["properties"]["endDateTime"],
        after["properties"]["endDateTime"]
    );
    bench.sandbox.clock().advance_seconds(600);
    assert_eq!(active(&bench).await, 1);
    bench.sandbox.clock().advance_seconds(300);
    assert_eq!(active(&bench).await, 0);
    let late = bench.request(name(3), extend).await;
    assert_eq!(refusal(&late), (400, "RoleAssignmentDoesNotExist"));
}

#[tokio::test]
async fn the_assignment_behind_a_schedule_is_the_one_it_names() {
    let bench = start().await;
    bench.request(name(1), admin_assign()).await;
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignmentScheduleInstances",
        container()
    );
    let (_, list) = bench.get(&path, PIM).await;
    let instance = &list["value"][0];
    let origin = instance["properties"]["originRoleAssignmentId"]
        .as_str()
        .unwrap();
    let (found, assignment) = bench.get(origin, RBAC).await;
    assert_eq!(found, 200);
    assert_eq!(assignment["name"], instance["name"]);
    assert_eq!(assignment["properties"]["principalId"], json!(SLOT));
    // Whether Azure allows this is not known; here nothing is left of it.
    assert_eq!(
        bench.broker(Method::DELETE, origin, RBAC, None).await.0,
        200
    );
    assert_eq!((active(&bench).await, assigned(&bench).await), (0, 0));
    assert_eq!(bench.sandbox.keeps(SLOT), Vec::new());
}

#[tokio::test]
async fn without_a_licence_nothing_ends() {
    let bench = start().await;
    let token = bench.token(SLOT, STORAGE).await;
    bench.request(name(1), admin_assign()).await;
    bench.sandbox.set_settings(Settings {
        licence_lapsed: true,
        ..Settings::default()
    });
    for asked in [admin_assign(), admin_remove()] {
        let refused = bench.request(name(2), asked).await;
        assert_eq!(refusal(&refused), (400, "AadPremiumLicenseRequired"));
    }
    bench.sandbox.clock().advance_seconds(86_400);
    let token_of_today = bench.token(SLOT, STORAGE).await;
    assert!(
        bench.may_read(&token_of_today, BLOB).await,
        "time-bound became permanent"
    );
    drop(token);
    assert_eq!(assigned(&bench).await, 1, "plain role assignments go on");
}

#[tokio::test]
async fn plain_roles_and_schedules_do_not_share_a_tuple() {
    let bench = start().await;
    bench
        .assign(&container(), name(1), builtin::BLOB_DATA_READER, SLOT)
        .await;
    let given = bench.request(name(2), admin_assign()).await;
    assert_eq!(refusal(&given), (400, "RoleAssignmentExists"));
    bench.unassign(&container(), name(1)).await;
    assert_eq!(bench.request(name(3), admin_assign()).await.0, 201);
    let put = bench
        .assign(&container(), name(4), builtin::BLOB_DATA_READER, SLOT)
        .await;
    assert_eq!(refusal(&put), (409, "RoleAssignmentExists"));
}
