//! Entitlements of Privileged Access Manager, as they are read: what each gives, to whom, for how
//! long and by whose leave. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::whole;
use crate::names::{AccountEmail, EntitlementName, PolicyName, ProjectId};
use crate::terms::Grant;

/// A role on the entitlement's project, as an entitlement gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    pub(crate) role: String,
    /// The condition it is given under.
    pub(crate) condition: Option<String>,
}

impl Given {
    /// A role as a lease wants it, given on the whole project: only a condition can keep it to a
    /// bucket.
    pub(crate) fn of(grant: &Grant) -> Self {
        let condition = match (&grant.on, &grant.narrowed) {
            (_, Some(narrowing)) => Some(narrowing.expression()),
            (PolicyName::Bucket(bucket), None) => Some(whole(bucket)),
            (PolicyName::Project(_), None) => None,
        };
        Self {
            role: grant.role.as_str().to_owned(),
            condition,
        }
    }

    fn read(binding: &Value) -> Option<Self> {
        let condition = binding.get("conditionExpression").and_then(Value::as_str);
        let condition = condition.map(str::trim).filter(|it| !it.is_empty());
        Some(Self {
            role: binding.get("role")?.as_str()?.to_owned(),
            condition: condition.map(str::to_owned),
        })
    }

    pub(crate) fn told(&self) -> String {
        match &self.condition {
            Some(condition) => format!("`{}` where `{condition}`", self.role),
            None => format!("`{}`", self.role),
        }
    }
}

/// An entitlement as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entitlement {
    /// What it gives; nothing when it gives something that is not ours to understand.
    pub(crate) gives: Option<BTreeSet<Given>>,
    is_available: bool,
    needs_approval: bool,
    seconds_max: u64,
    /// Who may ask, as policies name them. A group hides whom it holds.
    requesters: Vec<String>,
}

/// Why an entitlement carries no lease. Each says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("it is not available: wait until it is made, or make it anew")]
    NotAvailable,
    #[error(
        "it waits for somebody's approval, and a job waits for nobody: take its approval workflow \
         off, and let Jitney's policy demand what is to be demanded"
    )]
    NeedsApproval,
    #[error(
        "it is granted for {most} s at most, and the lease needs {needed} s: raise its longest \
         duration, or ask for less time"
    )]
    TooShort { most: u64, needed: u64 },
    #[error(
        "it gives something else than roles on {0}: let it give roles on that project and nothing \
         more"
    )]
    NotRoles(ProjectId),
}

impl Entitlement {
    /// Reads an answer of Google's. What cannot be read is taken for what would be refused.
    pub(crate) fn read(answer: &Value, project: &ProjectId) -> Self {
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let steps = answer.get("approvalWorkflow");
        Self {
            gives: gives(answer, project),
            is_available: text("state") == Some("AVAILABLE"),
            needs_approval: steps.is_some_and(|it| !it.is_null()),
            seconds_max: text("maxRequestDuration").and_then(seconds).unwrap_or(0),
            requesters: requesters(answer),
        }
    }

    /// Whether a grant of it comes at once, and lasts for so long.
    pub(crate) fn fits(&self, needed: u64, project: &ProjectId) -> Result<(), Unfit> {
        if !self.is_available {
            return Err(Unfit::NotAvailable);
        }
        if self.needs_approval {
            return Err(Unfit::NeedsApproval);
        }
        if self.gives.is_none() {
            return Err(Unfit::NotRoles(project.clone()));
        }
        if self.seconds_max < needed {
            let most = self.seconds_max;
            return Err(Unfit::TooShort { most, needed });
        }
        Ok(())
    }

    /// Whether an account is named among those who may ask.
    pub(crate) fn names(&self, account: &AccountEmail) -> bool {
        self.requesters.contains(&account.member())
    }
}

/// What each of a pool's entitlements is, as they were read.
pub(crate) type Offers = Vec<(EntitlementName, Entitlement)>;

