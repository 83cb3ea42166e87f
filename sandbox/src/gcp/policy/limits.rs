//! What a policy may not be: too large, with conditions where there are none, or naming what is not there.

use std::collections::HashMap;

use super::document::{Binding, Document};
use crate::gcp::errors::ApiError;
use crate::gcp::expressions::LOGICAL_OPERATORS_MAX;
use crate::gcp::principals::is_member;
use crate::gcp::roles;

/// The most members in one policy; each occurrence counts.
pub(crate) const MEMBERS_MAX: usize = 1_500;
/// The most bindings for one role and member that differ only in their condition.
pub(crate) const CONDITIONAL_BINDINGS_MAX: usize = 20;
/// The most bytes of a policy.
pub(crate) const POLICY_BYTES_MAX: usize = 64 * 1024;

/// What the checks must ask the rest of the cloud.
pub(crate) trait Surroundings {
    /// Whether the role exists and can be granted on the resource.
    fn has_role(&self, role: &str) -> bool;
    /// Whether the service account exists.
    fn has_account(&self, email: &str) -> bool;
}

/// Checks bindings as they came, before they are put together.
pub(crate) fn check_bindings(
    bindings: &[Binding],
    around: &dyn Surroundings,
) -> Result<(), ApiError> {
    for binding in bindings {
        check_binding(binding, around)?;
    }
    let members: usize = bindings.iter().map(|binding| binding.members.len()).sum();
    if members > MEMBERS_MAX {
        return Err(ApiError::invalid(format!(
            "The number of members in the policy ({}) is larger than the maximum allowed size {}.",
            grouped(members),
            grouped(MEMBERS_MAX)
        )));
    }
    check_conditional_bindings(bindings)
}

/// Checks a policy as it would be stored.
pub(crate) fn check_size(document: &Document) -> Result<(), ApiError> {
    if document.as_json(3).to_string().len() > POLICY_BYTES_MAX {
        return Err(ApiError::invalid(
            "The policy is too large: it may have 64 KB at most.",
        ));
    }
    Ok(())
}

fn check_binding(binding: &Binding, around: &dyn Surroundings) -> Result<(), ApiError> {
    let role = &binding.role;
    if !around.has_role(role) {
        return Err(ApiError::invalid(format!(
            "Role {role} is not supported for this resource."
        )));
    }
    if binding.members.is_empty() {
        return Err(ApiError::invalid(format!(
            "Binding for role {role} has no members."
        )));
    }
    for member in &binding.members {
        if !is_member(member) {
            return Err(ApiError::invalid(format!("Invalid member {member}.")));
        }
        if let Some(email) = member.strip_prefix("serviceAccount:")
            && !around.has_account(email)
        {
            return Err(ApiError::invalid(format!(
                "Service account {email} does not exist."
            )));
        }
    }
    let Some(condition) = &binding.condition else {
        return Ok(());
    };
    if roles::is_basic(role) {
        return Err(ApiError::invalid(format!(
            "Conditions can't be set on primitive roles: {role}."
        )));
    }
    if binding
        .members
        .iter()
        .any(|member| member.starts_with("all"))
    {
        return Err(ApiError::invalid(
            "Conditions can't be set on bindings with allUsers or allAuthenticatedUsers.",
        ));
    }
    if condition.expression.logical_operators() > LOGICAL_OPERATORS_MAX {
        return Err(ApiError::invalid(format!(
            "The condition '{}' has more than {LOGICAL_OPERATORS_MAX} logical operators.",
            condition.title
        )));
    }
    Ok(())
}

fn check_conditional_bindings(bindings: &[Binding]) -> Result<(), ApiError> {
    let mut conditions: HashMap<(&str, &str), usize> = HashMap::new();
    for binding in bindings
        .iter()
        .filter(|binding| binding.condition.is_some())
    {
        for member in &binding.members {
            let count = conditions.entry((&binding.role, member)).or_default();
            *count += 1;
            if *count > CONDITIONAL_BINDINGS_MAX {
                return Err(ApiError::invalid(format!(
                    "The number of conditional bindings for role {} and member {member} is larger than the \
                     maximum allowed number {CONDITIONAL_BINDINGS_MAX}.",
                    binding.role
                )));
            }
        }
    }
    Ok(())
}

/// A number as Google's messages write it: `1,503`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
