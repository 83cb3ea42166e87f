//! A subset of S3, path-style: objects, listings, uploads in parts, buckets and bucket policies.
//!
//! No versions, no object ACLs, no encryption settings: a call that asks for them is refused, never half done.

mod bucket_policies;
mod buckets;
mod conditions;
mod copying;
mod desk;
mod listing;
mod multipart;
mod objects;
mod removal;
mod requests;
mod route;
mod storage;

use super::errors::AwsError;
use super::payload::Payload;
use super::server::Incoming;
use super::sigv4::Signed;
use crate::call::Answer;

use desk::Desk;
use route::{Operation, Route};

pub(crate) use route::operation_name;
pub(crate) use storage::Storage;

pub(crate) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Answers a call to S3.
pub(crate) fn serve(
    incoming: &Incoming<'_>,
    signed: Option<&Signed>,
    presigned: bool,
) -> Result<Answer, AwsError> {
    let route = Route::of(incoming.call)?;
    let payload = Payload::open(incoming.call, signed, presigned)?;
    let desk = Desk {
        incoming,
        bucket: &route.bucket,
        key: &route.key,
    };
    let answer = match route.operation {
        Operation::ListBuckets => buckets::list_buckets(&desk),
        Operation::CreateBucket => buckets::create_bucket(&desk, &payload),
        Operation::HeadBucket => buckets::head_bucket(&desk),
        Operation::DeleteBucket => buckets::delete_bucket(&desk),
        Operation::GetBucketLocation => buckets::get_bucket_location(&desk),
        Operation::PutBucketPolicy => bucket_policies::put_bucket_policy(&desk, &payload),
        Operation::GetBucketPolicy => bucket_policies::get_bucket_policy(&desk),
        Operation::DeleteBucketPolicy => bucket_policies::delete_bucket_policy(&desk),
        Operation::ListObjectsV2 => listing::list_objects_v2(&desk),
        Operation::DeleteObjects => removal::delete_objects(&desk, &payload),
        Operation::PutObject => objects::put_object(&desk, payload),
        Operation::CopyObject => copying::copy_object(&desk),
        Operation::GetObject => objects::get_object(&desk),
        Operation::HeadObject => objects::head_object(&desk),
        Operation::DeleteObject => removal::delete_object(&desk),
        Operation::CreateMultipartUpload => multipart::create_multipart_upload(&desk),
        Operation::UploadPart => multipart::upload_part(&desk, payload),
        Operation::CompleteMultipartUpload => multipart::complete_multipart_upload(&desk, &payload),
        Operation::AbortMultipartUpload => multipart::abort_multipart_upload(&desk),
        Operation::ListParts => multipart::list_parts(&desk),
    }?;
    Ok(answer.with("x-amz-request-id", incoming.request_id.as_str()))
}
