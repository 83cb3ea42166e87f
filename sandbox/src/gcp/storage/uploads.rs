//! Writing objects: at once, with metadata beside the bytes, or in pieces.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::objects::preconditions;
use super::store::{Object, Preconditions};
use super::{bucket, demand, multipart, resumable};
use crate::call::Answer;
use crate::gcp::access::Target;
use crate::gcp::errors::{ApiError, Code};
use crate::gcp::route::{Failure, Incoming};
use crate::gcp::schema::{self, Fields, Kind};

const OBJECT_NAME_BYTES_MAX: usize = 1_024;
const BINARY: &str = "application/octet-stream";

/// What may be said about an object that is uploaded.
const OBJECT: Kind = Kind::Object(&[
    ("kind", Kind::Text),
    ("id", Kind::Text),
    ("name", Kind::Text),
    ("bucket", Kind::Text),
    ("contentType", Kind::Text),
    ("contentEncoding", Kind::Text),
    ("contentDisposition", Kind::Text),
    ("contentLanguage", Kind::Text),
    ("cacheControl", Kind::Text),
    ("storageClass", Kind::Text),
    ("customTime", Kind::Time),
    ("md5Hash", Kind::Text),
    ("crc32c", Kind::Text),
    ("metadata", Kind::Table(&Kind::Text)),
    ("size", Kind::Int64),
    ("temporaryHold", Kind::Flag),
    ("eventBasedHold", Kind::Flag),
]);

/// An object on its way in, before its bytes are there.
pub(super) struct Draft {
    pub(super) bucket: String,
    pub(super) name: String,
    pub(super) content_type: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) preconditions: Preconditions,
    md5: Option<String>,
    crc32c: Option<String>,
}

pub(super) fn insert(incoming: &Incoming<'_>) -> Result<Answer, Failure> {
    let body = &incoming.call.body;
    match incoming.query("uploadType").as_deref() {
        Some("media") => {
            let draft = draft(incoming, &json!({}), incoming.call.header("content-type"))?;
            Ok(store(incoming, draft, body.clone())?)
        }
        Some("multipart") => {
            let content_type = incoming.call.header("content-type").unwrap_or_default();
            let related = multipart::take_apart(content_type, body)
                .ok_or_else(|| ApiError::invalid("Malformed multipart body."))?;
            let given = schema::read(&related.metadata, &OBJECT)?;
            let draft = draft(incoming, &given, related.media_type.as_deref())?;
            Ok(store(incoming, draft, related.media)?)
        }
        Some("resumable") => {
            let given = schema::read(body, &OBJECT)?;
            let draft = draft(incoming, &given, incoming.call.header("x-upload-content-type"))?;
            Ok(resumable::start(incoming, draft)?)
        }
        _ => Err(ApiError::invalid("Upload requests must include an uploadType URL parameter and a URL path beginning with /upload/").into()),
    }
}

/// The object, if the caller may write it: also over what is there, if anything is.
fn draft(
    incoming: &Incoming<'_>,
    given: &Value,
    media_type: Option<&str>,
) -> Result<Draft, ApiError> {
    let bucket = bucket(incoming)?;
    let name = incoming
        .query("name")
        .or_else(|| given.text("name").map(str::to_owned));
    let name = name.ok_or_else(|| ApiError::invalid("Required"))?;
    if name.len() > OBJECT_NAME_BYTES_MAX
        || name.contains(['\r', '\n'])
        || name == "."
        || name == ".."
    {
        return Err(ApiError::invalid(
            "Disallowed unicode characters or length in object name.",
        ));
    }
    demand(
        incoming,
        "storage.objects.create",
        &Target::object(bucket, &name),
    )?;
    if incoming.cloud.objects.read().find(bucket, &name).is_some() {
        demand(
            incoming,
            "storage.objects.delete",
            &Target::object(bucket, &name),
        )?;
    }
    let metadata = given
        .get("metadata")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let metadata =
        metadata.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    Ok(Draft {
        bucket: bucket.to_owned(),
        content_type: given
            .text("contentType")
            .or(media_type)
            .unwrap_or(BINARY)
            .to_owned(),
        metadata: metadata.collect(),
        preconditions: preconditions(incoming)?,
        md5: given.text("md5Hash").map(str::to_owned),
        crc32c: given.text("crc32c").map(str::to_owned),
        name,
    })
}

fn store(incoming: &Incoming<'_>, draft: Draft, data: Bytes) -> Result<Answer, ApiError> {
    let mut objects = incoming.cloud.objects.write();
    draft
        .preconditions
        .check(objects.find(&draft.bucket, &draft.name))?;
    draft.check_sums(&data)?;
    let object = objects.put(
        &draft.bucket,
        &draft.name,
        data,
        &draft.content_type,
        draft.metadata,
        incoming.now,
    );
    Ok(stored(incoming, &object, &draft.bucket, &draft.name))
}

/// How a finished upload is answered.
pub(super) fn stored(incoming: &Incoming<'_>, object: &Object, bucket: &str, name: &str) -> Answer {
    incoming.ok(&object.as_json(&incoming.call.base_url(), bucket, name))
}

impl Draft {
    fn check_sums(&self, data: &[u8]) -> Result<(), ApiError> {
        let sums = [
            ("MD5", &self.md5, super::checksums::md5(data)),
            ("CRC32C", &self.crc32c, super::checksums::crc32c(data)),
        ];
        for (name, claimed, computed) in sums {
            if let Some(claimed) = claimed
                && *claimed != computed
            {
                let message = format!(
                    "Provided {name} hash \"{claimed}\" doesn't match calculated {name} hash \"{computed}\"."
                );
                return Err(ApiError::new(Code::InvalidArgument, message));
            }
        }
        Ok(())
    }
}
