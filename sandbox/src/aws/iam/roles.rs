//! Roles: who may assume them, for how long, under which name.

use crate::aws::authority::iso8601;
use crate::aws::directory::{Directory, Role, RoleRules};
use crate::aws::errors::AwsError;
use crate::aws::tags::Tags;
use crate::aws::xml::Xml;
use crate::lagged::Lagged;

use super::desk::{DESCRIPTION, Desk, ROLES_MAX, encoded, no_such_policy};
use super::paging::Page;

const MAX_SESSION_SECONDS_MIN: i64 = 3_600;
const MAX_SESSION_SECONDS_MAX: i64 = 43_200;

/// `CreateRole`.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn create_role(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let tags = Tags::read(desk.params)?;
    let boundary = desk.params.optional("PermissionsBoundary");
    let role = role_asked_for(desk, tags, boundary)?;
    let mut directory = desk.incoming.cloud.directory.write();
    if let Some(boundary) = boundary
        && directory.managed_policy(boundary).is_none()
    {
        return Err(no_such_policy(boundary));
    }
    let entry = desk.entry_mut(&mut directory)?;
    let key = role.name.to_lowercase();
    if entry.roles.contains_key(&key) {
        let message = format!("Role with name {} already exists.", role.name);
        return Err(AwsError::new(409, "EntityAlreadyExists", message));
    }
    if entry.roles.len() >= ROLES_MAX {
        return Err(AwsError::limit_exceeded(format!(
            "Cannot exceed quota for RolesPerAccount: {ROLES_MAX}"
        )));
    }
    let mut xml = Xml::new();
    xml.element("Role", |xml| write_role(xml, &role, Detail::Full));
    entry.roles.insert(key, role);
    Ok(Some(xml))
}

/// The role that a call describes, if it is well-formed and its caller may make it.
fn role_asked_for(desk: &Desk<'_>, tags: Tags, boundary: Option<&str>) -> Result<Role, AwsError> {
    let (name, path) = (desk.role_name()?, desk.path()?);
    let arn = format!("arn:aws:iam::{}:role{path}{name}", desk.account);
    let max_session = desk.params.number(
        "MaxSessionDuration",
        MAX_SESSION_SECONDS_MIN,
        MAX_SESSION_SECONDS_MAX,
    )?;
    let description = desk.params.checked("Description", &DESCRIPTION)?;
    authorise_creation(desk, &arn, &tags, boundary)?;
    let rules = RoleRules {
        exists: true,
        trust: desk.trust_document("AssumeRolePolicyDocument")?,
        inline: std::collections::BTreeMap::new(),
        attached: std::collections::BTreeSet::new(),
        boundary: boundary.map(str::to_owned),
    };
    let (cloud, now) = (&desk.incoming.cloud, desk.incoming.now);
    Ok(Role {
        id: cloud.identifiers.unique_id("AROA"),
        name: name.to_owned(),
        path,
        arn,
        created: now,
        description: description.map(str::to_owned),
        max_session_seconds: max_session.unwrap_or(MAX_SESSION_SECONDS_MIN),
        tags,
        rules: Lagged::since(cloud.enforced_from(now), rules),
    })
}

fn authorise_creation(
    desk: &Desk<'_>,
    arn: &str,
    tags: &Tags,
    boundary: Option<&str>,
) -> Result<(), AwsError> {
    let request_tags: Vec<(String, String)> = tags
        .iter()
        .map(|(key, value)| (format!("aws:RequestTag/{key}"), value.to_owned()))
        .collect();
    let mut keys: Vec<(&str, Vec<String>)> = request_tags
        .iter()
        .map(|(key, value)| (key.as_str(), vec![value.clone()]))
        .collect();
    if !tags.is_empty() {
        keys.push(("aws:TagKeys", tags.keys()));
    }
    if let Some(boundary) = boundary {
        keys.push(("iam:PermissionsBoundary", vec![boundary.to_owned()]));
    }
    desk.authorise("iam:CreateRole", arn, &keys)?;
    if tags.is_empty() {
        Ok(())
    } else {
        desk.authorise("iam:TagRole", arn, &keys)
    }
}

/// `GetRole`: with tags, boundary and trust policy.
///
/// Judge: boto3, by botocore's model of `iam`; the AWS SDK for Rust.
pub(super) fn get_role(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let name = desk.role_name()?;
    desk.authorise_role("iam:GetRole", name, &[])?;
    let directory = desk.incoming.cloud.directory.read();
    let role = desk.role_in(&directory, name)?;
    let mut xml = Xml::new();
    xml.element("Role", |xml| write_role(xml, role, Detail::Full));
    Ok(Some(xml))
}

