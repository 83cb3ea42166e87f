//! What is changed in a policy, and above all what is not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

fn acme() -> InstallationName {
    "acme".parse().unwrap()
}

fn account(number: u64) -> AccountEmail {
    format!("jitney-{number:03}@acme-pool.iam.gserviceaccount.com")
        .parse()
        .unwrap()
}

fn handle(number: u64) -> Handle {
    Handle::try_from(format!("{number:019}")).unwrap()
}

fn binding(number: u64) -> Binding {
    Binding {
        account: account(number),
        role: "roles/storage.objectViewer".parse().unwrap(),
        expression: format!("request.time < timestamp(\"2026-11-23T00:00:{number:02}Z\")"),
        handle: handle(number),
        mark: Mark {
            era: 0,
            sequence: number,
        },
    }
}

/// What others have in it, with things we do not know of.
fn estate() -> Value {
    json!({
        "kind": "storage#policy",
        "version": 1,
        "etag": "BwY",
        "auditConfigs": [{ "service": "allServices", "auditLogConfigs": [{ "logType": "DATA_READ" }] }],
        "somethingNew": { "b": 1, "a": [3, 2, 1] },
        "bindings": [
            { "role": "roles/storage.admin", "members": ["user:ada@acme.example", "group:ops@acme.example"] },
            { "role": "roles/storage.objectViewer", "members": ["serviceAccount:web@acme.example"],
              "condition": { "title": "office hours", "expression": "true" }, "future": true },
            { "role": "roles/storage.objectViewer", "members": ["allAuthenticatedUsers"] },
        ],
    })
}

fn policy(value: Value) -> Policy {
    Policy::read(value).unwrap()
}

#[test]
fn a_policy_without_an_etag_is_not_one_that_we_would_write() {
    for bad in [
        json!([]),
        json!({ "version": 3, "bindings": [] }),
        json!({ "version": 3, "etag": "", "bindings": [] }),
        json!({ "version": 3, "etag": 7 }),
        json!({ "version": 3, "etag": "x", "bindings": {} }),
    ] {
        assert!(Policy::read(bad.clone()).is_err(), "{bad}");
    }
    // A resource without any binding has an etag all the same.
    let empty = policy(json!({ "etag": "ACAB" }));
    assert_eq!(empty.written(), json!({ "etag": "ACAB", "version": 3 }));
}

#[test]
fn what_is_added_stands_last_and_is_ours() {
    let mut changed = policy(estate());
    changed.add(&binding(1), &acme()).unwrap();
    let written = changed.written();
    assert_eq!(written["version"], 3);
    assert_eq!(
        written["bindings"][3],
        json!({
            "role": "roles/storage.objectViewer",
            "members": ["serviceAccount:jitney-001@acme-pool.iam.gserviceaccount.com"],
            "condition": {
                "title": "jitney:acme:0000000000000000001",
                "description": "a lease of Jitney's, granted at 0.1",
                "expression": "request.time < timestamp(\"2026-11-23T00:00:01Z\")",
            },
        })
    );
    let found = changed.ours(&acme());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].handle, handle(1));
    assert_eq!(found[0].mark.unwrap().sequence, 1);
    // Again, as after an answer that was lost.
    let once = changed.clone();
    changed.add(&binding(1), &acme()).unwrap();
    assert_eq!(changed, once);
}

#[test]
fn a_binding_without_a_condition_makes_a_lease_moot() {
    let member = account(1).member();
    for condition in [json!(null), json!("absent")] {
        let mut there = json!({ "role": "roles/storage.objectViewer",
                                "members": ["user:ada@acme.example", member] });
        if condition.is_null() {
            there["condition"] = condition;
        }
        let mut value = estate();
        value["bindings"].as_array_mut().unwrap().push(there);
        let refused = policy(value).add(&binding(1), &acme());
        assert!(matches!(refused, Err(Refused::Moot { .. })), "{refused:?}");
    }
    // Another role, or another account, is no reason to refuse.
    let mut other = estate();
    other["bindings"][0]["members"] = json!([member]);
    other["bindings"][2]["members"] = json!([account(2).member()]);
    assert!(policy(other).add(&binding(1), &acme()).is_ok());
}

