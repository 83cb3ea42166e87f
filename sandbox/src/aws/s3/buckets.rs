//! Buckets: make, look, list, remove.

use crate::aws::authority::iso8601;
use crate::aws::errors::AwsError;
use crate::aws::evaluate::ResourceSide;
use crate::aws::payload::Payload;
use crate::call::Answer;

use super::desk::{Desk, document};
use super::requests::read_location;
use super::storage::{Bucket, no_such_bucket};

/// The region that has no name in a location.
const NAMELESS_REGION: &str = "us-east-1";

/// `ListBuckets`: those of the caller's account.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn list_buckets(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    let account = desk
        .incoming
        .standing
        .caller
        .account()
        .ok_or_else(|| AwsError::access_denied("Access Denied"))?;
    let side = ResourceSide {
        account: account.to_owned(),
        policy: None,
        must_allow: false,
    };
    desk.incoming
        .standing
        .check("s3:ListAllMyBuckets", "*", &[], Some(side))?;
    let shelves = desk.shelves();
    let own = shelves
        .buckets
        .iter()
        .filter(|(_, bucket)| bucket.owner == account);
    Ok(document("ListAllMyBucketsResult", |xml| {
        xml.element("Owner", |xml| xml.leaf("ID", account));
        xml.element("Buckets", |xml| {
            for (name, bucket) in own {
                xml.element("Bucket", |xml| {
                    xml.leaf("Name", name);
                    xml.leaf("CreationDate", &iso8601(bucket.created));
                    xml.leaf("BucketRegion", &bucket.region);
                });
            }
        });
    }))
}

/// `CreateBucket`, in the region the call was signed for.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn create_bucket(desk: &Desk<'_>, payload: &Payload) -> Result<Answer, AwsError> {
    let account = desk
        .incoming
        .standing
        .caller
        .account()
        .ok_or_else(|| AwsError::access_denied("Access Denied"))?;
    let side = ResourceSide {
        account: account.to_owned(),
        policy: None,
        must_allow: false,
    };
    desk.incoming
        .standing
        .check("s3:CreateBucket", &desk.bucket_arn(), &[], Some(side))?;
    check_name(desk.bucket)?;
    let region = read_location(&payload.data)?.unwrap_or_else(|| NAMELESS_REGION.to_owned());
    if region != desk.incoming.region {
        return Err(AwsError::new(
            400,
            "IllegalLocationConstraintException",
            format!(
                "The {region} location constraint is incompatible for the region specific endpoint this request was sent to."
            ),
        ));
    }
    let mut shelves = desk.incoming.cloud.storage.shelves.write();
    match shelves.buckets.get(desk.bucket) {
        Some(bucket) if bucket.owner == account => Err(AwsError::new(
            409,
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
        )),
        Some(_) => Err(AwsError::new(
            409,
            "BucketAlreadyExists",
            "The requested bucket name is not available.",
        )),
        None => {
            let bucket = Bucket::new(account, &region, desk.incoming.now);
            shelves.buckets.insert(desk.bucket.to_owned(), bucket);
            Ok(Answer::empty(200).with("location", format!("/{}", desk.bucket)))
        }
    }
}

fn check_name(name: &str) -> Result<(), AwsError> {
    let is_edge = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    let good = (3..=63).contains(&name.len())
        && name
            .chars()
            .all(|char| is_edge(char) || char == '-' || char == '.')
        && name.starts_with(is_edge)
        && name.ends_with(is_edge)
        && !name.contains("..");
    if good {
        Ok(())
    } else {
        Err(AwsError::new(
            400,
            "InvalidBucketName",
            "The specified bucket is not valid.",
        ))
    }
}

/// `HeadBucket`.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn head_bucket(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    desk.authorise_bucket("s3:ListBucket", &[])?;
    let shelves = desk.shelves();
    let bucket = shelves
        .buckets
        .get(desk.bucket)
        .ok_or_else(no_such_bucket)?;
    Ok(Answer::empty(200).with("x-amz-bucket-region", bucket.region.as_str()))
}

/// `DeleteBucket`: only when it is empty.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn delete_bucket(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    desk.authorise_bucket("s3:DeleteBucket", &[])?;
    let mut shelves = desk.incoming.cloud.storage.shelves.write();
    if !shelves.bucket_mut(desk.bucket)?.objects.is_empty() {
        return Err(AwsError::new(
            409,
            "BucketNotEmpty",
            "The bucket you tried to delete is not empty",
        ));
    }
    let removed = shelves.buckets.remove(desk.bucket);
    let parts = removed
        .iter()
        .flat_map(|bucket| bucket.uploads.values())
        .flat_map(|upload| upload.parts.values());
    let bytes = parts.map(|part| part.data.len()).sum();
    shelves.release(bytes);
    Ok(Answer::empty(204))
}

/// `GetBucketLocation`: empty for the oldest region.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn get_bucket_location(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    desk.authorise_bucket("s3:GetBucketLocation", &[])?;
    let shelves = desk.shelves();
    let bucket = shelves
        .buckets
        .get(desk.bucket)
        .ok_or_else(no_such_bucket)?;
    let region = if bucket.region == NAMELESS_REGION {
        ""
    } else {
        bucket.region.as_str()
    };
    Ok(document("LocationConstraint", |xml| xml.content(region)))
}
