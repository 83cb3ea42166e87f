//! Versions of managed policies: at most five, one of them the default, which is the one in force.

use crate::aws::authority::iso8601;
use crate::aws::directory::PolicyVersion;
use crate::aws::errors::AwsError;
use crate::aws::xml::Xml;

use super::desk::{Desk, VERSIONS_MAX, encoded};
use super::paging::Page;

/// `CreatePolicyVersion`.
///
/// Judge: boto3, by botocore's model of `iam`; the AWS SDK for Rust.
pub(super) fn create_policy_version(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let arn = desk.policy_arn()?;
    desk.authorise("iam:CreatePolicyVersion", arn, &[])?;
    let document = desk.managed_document()?;
    let set_default = desk.params.optional("SetAsDefault") == Some("true");
    let now = desk.incoming.now;
    let enforced_from = desk.incoming.cloud.enforced_from(now);
    let mut directory = desk.incoming.cloud.directory.write();
    let policy = desk.policy_mut(&mut directory, arn)?;
    if policy.versions.len() >= VERSIONS_MAX {
        return Err(AwsError::limit_exceeded(
            "A managed policy can have up to 5 versions. Before you create a new version, you must delete an \
             existing version.",
        ));
    }
    policy.last_version += 1;
    policy.updated = now;
    let version = PolicyVersion {
        number: policy.last_version,
        document: document.clone(),
        created: now,
    };
    if set_default {
        policy.default_version = version.number;
        policy.enforced.write(now, enforced_from, document);
    }
    let mut xml = Xml::new();
    xml.element("PolicyVersion", |xml| {
        write_version(xml, &version, set_default)
    });
    policy.versions.push(version);
    Ok(Some(xml))
}

/// `GetPolicyVersion`: with the document, percent-encoded.
///
/// Judge: boto3, by botocore's model of `iam`; the AWS SDK for Rust.
pub(super) fn get_policy_version(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let arn = desk.policy_arn()?;
    let number = version_number(desk)?;
    desk.authorise("iam:GetPolicyVersion", arn, &[])?;
    let directory = desk.incoming.cloud.directory.read();
    let policy = desk.policy_in(&directory, arn)?;
    let version = policy
        .version(number)
        .ok_or_else(|| no_such_version(arn, number))?;
    let mut xml = Xml::new();
    xml.element("PolicyVersion", |xml| {
        xml.leaf("Document", &encoded(&version.document));
        write_version(xml, version, policy.default_version == number);
    });
    Ok(Some(xml))
}

/// `ListPolicyVersions`: newest first, without documents.
///
/// Judge: boto3 and its paginator, by botocore's model of `iam`; the AWS SDK for Rust.
pub(super) fn list_policy_versions(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let arn = desk.policy_arn()?;
    desk.authorise("iam:ListPolicyVersions", arn, &[])?;
    let directory = desk.incoming.cloud.directory.read();
    let policy = desk.policy_in(&directory, arn)?;
    let newest_first = policy.versions.iter().rev().enumerate();
    let page = Page::of(
        desk.params,
        newest_first.map(|(place, version)| (place.to_string(), version)),
    )?;
    let mut xml = Xml::new();
    xml.members("Versions", &page.items, |xml, version| {
        write_version(xml, version, policy.default_version == version.number);
    });
    page.write_end(&mut xml);
    Ok(Some(xml))
}

/// `SetDefaultPolicyVersion`: read back at once, enforced after the lag.
///
/// Judge: boto3, by botocore's model of `iam`; the AWS SDK for Rust.
pub(super) fn set_default_policy_version(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let arn = desk.policy_arn()?;
    let number = version_number(desk)?;
    desk.authorise("iam:SetDefaultPolicyVersion", arn, &[])?;
    let now = desk.incoming.now;
    let enforced_from = desk.incoming.cloud.enforced_from(now);
    let mut directory = desk.incoming.cloud.directory.write();
    let policy = desk.policy_mut(&mut directory, arn)?;
    let document = policy
        .version(number)
        .ok_or_else(|| no_such_version(arn, number))?
        .document
        .clone();
    policy.default_version = number;
    policy.updated = now;
    policy.enforced.write(now, enforced_from, document);
    Ok(None)
}

/// `DeletePolicyVersion`: any but the default.
///
/// Judge: boto3, by botocore's model of `iam`; the AWS SDK for Rust.
pub(super) fn delete_policy_version(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let arn = desk.policy_arn()?;
    let number = version_number(desk)?;
    desk.authorise("iam:DeletePolicyVersion", arn, &[])?;
    let mut directory = desk.incoming.cloud.directory.write();
    let policy = desk.policy_mut(&mut directory, arn)?;
    if policy.version(number).is_none() {
        return Err(no_such_version(arn, number));
    }
    if policy.default_version == number {
        return Err(AwsError::new(
            409,
            "DeleteConflict",
            "Cannot delete the default version of a policy.",
        ));
    }
    policy.versions.retain(|version| version.number != number);
    Ok(None)
}

/// `VersionId`, as `v3`.
fn version_number(desk: &Desk<'_>) -> Result<u32, AwsError> {
    let text = desk.params.required("VersionId")?;
    text.strip_prefix('v')
        .and_then(|number| number.parse().ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| {
            AwsError::constraint(
                "versionId",
                r"Member must satisfy regular expression pattern: v[1-9][0-9]*(\.[A-Za-z0-9-]*)?",
            )
        })
}

fn no_such_version(arn: &str, number: u32) -> AwsError {
    AwsError::no_such_entity(format!(
        "Policy {arn} version v{number} does not exist or is not attachable."
    ))
}

fn write_version(xml: &mut Xml, version: &PolicyVersion, is_default: bool) {
    xml.leaf("VersionId", &format!("v{}", version.number));
    xml.leaf(
        "IsDefaultVersion",
        if is_default { "true" } else { "false" },
    );
    xml.leaf("CreateDate", &iso8601(version.created));
}
