//! What stands on a slot: which roles its identity has where, and by whose doing.
//!
//! PIM's assignments are found in two lists, and neither is believed alone: one was seen to show what
//! the other did not. What a stamp is written on is in a third.

use std::collections::{BTreeMap, BTreeSet};

use jitney_core::adapter::Mark;
use jitney_core::handle::Handle;
use jitney_core::id::InstallationName;
use jitney_core::time::Timestamp;
use uuid::Uuid;

use crate::arm::{Arm, NoAnswer, Place};
use crate::classify::NO_LICENCE;
use crate::config::Mode;
use crate::resources::{
    Assignment, Instance, PIM_VERSION, Progress, RBAC_VERSION, Request, Resource, time,
};
use crate::scope::{Scope, role, shown};
use crate::stamp::Stamp;

/// A role on a scope: what can be there once, for one identity.
pub(crate) type RoleAt = (Uuid, Scope);

/// One role that the identity has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) role: Uuid,
    pub(crate) scope: Scope,
    /// Since when PIM lists it as active; nothing when it does not.
    pub(crate) active: Option<Active>,
    /// Its plain role assignment, where that is listed.
    pub(crate) assignment: Option<String>,
    /// The grant that it is, by the latest stamp on it.
    pub(crate) handle: Option<Handle>,
    /// How far the ledger had come, by the same stamp.
    pub(crate) mark: Option<Mark>,
    pub(crate) condition: Option<String>,
}

/// PIM lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Active {
    /// Since when, by Azure's clock.
    pub(crate) since: Option<Timestamp>,
}

impl Standing {
    pub(crate) fn place(&self) -> RoleAt {
        (self.role, self.scope.clone())
    }

    fn stamped(&mut self, stamp: Stamp) {
        self.handle = Some(stamp.handle);
        self.mark = Some(stamp.mark);
    }
}

/// A request of ours that PIM may still carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) name: String,
    pub(crate) place: RoleAt,
    pub(crate) handle: Handle,
}

/// Everything there is about a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) standing: Vec<Standing>,
    pub(crate) open: Vec<Open>,
    /// What it has where we give nothing: a management group, the root of the tenant.
    pub(crate) above: Vec<String>,
    /// The latest mark on anything of ours.
    pub(crate) mark: Option<Mark>,
    /// When anything was last taken away by us, by Azure's clock.
    pub(crate) last_taken: Option<Timestamp>,
}

impl Seen {
    /// Whether nothing stands and nothing is on its way.
    pub(crate) fn is_bare(&self) -> bool {
        self.standing.is_empty() && self.open.is_empty() && self.above.is_empty()
    }
}

/// Whose roles are looked at, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) arm: &'a Arm,
    pub(crate) installation: &'a InstallationName,
    pub(crate) subscription: Uuid,
    /// Whether PIM is asked. Without its licence it answers nobody.
    pub(crate) mode: Mode,
}

/// The lists as they were read.
#[derive(Default)]
struct Lists {
    assignments: BTreeMap<String, Resource<Assignment>>,
    instances: BTreeMap<String, Resource<Instance>>,
    requests: BTreeMap<String, Resource<Request>>,
}

impl Look<'_> {
    /// Looks at everything in the subscription that one identity has, and once more at each of
    /// these scopes: what is read where it lies need not wait for a list of the whole.
    pub(crate) async fn at(
        &self,
        principal: Uuid,
        scopes: &BTreeSet<Scope>,
    ) -> Result<Seen, NoAnswer> {
        let mut scopes = scopes.clone();
        scopes.insert(Scope::subscription(self.subscription));
        let mut lists = Lists::default();
        let filter = format!("principalId eq '{principal}'");
        for scope in &scopes {
            self.read(Some(&filter), scope, &mut lists).await?;
        }
        Ok(lists.seen(self.installation, principal))
    }

    /// Looks at everything in the subscription, whoever has it.
    pub(crate) async fn everywhere(&self) -> Result<BTreeMap<Uuid, Seen>, NoAnswer> {
        let mut lists = Lists::default();
        let whole = Scope::subscription(self.subscription);
        self.read(None, &whole, &mut lists).await?;
        let seen = |who| (who, lists.seen(self.installation, who));
        Ok(lists.principals().into_iter().map(seen).collect())
    }

    async fn read(
        &self,
        filter: Option<&str>,
        scope: &Scope,
        lists: &mut Lists,
    ) -> Result<(), NoAnswer> {
        let of = |kind: &str| format!("{scope}/providers/Microsoft.Authorization/{kind}");
        let place = |path, api_version| Place {
            path,
            api_version,
            filter,
        };
        let path = of("roleAssignments");
        let found: Vec<Resource<_>> = self.arm.list(place(&path, RBAC_VERSION)).await?;
        lists.assignments.extend(found.into_iter().map(by_id));
        if self.mode == Mode::Rbac {
            return Ok(());
        }
        let path = of("roleAssignmentScheduleInstances");
        let found = self.arm.list(place(&path, PIM_VERSION)).await;
        lists
            .instances
            .extend(licensed(found)?.into_iter().map(by_id));
        let path = of("roleAssignmentScheduleRequests");
        let found = self.arm.list(place(&path, PIM_VERSION)).await;
        lists
            .requests
            .extend(licensed(found)?.into_iter().map(by_id));
        Ok(())
    }
}

