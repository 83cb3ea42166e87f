//! The ids of Azure's resources that this adapter takes from an operator, read whole: an id that is
//! not exactly of its kind is refused, so that later code may compare and send it.
//!
//! Azure compares ids without regard to case, and answers with other case than was sent. So do we.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest id that is looked at.
const ID_LENGTH_MAX: usize = 1_024;
/// The segments of a container's id below its resource group, with what must stand in them.
const CONTAINER: [Option<&str>; 8] = [
    Some("providers"),
    Some("Microsoft.Storage"),
    Some("storageAccounts"),
    None,
    Some("blobServices"),
    Some("default"),
    Some("containers"),
    None,
];

/// Why a text is not the kind of id that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{seen}` is not {expected}")]
pub struct BadResourceId {
    expected: &'static str,
    seen: String,
}

impl BadResourceId {
    fn new(expected: &'static str, seen: &str) -> Self {
        let seen = seen.chars().take(200).flat_map(char::escape_default);
        Self {
            expected,
            seen: seen.collect(),
        }
    }
}

/// Where a role is assigned: a subscription, a resource group, or something within one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope {
    id: String,
    subscription: Uuid,
}

impl Scope {
    const EXPECTED: &'static str = "a subscription, a resource group or a resource: \
                                    `/subscriptions/ID[/resourceGroups/NAME[/providers/…]]`";

    /// The whole of a subscription.
    #[must_use]
    pub fn subscription(id: Uuid) -> Self {
        Self {
            id: format!("/subscriptions/{id}"),
            subscription: id,
        }
    }

    /// The subscription it lies in.
    #[must_use]
    pub const fn subscription_id(&self) -> Uuid {
        self.subscription
    }

    /// As Azure's paths begin.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// For comparing: Azure does not tell case apart.
    fn folded(&self) -> String {
        self.id.to_ascii_lowercase()
    }

    /// The name of the container, if it is one: the only thing whose blobs are granted.
    pub(crate) fn container(&self) -> Option<&str> {
        let below: Vec<&str> = self.id.split('/').skip(5).collect();
        let fits = below.len() == CONTAINER.len()
            && below.iter().zip(CONTAINER).all(|(seen, wanted)| {
                wanted.is_none_or(|wanted| seen.eq_ignore_ascii_case(wanted))
            });
        below
            .last()
            .copied()
            .filter(|name| fits && is_container(name))
    }
}

impl Scope {
    /// Whether what holds at a place, as Azure shows it, holds here: at it, below it, or below a
    /// management group, of which there is no other way to be listed here.
    pub(crate) fn is_within(&self, place: &str) -> bool {
        let (own, place) = (
            self.folded(),
            place.trim_end_matches('/').to_ascii_lowercase(),
        );
        let below = own.strip_prefix(place.as_str());
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            || place.starts_with("/providers/microsoft.management/managementgroups/")
    }

    /// The name of the storage account that a container lies in.
    pub(crate) fn account(&self) -> Option<&str> {
        self.container()?;
        // `/subscriptions/ID/resourceGroups/NAME/providers/Microsoft.Storage/storageAccounts/NAME`
        self.id.split('/').nth(8)
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.id.eq_ignore_ascii_case(&other.id)
    }
}

impl Eq for Scope {}

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.folded().cmp(&other.folded())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl FromStr for Scope {
    type Err = BadResourceId;

    fn from_str(text: &str) -> Result<Self, BadResourceId> {
        let wrong = || BadResourceId::new(Self::EXPECTED, text);
        let rest = text.strip_prefix('/').ok_or_else(wrong)?;
        let segments: Vec<&str> = rest.split('/').collect();
        if text.len() > ID_LENGTH_MAX || !segments.iter().all(|s| is_segment(s)) {
            return Err(wrong());
        }
        let is = |at: usize, word: &str| {
            segments
                .get(at)
                .is_some_and(|seen| seen.eq_ignore_ascii_case(word))
        };
        let has_group = segments.len() < 3 || is(2, "resourceGroups");
        let has_provider = segments.len() < 5 || (is(4, "providers") && segments.len() >= 8);
        // Below a group: `providers`, a namespace, and pairs of type and name.
        if !is(0, "subscriptions")
            || !has_group
            || !has_provider
            || !segments.len().is_multiple_of(2)
        {
            return Err(wrong());
        }
        let subscription = segments.get(1).and_then(|id| guid(id)).ok_or_else(wrong)?;
        Ok(Self {
            id: text.to_owned(),
            subscription,
        })
    }
}

impl TryFrom<String> for Scope {
    type Error = BadResourceId;
    fn try_from(text: String) -> Result<Self, BadResourceId> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.id
    }
}

/// The second name that a subscription has, as PIM's documents show it.
const SECOND_NAME: &str = "/providers/Microsoft.Subscription/subscriptions/";

/// A scope as Azure shows it. What an operator writes has one name only: two would be two resources.
pub(crate) fn shown(text: &str) -> Result<Scope, BadResourceId> {
    let second = text.split_at_checked(SECOND_NAME.len());
    match second.filter(|(name, _)| name.eq_ignore_ascii_case(SECOND_NAME)) {
        Some((_, subscription)) => format!("/subscriptions/{subscription}").parse(),
        None => text.parse(),
    }
}

