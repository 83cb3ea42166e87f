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
use crate::classify::{NO_LICENCE, NOT_AUTHORIZED};
use crate::config::Mode;
use crate::resources::{
    Assignment, DenyAssignment, Instance, PIM_VERSION, Progress, RBAC_VERSION, Request, Resource,
    time,
};
use crate::scope::{Scope, guid, role, shown};
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

/// A deny assignment of ours, for this identity alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) name: Uuid,
    pub(crate) scope: Scope,
    pub(crate) handle: Handle,
    pub(crate) mark: Mark,
}

/// Everything there is about a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) standing: Vec<Standing>,
    pub(crate) open: Vec<Open>,
    /// What we deny it.
    pub(crate) denied: Vec<Denied>,
    /// What it has where we give nothing: a management group, the root of the tenant.
    pub(crate) above: Vec<String>,
    /// The latest mark on anything of ours.
    pub(crate) mark: Option<Mark>,
    /// When anything was last taken away by us, by Azure's clock.
    pub(crate) last_taken: Option<Timestamp>,
}

impl Seen {
    /// Whether nothing stands and nothing is on its way. A denial that was left would keep a lease
    /// from its work.
    pub(crate) fn is_bare(&self) -> bool {
        let has_nothing = self.standing.is_empty() && self.open.is_empty();
        has_nothing && self.above.is_empty() && self.denied.is_empty()
    }
}

/// Whether denials are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denials {
    /// Nobody asks about them.
    Skipped,
    /// There may be some from when the setting was another. Who may not list them cannot have made
    /// any.
    Possible,
    /// There may be some.
    Expected,
}

impl Denials {
    /// What to expect where denials are used, or not any more.
    pub(crate) const fn used(used: bool) -> Self {
        if used { Self::Expected } else { Self::Possible }
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
    pub(crate) denials: Denials,
}

/// The lists as they were read.
#[derive(Default)]
struct Lists {
    assignments: BTreeMap<String, Resource<Assignment>>,
    instances: BTreeMap<String, Resource<Instance>>,
    requests: BTreeMap<String, Resource<Request>>,
    denials: Vec<Resource<DenyAssignment>>,
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
        lists.denials = self.read_denials(Some(&filter)).await?;
        Ok(lists.seen(self.installation, principal))
    }

    /// Looks at everything in the subscription, whoever has it.
    pub(crate) async fn everywhere(&self) -> Result<BTreeMap<Uuid, Seen>, NoAnswer> {
        let mut lists = Lists::default();
        let whole = Scope::subscription(self.subscription);
        self.read(None, &whole, &mut lists).await?;
        lists.denials = self.read_denials(None).await?;
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

    /// Denials are put only where PIM has a floor.
    async fn read_denials(
        &self,
        filter: Option<&str>,
    ) -> Result<Vec<Resource<DenyAssignment>>, NoAnswer> {
        if self.mode == Mode::Rbac || self.denials == Denials::Skipped {
            return Ok(Vec::new());
        }
        let whole = Scope::subscription(self.subscription);
        let path = format!("{whole}/providers/Microsoft.Authorization/denyAssignments");
        let place = Place {
            path: &path,
            api_version: RBAC_VERSION,
            filter,
        };
        match self.arm.list(place).await {
            Err(error) if self.denials == Denials::Possible && error.is(NOT_AUTHORIZED) => {
                Ok(Vec::new())
            }
            found => found,
        }
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

/// Whom a denial is about, if it is one.
fn only_one(denial: &DenyAssignment) -> Option<&String> {
    match denial.principals.as_deref() {
        Some([one]) => one.id.as_ref(),
        _ => None,
    }
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
        let denied = self.denials.iter();
        let denied = denied.filter_map(|it| only_one(&it.properties));
        let all = assignments.chain(instances).chain(requests).chain(denied);
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
        seen.denied = self.denied(installation, principal);
        let marks = standing.values().filter_map(|standing| standing.mark);
        let marks = marks.chain(seen.denied.iter().map(|denied| denied.mark));
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

    /// What bears our stamp and is about this identity and nobody else.
    fn denied(&self, installation: &InstallationName, principal: Uuid) -> Vec<Denied> {
        let read = |found: &Resource<DenyAssignment>| {
            let it = &found.properties;
            let is_about = only_one(it).is_some_and(|id| is_for(principal, id));
            let is_azures = it.is_system_protected == Some(true);
            let stamp = Stamp::read(installation, it.description.as_deref()?)?;
            (is_about && !is_azures && stamp.ends).then_some(())?;
            Some(Denied {
                name: guid(&found.name)?,
                scope: shown(&it.scope).ok()?,
                handle: stamp.handle,
                mark: stamp.mark,
            })
        };
        self.denials.iter().filter_map(read).collect()
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