#[test]
fn googles_limits_are_counted_before_it_is_asked() {
    let mut shared = policy(estate());
    let of_lease = |number| Binding {
        account: account(1),
        ..binding(number)
    };
    for number in 0..20 {
        shared.add(&of_lease(number), &acme()).unwrap();
    }
    let refused = shared.add(&of_lease(20), &acme());
    assert!(
        matches!(refused, Err(Refused::TooManyConditions { count: 21, .. })),
        "{refused:?}"
    );
    // Others named in the same policy count as well, each time they are named.
    let members: Vec<String> = (0..1_496)
        .map(|n| format!("user:u{n}@acme.example"))
        .collect();
    let mut value = estate();
    value["bindings"][2]["members"] = json!(members);
    let mut full = policy(value);
    full.add(&binding(1), &acme()).unwrap();
    assert_eq!(
        full.add(&binding(2), &acme()),
        Err(Refused::TooManyMembers(1_501))
    );
}

#[test]
fn only_what_is_ours_is_removed() {
    let mut value = estate();
    let mine = account(1).member();
    let bindings = value["bindings"].as_array_mut().unwrap();
    for title in [
        "jitney:acme-2:0000000000000000001",
        "jitney:acme",
        "jitney:acme:0000000000000000001x",
        "mine",
    ] {
        bindings.push(json!({ "role": "roles/x.y", "members": [mine],
                              "condition": { "title": title, "expression": "true" } }));
    }
    bindings.push(json!({ "role": "roles/x.y", "members": [mine] }));
    let before = policy(value);
    let mut after = before.clone();
    assert_eq!(after.remove(&account(1), &Which::Every, &acme()), []);
    assert_eq!(after, before);
}

#[test]
fn whoever_was_put_into_a_binding_of_ours_stays_in_it() {
    let mut changed = policy(estate());
    changed.add(&binding(1), &acme()).unwrap();
    let mut value = changed.written();
    let members = value["bindings"][3]["members"].as_array_mut().unwrap();
    members.push(json!("user:ada@acme.example"));
    let mut changed = policy(value);
    assert_eq!(
        changed.remove(&account(1), &Which::Every, &acme()),
        [handle(1)]
    );
    assert_eq!(
        changed.written()["bindings"][3]["members"],
        json!(["user:ada@acme.example"])
    );
}

#[test]
fn of_a_shared_account_only_the_meant_leases_are_removed() {
    let mut shared = policy(estate());
    for number in 1..4 {
        let account = account(1);
        let binding = Binding {
            account,
            ..binding(number)
        };
        shared.add(&binding, &acme()).unwrap();
    }
    let which = Which::Of(vec![handle(2), handle(9)]);
    assert_eq!(shared.remove(&account(1), &which, &acme()), [handle(2)]);
    let left: Vec<Handle> = shared
        .ours(&acme())
        .into_iter()
        .map(|it| it.handle)
        .collect();
    assert_eq!(left, [handle(1), handle(3)]);
}

proptest! {
    /// Whatever comes and goes of ours, what is others' is as it was, in its order.
    #[test]
    fn nothing_foreign_is_reordered_or_dropped(
        steps in prop::collection::vec((0_u64..6, any::<bool>()), 0..40),
    ) {
        let mut changed = policy(estate());
        for (number, adds) in steps {
            if adds {
                changed.add(&binding(number), &acme()).unwrap();
            } else {
                changed.remove(&account(number), &Which::Every, &acme());
            }
        }
        for number in 0..6 {
            changed.remove(&account(number), &Which::Every, &acme());
        }
        let mut expected = estate();
        expected["version"] = json!(3);
        prop_assert_eq!(changed.written(), expected);
    }
}
