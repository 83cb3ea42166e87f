//! Whether a caller may do something now: the policies from the resource up to its project, with their conditions,
//! and then what narrows the token itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cloud::Cloud;
use super::directory::{Directory, Resource};
use super::expressions::{Attributes, Circumstances};
use super::principals::Principal;
use super::tokens::Token;

/// What a call is about, as policies and conditions see it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where its policy is looked for first; then at its project.
    pub(crate) resource: Resource,
    pub(crate) name: String,
    kind: &'static str,
    service: &'static str,
    attributes: Attributes,
}

impl Target {
    pub(crate) fn project(id: &str) -> Target {
        Target {
            resource: Resource::Project(id.to_owned()),
            name: format!("projects/{id}"),
            kind: "cloudresourcemanager.googleapis.com/Project",
            service: "cloudresourcemanager.googleapis.com",
            attributes: Attributes::new(),
        }
    }

    pub(crate) fn account(project: &str, unique_id: &str) -> Target {
        Target {
            resource: Resource::Account(unique_id.to_owned()),
            name: format!("projects/{project}/serviceAccounts/{unique_id}"),
            kind: "iam.googleapis.com/ServiceAccount",
            service: "iam.googleapis.com",
            attributes: Attributes::new(),
        }
    }

    pub(crate) fn bucket(name: &str) -> Target {
        Target {
            resource: Resource::Bucket(name.to_owned()),
            name: format!("projects/_/buckets/{name}"),
            kind: "storage.googleapis.com/Bucket",
            service: "storage.googleapis.com",
            attributes: Attributes::new(),
        }
    }

    pub(crate) fn object(bucket: &str, name: &str) -> Target {
        Target {
            name: format!("projects/_/buckets/{bucket}/objects/{name}"),
            kind: "storage.googleapis.com/Object",
            ..Target::bucket(bucket)
        }
    }

    /// The same, with something more for `api.getAttribute` to find.
    #[must_use]
    pub(crate) fn with(mut self, attribute: &'static str, value: serde_json::Value) -> Target {
        self.attributes.insert(attribute, value);
        self
    }

    pub(crate) fn circumstances(&self, time: Timestamp) -> Circumstances {
        Circumstances {
            time,
            resource_name: self.name.clone(),
            resource_type: self.kind,
            resource_service: self.service,
            attributes: self.attributes.clone(),
        }
    }
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Policies, boundary, scopes and the state of the token allow it.
    Allowed,
    /// The token is unknown, expired, or its account is disabled or gone.
    TokenRefused,
    /// The token's scopes do not cover it.
    OutOfScope,
    /// No policy allows it.
    NotGranted,
    /// A policy allows it and the token's boundary does not.
    OutOfBounds,
}

impl Directory {
    /// Whether a policy allows it, as enforced now. `None` is a caller without a token.
    pub(crate) fn grants(
        &self,
        principal: Option<&Principal>,
        permission: &str,
        target: &Target,
        now: Timestamp,
    ) -> bool {
        let project = self
            .project_of(&target.resource)
            .map(|id| Resource::Project(id.to_owned()));
        let circumstances = target.circumstances(now);
        let own = std::iter::once(target.resource.clone());
        let mut resources: Vec<Resource> = own.chain(project).collect();
        resources.dedup();
        let policies = resources
            .iter()
            .filter_map(|resource| self.policies.get(resource));
        policies.flat_map(|policy| policy.held()).any(|held| {
            held.is_enforced(now)
                && self.means(&held.member, principal, target, now)
                && self.role_holds(&held.role, permission)
                && held
                    .condition
                    .as_ref()
                    .is_none_or(|condition| condition.expression.holds(&circumstances))
        })
    }

    /// Whether a member of a policy means this caller. `projectViewer:ID` and its kin are whoever holds that basic
    /// role on the project.
    fn means(
        &self,
        member: &str,
        principal: Option<&Principal>,
        target: &Target,
        now: Timestamp,
    ) -> bool {
        let Some(principal) = principal else {
            return member == "allUsers";
        };
        let basic = match member.split_once(':') {
            Some(("projectOwner", project)) => Some(("roles/owner", project)),
            Some(("projectEditor", project)) => Some(("roles/editor", project)),
            Some(("projectViewer", project)) => Some(("roles/viewer", project)),
            _ => None,
        };
        let Some((role, project)) = basic else {
            return principal.is_meant_by(member);
        };
        if matches!(target.resource, Resource::Project(_)) {
            return false;
        }
        let policy = self.policies.get(&Resource::Project(project.to_owned()));
        let mut held = policy.into_iter().flat_map(|policy| policy.held());
        held.any(|held| {
            held.role == role && held.is_enforced(now) && principal.is_meant_by(&held.member)
        })
    }
}

impl Directory {
    /// Whether a token that counts may do it: a policy must allow it, and the token's boundary as well.
    pub(crate) fn decide(
        &self,
        token: Option<&Token>,
        permission: &str,
        target: &Target,
        now: Timestamp,
    ) -> Verdict {
        let principal = token.map(|token| &token.principal);
        if !self.grants(principal, permission, target, now) {
            return Verdict::NotGranted;
        }
        let circumstances = target.circumstances(now);
        let boundary = token.and_then(|token| token.boundary.as_ref());
        let is_within = boundary.is_none_or(|boundary| {
            boundary.allows(self, permission, &target.resource, &circumstances)
        });
        if is_within {
            Verdict::Allowed
        } else {
            Verdict::OutOfBounds
        }
    }
}

impl Cloud {
    /// What is decided now about a token that counts.
    pub(crate) fn decide(
        &self,
        token: Option<&Token>,
        permission: &str,
        target: &Target,
    ) -> Verdict {
        let directory = self.directory.read();
        directory.decide(token, permission, target, self.clock.now())
    }

    pub(crate) fn may(&self, token: Option<&Token>, permission: &str, target: &Target) -> bool {
        self.decide(token, permission, target) == Verdict::Allowed
    }
}
