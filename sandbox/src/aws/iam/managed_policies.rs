//! Customer managed policies, and which roles they are attached to.

use crate::aws::authority::iso8601;
use crate::aws::directory::{Directory, ManagedPolicy, PolicyVersion, counted_length};
use crate::aws::errors::AwsError;
use crate::aws::evaluate::{Policy, PolicyKind};
use crate::aws::tags::Tags;
use crate::aws::xml::Xml;
use crate::lagged::Lagged;

use super::desk::{
    ARN, ATTACHED_MAX, DESCRIPTION, Desk, MANAGED_CHARACTERS_MAX, POLICIES_MAX, POLICY_NAME,
    no_such_policy,
};
use super::paging::Page;

impl Desk<'_> {
    /// `PolicyArn`, checked.
    pub(super) fn policy_arn(&self) -> Result<&str, AwsError> {
        self.params.required_checked("PolicyArn", &ARN)
    }

    pub(super) fn policy_in<'d>(
        &self,
        directory: &'d Directory,
        arn: &str,
    ) -> Result<&'d ManagedPolicy, AwsError> {
        self.entry(directory)?
            .policies
            .get(arn)
            .ok_or_else(|| no_such_policy(arn))
    }

    pub(super) fn policy_mut<'d>(
        &self,
        directory: &'d mut Directory,
        arn: &str,
    ) -> Result<&'d mut ManagedPolicy, AwsError> {
        self.entry_mut(directory)?
            .policies
            .get_mut(arn)
            .ok_or_else(|| no_such_policy(arn))
    }

    /// Reads a managed policy's document and checks its size.
    pub(super) fn managed_document(&self) -> Result<Policy, AwsError> {
        let policy = self.document("PolicyDocument", PolicyKind::Identity)?;
        if counted_length(policy.source()) > MANAGED_CHARACTERS_MAX {
            let message = format!("Cannot exceed quota for PolicySize: {MANAGED_CHARACTERS_MAX}");
            return Err(AwsError::limit_exceeded(message));
        }
        Ok(policy)
    }
}

/// `CreatePolicy`.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn create_policy(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let name = desk.params.required_checked("PolicyName", &POLICY_NAME)?;
    let path = desk.path()?;
    let tags = Tags::read(desk.params)?;
    let description = desk
        .params
        .checked("Description", &DESCRIPTION)?
        .map(str::to_owned);
    let arn = format!("arn:aws:iam::{}:policy{path}{name}", desk.account);
    desk.authorise("iam:CreatePolicy", &arn, &[])?;
    let document = desk.managed_document()?;
    let now = desk.incoming.now;
    let policy = ManagedPolicy {
        id: desk.incoming.cloud.identifiers.unique_id("ANPA"),
        name: name.to_owned(),
        path,
        arn: arn.clone(),
        description,
        created: now,
        updated: now,
        tags,
        versions: vec![PolicyVersion {
            number: 1,
            document: document.clone(),
            created: now,
        }],
        default_version: 1,
        last_version: 1,
        enforced: Lagged::since(desk.incoming.cloud.enforced_from(now), document),
    };
    let mut directory = desk.incoming.cloud.directory.write();
    let entry = desk.entry_mut(&mut directory)?;
    let folded = name.to_lowercase();
    if entry
        .policies
        .values()
        .any(|known| known.name.to_lowercase() == folded)
    {
        let message =
            format!("A policy called {name} already exists. Duplicate names are not allowed.");
        return Err(AwsError::new(409, "EntityAlreadyExists", message));
    }
    if entry.policies.len() >= POLICIES_MAX {
        return Err(AwsError::limit_exceeded(format!(
            "Cannot exceed quota for PoliciesPerAccount: {POLICIES_MAX}"
        )));
    }
    let mut xml = Xml::new();
    xml.element("Policy", |xml| write_policy(xml, &policy, 0));
    entry.policies.insert(arn, policy);
    Ok(Some(xml))
}

/// `GetPolicy`: everything but the document.
///
/// Judge: boto3, by botocore's model of `iam`; the AWS SDK for Rust.
pub(super) fn get_policy(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let arn = desk.policy_arn()?;
    desk.authorise("iam:GetPolicy", arn, &[])?;
    let directory = desk.incoming.cloud.directory.read();
    let policy = desk.policy_in(&directory, arn)?;
    let mut xml = Xml::new();
    xml.element("Policy", |xml| {
        write_policy(xml, policy, attachments(&directory, arn))
    });
    Ok(Some(xml))
}

/// `ListPolicies`: the account's own, in pages.
///
/// Judge: boto3 and its paginator, by botocore's model of `iam`.
pub(super) fn list_policies(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let prefix = desk.params.optional("PathPrefix").unwrap_or("/");
    desk.authorise(
        "iam:ListPolicies",
        &format!("arn:aws:iam::{}:policy{prefix}", desk.account),
        &[],
    )?;
    let directory = desk.incoming.cloud.directory.read();
    // The sandbox has no policies of AWS's own.
    let is_wanted = |policy: &ManagedPolicy| {
        desk.params.optional("Scope") != Some("AWS")
            && policy.path.starts_with(prefix)
            && (desk.params.optional("OnlyAttached") != Some("true")
                || attachments(&directory, &policy.arn) > 0)
    };
    let policies = desk
        .entry(&directory)?
        .policies
        .iter()
        .filter(|(_, policy)| is_wanted(policy));
    let page = Page::of(
        desk.params,
        policies.map(|(arn, policy)| (arn.clone(), policy)),
    )?;
    let mut xml = Xml::new();
    xml.members("Policies", &page.items, |xml, policy| {
        write_policy(xml, policy, attachments(&directory, &policy.arn));
    });
    page.write_end(&mut xml);
    Ok(Some(xml))
}

