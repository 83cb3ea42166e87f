//! Why: for the job, what was seen and what was expected; for the operator, everything.
//!
//! The job reads of rules about its own repository and of guardrails, which everybody can read.
//! Who else may do what is none of its business.

use jitney_core::decision::Question;
use jitney_core::principal::Job;

use crate::evaluate::Asked;
use crate::load::CedarPolicies;
use crate::nearest::why_not;
use crate::quote::quoted;
use crate::rule::Rule;

/// The texts of a decision.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// For the job.
    pub(crate) reasons: Vec<String>,
    /// For the operator's log. Each begins with a stable word.
    pub(crate) notes: Vec<String>,
}

impl Told {
    fn both(&mut self, code: &str, text: String) {
        self.notes.push(format!("{code}: {text}"));
        self.reasons.push(text);
    }
}

impl CedarPolicies {
    pub(crate) fn tell(&self, question: &Question<'_>, asked: &[Asked<'_>], allowed: bool) -> Told {
        let mut told = Told::default();
        told.notes.push(format!(
            "asked: {} by {}",
            quoted(&question.principal.job.describe()),
            quoted(&question.principal.job.issuer)
        ));
        if asked.is_empty() {
            let nothing = "the request asks for nothing; name at least one scope";
            told.both("no_scopes", nothing.to_owned());
        }
        for one in asked {
            if one.answer.allows() {
                self.tell_allowed(one, allowed, &mut told);
            } else {
                self.tell_refused(question, one, &mut told);
            }
        }
        if !allowed {
            self.tell_mistaken(&question.principal.job, &mut told);
        }
        told
    }

    fn tell_allowed(&self, one: &Asked<'_>, all_allowed: bool, told: &mut Told) {
        for rule in self.rules_of(&one.answer.permits) {
            let scope = &one.wanted.scope;
            let text = rule.signed(&format!("`{scope}` is allowed: {}", rule.reason));
            // Of a refused request the job needs to hear what to change and no more.
            if all_allowed {
                told.both("allowed", text);
            } else {
                told.notes.push(format!("allowed: {text}"));
            }
        }
    }

    fn tell_refused(&self, question: &Question<'_>, one: &Asked<'_>, told: &mut Told) {
        let scope = &one.wanted.scope;
        for (rule, message) in &one.answer.errors {
            let message = quoted(message);
            told.notes.push(if rule.is_empty() {
                format!("policy_error: `{scope}` could not be asked: {message}")
            } else {
                let rule = quoted(rule);
                format!("policy_error: rule {rule} failed on `{scope}`: {message}")
            });
        }
        if !one.answer.errors.is_empty() {
            told.reasons.push(format!(
                "`{scope}` is refused because this broker's policy has an error (policy_error); \
                 its operator finds it in the log"
            ));
        }
        for rule in self.rules_of(&one.answer.forbids) {
            let advice = rule.advice.as_deref().unwrap_or_default();
            let text = format!("`{scope}` is refused: {}; {advice}", rule.reason);
            told.both("forbidden", rule.signed(&text));
        }
        if let (true, Some(facts)) = (one.answer.is_silence(), &one.facts) {
            let job = &question.principal.job;
            let why = why_not(&self.neighbours, job, scope, facts, |id| self.rules.get(id));
            told.both("no_rule", why);
        }
    }

    /// A path that the rules know, with an id that they do not: the repository was made again,
    /// changed hands, or never was the one that is meant. The operator should look; the job is
    /// told nothing, for the rule is about another repository.
    fn tell_mistaken(&self, job: &Job, told: &mut Told) {
        for rule in self.neighbours.mistaken(job, |id| self.rules.get(id)) {
            let text = format!(
                "id_mismatch: a job of {} has repository id {} and owner id {}, and the rule \
                 means another repository of that name",
                quoted(&job.repository.path),
                quoted(&job.repository.id),
                quoted(&job.repository.owner_id),
            );
            told.notes.push(rule.signed(&text));
        }
    }

    fn rules_of<'a>(
        &'a self,
        ids: impl IntoIterator<Item = &'a String>,
    ) -> impl Iterator<Item = &'a Rule> {
        ids.into_iter().filter_map(|id| self.rules.get(id))
    }
}
