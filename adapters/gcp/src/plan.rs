//! Plans: a lease in Google's terms. Pure; it refuses what it cannot express, and never widens.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use jitney_core::adapter::Reach;
use jitney_core::catalogue::{Resource, Wanted};
use jitney_core::id::{CloudName, InstallationName, TargetName};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::scope::Path;

use crate::capability::{Role, Terms as Meaning};
use crate::condition::Narrowing;
use crate::config::{GcpTarget, Pool};
use crate::lane_name::{Carries, lane};
use crate::limits::CONDITIONAL_BINDINGS_MAX;
use crate::names::{AccountEmail, PolicyName, ProjectRole, RoleName};
use crate::promise::{derived_seconds, promise};
use crate::terms::{Grant, Terms};
use crate::way::{cannot, way};

/// Plans for one target.
#[derive(Debug, Clone)]
pub(crate) struct Planner {
    pub(crate) cloud: CloudName,
    pub(crate) target: TargetName,
    pub(crate) installation: InstallationName,
    pub(crate) config: GcpTarget,
}

impl Planner {
    /// The accounts that could carry what is wanted, where each carries one lease.
    pub(crate) fn slots(&self, wanted: &[Wanted]) -> Vec<LaneId> {
        match self.pool(wanted) {
            Ok((_, pool)) if pool.carries() == Carries::One => {
                let lane = |account| lane(&self.target, Carries::One, account);
                pool.accounts().iter().map(lane).collect()
            }
            // Where many share an account there is nothing to choose; what cannot be planned is
            // told by the plan.
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    /// Translates an order.
    pub(crate) fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        self.check_target(order)?;
        let token_seconds = self.token_seconds(order)?;
        let meanings = self.meanings(order.wanted)?;
        let grants = self.grants(order.wanted, &meanings)?;
        let (name, pool) = self.pool(order.wanted)?;
        let derived_seconds = self.derived(order)?;
        let (lane, lane_capacity, account) = self.place(name, pool, order)?;
        let terms = Terms {
            way: way(name, pool, &meanings, grants)?,
            token_scopes: meanings.iter().map(Meaning::token_scope).collect(),
            token_seconds,
            account,
        };
        Ok(Plan {
            lane,
            lane_capacity,
            summary: terms.summary(),
            answers_within_seconds: self.config.elevate_deadline_seconds,
            lands_within_seconds: self.config.lands_within_seconds(),
            lives_seconds: token_seconds,
            derived_seconds,
            guarantees: promise(&self.config, &self.cloud, order.wanted, &terms),
            terms: serde_json::to_value(&terms).map_err(|error| CannotPlan {
                code: "plan_unwritable",
                told: "the plan cannot be written down".to_owned(),
                logged: format!("the plan cannot be written as JSON: {error}"),
            })?,
        })
    }

    /// The lanes of every account that could have carried leases on these resources.
    pub(crate) fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        let pools = resources
            .iter()
            .filter_map(|resource| self.pool_of(resource));
        let accounts = pools.flat_map(|(_, pool)| {
            let accounts = pool.accounts().iter();
            accounts.map(|it| lane(&self.target, pool.carries(), it))
        });
        accounts.collect()
    }

    /// How far anything issued in this target can reach.
    pub(crate) fn reach(&self) -> Reach {
        let config = &self.config;
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Reach {
            issues_within: seconds(config.elevate_deadline_seconds)
                + seconds(config.lands_within_seconds()),
            lives: seconds(config.max_token_seconds) + seconds(config.max_derived_seconds),
            settles: config.settle(),
            // A disabled account ends what is issued later, too.
            watermarks: false,
            grants_stay: true,
        }
    }

    fn check_target(&self, order: &Order<'_>) -> Result<(), CannotPlan> {
        let targets = order.wanted.iter().map(|wanted| &wanted.resource.target);
        let mut targets = targets.chain([order.target]);
        match (
            targets.find(|it| **it != self.target),
            order.wanted.is_empty(),
        ) {
            (None, false) => Ok(()),
            (None, true) => Err(cannot("nothing_wanted", "no scope is asked for")),
            (Some(target), _) => {
                let ours = &self.target;
                let told = format!("target `{target}` is not the one planned for, `{ours}`");
                Err(cannot("wrong_target", told))
            }
        }
    }

