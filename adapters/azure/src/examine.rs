//! Looks at what an operator set up, before a job finds out: who we are at Azure, what our roles
//! and PIM's settings say, and whether the slots have nothing. Gives nothing and changes nothing.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use jitney_core::catalogue::{Catalogue, Resource};
use jitney_core::id::InstallationName;
use jitney_core::time::Timestamp;
use uuid::Uuid;

use crate::adapter::CLOUD;
use crate::arm::{Arm, NoAnswer, Place, chain};
use crate::capability::{BlobAction, Carries, Terms};
use crate::claims::Claims;
use crate::classify::{Call, fault, printable};
use crate::config::{AzureTarget, Mode};
use crate::connect::{Clients, Identities};
use crate::environment::Environment;
use crate::giving::at;
use crate::limits::{ASSIGNMENT_MARGIN_SECONDS, TOKEN_SECONDS_MAX};
use crate::resources::{
    Assignment, PIM_VERSION, PolicyAssignment, RBAC_VERSION, Resource as Found, Rule,
};
use crate::role::Definition;
use crate::scope::{Scope, guid, role};
use crate::standing::{Denials, Look, Seen};
use crate::terms::role_id;

/// What a fast stop needs.
const DENYING: [&str; 2] = [
    "Microsoft.Authorization/denyAssignments/write",
    "Microsoft.Authorization/denyAssignments/delete",
];

/// What one look at a target found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    /// What is as it should be, and what an operator should know.
    pub well: Vec<String>,
    /// What is not, with what to change.
    pub wrong: Vec<String>,
    /// By how much Azure's clock differs from ours; unknown when Azure did not answer.
    pub skew: Option<Duration>,
}

/// A role that leases on this target use on a scope, and what for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RoleUse {
    scope: Scope,
    role: Uuid,
    /// The data actions; none for a whole role.
    data_actions: Vec<BlobAction>,
}

/// Looks at a target. `resources` are those of the inventory that lie in it.
pub async fn examine(
    target: &AzureTarget,
    identities: &Identities,
    installation: &InstallationName,
    resources: &[&Resource],
    catalogue: &Catalogue,
    now: Timestamp,
) -> Examination {
    let mut found = Examination::default();
    let clients = Clients::new(target, identities);
    let granter = (&identities.granter, target.environment);
    let granter = found.who("granter", granter).await;
    let revoker = if target.revoker_credentials.is_some() {
        let revoker = (&identities.revoker, target.environment);
        found.who("revoker", revoker).await
    } else {
        granter
    };
    found.pool(target);
    let Some(granter) = granter else {
        return found;
    };
    found.clock(target, &clients.looking, now).await;
    found.reach(target, &clients.looking, granter).await;
    let uses = uses(target, resources, catalogue);
    if let (Some(_), Some(revoker)) = (target.fast_stop, revoker) {
        found.stops(target, &clients.reading, revoker, &uses).await;
    }
    for use_of in uses {
        found.role(&clients.looking, &use_of).await;
        if target.mode == Mode::Pim {
            found.settings(target, &clients.looking, &use_of).await;
        }
    }
    found.slots(target, &clients.looking, installation).await;
    found
}

/// Every role that a lease on one of these resources would give.
fn uses(target: &AzureTarget, resources: &[&Resource], catalogue: &Catalogue) -> BTreeSet<RoleUse> {
    let columns = catalogue.0.values().filter_map(|meaning| {
        let mut clouds = meaning.clouds.iter();
        let column = clouds.find(|(cloud, _)| cloud.as_str() == CLOUD)?.1;
        Terms::read(&column.terms).ok()
    });
    let terms: Vec<Terms> = columns.collect();
    let mut uses = BTreeSet::new();
    for resource in resources {
        let Ok(scope) = resource.native_id.parse::<Scope>() else {
            continue;
        };
        if let Some(whole) = resource.via.as_deref().and_then(|via| role(via).ok()) {
            let (role, data_actions) = (whole, Vec::new());
            uses.insert(RoleUse {
                scope,
                role,
                data_actions,
            });
            continue;
        }
        for terms in &terms {
            if let Terms::Blobs { role, data_actions } = terms
                && let Some(role) = named(target, role.as_str())
            {
                uses.insert(RoleUse {
                    scope: scope.clone(),
                    role,
                    data_actions: data_actions.clone(),
                });
            }
        }
    }
    uses
}

