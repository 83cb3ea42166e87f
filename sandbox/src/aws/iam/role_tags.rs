//! Tags of roles. A session's own tag of the same key still wins over a role's.

use crate::aws::errors::AwsError;
use crate::aws::tags::{TAGS_MAX, Tags};
use crate::aws::xml::Xml;

use super::desk::Desk;
use super::paging::Page;

/// `TagRole`.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn tag_role(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let name = desk.role_name()?;
    let tags = Tags::read(desk.params)?;
    let request_tags: Vec<(String, String)> = tags
        .iter()
        .map(|(key, value)| (format!("aws:RequestTag/{key}"), value.to_owned()))
        .collect();
    let mut keys: Vec<(&str, Vec<String>)> = request_tags
        .iter()
        .map(|(key, value)| (key.as_str(), vec![value.clone()]))
        .collect();
    keys.push(("aws:TagKeys", tags.keys()));
    desk.authorise_role("iam:TagRole", name, &keys)?;
    let mut directory = desk.incoming.cloud.directory.write();
    let role = desk.role_mut(&mut directory, name)?;
    let mut merged = role.tags.clone();
    for (key, value) in tags.iter() {
        merged.set(key, value);
    }
    if merged.len() > TAGS_MAX {
        return Err(AwsError::limit_exceeded(format!(
            "Cannot exceed quota for TagsPerRole: {TAGS_MAX}"
        )));
    }
    role.tags = merged;
    Ok(None)
}

/// `UntagRole`.
///
/// Judge: boto3, by botocore's model of `iam`.
pub(super) fn untag_role(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let name = desk.role_name()?;
    let keys = desk.params.texts("TagKeys");
    desk.authorise_role("iam:UntagRole", name, &[("aws:TagKeys", keys.clone())])?;
    let mut directory = desk.incoming.cloud.directory.write();
    let role = desk.role_mut(&mut directory, name)?;
    keys.iter().for_each(|key| role.tags.remove(key));
    Ok(None)
}

/// `ListRoleTags`: in pages.
///
/// Judge: boto3 and its paginator, by botocore's model of `iam`.
pub(super) fn list_role_tags(desk: &Desk<'_>) -> Result<Option<Xml>, AwsError> {
    let name = desk.role_name()?;
    desk.authorise_role("iam:ListRoleTags", name, &[])?;
    let directory = desk.incoming.cloud.directory.read();
    let role = desk.role_in(&directory, name)?;
    let page = Page::of(
        desk.params,
        role.tags
            .iter()
            .map(|(key, value)| (key.to_lowercase(), (key, value))),
    )?;
    let mut xml = Xml::new();
    write_tags(&mut xml, page.items.iter().copied());
    page.write_end(&mut xml);
    Ok(Some(xml))
}

pub(super) fn write_tags<'a>(xml: &mut Xml, tags: impl Iterator<Item = (&'a str, &'a str)>) {
    xml.members("Tags", tags, |xml, (key, value)| {
        xml.leaf("Key", key);
        xml.leaf("Value", value);
    });
}
