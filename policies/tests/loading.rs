//! What stops the start. Every case takes a file that loads, changes one thing, and demands the
//! exact refusal with its place.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod world;

use jitney_core::decision::{Decide, Verdict};
use jitney_policies::{CedarPolicies, FILES_MAX, RULES_MAX, Sources};
use world::{Asking, ISSUER, STARTER, file, load, permit, sources, starter};

const GOOD: &str = r#"@id("shop-reads")
@reason("shop reads")
permit (
    principal,
    action == Action::"object-storage:read",
    resource == Resource::"artifacts-prod"
)
when
{
    principal.repository.id == "2002" &&
    principal.repository.owner_id == "1001" &&
    context.tier != Tier::"critical"
};
"#;

fn refusal(text: &str) -> String {
    load(vec![file("shop.cedar", text)])
        .expect_err(text)
        .to_string()
}

fn changed(right: &str, wrong: &str) -> String {
    assert!(GOOD.contains(right), "{right}");
    GOOD.replacen(right, wrong, 1)
}

/// What is changed, what it becomes, and a part of the refusal.
const CHANGES: &[(&str, &str, &str)] = &[
    (
        "@id(\"shop-reads\")\n",
        "",
        "shop.cedar:1:1: the rule has no id (missing_id)",
    ),
    (
        "shop-reads",
        "Shop Reads",
        "shop.cedar:1:1: `Shop Reads` is not an id (bad_id)",
    ),
    (
        "@reason(\"shop reads\")\n",
        "",
        "shop.cedar:1:1: the rule `shop-reads` has no reason (missing_reason)",
    ),
    ("\"shop reads\"", "\" \"", "has no reason (missing_reason)"),
    (
        "\"shop reads\"",
        "\"shop\\nreads\"",
        "breaks the line (bad_annotation)",
    ),
    ("@reason", "@resaon", "advice: did you mean `@reason`?"),
    (
        "@reason",
        "@approval(\"one\")\n@reason",
        "shop.cedar:1:1: the rule `shop-reads` demands approval, and this broker has no \
             approvers yet (approval_not_supported)",
    ),
    (
        "permit",
        "forbid",
        "the rule `shop-reads` has no advice (missing_advice)",
    ),
    (
        "\"1001\" &&",
        "\"1001\"",
        "shop.cedar:12:5: unexpected token `context`",
    ),
    ("principal,", "principle,", "shop.cedar:4:5: "),
    (
        "principal,",
        "principal == ?principal,",
        "the rule has an open slot (template)",
    ),
    ("owner_id ==", "owner ==", "shop.cedar:11:5: "),
    (
        "object-storage:read",
        "object-storage:raed",
        "did you mean `Action::\"object-storage:read\"`",
    ),
    ("Tier::\"critical\"", "Tier::\"crit\"", "shop.cedar:12:21: "),
    (
        "context.tier != Tier::\"critical\"",
        "context.tier == 3",
        "shop.cedar:12:5: ",
    ),
    (
        "context.tier != Tier::\"critical\"",
        "principal.environment == \"production\"",
        "shop.cedar:12:5: ",
    ),
    (
        "context.tier != Tier::\"critical\"",
        "principal.event == \"pu\u{0455}h\"",
        "contains mixed scripts",
    ),
    (
        "context.tier != Tier::\"critical\"",
        "false",
        "(bad_policy)",
    ),
    (
        "principal.repository.owner_id == \"1001\" &&\n",
        "",
        "shop.cedar:1:1: the rule `shop-reads` does not say whose jobs it is about \
             (no_owner_id)\n  advice: add `principal.repository.owner_id == \"…\"`, joined by `&&`",
    ),
    (
        "principal.repository.owner_id == \"1001\"",
        "(principal.repository.owner_id == \"1001\" || principal.event == \"push\")",
        "(no_owner_id)",
    ),
    (
        "principal.repository.id == \"2002\"",
        "principal.repository.path == \"acme/shop\"",
        "the rule `shop-reads` trusts `principal.repository.path`, a name that can change \
             hands (name_without_id)\n  advice: add `principal.repository.id == \"…\"`",
    ),
    (
        "context.tier != Tier::\"critical\"",
        "principal.actor.login == \"octo-dev\"",
        "advice: add `principal.actor.id == \"…\"`",
    ),
    (
        "action == Action::\"object-storage:read\"",
        "action",
        "gives every capability there is or will be (every_capability)",
    ),
    (
        "context.tier != Tier::\"critical\"",
        "context.path.text like \"releases*\"",
        "matches `context.path.text` by a pattern that allows too much (loose_pattern)",
    ),
    (
        "context.tier != Tier::\"critical\"",
        "principal.workflow.job_ref like \"acme/platform/*\"",
        "(loose_pattern)",
    ),
    (
        "context.tier != Tier::\"critical\"",
        "principal.git_ref.full like \"*main\"",
        "(loose_pattern)",
    ),
    (
        "context.tier != Tier::\"critical\"",
        "principal.issuer == \"https://token.actions.githubusercontent.co\"",
        "which this broker does not trust (unknown_issuer)\n  advice: did you mean \
             `https://token.actions.githubusercontent.com`?",
    ),
];