/// `ListRoles`: in pages, by path prefix; without tags and boundaries, as on AWS.
///
/// Judge: boto3 and its paginator, by botocore's model of `iam`.
pub(super) fn list_roles(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let prefix = desk.params.optional("PathPrefix").unwrap_or("/");
    desk.authorise(
        "iam:ListRoles",
        &format!("arn:aws:iam::{}:role{prefix}", desk.account),
        &[],
    )?;
    let directory = desk.incoming.cloud.directory.read();
    let roles = desk
        .entry(&directory)?
        .roles
        .iter()
        .filter(|(_, role)| role.path.starts_with(prefix));
    let page = Page::of(desk.params, roles.map(|(key, role)| (key.clone(), role)))?;
    let mut xml = Xml::new();
    xml.members("Roles", &page.items, |xml, role| {
        write_role(xml, role, Detail::Listed)
    });
    page.write_end(&mut xml);
    Ok(Some(xml))
}

/// `UpdateRole`: the description and the longest session.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn update_role(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let name = desk.role_name()?;
    let max_session = desk.params.number(
        "MaxSessionDuration",
        MAX_SESSION_SECONDS_MIN,
        MAX_SESSION_SECONDS_MAX,
    )?;
    let description = desk.params.checked("Description", &DESCRIPTION)?;
    desk.authorise_role("iam:UpdateRole", name, &[])?;
    let mut directory = desk.incoming.cloud.directory.write();
    let role = desk.role_mut(&mut directory, name)?;
    role.max_session_seconds = max_session.unwrap_or(role.max_session_seconds);
    if let Some(description) = description {
        role.description = Some(description.to_owned());
    }
    Ok(Some(Xml::new()))
}

/// `UpdateAssumeRolePolicy`: replaces the trust policy.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn update_assume_role_policy(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let name = desk.role_name()?;
    desk.authorise_role("iam:UpdateAssumeRolePolicy", name, &[])?;
    let trust = desk.trust_document("PolicyDocument")?;
    desk.change_rules(name, |rules, _| {
        rules.trust = trust;
        Ok(())
    })?;
    Ok(None)
}

/// `DeleteRole`: only when nothing is attached any more.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn delete_role(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let name = desk.role_name()?;
    desk.authorise_role("iam:DeleteRole", name, &[])?;
    let conflict = |message: &str| Err(AwsError::new(409, "DeleteConflict", message));
    let mut directory = desk.incoming.cloud.directory.write();
    let rules = desk.role_in(&directory, name)?.rules.written();
    if !rules.inline.is_empty() {
        return conflict("Cannot delete entity, must delete policies first.");
    }
    if !rules.attached.is_empty() {
        return conflict("Cannot delete entity, must detach all policies first.");
    }
    depart(desk, &mut directory, name)?;
    Ok(None)
}

/// The role is gone for reads at once; that it is gone is enforced after the lag.
fn depart(desk: &Desk<'_>, directory: &mut Directory, name: &str) -> Result<(), AwsError> {
    let now = desk.incoming.now;
    let entry = desk.entry_mut(directory)?;
    if let Some(mut role) = entry.roles.remove(&name.to_lowercase()) {
        let rules = RoleRules {
            exists: false,
            ..role.rules.written().clone()
        };
        role.rules
            .write(now, desk.incoming.cloud.enforced_from(now), rules);
        entry.departed.insert(role.id.clone(), role);
    }
    Ok(())
}

/// Lists leave out what only a single read shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Listed,
    Full,
}

fn write_role(xml: &mut Xml, role: &Role, detail: Detail) {
    let rules = role.rules.written();
    xml.leaf("Path", &role.path);
    xml.leaf("RoleName", &role.name);
    xml.leaf("RoleId", &role.id);
    xml.leaf("Arn", &role.arn);
    xml.leaf("CreateDate", &iso8601(role.created));
    xml.leaf("AssumeRolePolicyDocument", &encoded(&rules.trust));
    xml.optional_leaf("Description", role.description.as_deref());
    xml.leaf("MaxSessionDuration", &role.max_session_seconds.to_string());
    if detail == Detail::Listed {
        return;
    }
    if let Some(boundary) = &rules.boundary {
        xml.element("PermissionsBoundary", |xml| {
            xml.leaf("PermissionsBoundaryType", "Policy");
            xml.leaf("PermissionsBoundaryArn", boundary);
        });
    }
    if !role.tags.is_empty() {
        super::role_tags::write_tags(xml, role.tags.iter());
    }
    xml.element("RoleLastUsed", |_| {});
}
