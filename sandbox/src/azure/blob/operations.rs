//! Put, get and delete.

use crate::azure::roles::Operation;
use crate::call::Answer;

use super::storage::Blob;
use super::{BlobError, Desk, http_date, no_blob, no_container, not_permitted, with_body};

const READ: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
const WRITE: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write";
const ADD: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action";
const DELETE: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete";

impl Desk<'_> {
    /// `write` puts any blob, `add/action` a new one: a condition that guards only one of them guards nothing.
    pub(super) fn put(&mut self) -> Result<Answer, BlobError> {
        let blobs = self
            .world
            .storage
            .container(&self.route.account, &self.route.container);
        let is_new = blobs.is_none_or(|blobs| !blobs.contains_key(&self.route.path));
        let may = |action| self.may(Operation::Data(action), None, Vec::new());
        if !(may(WRITE) || (is_new && may(ADD))) {
            return Err(not_permitted());
        }
        if self.call.header("x-ms-blob-type") != Some("BlockBlob") {
            return Err(BlobError::new(
                400,
                "InvalidHeaderValue",
                "The value for one of the HTTP headers is not in the correct format: x-ms-blob-type.",
            ));
        }
        if self.call.header("if-none-match") == Some("*") && !is_new {
            return Err(BlobError::new(
                409,
                "BlobAlreadyExists",
                "The specified blob already exists.",
            ));
        }
        self.check_match()?;
        let content_type = self
            .call
            .header("x-ms-blob-content-type")
            .or_else(|| self.call.header("content-type"))
            .unwrap_or("application/octet-stream");
        let blob = Blob::new(self.call.body.clone(), content_type, self.now);
        let answer = described(Answer::empty(201), &blob);
        let container = self
            .world
            .storage
            .container_mut(&self.route.account, &self.route.container)
            .ok_or_else(no_container)?;
        container.insert(self.route.path.clone(), blob);
        Ok(answer.with("x-ms-request-server-encrypted", "true"))
    }

    pub(super) fn get(&mut self, with_content: bool) -> Result<Answer, BlobError> {
        if !self.may(Operation::Data(READ), None, Vec::new()) {
            return Err(not_permitted());
        }
        let blob = self
            .world
            .storage
            .container(&self.route.account, &self.route.container)
            .ok_or_else(no_container)?
            .get(&self.route.path)
            .ok_or_else(no_blob)?;
        let size = blob.content.len();
        let range = self
            .call
            .header("x-ms-range")
            .or_else(|| self.call.header("range"));
        let answer = match range.filter(|_| with_content) {
            Some(range) => {
                let (start, end) = byte_range(range, size).ok_or_else(invalid_range)?;
                let part = blob.content.slice(start..end);
                let last = end.saturating_sub(1);
                with_body(206, &blob.content_type, part)
                    .with("content-range", format!("bytes {start}-{last}/{size}"))
            }
            None if with_content => with_body(200, &blob.content_type, blob.content.clone()),
            None => Answer::empty(200)
                .with("content-type", blob.content_type.clone())
                .with("content-length", size.to_string()),
        };
        Ok(described(answer, blob)
            .with("accept-ranges", "bytes")
            .with("x-ms-blob-type", "BlockBlob")
            .with("x-ms-lease-state", "available")
            .with("x-ms-lease-status", "unlocked"))
    }

    fn blob(&self) -> Option<&Blob> {
        let (account, container) = (&self.route.account, &self.route.container);
        let blobs = self.world.storage.container(account, container)?;
        blobs.get(&self.route.path)
    }

    /// `If-Match`: carried out only on the blob that the client has seen.
    fn check_match(&self) -> Result<(), BlobError> {
        let Some(wanted) = self.call.header("if-match") else {
            return Ok(());
        };
        let matches = |blob: &Blob| wanted == "*" || wanted == blob.etag;
        if self.blob().is_some_and(matches) {
            return Ok(());
        }
        Err(BlobError::new(
            412,
            "ConditionNotMet",
            "The condition specified using HTTP conditional header(s) is not met.",
        ))
    }

    pub(super) fn delete(&mut self) -> Result<Answer, BlobError> {
        if !self.may(Operation::Data(DELETE), None, Vec::new()) {
            return Err(not_permitted());
        }
        if self.blob().is_some() {
            self.check_match()?;
        }
        let container = self
            .world
            .storage
            .container_mut(&self.route.account, &self.route.container)
            .ok_or_else(no_container)?;
        container.remove(&self.route.path).ok_or_else(no_blob)?;
        Ok(Answer::empty(202).with("x-ms-delete-type-permanent", "true"))
    }
}

fn described(answer: Answer, blob: &Blob) -> Answer {
    answer
        .with("etag", blob.etag.clone())
        .with("last-modified", http_date(blob.modified))
}

fn invalid_range() -> BlobError {
    BlobError::new(
        416,
        "InvalidRange",
        "The range specified is invalid for the current size of the resource.",
    )
}

/// `bytes=FIRST-` or `bytes=FIRST-LAST`, as a half-open range within `size`.
fn byte_range(text: &str, size: usize) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let last: usize = match last {
        "" => usize::MAX,
        last => last.parse().ok()?,
    };
    let end = last.saturating_add(1).min(size);
    (first < end).then_some((first, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_lies_within_the_blob() {
        assert_eq!(byte_range("bytes=0-", 10), Some((0, 10)));
        assert_eq!(byte_range("bytes=2-4", 10), Some((2, 5)));
        assert_eq!(byte_range("bytes=2-99", 10), Some((2, 10)));
        assert_eq!(byte_range("bytes=10-", 10), None);
        assert_eq!(byte_range("bytes=4-2", 10), None);
        assert_eq!(byte_range("items=0-1", 10), None);
    }
}