#[test]
fn one_change_makes_a_good_file_bad() {
    assert!(load(vec![file("shop.cedar", GOOD)]).is_ok());
    for (right, wrong, expected) in CHANGES {
        let refused = refusal(&changed(right, wrong));
        assert!(refused.starts_with("shop.cedar:"), "{wrong}: {refused}");
        assert!(refused.contains(expected), "{wrong}: {refused}");
    }
}

#[test]
fn what_looks_like_a_mistake_and_is_none_loads() {
    for (right, fine) in [
        (
            "context.tier != Tier::\"critical\"",
            "principal.git_ref.full like \"refs/tags/v*\"",
        ),
        (
            "context.tier != Tier::\"critical\"",
            "principal has environment && principal.environment == \"production\"",
        ),
        ("action ==", "action in"),
        (
            "context.tier != Tier::\"critical\"",
            "principal.repository.path == \"acme/shop\" && principal.issuer == \
             \"https://token.actions.githubusercontent.com\"",
        ),
    ] {
        let text = changed(right, fine);
        if let Err(refused) = load(vec![file("shop.cedar", &text)]) {
            panic!("{fine}: {refused}");
        }
    }
}

#[test]
fn every_problem_is_told_at_once_with_its_own_line() {
    let text = format!(
        "{}\n{}\n{}",
        changed("@reason(\"shop reads\")\n", ""),
        changed("shop-reads", "other").replace("owner_id == \"1001\"", "owner_id == \"x\" || true"),
        GOOD
    );
    let refused = refusal(&text);
    assert!(
        refused.contains("shop.cedar:1:1: the rule `shop-reads` has no reason"),
        "{refused}"
    );
    assert!(
        refused.contains("shop.cedar:14:1: the rule `other` does not say whose"),
        "{refused}"
    );
    let two = load(vec![file("a.cedar", "permit ("), file("b.cedar", "forbid")]).unwrap_err();
    let files: Vec<&str> = two
        .problems
        .iter()
        .map(|problem| problem.file.as_str())
        .collect();
    assert!(
        files.contains(&"a.cedar") && files.contains(&"b.cedar"),
        "{two}"
    );
}

#[test]
fn an_id_is_one_rule_over_all_files() {
    let within = refusal(&format!("{GOOD}{GOOD}"));
    assert!(
        within.contains("shop.cedar:14:1: the id `shop-reads` is taken by another rule of this file (duplicate_id)"),
        "{within}"
    );
    let across = load(vec![file("a.cedar", GOOD), file("b.cedar", GOOD)])
        .unwrap_err()
        .to_string();
    assert!(
        across.starts_with(
            "b.cedar:1:1: the id `shop-reads` is taken by a rule of a.cedar (duplicate_id)"
        ),
        "{across}"
    );
    let guardrail = refusal(&changed("shop-reads", "no-forks"));
    assert!(
        guardrail.contains("taken by a rule of guardrails.cedar"),
        "{guardrail}"
    );
    let twice = load(vec![file("a.cedar", GOOD), file("a.cedar", "")])
        .unwrap_err()
        .to_string();
    assert!(
        twice.contains("a.cedar: there are two files of this name (duplicate_file)"),
        "{twice}"
    );
    let ours = load(vec![file("guardrails.cedar", GOOD)])
        .unwrap_err()
        .to_string();
    assert!(ours.contains("(duplicate_file)"), "{ours}");
}

