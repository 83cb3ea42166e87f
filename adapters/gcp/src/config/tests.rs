//! What a target may say, and what stops the start.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::*;

const ONE: &str = "jitney-001@acme-pool.iam.gserviceaccount.com";
const TWO: &str = "jitney-002@acme-pool.iam.gserviceaccount.com";

const READERS: &str = "projects/acme-prod/locations/global/entitlements/readers";

fn good() -> Value {
    json!({ "project": "acme-prod", "pools": { "deploy": { "accounts": [ONE, TWO] } } })
}

fn read(value: &Value) -> Result<GcpTarget, String> {
    serde_json::from_value(value.clone()).map_err(|error| error.to_string())
}

fn with(key: &str, value: Value) -> Result<GcpTarget, String> {
    let mut target = good();
    target[key] = value;
    read(&target)
}

fn with_pool(pool: Value) -> Result<Pool, String> {
    let target = with("pools", json!({ "deploy": pool }))?;
    Ok(target.pools["deploy"].clone())
}

#[test]
fn the_least_that_must_be_said_is_a_project_and_a_pool() {
    let target = read(&good()).unwrap();
    assert_eq!(target.settle_seconds, 60);
    assert_eq!(target.elevate_deadline_seconds, 45);
    assert_eq!(target.credentials, CredentialSource::Ambient);
    assert_eq!(target.severs_within_seconds(), 70);
    assert_eq!(target.lands_within_seconds(), 180);
    assert!(matches!(&target.pools["deploy"], Pool::Exclusive(accounts) if accounts.len() == 2));
}

#[test]
fn a_mistake_is_told_with_its_key() {
    for (key, value, told) in [
        ("project", json!("Acme"), "is not the id of a project"),
        ("pools", json!({}), "`pools` is empty"),
        ("roles", json!({ "Deleter": "roles/a.b" }), "`roles` is"),
        (
            "roles",
            json!({ "object-deleter": "roles/owner" }),
            "is not a role that takes a condition",
        ),
        (
            "endpoint_url",
            json!("http://localhost:80"),
            "only loopback may be plain",
        ),
        (
            "endpoint_url",
            json!("http://10.0.0.1:80"),
            "only loopback may be plain",
        ),
        (
            "endpoint_url",
            json!("https://"),
            "`endpoint_url` is `https://`",
        ),
        (
            "endpoint_url",
            json!("https://x/y"),
            "`endpoint_url` is `https://x/y`",
        ),
        (
            "elevate_deadline_seconds",
            json!(46),
            "is 46: expected 1 to 45",
        ),
        ("settle_seconds", json!(901), "is 901: expected 0 to 900"),
        ("clock_skew_seconds", json!(0), "is 0: expected 1 to 60"),
        (
            "max_token_seconds",
            json!(43_201),
            "is 43201: expected 60 to 43200",
        ),
        (
            "max_derived_seconds",
            json!(604_801),
            "expected 0 to 604800",
        ),
        ("account_writes_per_minute", json!(11), "is 11: expected 12"),
        (
            "write_interval_milliseconds",
            json!(60_001),
            "expected 0 to 60000",
        ),
        (
            "credentials",
            json!({ "from": "key" }),
            "unknown variant `key`",
        ),
        ("region", json!("eu"), "unknown field `region`"),
    ] {
        let error = with(key, value).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn an_account_carries_leases_in_one_way() {
    let shared = with_pool(json!({ "mode": "sa-binding", "accounts": [ONE] }));
    assert!(matches!(shared, Ok(Pool::Shared(_))));
    let boundary = with_pool(json!({ "mode": "cab", "accounts": [ONE] }));
    assert!(matches!(boundary, Ok(Pool::Boundary(_, 1_000))));
    let few = with_pool(json!({ "mode": "cab", "accounts": [ONE], "leases_max": 3 }));
    assert!(matches!(few, Ok(Pool::Boundary(_, 3))));
    let standing = json!([{ "on": "//storage.googleapis.com/projects/_/buckets/artifacts",
                            "role": "roles/storage.objectViewer" }]);
    let stands = with_pool(json!({ "accounts": [ONE], "standing": standing }));
    assert!(matches!(stands, Ok(Pool::Standing(_, stands)) if stands.len() == 1));
    let entitled = json!({ "mode": "pam", "accounts": [ONE], "entitlements": [READERS] });
    let entitled = with_pool(entitled);
    assert!(matches!(entitled, Ok(Pool::Entitled(_, of)) if of.len() == 1));
    for (pool, told) in [
        (json!({ "accounts": [] }), "it has no accounts"),
        (json!({ "accounts": [ONE, ONE] }), "is named twice"),
        (
            json!({ "accounts": ["ada@acme.example"] }),
            "is not the email",
        ),
        (
            json!({ "mode": "sa-binding", "accounts": [ONE, TWO] }),
            "name exactly one",
        ),
        (json!({ "mode": "cab", "accounts": [] }), "name exactly one"),
        (
            json!({ "mode": "cab", "accounts": [ONE], "leases_max": 0 }),
            "at least 1",
        ),
        (
            json!({ "accounts": [ONE], "leases_max": 3 }),
            "is for `cab`",
        ),
        (
            json!({ "mode": "cab", "accounts": [ONE], "standing": standing }),
            "is for `sa-pool`",
        ),
        (
            json!({ "mode": "pam", "accounts": [ONE] }),
            "it has no `entitlements`",
        ),
        (
            json!({ "accounts": [ONE], "entitlements": [READERS] }),
            "are for `pam`",
        ),
        (
            json!({ "mode": "pam", "accounts": [], "entitlements": [READERS] }),
            "it has no accounts",
        ),
        (
            json!({ "mode": "pam", "accounts": [ONE], "entitlements": ["readers"] }),
            "is not the name of an entitlement",
        ),
        (
            json!({ "mode": "pam", "accounts": [ONE],
                    "entitlements": [READERS.replace("acme-prod", "acme-other")] }),
            "is not one of project `acme-prod`",
        ),
        (
            json!({ "mode": "pam", "accounts": [ONE], "entitlements": [READERS],
                    "standing": standing }),
            "is for `sa-pool`",
        ),
        (
            json!({ "mode": "pim", "accounts": [ONE] }),
            "unknown variant `pim`",
        ),
        (
            json!({ "accounts": [ONE], "standing": [{ "on": "x", "role": "roles/a.b" }] }),
            "is not the full name",
        ),
    ] {
        let error = with_pool(pool).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
    // Two leases would meet on it.
    let error = with(
        "pools",
        json!({ "a": { "accounts": [ONE] }, "b": { "mode": "cab", "accounts": [ONE] } }),
    );
    assert!(error.unwrap_err().contains("`pools.b`"));
}
