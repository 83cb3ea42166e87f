//! What only a real tenant can tell: every open question, and what a rehearsal finds of those that
//! it can answer. The README has the same table, and a test holds it to this one.

mod conditions;
mod removal;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jitney_core::catalogue::Wanted;
use jitney_core::credential::Shown;
use jitney_core::fault::Fault;
use jitney_core::lease;
use jitney_core::question::{By, Finding, Inquire, Inquiry, Moment, Question};

use crate::adapter::AzureAdapter;
use crate::arm::NoAnswer;
use crate::config::Mode;
use removal::Removing;

pub(crate) const PIM_FLOOR: &str = "pim-floor";
pub(crate) const PIM_DELETE: &str = "pim-delete";
pub(crate) const PIM_NARROWS: &str = "pim-narrows";
pub(crate) const AS_WRITTEN: &str = "condition-as-written";
pub(crate) const MFA_RULE: &str = "mfa-rule";
pub(crate) const STILL_EXISTS: &str = "removed-still-exists";

/// A rehearsal that asks PIM.
const IN_PIM: By = By::Trial("with `mode = \"pim\"`");

/// Every open question.
pub(crate) const QUESTIONS: &[Question] = &[
    Question {
        id: PIM_FLOOR,
        asks: "Does PIM refuse to remove a *service principal's* time-bound assignment in its \
            first five minutes, as it does a person's?",
        until_then: "a removal is asked for at once, and again when the five minutes are over",
        by: IN_PIM,
    },
    Question {
        id: "removal-in-force",
        asks: "How soon is a removal in force at Storage? (At Resource Manager nothing can be \
            asked with a leased token.)",
        until_then: "ten minutes (`settle_seconds`), Microsoft's own bound",
        by: By::Times,
    },
    Question {
        id: PIM_DELETE,
        asks: "May the role assignment behind PIM's be deleted in those five minutes?",
        until_then: "it is not tried while PIM lists it; a rehearsal tries it once, after PIM \
            refused to remove it",
        by: IN_PIM,
    },
    Question {
        id: PIM_NARROWS,
        asks: "Does PIM assign on a blob container, and take a condition with a role that is not \
            built in? Microsoft names three built-in roles",
        until_then: "both are asked for. When PIM refuses there is no lease; when it drops the \
            condition the grant is taken back before anything is handed out",
        by: By::Trial(
            "with `mode = \"pim\"` of `object-storage:write` beneath a path; or its refusal, \
             which names this question",
        ),
    },
    Question {
        id: AS_WRITTEN,
        asks: "Does Azure show a condition as it was written?",
        until_then: "white space may differ. Any other difference is taken for another condition, \
            and the grant is taken back",
        by: By::Trial("beneath a path; or its refusal, which names this question"),
    },
    Question {
        id: "granter-condition",
        asks: "Does a condition on the granter's own role bound PIM's requests?",
        until_then: "it is reckoned not to: the granter can give any role where it has its own",
        by: By::Elsewhere(
            "it would have to ask for what the condition forbids, and would be given it if the \
             answer is no. Ask PIM's `validate` by hand, as the granter",
        ),
    },
    Question {
        id: MFA_RULE,
        asks: "Does `MfaRule` hold an application up?",
        until_then: "`doctor` calls it wrong, and a refusal says what to change",
        by: By::Trial(
            "with `mode = \"pim\"` of a role whose settings demand it; or its refusal, which \
             names this question",
        ),
    },
    Question {
        id: "late-calls",
        asks: "How late can a call land of which nobody heard?",
        until_then: "five minutes after our deadline; absence counts only after that, and every \
            later look removes what it finds",
        by: By::Elsewhere(
            "a call would have to be lost, and however long nothing came of it, it could still \
             come. Ask Microsoft",
        ),
    },
    Question {
        id: STILL_EXISTS,
        asks: "For how long is a removed assignment still told to exist?",
        until_then: "five minutes, on a slot that rests for longer anyway",
        by: By::Trial(
            "with `mode = \"pim\"`, of the lists alone: only a request that gives is answered \
             `RoleAssignmentExists`, and none is made for a lease that ends",
        ),
    },
    Question {
        id: "sovereign-clouds",
        asks: "Do the clouds apart from the public one answer as it does? Their names are from \
            Microsoft's documents",
        until_then: "they are asked in the same way",
        by: By::Elsewhere("each of those clouds has to be rehearsed in by itself"),
    },
    Question {
        id: "metadata-service",
        asks: "Does the metadata service of a virtual machine answer the broker? Its address is \
            fixed, so only App Service's was tried on loopback",
        until_then: "`managed-identity` asks where Microsoft's documents say",
        by: By::Elsewhere("`jitney doctor`, run on that machine, logs in by it"),
    },
    Question {
        id: "registry-token",
        asks: "Does a registry's token outlive its role?",
        until_then: "three hours more of rest, and `infra:apply` lapses",
        by: By::Elsewhere(
            "it has no registry to push to. Push by hand, with a login from before the role was \
             removed",
        ),
    },
    Question {
        id: "pim-deny-assignment",
        asks: "May a per-principal deny assignment cut a lease in PIM's first five minutes? \
            Microsoft's tools say that it stops no reads and no data",
        until_then: "only with `fast_stop`; whatever becomes of it, the role is removed as \
            without, and nothing earlier is promised",
        by: By::Elsewhere(
            "one alone does not tell. Compare the times of one with `fast_stop` and of one \
             without",
        ),
    },
];

