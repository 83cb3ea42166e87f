//! Credential Access Boundaries: what a narrowed token may still do, in Cloud Storage and nowhere else.

use super::directory::{Directory, Resource};
use super::expressions::{Circumstances, Expression};

/// The most rules in a boundary.
pub(crate) const RULES_MAX: usize = 10;
/// The most characters of a rule's condition.
pub(crate) const CONDITION_CHARACTERS_MAX: usize = 2_048;

/// One bucket, the roles that limit what is possible there, and when.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) bucket: String,
    pub(crate) roles: Vec<String>,
    pub(crate) condition: Option<Expression>,
}

/// Rules, any of which lets a call pass.
#[derive(Clone, Debug)]
pub(crate) struct Boundary {
    pub(crate) rules: Vec<Rule>,
}

impl Boundary {
    /// Whether the boundary leaves this possible. It gives nothing: a policy must allow it as well.
    pub(crate) fn allows(
        &self,
        directory: &Directory,
        permission: &str,
        resource: &Resource,
        circumstances: &Circumstances,
    ) -> bool {
        let Resource::Bucket(bucket) = resource else {
            return false;
        };
        self.rules.iter().any(|rule| {
            rule.bucket == *bucket
                && rule
                    .roles
                    .iter()
                    .any(|role| directory.role_holds(role, permission))
                && rule
                    .condition
                    .as_ref()
                    .is_none_or(|condition| condition.holds(circumstances))
        })
    }
}
