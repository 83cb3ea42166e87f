//! Copying an object: the caller must be able to read the source and to write the target.

use percent_encoding::percent_decode_str;

use crate::aws::authority::iso8601;
use crate::aws::errors::AwsError;
use crate::call::Answer;

use super::conditions::check_write;
use super::desk::{Desk, document, quoted};
use super::objects::{describe, readable};

/// `CopyObject`.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn copy_object(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    let call = desk.incoming.call;
    let (bucket, key) = source(call.header("x-amz-copy-source").unwrap_or_default())?;
    let from = Desk {
        incoming: desk.incoming,
        bucket: &bucket,
        key: &key,
    };
    desk.authorise_object("s3:PutObject")?;
    let side = from.resource_side(&bucket)?;
    from.check_expected_owner("x-amz-source-expected-bucket-owner", &side.account)?;
    let mut object = readable(&from)?;
    if call.header("x-amz-metadata-directive") == Some("REPLACE") {
        object.description = describe(call)?;
    }
    object.modified = desk.incoming.now;
    let entity_tag = quoted(&object.entity_tag);
    let mut shelves = desk.incoming.cloud.storage.shelves.write();
    check_write(call, shelves.bucket_mut(desk.bucket)?.objects.get(desk.key))?;
    shelves.put(desk.bucket, desk.key, object)?;
    Ok(document("CopyObjectResult", |xml| {
        xml.leaf("LastModified", &iso8601(desk.incoming.now));
        xml.leaf("ETag", &entity_tag);
    }))
}

/// `bucket/key`, with or without a leading slash, percent-encoded; a version cannot be named.
fn source(header: &str) -> Result<(String, String), AwsError> {
    let invalid = || {
        AwsError::new(
            400,
            "InvalidArgument",
            "Copy Source must mention the source bucket and key",
        )
    };
    if header.contains("?versionId=") {
        return Err(AwsError::new(
            501,
            "NotImplemented",
            "Versions are not implemented",
        ));
    }
    let decoded = percent_decode_str(header)
        .decode_utf8()
        .map_err(|_| invalid())?;
    let (bucket, key) = decoded
        .strip_prefix('/')
        .unwrap_or(&decoded)
        .split_once('/')
        .ok_or_else(invalid)?;
    if bucket.is_empty() || key.is_empty() {
        Err(invalid())
    } else {
        Ok((bucket.to_owned(), key.to_owned()))
    }
}
