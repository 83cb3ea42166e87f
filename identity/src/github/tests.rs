#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::refusal::RefusalCode;
use serde_json::{Value, json};

const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn sample() -> BTreeMap<String, Value> {
    let sha = "9f3182061f1e2cca4702c368cbc039b7dc9d4485";
    serde_json::from_value(json!({
        "sub": "repo:acme@1001/shop@2002:environment:production",
        "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
        "sha": sha, "repository": "acme/shop", "repository_id": "2002",
        "repository_owner": "acme", "repository_owner_id": "1001",
        "repository_visibility": "private", "run_id": "15523008123", "run_number": "418",
        "run_attempt": "1", "actor": "octo-dev", "actor_id": "31337", "workflow": "Deploy",
        "head_ref": "", "base_ref": "", "event_name": "push",
        "workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
        "workflow_sha": sha,
        "job_workflow_ref": "acme/platform/.github/workflows/release.yml@refs/tags/v3",
        "job_workflow_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "runner_environment": "github-hosted", "environment": "production",
        "environment_node_id": "EN_kwDOexample", "check_run_id": "43210987654",
        "enterprise": "acme-corp", "enterprise_id": "77", "issuer_scope": "enterprise",
        "repo_property_data_classification": "restricted",
    }))
    .unwrap()
}

fn read(changes: &[(&str, Value)]) -> Result<GithubClaims, Refusal> {
    let mut claims = sample();
    for (name, value) in changes {
        claims.insert((*name).to_owned(), value.clone());
    }
    GithubClaims::read(&SignedClaims::pretend_signed(claims))
}

fn refused(name: &str, value: Value) -> RefusalCode {
    match read(&[(name, value.clone())]) {
        Ok(_) => panic!("accepted {name} = {value}"),
        Err(refusal) => refusal.code,
    }
}

#[test]
fn every_claim_reaches_its_field() {
    let claims = read(&[("head_ref", json!("feat")), ("base_ref", json!("main"))]).unwrap();
    let printed = format!("{claims:?}");
    for (name, value) in sample() {
        let value = value.as_str().unwrap().to_owned();
        let unread = name == "sub" || value.is_empty() || name == "ref_protected";
        assert!(unread || printed.contains(&value), "`{name}` is not read");
    }
    assert_eq!(claims.ref_protected, Some(true));
    assert_eq!(claims.head_ref.as_deref(), Some("feat"));
    assert_eq!(claims.base_ref.as_deref(), Some("main"));
    let classification = claims.properties.get("data_classification");
    assert_eq!(classification.map(String::as_str), Some("restricted"));
}

#[test]
fn a_job_is_described_by_ids_and_signed_words() {
    let job = read(&[]).unwrap().job(ISSUER);
    assert_eq!(job.issuer, ISSUER);
    assert_eq!(job.repository.id, "2002");
    assert_eq!(job.repository.owner_id, "1001");
    assert_eq!(job.job_id.as_deref(), Some("43210987654"));
    assert_eq!(job.environment.as_deref(), Some("production"));
    assert_eq!(
        job.workflow.job_ref,
        "acme/platform/.github/workflows/release.yml@refs/tags/v3"
    );
    assert_eq!(job.actor.id, "31337");
    assert_eq!(job.origin, Origin::Same);
    assert_eq!(job.git_ref.protected, Some(true));
}

#[test]
fn what_a_policy_needs_has_to_be_there() {
    for name in [
        "actor",
        "actor_id",
        "event_name",
        "job_workflow_ref",
        "job_workflow_sha",
        "ref",
        "ref_type",
        "repository",
        "repository_id",
        "repository_owner",
        "repository_owner_id",
        "run_attempt",
        "run_id",
        "sha",
        "workflow_ref",
        "workflow_sha",
    ] {
        assert_eq!(
            refused(name, Value::Null),
            RefusalCode::MissingClaim,
            "{name}"
        );
        assert_eq!(
            refused(name, json!("")),
            RefusalCode::MissingClaim,
            "{name}"
        );
    }
}

#[test]
fn a_number_is_not_an_id() {
    for name in [
        "repository_id",
        "repository_owner_id",
        "run_id",
        "run_attempt",
        "run_number",
        "actor_id",
        "check_run_id",
        "enterprise_id",
    ] {
        assert_eq!(refused(name, json!(2002)), RefusalCode::BadClaim, "{name}");
        assert_eq!(
            refused(name, json!("2002 ")),
            RefusalCode::BadClaim,
            "{name}"
        );
    }
    assert_eq!(refused("ref_protected", json!(true)), RefusalCode::BadClaim);
    assert_eq!(
        refused("environment", json!(["production"])),
        RefusalCode::BadClaim
    );
    assert_eq!(
        refused("repo_property_tier", json!(true)),
        RefusalCode::BadClaim
    );
    assert_eq!(refused("repo_property_", json!("x")), RefusalCode::BadClaim);
    assert_eq!(
        refused("repo_property_a b", json!("x")),
        RefusalCode::BadClaim
    );
    assert_eq!(refused("sha", json!("main")), RefusalCode::BadClaim);
}