    /// A token lives as long as the lease lives from one renewal to the next.
    fn token_seconds(&self, order: &Order<'_>) -> Result<u32, CannotPlan> {
        let part = u64::from(order.ttl.subsec_nanos() > 0);
        let ttl = order.ttl.as_secs().saturating_add(part);
        let most = self.config.max_token_seconds;
        match u32::try_from(ttl) {
            Ok(ttl) if (1..=most).contains(&ttl) => Ok(ttl),
            _ => {
                let told = format!(
                    "{ttl} seconds were asked for: on target `{}` a token lives at most {most}",
                    self.target
                );
                Err(cannot("ttl_too_long", told))
            }
        }
    }

    fn meanings(&self, wanted: &[Wanted]) -> Result<Vec<Meaning>, CannotPlan> {
        let meaning = |wanted: &Wanted| {
            let capability = &wanted.scope.capability;
            let column = wanted.meaning.clouds.get(&self.cloud).ok_or_else(|| {
                let told = format!("`{capability}` has no meaning on {} yet", self.cloud);
                cannot("not_on_this_cloud", told)
            })?;
            Meaning::read(&column.terms).map_err(|why| CannotPlan {
                code: "catalogue_unusable",
                told: format!(
                    "`{capability}` is not usable on {}: the broker's catalogue has a mistake",
                    self.cloud
                ),
                logged: format!("the catalogue's terms of `{capability}`: {why}"),
            })
        };
        wanted.iter().map(meaning).collect()
    }

    /// The roles that are wanted, each once.
    fn grants(&self, wanted: &[Wanted], meanings: &[Meaning]) -> Result<Vec<Grant>, CannotPlan> {
        let mut grants = Vec::new();
        for (wanted, meaning) in wanted.iter().zip(meanings) {
            for grant in self.grants_of(wanted, meaning)? {
                if !grants.contains(&grant) {
                    grants.push(grant);
                }
            }
        }
        Ok(grants)
    }

    fn grants_of(&self, wanted: &Wanted, meaning: &Meaning) -> Result<Vec<Grant>, CannotPlan> {
        let (scope, id) = (&wanted.scope, &wanted.resource.native_id);
        let unusable = |logged: String| unusable(wanted, &logged);
        if !matches!(meaning, Meaning::Objects { .. }) && scope.path != Path::Whole {
            let told = format!("`{scope}` names a path, but the resource is granted as a whole");
            return Err(cannot("path_not_allowed", told));
        }
        let grants = match meaning {
            Meaning::OwnRole {} => {
                let own: ProjectRole = id.parse().map_err(|bad| unusable(format!("{bad}")))?;
                vec![grant(PolicyName::Project(own.project), &own.role, None)]
            }
            Meaning::Roles { roles, .. } => {
                let on: PolicyName = id.parse().map_err(|bad| unusable(format!("{bad}")))?;
                roles
                    .iter()
                    .map(|role| grant(on.clone(), role, None))
                    .collect()
            }
            Meaning::Objects {
                role,
                permissions,
                lists,
                ..
            } => match id.parse() {
                Ok(PolicyName::Bucket(bucket)) => {
                    let role = self.role_named(wanted, role, permissions)?;
                    let narrowed = Narrowing::to(&bucket, &scope.path, *lists);
                    vec![grant(PolicyName::Bucket(bucket), role, narrowed)]
                }
                Ok(other) => return Err(unusable(format!("{other} is not a bucket"))),
                Err(bad) => return Err(unusable(format!("{bad}"))),
            },
        };
        let project = &self.config.project;
        let elsewhere =
            |grant: &&Grant| matches!(&grant.on, PolicyName::Project(other) if other != project);
        match grants.iter().find(elsewhere) {
            Some(Grant { on, .. }) => Err(unusable(format!(
                "{on} is not the target's project, {project}"
            ))),
            None => Ok(grants),
        }
    }

