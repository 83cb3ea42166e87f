//! The rule that comes nearest to a request that no rule allows: the one the job's author most
//! likely had in mind, and what keeps it from applying.

use std::collections::{BTreeSet, HashMap};

use cedar_policy::Effect;
use jitney_core::principal::Job;
use jitney_core::scope::Scope;

use crate::facts::Facts;
use crate::quote::quoted;
use crate::rule::{ISSUER, OWNER_ID, REPOSITORY_ID, REPOSITORY_PATH, Rule, WORKFLOW_REF, is_has};
use crate::words::{Gap, gap, held, listed, shortened};

/// The most rules that are compared with one refused scope: a denial must stay cheap, or asking
/// for nonsense would be a way to wear a broker out.
const COMPARED_MAX: usize = 16;
/// The most gaps that are told of one rule.
const GAPS_TOLD_MAX: usize = 6;
/// The most scopes that are told to a job which asks for something else.
const OFFERS_TOLD_MAX: usize = 4;

/// Rules that allow something, by whom they are about.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    by_repository: HashMap<String, Vec<String>>,
    by_owner: HashMap<String, Vec<String>>,
    /// By the path that a rule takes its repository to have, in lower case.
    by_path: HashMap<String, Vec<String>>,
}

impl Neighbours {
    pub(crate) fn of<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Self {
        let mut neighbours = Self::default();
        for rule in rules
            .into_iter()
            .filter(|rule| rule.effect == Effect::Permit)
        {
            let (index, ids) = match (rule.pins.get(REPOSITORY_ID), rule.pins.get(OWNER_ID)) {
                (Some(ids), _) => (&mut neighbours.by_repository, ids),
                (None, Some(ids)) => (&mut neighbours.by_owner, ids),
                (None, None) => continue,
            };
            for id in ids {
                index.entry(id.clone()).or_default().push(rule.id.clone());
            }
            for path in paths_of(rule) {
                let rules = neighbours.by_path.entry(path).or_default();
                rules.push(rule.id.clone());
            }
        }
        neighbours
    }

    /// The rules about this job's repository, or about all repositories of its owner.
    fn about(&self, job: &Job) -> impl Iterator<Item = &String> {
        let repository = self.by_repository.get(&job.repository.id);
        let owner = self.by_owner.get(&job.repository.owner_id);
        repository.into_iter().chain(owner).flatten()
    }

    /// The rules that take the job's path to belong to another id.
    pub(crate) fn mistaken<'a>(
        &'a self,
        job: &Job,
        rule: impl Fn(&str) -> Option<&'a Rule>,
    ) -> Vec<&'a Rule> {
        let path = job.repository.path.to_lowercase();
        let named = self.by_path.get(&path).into_iter().flatten();
        named
            .filter_map(|id| rule(id))
            .filter(|rule| {
                !rule.admits(REPOSITORY_ID, &job.repository.id)
                    || !rule.admits(OWNER_ID, &job.repository.owner_id)
            })
            .collect()
    }
}

/// The paths that a rule gives to its repository: by name, or as the home of its workflow.
fn paths_of(rule: &Rule) -> BTreeSet<String> {
    let named = rule.pins.get(REPOSITORY_PATH).into_iter().flatten();
    let workflows = rule.pins.get(WORKFLOW_REF).into_iter().flatten();
    let homes = workflows.filter_map(|file| file.split_once("/.github/").map(|(home, _)| home));
    named
        .map(String::as_str)
        .chain(homes)
        .map(str::to_lowercase)
        .collect()
}

/// Says to a job why no rule allows a scope, and what would be.
pub(crate) fn why_not<'a>(
    neighbours: &'a Neighbours,
    job: &Job,
    scope: &Scope,
    facts: &Facts,
    rule: impl Fn(&str) -> Option<&'a Rule>,
) -> String {
    let about: Vec<&Rule> = neighbours
        .about(job)
        .filter_map(|id| rule(id))
        .filter(|rule| {
            rule.admits(ISSUER, &job.issuer) && rule.admits(OWNER_ID, &job.repository.owner_id)
        })
        .collect();
    let nearest = about
        .iter()
        .filter(|rule| heads_at(rule, scope))
        .take(COMPARED_MAX)
        .map(|rule| (gaps(rule, facts), *rule))
        .min_by_key(|(gaps, _)| gaps.len());
    match nearest {
        Some((gaps, rule)) => compared(scope, &gaps, rule),
        None if about.is_empty() => format!(
            "no rule is about jobs of this repository (id {}, owner id {}), so `{scope}` is not \
             granted; the operator of this broker can add one",
            quoted(&job.repository.id),
            quoted(&job.repository.owner_id)
        ),
        None => format!(
            "no rule lets this repository's jobs request `{scope}`; its rules are about {}",
            offers(&about)
        ),
    }
}

fn heads_at(rule: &Rule, scope: &Scope) -> bool {
    let resource = rule.resource.as_deref();
    rule.actions.has(&scope.capability.to_string())
        && resource.is_none_or(|name| name == scope.resource.as_str())
}

/// What keeps a rule from applying. Where the token does not tell a thing, that it is missing is
/// said once and what would follow from it is left out.
fn gaps(rule: &Rule, facts: &Facts) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut untold = false;
    for condition in &rule.conditions {
        if untold && held(condition, facts).is_none() {
            continue;
        }
        if let Some(gap) = gap(condition, facts) {
            untold |= is_has(&condition.expr);
            gaps.push(gap);
        }
    }
    gaps
}

fn compared(scope: &Scope, gaps: &[Gap], rule: &Rule) -> String {
    let text = match gaps {
        [
            Gap::Differs {
                label,
                seen: Some(seen),
                expected,
            },
        ] => {
            let (seen, expected) = shortened(seen, expected);
            format!(
                "{label} {} may not request `{scope}`; {} may",
                quoted(&seen),
                listed(&expected)
            )
        }
        _ => {
            let clauses: Vec<String> = gaps.iter().take(GAPS_TOLD_MAX).map(Gap::clause).collect();
            format!("`{scope}` is not granted: {}", clauses.join("; "))
        }
    };
    rule.signed(&text)
}

fn offers(rules: &[&Rule]) -> String {
    let mut offers = BTreeSet::new();
    for rule in rules {
        let resource = rule.resource.as_deref().unwrap_or("…");
        offers.extend(
            rule.actions
                .names()
                .map(|name| format!("{name}@{resource}")),
        );
    }
    let shown: BTreeSet<String> = offers.into_iter().take(OFFERS_TOLD_MAX).collect();
    shown
        .iter()
        .map(|offer| format!("`{offer}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
