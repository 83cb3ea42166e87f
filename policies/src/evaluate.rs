//! Answering a question: every scope is asked, and the strictest answer stands.

use std::collections::BTreeSet;

use cedar_policy::{Authorizer, Effect, PolicyId, PolicySet};
use jitney_core::catalogue::Wanted;
use jitney_core::decision::{Decide, Decision, PolicyDigest, Question, Verdict};

use crate::facts::{Facts, facts};
use crate::load::CedarPolicies;

/// What the rules say of one scope.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The rules that allow it.
    pub(crate) permits: BTreeSet<String>,
    /// The rules that refuse it.
    pub(crate) forbids: BTreeSet<String>,
    /// What went wrong, each with the rule it went wrong in, if it was in a rule.
    pub(crate) errors: BTreeSet<(String, String)>,
}

impl Answer {
    /// Cedar passes over a rule that fails, so a `forbid` that fails would forbid nothing. Here a
    /// single error refuses.
    pub(crate) fn allows(&self) -> bool {
        self.errors.is_empty() && self.forbids.is_empty() && !self.permits.is_empty()
    }

    /// Whether no rule had anything to say.
    pub(crate) fn is_silence(&self) -> bool {
        self.errors.is_empty() && self.forbids.is_empty() && self.permits.is_empty()
    }

    pub(crate) fn failed(message: String) -> Self {
        Self {
            errors: BTreeSet::from([(String::new(), message)]),
            ..Self::default()
        }
    }
}

/// One scope with what the rules say of it.
pub(crate) struct Asked<'a> {
    pub(crate) wanted: &'a Wanted,
    pub(crate) answer: Answer,
    /// Absent when the question could not be put.
    pub(crate) facts: Option<Facts>,
}

impl Decide for CedarPolicies {
    fn decide(&self, question: &Question<'_>) -> Decision {
        let asked: Vec<Asked<'_>> = question
            .wanted
            .iter()
            .map(|wanted| self.ask(question, wanted))
            .collect();
        // Asking for nothing is not asking for something harmless.
        let allowed = !asked.is_empty() && asked.iter().all(|one| one.answer.allows());
        let told = self.tell(question, &asked, allowed);
        Decision {
            verdict: if allowed {
                Verdict::Allow
            } else {
                Verdict::Deny
            },
            rules: decisive(&asked, allowed).into_iter().collect(),
            reasons: told.reasons,
            notes: told.notes,
            policy: self.digest.clone(),
        }
    }

    fn digest(&self) -> &PolicyDigest {
        &self.digest
    }
}

/// The rules that made the verdict. In a denial those that allowed a part of it made nothing.
fn decisive(asked: &[Asked<'_>], allowed: bool) -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    for Asked { answer, .. } in asked {
        if allowed {
            rules.extend(answer.permits.iter().cloned());
        } else {
            rules.extend(answer.forbids.iter().cloned());
            let failed = answer.errors.iter().map(|(rule, _)| rule);
            rules.extend(failed.filter(|id| !id.is_empty()).cloned());
        }
    }
    rules
}

impl CedarPolicies {
    fn ask<'a>(&self, question: &Question<'_>, wanted: &'a Wanted) -> Asked<'a> {
        match self.put(question, wanted) {
            Ok(facts) => Asked {
                wanted,
                answer: self.answer(question, wanted, &facts),
                facts: Some(facts),
            },
            Err(message) => Asked {
                wanted,
                answer: Answer::failed(message),
                facts: None,
            },
        }
    }

    fn put(&self, question: &Question<'_>, wanted: &Wanted) -> Result<Facts, String> {
        let target = &wanted.resource.target;
        let cloud = self
            .clouds
            .get(target)
            .ok_or_else(|| format!("the cloud of target `{target}` is not known"))?;
        facts(question, wanted, cloud, &self.schema)
    }

    /// Asks every set of rules that can matter and joins their answers.
    pub(crate) fn answer(&self, question: &Question<'_>, wanted: &Wanted, facts: &Facts) -> Answer {
        let action = wanted.scope.capability.to_string();
        let job = &question.principal.job;
        self.answer_of(self.slices.for_job(job, &action), facts)
    }

