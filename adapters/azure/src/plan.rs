//! Plans: a lease in Azure's terms. Pure; it refuses what it cannot express, and never widens.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use jitney_core::adapter::Reach;
use jitney_core::catalogue::{Column, Derived, Resource, Wanted};
use jitney_core::id::{CloudName, InstallationName, TargetName};
use jitney_core::plan::{CannotPlan, LaneId, Order, Plan};
use jitney_core::scope::Path;
use uuid::Uuid;

use crate::blobs::BlobParts;
use crate::capability::{BlobAction, Carries, Terms as Meaning};
use crate::config::{AzureTarget, HandsOut, Mode, Slot};
use crate::limits::{
    ASSIGNMENT_MARGIN_SECONDS, ASSIGNMENT_SECONDS_MIN, DERIVED_SECONDS_MAX, GRANTS_MAX,
    TOKEN_SECONDS_MAX,
};
use crate::promise::guarantees;
use crate::scope::{Scope, guid, role};
use crate::stamp::JobLabels;
use crate::terms::{Audience, Grant, Purpose, Terms};

/// The part of a lane's name before the identity's object id. A slot's own name is the operator's to
/// change and to give to another identity; what is to be ended, and what rests, is the identity.
const LANE_PREFIX: &str = "slot/";

/// Plans for one target.
#[derive(Debug, Clone)]
pub(crate) struct Planner {
    pub(crate) cloud: CloudName,
    pub(crate) target: TargetName,
    pub(crate) installation: InstallationName,
    pub(crate) config: AzureTarget,
}

impl Planner {
    /// Translates an order.
    pub(crate) fn plan(&self, order: &Order<'_>) -> Result<Plan, CannotPlan> {
        self.check_target(order)?;
        let duration_seconds = self.duration(order)?;
        let meanings = self.meanings(order.wanted)?;
        let kind = one_kind(order.wanted, &meanings)?;
        let (name, slot) = self.slot(order.slot, kind)?;
        let grants = self.grants(order.wanted, &meanings)?;
        let derived_seconds = self.derived_seconds(order.wanted);
        let terms = Terms {
            slot: name.to_owned(),
            client_id: slot.client_id,
            object_id: slot.object_id,
            mode: self.config.mode,
            fast_stop: self.config.fast_stop,
            grants,
            audience: match kind {
                Carries::Blobs => Audience::Storage,
                Carries::Role => Audience::Management,
            },
            hands_out: self.config.hands_out,
            duration_seconds,
            job: JobLabels::of(order.job),
        };
        Ok(Plan {
            lane: self.lane(slot.object_id),
            lane_capacity: 1,
            summary: summary(&terms),
            answers_within_seconds: self.config.elevate_deadline_seconds,
            lands_within_seconds: self.config.lands_within_seconds(),
            lives_seconds: self.lives_seconds(),
            derived_seconds,
            guarantees: guarantees(
                &self.config,
                kind,
                order.wanted,
                &lasting(order.wanted, &self.cloud),
                derived_seconds,
            ),
            terms: serde_json::to_value(&terms).map_err(|error| unwritable(&error))?,
        })
    }

    /// The slots that can carry what is wanted. None for what cannot be planned: planning says why.
    pub(crate) fn slots(&self, wanted: &[Wanted]) -> Vec<LaneId> {
        let kind = self
            .meanings(wanted)
            .and_then(|meanings| one_kind(wanted, &meanings));
        let Ok(kind) = kind else {
            return Vec::new();
        };
        let slots = self.config.slots_for(kind);
        slots.map(|(_, slot)| self.lane(slot.object_id)).collect()
    }

    /// The lane of an identity, whether it is in the pool or not.
    pub(crate) fn lane(&self, principal: Uuid) -> LaneId {
        LaneId {
            target: self.target.clone(),
            name: format!("{LANE_PREFIX}{principal}"),
        }
    }

