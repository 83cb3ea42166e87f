//! Permissions boundaries of roles: at most one each, and it can only take away.

use crate::aws::errors::AwsError;
use crate::aws::xml::Xml;

use super::desk::{ARN, Desk, no_such_policy};

/// `PutRolePermissionsBoundary`.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn put_role_permissions_boundary(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let role_name = desk.role_name()?;
    let arn = desk.params.required_checked("PermissionsBoundary", &ARN)?;
    let keys = [("iam:PermissionsBoundary", vec![arn.to_owned()])];
    desk.authorise_role("iam:PutRolePermissionsBoundary", role_name, &keys)?;
    if desk
        .incoming
        .cloud
        .directory
        .read()
        .managed_policy(arn)
        .is_none()
    {
        return Err(no_such_policy(arn));
    }
    desk.change_rules(role_name, |rules, _| {
        rules.boundary = Some(arn.to_owned());
        Ok(())
    })?;
    Ok(None)
}

/// `DeleteRolePermissionsBoundary`.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn delete_role_permissions_boundary(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let role_name = desk.role_name()?;
    desk.authorise_role("iam:DeleteRolePermissionsBoundary", role_name, &[])?;
    desk.change_rules(role_name, |rules, role| match rules.boundary.take() {
        Some(_) => Ok(()),
        None => Err(AwsError::no_such_entity(format!(
            "Role {} does not have a permissions boundary",
            role.name
        ))),
    })?;
    Ok(None)
}