#[test]
fn several_issuers_make_each_rule_say_whose_ids_it_means() {
    let mut two = sources(vec![file("shop.cedar", GOOD)]);
    two.issuers
        .insert("https://forge.acme.example/_services/token".to_owned());
    let refused = CedarPolicies::load(&two).unwrap_err().to_string();
    assert!(
        refused.contains(
            "the rule `shop-reads` names no issuer, and this broker trusts several (no_issuer)"
        ),
        "{refused}"
    );
    two.files = vec![file(
        "shop.cedar",
        &changed(
            "context.tier",
            &format!("principal.issuer == \"{ISSUER}\" && context.tier"),
        ),
    )];
    let policies = CedarPolicies::load(&two).unwrap();
    let mut asking = Asking::scope("object-storage:read@artifacts-prod/releases/");
    assert_eq!(asking.ask(&policies).verdict, Verdict::Allow);
    // The other issuer signs the same ids: it is not the same repository.
    asking.job["issuer"] = "https://forge.acme.example/_services/token".into();
    let decision = asking.ask(&policies);
    assert_eq!(decision.verdict, Verdict::Deny);
    assert!(
        !decision.reasons.join("").contains("shop-reads"),
        "{decision:?}"
    );
}

#[test]
fn there_are_limits() {
    let many: String = (0..=RULES_MAX)
        .map(|number| {
            format!(
                "@id(\"r{number}\") @reason(\"r\") @advice(\"a\") \
                 forbid (principal, action, resource) when {{ principal.event == \"x{number}\" }};\n"
            )
        })
        .collect();
    let refused = load(vec![file("many.cedar", &many)]).unwrap_err();
    assert_eq!(refused.problems.len(), 1);
    assert_eq!(refused.problems[0].code, "too_many");
    let files = (0..=FILES_MAX)
        .map(|number| file(&format!("{number}.cedar"), ""))
        .collect();
    assert_eq!(load(files).unwrap_err().problems[0].code, "too_many");
}

/// Each of these ended the process with a stack overflow before the limits of `shape.rs`.
#[test]
fn a_rule_nested_without_end_is_refused_and_ends_nothing() {
    let n = 50_000;
    for condition in [
        format!("{}true{}", "(".repeat(n), ")".repeat(n)),
        vec!["context.severs"; n].join(" || "),
        vec!["context.severs"; n].join(" && "),
        format!("context{}", ".path".repeat(n)),
        format!(
            "{}true{}",
            "if true then ".repeat(n),
            " else false".repeat(n)
        ),
        format!("{} > 0", vec!["1"; n].join(" + ")),
    ] {
        let refused = refusal(&changed("context.tier != Tier::\"critical\"", &condition));
        assert!(refused.starts_with("shop.cedar:12:"), "{refused}");
        assert!(refused.contains("(too_deep)"), "{refused}");
    }
}

#[test]
fn the_largest_rule_is_read_asked_and_explained_on_a_small_stack() {
    let condition = format!("context.severs && {}", vec!["true"; 80].join(" && "));
    let unless = vec!["false"; 40].join(" || ");
    let text = permit("large", "object-storage:write", &condition)
        .replace("};\n", &format!("}} unless {{ {unless} }};"));
    let small = std::thread::Builder::new().stack_size(1024 * 1024);
    let work = move || {
        let policies = load(vec![file("large.cedar", &text)]).unwrap();
        assert_eq!(Asking::default().ask(&policies).verdict, Verdict::Allow);
        let lapsing = Asking {
            recall: None,
            ..Asking::default()
        };
        let decision = lapsing.ask(&policies);
        assert_eq!(decision.verdict, Verdict::Deny);
        assert!(
            decision.reasons.join("").contains("`large`"),
            "{decision:?}"
        );
    };
    small.spawn(work).unwrap().join().unwrap();
}

#[test]
fn no_rules_and_no_files_allow_nothing() {
    for policies in [
        load(vec![]).unwrap(),
        load(vec![file("a.cedar", "// nothing\n")]).unwrap(),
    ] {
        assert_eq!(Asking::default().ask(&policies).verdict, Verdict::Deny);
    }
}

