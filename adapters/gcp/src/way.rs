//! How the accounts of a pool come to what is wanted, or why they cannot.

use std::collections::BTreeSet;

use jitney_core::plan::CannotPlan;

use crate::boundary::{Rule, boundary};
use crate::capability::Terms as Meaning;
use crate::config::{Pool, Stands};
use crate::entitlement::Given;
use crate::names::PolicyName;
use crate::terms::{Grant, Way};

/// The way of a pool.
///
/// # Errors
/// When it cannot give exactly what is wanted.
pub(crate) fn way(
    name: &str,
    pool: &Pool,
    meanings: &[Meaning],
    grants: Vec<Grant>,
) -> Result<Way, CannotPlan> {
    match pool {
        Pool::Exclusive(_) => Ok(Way::Own(grants)),
        Pool::Shared(_) => Ok(Way::Shared(grants)),
        Pool::Standing(_, stands) => standing(name, stands, &grants),
        Pool::Boundary(..) => bounded(meanings, grants),
        Pool::Entitled(_, entitlements) => Ok(Way::Entitled {
            entitlements: entitlements.clone(),
            gives: grants.iter().map(Given::of).collect(),
        }),
    }
}

/// What stands is all that a token can do, so it must be exactly what is wanted.
fn standing(name: &str, stands: &BTreeSet<Stands>, grants: &[Grant]) -> Result<Way, CannotPlan> {
    let whole = |grant: &Grant| {
        grant.narrowed.is_none().then(|| Stands {
            on: grant.on.clone(),
            role: grant.role.clone(),
        })
    };
    let wanted: Option<BTreeSet<Stands>> = grants.iter().map(whole).collect();
    if wanted.as_ref() == Some(stands) {
        Ok(Way::Standing)
    } else {
        let told = format!(
            "pool `{name}` has bindings that stand, and they are not exactly what is asked for: \
             ask for all of them, each for a whole resource, or for what another pool carries"
        );
        Err(cannot("not_what_stands", told))
    }
}

fn bounded(meanings: &[Meaning], grants: Vec<Grant>) -> Result<Way, CannotPlan> {
    let mut rules = Vec::new();
    for grant in grants {
        let PolicyName::Bucket(bucket) = grant.on else {
            return Err(not_objects());
        };
        rules.push(Rule {
            bucket,
            role: grant.role,
            narrowed: grant.narrowed,
        });
    }
    if !meanings
        .iter()
        .all(|it| matches!(it, Meaning::Objects { .. }))
    {
        return Err(not_objects());
    }
    match boundary(&rules) {
        Ok(_) => Ok(Way::Boundary(rules)),
        Err(why) => {
            let told = format!(
                "what is asked for needs an access boundary of {why}: ask for fewer scopes, or for \
                 shorter paths"
            );
            Err(cannot("plan_too_large", told))
        }
    }
}

fn not_objects() -> CannotPlan {
    let told = "only Cloud Storage looks at access boundaries, and something else is asked for";
    cannot("not_for_boundaries", told)
}

/// A refusal that the job and the operator read alike.
pub(crate) fn cannot(code: &'static str, told: impl Into<String>) -> CannotPlan {
    let told = told.into();
    CannotPlan {
        code,
        logged: told.clone(),
        told,
    }
}
