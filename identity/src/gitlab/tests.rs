#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::refusal::RefusalCode;
use serde_json::{Value, json};

const ISSUER: &str = "https://gitlab.com";

fn sample() -> BTreeMap<String, Value> {
    serde_json::from_value(json!({
        "sub": "project_path:acme/web/shop:ref_type:branch:ref:main",
        "namespace_id": "72", "namespace_path": "acme/web",
        "project_id": "2020", "project_path": "acme/web/shop", "project_visibility": "private",
        "job_namespace_id": "72", "job_namespace_path": "acme/web",
        "job_project_id": "2020", "job_project_path": "acme/web/shop",
        "user_id": "31337", "user_login": "lab-dev", "user_email": "dev@acme.example",
        "user_access_level": "maintainer", "groups_direct": ["acme/deployers"],
        "user_identities": [{"provider": "saml", "extern_uid": "dev"}],
        "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
        "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
        "ref_protected": "true", "environment": "production", "environment_protected": "true",
        "deployment_tier": "tier-of-production", "environment_action": "start",
        "runner_id": 4711, "runner_environment": "gitlab-hosted",
        "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "ci_config_ref_uri": "gitlab.com/acme/web/shop//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": "9f3182061f1e2cca4702c368cbc039b7dc9d4485",
    }))
    .unwrap()
}

fn read(changes: &[(&str, Value)]) -> Result<GitlabClaims, Refusal> {
    let mut claims = sample();
    for (name, value) in changes {
        claims.insert((*name).to_owned(), value.clone());
    }
    GitlabClaims::read(&SignedClaims::pretend_signed(claims))
}

fn refused(name: &str, value: Value) -> RefusalCode {
    match read(&[(name, value.clone())]) {
        Ok(_) => panic!("accepted {name} = {value}"),
        Err(refusal) => refusal.code,
    }
}

#[test]
fn every_claim_reaches_its_field() {
    let printed = format!("{:?}", read(&[]).unwrap());
    for (name, value) in sample() {
        let value = match value {
            Value::String(text) => format!("\"{text}\""),
            other => other.to_string(),
        };
        let unread = name == "sub" || name == "user_identities" || value == "\"true\"";
        assert!(unread || printed.contains(&value), "`{name}` is not read");
    }
    for name in ["ref_protected", "environment_protected"] {
        let claims = read(&[(name, json!("false"))]).unwrap();
        let flags = (claims.ref_protected, claims.environment_protected);
        let first = name == "ref_protected";
        assert_eq!(flags, (Some(!first), Some(first)));
    }
}

#[test]
fn a_job_is_described_by_ids_and_signed_words() {
    let job = read(&[]).unwrap().job(ISSUER);
    assert_eq!(job.provider, Provider::GitlabCi);
    assert_eq!((job.issuer.as_str(), job.origin), (ISSUER, Origin::Same));
    assert_eq!(job.key, job_key(ISSUER, "2020", "302"));
    assert_eq!(job.repository.id, "2020");
    assert_eq!(job.repository.owner_id, "72");
    assert_eq!(job.repository.path, "acme/web/shop");
    assert_eq!(job.git_ref.full, "refs/heads/main");
    assert_eq!(job.git_ref.kind, "branch");
    assert_eq!(job.git_ref.protected, Some(true));
    assert_eq!(job.environment.as_deref(), Some("production"));
    let file = "gitlab.com/acme/web/shop//.gitlab-ci.yml@refs/heads/main";
    assert_eq!(
        (job.workflow.top_ref.as_str(), job.event.as_str()),
        (file, "push")
    );
    assert_eq!(
        (job.actor.id.as_str(), job.actor.login.as_str()),
        ("31337", "lab-dev")
    );
    assert_eq!(
        (job.run_id.as_str(), job.run_attempt.as_str()),
        ("574", "1")
    );
    assert_eq!(job.job_id.as_deref(), Some("302"));
    assert_eq!(job.runner.as_deref(), Some("gitlab-hosted"));
    assert_ne!(job.sha, job.workflow.top_sha);
}

