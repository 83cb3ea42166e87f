//! Which rules a question needs to meet. Cedar asks every rule of a set in turn, which with ten
//! thousand rules takes 20 ms; nearly all of them are about another repository. So the rules are
//! dealt into small sets by the ids they pin and the actions they name, and only the sets that can
//! matter are asked. A property test holds sliced and unsliced answers equal.

use std::collections::HashMap;

use cedar_policy::{PolicySet, PolicySetError};
use jitney_core::principal::Job;

use crate::rule::{Actions, OWNER_ID, REPOSITORY_ID, Rule};

/// Whose jobs a set of rules is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    /// One repository's.
    Repository(String),
    /// One owner's.
    Owner(String),
    /// Not to be told from the rule's first conditions.
    Anyone,
}

/// The rules, dealt out.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    sets: HashMap<(Whose, Option<String>), PolicySet>,
}

impl Slices {
    /// Deals rules out. A rule about several repositories or actions is in several sets.
    ///
    /// # Errors
    /// When two rules have one id.
    pub(crate) fn of<'a>(
        rules: impl IntoIterator<Item = &'a Rule>,
    ) -> Result<Self, Box<PolicySetError>> {
        let mut slices = Self::default();
        for rule in rules {
            for whose in whose(rule) {
                for action in actions(rule) {
                    let key = (whose.clone(), action);
                    let set = slices.sets.entry(key).or_default();
                    set.add(rule.policy.clone())?;
                }
            }
        }
        Ok(slices)
    }

    /// All sets that can matter to this job and action.
    pub(crate) fn for_job<'a>(
        &'a self,
        job: &Job,
        action: &str,
    ) -> impl Iterator<Item = &'a PolicySet> {
        let whose = [
            Whose::Repository(job.repository.id.clone()),
            Whose::Owner(job.repository.owner_id.clone()),
            Whose::Anyone,
        ];
        let keys: Vec<_> = whose
            .into_iter()
            .flat_map(|whose| [(whose.clone(), Some(action.to_owned())), (whose, None)])
            .collect();
        keys.into_iter().filter_map(|key| self.sets.get(&key))
    }
}

fn whose(rule: &Rule) -> Vec<Whose> {
    if let Some(ids) = rule.leading.get(REPOSITORY_ID) {
        return ids.iter().cloned().map(Whose::Repository).collect();
    }
    if let Some(ids) = rule.leading.get(OWNER_ID) {
        return ids.iter().cloned().map(Whose::Owner).collect();
    }
    vec![Whose::Anyone]
}

fn actions(rule: &Rule) -> Vec<Option<String>> {
    match &rule.actions {
        Actions::All => vec![None],
        Actions::Named(names) => names.iter().cloned().map(Some).collect(),
    }
}