/// What an identity is assigned itself.
async fn assigned(target: &AzureTarget, arm: &Arm, who: Uuid) -> Result<Vec<Assignment>, NoAnswer> {
    let path = format!(
        "/subscriptions/{}/providers/Microsoft.Authorization/roleAssignments",
        target.subscription
    );
    let filter = format!("principalId eq '{who}'");
    let place = Place {
        path: &path,
        api_version: RBAC_VERSION,
        filter: Some(&filter),
    };
    let listed: Vec<Found<Assignment>> = arm.list(place).await?;
    Ok(listed.into_iter().map(|found| found.properties).collect())
}

fn named(target: &AzureTarget, name: &str) -> Option<Uuid> {
    guid(name).or_else(|| target.roles.get(name).copied())
}

impl Examination {
    /// Who an identity is, as Azure will see it.
    async fn who(
        &mut self,
        part: &str,
        (identity, environment): (&Arc<dyn TokenCredential>, Environment),
    ) -> Option<Uuid> {
        let scopes = [environment.management()];
        let token = match identity.get_token(&scopes, None).await {
            Ok(token) => token,
            Err(error) => {
                self.wrong.push(format!(
                    "the {part} cannot log in: {}; look at the target's `credentials`, and at the \
                     federated credential of that application",
                    printable(&chain(&error))
                ));
                return None;
            }
        };
        let claims = Claims::read(token.token.secret())?;
        let object = claims.oid.as_deref().and_then(guid)?;
        let application = claims.appid.unwrap_or_else(|| "unknown".to_owned());
        let application = printable(&application);
        self.well.push(format!(
            "{part} is the application `{application}`, object `{object}`"
        ));
        Some(object)
    }

    fn pool(&mut self, target: &AzureTarget) {
        for kind in [Carries::Blobs, Carries::Role] {
            let count = target.slots_for(kind).count();
            if count > 0 {
                let rest = TOKEN_SECONDS_MAX / 60;
                self.well.push(format!(
                    "{count} slots carry `{kind}`; each rests up to {rest} minutes after a lease, \
                     or longer where something can be derived"
                ));
            }
        }
    }

    async fn clock(&mut self, target: &AzureTarget, arm: &Arm, now: Timestamp) {
        let path = format!("/subscriptions/{}", target.subscription);
        let place = Place {
            path: &path,
            api_version: "2022-12-01",
            filter: None,
        };
        match arm.get::<serde_json::Value>(place).await {
            Ok(answer) => {
                self.skew = answer.date.map(|date| {
                    let theirs = Timestamp::from_seconds(date.as_second());
                    theirs.since(now).max(now.since(theirs))
                });
            }
            Err(error) => {
                let told = fault(Call::Reads, "GET subscription", &error).logged;
                self.wrong.push(format!(
                    "the subscription cannot be read: {told}; is it the right one, and may the \
                     granter read it?"
                ));
            }
        }
    }

    /// What the granter itself may do: with its token, whoever has it may too.
    async fn reach(&mut self, target: &AzureTarget, arm: &Arm, granter: Uuid) {
        let Ok(listed) = assigned(target, arm, granter).await else {
            let told =
                "what the granter may do cannot be looked up: it may not read role assignments";
            self.wrong.push(told.to_owned());
            return;
        };
        for it in listed {
            let bound = match &it.condition {
                Some(_) => "bounded by a condition",
                None => "bounded by nothing: it can give any role there to anybody",
            };
            let (role, scope) = (printable(&it.role_definition_id), printable(&it.scope));
            self.well
                .push(format!("the granter has {role} on {scope}, {bound}"));
        }
    }

