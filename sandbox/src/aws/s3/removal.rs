//! Removing objects: one, or many at once.

use crate::aws::errors::AwsError;
use crate::aws::payload::Payload;
use crate::call::Answer;

use super::desk::{Desk, document};
use super::requests::read_delete;

/// `DeleteObject`. A key that is not there is deleted all the same.
///
/// Judge: boto3, by botocore's model of `s3`; the AWS SDK for Rust.
pub(super) fn delete_object(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    desk.authorise_object("s3:DeleteObject")?;
    desk.incoming
        .cloud
        .storage
        .shelves
        .write()
        .remove(desk.bucket, desk.key)?;
    Ok(Answer::empty(204))
}

/// `DeleteObjects`: each key is judged by itself, and refusals are told in a list under status 200.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn delete_objects(desk: &Desk<'_>, payload: &Payload) -> Result<Answer, AwsError> {
    let has_digest =
        payload.checksum.is_some() || desk.incoming.call.header("content-md5").is_some();
    if !has_digest {
        return Err(AwsError::new(
            400,
            "InvalidRequest",
            "Missing required header for this request: Content-MD5",
        ));
    }
    let request = read_delete(&payload.data)?;
    let side = desk.resource_side(desk.bucket)?;
    desk.check_expected_owner("x-amz-expected-bucket-owner", &side.account)?;
    let mut outcomes = Vec::new();
    for key in request.keys {
        let one = Desk {
            incoming: desk.incoming,
            bucket: desk.bucket,
            key: &key,
        };
        let outcome = one.authorise_object("s3:DeleteObject").and_then(|()| {
            desk.incoming
                .cloud
                .storage
                .shelves
                .write()
                .remove(desk.bucket, &key)
        });
        outcomes.push((key, outcome));
    }
    Ok(document("DeleteResult", |xml| {
        for (key, outcome) in &outcomes {
            match outcome {
                Ok(()) if request.quiet => {}
                Ok(()) => xml.element("Deleted", |xml| xml.leaf("Key", key)),
                Err(error) => xml.element("Error", |xml| {
                    xml.leaf("Key", key);
                    xml.leaf("Code", &error.code);
                    xml.leaf("Message", &error.message);
                }),
            }
        }
    }))
}
