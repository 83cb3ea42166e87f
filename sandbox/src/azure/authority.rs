//! Who may do what: assignments as they are enforced now, their roles and conditions, and deny assignments.

use jiff::Timestamp;
use uuid::Uuid;

use super::conditions::{Asked, Attribute};
use super::roles::Operation;
use super::scope::Scope;
use super::tenant::Tenant;
use super::world::World;

/// Something that somebody wants to do somewhere.
#[derive(Clone, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) operation: Operation<'a>,
    pub(crate) scope: &'a Scope,
    pub(crate) sub_operation: Option<&'a str>,
    pub(crate) attributes: Vec<(Attribute, String)>,
}

impl<'a> Wish<'a> {
    /// On the control plane, with nothing that a condition could ask about.
    pub(crate) fn control(action: &'a str, scope: &'a Scope) -> Wish<'a> {
        Wish {
            operation: Operation::Control(action),
            scope,
            sub_operation: None,
            attributes: Vec::new(),
        }
    }
}

/// Whether a principal may: some role allows it, and no deny assignment forbids it.
pub(crate) fn may(
    tenant: &Tenant,
    world: &World,
    principal: Uuid,
    wish: &Wish<'_>,
    now: Timestamp,
) -> bool {
    let asked = Asked {
        action: wish.operation.name(),
        sub_operation: wish.sub_operation,
        attributes: wish.attributes.clone(),
    };
    let allowed = world.book.enforced(now).any(|grant| {
        grant.tuple.principal == principal
            && tenant.hierarchy.covers(&grant.tuple.scope, wish.scope)
            && tenant
                .roles
                .get(&grant.tuple.role)
                .is_some_and(|role| role.allows(wish.operation))
            && grant
                .condition
                .as_ref()
                .is_none_or(|condition| condition.holds(&asked))
    });
    let forbidden = || {
        world
            .denies
            .iter()
            .any(|deny| deny.forbids(&tenant.hierarchy, principal, wish, now))
    };
    allowed && !forbidden()
}
