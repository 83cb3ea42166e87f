//! Why: for the job, what was seen and what was expected; for the operator, everything.
//!
//! The job reads of rules about its own repository and of guardrails, which everybody can read.
//! Who else may do what is none of its business.

use jitney_core::decision::Question;

use crate::evaluate::Asked;
use crate::load::CedarPolicies;
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
        told
    }

    fn tell_allowed(&self, one: &Asked<'_>, all_allowed: bool, told: &mut Told) {
        for rule in self.rules_of(&one.answer.permits) {
            let scope = &one.wanted.scope;
            let text = format!("`{scope}` is allowed: {}", signed(&rule.reason, rule));
            // Of a refused request the job needs to hear what to change and no more.
            if all_allowed {
                told.both("allowed", text);
            } else {
                told.notes.push(format!("allowed: {text}"));
            }
        }
    }

    fn tell_refused(&self, _question: &Question<'_>, one: &Asked<'_>, told: &mut Told) {
        let scope = &one.wanted.scope;
        for (rule, message) in &one.answer.errors {
            let (rule, message) = (quoted(rule), quoted(message));
            told.notes.push(format!(
                "policy_error: rule {rule} failed on `{scope}`: {message}"
            ));
        }
        if !one.answer.errors.is_empty() {
            told.reasons.push(format!(
                "`{scope}` is refused because this broker's policy has an error (policy_error); \
                 its operator finds it in the log"
            ));
        }
        for rule in self.rules_of(&one.answer.forbids) {
            let advice = rule.advice.as_deref().unwrap_or_default();
            let text = signed(&format!("{}; {advice}", rule.reason), rule);
            told.both("forbidden", format!("`{scope}` is refused: {text}"));
        }
        if one.answer.errors.is_empty() && one.answer.forbids.is_empty() {
            told.both("no_rule", format!("no rule allows `{scope}`"));
        }
    }

    fn rules_of<'a>(
        &'a self,
        ids: impl IntoIterator<Item = &'a String>,
    ) -> impl Iterator<Item = &'a Rule> {
        ids.into_iter().filter_map(|id| self.rules.get(id))
    }
}

/// A text with the rule it comes from.
fn signed(text: &str, rule: &Rule) -> String {
    format!("{text} ({}, `{}`)", rule.file, rule.id)
}
