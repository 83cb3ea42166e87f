//! Conditions in plain words: what was seen, and what the rule expected.

use std::collections::BTreeSet;

use cedar_policy::pst::{BinaryOp, Expr, Literal, PatternElem};
use cedar_policy::{EvalResult, Expression, eval_expression};

use crate::facts::Facts;
use crate::quote::quoted;
use crate::rule::{Condition, attribute, pin, text};

/// The most expected values that are listed.
const EXPECTED_SHOWN_MAX: usize = 4;

/// What each attribute is called in a sentence.
pub(crate) const WORDS: [(&str, &str); 37] = [
    ("principal.provider", "the CI system"),
    ("principal.issuer", "the token's issuer"),
    ("principal.repository.id", "the repository's id"),
    ("principal.repository.owner_id", "the repository owner's id"),
    ("principal.repository.path", "the repository"),
    (
        "principal.repository.visibility",
        "the repository's visibility",
    ),
    ("principal.origin", "the origin of the code"),
    ("principal.git_ref.full", "the git ref"),
    ("principal.git_ref.kind", "the kind of git ref"),
    (
        "principal.git_ref.protected",
        "whether the git ref is protected",
    ),
    ("principal.sha", "the commit"),
    ("principal.workflow.top_ref", "the workflow file"),
    ("principal.workflow.top_sha", "the workflow file's commit"),
    (
        "principal.workflow.job_ref",
        "the file in which the job is written",
    ),
    (
        "principal.workflow.job_sha",
        "the commit of the file in which the job is written",
    ),
    ("principal.environment", "the environment"),
    ("principal.event", "the event"),
    ("principal.actor.id", "the actor's id"),
    ("principal.actor.login", "the actor"),
    ("principal.run_id", "the run's id"),
    ("principal.run_attempt", "the attempt of the run"),
    ("principal.job_id", "the job's id"),
    ("principal.runner", "the runner"),
    ("resource.name", "the resource"),
    ("resource.native_id", "the resource's id in its cloud"),
    ("resource.target", "the target"),
    ("resource.cloud", "the cloud"),
    ("resource.tier", "the resource's tier"),
    ("resource.owner", "the resource's owner"),
    ("context.ttl_seconds", "the time asked for, in seconds,"),
    ("context.reason", "the reason"),
    ("context.tier", "the tier"),
    ("context.path.kind", "the kind of path"),
    ("context.path.text", "the path"),
    ("context.path.within", "the prefixes of the path"),
    (
        "context.severs",
        "whether everything stops at the end of the lease",
    ),
    (
        "context.ends_within_seconds",
        "the time until nothing works any more, in seconds,",
    ),
];

/// What keeps a rule from applying.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// An attribute has another text than the rule wants.
    Differs {
        /// What the attribute is called.
        label: String,
        /// What the job shows; absent when its token does not tell.
        seen: Option<String>,
        /// What the rule wants, one of these.
        expected: BTreeSet<String>,
    },
    /// Anything else, as a clause of a sentence.
    Other(String),
}

impl Gap {
    /// The gap as a clause: `the git ref is `refs/heads/dev`, expected `refs/heads/main``.
    pub(crate) fn clause(&self) -> String {
        match self {
            Self::Differs {
                label,
                seen: Some(seen),
                expected,
            } => {
                let (seen, expected) = shortened(seen, expected);
                format!(
                    "{label} is {}, expected {}",
                    quoted(&seen),
                    listed(&expected)
                )
            }
            Self::Differs {
                label,
                seen: None,
                expected,
            } => format!("{label} is not told, expected {}", listed(expected)),
            Self::Other(clause) => clause.clone(),
        }
    }
}