impl Inquire for AzureAdapter {
    fn questions(&self) -> &'static [Question] {
        QUESTIONS
    }

    fn inquire(self: Arc<Self>, _: &lease::Terms, _: &[Wanted]) -> Box<dyn Inquiry> {
        Box::new(Asking {
            adapter: self,
            found: BTreeMap::new(),
            removing: Removing::default(),
        })
    }
}

/// The questions of one rehearsal.
struct Asking {
    adapter: Arc<AzureAdapter>,
    found: BTreeMap<&'static str, Finding>,
    removing: Removing,
}

#[async_trait]
impl Inquiry for Asking {
    async fn look(&mut self, moment: Moment<'_>, _: &Shown) {
        match moment {
            Moment::Active(lease) => {
                let Ok(terms) = self.adapter.terms(lease.terms()) else {
                    return;
                };
                self.found.extend(self.adapter.conditions(&terms).await);
                if terms.mode == Mode::Pim {
                    self.found.insert(MFA_RULE, self.adapter.mfa(&terms).await);
                    self.removing.notice(&self.adapter, &terms).await;
                }
            }
            Moment::Ending(lease) => {
                let Ok(terms) = self.adapter.terms(lease.terms()) else {
                    return;
                };
                if terms.mode == Mode::Pim {
                    self.removing.look(&self.adapter, lease, &terms).await;
                }
            }
            Moment::Over(_) => {}
        }
    }

    /// Nothing was begun: what was tried took away what the lease's end takes away.
    async fn close(&mut self) {}

    fn finding(&self, id: &str) -> Option<Finding> {
        self.found
            .get(id)
            .cloned()
            .or_else(|| self.removing.finding(id))
    }
}

/// A refusal to give, with the open question that it answers: a rehearsal that is refused answers
/// no other.
pub(crate) fn told_by(error: &NoAnswer, fault: Fault) -> Fault {
    let message = match error {
        NoAnswer::Refused(refusal) => refusal.message.as_str(),
        NoAnswer::NeverSent(_) | NoAnswer::NoCredentials(_) | NoAnswer::Lost(_) => return fault,
    };
    let answered = if error.is("InvalidCondition") {
        format!("`{PIM_NARROWS}`: no")
    } else if message.contains("MfaRule") {
        format!("`{MFA_RULE}`: yes")
    } else {
        return fault;
    };
    Fault {
        logged: format!("{} ({answered})", fault.logged),
        ..fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitney_core::question::table;

    #[test]
    fn the_readme_has_every_question() {
        let readme = include_str!("../README.md");
        assert!(readme.contains(&table(QUESTIONS)), "{}", table(QUESTIONS));
    }
}
