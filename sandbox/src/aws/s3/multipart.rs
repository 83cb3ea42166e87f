//! Uploads in parts, as the usual clients send large files.

use bytes::Bytes;

use crate::aws::authority::iso8601;
use crate::aws::checksums::{md5, md5_hex};
use crate::aws::errors::AwsError;
use crate::aws::payload::Payload;
use crate::call::Answer;

use super::conditions::check_write;
use super::desk::{Desk, document, quoted};
use super::objects::{describe, joined};
use super::requests::{PARTS_MAX, read_parts};
use super::storage::{Bucket, Object, Part, Upload};

/// Every part but the last has at least this many bytes.
const PART_BYTES_MIN: usize = 5 * 1024 * 1024;
const LISTED_PARTS_MAX: usize = 1_000;

fn no_such_upload() -> AwsError {
    AwsError::new(
        404,
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
         completed.",
    )
}

impl Desk<'_> {
    fn upload_id(&self) -> String {
        self.query("uploadId").unwrap_or_default()
    }

    /// The upload of this id, which belongs to this key and no other.
    fn upload<'b>(&self, bucket: &'b mut Bucket, id: &str) -> Result<&'b mut Upload, AwsError> {
        bucket
            .uploads
            .get_mut(id)
            .filter(|upload| upload.key == self.key)
            .ok_or_else(no_such_upload)
    }
}

/// `CreateMultipartUpload`.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn create_multipart_upload(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    desk.authorise_object("s3:PutObject")?;
    let upload = Upload {
        key: desk.key.to_owned(),
        description: describe(desk.incoming.call)?,
        parts: std::collections::BTreeMap::new(),
    };
    let id = desk.incoming.cloud.identifiers.request_id();
    let mut shelves = desk.incoming.cloud.storage.shelves.write();
    shelves
        .bucket_mut(desk.bucket)?
        .uploads
        .insert(id.clone(), upload);
    Ok(document("InitiateMultipartUploadResult", |xml| {
        xml.leaf("Bucket", desk.bucket);
        xml.leaf("Key", desk.key);
        xml.leaf("UploadId", &id);
    }))
}

/// `UploadPart`. Each part is judged when it arrives: an upload begun in time does not carry on.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn upload_part(desk: &Desk<'_>, payload: Payload) -> Result<Answer, AwsError> {
    desk.authorise_object("s3:PutObject")?;
    let number = desk
        .query("partNumber")
        .and_then(|number| number.parse::<u32>().ok())
        .filter(|number| (1..=PARTS_MAX).contains(&usize::try_from(*number).unwrap_or(0)))
        .ok_or_else(|| {
            AwsError::new(
                400,
                "InvalidArgument",
                "Part number must be an integer between 1 and 10000, inclusive",
            )
        })?;
    let part = Part {
        entity_tag: md5_hex(&payload.data),
        data: payload.data,
        modified: desk.incoming.now,
    };
    let entity_tag = quoted(&part.entity_tag);
    let mut shelves = desk.incoming.cloud.storage.shelves.write();
    let bytes = part.data.len();
    shelves.reserve(bytes)?;
    let stored = shelves.bucket_mut(desk.bucket).and_then(|bucket| {
        Ok(desk
            .upload(bucket, &desk.upload_id())?
            .parts
            .insert(number, part))
    });
    match stored {
        Ok(replaced) => shelves.release(replaced.map_or(0, |part| part.data.len())),
        Err(error) => {
            shelves.release(bytes);
            return Err(error);
        }
    }
    let answer = Answer::empty(200).with("etag", entity_tag);
    Ok(match payload.checksum {
        Some((algorithm, value)) => answer.with(algorithm.header(), value),
        None => answer,
    })
}

