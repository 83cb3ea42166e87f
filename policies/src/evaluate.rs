//! Answering a question: every scope is asked, and the strictest answer stands.

use std::collections::BTreeSet;

use cedar_policy::{Authorizer, Effect, PolicyId};
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
        let mut answer = Answer::default();
        for set in self.slices.for_job(&question.principal.job, &action) {
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