    /// Whether deny assignments may be put and lifted wherever a lease would need one, as far as the
    /// identity's own roles tell.
    async fn stops(
        &mut self,
        target: &AzureTarget,
        arm: &Arm,
        who: Uuid,
        uses: &BTreeSet<RoleUse>,
    ) {
        let mut places = Vec::new();
        for found in assigned(target, arm, who).await.unwrap_or_default() {
            let Ok(role) = role(&found.role_definition_id) else {
                continue;
            };
            let path = role_id(target.subscription, role);
            let definition = arm.get::<Found<Definition>>(at(&path, RBAC_VERSION)).await;
            let may = |definition: &Definition| DENYING.iter().all(|name| definition.allows(name));
            if definition.is_ok_and(|answer| may(&answer.body.properties)) {
                places.push(found.scope);
            }
        }
        let scopes: BTreeSet<&Scope> = uses.iter().map(|use_of| &use_of.scope).collect();
        let is_reached = |scope: &&Scope| places.iter().any(|place| scope.is_within(place));
        let (reached, not_reached): (Vec<_>, Vec<_>) = scopes.into_iter().partition(is_reached);
        self.well.push(format!(
            "`fast_stop` may put deny assignments on {} of the inventory's resources; Microsoft's own \
             tools say that for data, as in blobs, none is taken",
            reached.len()
        ));
        self.wrong.extend(not_reached.into_iter().map(|scope| {
            format!(
                "`fast_stop` is set, and no role of whoever takes back, object `{who}`, allows {} on \
                 {scope}: give it one, as User Access Administrator, or take `fast_stop` out",
                DENYING.join(" and ")
            )
        }));
    }

    async fn role(&mut self, arm: &Arm, use_of: &RoleUse) {
        let path = role_id(use_of.scope.subscription_id(), use_of.role);
        let place = Place {
            path: &path,
            api_version: RBAC_VERSION,
            filter: None,
        };
        let definition = match arm.get::<Found<Definition>>(place).await {
            Ok(answer) => answer.body.properties,
            Err(error) => {
                let told = fault(Call::Reads, &format!("GET {path}"), &error).logged;
                self.wrong
                    .push(format!("a role that leases use cannot be read: {told}"));
                return;
            }
        };
        let name = printable(&definition.role_name);
        let wanted: Vec<&str> = use_of.data_actions.iter().map(BlobAction::as_str).collect();
        let wrong = if wanted.is_empty() {
            definition
                .gives_roles()
                .map(|way| format!("it allows `{way}`"))
        } else {
            let (beyond, lacks) = (definition.beyond(&wanted), definition.lacks(&wanted));
            (!beyond.is_empty() || !lacks.is_empty())
                .then(|| format!("it allows {beyond:?} beside what is needed, and lacks {lacks:?}"))
        };
        match wrong {
            None => self
                .well
                .push(format!("role `{name}` is what it is used for")),
            Some(why) => self.wrong.push(format!(
                "role `{name}` ({}) cannot be granted on {}: {why}",
                use_of.role, use_of.scope
            )),
        }
    }

    /// PIM's settings of a role on a scope, as far as they are about those who assign.
    async fn settings(&mut self, target: &AzureTarget, arm: &Arm, use_of: &RoleUse) {
        let rules = match rules(arm, &use_of.scope, use_of.role).await {
            Ok(rules) => rules,
            Err(error) => {
                let told = fault(Call::Reads, "GET PIM's settings", &error).logged;
                self.wrong.push(format!(
                    "PIM's settings on {} cannot be read: {told}; without a licence for PIM take \
                     `mode = \"rbac\"`",
                    use_of.scope
                ));
                return;
            }
        };
        for wrong in rules.iter().filter_map(|rule| hindrance(target, rule)) {
            let (role, scope) = (use_of.role, &use_of.scope);
            self.wrong
                .push(format!("PIM's settings of role {role} on {scope}: {wrong}"));
        }
    }

