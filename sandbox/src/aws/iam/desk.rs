//! What every IAM operation needs: the caller's account, its parameters, and the roles and policies in it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::aws::directory::{AccountEntry, Directory, Role, RoleRules};
use crate::aws::errors::AwsError;
use crate::aws::evaluate::{Policy, PolicyKind, ResourceSide};
use crate::aws::query_protocol::{Params, Shape, is_name_char};
use crate::aws::server::Incoming;

/// All inline policies of a role together, white space not counted.
pub(crate) const INLINE_CHARACTERS_MAX: usize = 10_240;
/// One managed policy, white space not counted.
pub(crate) const MANAGED_CHARACTERS_MAX: usize = 6_144;
/// A trust policy, white space not counted.
pub(crate) const TRUST_CHARACTERS_MAX: usize = 2_048;
/// Roles in an account.
pub(super) const ROLES_MAX: usize = 1_000;
/// Customer managed policies in an account.
pub(super) const POLICIES_MAX: usize = 1_500;
/// Managed policies attached to a role.
pub(super) const ATTACHED_MAX: usize = 10;
/// Versions of a managed policy.
pub(super) const VERSIONS_MAX: usize = 5;

pub(super) const ROLE_NAME: Shape = Shape {
    least: 1,
    most: 64,
    allowed: is_name_char,
    pattern: r"[\w+=,.@-]+",
};
pub(super) const POLICY_NAME: Shape = Shape {
    least: 1,
    most: 128,
    allowed: is_name_char,
    pattern: r"[\w+=,.@-]+",
};
pub(super) const DOCUMENT: Shape = Shape {
    least: 1,
    most: 131_072,
    allowed: is_document_char,
    pattern: r"[\u0009\u000A\u000D\u0020-\u00FF]+",
};
pub(super) const ARN: Shape = Shape {
    least: 20,
    most: 2_048,
    allowed: is_document_char,
    pattern: r"[\u0009\u000A\u000D\u0020-\u00FF]+",
};
pub(super) const DESCRIPTION: Shape = Shape {
    least: 0,
    most: 1_000,
    allowed: is_document_char,
    pattern: r"[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*",
};
const PATH: Shape = Shape {
    least: 1,
    most: 512,
    allowed: is_path_char,
    pattern: r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)",
};

fn is_document_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{FF}')
}

fn is_path_char(char: char) -> bool {
    matches!(char, '\u{21}'..='\u{7E}')
}

/// The characters RFC 3986 leaves as they are.
const DOCUMENT_ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One call to IAM.
pub(super) struct Desk<'a> {
    pub(super) incoming: &'a Incoming<'a>,
    pub(super) params: &'a Params,
    /// The caller's account, which is the only one IAM lets it see.
    pub(super) account: &'a str,
}