/// `CompleteMultipartUpload`: joins the named parts, in order.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn complete_multipart_upload(
    desk: &Desk<'_>,
    payload: &Payload,
) -> Result<Answer, AwsError> {
    desk.authorise_object("s3:PutObject")?;
    let listed = read_parts(&payload.data)?;
    if !listed.is_sorted_by(|(one, _), (next, _)| one < next) {
        return Err(AwsError::new(
            400,
            "InvalidPartOrder",
            "The list of parts was not in ascending order.",
        ));
    }
    let id = desk.upload_id();
    let mut shelves = desk.incoming.cloud.storage.shelves.write();
    let bucket = shelves.bucket_mut(desk.bucket)?;
    check_write(desk.incoming.call, bucket.objects.get(desk.key))?;
    let upload = desk.upload(bucket, &id)?;
    let parts = chosen(upload, &listed)?;
    let digests: Vec<u8> = parts.iter().flat_map(|part| md5(part)).collect();
    let object = Object {
        data: joined(&parts),
        entity_tag: format!("{}-{}", md5_hex(&digests), parts.len()),
        description: upload.description.clone(),
        modified: desk.incoming.now,
        checksum: None,
    };
    let entity_tag = quoted(&object.entity_tag);
    let part_bytes = upload.parts.values().map(|part| part.data.len()).sum();
    bucket.uploads.remove(&id);
    shelves.release(part_bytes);
    shelves.put(desk.bucket, desk.key, object)?;
    Ok(document("CompleteMultipartUploadResult", |xml| {
        xml.leaf("Location", &format!("/{}/{}", desk.bucket, desk.key));
        xml.leaf("Bucket", desk.bucket);
        xml.leaf("Key", desk.key);
        xml.leaf("ETag", &entity_tag);
    }))
}

/// The data of the listed parts; each must be there under its tag, and only the last may be small.
fn chosen(upload: &Upload, listed: &[(u32, String)]) -> Result<Vec<Bytes>, AwsError> {
    let mut parts = Vec::new();
    for (place, (number, tag)) in listed.iter().enumerate() {
        let part = upload
            .parts
            .get(number)
            .filter(|part| part.entity_tag == *tag)
            .ok_or_else(|| {
                AwsError::new(
                    400,
                    "InvalidPart",
                    "One or more of the specified parts could not be found.",
                )
            })?;
        if place + 1 < listed.len() && part.data.len() < PART_BYTES_MIN {
            let message = "Your proposed upload is smaller than the minimum allowed size";
            return Err(AwsError::new(400, "EntityTooSmall", message));
        }
        parts.push(part.data.clone());
    }
    Ok(parts)
}

/// `AbortMultipartUpload`.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn abort_multipart_upload(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    desk.authorise_object("s3:AbortMultipartUpload")?;
    let id = desk.upload_id();
    let mut shelves = desk.incoming.cloud.storage.shelves.write();
    let bucket = shelves.bucket_mut(desk.bucket)?;
    let bytes = desk
        .upload(bucket, &id)?
        .parts
        .values()
        .map(|part| part.data.len())
        .sum();
    bucket.uploads.remove(&id);
    shelves.release(bytes);
    Ok(Answer::empty(204))
}

/// `ListParts`: all of them, up to a thousand.
///
/// Judge: boto3, by botocore's model of `s3`.
pub(super) fn list_parts(desk: &Desk<'_>) -> Result<Answer, AwsError> {
    desk.authorise_object("s3:ListMultipartUploadParts")?;
    let id = desk.upload_id();
    let after: u32 = desk
        .query("part-number-marker")
        .and_then(|marker| marker.parse().ok())
        .unwrap_or(0);
    let most = desk
        .query("max-parts")
        .and_then(|most| most.parse().ok())
        .unwrap_or(LISTED_PARTS_MAX);
    let most = most.min(LISTED_PARTS_MAX);
    let mut shelves = desk.incoming.cloud.storage.shelves.write();
    let upload = desk.upload(shelves.bucket_mut(desk.bucket)?, &id)?;
    let later: Vec<(&u32, &Part)> = upload.parts.range(after.saturating_add(1)..).collect();
    Ok(document("ListPartsResult", |xml| {
        xml.leaf("Bucket", desk.bucket);
        xml.leaf("Key", desk.key);
        xml.leaf("UploadId", &id);
        xml.leaf("MaxParts", &most.to_string());
        xml.leaf(
            "IsTruncated",
            if later.len() > most { "true" } else { "false" },
        );
        xml.optional_leaf(
            "NextPartNumberMarker",
            later
                .get(..most.min(later.len()))
                .and_then(<[_]>::last)
                .map(|(number, _)| number.to_string())
                .as_deref(),
        );
        for (number, part) in later.iter().take(most) {
            xml.element("Part", |xml| {
                xml.leaf("PartNumber", &number.to_string());
                xml.leaf("LastModified", &iso8601(part.modified));
                xml.leaf("ETag", &quoted(&part.entity_tag));
                xml.leaf("Size", &part.data.len().to_string());
            });
        }
    }))
}
