//! Questions about the cloud that no Azure call answers: who has rights, who had them, and who may do what.

use jiff::Timestamp;
use uuid::Uuid;

use super::authority::{self, Wish};
use super::book::{Grant, GrantInfo};
use super::cloud::Cloud;
use super::roles::Operation;
use super::scope::Scope;

impl Cloud {
    /// Every role assignment there ever was, oldest first.
    pub(crate) fn grants(&self) -> Vec<GrantInfo> {
        self.in_book(|_| true)
    }

    /// The role assignments that give a principal rights now, or will if nobody does anything: what is listed,
    /// and what was removed and is still enforced.
    pub(crate) fn keeps(&self, principal: Uuid) -> Vec<GrantInfo> {
        let now = self.clock.now();
        self.in_book(|grant| grant.tuple.principal == principal && grant.keeps_rights(now))
    }

    fn in_book(&self, is_meant: impl Fn(&&Grant) -> bool) -> Vec<GrantInfo> {
        let world = self.world();
        let entries = world.book.entries().into_iter();
        entries.filter(is_meant).map(GrantInfo::from).collect()
    }

    /// The role assignments that gave a principal rights at a moment.
    pub(crate) fn enforced_at(&self, principal: Uuid, at: Timestamp) -> Vec<GrantInfo> {
        let had = |grant: &&Grant| grant.tuple.principal == principal && grant.is_enforced(at);
        self.in_book(had)
    }

    /// Whether a principal may do something now, as far as no condition asks about more than the action. `None`
    /// when the scope cannot be read.
    pub(crate) fn would_allow(&self, principal: Uuid, action: &str, scope: &str) -> Option<bool> {
        let scope = Scope::parse(scope)?;
        let world = self.world();
        let now = self.clock.now();
        let allows = |operation| {
            let wish = Wish {
                operation,
                scope: &scope,
                sub_operation: None,
                attributes: Vec::new(),
            };
            authority::may(&self.tenant, &world, principal, &wish, now)
        };
        Some(allows(Operation::Control(action)) || allows(Operation::Data(action)))
    }
}