/// The entitlements that together give exactly what is wanted.
///
/// # Errors
/// What to change.
pub(crate) fn chosen(
    offers: &[(EntitlementName, Entitlement)],
    wanted: &BTreeSet<Given>,
    reaches_all: bool,
) -> Result<BTreeSet<EntitlementName>, String> {
    let mut given = BTreeSet::new();
    let mut chosen = BTreeSet::new();
    for (name, offer) in offers {
        let gives = offer.gives.iter().flatten();
        if gives.clone().next().is_some() && gives.clone().all(|it| wanted.contains(it)) {
            given.extend(gives.cloned());
            chosen.insert(name.clone());
        }
    }
    let lacks: Vec<String> = wanted.difference(&given).map(Given::told).collect();
    if !lacks.is_empty() {
        return Err(format!(
            "none of the pool's entitlements gives exactly {}: make one that does, or change one",
            lacks.join(" and ")
        ));
    }
    // A token that is good for everything is good for asking, too.
    let beyond = offers.iter().find(|(name, _)| !chosen.contains(name));
    match beyond {
        Some((name, _)) if reaches_all => Err(format!(
            "a job with such a token could ask for {name} itself, which gives something else: give \
             it another pool, with other accounts"
        )),
        Some(_) | None => Ok(chosen),
    }
}

fn gives(answer: &Value, project: &ProjectId) -> Option<BTreeSet<Given>> {
    let access = answer.get("privilegedAccess")?.get("gcpIamAccess")?;
    let on = access.get("resource")?.as_str()?;
    let bindings = access.get("roleBindings")?.as_array()?;
    let is_ours = on == PolicyName::Project(project.clone()).to_string();
    let read: Option<BTreeSet<Given>> = bindings.iter().map(Given::read).collect();
    read.filter(|gives| is_ours && !gives.is_empty())
}

fn requesters(answer: &Value) -> Vec<String> {
    let entries = answer.get("eligibleUsers").and_then(Value::as_array);
    let principals = entries.into_iter().flatten().filter_map(|entry| {
        let principals = entry.get("principals")?.as_array()?;
        Some(principals.iter().filter_map(Value::as_str))
    });
    principals.flatten().map(str::to_owned).collect()
}

