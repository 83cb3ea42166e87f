//! Scopes: where an assignment applies. Compared without regard to case, shown as they were written.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use uuid::Uuid;

const SUBSCRIPTION_ALIAS: &str = "/providers/microsoft.subscription/subscriptions/";
const MANAGEMENT_GROUP: &str = "/providers/microsoft.management/managementgroups/";

/// A place in the tree of tenant, management groups, subscriptions, resource groups and resources.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// As it was written, `/subscriptions/…`; the tenant's own is empty.
    text: String,
    /// The same in lower case.
    key: String,
}

/// What kind of place a scope is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tenant,
    ManagementGroup,
    Subscription,
    ResourceGroup,
    Resource,
}

impl Kind {
    /// As `expandedProperties.scope.type` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Tenant => "tenant",
            Kind::ManagementGroup => "managementgroup",
            Kind::Subscription => "subscription",
            Kind::ResourceGroup => "resourcegroup",
            Kind::Resource => "resource",
        }
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Scope) -> bool {
        self.key == other.key
    }
}

impl Eq for Scope {}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.text.is_empty() {
            "/"
        } else {
            &self.text
        })
    }
}

impl Scope {
    /// The tenant itself, above everything.
    pub(crate) fn tenant() -> Scope {
        Scope::of_text(String::new())
    }

    pub(crate) fn subscription(id: Uuid) -> Scope {
        Scope::of_text(format!("/subscriptions/{id}"))
    }

    /// Reads a scope from a path; `None` when it cannot be one. Whether it exists is another question.
    pub(crate) fn parse(path: &str) -> Option<Scope> {
        let trimmed = path.trim_matches('/');
        if trimmed.is_empty() {
            return Some(Scope::tenant());
        }
        let text = format!("/{trimmed}");
        let key = text.to_lowercase();
        // The second name of a subscription is answered with its first.
        if let Some(id) = key.strip_prefix(SUBSCRIPTION_ALIAS) {
            return id.parse().ok().map(Scope::subscription);
        }
        if let Some(group) = key.strip_prefix(MANAGEMENT_GROUP) {
            let one_name = !group.is_empty() && !group.contains('/');
            return one_name.then_some(Scope { text, key });
        }
        let segments: Vec<&str> = key.split('/').skip(1).collect();
        let well_formed = match segments.as_slice() {
            ["subscriptions", id] => id.parse::<Uuid>().is_ok(),
            ["subscriptions", id, "resourcegroups", group] => {
                id.parse::<Uuid>().is_ok() && !group.is_empty()
            }
            [
                "subscriptions",
                id,
                "resourcegroups",
                group,
                "providers",
                _,
                types @ ..,
            ] => {
                id.parse::<Uuid>().is_ok()
                    && !group.is_empty()
                    && !types.is_empty()
                    && types.len() % 2 == 0
                    && types.iter().all(|part| !part.is_empty())
            }
            _ => false,
        };
        well_formed.then_some(Scope { text, key })
    }

    fn of_text(text: String) -> Scope {
        let key = text.to_lowercase();
        Scope { text, key }
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.key.is_empty() {
            return Kind::Tenant;
        }
        if self.key.starts_with(MANAGEMENT_GROUP) {
            return Kind::ManagementGroup;
        }
        match self.key.matches('/').count() {
            2 => Kind::Subscription,
            4 => Kind::ResourceGroup,
            _ => Kind::Resource,
        }
    }

    /// The subscription it is or lies in.
    pub(crate) fn subscription_id(&self) -> Option<Uuid> {
        let rest = self.key.strip_prefix("/subscriptions/")?;
        rest.split('/').next()?.parse().ok()
    }

    /// The resource group it is or lies in.
    pub(crate) fn resource_group(&self) -> Option<&str> {
        self.text.split('/').nth(4).filter(|_| self.is_in_a_group())
    }

    fn is_in_a_group(&self) -> bool {
        matches!(self.kind(), Kind::ResourceGroup | Kind::Resource)
    }

    /// The last name in it, which is what people call it.
    pub(crate) fn last_name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// Where an object of `Microsoft.Authorization` at this scope has its id.
    pub(crate) fn authorization_id(&self, kind: &str, name: impl fmt::Display) -> String {
        format!(
            "{}/providers/Microsoft.Authorization/{kind}/{name}",
            self.text
        )
    }

    /// A scope below this one.
    pub(crate) fn below(&self, rest: &str) -> Scope {
        Scope::of_text(format!("{}/{rest}", self.text))
    }
}

/// Which management group a subscription is in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hierarchy {
    pub(crate) group_of: BTreeMap<Uuid, Scope>,
}

impl Hierarchy {
    /// Whether `upper` is `lower`, or above it.
    pub(crate) fn covers(&self, upper: &Scope, lower: &Scope) -> bool {
        match upper.kind() {
            Kind::Tenant => true,
            Kind::ManagementGroup => {
                upper == lower
                    || lower
                        .subscription_id()
                        .and_then(|id| self.group_of.get(&id))
                        .is_some_and(|group| group == upper)
            }
            Kind::Subscription | Kind::ResourceGroup | Kind::Resource => lower
                .key
                .strip_prefix(&upper.key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    const SUBSCRIPTION: &str = "/subscriptions/11111111-1111-1111-1111-111111111111";

    fn scope(rest: &str) -> Scope {
        Scope::parse(&format!("{SUBSCRIPTION}{rest}")).unwrap()
    }

    #[test]
    fn a_scope_covers_itself_and_what_is_below_and_nothing_that_only_begins_alike() {
        let tree = Hierarchy::default();
        let group = scope("/resourceGroups/prod");
        assert!(tree.covers(&group, &group));
        assert!(tree.covers(&group, &scope("/resourcegroups/PROD/providers/A.B/c/d")));
        assert!(!tree.covers(&group, &scope("/resourceGroups/prod-eu")));
        assert!(!tree.covers(&group, &scope("")));
        assert!(tree.covers(&scope(""), &group));
        assert!(tree.covers(&Scope::tenant(), &group));
    }

    #[test]
    fn a_management_group_covers_the_subscriptions_in_it() {
        let group = Scope::parse("/providers/Microsoft.Management/managementGroups/corp").unwrap();
        let mut tree = Hierarchy::default();
        assert!(!tree.covers(&group, &scope("/resourceGroups/prod")));
        let id = scope("").subscription_id().unwrap();
        tree.group_of.insert(id, group.clone());
        assert!(tree.covers(&group, &scope("/resourceGroups/prod")));
        assert!(!tree.covers(&scope(""), &group));
    }

    #[test]
    fn the_second_name_of_a_subscription_is_the_first() {
        let id = "11111111-1111-1111-1111-111111111111";
        let alias = format!("providers/Microsoft.Subscription/subscriptions/{id}");
        assert_eq!(Scope::parse(&alias).unwrap().to_string(), SUBSCRIPTION);
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for path in [
            "/subscriptions",
            "/subscriptions/prod",
            "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups",
            "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/a/providers/A.B/c",
            "/providers/Microsoft.Management/managementGroups/a/b",
            "/elsewhere",
        ] {
            assert!(Scope::parse(path).is_none(), "{path}");
        }
    }
}