    async fn slots(&mut self, target: &AzureTarget, arm: &Arm, installation: &InstallationName) {
        let look = Look {
            arm,
            installation,
            subscription: target.subscription,
            mode: target.mode,
            denials: match target.fast_stop {
                Some(_) => Denials::Expected,
                None => Denials::Skipped,
            },
        };
        let mut bare = 0_u32;
        for (name, slot) in &target.slots {
            match look.at(slot.object_id, &BTreeSet::new()).await {
                Ok(seen) => {
                    let strange = strange(&seen);
                    bare += u32::from(strange.is_empty());
                    self.wrong.extend(strange.into_iter().map(|what| {
                        format!(
                            "slot `{name}` has {what}, which Jitney did not give it: it carries no \
                             lease until that is removed"
                        )
                    }));
                }
                Err(error) => {
                    let told = fault(Call::Reads, "GET what a slot has", &error).logged;
                    self.wrong
                        .push(format!("slot `{name}` cannot be looked at: {told}"));
                }
            }
        }
        self.well
            .push(format!("{bare} slots have nothing that is not a lease's"));
    }
}

fn strange(seen: &Seen) -> Vec<String> {
    let standing = seen.standing.iter().filter(|it| it.handle.is_none());
    standing
        .map(|it| format!("role {} on {}", it.role, it.scope))
        .chain(seen.above.iter().map(|id| printable(id)))
        .collect()
}

/// PIM's rules about a role on a scope, as they are in force.
pub(crate) async fn rules(arm: &Arm, scope: &Scope, of: Uuid) -> Result<Vec<Rule>, NoAnswer> {
    let path = format!("{scope}/providers/Microsoft.Authorization/roleManagementPolicyAssignments");
    let wanted = role_id(scope.subscription_id(), of);
    let filter = format!("roleDefinitionId eq '{wanted}'");
    let place = Place {
        path: &path,
        api_version: PIM_VERSION,
        filter: Some(&filter),
    };
    let listed = arm.list::<Found<PolicyAssignment>>(place).await?;
    let its = listed.into_iter().map(|found| found.properties);
    let its = its.filter(|it| role(&it.role_definition_id) == Ok(of));
    Ok(its.flat_map(|it| it.effective_rules).collect())
}

/// Whether a rule demands a second factor of whoever assigns.
pub(crate) fn demands_mfa(rule: &Rule) -> bool {
    let enabled = rule.enabled_rules.as_deref().unwrap_or_default();
    let names_it = enabled
        .iter()
        .any(|name| name == "MultiFactorAuthentication");
    rule.id == "Enablement_Admin_Assignment" && names_it
}

/// What a rule of PIM keeps the broker from.
fn hindrance(target: &AzureTarget, rule: &Rule) -> Option<String> {
    let longest =
        target.max_lease_seconds + target.elevate_deadline_seconds + ASSIGNMENT_MARGIN_SECONDS;
    match rule.id.as_str() {
        "Enablement_Admin_Assignment" => demands_mfa(rule).then(|| {
            "`Enablement_Admin_Assignment` demands `MultiFactorAuthentication` of whoever \
             assigns, which no broker has: take it out"
                .to_owned()
        }),
        "Expiration_Admin_Assignment" => {
            let text = rule.maximum_duration.as_deref()?;
            let most = seconds(text)?;
            (most < i64::from(longest)).then(|| {
                format!(
                    "`Expiration_Admin_Assignment` allows `{}`, and the longest lease needs {longest} \
                     s: raise it, or set `max_lease_seconds`",
                    printable(text)
                )
            })
        }
        _ => None,
    }
}

/// A duration as Azure writes it: `P90D`, `PT8H`.
fn seconds(text: &str) -> Option<i64> {
    let span = text.parse::<jiff::Span>().ok()?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
    duration.ok().map(|duration| duration.as_secs())
}

#[cfg(test)]
mod tests;