#[test]
fn names_have_to_agree() {
    assert_eq!(
        refused("repository", json!("evil/shop")),
        RefusalCode::BadClaim
    );
    assert_eq!(refused("repository", json!("acme")), RefusalCode::BadClaim);
    assert_eq!(
        refused("repository_owner", json!("acme/shop")),
        RefusalCode::BadClaim
    );
    assert_eq!(refused("ref", json!("main")), RefusalCode::BadClaim);
}

#[test]
fn only_runs_of_the_repositorys_own_code_are_called_its_own() {
    for event in EVENTS_OF_THE_REPOSITORY {
        let claims = read(&[("event_name", json!(event))]).unwrap();
        assert_eq!(claims.origin(), Origin::Same, "{event}");
    }
    for event in [
        "pull_request",
        "pull_request_target",
        "pull_request_review",
        "workflow_run",
        "issue_comment",
        "issues",
        "discussion_comment",
        "fork",
        "watch",
        "merge_group",
        "check_run",
        "check_suite",
        "status",
        "deployment",
        "deployment_status",
        "dynamic",
        "PUSH",
        "push ",
        "event_of_tomorrow",
    ] {
        let claims = read(&[("event_name", json!(event))]).unwrap();
        assert_eq!(claims.origin(), Origin::CannotTell, "{event}");
    }
    for (name, value) in [
        ("ref", "refs/pull/7/merge"),
        ("head_ref", "evil"),
        ("base_ref", "main"),
    ] {
        let claims = read(&[(name, json!(value))]).unwrap();
        assert_eq!(claims.origin(), Origin::CannotTell, "{name}");
    }
}

#[test]
fn the_job_key_tells_issuers_runs_attempts_and_jobs_apart() {
    let key = |issuer: &str, changes: &[(&str, Value)]| read(changes).unwrap().job(issuer).key;
    let base = key(ISSUER, &[]);
    assert_eq!(base, key(ISSUER, &[("sha", json!("0".repeat(40)))]));
    for other in [
        key("https://ghes.example/_services/token", &[]),
        key(ISSUER, &[("repository_id", json!("2003"))]),
        key(ISSUER, &[("run_id", json!("15523008124"))]),
        key(ISSUER, &[("run_attempt", json!("2"))]),
        key(ISSUER, &[("check_run_id", json!("43210987655"))]),
        key(ISSUER, &[("check_run_id", Value::Null)]),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn sub_is_never_read() {
    let job = read(&[]).unwrap().job(ISSUER);
    for sub in [
        "repo:acme/shop:ref:refs/heads/main",
        "repo:acme/shop:environment:x:ref:refs/heads/main",
        "anything at all",
    ] {
        assert_eq!(read(&[("sub", json!(sub))]).unwrap().job(ISSUER), job);
    }
}

#[test]
fn claims_that_are_new_to_us_are_named_and_ignored() {
    let mut claims = sample();
    claims.insert("claim_of_tomorrow".into(), json!({"a": [1]}));
    let signed = SignedClaims::pretend_signed(claims);
    assert_eq!(unknown(&signed).collect::<Vec<_>>(), ["claim_of_tomorrow"]);
    assert_eq!(GithubClaims::read(&signed).unwrap(), read(&[]).unwrap());
}

#[test]
fn every_claim_that_github_publishes_is_known() {
    // `claims_supported` of the discovery document, and what newer tokens add to it.
    let published = "sub aud exp iat iss jti nbf ref sha repository repository_id \
                     repository_owner repository_owner_id enterprise enterprise_id run_id \
                     run_number run_attempt actor actor_id workflow workflow_ref workflow_sha \
                     head_ref base_ref event_name ref_type ref_protected environment \
                     environment_node_id job_workflow_ref job_workflow_sha \
                     repository_visibility runner_environment issuer_scope check_run_id \
                     repo_property_data_classification";
    let claims = published
        .split_whitespace()
        .map(|name| (name.to_owned(), Value::Null))
        .collect();
    let signed = SignedClaims::pretend_signed(claims);
    assert_eq!(unknown(&signed).count(), 0);
}

#[test]
fn properties_are_bounded() {
    let mut claims = sample();
    for number in 0..PROPERTIES_MAX {
        claims.insert(format!("{PROPERTY_PREFIX}p{number}"), json!("v"));
    }
    let refusal = GithubClaims::read(&SignedClaims::pretend_signed(claims)).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::BadClaim);
}
