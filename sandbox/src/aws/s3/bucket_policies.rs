//! Bucket policies: only the owning account may touch them, and its root always may.

use crate::aws::credentials::Principal;
use crate::aws::errors::AwsError;
use crate::aws::evaluate::{Policy, PolicyKind};
use crate::aws::payload::Payload;
use crate::call::Answer;

use super::desk::Desk;
use super::storage::no_such_bucket;

/// A bucket policy's bytes.
const POLICY_BYTES_MAX: usize = 20 * 1024;

/// `PutBucketPolicy`: in force at once.
///
/// Judge: boto3, by botocore's model of `s3`; the AWS SDK for Rust.
pub(super) fn put_bucket_policy(desk: &Desk<'_>, payload: &Payload) -> Result<Answer, AwsError> {
    authorise(desk, "s3:PutBucketPolicy")?;
    let malformed = |message: String| AwsError::new(400, "MalformedPolicy", message);
    if payload.data.len() > POLICY_BYTES_MAX {
        return Err(malformed(format!(
            "Policy exceeds the maximum allowed document size of {POLICY_BYTES_MAX} bytes."
        )));
    }
    let text = std::str::from_utf8(&payload.data)
        .map_err(|_| malformed("This policy is not UTF-8".to_owned()))?;
    let policy =
        Policy::parse(text, PolicyKind::Resource).map_err(|error| malformed(error.to_string()))?;
    if policy.speaks_outside(&desk.bucket_arn()) {
        return Err(malformed("Policy has invalid resource".to_owned()));
    }
    let bound = desk.incoming.cloud.directory.read().bound(&policy);
    let policy = bound
        .map_err(|principal| malformed(format!("Invalid principal in policy: {principal}")))?;
    desk.incoming
        .cloud
        .storage
        .shelves
        .write()
        .bucket_mut(desk.bucket)?
        .policy = Some(policy);
    Ok(Answer::empty(204))
}

/// `GetBucketPolicy`: the document as written.
///
/// Judge: boto3, by botocore's model of `s3`; the AWS SDK for Rust.
pub(super) fn get_bucket_policy(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    authorise(desk, "s3:GetBucketPolicy")?;
    let shelves = desk.shelves();
    let bucket = shelves
        .buckets
        .get(desk.bucket)
        .ok_or_else(no_such_bucket)?;
    let policy = bucket.policy.as_ref().ok_or_else(|| {
        AwsError::new(
            404,
            "NoSuchBucketPolicy",
            "The bucket policy does not exist",
        )
    })?;
    Ok(Answer::xml(
        200,
        "application/json",
        policy.source().to_owned(),
    ))
}

/// `DeleteBucketPolicy`.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn delete_bucket_policy(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    authorise(desk, "s3:DeleteBucketPolicy")?;
    desk.incoming
        .cloud
        .storage
        .shelves
        .write()
        .bucket_mut(desk.bucket)?
        .policy = None;
    Ok(Answer::empty(204))
}

/// Another account is turned away whatever the policy says. The owner's root cannot lock itself out.
fn authorise(desk: &Desk<'_>, action: &str) -> Result<(), AwsError> {
    let side = desk.resource_side(desk.bucket)?;
    if desk.incoming.standing.caller.account() != Some(side.account.as_str()) {
        return Err(AwsError::new(
            405,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        ));
    }
    if matches!(desk.incoming.standing.principal, Principal::Root { .. }) {
        return Ok(());
    }
    desk.authorise_bucket(action, &[])
}