    /// Whose lane it is, if it is one of this target.
    pub(crate) fn principal(&self, lane: &LaneId) -> Option<Uuid> {
        let id = lane.name.strip_prefix(LANE_PREFIX)?;
        guid(id).filter(|_| lane.target == self.target)
    }

    /// Every slot: what was granted on a resource may lie on any of them.
    pub(crate) fn lanes(&self, resources: &[&Resource]) -> BTreeSet<LaneId> {
        let is_ours = |resource: &&Resource| resource.target == self.target;
        if resources.iter().any(is_ours) {
            self.config
                .slots
                .values()
                .map(|slot| self.lane(slot.object_id))
                .collect()
        } else {
            BTreeSet::new()
        }
    }

    /// How far anything issued in this subscription can reach.
    pub(crate) fn reach(&self) -> Reach {
        let lives = self.lives_seconds() + TOKEN_SECONDS_MAX + DERIVED_SECONDS_MAX;
        Reach {
            issues_within: Duration::from_secs(self.config.lands_within_seconds().into()),
            lives: Duration::from_secs(lives.into()),
            settles: self.config.settle(),
            // What a slot can do it can do by every token that there is for it.
            watermarks: false,
            grants_stay: true,
        }
    }

    const fn lives_seconds(&self) -> u32 {
        match self.config.hands_out {
            HandsOut::Token => TOKEN_SECONDS_MAX,
            HandsOut::Assertion => self.config.assertion_seconds,
        }
    }

    /// How long something made with the credential may still work after the credential's own end.
    fn derived_seconds(&self, wanted: &[Wanted]) -> u32 {
        let lasting = lasting(wanted, &self.cloud);
        let longest = lasting.iter().map(|derived| derived.life_seconds).max();
        let token = match self.config.hands_out {
            HandsOut::Token => 0,
            HandsOut::Assertion => TOKEN_SECONDS_MAX,
        };
        token.saturating_add(longest.unwrap_or(0))
    }

    fn check_target(&self, order: &Order<'_>) -> Result<(), CannotPlan> {
        let elsewhere = order
            .wanted
            .iter()
            .map(|wanted| &wanted.resource.target)
            .chain([order.target])
            .find(|target| **target != self.target);
        match (elsewhere, order.wanted.is_empty()) {
            (None, false) => Ok(()),
            (None, true) => Err(cannot("nothing_wanted", "no scope is asked for")),
            (Some(target), _) => {
                let ours = &self.target;
                let told = format!("target `{target}` is not the one planned for, `{ours}`");
                Err(cannot("wrong_target", told))
            }
        }
    }

    /// An assignment stands for the whole request, renewals included: it is given once. The lease's
    /// end is ours to bring, so it stands a little longer than that.
    fn duration(&self, order: &Order<'_>) -> Result<u32, CannotPlan> {
        let part = u64::from(order.lasts.subsec_nanos() > 0);
        let lasts = order.lasts.as_secs().saturating_add(part);
        let most = self.config.max_lease_seconds;
        let Some(lasts) = u32::try_from(lasts).ok().filter(|lasts| *lasts <= most) else {
            let told = format!(
                "{lasts} seconds were asked for: on target `{}` a lease lives at most {most}",
                self.target
            );
            return Err(cannot("ttl_too_long", told));
        };
        let whole = lasts + self.config.elevate_deadline_seconds + ASSIGNMENT_MARGIN_SECONDS;
        Ok(whole.max(ASSIGNMENT_SECONDS_MIN).next_multiple_of(60))
    }