    /// The role that carries a capability: by its own name, or as the target names it.
    fn role_named<'a>(
        &'a self,
        wanted: &Wanted,
        role: &'a Role,
        permissions: &[String],
    ) -> Result<&'a RoleName, CannotPlan> {
        let name = match role {
            Role::Known(role) => return Ok(role),
            Role::Named(name) => name,
        };
        self.config.roles.get(name).ok_or_else(|| {
            let (capability, target) = (&wanted.scope.capability, &self.target);
            CannotPlan {
                code: "role_not_configured",
                told: format!(
                    "`{capability}` cannot be granted on `{target}`: the platform team has named \
                     no role for it"
                ),
                logged: format!(
                    "`{capability}` needs `targets.{target}.roles.{name}`: a custom role whose \
                     permissions are {} and nothing else",
                    permissions.join(", ")
                ),
            }
        })
    }

    /// The one pool that carries everything that is wanted.
    fn pool(&self, wanted: &[Wanted]) -> Result<(&str, &Pool), CannotPlan> {
        let mut found = BTreeMap::new();
        for wanted in wanted {
            let named = self.pool_of(&wanted.resource).ok_or_else(|| {
                let logged = match &wanted.resource.via {
                    Some(via) => format!("`via` is `{via}`, and there is no such pool"),
                    None => "it has no `via`: name the pool that carries grants on it".to_owned(),
                };
                unusable(wanted, &logged)
            })?;
            found.entry(named.0).or_insert((named.1, &wanted.scope));
        }
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some((name, (pool, _))), None) => Ok((name, pool)),
            (Some((one, (_, first))), Some((other, (_, second)))) => Err(CannotPlan {
                code: "needs_two_pools",
                told: format!(
                    "`{first}` and `{second}` are carried by different accounts, and one lease has \
                     one account: ask for them in two requests"
                ),
                logged: format!("`{first}` is carried by pool `{one}`, `{second}` by `{other}`"),
            }),
            (None, _) => Err(cannot("nothing_wanted", "no scope is asked for")),
        }
    }

    /// The pool that an entry names, or the only one there is.
    fn pool_of(&self, resource: &Resource) -> Option<(&str, &Pool)> {
        let pools = &self.config.pools;
        let named = match &resource.via {
            Some(via) => pools.get_key_value(via),
            None => pools.first_key_value().filter(|_| pools.len() == 1),
        };
        named.map(|(name, pool)| (name.as_str(), pool))
    }

    fn derived(&self, order: &Order<'_>) -> Result<u32, CannotPlan> {
        let most = self.config.max_derived_seconds;
        match derived_seconds(order.wanted, &self.cloud) {
            derived if derived <= most => Ok(derived),
            derived => {
                let told = format!(
                    "what is asked for lets a job make something that lives {derived} s, and target \
                     `{}` reckons with {most}",
                    self.target
                );
                Err(cannot("derives_too_long", told))
            }
        }
    }

    /// The lane, how many leases and holds it has room for, and its account.
    fn place(
        &self,
        name: &str,
        pool: &Pool,
        order: &Order<'_>,
    ) -> Result<(LaneId, u32, AccountEmail), CannotPlan> {
        let (account, capacity) = match pool {
            Pool::Exclusive(accounts)
            | Pool::Standing(accounts, _)
            | Pool::Entitled(accounts, _) => {
                let is_it = |account: &&AccountEmail| {
                    Some(&lane(&self.target, Carries::One, account)) == order.slot
                };
                let account = accounts.iter().find(is_it).ok_or_else(|| {
                    let told = format!("no account of pool `{name}` was chosen to carry the lease");
                    cannot("no_slot", told)
                })?;
                (account, 1)
            }
            Pool::Shared(account) => (
                account,
                u32::try_from(CONDITIONAL_BINDINGS_MAX).unwrap_or(1),
            ),
            Pool::Boundary(account, most) => (account, *most),
        };
        let lane = lane(&self.target, pool.carries(), account);
        Ok((lane, capacity, account.clone()))
    }
}

fn grant(on: PolicyName, role: &RoleName, narrowed: Option<Narrowing>) -> Grant {
    Grant {
        on,
        role: role.clone(),
        narrowed,
    }
}

fn unusable(wanted: &Wanted, logged: &str) -> CannotPlan {
    let name = &wanted.scope.resource;
    CannotPlan {
        code: "resource_unusable",
        told: format!("`{name}` cannot be granted: its entry in the inventory has a mistake"),
        logged: format!("the inventory's entry `{name}`: {logged}"),
    }
}

#[cfg(test)]
mod tests;
