//! What a target may say, and what it may not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::*;

fn written() -> Value {
    json!({
        "tenant": "11111111-0000-4000-8000-000000000001",
        "subscription": "aaaaaaaa-0000-4000-8000-000000000001",
        "credentials": { "from": "issuer", "client_id": "cccccccc-0000-4000-8000-000000000009" },
        "roles": { "blob-writer": "dddddddd-0000-4000-8000-000000000001" },
        "slots": {
            "blobs-1": {
                "client_id": "cccccccc-0000-4000-8000-000000000001",
                "object_id": "eeeeeeee-0000-4000-8000-000000000001", "carries": "blobs",
            },
            "role-1": {
                "client_id": "cccccccc-0000-4000-8000-000000000002",
                "object_id": "eeeeeeee-0000-4000-8000-000000000002", "carries": "role",
            },
        },
    })
}

fn read(change: impl Fn(&mut Value)) -> Result<AzureTarget, String> {
    let mut value = written();
    change(&mut value);
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[test]
fn what_is_left_out_is_safe() {
    let target = read(|_| {}).unwrap();
    assert_eq!(
        (target.mode, target.hands_out),
        (Mode::Pim, HandsOut::Token)
    );
    assert_eq!(target.endpoint.as_str(), "https://management.azure.com/");
    assert_eq!(
        target.authority.as_str(),
        "https://login.microsoftonline.com/"
    );
    assert_eq!(target.settle_seconds, 600);
    assert_eq!(target.fast_stop, None);
    assert_eq!(target.slots_for(Carries::Blobs).count(), 1);
    assert_eq!(target.severs_within_seconds(), 305 + 60 + 600 + 10);
    let plain = read(|value| value["mode"] = json!("rbac")).unwrap();
    assert_eq!(plain.severs_within_seconds(), 610);
}

#[test]
fn what_is_not_right_is_refused_with_its_key() {
    let slot = |value: &mut Value, key: &str, with: &str| {
        value["slots"]["role-1"][key] = json!(with);
    };
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [(Change<'_>, &str); 18] = [
        (&|v| v["tenant"] = json!("acme.example"), "tenant"),
        (&|v| v["subscription"] = json!(""), "subscription"),
        (&|v| v["mode"] = json!("both"), "pim"),
        (&|v| v["fast_stop"] = json!("lock"), "deny-assignment"),
        (
            &|v| (v["fast_stop"], v["mode"]) = (json!("deny-assignment"), json!("rbac")),
            "`fast_stop` is set and `mode` is `rbac`",
        ),
        (&|v| v["slots"] = json!({}), "0 entries"),
        (
            &|v| slot(v, "client_id", "cccccccc-0000-4000-8000-000000000001"),
            "`client_id` of another slot",
        ),
        (
            &|v| slot(v, "object_id", "eeeeeeee-0000-4000-8000-000000000001"),
            "`object_id` of another slot",
        ),
        (
            &|v| slot(v, "client_id", "cccccccc-0000-4000-8000-000000000009"),
            "Jitney itself",
        ),
        (&|v| slot(v, "carries", "all"), "blobs"),
        (
            &|v| v["slots"]["Slot 1"] = v["slots"]["role-1"].clone(),
            "slots",
        ),
        (&|v| v["roles"]["x y"] = json!("a"), "roles"),
        (&|v| v["roles"]["x"] = json!("Contributor"), "roles"),
        (
            &|v| v["endpoint_url"] = json!("http://127.0.0.1:1"),
            "endpoint_url",
        ),
        (
            &|v| v["authority_url"] = json!("https://u@login.example"),
            "authority_url",
        ),
        (
            &|v| v["endpoint_url"] = json!("https://m.example/x"),
            "endpoint_url",
        ),
        (&|v| v["settle"] = json!(1), "unknown field"),
        (&|v| v["elevate_deadline_seconds"] = json!(46), "5 to 45"),
    ];
    for (change, part) in cases {
        let wrong = read(change).unwrap_err();
        assert!(wrong.contains(part), "{wrong}");
    }
}

#[test]
fn paths_begin_at_the_configurations_folder() {
    let target = read(|value| {
        value["certificate_authorities_file"] = json!("ca.pem");
        value["credentials"] = json!({
            "from": "workload-identity", "token_file": "/var/run/token",
            "client_id": "cccccccc-0000-4000-8000-000000000009",
        });
    });
    let target = target.unwrap().below(Path::new("/etc/jitney"));
    let file = target.certificate_authorities_file.unwrap();
    assert_eq!(file, Path::new("/etc/jitney/ca.pem"));
    let CredentialSource::OfPlatform(PlatformIdentity::WorkloadIdentity { token_file, .. }) =
        target.credentials
    else {
        unreachable!("it was written so");
    };
    assert_eq!(token_file, Path::new("/var/run/token"));
}

#[test]
fn each_cloud_has_addresses_and_audiences_of_its_own() {
    let in_cloud = |name: &str, more: &[(&str, &str)]| {
        let mut value = written();
        value["environment"] = json!(name);
        for (key, url) in more {
            value[*key] = json!(url);
        }
        serde_json::from_value::<AzureTarget>(value)
    };
    let mut seen = BTreeSet::new();
    for (name, endpoint, authority) in [
        (
            "public",
            "https://management.azure.com/",
            "https://login.microsoftonline.com/",
        ),
        (
            "us-government",
            "https://management.usgovcloudapi.net/",
            "https://login.microsoftonline.us/",
        ),
        (
            "china",
            "https://management.chinacloudapi.cn/",
            "https://login.partner.microsoftonline.cn/",
        ),
    ] {
        let target = in_cloud(name, &[]).unwrap();
        assert_eq!(
            (target.endpoint.as_str(), target.authority.as_str()),
            (endpoint, authority)
        );
        let it = target.environment;
        assert_eq!(it.management(), format!("{endpoint}.default"));
        assert_eq!(it.vault(), format!("https://{}/.default", it.vaults()));
        assert_eq!(it.storage(), "https://storage.azure.com/.default");
        assert!(seen.insert(it.exchange()) && seen.insert(it.vault()));
        // What is written by hand counts.
        let own = [
            ("endpoint_url", "https://arm.example"),
            ("authority_url", "https://entra.example"),
        ];
        let target = in_cloud(name, &own).unwrap();
        assert_eq!(target.endpoint.as_str(), "https://arm.example/");
        assert_eq!(target.authority.as_str(), "https://entra.example/");
        assert_eq!(target.environment, it);
    }
    for other in ["Public", "germany", ""] {
        assert!(in_cloud(other, &[]).is_err(), "{other}");
    }
    assert_eq!(read(|_| {}).unwrap().environment, Environment::Public);
}

#[test]
fn a_fast_stop_promises_no_earlier_end() {
    let target = read(|value| value["fast_stop"] = json!("deny-assignment")).unwrap();
    assert_eq!(target.fast_stop, Some(FastStop::DenyAssignment));
    let without = read(|_| {}).unwrap();
    assert_eq!(
        target.severs_within_seconds(),
        without.severs_within_seconds()
    );
}