/// A role definition, by its GUID, or by an id that ends in it.
pub(crate) fn role(text: &str) -> Result<Uuid, BadResourceId> {
    const EXPECTED: &str = "a role definition: its GUID, or an id that ends in \
                            `/providers/Microsoft.Authorization/roleDefinitions/GUID`";
    let name = match text.rsplit_once('/') {
        None => text,
        Some((before, name))
            if before
                .to_ascii_lowercase()
                .ends_with("/providers/microsoft.authorization/roledefinitions") =>
        {
            name
        }
        Some(_) => return Err(BadResourceId::new(EXPECTED, text)),
    };
    guid(name).ok_or_else(|| BadResourceId::new(EXPECTED, text))
}

/// A GUID in the one spelling that Azure shows, whatever its case.
pub(crate) fn guid(text: &str) -> Option<Uuid> {
    let id: Uuid = text.parse().ok()?;
    id.to_string().eq_ignore_ascii_case(text).then_some(id)
}

fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment != "."
        && segment != ".."
        && segment
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.()$".contains(&b))
}

/// "Container names must start or end with a letter or number, and can contain only lowercase
/// letters, numbers, and the hyphen" (naming containers).
fn is_container(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SUBSCRIPTION: &str = "/subscriptions/aaaaaaaa-0000-4000-8000-000000000001";
    const CONTAINER_ID: &str = "/subscriptions/aaaaaaaa-0000-4000-8000-000000000001/resourceGroups/shop/providers\
         /Microsoft.Storage/storageAccounts/acme/blobServices/default/containers/artifacts";

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    #[test]
    fn ids_are_read_whole() {
        for good in [
            SUBSCRIPTION.to_owned(),
            format!("{SUBSCRIPTION}/resourceGroups/shop_(1).x"),
            CONTAINER_ID.to_owned(),
        ] {
            assert_eq!(scope(&good).to_string(), good);
        }
        for bad in [
            "",
            "/",
            "/subscriptions",
            "/subscriptions/",
            "/subscriptions/x",
            "/subscriptions/aaaaaaaa000040008000000000000001",
            "subscriptions/aaaaaaaa-0000-4000-8000-000000000001",
            "/providers/Microsoft.Management/managementGroups/acme",
            &format!("{SUBSCRIPTION}/"),
            &format!("{SUBSCRIPTION}/resourceGroups"),
            &format!("{SUBSCRIPTION}/resourcegroups/a/providers"),
            &format!("{SUBSCRIPTION}/resourceGroups/a/providers/Microsoft.Storage"),
            &format!("{SUBSCRIPTION}/resourceGroups/a/other/Microsoft.Storage/x/y"),
            &format!("{SUBSCRIPTION}/resourceGroups/../providers/M/x/y"),
            &format!("{SUBSCRIPTION}/resourceGroups/a?b"),
            &format!("{SUBSCRIPTION}/resourceGroups/a%2fb"),
            &format!("{SUBSCRIPTION}/resourceGroups/a b"),
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }

    #[test]
    fn case_does_not_tell_ids_apart() {
        let shouted = SUBSCRIPTION.to_uppercase();
        assert_eq!(scope(&shouted), scope(SUBSCRIPTION));
        assert_ne!(scope(CONTAINER_ID), scope(SUBSCRIPTION));
    }

    #[test]
    fn what_holds_at_a_place_holds_below_it() {
        let container = scope(CONTAINER_ID);
        for place in [
            "/",
            SUBSCRIPTION,
            &SUBSCRIPTION.to_uppercase(),
            &format!("{SUBSCRIPTION}/resourceGroups/Shop"),
            CONTAINER_ID,
            "/providers/Microsoft.Management/managementGroups/acme",
        ] {
            assert!(container.is_within(place), "{place}");
        }
        for place in [
            "/subscriptions/aaaaaaaa-0000-4000-8000-00000000000",
            &format!("{SUBSCRIPTION}/resourceGroups/sho"),
            &format!("{CONTAINER_ID}/x"),
        ] {
            assert!(!container.is_within(place), "{place}");
        }
    }

    #[test]
    fn only_a_container_is_a_container() {
        assert_eq!(scope(CONTAINER_ID).container(), Some("artifacts"));
        let account = CONTAINER_ID.split("/blobServices").next().unwrap();
        for other in [
            SUBSCRIPTION.to_owned(),
            account.to_owned(),
            CONTAINER_ID.replace("blobServices", "fileServices"),
            CONTAINER_ID.replace("artifacts", "Artifacts"),
            CONTAINER_ID.replace("artifacts", "a--b"),
            format!("{CONTAINER_ID}/blobs/x"),
        ] {
            assert_eq!(scope(&other).container(), None, "{other}");
        }
    }

    #[test]
    fn a_role_is_named_by_its_guid_or_an_id_that_ends_in_it() {
        let id = "b24988ac-6180-42a0-ab88-20f7382dd24c";
        for good in [
            id.to_owned(),
            id.to_uppercase(),
            format!("/providers/Microsoft.Authorization/roleDefinitions/{id}"),
            format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roledefinitions/{id}"),
        ] {
            assert_eq!(role(&good).unwrap().to_string(), id);
        }
        for bad in [
            "",
            "Contributor",
            "b24988ac618042a0ab8820f7382dd24c",
            "/x/y",
        ] {
            assert!(role(bad).is_err(), "{bad}");
        }
    }
}
