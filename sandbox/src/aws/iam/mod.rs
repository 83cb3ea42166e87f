//! Identity and Access Management: roles, inline and managed policies, boundaries, tags.
//!
//! Reads show a write at once; what is *enforced* follows after the configured lag.

mod boundaries;
mod desk;
mod inline_policies;
mod managed_policies;
mod paging;
mod policy_versions;
mod role_tags;
mod roles;

use super::errors::AwsError;
use super::query_protocol::{Params, answer};
use super::server::Incoming;
use super::xml::Xml;
use crate::call::Answer;

use desk::Desk;

pub(crate) const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";
const VERSION: &str = "2010-05-08";

/// An operation: what it answers, if it answers anything.
type Operation = fn(&Desk<'_>) -> Result<Option<Xml>, AwsError>;

/// Whether an operation counts against the write rate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

fn operation(action: &str) -> Option<(Kind, Operation)> {
    use Kind::{Read, Write};
    let found: (Kind, Operation) = match action {
        "CreateRole" => (Write, roles::create_role),
        "GetRole" => (Read, roles::get_role),
        "ListRoles" => (Read, roles::list_roles),
        "UpdateRole" => (Write, roles::update_role),
        "UpdateAssumeRolePolicy" => (Write, roles::update_assume_role_policy),
        "DeleteRole" => (Write, roles::delete_role),
        "PutRolePolicy" => (Write, inline_policies::put_role_policy),
        "GetRolePolicy" => (Read, inline_policies::get_role_policy),
        "ListRolePolicies" => (Read, inline_policies::list_role_policies),
        "DeleteRolePolicy" => (Write, inline_policies::delete_role_policy),
        "CreatePolicy" => (Write, managed_policies::create_policy),
        "GetPolicy" => (Read, managed_policies::get_policy),
        "ListPolicies" => (Read, managed_policies::list_policies),
        "DeletePolicy" => (Write, managed_policies::delete_policy),
        "AttachRolePolicy" => (Write, managed_policies::attach_role_policy),
        "DetachRolePolicy" => (Write, managed_policies::detach_role_policy),
        "ListAttachedRolePolicies" => (Read, managed_policies::list_attached_role_policies),
        "CreatePolicyVersion" => (Write, policy_versions::create_policy_version),
        "GetPolicyVersion" => (Read, policy_versions::get_policy_version),
        "ListPolicyVersions" => (Read, policy_versions::list_policy_versions),
        "SetDefaultPolicyVersion" => (Write, policy_versions::set_default_policy_version),
        "DeletePolicyVersion" => (Write, policy_versions::delete_policy_version),
        "PutRolePermissionsBoundary" => (Write, boundaries::put_role_permissions_boundary),
        "DeleteRolePermissionsBoundary" => (Write, boundaries::delete_role_permissions_boundary),
        "TagRole" => (Write, role_tags::tag_role),
        "UntagRole" => (Write, role_tags::untag_role),
        "ListRoleTags" => (Read, role_tags::list_role_tags),
        _ => return None,
    };
    Some(found)
}

/// Answers a call to IAM.
pub(crate) fn serve(incoming: &Incoming<'_>, action: &str) -> Result<Answer, AwsError> {
    let params = Params::of(incoming.call);
    let version = params.optional("Version").unwrap_or("-");
    let (kind, run) = operation(action)
        .filter(|_| version == VERSION)
        .ok_or_else(|| {
            AwsError::new(
                400,
                "InvalidAction",
                format!("Could not find operation {action} for version {version}"),
            )
        })?;
    let account = incoming.standing.caller.account().ok_or_else(|| {
        AwsError::new(
            403,
            "MissingAuthenticationToken",
            "Request is missing Authentication Token",
        )
    })?;
    if kind == Kind::Write {
        incoming.cloud.rates.take_iam_write(account)?;
    }
    let desk = Desk {
        incoming,
        params: &params,
        account,
    };
    let result = run(&desk)?;
    Ok(answer(
        NAMESPACE,
        action,
        result.as_ref(),
        &incoming.request_id,
    ))
}