    fn meanings(&self, wanted: &[Wanted]) -> Result<Vec<Meaning>, CannotPlan> {
        wanted
            .iter()
            .map(|wanted| {
                let capability = &wanted.scope.capability;
                let column = column(wanted, &self.cloud).ok_or_else(|| {
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
            })
            .collect()
    }

    fn slot(&self, chosen: Option<&LaneId>, kind: Carries) -> Result<(&str, &Slot), CannotPlan> {
        let Some(lane) = chosen else {
            return Err(CannotPlan {
                code: "no_slot",
                told: format!("target `{}` has no identity for such a lease", self.target),
                logged: format!(
                    "target `{}` has no slot that carries `{kind}`: add one to its `slots`",
                    self.target
                ),
            });
        };
        let principal = self.principal(lane);
        let mut known = self.config.slots_for(kind);
        match known.find(|(_, slot)| Some(slot.object_id) == principal) {
            Some((name, slot)) => Ok((name, slot)),
            None => {
                let told = format!("`{lane}` is not a slot of this target for such a lease");
                Err(cannot("wrong_slot", told))
            }
        }
    }

    fn grants(&self, wanted: &[Wanted], meanings: &[Meaning]) -> Result<Vec<Grant>, CannotPlan> {
        let (mut blobs, mut grants) = (BTreeMap::new(), Vec::new());
        for (wanted, meaning) in wanted.iter().zip(meanings) {
            match meaning {
                Meaning::Blobs { role, data_actions } => {
                    let role = self.role_named(wanted, role.as_str(), data_actions)?;
                    let place = (role, self.container(wanted)?);
                    let parts: &mut BlobParts = blobs.entry(place).or_default();
                    parts.want(data_actions, &wanted.scope.path);
                }
                Meaning::Role {} => grants.push(self.whole_role(wanted)?),
            }
        }
        for ((role, scope), parts) in blobs {
            grants.push(parts.grant(role, scope)?);
        }
        if grants.len() > GRANTS_MAX {
            let told = format!(
                "what is asked for needs {} role assignments, and one lease has at most \
                 {GRANTS_MAX}: ask for fewer scopes",
                grants.len()
            );
            return Err(cannot("plan_too_large", told));
        }
        Ok(grants)
    }

    /// The role that carries a capability: by its GUID, or as the target names it.
    fn role_named(
        &self,
        wanted: &Wanted,
        name: &str,
        actions: &[BlobAction],
    ) -> Result<Uuid, CannotPlan> {
        let known = guid(name).or_else(|| self.config.roles.get(name).copied());
        known.ok_or_else(|| {
            let (capability, target) = (&wanted.scope.capability, &self.target);
            let actions: Vec<&str> = actions.iter().map(BlobAction::as_str).collect();
            CannotPlan {
                code: "role_not_configured",
                told: format!(
                    "`{capability}` cannot be granted on `{target}`: the platform team has named \
                     no role for it"
                ),
                logged: format!(
                    "`{capability}` needs `targets.{target}.roles.{name}`: the GUID of a role whose \
                     data actions are {} and nothing else",
                    actions.join(", ")
                ),
            }
        })
    }

    fn container(&self, wanted: &Wanted) -> Result<Scope, CannotPlan> {
        let scope = self.place(wanted)?;
        if scope.container().is_none() {
            return Err(unusable(
                wanted,
                format!(
                    "{scope} is not a blob container, \
                     `/subscriptions/…/storageAccounts/ACCOUNT/blobServices/default/containers/NAME`: \
                     on anything wider a role on blobs can also make keys that outlive the lease"
                ),
            ));
        }
        if let Some(via) = &wanted.resource.via {
            let why = format!("`via` is `{via}`, but the role on blobs is the catalogue's");
            return Err(unusable(wanted, why));
        }
        Ok(scope)
    }

    fn whole_role(&self, wanted: &Wanted) -> Result<Grant, CannotPlan> {
        if wanted.scope.path != Path::Whole {
            let scope = &wanted.scope;
            let told = format!("`{scope}` names a path, but a role is granted as a whole");
            return Err(cannot("path_not_allowed", told));
        }
        let via = wanted.resource.via.as_deref().ok_or_else(|| {
            let why = "it has no `via`: name the role definition that is granted on it";
            unusable(wanted, why.to_owned())
        })?;
        Ok(Grant {
            role: role(via).map_err(|bad| unusable(wanted, format!("`via`: {bad}")))?,
            scope: self.place(wanted)?,
            purpose: Purpose::Role,
            condition: None,
        })
    }

    /// Where the resource is, if it is in this target's subscription.
    fn place(&self, wanted: &Wanted) -> Result<Scope, CannotPlan> {
        let id = wanted.resource.native_id.parse::<Scope>();
        let scope = id.map_err(|bad| unusable(wanted, bad.to_string()))?;
        let ours = self.config.subscription;
        if scope.subscription_id() == ours {
            Ok(scope)
        } else {
            let target = &self.target;
            let why = format!("{scope} is not in subscription {ours}, which target `{target}` is");
            Err(unusable(wanted, why))
        }
    }
}

/// The one kind of slot that carries everything that is wanted.
fn one_kind(wanted: &[Wanted], meanings: &[Meaning]) -> Result<Carries, CannotPlan> {
    let mut kinds = BTreeMap::new();
    for (wanted, meaning) in wanted.iter().zip(meanings) {
        kinds.entry(meaning.carried_by()).or_insert(&wanted.scope);
    }
    let mut kinds = kinds.into_iter();
    match (kinds.next(), kinds.next()) {
        (Some((kind, _)), None) => Ok(kind),
        (Some((_, one)), Some((_, other))) => {
            let told = format!(
                "`{one}` and `{other}` are carried by different identities: ask for them in two \
                 requests"
            );
            Err(cannot("needs_two_slots", told))
        }
        (None, _) => Err(cannot("nothing_wanted", "no scope is asked for")),
    }
}

fn column<'a>(wanted: &'a Wanted, cloud: &CloudName) -> Option<&'a Column> {
    wanted.meaning.clouds.get(cloud)
}

