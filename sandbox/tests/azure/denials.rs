//! Deny assignments: what beats every role, for one principal, and what a caller may deny.

use jitney_sandbox::azure::{Settings, builtin};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::*;

const DENIES: &str = "2026-09-01";

fn path(scope: &str, number: u128) -> String {
    format!(
        "{scope}/providers/Microsoft.Authorization/denyAssignments/{}",
        name(number)
    )
}

/// A denial of all that writes, deletes and acts.
fn denial(principal: Uuid) -> Value {
    json!({
        "denyAssignmentName": format!("stop {principal}"),
        "description": "ä stop",
        "denyAssignmentEffect": "enforced",
        "doNotApplyToChildScopes": false,
        "principals": [{ "id": principal, "type": "ServicePrincipal" }],
        "permissions": [{ "actions": ["*/write", "*/delete", "*/action"] }],
    })
}

fn with(mut denial: Value, key: &str, value: Value) -> Value {
    denial[key] = value;
    denial
}

async fn put(bench: &Bench, path: &str, denial: &Value) -> Answered {
    let body = json!({ "properties": denial });
    bench.broker(Method::PUT, path, DENIES, Some(body)).await
}

async fn delete(bench: &Bench, path: &str) -> u16 {
    bench.broker(Method::DELETE, path, DENIES, None).await.0
}

/// Whether a principal may give roles on the container.
fn may_give(bench: &Bench, principal: Uuid) -> bool {
    let action = "Microsoft.Authorization/roleAssignments/write";
    let allowed = bench.sandbox.would_allow(principal, action, &container());
    allowed.unwrap()
}

fn may_look(bench: &Bench, principal: Uuid) -> bool {
    let action = "Microsoft.Authorization/roleAssignments/read";
    let allowed = bench.sandbox.would_allow(principal, action, &container());
    allowed.unwrap()
}

/// Two slots that may give roles on the container.
async fn mighty(bench: &Bench) {
    for (number, slot) in [(1, SLOT), (2, OTHER_SLOT)] {
        let role = builtin::USER_ACCESS_ADMINISTRATOR;
        let put = bench.assign(&container(), name(number), role, slot).await;
        assert_eq!(put.0, 201, "{}", put.1);
    }
}

#[tokio::test]
async fn a_deny_assignment_beats_every_role_of_one_principal_below_its_scope() {
    let bench = start().await;
    mighty(&bench).await;
    let path = path(&group(), 3);
    let made = put(&bench, &path, &denial(SLOT)).await;
    assert_eq!(made.0, 201, "{}", made.1);
    assert!(!may_give(&bench, SLOT) && may_give(&bench, OTHER_SLOT));
    // Nobody's reading can be denied.
    assert!(may_look(&bench, SLOT));
    assert_eq!(delete(&bench, &path).await, 200);
    assert!(may_give(&bench, SLOT));
    assert_eq!(delete(&bench, &path).await, 204);
}

#[tokio::test]
async fn it_comes_late_and_goes_late() {
    let settings = Settings {
        effect_lag_seconds: 90,
        ..Settings::default()
    };
    let bench = start_with(estate(), settings).await;
    mighty(&bench).await;
    bench.sandbox.clock().set_offset_seconds(100);
    let path = path(&container(), 3);
    put(&bench, &path, &denial(SLOT)).await;
    assert!(may_give(&bench, SLOT));
    bench.sandbox.clock().set_offset_seconds(200);
    assert!(!may_give(&bench, SLOT));
    assert_eq!(delete(&bench, &path).await, 200);
    assert_eq!(bench.get(&path, DENIES).await.0, 404);
    assert!(!may_give(&bench, SLOT));
    bench.sandbox.clock().set_offset_seconds(300);
    assert!(may_give(&bench, SLOT));
}

#[tokio::test]
async fn what_was_written_is_served_and_listed_by_principal() {
    let bench = start().await;
    let written = denial(SLOT);
    let place = path(&container(), 3);
    put(&bench, &place, &written).await;
    put(&bench, &path(&group(), 4), &denial(OTHER_SLOT)).await;
    let served = bench.get(&place, "2022-04-01").await;
    assert_eq!(served.0, 200);
    for (key, value) in written.as_object().unwrap() {
        let served = &served.1["properties"][key];
        match key.as_str() {
            "permissions" => assert_eq!(served[0]["actions"], value[0]["actions"]),
            _ => assert_eq!(served, value, "{key}"),
        }
    }
    assert_eq!(served.1["properties"]["isSystemProtected"], json!(false));
    let count = async |filter: &str| bench.count("denyAssignments", filter, DENIES).await;
    assert_eq!(count("").await, 2);
    assert_eq!(count(&format!("principalId eq '{SLOT}'")).await, 1);
    // The same name at another scope is another one.
    assert_eq!(bench.get(&path(&group(), 3), DENIES).await.0, 404);
    assert_eq!(delete(&bench, &path(&group(), 3)).await, 204);
}

#[tokio::test]
async fn what_a_caller_may_not_deny_is_refused() {
    let bench = start().await;
    let place = path(&container(), 3);
    let good = denial(SLOT);
    let actions = |list: Value| with(good.clone(), "permissions", json!([{ "actions": list }]));
    let one = |kind: &str| json!({ "id": SLOT, "type": kind });
    let not_deniable = (400, "InvalidActionOrNotAction");
    let malformed = (400, "InvalidRequestContent");
    let data = json!([{ "actions": ["*/write"], "dataActions": ["*"] }]);
    for (wrong, told) in [
        (actions(json!(["*"])), not_deniable),
        (actions(json!(["*/read"])), not_deniable),
        (
            actions(json!(["Microsoft.Authorization/denyAssignments/delete"])),
            not_deniable,
        ),
        (
            with(good.clone(), "permissions", data.clone()),
            not_deniable,
        ),
        (actions(json!([])), malformed),
        (with(good.clone(), "principals", json!([])), malformed),
        (
            with(good.clone(), "principals", json!([one("Group")])),
            malformed,
        ),
        (
            with(
                good.clone(),
                "principals",
                json!([one("User"), one("User")]),
            ),
            malformed,
        ),
        (
            with(good.clone(), "excludePrincipals", json!([])),
            malformed,
        ),
        (
            with(good.clone(), "doNotApplyToChildScopes", json!(true)),
            malformed,
        ),
        (
            with(good.clone(), "isSystemProtected", json!(true)),
            (400, "UnwritableField"),
        ),
    ] {
        let answer = put(&bench, &place, &wrong).await;
        assert_eq!(refusal(&answer), told, "{wrong}");
    }
    let early = json!({ "properties": good.clone() });
    let early = bench
        .broker(Method::PUT, &place, "2022-04-01", Some(early))
        .await;
    assert_eq!(refusal(&early), (400, "InvalidApiVersionParameter"));
    assert_eq!(put(&bench, &place, &good).await.0, 201);
    let twin = put(&bench, &path(&container(), 4), &good).await;
    assert_eq!(twin.0, 409, "one display name at a scope");
    // Should Azure take data actions one day.
    let mut settings = bench.sandbox.settings();
    settings.deny_data_actions = true;
    bench.sandbox.set_settings(settings);
    let data = with(good, "permissions", data);
    assert_eq!(put(&bench, &place, &data).await.0, 200);
}

#[tokio::test]
async fn what_is_only_written_down_stops_nobody() {
    let bench = start().await;
    mighty(&bench).await;
    let audit = with(denial(SLOT), "denyAssignmentEffect", json!("audit"));
    assert_eq!(put(&bench, &path(&container(), 3), &audit).await.0, 201);
    assert!(may_give(&bench, SLOT));
}
