//! Objects and open uploads.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::checksums::{crc32c, md5};
use crate::gcp::errors::{ApiError, Code};
use crate::gcp::schema::And;

/// How long the URI of a resumable upload lives.
const UPLOAD_SECONDS: i64 = 7 * 24 * 3_600;

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(super) data: Bytes,
    pub(super) content_type: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) generation: i64,
    pub(super) created: Timestamp,
    pub(super) md5: String,
    pub(super) crc32c: String,
}

/// What a write demands of what is there already.
#[derive(Clone, Debug, Default)]
pub(super) struct Preconditions {
    pub(super) generation: Option<i64>,
    pub(super) not_generation: Option<i64>,
    pub(super) metageneration: Option<i64>,
    pub(super) not_metageneration: Option<i64>,
}

/// An upload in pieces.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) object: String,
    pub(super) content_type: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) preconditions: Preconditions,
    pub(super) received: Vec<u8>,
    pub(super) started: Timestamp,
    pub(super) principal: String,
    pub(super) state: UploadState,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum UploadState {
    Open,
    /// With the answer that was given.
    Finished(Value),
    Cancelled,
}

/// An upload that can still be finished by whoever holds its URI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadInfo {
    /// As a policy would name who began it.
    pub principal: String,
    /// Where it goes.
    pub bucket: String,
    /// The one object it can write.
    pub object: String,
    /// When its URI ends by itself.
    #[serde(with = "crate::time_text")]
    pub expires: Timestamp,
}

impl Upload {
    pub(super) fn expires(&self) -> Timestamp {
        let life = SignedDuration::from_secs(UPLOAD_SECONDS);
        self.started.saturating_add(life).unwrap_or(Timestamp::MAX)
    }
}

/// Everything in the buckets.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(super) objects: BTreeMap<String, BTreeMap<String, Object>>,
    pub(super) uploads: BTreeMap<String, Upload>,
    last_generation: i64,
}

impl Objects {
    pub(super) fn find(&self, bucket: &str, name: &str) -> Option<&Object> {
        self.objects.get(bucket)?.get(name)
    }

    /// Writes an object, over what is there.
    pub(crate) fn put(
        &mut self,
        bucket: &str,
        name: &str,
        data: Bytes,
        content_type: &str,
        metadata: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Object {
        self.last_generation = now.as_microsecond().max(self.last_generation + 1);
        let object = Object {
            md5: md5(&data),
            crc32c: crc32c(&data),
            data,
            content_type: content_type.to_owned(),
            metadata,
            generation: self.last_generation,
            created: now,
        };
        let bucket = self.objects.entry(bucket.to_owned()).or_default();
        bucket.insert(name.to_owned(), object.clone());
        object
    }

    pub(super) fn remove(&mut self, bucket: &str, name: &str) {
        if let Some(objects) = self.objects.get_mut(bucket) {
            objects.remove(name);
        }
    }

    /// The uploads that can still be finished.
    pub(crate) fn open_uploads(&self, now: Timestamp) -> Vec<UploadInfo> {
        let open = |upload: &&Upload| upload.state == UploadState::Open && now < upload.expires();
        let uploads = self.uploads.values().filter(open);
        uploads
            .map(|upload| UploadInfo {
                principal: upload.principal.clone(),
                bucket: upload.bucket.clone(),
                object: upload.object.clone(),
                expires: upload.expires(),
            })
            .collect()
    }

    /// The text of an object, for tests.
    pub(crate) fn text(&self, bucket: &str, name: &str) -> Option<String> {
        let object = self.find(bucket, name)?;
        Some(String::from_utf8_lossy(&object.data).into_owned())
    }
}

impl Preconditions {
    /// Whether they hold for what is there.
    pub(super) fn check(&self, standing: Option<&Object>) -> Result<(), ApiError> {
        let generation = standing.map_or(0, |object| object.generation);
        let metageneration = i64::from(standing.is_some());
        let holds = self
            .generation
            .is_none_or(|expected| expected == generation)
            && self
                .not_generation
                .is_none_or(|unwanted| unwanted != generation)
            && self
                .metageneration
                .is_none_or(|expected| expected == metageneration)
            && self
                .not_metageneration
                .is_none_or(|unwanted| unwanted != metageneration);
        if holds {
            Ok(())
        } else {
            let message = "At least one of the pre-conditions you specified did not hold.";
            Err(ApiError::new(Code::Stale, message))
        }
    }
}

impl Object {
    pub(super) fn as_json(&self, base: &str, bucket: &str, name: &str) -> Value {
        let generation = self.generation.to_string();
        let encoded =
            percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let created = written_time(self.created);
        let metadata = (!self.metadata.is_empty()).then(|| json!(self.metadata));
        json!({
            "kind": "storage#object",
            "id": format!("{bucket}/{name}/{generation}"),
            "selfLink": format!("{base}/storage/v1/b/{bucket}/o/{encoded}"),
            "mediaLink": format!("{base}/download/storage/v1/b/{bucket}/o/{encoded}?generation={generation}&alt=media"),
            "name": name,
            "bucket": bucket,
            "generation": generation,
            "metageneration": "1",
            "contentType": self.content_type,
            "storageClass": "STANDARD",
            "size": self.data.len().to_string(),
            "md5Hash": self.md5,
            "crc32c": self.crc32c,
            "etag": self.etag(),
            "timeCreated": created,
            "updated": created,
            "timeStorageClassUpdated": created,
        })
        .and("metadata", metadata)
    }

    pub(super) fn etag(&self) -> String {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(self.generation.to_be_bytes())
    }
}

/// With milliseconds, as Cloud Storage writes times.
pub(super) fn written_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
