//! What a target's configuration may say, and what it may not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use serde_json::{Value, json};

fn read(change: &Value) -> Result<AwsTarget, String> {
    let mut target = json!({ "account": "111122223333", "region": "eu-central-1" });
    for (key, value) in change.as_object().unwrap() {
        let keys = target.as_object_mut().unwrap();
        match value {
            Value::Null => keys.remove(key),
            value => keys.insert(key.clone(), value.clone()),
        };
    }
    serde_json::from_value(target).map_err(|error| error.to_string())
}

#[test]
fn two_keys_are_enough() {
    let target = read(&json!({})).unwrap();
    assert_eq!(target.partition, "aws");
    assert_eq!(target.deadline(), Duration::from_secs(10));
    assert_eq!(target.lands_within_seconds(), 10 + 900 + 60);
    assert_eq!(target.severs_within_seconds(), 10 + 5);
    assert!(!target.instance_metadata);
    assert_eq!(target.credentials, CredentialSource::Ambient);
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    for (change, expected) in [
        (json!({ "region": null }), "missing field `region`"),
        (json!({ "account": null }), "missing field `account`"),
        (json!({ "regoin": "x" }), "unknown field `regoin`"),
        (
            json!({ "credentials": { "from": "keys" } }),
            "unknown variant `keys`",
        ),
    ] {
        let refused = read(&change).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn hostile_and_mistaken_values_are_refused() {
    for (key, values) in [
        (
            "account",
            vec![
                json!("11112222333"),
                json!("11112222333x"),
                json!("*"),
                json!(""),
            ],
        ),
        (
            "region",
            vec![
                json!(""),
                json!("eu"),
                json!("eu-central"),
                json!("eu-central-1.evil"),
                json!("EU-CENTRAL-1"),
                json!("--1"),
            ],
        ),
        (
            "partition",
            vec![json!("*"), json!(""), json!("gcp"), json!("aws-")],
        ),
        (
            "external_id",
            vec![json!("x"), json!("a b"), json!("x".repeat(1_225))],
        ),
        (
            "protected_roles",
            vec![
                json!(["*"]),
                json!(["arn:aws:iam::111122223333:*"]),
                json!(["arn:aws:iam::111122223333:role/a*b"]),
            ],
        ),
        ("deny_list", vec![json!("boundary"), json!("none")]),
        ("elevate_deadline_seconds", vec![json!(0), json!(61)]),
        ("settle_seconds", vec![json!(901), json!(-1)]),
        ("clock_skew_seconds", vec![json!(0), json!(61)]),
        ("max_session_seconds", vec![json!(899), json!(43_201)]),
        ("session_policy_characters", vec![json!(255), json!(8_193)]),
        ("operator_inline_characters", vec![json!(9_217)]),
        ("write_interval_milliseconds", vec![json!(60_001)]),
    ] {
        for value in values {
            let refused = read(&json!({ key: value.clone() }));
            assert!(refused.is_err(), "{key} = {value}");
        }
    }
}

#[test]
fn only_a_literal_loopback_address_may_be_plain() {
    for good in [
        "https://sts.example.com",
        "https://127.0.0.1:4566",
        "http://127.0.0.1:4566",
        "http://[::1]:4566",
    ] {
        assert!(read(&json!({ "endpoint_url": good })).is_ok(), "{good}");
    }
    for bad in [
        "",
        "sts.example.com",
        "http://sts.example.com",
        "http://localhost:4566",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1@evil.example",
        "http://127.0.0.1:4566/path",
        "http://127.0.0.1:99999",
        "http://user@127.0.0.1:80",
        "https://user:secret@sts.example.com",
        "ftp://127.0.0.1",
    ] {
        let refused = read(&json!({ "endpoint_url": bad }));
        assert!(refused.is_err(), "{bad}");
    }
}

#[test]
fn the_boundary_mode_says_that_it_is_not_there() {
    let refused = read(&json!({ "deny_list": "boundary" })).unwrap_err();
    assert!(refused.contains("write `inline`"), "{refused}");
}

#[test]
fn an_environment_that_redirects_calls_is_refused() {
    let names = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        refuse_ambient_endpoints(names)
    };
    assert!(names(&["PATH", "AWS_REGION", "AWS_PROFILE"]).is_ok());
    for bad in [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_STS",
        "AWS_ENDPOINT_URL_IAM",
        "aws_endpoint_url",
    ] {
        let refused = names(&["PATH", bad]).unwrap_err();
        assert_eq!(refused.variable, bad);
    }
}