/// `a`, `b` or `c`.
pub(crate) fn listed(texts: &BTreeSet<String>) -> String {
    let mut shown: Vec<String> = texts
        .iter()
        .take(EXPECTED_SHOWN_MAX)
        .map(|text| quoted(text))
        .collect();
    if texts.len() > EXPECTED_SHOWN_MAX {
        shown.push("others".to_owned());
    }
    match shown.pop() {
        Some(last) if shown.is_empty() => last,
        Some(last) => format!("{} or {last}", shown.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// Two workflow files of one repository at one ref differ by their names alone: then only the
/// names are worth reading.
pub(crate) fn shortened(seen: &str, expected: &BTreeSet<String>) -> (String, BTreeSet<String>) {
    let whole = || (seen.to_owned(), expected.clone());
    let Some((folder, name, at)) = workflow_parts(seen) else {
        return whole();
    };
    let mut names = BTreeSet::new();
    for other in expected {
        match workflow_parts(other) {
            Some((same_folder, other_name, same_at)) if same_folder == folder && same_at == at => {
                names.insert(other_name.to_owned());
            }
            _ => return whole(),
        }
    }
    (name.to_owned(), names)
}

fn workflow_parts(workflow: &str) -> Option<(&str, &str, &str)> {
    let (file, at) = workflow.split_once('@')?;
    let (folder, name) = file.split_once("/.github/workflows/")?;
    Some((folder, name, at))
}

/// Why a condition does not hold; nothing when it does. A condition that cannot be evaluated by
/// itself (an attribute that the token does not tell) does not hold.
pub(crate) fn gap(condition: &Condition, facts: &Facts) -> Option<Gap> {
    if held(condition, facts) == Some(condition.wanted) {
        return None;
    }
    let expr = condition.expr.as_ref();
    if let Some((name, expected)) = pin(condition) {
        return Some(Gap::Differs {
            label: called(&name),
            seen: seen_text(subject_of_pin(expr), facts),
            expected,
        });
    }
    let clause = if condition.wanted {
        clause_of(expr, facts)
    } else {
        None
    };
    Some(Gap::Other(clause.unwrap_or_else(|| {
        let holds = if condition.wanted {
            "does not hold"
        } else {
            "holds"
        };
        format!("{} {holds}", quoted(&expr.to_string()))
    })))
}

/// What a condition comes to by itself; nothing when it cannot be evaluated.
pub(crate) fn held(condition: &Condition, facts: &Facts) -> Option<bool> {
    match evaluated(condition.compiled()?, facts)? {
        EvalResult::Bool(holds) => Some(holds),
        _ => None,
    }
}

fn evaluated(expression: &Expression, facts: &Facts) -> Option<EvalResult> {
    eval_expression(&facts.request, &facts.entities, expression).ok()
}

/// The side of a pin that is not the literal.
fn subject_of_pin(expr: &Expr) -> &Expr {
    match expr {
        Expr::BinaryOp { left, right, .. } if attribute(left).is_none() => right,
        Expr::BinaryOp { left, .. } => left,
        other => other,
    }
}

fn seen_text(subject: &Expr, facts: &Facts) -> Option<String> {
    let expression: Expression = subject.to_string().parse().ok()?;
    Some(match evaluated(&expression, facts)? {
        EvalResult::Bool(value) => value.to_string(),
        EvalResult::Long(value) => value.to_string(),
        EvalResult::String(value) => value,
        EvalResult::EntityUid(uid) => uid.id().unescaped().to_owned(),
        other => other.to_string(),
    })
}

fn clause_of(expr: &Expr, facts: &Facts) -> Option<String> {
    match expr {
        Expr::GetAttr { .. } => yes_or_no(&attribute(expr)?, seen_text(expr, facts)),
        Expr::HasAttr { expr, attrs } => {
            let mut name = attribute(expr)?;
            for part in attrs.iter() {
                name = format!("{name}.{part}");
            }
            Some(format!("the token does not tell {}", called(&name)))
        }
        Expr::Like { expr, pattern } => {
            let pattern: String = pattern.iter().map(pattern_text).collect();
            let seen = seen_text(expr, facts);
            Some(differs(
                &label(expr)?,
                seen,
                &format!("something like {}", quoted(&pattern)),
            ))
        }
        Expr::BinaryOp { op, left, right } => comparison(*op, left, right, facts),
        _ => None,
    }
}

fn yes_or_no(name: &str, seen: Option<String>) -> Option<String> {
    let told = seen.is_some();
    Some(match name {
        "principal.git_ref.protected" if told => "the git ref is not protected".to_owned(),
        "context.severs" => {
            "something that is handed out would go on working after the end of the lease".to_owned()
        }
        _ if told => format!("{} is `false`", called(name)),
        _ => format!("the token does not tell {}", called(name)),
    })
}

fn comparison(op: BinaryOp, left: &Expr, right: &Expr, facts: &Facts) -> Option<String> {
    let number = match right {
        Expr::Literal(Literal::Long(number)) => number.to_string(),
        _ => String::new(),
    };
    let expected = match op {
        BinaryOp::LessEq => format!("at most {number}"),
        BinaryOp::Less => format!("less than {number}"),
        BinaryOp::GreaterEq => format!("at least {number}"),
        BinaryOp::Greater => format!("more than {number}"),
        BinaryOp::NotEq => format!("anything but {}", quoted(&text(right)?)),
        BinaryOp::Eq => quoted(&text(right)?),
        BinaryOp::HasTag => {
            let property = quoted(&text(right)?);
            return Some(format!("the repository has no property {property}"));
        }
        BinaryOp::Contains if attribute(left).as_deref() == Some("context.path.within") => {
            return Some(not_beneath(&text(right)?, facts));
        }
        _ => return None,
    };
    let compares_numbers = !matches!(op, BinaryOp::Eq | BinaryOp::NotEq);
    if compares_numbers && number.is_empty() {
        return None;
    }
    Some(differs(&label(left)?, seen_text(left, facts), &expected))
}

fn not_beneath(prefix: &str, facts: &Facts) -> String {
    let path = "context.path.text"
        .parse()
        .ok()
        .and_then(|expression: Expression| evaluated(&expression, facts));
    match path {
        Some(EvalResult::String(path)) if !path.is_empty() => {
            format!(
                "the path {} is not beneath {}",
                quoted(&path),
                quoted(prefix)
            )
        }
        _ => format!("the whole resource is more than {}", quoted(prefix)),
    }
}

fn differs(label: &str, seen: Option<String>, expected: &str) -> String {
    match seen {
        Some(seen) => format!("{label} is {}, expected {expected}", quoted(&seen)),
        None => format!("{label} is not told, expected {expected}"),
    }
}

/// What an expression is called: an attribute, or a property of the repository.
fn label(expr: &Expr) -> Option<String> {
    match expr {
        Expr::BinaryOp {
            op: BinaryOp::GetTag,
            right,
            ..
        } => Some(format!(
            "the repository's property {}",
            quoted(&text(right)?)
        )),
        _ => attribute(expr).map(|name| called(&name)),
    }
}

fn called(name: &str) -> String {
    WORDS
        .iter()
        .find(|(known, _)| *known == name)
        .map_or_else(|| quoted(name), |(_, words)| (*words).to_owned())
}

fn pattern_text(element: &PatternElem) -> char {
    match element {
        PatternElem::Char(character) => *character,
        PatternElem::Wildcard => '*',
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::schema::SCHEMA;
    use cedar_policy::SchemaFragment;
    use serde_json::Value;

    /// Every attribute that the schema declares, dotted. Records are followed through their
    /// common types.
    fn declared() -> BTreeSet<String> {
        let (fragment, _) = SchemaFragment::from_cedarschema_str(SCHEMA).unwrap();
        let json = fragment.to_json_value().unwrap();
        let namespace = json.get("").unwrap();
        let mut names = BTreeSet::new();
        for (root, pointer) in [
            ("principal", "/entityTypes/Job/shape"),
            ("resource", "/entityTypes/Resource/shape"),
            ("context", "/commonTypes/Request"),
        ] {
            collect(
                root,
                namespace.pointer(pointer).unwrap(),
                namespace,
                &mut names,
            );
        }
        names
    }

    fn collect(name: &str, kind: &Value, namespace: &Value, into: &mut BTreeSet<String>) {
        let word = |key: &str| kind.get(key).and_then(Value::as_str).unwrap_or_default();
        let common = namespace.pointer(&format!("/commonTypes/{}", word("name")));
        match (kind.get("attributes"), common) {
            (Some(attributes), _) => {
                for (part, kind) in attributes.as_object().unwrap() {
                    collect(&format!("{name}.{part}"), kind, namespace, into);
                }
            }
            (None, Some(common)) => collect(name, common, namespace, into),
            (None, None) => {
                into.insert(name.to_owned());
            }
        }
    }

    #[test]
    fn every_attribute_of_the_schema_has_words() {
        let named: BTreeSet<String> = WORDS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(named, declared());
    }

    #[test]
    fn every_attribute_of_the_schema_is_in_the_readme() {
        let readme = include_str!("../README.md");
        for (name, _) in WORDS {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn only_files_of_one_repository_and_ref_are_shortened() {
        let file = |name: &str, at: &str| format!("acme/shop/.github/workflows/{name}@{at}");
        let short = |seen: &str, expected: &str| {
            let (seen, expected) = shortened(seen, &BTreeSet::from([expected.to_owned()]));
            (seen, expected.into_iter().next().unwrap())
        };
        let (a, b) = (
            file("a.yml", "refs/heads/main"),
            file("b.yml", "refs/heads/main"),
        );
        assert_eq!(short(&a, &b), ("a.yml".to_owned(), "b.yml".to_owned()));
        let elsewhere = file("b.yml", "refs/heads/dev");
        assert_eq!(short(&a, &elsewhere), (a.clone(), elsewhere));
        assert_eq!(short(&a, "x"), (a.clone(), "x".to_owned()));
    }

    #[test]
    fn long_lists_are_cut() {
        let texts = |n: usize| (0..n).map(|i| i.to_string()).collect::<BTreeSet<_>>();
        assert_eq!(listed(&texts(1)), "`0`");
        assert_eq!(listed(&texts(3)), "`0`, `1` or `2`");
        assert_eq!(listed(&texts(9)), "`0`, `1`, `2`, `3` or others");
    }
}