#[test]
fn a_job_has_the_key_that_the_webhook_names() {
    let key = |changes: &[(&str, Value)]| read(changes).unwrap().job(ISSUER).key;
    let fork = key(&[("project_id", json!("999"))]);
    assert_eq!(fork, job_key(ISSUER, "2020", "302"));
    assert_ne!(key(&[("job_id", json!("303"))]), key(&[]));
    assert_ne!(key(&[("job_project_id", json!("21"))]), key(&[]));
    assert_ne!(
        read(&[]).unwrap().job("https://gitlab.acme.example").key,
        key(&[])
    );
}

#[test]
fn what_a_policy_needs_has_to_be_there() {
    for name in [
        "ci_config_ref_uri",
        "ci_config_sha",
        "job_id",
        "namespace_id",
        "namespace_path",
        "pipeline_id",
        "pipeline_source",
        "project_id",
        "project_path",
        "ref",
        "ref_path",
        "ref_type",
        "sha",
        "user_id",
        "user_login",
    ] {
        for absent in [Value::Null, json!("")] {
            assert_eq!(refused(name, absent), RefusalCode::MissingClaim, "{name}");
        }
    }
}

#[test]
fn a_claim_has_the_type_that_gitlab_writes() {
    for name in [
        "job_id",
        "job_namespace_id",
        "job_project_id",
        "namespace_id",
        "pipeline_id",
        "project_id",
        "user_id",
    ] {
        for wrong in [json!(20), json!("020"), json!("x"), json!(["20"])] {
            assert_eq!(refused(name, wrong), RefusalCode::BadClaim, "{name}");
        }
    }
    for (name, wrong) in [
        ("runner_id", json!("1")),
        ("ref_protected", json!(true)),
        ("environment_protected", json!("yes")),
        ("groups_direct", json!("acme")),
        ("groups_direct", json!([1])),
        ("environment", json!(["production"])),
        ("user_login", json!("a\nb")),
        ("sha", json!("main")),
        ("ci_config_sha", json!("714a629")),
    ] {
        assert_eq!(refused(name, wrong), RefusalCode::BadClaim, "{name}");
    }
}

#[test]
fn names_that_do_not_agree_are_refused() {
    for (name, wrong) in [
        ("project_path", json!("acme/web")),
        ("project_path", json!("acme/web/sub/shop")),
        ("project_path", json!("shop")),
        ("namespace_path", json!("acme")),
        ("ref_path", json!("main")),
        ("ref_path", json!("refs/tags/main")),
        ("ref_path", json!("refs/heads/main2")),
        ("ref_path", json!("refs/merge-requests/1/head")),
        ("ref", json!("refs/heads/main")),
        ("ref_type", json!("tag")),
        ("ref_type", json!("merge_request")),
    ] {
        assert_eq!(
            refused(name, wrong.clone()),
            RefusalCode::BadClaim,
            "{name} {wrong}"
        );
    }
    let tag = [
        ("ref", json!("v3")),
        ("ref_type", json!("tag")),
        ("ref_path", json!("refs/tags/v3")),
    ];
    assert_eq!(read(&tag).unwrap().job(ISSUER).git_ref.full, "refs/tags/v3");
}

#[test]
fn only_a_project_that_runs_its_own_code_is_the_same() {
    let origin = |changes: &[(&str, Value)]| read(changes).unwrap().origin();
    for source in SOURCES_OF_THE_PROJECT {
        let source = ("pipeline_source", json!(source));
        assert_eq!(origin(std::slice::from_ref(&source)), Origin::Same);
        // Whatever started it.
        let fork = ("project_id", json!("999"));
        assert_eq!(origin(&[source.clone(), fork]), Origin::Fork);
        let old = ("job_project_id", Value::Null);
        assert_eq!(origin(&[source, old]), Origin::CannotTell);
    }
    for source in [
        "chat",
        "external",
        "external_pull_request_event",
        "parent_pipeline",
        "pipeline",
        "source_of_tomorrow",
        "Push",
    ] {
        let source = ("pipeline_source", json!(source));
        assert_eq!(origin(&[source]), Origin::CannotTell);
    }
}

#[test]
fn what_is_new_to_us_is_named() {
    let mut claims = sample();
    let is_new = |claims: &BTreeMap<String, Value>| {
        let signed = SignedClaims::pretend_signed(claims.clone());
        unknown(&signed).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(is_new(&claims).is_empty());
    claims.insert("claim_of_tomorrow".to_owned(), json!([1]));
    assert_eq!(is_new(&claims), ["claim_of_tomorrow"]);
}
