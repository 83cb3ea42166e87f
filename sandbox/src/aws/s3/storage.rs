//! What S3 stores: buckets, their policies, their objects, and uploads under way.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use crate::aws::checksums::{Algorithm, md5_hex};
use crate::aws::cloud::EstateError;
use crate::aws::directory::Directory;
use crate::aws::errors::AwsError;
use crate::aws::estate::Estate;
use crate::aws::evaluate::{Policy, PolicyKind, ResourceSide};
use crate::shared::Shared;

/// All objects and parts together.
pub(super) const STORED_BYTES_MAX: usize = 2 * 1024 * 1024 * 1024;

/// The buckets, behind a lock of their own.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    pub(super) shelves: Shared<Shelves>,
}

#[derive(Debug, Default)]
pub(super) struct Shelves {
    pub(super) buckets: BTreeMap<String, Bucket>,
    stored_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Bucket {
    /// The account that owns it.
    pub(super) owner: String,
    pub(super) region: String,
    pub(super) created: Timestamp,
    pub(super) policy: Option<Policy>,
    pub(super) objects: BTreeMap<String, Object>,
    /// By upload id.
    pub(super) uploads: BTreeMap<String, Upload>,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) data: Bytes,
    /// Without quotes.
    pub(super) entity_tag: String,
    pub(super) description: Description,
    pub(super) modified: Timestamp,
    pub(super) checksum: Option<(Algorithm, String)>,
}

/// What a client says about an object's content.
#[derive(Clone, Debug, Default)]
pub(super) struct Description {
    pub(super) content_type: Option<String>,
    /// Headers that are given back as they came, by their static names.
    pub(super) headers: Vec<(&'static str, String)>,
    /// `x-amz-meta-…` without the prefix.
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) description: Description,
    pub(super) parts: BTreeMap<u32, Part>,
}

#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) data: Bytes,
    pub(super) entity_tag: String,
    pub(super) modified: Timestamp,
}

impl Bucket {
    pub(super) fn new(owner: &str, region: &str, created: Timestamp) -> Bucket {
        Bucket {
            owner: owner.to_owned(),
            region: region.to_owned(),
            created,
            policy: None,
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
        }
    }
}

impl Shelves {
    /// Makes room for new bytes, or refuses them.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<(), AwsError> {
        let total = self.stored_bytes.saturating_add(bytes);
        if total > STORED_BYTES_MAX {
            return Err(AwsError::new(
                503,
                "ServiceUnavailable",
                "The sandbox stores no more than 2 GiB.",
            ));
        }
        self.stored_bytes = total;
        Ok(())
    }

    pub(super) fn release(&mut self, bytes: usize) {
        self.stored_bytes = self.stored_bytes.saturating_sub(bytes);
    }

    pub(super) fn bucket_mut(&mut self, name: &str) -> Result<&mut Bucket, AwsError> {
        self.buckets.get_mut(name).ok_or_else(no_such_bucket)
    }

    /// Stores an object, in place of one that may be there.
    pub(super) fn put(&mut self, bucket: &str, key: &str, object: Object) -> Result<(), AwsError> {
        self.reserve(object.data.len())?;
        let replaced = self
            .bucket_mut(bucket)?
            .objects
            .insert(key.to_owned(), object);
        self.release(replaced.map_or(0, |object| object.data.len()));
        Ok(())
    }

    pub(super) fn remove(&mut self, bucket: &str, key: &str) -> Result<(), AwsError> {
        let removed = self.bucket_mut(bucket)?.objects.remove(key);
        self.release(removed.map_or(0, |object| object.data.len()));
        Ok(())
    }
}

pub(super) fn no_such_bucket() -> AwsError {
    AwsError::new(404, "NoSuchBucket", "The specified bucket does not exist")
}

impl Storage {
    /// A bucket's owner and policy.
    pub(crate) fn side_of(&self, bucket: &str) -> Option<ResourceSide> {
        let shelves = self.shelves.read();
        let bucket = shelves.buckets.get(bucket)?;
        Some(ResourceSide {
            account: bucket.owner.clone(),
            policy: bucket.policy.clone(),
            must_allow: false,
        })
    }

    /// Replaces everything by what the estate says.
    pub(crate) fn populate(
        &self,
        estate: &Estate,
        directory: &Directory,
        now: Timestamp,
    ) -> Result<(), EstateError> {
        let mut shelves = Shelves::default();
        for account in &estate.accounts {
            for written in &account.buckets {
                let region = written.region.as_deref().unwrap_or(&estate.region);
                let mut bucket = Bucket::new(&account.id, region, now);
                bucket.policy = match &written.policy {
                    Some(text) => Some(bucket_policy(&written.name, &text.0, directory)?),
                    None => None,
                };
                for (key, text) in &written.objects {
                    bucket.objects.insert(key.clone(), text_object(text, now));
                }
                if shelves
                    .buckets
                    .insert(written.name.clone(), bucket)
                    .is_some()
                {
                    return Err(EstateError::Twice(written.name.clone()));
                }
            }
        }
        *self.shelves.write() = shelves;
        Ok(())
    }
}

fn bucket_policy(bucket: &str, text: &str, directory: &Directory) -> Result<Policy, EstateError> {
    let policy =
        Policy::parse(text, PolicyKind::Resource).map_err(|reason| EstateError::Policy {
            owner: bucket.to_owned(),
            reason,
        })?;
    directory
        .bound(&policy)
        .map_err(|principal| EstateError::Principal {
            owner: bucket.to_owned(),
            principal,
        })
}

fn text_object(text: &str, now: Timestamp) -> Object {
    Object {
        entity_tag: md5_hex(text.as_bytes()),
        data: Bytes::from(text.to_owned()),
        description: Description {
            content_type: Some("text/plain".to_owned()),
            ..Description::default()
        },
        modified: now,
        checksum: None,
    }
}