#[test]
fn an_error_in_any_rule_refuses_and_says_so() {
    let overflow = "context.ttl_seconds * 9223372036854775807 > 0";
    let good = permit("good", "object-storage:write", "true");
    let bad_permit = permit("bad", "object-storage:write", overflow);
    let bad_forbid = format!(
        "@id(\"bad\") @reason(\"r\") @advice(\"a\") \
         forbid (principal, action, resource) when {{ {overflow} }};"
    );
    let alone = load(vec![file("a.cedar", &good)]).unwrap();
    assert_eq!(Asking::default().ask(&alone).verdict, Verdict::Allow);
    // Cedar passes over a rule that fails and would allow in both cases.
    for bad in [bad_permit, bad_forbid] {
        let policies = load(vec![file("a.cedar", &format!("{good}{bad}"))]).unwrap();
        let decision = Asking::default().ask(&policies);
        assert_eq!(decision.verdict, Verdict::Deny);
        assert_eq!(decision.rules, ["bad"]);
        assert!(
            decision.reasons.join("").contains("policy_error"),
            "{decision:?}"
        );
        assert!(
            decision.notes.iter().any(|note| note
                .starts_with("policy_error: rule `bad` failed on")
                && note.contains("overflow")),
            "{decision:?}"
        );
        assert!(
            !decision.reasons.join("").contains("overflow"),
            "{decision:?}"
        );
    }
}

#[test]
fn a_target_without_a_cloud_is_refused() {
    let policies = CedarPolicies::load(&Sources {
        clouds: std::collections::BTreeMap::new(),
        ..sources(vec![file("starter.cedar", STARTER)])
    })
    .unwrap();
    let decision = Asking::default().ask(&policies);
    assert_eq!(decision.verdict, Verdict::Deny);
    assert!(
        decision
            .notes
            .join("")
            .contains("could not be asked: `the cloud of target 'acme-prod' is not known")
    );
}

#[test]
fn asking_for_nothing_is_refused() {
    let asking = Asking {
        scopes: Vec::new(),
        ..Asking::default()
    };
    let decision = asking.ask(&starter());
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(
        decision.reasons,
        ["the request asks for nothing; name at least one scope"]
    );
}

#[test]
fn a_part_of_a_second_counts() {
    let mut asking = Asking::ttl(900);
    assert_eq!(asking.ask(&starter()).verdict, Verdict::Allow);
    asking.ttl += std::time::Duration::from_millis(1);
    assert_eq!(asking.ask(&starter()).verdict, Verdict::Deny);
}

#[test]
fn rules_may_demand_that_everything_stops() {
    use jitney_core::guarantee::Recall;
    let text = permit(
        "severs",
        "object-storage:write",
        "context.severs && context has ends_within_seconds && context.ends_within_seconds <= 60",
    );
    let policies = load(vec![file("a.cedar", &text)]).unwrap();
    for (recall, verdict) in [
        (Some(Recall::Severs { within_seconds: 60 }), Verdict::Allow),
        (Some(Recall::Severs { within_seconds: 61 }), Verdict::Deny),
        (Some(Recall::Lapses { within_seconds: 60 }), Verdict::Deny),
        (None, Verdict::Deny),
    ] {
        let asking = Asking {
            recall,
            ..Asking::default()
        };
        assert_eq!(asking.ask(&policies).verdict, verdict, "{recall:?}");
    }
}

#[test]
fn the_digest_names_every_byte_that_decides() {
    let digest = |files| load(files).unwrap().digest().clone();
    let one = digest(vec![file("a.cedar", GOOD)]);
    assert_eq!(one.0.len(), 64);
    assert_eq!(one, digest(vec![file("a.cedar", GOOD)]));
    assert_ne!(one, digest(vec![file("b.cedar", GOOD)]));
    assert_ne!(one, digest(vec![file("a.cedar", &format!("{GOOD}\n"))]));
    assert_ne!(one, digest(vec![]));
    let reads = |name| changed("shop-reads", name);
    assert_eq!(
        digest(vec![
            file("a.cedar", &reads("one")),
            file("b.cedar", &reads("two"))
        ]),
        digest(vec![
            file("b.cedar", &reads("two")),
            file("a.cedar", &reads("one"))
        ]),
        "the order in which files are found does not matter"
    );
    let decision = Asking::default().ask(&starter());
    assert_eq!(&decision.policy, starter().digest());
}

#[test]
fn the_digest_covers_the_catalogue() {
    let mut more = sources(vec![]);
    let before = CedarPolicies::load(&more).unwrap().digest().clone();
    let meaning = more.catalogue.0.values().next().unwrap().clone();
    more.catalogue
        .0
        .insert("queue:send".parse().unwrap(), meaning);
    let after = CedarPolicies::load(&more).unwrap();
    assert_ne!(&before, after.digest());
}
