//! What the operator has and what may be done with it: the inventory of resources and the
//! catalogue of capabilities. Both are read once at the start and never change under a request.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{CloudName, ResourceName, TargetName};
use crate::scope::{Capability, Scope};

/// How much harm a misuse can do. Ordered: a request counts as its highest tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Scratch space, test data.
    Low,
    /// What most deployments touch.
    Standard,
    /// Production data, secrets.
    High,
    /// Whatever can change who may do what.
    Critical,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Standard => "standard",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// A thing in a cloud under the operator's name for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The target it belongs to.
    pub target: TargetName,
    /// The cloud's own canonical id, e.g. `arn:aws:s3:::artifacts-prod`.
    pub native_id: String,
    /// The identity in the target that carries grants on it, where the cloud needs one: on AWS
    /// the ARN of the role to assume.
    #[serde(default)]
    pub via: Option<String>,
    /// Its tier.
    pub tier: Tier,
    /// Who answers for it.
    pub owner: String,
}

/// All resources of an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory(BTreeMap<ResourceName, Resource>);

impl Inventory {
    /// Takes the operator's list. A thing with several names takes the highest tier of them:
    /// otherwise a second name would be a way around a policy on the first.
    #[must_use]
    pub fn new(mut resources: BTreeMap<ResourceName, Resource>) -> Self {
        let mut highest: BTreeMap<(TargetName, String), Tier> = BTreeMap::new();
        for resource in resources.values() {
            let key = (resource.target.clone(), resource.native_id.clone());
            let tier = highest.entry(key).or_insert(resource.tier);
            *tier = resource.tier.max(*tier);
        }
        for resource in resources.values_mut() {
            let key = (resource.target.clone(), resource.native_id.clone());
            resource.tier = highest.get(&key).copied().unwrap_or(resource.tier);
        }
        Self(resources)
    }

    /// The resource of that name.
    #[must_use]
    pub fn get(&self, name: &ResourceName) -> Option<&Resource> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceName, &Resource)> {
        self.0.iter()
    }
}

/// Whether a scope of a capability may name a path within its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathUse {
    /// The capability is about the whole resource; a path is refused.
    Never,
    /// A path narrows it.
    Optional,
}

/// A credential or right that a capability lets a job make, which may outlive the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Derived {
    /// What it is, in the field's words: `ecr login`.
    pub what: String,
    /// The longest it can live after it was made, in seconds.
    pub life_seconds: u32,
    /// Whether ending the grant stops it too.
    pub ends_with_grant: bool,
}

/// What a capability means on one cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// What it lets a job make.
    #[serde(default)]
    pub derives: Vec<Derived>,
    /// The cloud's own terms. Only that cloud's adapter reads them.
    pub terms: serde_json::Value,
}

/// A row of the catalogue: what a capability allows, on each cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meaning {
    /// One line for people.
    pub summary: String,
    /// Its tier, whatever the resource's.
    pub tier: Tier,
    /// Whether scopes may name a path.
    pub path: PathUse,
    /// Whether what it lets a job do can outlive any revocation by itself: writing IAM, creating
    /// keys, planting resource policies. Such a lease never claims to sever.
    pub persists: bool,
    /// What it means on each cloud that has it.
    pub clouds: BTreeMap<CloudName, Column>,
}

/// All capabilities, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Catalogue(pub BTreeMap<Capability, Meaning>);

/// A scope with everything the inventory and the catalogue say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// As asked.
    pub scope: Scope,
    /// What it names.
    pub resource: Resource,
    /// What its capability means.
    pub meaning: Meaning,
}

impl Wanted {
    /// The tier that counts: the higher of resource and capability.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.resource.tier.max(self.meaning.tier)
    }
}

/// Why a scope names nothing that can be granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotResolve {
    /// No such resource in the inventory.
    #[error("`{0}` is not in this broker's inventory of resources")]
    UnknownResource(ResourceName),
    /// No such capability in the catalogue.
    #[error("`{0}` is not a capability of this broker's catalogue")]
    UnknownCapability(Capability),
    /// The capability takes no path.
    #[error("`{0}` is about a whole resource and takes no path")]
    PathNotAllowed(Capability),
}

/// Looks a scope up.
///
/// # Errors
/// When the resource or the capability is unknown, or a path is given where none is allowed.
pub fn resolve(
    scope: &Scope,
    inventory: &Inventory,
    catalogue: &Catalogue,
) -> Result<Wanted, CannotResolve> {
    let resource = inventory
        .get(&scope.resource)
        .ok_or_else(|| CannotResolve::UnknownResource(scope.resource.clone()))?;
    let meaning = catalogue
        .0
        .get(&scope.capability)
        .ok_or_else(|| CannotResolve::UnknownCapability(scope.capability.clone()))?;
    if meaning.path == PathUse::Never && scope.path != crate::scope::Path::Whole {
        return Err(CannotResolve::PathNotAllowed(scope.capability.clone()));
    }
    Ok(Wanted {
        scope: scope.clone(),
        resource: resource.clone(),
        meaning: meaning.clone(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn resource(native_id: &str, tier: Tier) -> Resource {
        Resource {
            target: "acme-prod".parse().unwrap(),
            native_id: native_id.to_owned(),
            via: None,
            tier,
            owner: "platform".to_owned(),
        }
    }

    #[test]
    fn a_second_name_does_not_lower_the_tier() {
        let inventory = Inventory::new(BTreeMap::from([
            (
                "artifacts".parse().unwrap(),
                resource("arn:aws:s3:::a", Tier::High),
            ),
            (
                "scratch".parse().unwrap(),
                resource("arn:aws:s3:::a", Tier::Low),
            ),
            (
                "other".parse().unwrap(),
                resource("arn:aws:s3:::b", Tier::Low),
            ),
        ]));
        assert_eq!(
            inventory.get(&"scratch".parse().unwrap()).unwrap().tier,
            Tier::High
        );
        assert_eq!(
            inventory.get(&"other".parse().unwrap()).unwrap().tier,
            Tier::Low
        );
    }

    #[test]
    fn a_scope_that_names_nothing_known_is_refused_with_its_reason() {
        let inventory = Inventory::new(BTreeMap::from([(
            "artifacts".parse().unwrap(),
            resource("arn:aws:s3:::a", Tier::Low),
        )]));
        let meaning = Meaning {
            summary: "run the plan".to_owned(),
            tier: Tier::Critical,
            path: PathUse::Never,
            persists: true,
            clouds: BTreeMap::new(),
        };
        let catalogue = Catalogue(BTreeMap::from([("infra:apply".parse().unwrap(), meaning)]));
        let look = |text: &str| resolve(&text.parse().unwrap(), &inventory, &catalogue);
        assert_eq!(
            look("infra:apply@artifacts").unwrap().tier(),
            Tier::Critical
        );
        assert!(matches!(
            look("infra:apply@nope"),
            Err(CannotResolve::UnknownResource(_))
        ));
        assert!(matches!(
            look("infra:read@artifacts"),
            Err(CannotResolve::UnknownCapability(_))
        ));
        assert!(matches!(
            look("infra:apply@artifacts/x"),
            Err(CannotResolve::PathNotAllowed(_))
        ));
    }
}
