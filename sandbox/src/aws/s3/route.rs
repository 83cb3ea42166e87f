//! Which operation a request is: method, path and query together.
//!
//! Query parameters that are not known for an operation are refused. S3 keeps whole operations behind them
//! (`?acl`, `?tagging`, `?versionId=`), and ignoring one would answer a question nobody asked.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::aws::errors::AwsError;
use crate::call::Call;

/// The operations that are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    ListBuckets,
    CreateBucket,
    HeadBucket,
    DeleteBucket,
    GetBucketLocation,
    PutBucketPolicy,
    GetBucketPolicy,
    DeleteBucketPolicy,
    ListObjectsV2,
    DeleteObjects,
    PutObject,
    CopyObject,
    GetObject,
    HeadObject,
    DeleteObject,
    CreateMultipartUpload,
    UploadPart,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
}

/// An operation and what it is about.
pub(super) struct Route {
    pub(super) operation: Operation,
    pub(super) bucket: String,
    pub(super) key: String,
}

/// The longest object key, in bytes.
const KEY_BYTES_MAX: usize = 1_024;

const LISTING: &[&str] = &[
    "list-type",
    "prefix",
    "delimiter",
    "max-keys",
    "continuation-token",
    "start-after",
    "encoding-type",
    "fetch-owner",
];

impl Route {
    pub(super) fn of(call: &Call) -> Result<Route, AwsError> {
        let (bucket, key) = split_path(&call.path)?;
        let names = query_names(call);
        let (operation, allowed) = find(call, &bucket, &key, &names).ok_or_else(not_implemented)?;
        let is_known = |name: &String| {
            allowed.contains(&name.as_str())
                || name == "x-id"
                || name.to_lowercase().starts_with("x-amz-")
        };
        if !names.iter().all(is_known) {
            return Err(not_implemented());
        }
        Ok(Route {
            operation,
            bucket,
            key,
        })
    }
}

fn not_implemented() -> AwsError {
    AwsError::new(
        501,
        "NotImplemented",
        "A header or query you provided implies functionality that is not implemented.",
    )
}

/// The operation's name, for faults and the journal; `-` when it is none that is here.
pub(crate) fn operation_name(call: &Call) -> &'static str {
    let Ok(route) = Route::of(call) else {
        return "-";
    };
    match route.operation {
        Operation::ListBuckets => "ListBuckets",
        Operation::CreateBucket => "CreateBucket",
        Operation::HeadBucket => "HeadBucket",
        Operation::DeleteBucket => "DeleteBucket",
        Operation::GetBucketLocation => "GetBucketLocation",
        Operation::PutBucketPolicy => "PutBucketPolicy",
        Operation::GetBucketPolicy => "GetBucketPolicy",
        Operation::DeleteBucketPolicy => "DeleteBucketPolicy",
        Operation::ListObjectsV2 => "ListObjectsV2",
        Operation::DeleteObjects => "DeleteObjects",
        Operation::PutObject => "PutObject",
        Operation::CopyObject => "CopyObject",
        Operation::GetObject => "GetObject",
        Operation::HeadObject => "HeadObject",
        Operation::DeleteObject => "DeleteObject",
        Operation::CreateMultipartUpload => "CreateMultipartUpload",
        Operation::UploadPart => "UploadPart",
        Operation::CompleteMultipartUpload => "CompleteMultipartUpload",
        Operation::AbortMultipartUpload => "AbortMultipartUpload",
        Operation::ListParts => "ListParts",
    }
}

/// The operation, and the query parameters it may have.
fn find(
    call: &Call,
    bucket: &str,
    key: &str,
    names: &[String],
) -> Option<(Operation, &'static [&'static str])> {
    let has = |name: &str| names.iter().any(|given| given == name);
    match (bucket.is_empty(), key.is_empty()) {
        (true, _) if call.method == Method::GET => Some((
            Operation::ListBuckets,
            &[
                "max-buckets",
                "continuation-token",
                "prefix",
                "bucket-region",
            ],
        )),
        (true, _) => None,
        (false, true) => find_bucket_operation(call, &has),
        (false, false) => find_object_operation(call, &has),
    }
}

fn find_bucket_operation(
    call: &Call,
    has: &dyn Fn(&str) -> bool,
) -> Option<(Operation, &'static [&'static str])> {
    let is_listing = call.query_value("list-type").as_deref() == Some("2");
    match call.method {
        Method::PUT if has("policy") => Some((Operation::PutBucketPolicy, &["policy"])),
        Method::GET if has("policy") => Some((Operation::GetBucketPolicy, &["policy"])),
        Method::DELETE if has("policy") => Some((Operation::DeleteBucketPolicy, &["policy"])),
        Method::GET if has("location") => Some((Operation::GetBucketLocation, &["location"])),
        Method::POST if has("delete") => Some((Operation::DeleteObjects, &["delete"])),
        Method::GET if is_listing => Some((Operation::ListObjectsV2, LISTING)),
        Method::PUT => Some((Operation::CreateBucket, &[])),
        Method::HEAD => Some((Operation::HeadBucket, &[])),
        Method::DELETE => Some((Operation::DeleteBucket, &[])),
        _ => None,
    }
}

fn find_object_operation(
    call: &Call,
    has: &dyn Fn(&str) -> bool,
) -> Option<(Operation, &'static [&'static str])> {
    let copies = call.header("x-amz-copy-source").is_some();
    match call.method {
        Method::POST if has("uploads") => Some((Operation::CreateMultipartUpload, &["uploads"])),
        Method::POST if has("uploadId") => {
            Some((Operation::CompleteMultipartUpload, &["uploadId"]))
        }
        Method::PUT if has("uploadId") && !copies => {
            Some((Operation::UploadPart, &["uploadId", "partNumber"]))
        }
        Method::DELETE if has("uploadId") => Some((Operation::AbortMultipartUpload, &["uploadId"])),
        Method::GET if has("uploadId") => Some((
            Operation::ListParts,
            &["uploadId", "max-parts", "part-number-marker"],
        )),
        Method::PUT if has("uploadId") => None,
        Method::PUT if copies => Some((Operation::CopyObject, &[])),
        Method::PUT => Some((Operation::PutObject, &[])),
        Method::GET => Some((
            Operation::GetObject,
            &["response-content-type", "response-content-disposition"],
        )),
        Method::HEAD => Some((Operation::HeadObject, &[])),
        Method::DELETE => Some((Operation::DeleteObject, &[])),
        _ => None,
    }
}

fn query_names(call: &Call) -> Vec<String> {
    call.query_pairs()
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

/// `/bucket/key`: the key is everything after, slashes and all, decoded once.
fn split_path(path: &str) -> Result<(String, String), AwsError> {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let decoded = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(|text| text.into_owned())
            .map_err(|_| AwsError::new(400, "InvalidURI", "Couldn't parse the specified URI."))
    };
    let key = decoded(key)?;
    if key.len() > KEY_BYTES_MAX {
        return Err(AwsError::new(
            400,
            "KeyTooLongError",
            "Your key is too long",
        ));
    }
    Ok((decoded(bucket)?, key))
}
