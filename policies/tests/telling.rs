//! What is told has an end: a request can be refused for many reasons, and asking for nonsense
//! must not become a way to keep a broker busy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod world;

use jitney_core::decision::Verdict;
use jitney_core::scope::SCOPES_MAX;
use jitney_policies::{CAPABILITIES_MAX, catalogue};
use world::{Asking, file, load, permit};

const WRITE: &str = "object-storage:write";

fn told(text: &str, asking: &Asking) -> String {
    let decision = asking.ask(&load(vec![file("a.cedar", text)]).unwrap());
    assert_eq!(decision.verdict, Verdict::Deny);
    decision.reasons.join("\n")
}

#[test]
fn a_refused_scope_is_compared_with_sixteen_rules() {
    let far = "principal.event == \"release\" && principal.sha == \"x\"";
    let near = "principal.event == \"release\"";
    let rules = |before: usize| {
        let mut text: String = (0..before)
            .map(|number| permit(&format!("r{number:02}"), WRITE, far))
            .collect();
        text.push_str(&permit("r99", WRITE, near));
        text
    };
    let asking = Asking::default();
    assert!(told(&rules(15), &asking).contains("(a.cedar, `r99`)"));
    assert!(told(&rules(16), &asking).contains("(a.cedar, `r00`)"));
}

#[test]
fn of_one_rule_six_gaps_are_told() {
    let conditions: Vec<String> = (0..7)
        .map(|number| format!("principal.sha == \"x{number}\""))
        .collect();
    let text = told(
        &permit("many", WRITE, &conditions.join(" && ")),
        &Asking::default(),
    );
    assert!(
        text.contains("expected `x5`") && !text.contains("x6"),
        "{text}"
    );
}

#[test]
fn four_of_a_repositorys_scopes_are_offered() {
    let rules: String = (0..5)
        .map(|number| {
            permit(&format!("r{number}"), WRITE, "true").replace(
                ", resource)",
                &format!(", resource == Resource::\"bucket-{number}\")"),
            )
        })
        .collect();
    let text = told(&rules, &Asking::default());
    assert!(
        text.contains("bucket-3") && !text.contains("bucket-4"),
        "{text}"
    );
}

#[test]
fn a_request_of_many_scopes_is_answered_for_each() {
    let asking = Asking {
        scopes: (0..SCOPES_MAX)
            .map(|number| format!("object-storage:delete@artifacts-prod/{number}/"))
            .collect(),
        ..Asking::default()
    };
    let text = told(&permit("a", WRITE, "true"), &asking);
    assert_eq!(text.lines().count(), SCOPES_MAX);
}

#[test]
fn ids_and_sentences_have_an_edge() {
    for (id, fits) in [("a".repeat(64), true), ("a".repeat(65), false)] {
        let loaded = load(vec![file("a.cedar", &permit(&id, WRITE, "true"))]);
        assert_eq!(loaded.is_ok(), fits, "{id}");
    }
    for (length, fits) in [(300, true), (301, false)] {
        let text = permit("a", WRITE, "true").replace("a test", &"x".repeat(length));
        assert_eq!(load(vec![file("a.cedar", &text)]).is_ok(), fits, "{length}");
    }
}

#[test]
fn a_catalogue_has_an_edge() {
    let built_in = catalogue(None).unwrap().0.len();
    let rows = |count: usize| -> String {
        (0..count)
            .map(|number| {
                format!(
                    "[\"queue:v{number}\"]\nsummary = \"s\"\ntier = \"low\"\npath = \"never\"\n\
                     persists = false\nclouds = {{}}\n"
                )
            })
            .collect()
    };
    let most = CAPABILITIES_MAX - built_in;
    assert!(catalogue(Some(&file("more.toml", &rows(most)))).is_ok());
    let refused = catalogue(Some(&file("more.toml", &rows(most + 1)))).unwrap_err();
    assert!(
        refused.to_string().contains("at most 512 are taken"),
        "{refused}"
    );
}
