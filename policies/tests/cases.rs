//! Policies are tested by files: each case takes the baseline that the policy allows, changes one
//! thing, and says verdict, rules and words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod world;

use std::path::Path;
use std::time::Duration;

use jitney_core::decision::Verdict;
use serde::Deserialize;
use serde_json::{Value, json};
use world::Asking;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    /// The rules themselves, or …
    policy: Option<String>,
    /// … a file beside the crate's manifest.
    policy_file: Option<String>,
    case: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Laid over the baseline job; `"absent"` takes an attribute away.
    #[serde(default = "nothing")]
    job: Value,
    scopes: Option<Vec<String>>,
    ttl_seconds: Option<u64>,
    verdict: Verdict,
    rules: Vec<String>,
    /// Each must be part of what the job is told.
    #[serde(default)]
    reasons: Vec<String>,
    /// None may be part of what the job is told.
    #[serde(default)]
    hidden: Vec<String>,
    /// Each must be part of what the operator is told.
    #[serde(default)]
    notes: Vec<String>,
}

fn nothing() -> Value {
    json!({})
}

fn absent_to_null(value: &mut Value) {
    match value {
        Value::String(text) if text == "absent" => *value = Value::Null,
        Value::Object(members) => members.values_mut().for_each(absent_to_null),
        _ => {}
    }
}

fn wrong_with(case: &Case, policies: &jitney_policies::CedarPolicies) -> Option<String> {
    let mut change = case.job.clone();
    absent_to_null(&mut change);
    let mut asking = Asking::change(change);
    if let Some(scopes) = &case.scopes {
        asking.scopes.clone_from(scopes);
    }
    if let Some(seconds) = case.ttl_seconds {
        asking.ttl = Duration::from_secs(seconds);
    }
    let decision = asking.ask(policies);
    let told = decision.reasons.join("\n");
    let noted = decision.notes.join("\n");
    let right = decision.verdict == case.verdict
        && decision.rules == case.rules
        && !decision.reasons.is_empty()
        && case.reasons.iter().all(|part| told.contains(part))
        && !case.hidden.iter().any(|part| told.contains(part))
        && case.notes.iter().all(|part| noted.contains(part));
    (!right).then(|| {
        format!(
            "{}: {:?} by {:?}\ntold: {told}\nnoted: {noted}",
            case.name, decision.verdict, decision.rules
        )
    })
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn suite(name: &str) -> Suite {
    let text = std::fs::read_to_string(folder().join("tests/cases").join(name)).unwrap();
    toml::from_str(&text).unwrap()
}

fn run(name: &str) {
    let suite = suite(name);
    let (name, policy) = match (suite.policy, suite.policy_file) {
        (Some(policy), None) => ("test.cedar".to_owned(), policy),
        (None, Some(name)) => {
            let text = std::fs::read_to_string(folder().join(&name)).unwrap();
            (name, text)
        }
        other => panic!("give the rules or their file, not {other:?}"),
    };
    let policies = world::load(vec![world::file(&name, &policy)]).unwrap();
    assert_eq!(
        suite.case.first().map(|case| case.verdict),
        Some(Verdict::Allow),
        "the first case shows that the baseline is allowed"
    );
    let wrong: Vec<String> = suite
        .case
        .iter()
        .filter_map(|case| wrong_with(case, &policies))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn guardrails_refuse_what_a_rule_allows() {
    run("guardrails.toml");
}

#[test]
fn the_starter_policy_means_one_job() {
    run("starter.toml");
}

#[test]
fn a_job_is_told_what_was_seen_and_what_was_expected() {
    run("explanations.toml");
}

#[test]
fn every_guardrail_refuses_something_by_itself_and_is_in_the_readme() {
    let guardrails = include_str!("../guardrails.cedar");
    let readme = include_str!("../README.md");
    let cases = suite("guardrails.toml").case;
    let ids: Vec<&str> = guardrails
        .split("@id(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(ids.len() >= 6, "{ids:?}");
    for id in ids {
        let alone = cases
            .iter()
            .any(|case| case.verdict == Verdict::Deny && case.rules == [id]);
        assert!(alone, "no case for {id}");
        assert!(readme.contains(&format!("| `{id}` |")), "{id}");
    }
}

#[test]
fn the_rule_of_the_readme_allows_the_deploy_job() {
    let readme = include_str!("../README.md");
    let rule = readme.split("```cedar\n").nth(1).unwrap();
    let rule = rule.split("```").next().unwrap();
    let policies = world::load(vec![world::file("readme.cedar", rule)]).unwrap();
    let decision = Asking::default().ask(&policies);
    assert_eq!(decision.verdict, Verdict::Allow);
}