/// The whole seconds of a duration as Google writes it: `3600s`.
fn seconds(text: &str) -> Option<u64> {
    let number = text.strip_suffix('s')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    (is_plain(whole) && is_plain(part))
        .then(|| whole.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    fn project() -> ProjectId {
        "acme-prod".parse().unwrap()
    }

    fn name(id: &str) -> EntitlementName {
        let text = format!("projects/acme-prod/locations/global/entitlements/{id}");
        text.parse().unwrap()
    }

    fn answer(roles: &Value) -> Value {
        json!({
            "state": "AVAILABLE",
            "maxRequestDuration": "3600s",
            "eligibleUsers": [{ "principals":
                ["serviceAccount:jitney-001@acme-pool.iam.gserviceaccount.com"] }],
            "privilegedAccess": { "gcpIamAccess": {
                "resourceType": "cloudresourcemanager.googleapis.com/Project",
                "resource": "//cloudresourcemanager.googleapis.com/projects/acme-prod",
                "roleBindings": roles,
            } },
        })
    }

    fn read(answer: &Value) -> Entitlement {
        Entitlement::read(answer, &project())
    }

    fn given(role: &str) -> Given {
        Given {
            role: role.to_owned(),
            condition: None,
        }
    }

    #[test]
    fn what_it_gives_and_to_whom_is_read() {
        let good = read(&answer(&json!([{ "role": "roles/run.developer" }])));
        assert_eq!(good.gives, Some([given("roles/run.developer")].into()));
        assert_eq!(good.fits(3_600, &project()), Ok(()));
        let account = |number: u32| {
            let email = format!("jitney-{number:03}@acme-pool.iam.gserviceaccount.com");
            email.parse::<AccountEmail>().unwrap()
        };
        assert!(good.names(&account(1)) && !good.names(&account(2)));
    }

    #[test]
    fn what_would_not_be_given_at_once_and_for_long_enough_is_refused() {
        let role = json!([{ "role": "roles/run.developer" }]);
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut bad = answer(&role);
            change(&mut bad);
            read(&bad).fits(1_800, &project()).unwrap_err().to_string()
        };
        let changed = |key: &'static str, value: Value| {
            refused(&move |bad: &mut Value| bad[key] = value.clone())
        };
        assert!(changed("state", json!("CREATING")).contains("not available"));
        assert!(changed("state", json!("SOMETHING_NEW")).contains("not available"));
        let workflow = json!({ "manualApprovals": { "steps": [{}] } });
        assert!(changed("approvalWorkflow", workflow).contains("approval workflow off"));
        // One of a kind that is not known yet is one as well.
        assert!(
            changed("approvalWorkflow", json!({ "new": {} })).contains("approval workflow off")
        );
        for short in [
            "1799s", "1799.9s", "x", "-3600s", "+3600s", "3600.xs", "3600", "36e3s",
        ] {
            let told = changed("maxRequestDuration", json!(short));
            assert!(told.contains("raise its longest"), "{short}: {told}");
        }
        for access in [
            json!({}),
            json!({ "gcpIamAccess": { "resource": "//cloudresourcemanager.googleapis.com/projects/other-1",
                                      "roleBindings": [{ "role": "roles/run.developer" }] } }),
            json!({ "gcpIamAccess": { "resource": "//cloudresourcemanager.googleapis.com/projects/acme-prod",
                                      "roleBindings": [] } }),
            // What one of them gives cannot be read.
            json!({ "gcpIamAccess": { "resource": "//cloudresourcemanager.googleapis.com/projects/acme-prod",
                                      "roleBindings": [{ "role": "roles/run.developer" }, { "new": "x" }] } }),
        ] {
            let told = changed("privilegedAccess", access);
            assert!(told.contains("nothing more"), "{told}");
        }
    }

    #[test]
    fn those_are_chosen_that_give_what_is_wanted_and_no_more() {
        let offer = |id: &str, roles: &[&str]| {
            let roles: Vec<Value> = roles.iter().map(|it| json!({ "role": it })).collect();
            (name(id), read(&answer(&json!(roles))))
        };
        let wanted = |roles: &[&str]| roles.iter().map(|it| given(it)).collect::<BTreeSet<_>>();
        let offers = [
            offer("ent-a", &["roles/a.a"]),
            offer("ent-b", &["roles/b.b"]),
            offer("ent-ac", &["roles/a.a", "roles/c.c"]),
        ];
        let choose = |roles: &[&str]| chosen(&offers, &wanted(roles), false);
        assert_eq!(choose(&["roles/a.a"]), Ok([name("ent-a")].into()));
        assert_eq!(
            choose(&["roles/a.a", "roles/b.b"]),
            Ok([name("ent-a"), name("ent-b")].into())
        );
        // One that gives more is not taken for one that gives it.
        let told = choose(&["roles/c.c"]).unwrap_err();
        assert!(told.contains("`roles/c.c`"), "{told}");
        let mut conditioned = wanted(&["roles/a.a"]);
        conditioned.insert(Given {
            role: "roles/a.a".to_owned(),
            condition: Some("x".to_owned()),
        });
        assert!(chosen(&offers, &conditioned, false).is_err());
        // With a token that is good for everything, a job could ask for the others itself.
        let told = chosen(&offers, &wanted(&["roles/a.a"]), true).unwrap_err();
        assert!(told.contains("another pool"), "{told}");
        assert!(chosen(&offers[..1], &wanted(&["roles/a.a"]), true).is_ok());
    }
}