    fn answer_of<'a>(
        &self,
        sets: impl IntoIterator<Item = &'a PolicySet>,
        facts: &Facts,
    ) -> Answer {
        let mut answer = Answer::default();
        for set in sets {
            let response = Authorizer::new().is_authorized(&facts.request, set, &facts.entities);
            for id in response.diagnostics().reason() {
                self.place(id, &mut answer);
            }
            for error in response.diagnostics().errors() {
                let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
                let rule = error.policy_id().to_string();
                answer.errors.insert((rule, error.inner().to_string()));
            }
        }
        answer
    }

    fn place(&self, id: &PolicyId, answer: &mut Answer) {
        let id = id.to_string();
        match self.rules.get(&id).map(|rule| rule.effect) {
            Some(Effect::Permit) => answer.permits.insert(id),
            Some(Effect::Forbid) => answer.forbids.insert(id),
            // A rule that is not ours cannot allow.
            None => answer
                .errors
                .insert((id, "the rule is not known".to_owned())),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::world::{Asking, file, load};
    use proptest::prelude::*;
    use serde_json::json;

    /// Conditions of a generated rule, in any order. The last one fails: no number times that
    /// fits.
    const FAILS: &str = "context.ttl_seconds * 9223372036854775807 > 0";

    fn condition() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => Just("principal.repository.id == \"2002\"".to_owned()),
            2 => Just("[\"2002\", \"2003\"].contains(principal.repository.id)".to_owned()),
            2 => Just("\"2003\" == principal.repository.id".to_owned()),
            2 => Just("principal.event == \"push\"".to_owned()),
            2 => Just("context.ttl_seconds <= 600".to_owned()),
            1 => Just("!(principal.repository.id == \"2002\")".to_owned()),
            1 => Just(FAILS.to_owned()),
        ]
    }

    fn action() -> impl Strategy<Value = &'static str> {
        prop_oneof![
            Just("action == Action::\"object-storage:write\""),
            Just("action in Action::\"object-storage\""),
            Just("action in [Action::\"object-storage:read\", Action::\"infra\"]"),
        ]
    }

    fn rule() -> impl Strategy<Value = String> {
        let conditions = prop::collection::vec(condition(), 0..4);
        let owner = prop_oneof![Just("1001"), Just("1002")];
        (any::<bool>(), action(), conditions, owner, any::<bool>()).prop_map(
            |(permit, action, mut conditions, owner, first)| {
                let owner = format!("principal.repository.owner_id == \"{owner}\"");
                conditions.insert(if first { 0 } else { conditions.len() }, owner);
                let effect = if permit { "permit" } else { "forbid" };
                let conditions = conditions.join(" && ");
                format!("{effect} (principal, {action}, resource) when {{ {conditions} }};\n")
            },
        )
    }

    fn policy_text(rules: &[String]) -> String {
        let mut text = String::new();
        for (number, rule) in rules.iter().enumerate() {
            text.push_str(&format!(
                "@id(\"r{number}\") @reason(\"generated\") @advice(\"none\")\n{rule}"
            ));
        }
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]
        #[test]
        fn asking_the_slices_is_asking_everything(
            rules in prop::collection::vec(rule(), 1..12),
            repository in prop_oneof![Just("2002"), Just("2003"), Just("2004")],
            owner in prop_oneof![Just("1001"), Just("1002")],
            capability in prop_oneof![
                Just("object-storage:write"), Just("object-storage:read"), Just("object-storage:delete")
            ],
            ttl in prop_oneof![Just(300_u64), Just(900), Just(5000)],
        ) {
            let text = policy_text(&rules);
            let policies = load(vec![file("generated.cedar", &text)]).unwrap();
            let asking = Asking {
                ttl: std::time::Duration::from_secs(ttl),
                scopes: vec![format!("{capability}@artifacts-prod/releases/")],
                ..Asking::change(json!({ "repository": { "id": repository, "owner_id": owner } }))
            };
            let (sliced, whole) = asking.with_question(|question| {
                let wanted = question.wanted.first().unwrap();
                let facts = policies.put(question, wanted).unwrap();
                let all = policies.rules.values().map(|rule| rule.policy.clone());
                let whole = PolicySet::from_policies(all).unwrap();
                (policies.answer(question, wanted, &facts), policies.answer_of([&whole], &facts))
            });
            prop_assert_eq!(sliced.allows(), whole.allows());
            prop_assert_eq!(&sliced.errors, &whole.errors);
            prop_assert_eq!(&sliced.forbids, &whole.forbids);
            // Where something refuses, Cedar does not say what would have allowed.
            if whole.allows() {
                prop_assert_eq!(&sliced.permits, &whole.permits);
            }
        }
    }
}