/// `DeletePolicy`: only when it is attached nowhere and has one version left.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn delete_policy(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let arn = desk.policy_arn()?;
    desk.authorise("iam:DeletePolicy", arn, &[])?;
    let conflict = |message: &str| Err(AwsError::new(409, "DeleteConflict", message));
    let mut directory = desk.incoming.cloud.directory.write();
    let versions = desk.policy_in(&directory, arn)?.versions.len();
    if attachments(&directory, arn) + boundary_uses(&directory, arn) > 0 {
        return conflict("Cannot delete a policy attached to entities.");
    }
    if versions > 1 {
        return conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions.",
        );
    }
    desk.entry_mut(&mut directory)?.policies.remove(arn);
    Ok(None)
}

/// `AttachRolePolicy`. Attaching twice is not an error.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn attach_role_policy(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let role_name = desk.role_name()?;
    let arn = desk.policy_arn()?;
    desk.authorise_role(
        "iam:AttachRolePolicy",
        role_name,
        &[("iam:PolicyARN", vec![arn.to_owned()])],
    )?;
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
        rules.attached.insert(arn.to_owned());
        if rules.attached.len() > ATTACHED_MAX {
            let message = format!("Cannot exceed quota for PoliciesPerRole: {ATTACHED_MAX}");
            return Err(AwsError::limit_exceeded(message));
        }
        Ok(())
    })?;
    Ok(None)
}

/// `DetachRolePolicy`.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn detach_role_policy(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let role_name = desk.role_name()?;
    let arn = desk.policy_arn()?;
    desk.authorise_role(
        "iam:DetachRolePolicy",
        role_name,
        &[("iam:PolicyARN", vec![arn.to_owned()])],
    )?;
    desk.change_rules(role_name, |rules, _| {
        if rules.attached.remove(arn) {
            Ok(())
        } else {
            Err(AwsError::no_such_entity(format!(
                "Policy {arn} was not found."
            )))
        }
    })?;
    Ok(None)
}

/// `ListAttachedRolePolicies`: in pages.
///
/// Judge: boto3 and its paginator, by botocore's model of `iam`.
pub(super) fn list_attached_role_policies(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let role_name = desk.role_name()?;
    desk.authorise_role("iam:ListAttachedRolePolicies", role_name, &[])?;
    let directory = desk.incoming.cloud.directory.read();
    let attached = &desk
        .role_in(&directory, role_name)?
        .rules
        .written()
        .attached;
    let page = Page::of(desk.params, attached.iter().map(|arn| (arn.clone(), arn)))?;
    let mut xml = Xml::new();
    xml.members("AttachedPolicies", &page.items, |xml, arn| {
        xml.leaf("PolicyName", arn.rsplit('/').next().unwrap_or_default());
        xml.leaf("PolicyArn", arn);
    });
    page.write_end(&mut xml);
    Ok(Some(xml))
}

/// How many roles and users a policy is attached to.
fn attachments(directory: &Directory, arn: &str) -> usize {
    let roles = directory
        .accounts
        .values()
        .flat_map(|account| account.roles.values());
    let users = directory
        .accounts
        .values()
        .flat_map(|account| account.users.values());
    roles
        .filter(|role| role.rules.written().attached.contains(arn))
        .count()
        + users
            .filter(|user| user.attached.iter().any(|attached| attached == arn))
            .count()
}

/// How many roles and users a policy bounds.
fn boundary_uses(directory: &Directory, arn: &str) -> usize {
    let roles = directory
        .accounts
        .values()
        .flat_map(|account| account.roles.values());
    let users = directory
        .accounts
        .values()
        .flat_map(|account| account.users.values());
    roles
        .filter(|role| role.rules.written().boundary.as_deref() == Some(arn))
        .count()
        + users
            .filter(|user| user.boundary.as_deref() == Some(arn))
            .count()
}

fn write_policy(xml: &mut Xml, policy: &ManagedPolicy, attachments: usize) {
    xml.leaf("PolicyName", &policy.name);
    xml.leaf("PolicyId", &policy.id);
    xml.leaf("Arn", &policy.arn);
    xml.leaf("Path", &policy.path);
    xml.leaf("DefaultVersionId", &format!("v{}", policy.default_version));
    xml.leaf("AttachmentCount", &attachments.to_string());
    xml.leaf("IsAttachable", "true");
    xml.optional_leaf("Description", policy.description.as_deref());
    xml.leaf("CreateDate", &iso8601(policy.created));
    xml.leaf("UpdateDate", &iso8601(policy.updated));
    if !policy.tags.is_empty() {
        super::role_tags::write_tags(xml, policy.tags.iter());
    }
}
