//! Whether a condition holds for what is being asked.

use super::{Attribute, Clause, Comparison, How, Operator, Quantifier, Text};
use crate::azure::roles::matches_pattern;

/// What somebody wants to do, as conditions see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked<'a> {
    /// The action, as `Microsoft.Storage/…/blobs/read`.
    pub(crate) action: &'a str,
    /// What kind of that action, as `Blob.List`.
    pub(crate) sub_operation: Option<&'a str>,
    /// What is known; an attribute that is not here is absent.
    pub(crate) attributes: Vec<(Attribute, String)>,
}

pub(super) fn holds(clause: &Clause, asked: &Asked<'_>) -> bool {
    match clause {
        Clause::Any(clauses) => clauses.iter().any(|clause| holds(clause, asked)),
        Clause::All(clauses) => clauses.iter().all(|clause| holds(clause, asked)),
        Clause::Not(clause) => !holds(clause, asked),
        Clause::ActionMatches(pattern) => matches_pattern(pattern, asked.action),
        Clause::SubOperationMatches(name) => asked.sub_operation == Some(name),
        Clause::Exists(attribute) => !values(asked, *attribute).is_empty(),
        Clause::Compare(comparison) => compares(comparison, asked),
    }
}

fn values<'a>(asked: &'a Asked<'_>, attribute: Attribute) -> Vec<&'a str> {
    asked
        .attributes
        .iter()
        .filter(|(known, _)| *known == attribute)
        .map(|(_, value)| value.as_str())
        .collect()
}

/// An absent attribute compares as false, whatever the operator: absent is closed.
fn compares(comparison: &Comparison, asked: &Asked<'_>) -> bool {
    let seen = values(asked, comparison.attribute);
    if seen.is_empty() {
        return false;
    }
    quantified(comparison.attribute_quantifier, seen.into_iter(), |seen| {
        quantified(
            comparison.value_quantifier,
            comparison.values.iter(),
            |value| matches(comparison.operator, seen, value) != comparison.operator.negated,
        )
    })
}

fn quantified<T>(
    quantifier: Quantifier,
    mut things: impl Iterator<Item = T>,
    mut holds: impl FnMut(T) -> bool,
) -> bool {
    match quantifier {
        Quantifier::Any => things.any(&mut holds),
        Quantifier::All => things.all(&mut holds),
    }
}

fn matches(operator: Operator, seen: &str, value: &Text) -> bool {
    let fold = |char: char| -> char {
        if operator.ignores_case {
            char.to_ascii_lowercase()
        } else {
            char
        }
    };
    let seen_folded: Vec<char> = seen.chars().map(fold).collect();
    let wanted: Vec<(char, bool)> = value
        .0
        .iter()
        .map(|(char, raw)| (fold(*char), *raw))
        .collect();
    let plain: Vec<char> = wanted.iter().map(|(char, _)| *char).collect();
    match operator.how {
        How::Equals => seen_folded == plain,
        How::StartsWith => seen_folded.starts_with(&plain),
        How::Guid => seen.eq_ignore_ascii_case(&value.plain()),
        How::Like => is_like(&seen_folded, &wanted),
    }
}

/// `*` stands for any characters and `?` for one, unless they were escaped.
fn is_like(seen: &[char], pattern: &[(char, bool)]) -> bool {
    match pattern.split_first() {
        None => seen.is_empty(),
        Some((('*', false), rest)) => {
            (0..=seen.len()).any(|skip| seen.get(skip..).is_some_and(|seen| is_like(seen, rest)))
        }
        Some(((char, escaped), rest)) => seen.split_first().is_some_and(|(first, seen)| {
            (first == char || (*char == '?' && !escaped)) && is_like(seen, rest)
        }),
    }
}
