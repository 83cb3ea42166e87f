//! How Azure's lists are put together.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::*;

const SLOT: Uuid = Uuid::from_u128(7);
const GROUP: &str = "/subscriptions/aaaaaaaa-0000-4000-8000-000000000001/resourceGroups/shop";
const ROLE: &str = "/subscriptions/aaaaaaaa-0000-4000-8000-000000000001/providers\
                    /Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c";
const ONE: &str = "0123456789abcdefghj";
const OTHER: &str = "jhgfedcba9876543210";

fn ours(handle: &str) -> String {
    format!("jitney acme {handle} gives 0.3 lease x repository 1 run 1/1")
}

fn handle(text: &str) -> Handle {
    Handle::try_from(text.to_owned()).unwrap()
}

fn assignment(name: &str, change: &Value) -> Value {
    with(
        json!({
            "id": format!("{GROUP}/providers/Microsoft.Authorization/roleAssignments/{name}"),
            "name": name,
            "properties": { "roleDefinitionId": ROLE, "principalId": SLOT, "scope": GROUP },
        }),
        change,
    )
}

fn instance(change: &Value) -> Value {
    with(
        json!({
            "id": "/i/1", "name": "1",
            "properties": {
                "roleDefinitionId": ROLE.to_uppercase(), "principalId": SLOT,
                "scope": GROUP.to_uppercase(), "startDateTime": "2026-11-23T00:00:00Z",
                "originRoleAssignmentId": format!("{GROUP}/roleAssignments/1"),
            },
        }),
        change,
    )
}

fn request(name: &str, created: &str, change: &Value) -> Value {
    with(
        json!({
            "id": format!("/r/{name}"), "name": name,
            "properties": {
                "roleDefinitionId": ROLE, "principalId": SLOT, "scope": GROUP,
                "requestType": "AdminAssign", "status": "Provisioned", "createdOn": created,
                "justification": null,
            },
        }),
        change,
    )
}

fn with(mut value: Value, change: &Value) -> Value {
    for (key, changed) in change.as_object().unwrap() {
        value["properties"][key] = changed.clone();
    }
    value
}

fn seen(assignments: &[Value], instances: &[Value], requests: &[Value]) -> Seen {
    fn read<P: serde::de::DeserializeOwned>(values: &[Value]) -> BTreeMap<String, Resource<P>> {
        let one = |value: &Value| by_id(serde_json::from_value(value.clone()).unwrap());
        values.iter().map(one).collect()
    }
    let lists = Lists {
        assignments: read(assignments),
        instances: read(instances),
        requests: read(requests),
        denials: Vec::new(),
    };
    lists.seen(&"acme".parse().unwrap(), SLOT)
}

#[test]
fn a_slot_with_nothing_is_bare() {
    assert!(seen(&[], &[], &[]).is_bare());
    let other = json!({ "principalId": Uuid::from_u128(8) });
    assert!(seen(&[assignment("1", &other)], &[], &[]).is_bare());
    // What was asked for and came and went is no sign of anything.
    assert!(
        seen(
            &[],
            &[],
            &[request("1", "2026-11-23T00:00:00Z", &json!({}))]
        )
        .is_bare()
    );
}

#[test]
fn two_lists_of_one_assignment_are_one_role() {
    let stamped = json!({ "justification": ours(ONE) });
    let seen = seen(
        &[assignment("1", &json!({}))],
        &[instance(&json!({ "condition": "x" }))],
        &[request("1", "2026-11-23T00:00:00Z", &stamped)],
    );
    let [standing] = seen.standing.as_slice() else {
        unreachable!("{seen:?}");
    };
    assert_eq!(standing.handle, Some(handle(ONE)));
    assert_eq!(standing.condition.as_deref(), Some("x"));
    assert!(standing.active.unwrap().since.is_some());
    assert!(standing.assignment.is_some());
}

#[test]
fn either_list_alone_shows_it_too() {
    assert_eq!(
        seen(&[assignment("1", &json!({}))], &[], &[])
            .standing
            .len(),
        1
    );
    assert_eq!(seen(&[], &[instance(&json!({}))], &[]).standing.len(), 1);
}

