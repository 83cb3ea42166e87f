//! Objects: put, get, head.

use bytes::Bytes;

use crate::aws::checksums::md5_hex;
use crate::aws::errors::AwsError;
use crate::aws::payload::Payload;
use crate::call::{Answer, Call};

use super::conditions::{check_read, check_write, no_such_key};
use super::desk::{Desk, quoted};
use super::storage::{Description, Object};

/// Headers that come back as they were put.
const KEPT_HEADERS: [&str; 4] = [
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
];
const METADATA_PREFIX: &str = "x-amz-meta-";
/// All metadata of an object together.
const METADATA_BYTES_MAX: usize = 2_048;

/// Headers that ask for something that is not here. Storing the object without it would be a lie.
const REFUSED_HEADERS: [&str; 6] = [
    "x-amz-tagging",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-legal-hold",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
];

/// `PutObject`.
///
/// Judge: boto3, by botocore's model of `s3`; the AWS SDK for Rust.
pub(super) fn put_object(desk: &Desk<'_>, payload: Payload) -> Result<Answer, AwsError> {
    let call = desk.incoming.call;
    let description = describe(call)?;
    desk.authorise_object("s3:PutObject")?;
    let object = Object {
        entity_tag: md5_hex(&payload.data),
        data: payload.data,
        description,
        modified: desk.incoming.now,
        checksum: payload.checksum,
    };
    let entity_tag = quoted(&object.entity_tag);
    let checksum = object.checksum.clone();
    let mut shelves = desk.incoming.cloud.storage.shelves.write();
    check_write(call, shelves.bucket_mut(desk.bucket)?.objects.get(desk.key))?;
    shelves.put(desk.bucket, desk.key, object)?;
    let answer = Answer::empty(200).with("etag", entity_tag);
    Ok(match checksum {
        Some((algorithm, value)) => answer.with(algorithm.header(), value),
        None => answer,
    })
}

/// What the client says about an object, with what cannot be kept refused.
pub(super) fn describe(call: &Call) -> Result<Description, AwsError> {
    if let Some(name) = REFUSED_HEADERS
        .into_iter()
        .find(|name| call.header(name).is_some())
    {
        let message =
            format!("A header you provided implies functionality that is not implemented: {name}");
        return Err(AwsError::new(501, "NotImplemented", message));
    }
    if call
        .header("x-amz-acl")
        .is_some_and(|acl| !["bucket-owner-full-control", "private"].contains(&acl))
    {
        return Err(AwsError::new(
            400,
            "AccessControlListNotSupported",
            "The bucket does not allow ACLs",
        ));
    }
    let mut description = Description {
        content_type: call.header("content-type").map(str::to_owned),
        ..Description::default()
    };
    for name in KEPT_HEADERS {
        if let Some(value) = call.header(name) {
            description.headers.push((name, value.to_owned()));
        }
    }
    let encoding = call
        .header("content-encoding")
        .map(without_framing)
        .filter(|encoding| !encoding.is_empty());
    if let Some(encoding) = encoding {
        description.headers.push(("content-encoding", encoding));
    }
    for (name, value) in &call.headers {
        if let (Some(name), Ok(value)) =
            (name.as_str().strip_prefix(METADATA_PREFIX), value.to_str())
        {
            description
                .metadata
                .insert(name.to_owned(), value.to_owned());
        }
    }
    let metadata_bytes: usize = description
        .metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if metadata_bytes > METADATA_BYTES_MAX {
        return Err(AwsError::new(
            400,
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
        ));
    }
    Ok(description)
}

/// `aws-chunked` is how the body came, not what the object is.
fn without_framing(encoding: &str) -> String {
    let parts: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|part| *part != "aws-chunked")
        .collect();
    parts.join(",")
}