/// A list of PIM's; an empty one when the tenant's licence is gone. What PIM gave then stands for
/// good, as plain role assignments, and is found among those.
fn licensed<P>(found: Result<Vec<Resource<P>>, NoAnswer>) -> Result<Vec<Resource<P>>, NoAnswer> {
    match found {
        Err(error) if error.is(NO_LICENCE) => Ok(Vec::new()),
        found => found,
    }
}

fn by_id<P>(resource: Resource<P>) -> (String, Resource<P>) {
    (resource.id.to_ascii_lowercase(), resource)
}

fn place(role_id: &str, scope: &str) -> Option<RoleAt> {
    Some((role(role_id).ok()?, shown(scope).ok()?))
}

fn is_for(principal: Uuid, id: &str) -> bool {
    id.parse() == Ok(principal)
}

impl Lists {
    /// Everybody who is in them.
    fn principals(&self) -> BTreeSet<Uuid> {
        let assignments = self.assignments.values();
        let assignments = assignments.map(|it| &it.properties.principal_id);
        let instances = self.instances.values();
        let instances = instances.map(|it| &it.properties.principal_id);
        let requests = self.requests.values();
        let requests = requests.map(|it| &it.properties.principal_id);
        let all = assignments.chain(instances).chain(requests);
        all.filter_map(|id| id.parse().ok()).collect()
    }

    fn seen(&self, installation: &InstallationName, principal: Uuid) -> Seen {
        let mut standing: BTreeMap<RoleAt, Standing> = BTreeMap::new();
        for (place, instance) in self.instances(principal) {
            let found = entry(&mut standing, place);
            found.active = Some(Active {
                since: time(instance.start_date_time.as_deref()),
            });
            found.condition.clone_from(&instance.condition);
            found
                .assignment
                .clone_from(&instance.origin_role_assignment_id);
        }
        for (id, place, assignment) in self.assignments(principal) {
            let found = entry(&mut standing, place);
            found.assignment = Some(id.to_owned());
            let stamp = assignment.description.as_deref();
            if let Some(stamp) = stamp.and_then(|text| Stamp::read(installation, text)) {
                found.stamped(stamp);
            }
            if found.condition.is_none() {
                found.condition.clone_from(&assignment.condition);
            }
        }
        let mut seen = Seen::default();
        for (_, place, request) in self.requests(principal) {
            if request.gives() && request.progress() != Progress::Never {
                // The requests come in the order in which they were made: the latest counts.
                if let Some(found) = standing.get_mut(&place) {
                    let text = request.justification.as_deref().unwrap_or_default();
                    if let Some(stamp) = Stamp::read(installation, text) {
                        found.stamped(stamp);
                    }
                }
            }
        }
        self.note(installation, principal, &mut seen);
        let marks = standing.values().filter_map(|standing| standing.mark);
        seen.mark = seen.mark.max(marks.max());
        seen.standing = standing.into_values().collect();
        let above = self.assignments.values().filter(|found| {
            let it = &found.properties;
            let is_here = place(&it.role_definition_id, &it.scope).is_some();
            is_for(principal, &it.principal_id) && !is_here
        });
        seen.above = above.map(|found| found.id.clone()).collect();
        seen
    }

    /// What our own requests tell: what is on its way, and who took something away.
    fn note(&self, installation: &InstallationName, principal: Uuid, seen: &mut Seen) {
        for (name, place, request) in self.requests(principal) {
            let text = request.justification.as_deref().unwrap_or_default();
            let Some(stamp) = Stamp::read(installation, text) else {
                continue;
            };
            // What was refused was asked for all the same, and by a ledger that had come so far.
            seen.mark = seen.mark.max(Some(stamp.mark));
            match request.progress() {
                Progress::Done | Progress::Open if stamp.ends => {
                    seen.last_taken = seen.last_taken.max(time(request.created_on.as_deref()));
                }
                Progress::Open if request.gives() => seen.open.push(Open {
                    name: name.to_owned(),
                    place,
                    handle: stamp.handle,
                }),
                Progress::Done | Progress::Open | Progress::Never => {}
            }
        }
    }

    fn instances(&self, principal: Uuid) -> impl Iterator<Item = (RoleAt, &Instance)> {
        self.instances.values().filter_map(move |found| {
            let it = &found.properties;
            let place = place(&it.role_definition_id, &it.scope)?;
            is_for(principal, &it.principal_id).then_some((place, it))
        })
    }

    fn assignments(&self, principal: Uuid) -> impl Iterator<Item = (&str, RoleAt, &Assignment)> {
        self.assignments.values().filter_map(move |found| {
            let it = &found.properties;
            let place = place(&it.role_definition_id, &it.scope)?;
            is_for(principal, &it.principal_id).then_some((found.id.as_str(), place, it))
        })
    }

    /// In the order in which they were made.
    fn requests(&self, principal: Uuid) -> Vec<(&str, RoleAt, &Request)> {
        let found = self.requests.values().filter_map(move |found| {
            let it = &found.properties;
            let place = place(&it.role_definition_id, &it.scope)?;
            is_for(principal, &it.principal_id).then_some((found.name.as_str(), place, it))
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(_, _, request)| time(request.created_on.as_deref()));
        found
    }
}

fn entry(standing: &mut BTreeMap<RoleAt, Standing>, place: RoleAt) -> &mut Standing {
    standing
        .entry(place)
        .or_insert_with_key(|(role, scope)| Standing {
            role: *role,
            scope: scope.clone(),
            active: None,
            assignment: None,
            handle: None,
            mark: None,
            condition: None,
        })
}

#[cfg(test)]
mod tests;
