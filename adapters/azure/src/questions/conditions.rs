//! What is seen of a lease's roles while they stand: under which condition Azure shows them, and
//! what PIM demanded before it gave them. Only reads.

use std::collections::BTreeSet;

use jitney_core::question::{Answer, Finding};

use super::{AS_WRITTEN, PIM_NARROWS};
use crate::adapter::AzureAdapter;
use crate::arm::NoAnswer;
use crate::classify::described;
use crate::config::Mode;
use crate::examine::{demands_mfa, rules};
use crate::giving::at;
use crate::resources::{RBAC_VERSION, Resource};
use crate::role::Definition;
use crate::standing::{Denials, Look, Seen};
use crate::terms::{Grant, Terms};

impl AzureAdapter {
    /// What there is on a lease's slot.
    pub(super) async fn standing(&self, terms: &Terms) -> Result<Seen, NoAnswer> {
        let look = Look {
            arm: &self.clients.reading,
            installation: &self.planner.installation,
            subscription: self.config().subscription,
            mode: terms.mode,
            denials: Denials::Skipped,
        };
        let scopes = terms.grants.iter().map(|grant| grant.scope.clone());
        look.at(terms.object_id, &scopes.collect::<BTreeSet<_>>())
            .await
    }

    /// How the conditions of a lease stand.
    pub(super) async fn conditions(&self, terms: &Terms) -> Vec<(&'static str, Finding)> {
        let narrowed = terms.grants.iter().find(|grant| grant.condition.is_some());
        let Some(grant) = narrowed else {
            return Vec::new();
        };
        let seen = match self.standing(terms).await {
            Ok(seen) => seen,
            Err(error) => {
                let told = Finding::unanswered(described(&error));
                return vec![(AS_WRITTEN, told)];
            }
        };
        let its =
            |it: &&crate::standing::Standing| (it.role, &it.scope) == (grant.role, &grant.scope);
        let shown = seen.standing.iter().find(its);
        let shown = shown.and_then(|it| it.condition.as_deref());
        let mut found = vec![(AS_WRITTEN, as_written(grant, shown))];
        if terms.mode == Mode::Pim && shown.is_some() {
            found.push((PIM_NARROWS, self.narrows(grant).await));
        }
        found
    }

    /// The lease is active, so PIM assigned it; and it was looked that its condition stands.
    async fn narrows(&self, grant: &Grant) -> Finding {
        if grant.scope.container().is_none() {
            return Finding::unanswered("the lease is not on a container");
        }
        let path = grant.role_id();
        let role = self.clients.looking.get(at(&path, RBAC_VERSION)).await;
        let role: Definition = match role {
            Ok(answer) => {
                let found: Resource<Definition> = answer.body;
                found.properties
            }
            Err(error) => return Finding::unanswered(described(&error)),
        };
        let seen = format!(
            "PIM lists the role {} ({}) on a container, under the condition that was asked for",
            grant.role, role.kind
        );
        if role.kind == "CustomRole" {
            Finding::of(Answer::Yes, seen)
        } else {
            let why = "the role is not one of your own: rehearse `object-storage:write`";
            Finding {
                seen,
                ..Finding::unanswered(why)
            }
        }
    }

    /// Whether PIM gave what its settings say that no application is given.
    pub(super) async fn mfa(&self, terms: &Terms) -> Finding {
        for grant in &terms.grants {
            let rules = rules(&self.clients.looking, &grant.scope, grant.role).await;
            match rules {
                Err(error) => return Finding::unanswered(described(&error)),
                Ok(rules) if rules.iter().any(demands_mfa) => {
                    let seen = "PIM's settings of the role demand `MultiFactorAuthentication`, \
                                and PIM assigned it to an application all the same";
                    let set = "nothing: what `doctor` calls wrong here is not";
                    return Finding::of(Answer::No, seen).set(set);
                }
                Ok(_) => {}
            }
        }
        Finding::unanswered(
            "PIM's settings of the role do not demand it here, so nothing was to be held up",
        )
    }
}

/// Whether what is shown is what was written.
fn as_written(grant: &Grant, shown: Option<&str>) -> Finding {
    let written = grant.condition.as_deref().unwrap_or_default();
    match shown {
        None => Finding::unanswered("Azure does not list the role yet"),
        Some(shown) if shown == written => {
            let seen = format!("all {} characters", written.chars().count());
            Finding::of(Answer::Yes, seen)
        }
        // Any other difference would have ended the lease before it began.
        Some(shown) => {
            let count = |text: &str| text.chars().count();
            let seen = format!(
                "white space alone differs: {} characters were written, {} are shown",
                count(written),
                count(shown)
            );
            Finding::of(Answer::No, seen)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::Scope;
    use crate::terms::Purpose;
    use uuid::Uuid;

    #[test]
    fn every_byte_of_a_condition_counts() {
        let grant = Grant {
            role: Uuid::nil(),
            scope: Scope::subscription(Uuid::nil()),
            purpose: Purpose::Role,
            condition: Some("(a OR b)".to_owned()),
        };
        for (shown, answer) in [
            (Some("(a OR b)"), "yes"),
            (Some("(a OR  b)"), "no"),
            (Some("(a OR b)\n"), "no"),
            (None, "unanswered"),
        ] {
            let found = as_written(&grant, shown);
            assert_eq!(found.answer.as_str(), answer, "{shown:?}");
        }
    }
}