impl Desk<'_> {
    /// Whether the caller may do this to that ARN.
    pub(super) fn authorise(
        &self,
        action: &str,
        resource: &str,
        keys: &[(&str, Vec<String>)],
    ) -> Result<(), AwsError> {
        let side = ResourceSide {
            account: self.account.to_owned(),
            policy: None,
            must_allow: false,
        };
        self.incoming
            .standing
            .check(action, resource, keys, Some(side))
    }

    /// As [`Desk::authorise`] for an action on a role, with the condition keys a role brings along. A role that
    /// is not there is judged by the ARN it would have.
    pub(super) fn authorise_role(
        &self,
        action: &str,
        role_name: &str,
        keys: &[(&str, Vec<String>)],
    ) -> Result<(), AwsError> {
        let mut keys = keys.to_vec();
        let mut tag_keys = Vec::new();
        let arn = {
            let directory = self.incoming.cloud.directory.read();
            match self.role_in(&directory, role_name) {
                Ok(role) => {
                    let boundary = role.rules.written().boundary.clone();
                    // An operation that passes a boundary itself is judged by that one.
                    if let Some(boundary) = boundary
                        && keys
                            .iter()
                            .all(|(key, _)| *key != "iam:PermissionsBoundary")
                    {
                        keys.push(("iam:PermissionsBoundary", vec![boundary]));
                    }
                    for (key, value) in role.tags.iter() {
                        tag_keys.push((format!("aws:ResourceTag/{key}"), value.to_owned()));
                        tag_keys.push((format!("iam:ResourceTag/{key}"), value.to_owned()));
                    }
                    role.arn.clone()
                }
                Err(_) => format!("arn:aws:iam::{}:role/{role_name}", self.account),
            }
        };
        keys.extend(
            tag_keys
                .iter()
                .map(|(key, value)| (key.as_str(), vec![value.clone()])),
        );
        self.authorise(action, &arn, &keys)
    }

    /// `RoleName`, checked.
    pub(super) fn role_name(&self) -> Result<&str, AwsError> {
        self.params.required_checked("RoleName", &ROLE_NAME)
    }

    pub(super) fn entry<'d>(&self, directory: &'d Directory) -> Result<&'d AccountEntry, AwsError> {
        directory
            .account(self.account)
            .ok_or_else(|| AwsError::no_such_entity("The account cannot be found."))
    }

    pub(super) fn entry_mut<'d>(
        &self,
        directory: &'d mut Directory,
    ) -> Result<&'d mut AccountEntry, AwsError> {
        let account = directory.accounts.get_mut(self.account);
        account.ok_or_else(|| AwsError::no_such_entity("The account cannot be found."))
    }

    pub(super) fn role_in<'d>(
        &self,
        directory: &'d Directory,
        name: &str,
    ) -> Result<&'d Role, AwsError> {
        self.entry(directory)?
            .roles
            .get(&name.to_lowercase())
            .ok_or_else(|| no_such_role(name))
    }

    pub(super) fn role_mut<'d>(
        &self,
        directory: &'d mut Directory,
        name: &str,
    ) -> Result<&'d mut Role, AwsError> {
        self.entry_mut(directory)?
            .roles
            .get_mut(&name.to_lowercase())
            .ok_or_else(|| no_such_role(name))
    }

    /// Changes a role's rules: read back at once, enforced after the lag.
    pub(super) fn change_rules(
        &self,
        role_name: &str,
        change: impl FnOnce(&mut RoleRules, &Role) -> Result<(), AwsError>,
    ) -> Result<(), AwsError> {
        let mut directory = self.incoming.cloud.directory.write();
        let role = self.role_mut(&mut directory, role_name)?;
        let mut rules = role.rules.written().clone();
        change(&mut rules, role)?;
        role.rules.write(
            self.incoming.now,
            self.incoming.cloud.enforced_from(self.incoming.now),
            rules,
        );
        Ok(())
    }

    /// Reads a policy document parameter.
    pub(super) fn document(&self, name: &str, kind: PolicyKind) -> Result<Policy, AwsError> {
        let text = self.params.required_checked(name, &DOCUMENT)?;
        Policy::parse(text, kind)
            .map_err(|malformed| AwsError::malformed_policy(malformed.to_string()))
    }

    /// A trust policy whose principals exist, bound to who they are now.
    pub(super) fn trust_document(&self, name: &str) -> Result<Policy, AwsError> {
        let policy = self.document(name, PolicyKind::Trust)?;
        let length = crate::aws::directory::counted_length(policy.source());
        if length > TRUST_CHARACTERS_MAX {
            let message = format!("Cannot exceed quota for ACLSizePerRole: {TRUST_CHARACTERS_MAX}");
            return Err(AwsError::limit_exceeded(message));
        }
        let directory = self.incoming.cloud.directory.read();
        directory.bound(&policy).map_err(|principal| {
            AwsError::malformed_policy(format!(
                "Invalid principal in policy: \"AWS\":\"{principal}\""
            ))
        })
    }

    /// `Path`, `/` when absent.
    pub(super) fn path(&self) -> Result<String, AwsError> {
        let path = self.params.checked("Path", &PATH)?.unwrap_or("/");
        if path.starts_with('/') && path.ends_with('/') {
            Ok(path.to_owned())
        } else {
            let constraint = format!(
                "Member must satisfy regular expression pattern: {}",
                PATH.pattern
            );
            Err(AwsError::constraint("path", &constraint))
        }
    }
}

pub(super) fn no_such_role(name: &str) -> AwsError {
    AwsError::no_such_entity(format!("The role with name {name} cannot be found."))
}

pub(super) fn no_such_policy(arn: &str) -> AwsError {
    AwsError::no_such_entity(format!("Policy {arn} does not exist or is not attachable."))
}

/// A policy document as IAM answers it: percent-encoded by RFC 3986.
pub(super) fn encoded(policy: &Policy) -> String {
    utf8_percent_encode(policy.source(), DOCUMENT_ENCODED).to_string()
}
