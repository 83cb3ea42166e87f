//! What the house asks of a rule beyond Cedar's grammar and types. Every check refuses a rule
//! that reads as if it were safe: one that trusts a name somebody else can take, a pattern that
//! matches more than it shows, or a mark that nobody acts on.

use std::collections::BTreeSet;

use cedar_policy::pst::{Expr, PatternElem};
use cedar_policy::{Effect, Policy};

use crate::problem::{Place, Problem, nearest};
use crate::rule::{Actions, ISSUER, OWNER_ID, REPOSITORY_ID, REPOSITORY_PATH, Rule, attribute};

/// The longest `@id`, in bytes.
const ID_LENGTH_MAX: usize = 64;
/// The longest `@reason` or `@advice`, in characters.
const SENTENCE_LENGTH_MAX: usize = 300;

const ANNOTATIONS: [&str; 4] = ["id", "reason", "advice", "approval"];

/// Names that can change hands, each with the id that cannot.
const NAMES_WITH_IDS: [(&str, &str); 2] = [
    (REPOSITORY_PATH, REPOSITORY_ID),
    ("principal.actor.login", "principal.actor.id"),
];

/// The attributes that a `permit` may match by a pattern: `*` also matches `/`, so a pattern on a
/// path or a file says less than it seems to.
const PATTERNS_ON: [&str; 3] = [
    "principal.git_ref.full",
    "principal.environment",
    "context.reason",
];

/// Collects what is wrong with one rule.
struct Findings<'a> {
    file: &'a str,
    place: Option<Place>,
    found: Vec<Problem>,
}

impl Findings<'_> {
    fn add(&mut self, code: &'static str, message: String, advice: &str) {
        let problem = Problem::new(self.file, self.place, code, message);
        self.found.push(problem.advise(advice));
    }
}

/// Checks the annotations of a policy, before anything else is known of it.
pub(crate) fn review_annotations(
    file: &str,
    place: Option<Place>,
    policy: &Policy,
) -> Vec<Problem> {
    let mut findings = Findings {
        file,
        place,
        found: Vec::new(),
    };
    let id = policy.annotation("id").unwrap_or_default();
    if id.is_empty() {
        let message = "the rule has no id".to_owned();
        findings.add("missing_id", message, "put `@id(\"…\")` before it");
    } else if !is_id(id) {
        let message = format!("`{}` is not an id", id.escape_debug());
        let advice = "use 1 to 64 of `a-z`, `0-9`, `-`, beginning with a letter";
        findings.add("bad_id", message, advice);
    }
    for (name, _) in policy.annotations() {
        if !ANNOTATIONS.contains(&name) {
            let advice = match nearest(name, ANNOTATIONS) {
                Some(near) => format!("did you mean `@{near}`?"),
                None => "use `@id`, `@reason` and `@advice`".to_owned(),
            };
            let message = format!("nobody reads `@{name}`");
            findings.add("unknown_annotation", message, &advice);
        }
    }
    if policy.annotation("approval").is_some() {
        findings.add(
            "approval_not_supported",
            format!("the rule `{id}` demands approval, and this broker has no approvers yet"),
            "leave the rule out: without `@approval` it would allow at once",
        );
    }
    sentences(&mut findings, id, policy);
    findings.found
}

fn sentences(findings: &mut Findings<'_>, id: &str, policy: &Policy) {
    let refuses = policy.effect() == Effect::Forbid;
    for (name, code, needed, advice) in [
        (
            "reason",
            "missing_reason",
            true,
            "say in plain words why: `@reason(\"…\")`",
        ),
        (
            "advice",
            "missing_advice",
            refuses,
            "say what a refused job should do instead: `@advice(\"…\")`",
        ),
    ] {
        let sentence = policy.annotation(name).unwrap_or_default();
        if needed && sentence.trim().is_empty() {
            findings.add(code, format!("the rule `{id}` has no {name}"), advice);
        }
        let length = sentence.chars().count();
        if length > SENTENCE_LENGTH_MAX || sentence.chars().any(char::is_control) {
            findings.add(
                "bad_annotation",
                format!("the {name} of rule `{id}` has {length} characters or breaks the line"),
                "keep it to one line of at most 300 characters",
            );
        }
    }
}

fn is_id(text: &str) -> bool {
    let starts = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    starts && text.len() <= ID_LENGTH_MAX && text.bytes().all(allowed)
}

