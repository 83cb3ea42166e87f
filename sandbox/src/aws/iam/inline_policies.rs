//! Inline policies of roles: whole documents, replaced as a whole, with no way to compare and swap.

use crate::aws::directory::counted_length;
use crate::aws::errors::AwsError;
use crate::aws::evaluate::PolicyKind;
use crate::aws::xml::Xml;

use super::desk::{Desk, INLINE_CHARACTERS_MAX, POLICY_NAME, encoded};
use super::paging::Page;

/// `PutRolePolicy`: writes a whole document under a name.
///
/// Judge: boto3, by botocore's model of `iam`; the AWS SDK for Rust.
pub(super) fn put_role_policy(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let role_name = desk.role_name()?;
    let policy_name = desk.params.required_checked("PolicyName", &POLICY_NAME)?;
    desk.authorise_role("iam:PutRolePolicy", role_name, &[])?;
    let policy = desk.document("PolicyDocument", PolicyKind::Identity)?;
    desk.change_rules(role_name, |rules, role| {
        rules.inline.insert(policy_name.to_owned(), policy);
        let total: usize = rules
            .inline
            .values()
            .map(|policy| counted_length(policy.source()))
            .sum();
        if total > INLINE_CHARACTERS_MAX {
            return Err(AwsError::limit_exceeded(format!(
                "Maximum policy size of {INLINE_CHARACTERS_MAX} bytes exceeded for role {}",
                role.name
            )));
        }
        Ok(())
    })?;
    Ok(None)
}

/// `GetRolePolicy`: the document as written, percent-encoded. It does not show what is enforced.
///
/// Judge: boto3, by botocore's model of `iam`; the AWS SDK for Rust.
pub(super) fn get_role_policy(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let role_name = desk.role_name()?;
    let policy_name = desk.params.required_checked("PolicyName", &POLICY_NAME)?;
    desk.authorise_role("iam:GetRolePolicy", role_name, &[])?;
    let directory = desk.incoming.cloud.directory.read();
    let role = desk.role_in(&directory, role_name)?;
    let policy = role
        .rules
        .written()
        .inline
        .get(policy_name)
        .ok_or_else(|| no_such_role_policy(policy_name))?;
    let mut xml = Xml::new();
    xml.leaf("RoleName", &role.name);
    xml.leaf("PolicyName", policy_name);
    xml.leaf("PolicyDocument", &encoded(policy));
    Ok(Some(xml))
}

/// `ListRolePolicies`: the names, in pages.
///
/// Judge: boto3 and its paginator, by botocore's model of `iam`; the AWS SDK for Rust.
pub(super) fn list_role_policies(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let role_name = desk.role_name()?;
    desk.authorise_role("iam:ListRolePolicies", role_name, &[])?;
    let directory = desk.incoming.cloud.directory.read();
    let rules = desk.role_in(&directory, role_name)?.rules.written();
    let page = Page::of(
        desk.params,
        rules.inline.keys().map(|name| (name.clone(), name.clone())),
    )?;
    let mut xml = Xml::new();
    xml.members("PolicyNames", &page.items, |xml, name| xml.content(name));
    page.write_end(&mut xml);
    Ok(Some(xml))
}

/// `DeleteRolePolicy`.
///
/// Judge: boto3, by botocore's model of `iam`; the AWS SDK for Rust.
pub(super) fn delete_role_policy(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let role_name = desk.role_name()?;
    let policy_name = desk.params.required_checked("PolicyName", &POLICY_NAME)?;
    desk.authorise_role("iam:DeleteRolePolicy", role_name, &[])?;
    desk.change_rules(role_name, |rules, _| {
        match rules.inline.remove(policy_name) {
            Some(_) => Ok(()),
            None => Err(no_such_role_policy(policy_name)),
        }
    })?;
    Ok(None)
}

fn no_such_role_policy(name: &str) -> AwsError {
    AwsError::no_such_entity(format!("The role policy with name {name} cannot be found."))
}
