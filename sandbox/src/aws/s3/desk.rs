//! What every S3 operation needs: the bucket, the key, and whether the caller may.

use std::sync::RwLockReadGuard;

use crate::aws::errors::AwsError;
use crate::aws::evaluate::ResourceSide;
use crate::aws::server::Incoming;
use crate::aws::xml::Xml;
use crate::call::Answer;

use super::NAMESPACE;
use super::storage::{Shelves, no_such_bucket};

/// One call to S3.
pub(super) struct Desk<'a> {
    pub(super) incoming: &'a Incoming<'a>,
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
}

impl Desk<'_> {
    pub(super) fn shelves(&self) -> RwLockReadGuard<'_, Shelves> {
        self.incoming.cloud.storage.shelves.read()
    }

    pub(super) fn bucket_arn(&self) -> String {
        format!("arn:aws:s3:::{}", self.bucket)
    }

    pub(super) fn object_arn(&self) -> String {
        format!("arn:aws:s3:::{}/{}", self.bucket, self.key)
    }

    /// Whether the caller may do this to the object.
    pub(super) fn authorise_object(&self, action: &str) -> Result<(), AwsError> {
        self.authorise(action, &self.object_arn(), &[])
    }

    /// Whether the caller may do this to the bucket.
    pub(super) fn authorise_bucket(
        &self,
        action: &str,
        keys: &[(&str, Vec<String>)],
    ) -> Result<(), AwsError> {
        self.authorise(action, &self.bucket_arn(), keys)
    }

    /// The bucket must exist, be in the region the call was signed for, and belong to whom the caller expects.
    pub(super) fn authorise(
        &self,
        action: &str,
        resource: &str,
        keys: &[(&str, Vec<String>)],
    ) -> Result<(), AwsError> {
        let side = self.resource_side(self.bucket)?;
        self.check_region()?;
        self.check_expected_owner("x-amz-expected-bucket-owner", &side.account)?;
        self.incoming
            .standing
            .check(action, resource, keys, Some(side))
    }

    /// A bucket's owner and policy.
    pub(super) fn resource_side(&self, bucket: &str) -> Result<ResourceSide, AwsError> {
        self.incoming
            .cloud
            .storage
            .side_of(bucket)
            .ok_or_else(no_such_bucket)
    }

    /// A bucket with the right name in the wrong hands: callers can say whose it must be.
    pub(super) fn check_expected_owner(&self, header: &str, owner: &str) -> Result<(), AwsError> {
        match self.incoming.call.header(header) {
            Some(expected) if expected != owner => Err(AwsError::access_denied("Access Denied")),
            _ => Ok(()),
        }
    }

    fn check_region(&self) -> Result<(), AwsError> {
        let shelves = self.shelves();
        let expected = shelves
            .buckets
            .get(self.bucket)
            .map(|bucket| bucket.region.as_str());
        match expected {
            // Nobody signed, so there is no region to compare.
            _ if self.incoming.standing.caller.account().is_none() => Ok(()),
            Some(expected) if expected != self.incoming.region => Err(AwsError::new(
                400,
                "AuthorizationHeaderMalformed",
                format!(
                    "The authorization header is malformed; the region '{}' is wrong; expecting '{expected}'",
                    self.incoming.region
                ),
            )),
            _ => Ok(()),
        }
    }

    /// A query parameter's value, if it is there and not empty.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        self.incoming
            .call
            .query_value(name)
            .filter(|value| !value.is_empty())
    }
}

/// An XML answer with S3's namespace on its root.
pub(super) fn document(root: &str, children: impl FnOnce(&mut Xml)) -> Answer {
    let mut xml = Xml::declared();
    xml.root(root, NAMESPACE, children);
    Answer::xml(200, "application/xml", xml.into_text())
}

/// An entity tag as headers and documents have it: in quotes.
pub(super) fn quoted(entity_tag: &str) -> String {
    format!("\"{entity_tag}\"")
}