/// Checks what a rule is about.
pub(crate) fn review_rule(
    place: Option<Place>,
    rule: &Rule,
    issuers: &BTreeSet<String>,
) -> Vec<Problem> {
    let mut findings = Findings {
        file: &rule.file,
        place,
        found: Vec::new(),
    };
    known_issuers(&mut findings, rule, issuers);
    if rule.effect == Effect::Permit {
        whose(&mut findings, rule, issuers);
        names_and_patterns(&mut findings, rule);
    }
    findings.found
}

fn known_issuers(findings: &mut Findings<'_>, rule: &Rule, issuers: &BTreeSet<String>) {
    for issuer in rule.pins.get(ISSUER).into_iter().flatten() {
        if !issuers.contains(issuer) {
            let advice = match nearest(issuer, issuers.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add the issuer to the configuration".to_owned(),
            };
            let message = format!(
                "the rule `{}` names the issuer `{}`, which this broker does not trust",
                rule.id,
                issuer.escape_debug()
            );
            findings.add("unknown_issuer", message, &advice);
        }
    }
}

fn whose(findings: &mut Findings<'_>, rule: &Rule, issuers: &BTreeSet<String>) {
    let id = &rule.id;
    // Names of owners are recycled and repositories change hands; ids are and do not.
    if !rule.pins.contains_key(OWNER_ID) {
        findings.add(
            "no_owner_id",
            format!("the rule `{id}` does not say whose jobs it is about"),
            "add `principal.repository.owner_id == \"…\"`, joined by `&&`",
        );
    }
    // Ids are unique within one issuer: another one can mint any number it likes.
    if issuers.len() > 1 && !rule.pins.contains_key(ISSUER) {
        findings.add(
            "no_issuer",
            format!("the rule `{id}` names no issuer, and this broker trusts several"),
            "add `principal.issuer == \"…\"`, joined by `&&`",
        );
    }
    if rule.actions == Actions::All {
        findings.add(
            "every_capability",
            format!("the rule `{id}` gives every capability there is or will be"),
            "name them: `action in [Action::\"…\"]`, or a group such as `Action::\"object-storage\"`",
        );
    }
}

fn names_and_patterns(findings: &mut Findings<'_>, rule: &Rule) {
    let id = &rule.id;
    let mut names = BTreeSet::new();
    let mut patterns = Vec::new();
    let mut understood = true;
    for condition in &rule.conditions {
        understood &= walk(&condition.expr, &mut |expr| match expr {
            Expr::GetAttr { .. } => names.extend(attribute(expr)),
            Expr::Like { expr, pattern } => {
                let anchored = !matches!(pattern.first(), None | Some(PatternElem::Wildcard));
                patterns.push((attribute(expr).unwrap_or_default(), anchored));
            }
            _ => {}
        });
    }
    if !understood {
        findings.add(
            "not_reviewable",
            format!("the rule `{id}` uses an expression that cannot be reviewed"),
            "write it with comparisons, `has`, `like`, `in` and `contains`",
        );
    }
    for (name, with) in NAMES_WITH_IDS {
        if names.contains(name) && !rule.pins.contains_key(with) {
            findings.add(
                "name_without_id",
                format!("the rule `{id}` trusts `{name}`, a name that can change hands"),
                &format!("add `{with} == \"…\"`, joined by `&&`"),
            );
        }
    }
    for (name, anchored) in patterns {
        if !anchored || !PATTERNS_ON.contains(&name.as_str()) {
            findings.add(
                "loose_pattern",
                format!("the rule `{id}` matches `{name}` by a pattern that allows too much"),
                "compare the whole value; for paths ask \
                 `context.path.within.contains(\"releases/\")`",
            );
        }
    }
}

/// Visits an expression and all its parts. False when there is a part of a kind that is not known
/// here: what cannot be seen through is not let through.
fn walk(expr: &Expr, visit: &mut dyn FnMut(&Expr)) -> bool {
    visit(expr);
    match expr {
        Expr::Literal(_) | Expr::Var(_) => true,
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => walk(expr, visit),
        Expr::BinaryOp { left, right, .. } => walk(left, visit) & walk(right, visit),
        Expr::Is { expr, in_expr, .. } => {
            walk(expr, visit) & in_expr.as_ref().is_none_or(|inner| walk(inner, visit))
        }
        Expr::IfThenElse {
            cond,
            then_expr,
            else_expr,
        } => walk(cond, visit) & walk(then_expr, visit) & walk(else_expr, visit),
        Expr::Set(items) => items.iter().all(|item| walk(item, visit)),
        Expr::Record(fields) => fields.values().all(|field| walk(field, visit)),
        _ => false,
    }
}