/// What can be made with it and is not stopped when the grant ends, each once.
fn lasting<'a>(wanted: &'a [Wanted], cloud: &CloudName) -> Vec<&'a Derived> {
    let derives: BTreeMap<_, _> = wanted
        .iter()
        .filter_map(|wanted| column(wanted, cloud))
        .flat_map(|column| &column.derives)
        .filter(|derived| !derived.ends_with_grant)
        .map(|derived| ((&derived.what, derived.life_seconds), derived))
        .collect();
    derives.into_values().collect()
}

fn summary(terms: &Terms) -> Vec<String> {
    let Terms {
        slot, client_id, ..
    } = terms;
    let until = match terms.mode {
        Mode::Pim => format!("ended by Azure after {} s", terms.duration_seconds),
        Mode::Rbac => "until it is removed".to_owned(),
    };
    let grants = terms.grants.iter().map(|grant| {
        let only = grant.condition.as_ref();
        let only = only.map_or_else(String::new, |text| format!(", on condition {text}"));
        format!("role {} on {}, {until}{only}", grant.role, grant.scope)
    });
    let who = format!("as slot `{slot}`, the application {client_id}");
    core::iter::once(who).chain(grants).collect()
}

fn unusable(wanted: &Wanted, logged: String) -> CannotPlan {
    let name = &wanted.scope.resource;
    CannotPlan {
        code: "resource_unusable",
        told: format!("`{name}` cannot be granted: its entry in the inventory has a mistake"),
        logged: format!("the inventory's entry `{name}`: {logged}"),
    }
}

pub(crate) fn cannot(code: &'static str, told: impl Into<String>) -> CannotPlan {
    let told = told.into();
    CannotPlan {
        code,
        logged: told.clone(),
        told,
    }
}

fn unwritable(error: &serde_json::Error) -> CannotPlan {
    CannotPlan {
        code: "plan_unwritable",
        told: "the plan cannot be written down".to_owned(),
        logged: format!("the plan cannot be written as JSON: {error}"),
    }
}

#[cfg(test)]
mod tests;
