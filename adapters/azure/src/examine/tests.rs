//! What is read out of settings and inventories, without a call.
#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::json;

fn target() -> AzureTarget {
    serde_json::from_value(json!({
        "tenant": "11111111-0000-4000-8000-000000000001",
        "subscription": "aaaaaaaa-0000-4000-8000-000000000001",
        "credentials": { "from": "managed-identity" },
        "max_lease_seconds": 3600,
        "slots": { "a": {
            "client_id": "cccccccc-0000-4000-8000-000000000001",
            "object_id": "eeeeeeee-0000-4000-8000-000000000001", "carries": "blobs",
        } },
    }))
    .unwrap()
}

#[test]
fn what_would_keep_the_broker_from_assigning_is_told() {
    let rule = |value| serde_json::from_value::<Rule>(value).unwrap();
    let of = |value| hindrance(&target(), &rule(value)).is_some();
    let enablement = |rules| json!({ "id": "Enablement_Admin_Assignment", "enabledRules": rules });
    assert!(of(enablement(json!([
        "MultiFactorAuthentication",
        "Justification"
    ]))));
    assert!(!of(enablement(json!(["Justification", "Ticketing"]))));
    let expiration = |most| json!({ "id": "Expiration_Admin_Assignment", "maximumDuration": most });
    assert!(!of(expiration("P90D")) && !of(expiration("PT2H")));
    assert!(of(expiration("PT1H")) && of(expiration("PT15M")));
    // Of those who activate for themselves: no workload does.
    let other = json!({ "id": "Enablement_EndUser_Assignment",
                        "enabledRules": ["MultiFactorAuthentication"] });
    assert!(!of(other));
}

#[test]
fn a_role_is_used_where_a_lease_would_give_it() {
    let container = "/subscriptions/aaaaaaaa-0000-4000-8000-000000000001/resourceGroups/a\
                     /providers/Microsoft.Storage/storageAccounts/a/blobServices/default\
                     /containers/abc";
    let resource = |native_id: &str, via: Option<&str>| -> Resource {
        serde_json::from_value(json!({
            "target": "acme", "native_id": native_id, "via": via, "tier": "high", "owner": "o",
        }))
        .unwrap()
    };
    let action = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
    let catalogue: Catalogue = serde_json::from_value(json!({ "object-storage:read": {
        "summary": "s", "tier": "low", "path": "optional", "persists": false,
        "clouds": { "azure": { "terms": {
            "kind": "blobs", "role": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
            "data_actions": [action],
        } } },
    } }))
    .unwrap();
    let group = "/subscriptions/aaaaaaaa-0000-4000-8000-000000000001/resourceGroups/a";
    let role = "b24988ac-6180-42a0-ab88-20f7382dd24c";
    let (blobs, whole) = (resource(container, None), resource(group, Some(role)));
    let uses = uses(&target(), &[&blobs, &whole], &catalogue);
    let seen: Vec<_> = uses
        .iter()
        .map(|it| (it.role.to_string(), it.data_actions.len()))
        .collect();
    assert_eq!(seen.len(), 2);
    assert!(seen.contains(&(role.to_owned(), 0)));
}