#[test]
fn the_latest_stamp_names_the_grant() {
    let stamped = |handle: &str| json!({ "justification": ours(handle) });
    let requests = [
        request("b", "2026-11-23T02:00:00Z", &stamped(OTHER)),
        request("a", "2026-11-23T01:00:00Z", &stamped(ONE)),
        // Later, and refused: it made nothing.
        request(
            "c",
            "2026-11-23T03:00:00Z",
            &json!({ "justification": ours(ONE), "status": "Denied" }),
        ),
    ];
    let found = seen(&[], &[instance(&json!({}))], &requests);
    assert_eq!(found.standing[0].handle, Some(handle(OTHER)));
    let described = assignment("1", &json!({ "description": ours(ONE) }));
    assert_eq!(
        seen(&[described], &[], &[]).standing[0].handle,
        Some(handle(ONE))
    );
    let foreign = assignment("1", &json!({ "description": "made by hand" }));
    assert_eq!(seen(&[foreign], &[], &[]).standing[0].handle, None);
}

#[test]
fn what_may_yet_be_carried_out_is_open() {
    for (status, is_open) in [
        ("PendingProvisioning", true),
        ("Granted", true),
        ("SomethingNew", true),
        ("Provisioned", false),
        ("Canceled", false),
        ("FailedAsResourceIsLocked", false),
    ] {
        let change = json!({ "status": status, "justification": ours(ONE) });
        let found = seen(&[], &[], &[request("1", "2026-11-23T00:00:00Z", &change)]);
        assert_eq!(found.open.len(), usize::from(is_open), "{status}");
        assert_eq!(found.is_bare(), !is_open);
    }
}

#[test]
fn removals_tell_how_far_the_ledger_had_come() {
    let removal = |name: &str, created: &str, mark: &str, status: &str| {
        let text = format!("jitney acme {ONE} ends {mark}");
        let change =
            json!({ "requestType": "AdminRemove", "status": status, "justification": text });
        request(name, created, &change)
    };
    let found = seen(
        &[],
        &[],
        &[
            removal("1", "2026-11-23T00:00:00Z", "0.7", "Revoked"),
            removal("2", "2026-11-23T00:10:00Z", "0.9", "Revoked"),
            removal("3", "2026-11-23T00:20:00Z", "0.8", "Failed"),
        ],
    );
    let mark = Mark {
        era: 0,
        sequence: 9,
    };
    assert_eq!(found.mark, Some(mark));
    assert_eq!(found.last_taken, time(Some("2026-11-23T00:10:00Z")));
    assert!(found.is_bare());
}

#[test]
fn what_lies_above_is_seen_and_is_not_ours() {
    let above = json!({ "scope": "/providers/Microsoft.Management/managementGroups/acme" });
    let found = seen(&[assignment("1", &above)], &[], &[]);
    assert_eq!((found.standing.len(), found.above.len()), (0, 1));
    assert!(!found.is_bare());
}

fn denial(change: &Value) -> Value {
    let name = Uuid::from_u128(3);
    with(
        json!({
            "id": format!("{GROUP}/providers/Microsoft.Authorization/denyAssignments/{name}"),
            "name": name,
            "properties": {
                "description": format!("jitney acme {ONE} ends 0.7"), "scope": GROUP,
                "principals": [{ "id": SLOT, "type": "ServicePrincipal" }],
                "isSystemProtected": false,
            },
        }),
        change,
    )
}

fn denied(change: &Value) -> Seen {
    let lists = Lists {
        denials: vec![serde_json::from_value(denial(change)).unwrap()],
        ..Lists::default()
    };
    assert!(lists.principals().len() <= 1);
    lists.seen(&"acme".parse().unwrap(), SLOT)
}

#[test]
fn a_denial_with_our_stamp_about_this_slot_alone_is_ours() {
    let found = denied(&json!({}));
    let mark = Mark {
        era: 0,
        sequence: 7,
    };
    assert_eq!(found.mark, Some(mark));
    assert!(!found.is_bare());
    let [denied_one] = found.denied.as_slice() else {
        unreachable!("{found:?}");
    };
    assert_eq!(
        (denied_one.name, &denied_one.handle),
        (Uuid::from_u128(3), &handle(ONE))
    );
    let one = |id: u128| json!({ "id": Uuid::from_u128(id), "type": "ServicePrincipal" });
    for others in [
        json!({ "description": null }),
        json!({ "description": "made by hand" }),
        json!({ "description": format!("jitney acme-2 {ONE} ends 0.7") }),
        // What gives is no denial's stamp: somebody has copied it.
        json!({ "description": ours(ONE) }),
        json!({ "principals": [one(8)] }),
        json!({ "principals": [one(7), one(8)] }),
        json!({ "principals": null }),
        json!({ "isSystemProtected": true }),
        json!({ "scope": "/providers/Microsoft.Management/managementGroups/acme" }),
    ] {
        let found = denied(&others);
        assert!(found.denied.is_empty() && found.is_bare(), "{others}");
        assert_eq!(found.mark, None, "{others}");
    }
}