/// `GetObject`, also of a range of bytes.
///
/// Judge: boto3, by botocore's model of `s3`; the AWS SDK for Rust.
pub(super) fn get_object(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    let object = readable(desk)?;
    check_read(desk.incoming.call, &object)?;
    let range = match desk.incoming.call.header("range") {
        Some(text) => range_of(text, object.data.len())?,
        None => None,
    };
    let mut answer = described(&object, Answer::empty(200));
    match range {
        None => {
            if let Some((algorithm, value)) = &object.checksum {
                answer = answer.with(algorithm.header(), value.as_str());
            }
            answer.body = object.data;
        }
        Some((first, last)) => {
            let content_range = format!("bytes {first}-{last}/{}", object.data.len());
            answer.status = 206;
            answer.body = object.data.slice(first..=last);
            answer = answer.with("content-range", content_range);
        }
    }
    Ok(answer)
}

/// `HeadObject`.
///
/// Judge: boto3, by botocore's model of `s3`; the AWS SDK for Rust.
pub(super) fn head_object(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    let object = readable(desk).map_err(without_body)?;
    check_read(desk.incoming.call, &object).map_err(without_body)?;
    let length = object.data.len().to_string();
    let answer = described(&object, Answer::empty(200)).with("content-length", length);
    Ok(match &object.checksum {
        Some((algorithm, value))
            if desk.incoming.call.header("x-amz-checksum-mode") == Some("ENABLED") =>
        {
            answer.with(algorithm.header(), value.as_str())
        }
        _ => answer,
    })
}

/// A HEAD answer has no body, so clients only see the status: S3 words a missing key shorter there.
fn without_body(error: AwsError) -> AwsError {
    if error.status == 404 {
        AwsError::new(404, "NotFound", "Not Found")
    } else {
        error
    }
}

/// The object, if the caller may read it. Who may not list the bucket is not told that a key is missing.
pub(super) fn readable(desk: &Desk<'_>) -> Result<Object, AwsError> {
    desk.authorise_object("s3:GetObject")?;
    let found = desk
        .shelves()
        .buckets
        .get(desk.bucket)
        .and_then(|bucket| bucket.objects.get(desk.key))
        .cloned();
    match found {
        Some(object) => Ok(object),
        None => {
            desk.authorise_bucket("s3:ListBucket", &[])?;
            Err(no_such_key())
        }
    }
}

fn described(object: &Object, answer: Answer) -> Answer {
    let content_type = object
        .description
        .content_type
        .as_deref()
        .unwrap_or("binary/octet-stream");
    let mut answer = answer
        .with("etag", quoted(&object.entity_tag))
        .with(
            "last-modified",
            object
                .modified
                .strftime("%a, %d %b %Y %H:%M:%S GMT")
                .to_string(),
        )
        .with("accept-ranges", "bytes")
        .with("content-type", content_type);
    for (name, value) in &object.description.headers {
        answer = answer.with(*name, value.as_str());
    }
    for (name, value) in &object.description.metadata {
        answer = answer.with(format!("{METADATA_PREFIX}{name}"), value.as_str());
    }
    answer
}

/// The first and last byte of `bytes=a-b`, `bytes=a-` or `bytes=-n`; a range that is not one is ignored.
fn range_of(text: &str, length: usize) -> Result<Option<(usize, usize)>, AwsError> {
    let Some((first, last)) = text
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
    else {
        return Ok(None);
    };
    let unsatisfiable = || {
        AwsError::new(
            416,
            "InvalidRange",
            "The requested range is not satisfiable",
        )
    };
    let end = length.checked_sub(1).ok_or_else(unsatisfiable)?;
    let range = match (first.parse::<usize>().ok(), last.parse::<usize>().ok()) {
        (Some(first), Some(last)) if first <= last => (first, last.min(end)),
        (Some(first), None) if last.is_empty() => (first, end),
        (None, Some(suffix)) if first.is_empty() && suffix > 0 => {
            (length.saturating_sub(suffix), end)
        }
        _ => return Ok(None),
    };
    if range.0 > end {
        Err(unsatisfiable())
    } else {
        Ok(Some(range))
    }
}

/// The bytes of several parts as one.
pub(super) fn joined(parts: &[Bytes]) -> Bytes {
    match parts {
        [single] => single.clone(),
        several => Bytes::from(several.concat()),
    }
}
