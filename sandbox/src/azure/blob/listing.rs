//! Lists of blobs and containers. One page holds everything.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use quick_xml::escape::escape;

use crate::azure::conditions::Attribute;
use crate::azure::roles::Operation;
use crate::call::Answer;

use super::storage::Blob;
use super::{BlobError, Desk, http_date, no_container, not_permitted};

const READ: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
const LIST_CONTAINERS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/read";

impl Desk<'_> {
    /// Listing is reading, by the sub-operation `Blob.List`.
    pub(super) fn list_blobs(&mut self) -> Result<Answer, BlobError> {
        let prefix = self.call.query_value("prefix");
        let asked = prefix
            .iter()
            .map(|prefix| (Attribute::ListPrefix, prefix.clone()))
            .collect();
        if !self.may(Operation::Data(READ), Some("Blob.List"), asked) {
            return Err(not_permitted());
        }
        let blobs = self
            .world
            .storage
            .container(&self.route.account, &self.route.container)
            .ok_or_else(no_container)?;
        let prefix = prefix.unwrap_or_default();
        let delimiter = self
            .call
            .query_value("delimiter")
            .filter(|text| !text.is_empty());
        let mut folders = BTreeSet::new();
        let mut text = String::new();
        for (path, blob) in blobs.iter().filter(|(path, _)| path.starts_with(&prefix)) {
            match folder(path, &prefix, delimiter.as_deref()) {
                Some(folder) => {
                    folders.insert(folder);
                }
                None => add_blob(&mut text, path, blob),
            }
        }
        for folder in folders {
            let _ = write!(
                text,
                "<BlobPrefix><Name>{}</Name></BlobPrefix>",
                escape(folder)
            );
        }
        let container = format!(
            "ContainerName=\"{}\"",
            escape(self.route.container.as_str())
        );
        Ok(self.enumeration(&container, &prefix, &format!("<Blobs>{text}</Blobs>")))
    }

    pub(super) fn list_containers(&mut self) -> Result<Answer, BlobError> {
        if !self.may(Operation::Control(LIST_CONTAINERS), None, Vec::new()) {
            return Err(not_permitted());
        }
        let prefix = self.call.query_value("prefix").unwrap_or_default();
        let mut text = String::new();
        let known = self.world.storage.containers(&self.route.account);
        for name in known.into_iter().flat_map(|containers| containers.keys()) {
            if name.starts_with(&prefix) {
                let _ = write!(
                    text,
                    "<Container><Name>{}</Name><Properties><Last-Modified>{}</Last-Modified><Etag>\"0x1\"</Etag></Properties></Container>",
                    escape(name.as_str()),
                    http_date(self.now)
                );
            }
        }
        Ok(self.enumeration("", &prefix, &format!("<Containers>{text}</Containers>")))
    }

    fn enumeration(&self, attributes: &str, prefix: &str, content: &str) -> Answer {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://{}/{}/\" {attributes}><Prefix>{}</Prefix>{content}<NextMarker /></EnumerationResults>",
            escape(self.call.header("host").unwrap_or_default()),
            self.route.account,
            escape(prefix)
        );
        Answer::xml(200, "application/xml", text)
    }
}

/// What a path is folded into: everything up to the delimiter after the prefix.
fn folder<'a>(path: &'a str, prefix: &str, delimiter: Option<&str>) -> Option<&'a str> {
    let delimiter = delimiter?;
    let rest = path.get(prefix.len()..)?;
    let at = rest.find(delimiter)?;
    path.get(..prefix.len() + at + delimiter.len())
}

fn add_blob(text: &mut String, path: &str, blob: &Blob) {
    let _ = write!(
        text,
        "<Blob><Name>{}</Name><Properties><Creation-Time>{modified}</Creation-Time><Last-Modified>{modified}</Last-Modified><Etag>{}</Etag><Content-Length>{}</Content-Length><Content-Type>{}</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>",
        escape(path),
        escape(blob.etag.as_str()),
        blob.content.len(),
        escape(blob.content_type.as_str()),
        modified = http_date(blob.modified),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_folded_after_the_prefix() {
        assert_eq!(folder("a/b/c", "a/", Some("/")), Some("a/b/"));
        assert_eq!(folder("a/b", "a/", Some("/")), None);
        assert_eq!(folder("a/b", "", None), None);
    }
}
